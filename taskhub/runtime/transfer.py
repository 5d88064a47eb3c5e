"""Dumps a hub as lines of JSON, and loads such lines into an empty hub on any store.

So a hub moves between the embedded store, an emulator and Azure, gets another name, or another number of partitions.
Nobody may work on it meanwhile: a dump is no picture of one moment.

What waits on the queues is a part of the hub. The embedded stores show it all. Azure shows visible messages only, and
only to those who take them: they are taken for some minutes, and put back at the end. Of hidden ones the tables tell
timers, delayed starts and the like, which are made again; others lie with a worker that was killed, and become visible
when their time is over.

Loading puts messages at the very end, when everything else is there and the dump has proved to be whole: nothing
begins to run on half a hub.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskhub.codec.dump_lines import (
    DEAD_LETTERS,
    LARGE_MESSAGES,
    DumpedBlob,
    DumpedMessage,
    DumpedRow,
    HubHead,
    decode_line,
    encode_line,
)
from taskhub.codec.history_rows import EXECUTION_ID_COLUMN, may_be_pending
from taskhub.codec.instance_rows import relocated_columns
from taskhub.codec.keys import unescape_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope, encode_pointer
from taskhub.codec.overflow import compress, utf16_units
from taskhub.core.partitioning import partition_of
from taskhub.core.pending import pending_messages, start_of_row
from taskhub.core.timers import visible_after
from taskhub.errors import BlobNotFound, ConfigurationError, MalformedMessage, MessageGone, PayloadError
from taskhub.model.history import ExecutionStarted, OrchestrationInstance, OrchestratorStarted
from taskhub.model.hub import DumpSummary, HubContents
from taskhub.model.ids import InstanceId, PartitionIndex, Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import CLIENT, TaskMessage
from taskhub.names import HubNames
from taskhub.runtime.hub_status import check_unused, control_queues_of
from taskhub.runtime.messenger import WORK_ITEMS
from taskhub.runtime.nursery import run_all
from taskhub.runtime.paging import rows_if_any
from taskhub.storage.port import MAX_BATCH_OPERATIONS, MAX_MESSAGES_PER_GET, Row, TableWrite, Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskhub.codec.dump_lines import DumpItem
    from taskhub.codec.overflow import Columns
    from taskhub.model.instance import InstanceState
    from taskhub.runtime.services import Services
    from taskhub.storage.port import QueueMessage

TAKEN_SECONDS = 600
"""How long messages that have to be taken to be read stay hidden, should they not be put back."""

MAX_PARALLEL = 16
MAX_BATCH_BYTES = 3 * 1024 * 1024
_ROW_OVERHEAD_BYTES = 1024


class Dump:
    """One dump of one hub.

    Args:
        services: of the hub.
        write: takes each line, without its end.
    """

    def __init__(self, services: Services, write: Callable[[str], object]) -> None:
        self._services = services
        self._write = write
        self._now = Utc.of(services.environment.clock.now())
        self._contents = HubContents()
        self._unread = 0
        self._sleepers: dict[str, None] = {}
        """Partition keys of histories with something scheduled for later."""
        self._unstarted: list[InstanceId] = []
        """Instances whose start is still to come."""
        self._inferred: list[DumpedMessage] | None = None

    async def run(self, *, force: bool) -> DumpSummary:
        """Write the dump.

        Args:
            force: also while workers hold partitions. What they do meanwhile may be there in part.

        Raises:
            ConfigurationError: there is no such hub.
            HubInUse: workers hold partitions.
        """
        services = self._services
        queues = await control_queues_of(services)
        if not queues:
            raise ConfigurationError(f"there is no task hub '{services.names.hub}' in {services.storage.description}")
        if not force:
            await check_unused(services)
        self._put(HubHead(services.names.hub, len(queues), self._now, services.storage.description))
        await self._blobs(LARGE_MESSAGES, services.names.large_messages_container)
        await self._blobs(DEAD_LETTERS, services.names.dead_letters_container)
        await self._rows("History", services.names.history_table)
        await self._rows("Instances", services.names.instances_table)
        for queue in (services.names.work_item_queue, *queues):
            await self._messages(queue)
        self._put(self._contents)
        return DumpSummary(self._contents, self._unread)

    def _put(self, item: DumpItem) -> None:
        match item:
            case DumpedBlob():
                self._contents = replace(self._contents, blobs=self._contents.blobs + 1)
            case DumpedRow():
                self._contents = replace(self._contents, rows=self._contents.rows + 1)
            case DumpedMessage():
                self._contents = replace(self._contents, messages=self._contents.messages + 1)
            case _:
                pass
        self._write(encode_line(item))

    async def _blobs(self, kind: str, container: str) -> None:
        blobs = self._services.storage.blobs
        names = [item.name for item in await blobs.list_blobs(container, "")]
        for start in range(0, len(names), MAX_PARALLEL):
            some = names[start : start + MAX_PARALLEL]
            contents = await run_all(
                self._services.environment.spawn,
                [lambda name=name: blobs.get_blob(container, name) for name in some],  # type: ignore[misc]  # binds
                limit=MAX_PARALLEL,
                name="get blob",
            )
            for name, data in zip(some, contents, strict=True):
                self._put(DumpedBlob(name, data, kind))

    async def _rows(self, kind: str, table: str) -> None:
        async for row in rows_if_any(self._services.storage.tables, table):
            if kind == "History":
                if may_be_pending(row.columns, after=self._now):
                    self._sleepers[row.partition_key] = None
            elif row.columns.get("RuntimeStatus") == RuntimeStatus.Pending.name:
                self._unstarted.append(unescape_instance_id(row.partition_key))
            self._put(DumpedRow(kind, row.partition_key, row.row_key, dict(row.columns)))

    # ---- messages

    async def _messages(self, queue: str) -> None:
        stored = await self._services.storage.queues.snapshot(queue)
        if stored is None:
            await self._take_messages(queue)
            return
        for message in stored:
            visible = Utc.of(message.next_visible)
            self._put(
                DumpedMessage(
                    self._kind(queue),
                    message.text,
                    visible=visible if visible.padded() > self._now.padded() else None,
                    dequeue_count=message.dequeue_count,
                )
            )

    async def _take_messages(self, queue: str) -> None:
        """Read a queue whose hidden messages cannot be seen: take what is visible, infer what is not."""
        queues = self._services.storage.queues
        about = await queues.count(queue)
        taken: list[QueueMessage] = []
        try:
            while True:
                messages = await queues.get(queue, limit=MAX_MESSAGES_PER_GET, invisible_for=TAKEN_SECONDS)
                if not messages:
                    break
                taken += messages
            for message in taken:
                self._put(DumpedMessage(self._kind(queue), message.text, dequeue_count=message.dequeue_count - 1))
        finally:
            await run_all(
                self._services.environment.spawn,
                [lambda message=message: self._give_back(queue, message) for message in taken],  # type: ignore[misc]  # binds
                limit=MAX_PARALLEL,
                name="give back",
            )
        if self._inferred is None:
            self._inferred = await self._infer()
        inferred = [each for each in self._inferred if each.queue == self._kind(queue)]
        for message_line in inferred:
            self._put(message_line)
        self._unread += max(about - len(taken) - len(inferred), 0)

    async def _give_back(self, queue: str, message: QueueMessage) -> None:
        try:
            await self._services.storage.queues.update(queue, message.id, message.receipt, visible_after=0)
        except MessageGone:
            return  # the dump took longer than the message was hidden, and somebody else has it

    async def _infer(self) -> list[DumpedMessage]:
        """Return the messages that must lie hidden in the queues, as the tables tell."""
        inferred: list[DumpedMessage] = []
        for partition_key in self._sleepers:
            instance_id = unescape_instance_id(partition_key)
            stored = await self._services.history.load(instance_id)
            sender = OrchestrationInstance(instance_id, stored.execution_id)
            episode = sum(isinstance(event, OrchestratorStarted) for event in stored.events)
            inferred += [
                self._pack(message, due, sender, episode)
                for message, due in pending_messages(stored.events, after=self._now)
            ]
        for instance_id in self._unstarted:
            state = await self._services.instances.read(instance_id, with_input=True)
            started = None if state is None else _delayed_start(state, after=self._now)
            if started is not None and started.scheduled_start is not None:
                message = TaskMessage(started, target=started.instance)
                inferred.append(self._pack(message, started.scheduled_start, CLIENT, None))
        return inferred

    def _pack(
        self, message: TaskMessage, due: Utc, sender: OrchestrationInstance, episode: int | None
    ) -> DumpedMessage:
        packed = self._services.messenger.pack(message, sender=sender, episode=episode)
        text = packed.text
        if packed.blob_name is not None:
            self._put(DumpedBlob(packed.blob_name, compress(text)))
            text = encode_pointer(packed.blob_name)
        return DumpedMessage(self._kind(packed.queue), text, visible=due, is_inferred=True)

    def _kind(self, queue: str) -> str:
        return queue[len(self._services.names.hub) + 1 :]


def _delayed_start(state: InstanceState, *, after: Utc) -> ExecutionStarted | None:
    """Return the start message of an instance that is to begin later, as its row tells."""
    if state.scheduled_start is None or state.scheduled_start.padded() <= after.padded():
        return None
    return start_of_row(state) if state.status is RuntimeStatus.Pending else None


class Load:
    """Loads one dump into one hub.

    Args:
        services: of the hub, which must be empty or not exist.
    """

    def __init__(self, services: Services) -> None:
        self._services = services
        self._source: HubNames | None = None
        self._source_partitions = 0
        self._containers: set[str] = set()
        self._rows: list[DumpedRow] = []
        self._row_bytes = 0
        self._messages: list[DumpedMessage] = []
        self._loaded = HubContents()

    async def run(self, lines: Iterable[str]) -> HubContents:
        """Load a dump; return how much it held.

        Args:
            lines: of the dump; empty ones do not count.

        Raises:
            ConfigurationError: the hub is not empty.
            PayloadError: a line is none of a dump's, or lines are missing. Then rows and blobs may be there, but no
                message, so that nothing runs; delete the hub before the next attempt.
        """
        end: HubContents | None = None
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                item = decode_line(line)
            except MalformedMessage as error:
                raise PayloadError(f"line {number} of the dump is {error}") from error
            if end is not None or isinstance(item, HubHead) is not (self._source is None):
                raise PayloadError(f"line {number} of the dump stands in the wrong place: {line[:80]}")
            if isinstance(item, HubContents):
                end = item
            else:
                await self._take(item)
        await self._write_rows()
        if end is None or end != self._loaded:
            raise PayloadError(f"the dump is not whole: {end or 'its end'} is missing after {self._loaded}")
        await run_all(
            self._services.environment.spawn,
            [lambda message=message: self._put(message) for message in self._messages],  # type: ignore[misc]  # binds
            limit=MAX_PARALLEL,
            name="put message",
        )
        return end

    async def _take(self, item: DumpItem) -> None:
        match item:
            case HubHead():
                await self._begin(item)
            case DumpedBlob():
                self._loaded = replace(self._loaded, blobs=self._loaded.blobs + 1)
                await self._put_blob(item)
            case DumpedRow():
                self._loaded = replace(self._loaded, rows=self._loaded.rows + 1)
                await self._add_row(item)
            case DumpedMessage():
                self._loaded = replace(self._loaded, messages=self._loaded.messages + 1)
                self._messages.append(item)
            case HubContents():
                raise ValueError("the end is no item to load")

    async def _put_blob(self, blob: DumpedBlob) -> None:
        blobs, names = self._services.storage.blobs, self._services.names
        container = {
            LARGE_MESSAGES: names.large_messages_container,
            DEAD_LETTERS: names.dead_letters_container,
        }.get(blob.container)
        if container is None:
            raise PayloadError(f"the dump has blobs of the unknown container {blob.container!r}")
        if container not in self._containers:
            await blobs.create_container(container)
            self._containers.add(container)
        await blobs.put_blob(container, blob.name, blob.data)

    async def _begin(self, head: HubHead) -> None:
        services = self._services
        self._source = HubNames.of(head.hub)
        self._source_partitions = head.partitions
        await services.hub.create()
        for table in (services.names.history_table, services.names.instances_table):
            if (await services.storage.tables.query(table, select=(EXECUTION_ID_COLUMN,), top=1)).rows:
                raise self._not_empty(f"table {table} has rows")
        for queue in (services.names.work_item_queue, *services.hub.control_queues):
            if await services.storage.queues.count(queue):
                raise self._not_empty(f"queue {queue} has messages")

    def _not_empty(self, what: str) -> ConfigurationError:
        services = self._services
        return ConfigurationError(
            f"task hub '{services.names.hub}' in {services.storage.description} is not empty: {what}. Delete it first, "
            "or load into a hub of another name."
        )

    # ---- rows, in transactions

    async def _add_row(self, row: DumpedRow) -> None:
        size = _ROW_OVERHEAD_BYTES + sum(2 * utf16_units(str(value)) for value in row.columns.values())
        fits = (
            len(self._rows) < MAX_BATCH_OPERATIONS
            and self._row_bytes + size <= MAX_BATCH_BYTES
            and all((each.table, each.partition_key) == (row.table, row.partition_key) for each in self._rows[-1:])
        )
        if not fits:
            await self._write_rows()
        self._rows.append(row)
        self._row_bytes += size

    async def _write_rows(self) -> None:
        if not self._rows:
            return
        names = self._services.names
        tables = {"History": names.history_table, "Instances": names.instances_table}
        table = tables.get(self._rows[0].table)
        if table is None:
            raise PayloadError(f"the dump has rows of the unknown table {self._rows[0].table!r}")
        writes = [
            TableWrite(Write.INSERT_OR_REPLACE, Row(row.partition_key, row.row_key, self._columns(row)))
            for row in self._rows
        ]
        self._rows, self._row_bytes = [], 0
        await self._services.storage.tables.batch(table, writes)

    def _columns(self, row: DumpedRow) -> Columns:
        if row.table != "Instances" or self._source is None:
            return row.columns
        return relocated_columns(
            row.columns,
            container=self._source.large_messages_container,
            hub=self._services.names.hub,
            url_of=self._services.large.url_of,
        )

    # ---- messages

    async def _put(self, message: DumpedMessage) -> None:
        hidden = visible_after(message.visible, Utc.of(self._services.environment.clock.now()))
        queue = await self._queue_for(message)
        await self._services.storage.queues.put(queue, message.text, visible_after=hidden)

    async def _queue_for(self, message: DumpedMessage) -> str:
        names, count = self._services.names, self._services.settings.partition_count
        kind, _, number = message.queue.partition("-")
        if message.queue == WORK_ITEMS:
            return names.work_item_queue
        if kind != "control" or not number.isdigit():
            raise PayloadError(f"the dump has messages of the unknown queue {message.queue!r}")
        if count == self._source_partitions:
            return names.control_queue(PartitionIndex(int(number)))
        target = await self._target_of(message.text)
        index = PartitionIndex(int(number) % count) if target is None else partition_of(target, count)
        return names.control_queue(index)

    async def _target_of(self, text: str) -> InstanceId | None:
        """Return the instance that a message is for; ``None`` when it cannot be read, as its reader will report."""
        try:
            content = decode_envelope(text)
            if isinstance(content, BlobPointer):
                # Its folder is the id, mostly; what it holds is the truth.
                content = decode_envelope(await self._services.large.get(content.blob_name))
        except (MalformedMessage, BlobNotFound):
            return None
        return None if isinstance(content, BlobPointer) else content.message.target.instance_id
