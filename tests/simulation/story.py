"""Tells a run as a story in virtual time: who did what to what, and what came of it.

Calls to the store are told by what they mean: a put by the event that it carries, a commit by the events that it adds.
Looks that find nothing are left out. A line looks like this::

     4.238  worker-1.1    puts TaskScheduled #1 say_hello on workitems, for i-0
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from taskhub import TaskHubSettings
from taskhub.codec.entity_texts import decode_incoming
from taskhub.codec.history_rows import decode_event, decode_sentinel, offloaded_columns
from taskhub.codec.instance_rows import decode_instance
from taskhub.codec.keys import SENTINEL, unescape_instance_id
from taskhub.codec.lease_rows import decode_lease
from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.errors import MalformedMessage, StorageError
from taskhub.model.entities import Continue, Release, Request, is_entity
from taskhub.model.history import EventRaised, EventSent
from taskhub.names import HubNames
from taskhub.simulation.fates import Fate, Fates
from taskhub.storage.interception import intercepted
from taskhub.storage.port import Comparison, Where, Write
from tests.simulation.simulate import HUB, Report, Simulation

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence

    from taskhub.simulation.process import Process
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Row, Storage, TableWrite

_LONGEST = 90
"""Characters of a value that are told."""


def tell_run(seed: int, tell: Callable[[str], None], *, fates: Fates | None = None, **options: Any) -> Report:
    """Run a simulation and tell it.

    Args:
        seed: which one.
        tell: called with each line.
        fates: what befalls it.
        options: others of :class:`~tests.simulation.simulate.Simulation`.

    Raises:
        Violation: something is wrong.
    """
    story = Story(tell)
    run = _Told(seed, story, fates=_ToldFates(story, fates or Fates()), **options)
    with _heard(story):
        return run.run()


class Story:
    """Turns what happens in a run into lines."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._names = HubNames.of(HUB)
        self._tell = tell
        self.now: Callable[[], float] = lambda: 0.0
        """The virtual time in seconds."""
        self._messages: dict[str, str] = {}
        """What each message says, by id."""
        self._owners: dict[str, tuple[Any, ...]] = {}
        self._last: dict[str, str] = {}

    def say(self, text: str, who: str = "--") -> None:
        """Tell a line, unless it is what the same one said last: who waits looks again and again."""
        if self._last.get(who) == text:
            return
        self._last[who] = text
        self._tell(f"{self.now():10.3f}  {who:13} {text}")

    def wrap(self, name: str, storage: Storage) -> Storage:
        """Return a store that tells of the calls that a process makes."""

        async def around(call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
            try:
                result = await act()
            except StorageError as error:
                for line in self._of(call, None):
                    self.say(f"{line}: {type(error).__name__}, {_short(str(error))}", name)
                raise
            for line in self._of(call, result):
                self.say(line, name)
            return result

        return intercepted(storage, around)

    # ---- what calls mean

    def _of(self, call: Call, result: Any) -> Iterator[str]:
        known = getattr(self, f"_{call.service}_{call.method}", None)
        if known is not None:
            yield from known(call, result)

    def _queue_put(self, call: Call, result: Any) -> Iterator[str]:
        said = self._said(call.arguments[0])
        hidden = call.options.get("visible_after") or 0
        yield f"puts {said} on {self._queue(call)}{f', to be seen in {hidden} s' if hidden else ''}"
        if result is not None:
            self._messages[result.id] = said

    def _queue_get(self, call: Call, result: Any) -> Iterator[str]:
        if result is None:
            yield f"gets messages of {self._queue(call)}"
        for message in result or ():
            self._messages[message.id] = self._said(message.text)
            again = f" (for the {message.dequeue_count}. time)" if message.dequeue_count > 1 else ""
            yield f"gets {self._messages[message.id]} from {self._queue(call)}{again}"

    def _queue_update(self, call: Call, result: Any) -> Iterator[str]:
        seconds = call.options.get("visible_after")
        yield f"hides {self._messages.get(call.arguments[0], 'a message')} on {self._queue(call)} for {seconds} s"

    def _queue_delete(self, call: Call, result: Any) -> Iterator[str]:
        yield f"deletes {self._messages.get(call.arguments[0], 'a message')} on {self._queue(call)}"

    def _table_batch(self, call: Call, result: Any) -> Iterator[str]:
        operations: list[TableWrite] = list(call.arguments[0])
        if call.target == self._names.partitions_table:
            yield from self._leases(operations)
        elif call.target == self._names.history_table:
            key = unescape_instance_id(operations[0].row.partition_key)
            if any(each.kind is Write.DELETE for each in operations):
                yield f"deletes {len(operations)} rows of the history of {key}"
            else:
                yield f"commits to the history of {key}: {self._commit(operations)}"

    def _table_write(self, call: Call, result: Any) -> Iterator[str]:
        write: TableWrite = call.arguments[0]
        if call.target == self._names.partitions_table:
            yield from self._leases([write])
        elif call.target == self._names.instances_table:
            key = unescape_instance_id(write.row.partition_key)
            if write.kind is Write.DELETE:
                yield f"deletes the row of {key}"
            else:
                guard = "" if write.if_match is None else ", if nobody wrote it since"
                yield f"writes the row of {key}: {write.row.columns.get('RuntimeStatus')}{guard}"

    def _table_read(self, call: Call, result: Any) -> Iterator[str]:
        if call.target == self._names.instances_table:
            key = unescape_instance_id(call.arguments[0])
            yield f"reads the row of {key}: {'none' if result is None else _status(result)}"

    def _table_query(self, call: Call, result: Any) -> Iterator[str]:
        if call.target == self._names.history_table:
            whose = _key_of(call.arguments[0]) if call.arguments else None
            rows = "" if result is None else f": {len(result.rows)} rows"
            yield f"loads the history of {'all' if whose is None else unescape_instance_id(whose)}{rows}"

    def _blob_put_blob(self, call: Call, result: Any) -> Iterator[str]:
        yield f"puts blob {_short(str(call.arguments[0]))}"

    def _blob_delete_blob(self, call: Call, result: Any) -> Iterator[str]:
        yield f"deletes blob {_short(str(call.arguments[0]))}"

    def _leases(self, writes: list[TableWrite]) -> Iterator[str]:
        """Tell of leases that change hands; renewals are left out."""
        for write in writes:
            try:
                lease = decode_lease(write.row.row_key, write.row.columns, None)
            except MalformedMessage:
                continue
            owner = (lease.owner, lease.next_owner, lease.is_draining)
            if self._owners.get(lease.queue) != owner:
                self._owners[lease.queue] = owner
                wanted = f", wanted by {lease.next_owner}" if lease.next_owner else ""
                drains = ", being drained" if lease.is_draining else ""
                yield f"writes the lease of {self._short(lease.queue)}: owner {lease.owner}{wanted}{drains}"

    def _commit(self, operations: list[TableWrite]) -> str:
        *rows, sentinel = operations
        if sentinel.row.row_key != SENTINEL:
            return f"{len(operations)} rows without a sentinel"
        guard = decode_sentinel(sentinel.row.columns)
        told = ", ".join(self._event(each.row) for each in rows[:12])
        more = f" and {len(rows) - 12} more" if len(rows) > 12 else ""
        rest = "" if guard.is_complete else "; the rest is to come"
        unguarded = "" if sentinel.if_match is not None or sentinel.kind is Write.INSERT else "; without ETag"
        return f"{told}{more}{rest}{unguarded}"

    def _event(self, row: Row) -> str:
        if offloaded_columns(row.columns):
            return f"{row.columns['EventType']} (large)"
        return _told(decode_event(row.columns))

    def _said(self, text: str) -> str:
        try:
            envelope = decode_envelope(text)
        except MalformedMessage:
            return "an unreadable message"
        if isinstance(envelope, BlobPointer):
            return f"a message in blob {envelope.blob_name}"
        target = envelope.message.target
        execution = f" ({target.execution_id[:6]})" if target.execution_id else ""
        return f"{_told(envelope.message.event, target.instance_id)} for {target.instance_id}{execution}"

    def _queue(self, call: Call) -> str:
        return self._short(call.target)

    def _short(self, queue: str) -> str:
        return queue.split("-", 1)[-1]


def _told(event: Any, target: str | None = None) -> str:
    """Return an event in few words.

    Args:
        event: which one.
        target: the instance that it is for, of a message.
    """
    target = target or getattr(event, "instance_id", None)
    parts = [event.type_name]
    task_id = next((getattr(event, name) for name in ("task_scheduled_id", "timer_id") if hasattr(event, name)), None)
    if task_id is None and event.event_id >= 0:
        task_id = event.event_id
    if task_id is not None:
        parts.append(f"#{task_id}")
    if isinstance(event, (EventRaised, EventSent)) and target is not None and is_entity(target):
        told = _asked(event.name, event.input)
        return " ".join([*parts, told if isinstance(event, EventRaised) else f"{told} of {target}"])
    parts += [str(getattr(event, name)) for name in ("name", "status") if getattr(event, name, None) is not None]
    for name in ("input", "result", "reason"):
        value = getattr(event, name, None)
        if value is not None:
            parts.append(_short(str(value)))
    return " ".join(parts)


def _asked(name: str, content: str | None) -> str:
    """Return what an entity is asked for."""
    try:
        incoming = decode_incoming(name, content)
    except MalformedMessage:
        return f"{name} {_short(content or '')}"
    match incoming:
        case Request(lock_set=None):
            kind = "signal" if incoming.is_signal else "call"
            return f"{kind} {incoming.operation}({_short(incoming.input or '')}) {incoming.id[:6]} by {incoming.parent}"
        case Request():
            locked = ", ".join(str(each) for each in incoming.lock_set or ())
            return f"lock {incoming.id[:6]} of {locked} by {incoming.parent}, {incoming.position} locked"
        case Release():
            return f"release of lock {incoming.id[:6]} by {incoming.parent}"
        case Continue():
            return "go on"


def _key_of(where: Any) -> str | None:
    """Return the partition key that a filter asks for."""
    if isinstance(where, Where):
        return str(where.value) if where.column == "PartitionKey" and where.op is Comparison.EQ else None
    return next((key for key in map(_key_of, getattr(where, "parts", ())) if key is not None), None)


def _status(row: Row) -> str:
    state = decode_instance(row.partition_key, row.columns)
    return f"{state.status.name if state.status else None} ({(state.execution_id or '')[:6]})"


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


class _Told(Simulation):
    """A run that is listened to."""

    def __init__(self, seed: int, story: Story, **options: Any) -> None:
        self._story = story
        super().__init__(seed, **options)
        story.now = self._world.loop.time

    def _process(self, name: str, **options: Any) -> Process:
        process = super()._process(name, **options)
        process.storage = self._story.wrap(name, process.storage)
        return process

    def _say(self, text: str) -> None:
        super()._say(text)
        if not text.startswith("settings "):
            self._story.say(text)

    async def _main(self) -> None:
        plain = TaskHubSettings(hub_name=HUB)
        changed = [
            field.name for field in fields(plain) if getattr(plain, field.name) != getattr(self.settings, field.name)
        ]
        for name in changed:
            self._story.say(f"setting {name} = {getattr(self.settings, name)!r}")
        await super()._main()


class _ToldFates(Fates):
    """What befalls a run that is listened to."""

    def __init__(self, story: Story, fates: Fates) -> None:
        super().__init__()
        self._story = story
        self._fates = fates
        self.happened = fates.happened

    def at(self, where: str, number: int, draw: Callable[[], Iterable[Fate]]) -> Sequence[Fate]:
        fates = self._fates.at(where, number, draw)
        for fate in fates:
            seconds = f", {fate.seconds:.1f} s" if fate.seconds else ""
            self._story.say(f"* {fate.kind} at {fate.where} {fate.number}: {fate.who}{seconds}")
        return fates


@contextlib.contextmanager
def _heard(story: Story) -> Iterator[None]:
    """Tell what is logged, as words of whoever logs it."""
    handler = _Handler(story)
    loggers = [logging.getLogger(name) for name in ("taskhub", "azure.durable_functions")]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.DEBUG)
        logger.propagate = False
    try:
        yield
    finally:
        for logger, (level, propagates) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagates


class _Handler(logging.Handler):
    def __init__(self, story: Story) -> None:
        super().__init__()
        self._story = story

    def emit(self, record: logging.LogRecord) -> None:
        task = asyncio.current_task()
        # Processes name their tasks after themselves.
        who = task.get_name().partition(": ")[0] if task is not None else "--"
        self._story.say(f"({_short(record.getMessage())})", who)
