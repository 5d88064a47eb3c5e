"""What people and hosts do with instances and entities.

Instances are started, looked at, sent events, terminated, suspended, resumed and purged; entities are signalled, read,
listed and cleaned up.

A client needs no worker: it puts messages on the queues of the hub and reads its tables. Several clients may use one
hub at the same time, beside any number of workers.
"""

from __future__ import annotations

from base64 import b64encode
from dataclasses import replace
from typing import TYPE_CHECKING

from taskhub.codec.entity_texts import encode_request, event_name
from taskhub.codec.keys import refusal_of_instance_id
from taskhub.codec.messages import raw_event
from taskhub.codec.overflow import decompress
from taskhub.core.entity_batch import hidden_until
from taskhub.core.tracing import context_of, creation_span, event_span, new_trace, request_extra, signal_span
from taskhub.errors import (
    BlobNotFound,
    InstanceExists,
    InstanceNotFound,
    InvalidInstanceState,
    MalformedMessage,
    PayloadError,
    QueueNotFound,
    StaleCheckpoint,
    TableNotFound,
    TransientStorageError,
)
from taskhub.model.entities import CleanedEntities, EntityId, EntityPage, Request, is_entity
from taskhub.model.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    OrchestrationInstance,
)
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.instance import InstancePage, InstanceState, Purged, RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.runtime.app_lease import ask_for_lease
from taskhub.runtime.entity_directory import EntityDirectory
from taskhub.runtime.environment import Environment
from taskhub.runtime.hub_status import delete_hub, hub_status
from taskhub.runtime.local_messages import Kept
from taskhub.runtime.purging import Purging
from taskhub.runtime.rewinding import Rewinding
from taskhub.runtime.services import Services

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from taskhub.model.dead_letters import DeadLetter
    from taskhub.model.diagnosis import Examination, Finding
    from taskhub.model.entities import EntityState
    from taskhub.model.history import HistoryEvent, TraceContext
    from taskhub.model.hub import DumpSummary, HubContents, HubStatus
    from taskhub.model.ids import ETag
    from taskhub.model.instance import InstanceFilter
    from taskhub.runtime.local_messages import LocalMessages
    from taskhub.runtime.messenger import PackedMessage
    from taskhub.settings import TaskHubSettings
    from taskhub.storage.port import Storage

SOURCE_TAG = "MS_DurableFunctions_SourceInstanceId"
"""Tag of an instance that was restarted under an id of the caller's choice: the id of the one before."""


class TaskHubClient:
    """Operations on the instances of one task hub.

    Every method but :meth:`wait` makes the few storage calls that its description names and returns; what a worker
    makes of a message is seen later, with :meth:`get`. All of them may raise
    :class:`~taskhub.errors.TransientStorageError`; then the operation may or may not have taken place, and may be asked
    for again. Looking at an instance, starting and sending try four times before that, over some seconds. Starting and
    sending create the hub where there is none yet. Reading does not: a hub that nobody created reads as an empty one.

    Args:
        storage: where the hub lies.
        settings: of the hub; the partition count must be the one that the hub was created with.
        environment: clock, ids and randomness; the system's by default.
        wake: called with the name of a queue and the seconds after which a message that was put in it is visible, to
            wake its reader wherever that is.
    """

    def __init__(
        self,
        storage: Storage,
        settings: TaskHubSettings,
        *,
        environment: Environment | None = None,
        wake: Callable[[str, float], object] | None = None,
    ) -> None:
        self._services = Services.of(
            storage, settings, environment or Environment(), wake=wake or (lambda queue, after_seconds: None)
        )
        self._local: LocalMessages | None = None

    @classmethod
    def sharing(cls, services: Services, local: LocalMessages) -> TaskHubClient:
        """Return a client over the parts of a worker in the same process; for hosts.

        Args:
            services: what the worker is made of.
            local: hands over what is for instances of the worker's partitions.
        """
        client = cls.__new__(cls)
        client._services = services
        client._local = local
        return client

    def __repr__(self) -> str:
        return f"<TaskHubClient of {self._services.names.hub} on {self._services.storage.description}>"

    async def create_hub(self) -> None:
        """Create the hub's queues, tables and containers unless they exist; remembered for the process."""
        await self._services.hub.create()

    async def hub_status(self, *, count_instances: bool = True) -> HubStatus:
        """Look at the hub: its partitions and their owners, lengths of queues, instances by status.

        Args:
            count_instances: whether to read through all instances, a call for every 1,000 of them.

        Returns:
            What there is; ``exists`` is false where nobody has created the hub.
        """
        return await hub_status(self._services, count_instances=count_instances)

    async def delete_hub(self, *, force: bool = False) -> bool:
        """Delete the hub with everything in it; return whether there was anything.

        Args:
            force: delete it also while workers work on it; they make it again, empty.

        Raises:
            HubInUse: workers hold partitions.
        """
        return await delete_hub(self._services, force=force)

    async def dump_hub(self, write: Callable[[str], object], *, force: bool = False) -> DumpSummary:
        """Write the whole hub as lines of JSON, which :meth:`load_hub` reads; nobody may work on it meanwhile.

        Args:
            write: takes each line, without its end.
            force: also while workers hold partitions; what they do meanwhile may be there in part.

        Returns:
            How much was written.

        Raises:
            ConfigurationError: there is no such hub.
            HubInUse: workers hold partitions.
        """
        from taskhub.runtime.transfer import Dump  # no host needs it to start

        return await Dump(self._services, write).run(force=force)

    async def load_hub(self, lines: Iterable[str]) -> HubContents:
        """Fill this hub, which must be empty or not exist, with what :meth:`dump_hub` wrote; return how much it was.

        The dump may come from another store, from a hub of another name and with another number of partitions.

        Args:
            lines: the lines in their order, with or without their ends.

        Raises:
            ConfigurationError: the hub is not empty.
            PayloadError: a line is none of a dump's, or lines are missing; nothing runs then.
        """
        from taskhub.runtime.transfer import Load  # no host needs it to start

        return await Load(self._services).run(lines)

    async def start(
        self,
        name: str,
        *,
        instance_id: InstanceId | None = None,
        input: str | None = None,
        version: str | None = None,
        scheduled_start: Utc | None = None,
        tags: Mapping[str, str] | None = None,
        execution_id: ExecutionId | None = None,
        trace: TraceContext | None = None,
    ) -> InstanceId:
        """Start an orchestration: one read, one message, one row.

        Args:
            name: of the orchestrator.
            instance_id: its address; by default a new one, 32 hexadecimal digits.
            input: JSON text.
            version: of the orchestration; by default the hub's default version.
            scheduled_start: when it should begin; at once by default.
            tags: kept with the instance and handed to its children.
            execution_id: of this start; by default a new one.
            trace: W3C trace context of whoever asks; without one the instance begins a trace. Nothing of it is kept
                where the environment takes no spans.

        Returns:
            The instance id.

        Raises:
            InstanceExists: the id belongs to an instance that has not ended, and the hub's settings do not allow to
                replace it.
            PayloadError: the id or a value cannot be stored.
        """
        services = self._services
        may_exist = bool(instance_id)
        instance_id = instance_id or InstanceId(services.environment.new_guid().hex)
        _check_instance_id(instance_id)
        if is_entity(instance_id):
            raise PayloadError(f"'{instance_id}' begins with @, as only ids of entities do; start it under another id")
        instance = OrchestrationInstance(instance_id, execution_id or ExecutionId(services.environment.new_guid().hex))
        started = ExecutionStarted(
            timestamp=self._now(),
            instance=instance,
            name=name,
            version=services.settings.default_version if version is None else version,
            input=input,
            tags=dict(tags) if tags else None,
            scheduled_start=scheduled_start,
        )
        tell = services.environment.tell_spans
        span = None if tell is None else creation_span(started, context_of(trace), now=started.timestamp)
        if span is not None:
            started = replace(started, parent_trace=span.context.carried())
        await self._in_hub(lambda: self._start(started, may_exist=may_exist))
        if tell is not None and span is not None:
            tell([replace(span, end=self._now())])
        return instance_id

    async def restart(
        self,
        state: InstanceState,
        *,
        with_new_id: bool = True,
        new_id: InstanceId | None = None,
        version: str | None = None,
    ) -> InstanceId:
        """Start an orchestration anew with the name, input and tags of an instance, whatever became of that.

        Args:
            state: the instance, as read with its input.
            with_new_id: whether to leave the instance as it is; else the new one takes its place, if it has ended.
            new_id: the new instance's address, by default a generated one; with it, the new instance has a tag that
                names the old one.
            version: of the orchestration; by default the hub's default version, not the instance's.

        Returns:
            The new instance's id.

        Raises:
            InstanceExists: the id belongs to an instance that has not ended.
            InvalidInstanceState: the row does not say which orchestration it was.
            PayloadError: ``new_id`` cannot be stored.
        """
        if state.name is None:
            raise InvalidInstanceState(f"instance '{state.instance_id}' has no orchestrator name")
        tags = dict(state.tags or {})
        if new_id is not None:
            tags[SOURCE_TAG] = state.instance_id
        return await self.start(
            state.name,
            instance_id=new_id if with_new_id else state.instance_id,
            input=state.input,
            version=version,
            tags=tags or None,
        )

    async def get(
        self, instance_id: InstanceId, *, with_input: bool = True, with_output: bool = True
    ) -> InstanceState | None:
        """Return the state of an instance, ``None`` when there is none: one read, and one for each large value.

        Args:
            instance_id: which one.
            with_input: whether to fetch an input that lies in a blob; else its place holds the blob's URL. None is
                fetched with ``fetch_large_values`` off.
            with_output: the same of the output.
        """
        if not _is_possible(instance_id):
            return None
        try:
            return await self._services.health.retry_briefly(
                lambda: self._services.instances.read(
                    instance_id,
                    with_input=with_input,
                    with_output=with_output,
                    fetch_large=self._services.settings.fetch_large_values,
                )
            )
        except TableNotFound:
            return None

    async def query(
        self,
        wanted: InstanceFilter,
        *,
        top: int = 100,
        token: str | None = None,
        with_input: bool = True,
    ) -> InstancePage:
        """Return one page of the instances that a filter takes, in order of their ids.

        Args:
            wanted: the filter; an empty one takes all.
            top: most instances of the page.
            token: of the page before; a page may be empty and still have one.
            with_input: whether inputs are wanted.
        """
        try:
            return await self._services.health.retry_briefly(
                lambda: self._services.instances.query(
                    wanted,
                    top=top,
                    token=token,
                    with_input=with_input,
                    fetch_large=self._services.settings.fetch_large_values,
                )
            )
        except TableNotFound:
            return InstancePage((), None)

    async def history(self, instance_id: InstanceId) -> Sequence[HistoryEvent]:
        """Return the events of the instance's current execution, large values included; none before its start."""
        if not _is_possible(instance_id):
            return ()
        try:
            stored = await self._services.health.retry_briefly(lambda: self._services.history.load(instance_id))
        except TableNotFound:
            return ()
        return stored.events

    async def raw_history(self, instance_id: InstanceId) -> list[dict[str, object]]:
        """Return the events of the instance's current execution with all names that the reference has."""
        return [{**raw_event(event), "EventType": event.type_name} for event in await self.history(instance_id)]

    async def raise_event(self, instance_id: InstanceId, name: str, data: str | None) -> None:
        """Send an event to an instance: one message. Unknown and ended instances drop it.

        Args:
            instance_id: to whom.
            name: of the event.
            data: JSON text.
        """
        event = EventRaised(timestamp=self._now(), name=name, input=data)
        await self._send(instance_id, event)
        tell = self._services.environment.tell_spans
        if tell is not None:
            context = new_trace("raise", self._services.environment.new_guid())
            tell([event_span(name, instance_id, context, start=event.timestamp, end=self._now())])

    async def terminate(self, instance_id: InstanceId, reason: str | None) -> None:
        """Ask for the end of an instance: one message. What it waits for goes on, its answers are dropped.

        Args:
            instance_id: which one; an unknown or ended one drops the message.
            reason: becomes the instance's output.
        """
        await self._send(instance_id, ExecutionTerminated(timestamp=self._now(), input=reason))

    async def suspend(self, instance_id: InstanceId, reason: str | None) -> None:
        """Pause an instance: one message. What arrives meanwhile is kept.

        Args:
            instance_id: which one; an unknown or ended one drops the message.
            reason: kept in its history.
        """
        await self._send(instance_id, ExecutionSuspended(timestamp=self._now(), reason=reason))

    async def resume(self, instance_id: InstanceId, reason: str | None) -> None:
        """Let a paused instance go on: one message.

        Args:
            instance_id: which one; one that is not paused stays as it is.
            reason: kept in its history.
        """
        await self._send(instance_id, ExecutionResumed(timestamp=self._now(), reason=reason))

    async def rewind(self, instance_id: InstanceId, reason: str | None) -> None:
        """Let a failed instance do again what failed in it, in its sub-orchestrations too.

        What completed keeps its result. Instances that failed only because a child did are not run before the child
        answers. After one that broke off, those that were not woken up still show as failed and can be rewound.

        Args:
            instance_id: which one.
            reason: kept in the history of the instances where work is done again.

        Raises:
            InstanceNotFound: there is no such instance.
            InvalidInstanceState: it has not failed, or somebody else is changing it at this moment.
        """
        if not _is_possible(instance_id):
            raise InstanceNotFound(f"there is no instance '{instance_id[:100]}'")
        try:
            await Rewinding(self._services, reason).run(instance_id)
        except TableNotFound as error:
            raise InstanceNotFound(f"there is no instance '{instance_id}'") from error
        except StaleCheckpoint as error:
            raise InvalidInstanceState(str(error)) from error
        except BlobNotFound as error:
            # It has failed no more, and its next generation has taken the place of what we read.
            raise InvalidInstanceState(f"instance '{instance_id}' goes on while it is rewound: {error}") from error

    async def purge(self, instance_id: InstanceId) -> int:
        """Delete all that is stored of an instance, whatever its state; return 1, or 0 when there was none.

        Raises:
            InvalidInstanceState: a worker goes on writing it; terminate it first.
        """
        if not _is_possible(instance_id):
            return 0
        try:
            return await Purging(self._services).one(instance_id)
        except TableNotFound:
            return 0
        except StaleCheckpoint as error:
            raise InvalidInstanceState(str(error)) from error

    async def purge_ended(self, wanted: InstanceFilter, *, progress: Callable[[int], None] | None = None) -> Purged:
        """Delete all that is stored of the ended instances that a filter takes; return how much that was.

        Args:
            wanted: the filter. Without statuses it means all ended instances; statuses of live ones match nothing.
            progress: told how many more instances are gone, now and then.
        """
        try:
            return await Purging(self._services).ended(wanted, progress)
        except TableNotFound:
            return Purged(0, 0)

    async def make_primary(self) -> None:
        """Let this app's workers have the hub's app lease instead of another app's: one read, one blob.

        They take over within the renewal interval of the lease, and at once where they run in this process.

        Raises:
            ConfigurationError: the hub does without the app lease.
        """
        await ask_for_lease(self._services)

    # ---- entities

    async def signal_entity(
        self,
        entity: EntityId,
        operation: str,
        input: str | None = None,
        *,
        due: Utc | None = None,
        request_id: str | None = None,
        trace: TraceContext | None = None,
    ) -> None:
        """Ask an entity for an operation, without an answer: one message. The entity need not exist.

        Args:
            entity: which one.
            operation: name of the operation.
            input: JSON text.
            due: when the operation should run; now by default.
            request_id: of this signal, which the entity takes once; by default a new one.
            trace: W3C trace context of whoever asks, as for :meth:`start`.
        """
        now = self._now()
        hidden = None if due is None else hidden_until(due, now)
        request = Request(
            id=request_id or str(self._services.environment.new_guid()),
            operation=operation,
            is_signal=True,
            input=input,
            due=due,
        )
        tell, parent = self._services.environment.tell_spans, context_of(trace)
        span = new_trace("signal", request.id) if parent is None else parent.child("signal", request.id)
        if tell is not None:
            request = replace(request, extra=request_extra(span))
        content = encode_request(request, typed=False)
        event = EventRaised(timestamp=now, name=event_name(hidden), input=content)
        await self._send(entity.instance_id, event, due=hidden)
        if tell is not None:
            tell([signal_span(entity, operation, span, parent, now)])

    async def read_entity(self, entity: EntityId) -> EntityState | None:
        """Return an entity with its state, ``None`` when it does not exist: one read, and one for a large state.

        Args:
            entity: its name and key.
        """
        if not _is_possible(entity.instance_id):
            return None
        try:
            return await self._services.health.retry_briefly(lambda: EntityDirectory(self._services).read(entity))
        except TableNotFound:
            return None

    async def list_entities(
        self,
        name: str | None = None,
        *,
        id_prefix: str | None = None,
        operated_from: Utc | None = None,
        operated_to: Utc | None = None,
        top: int = 100,
        token: str | None = None,
        with_state: bool = False,
        with_deleted: bool = False,
    ) -> EntityPage:
        """Return one page of the entities that exist, in order of their ids.

        Args:
            name: of the entities, ignoring case; those of all names by default.
            id_prefix: how the ids of the entities begin (``@counter@a``), in place of a name.
            operated_from: of these whose last batch began then or later.
            operated_to: of these whose last batch began then or earlier.
            top: most entities of the page; deleted ones that are still stored count.
            token: of the page before; a page may be empty and still have one.
            with_state: whether states are wanted.
            with_deleted: whether to list those too that were deleted and are still stored.
        """
        prefix = "@" if name is None else EntityId.of(name, "").instance_id
        try:
            return await EntityDirectory(self._services).list(
                id_prefix or prefix,
                operated_from=operated_from,
                operated_to=operated_to,
                top=top,
                token=token,
                with_state=with_state,
                with_deleted=with_deleted,
            )
        except TableNotFound:
            return EntityPage((), None)

    async def clean_entities(
        self, *, remove_empty: bool = True, release_orphaned_locks: bool = True, token: str | None = None
    ) -> CleanedEntities:
        """Remove what entities leave behind; goes on for a few seconds, then returns where to go on.

        Args:
            remove_empty: purge entities that were deleted, have no messages waiting, are not locked, and have not been
                touched for longer than messages are put in order.
            release_orphaned_locks: open entities that were locked by an orchestration which has ended.
            token: of the clean-up before.
        """
        try:
            return await EntityDirectory(self._services).clean(
                remove_empty=remove_empty, release_orphaned_locks=release_orphaned_locks, token=token
            )
        except TableNotFound:
            return CleanedEntities(0, 0, None)

    # ---- health

    async def examine(self, *, progress: Callable[[int], None] | None = None) -> Examination:
        """Look over the whole hub for what is stuck, lost, orphaned or disagreeing: reads all of it, mostly twice.

        It changes nothing, but that on Azure, while no worker is at work, it takes visible messages for a moment.

        Args:
            progress: told how many more rows and messages were read, now and then.

        Returns:
            What was found, and what can be done about it with :meth:`repair`.
        """
        from taskhub.runtime.doctor import Doctor  # no host needs it to start

        return await Doctor(self._services).examine(progress)

    async def repair(self, finding: Finding) -> str | None:
        """Do what can be done about something that :meth:`examine` found, if it is still as it was then.

        Args:
            finding: one with a remedy.

        Returns:
            Why nothing was done; ``None`` when it is done.

        Raises:
            ValueError: it has no remedy.
        """
        from taskhub.runtime.doctor import Doctor  # no host needs it to start

        return await Doctor(self._services).repair(finding)

    # ---- dead letters

    async def dead_letters(self) -> Sequence[DeadLetter]:
        """Return the messages that were parked because nobody could work on them, the oldest first.

        One call, and one for each of them. ``storageProvider.maxDequeueCount`` says when a message is parked.
        """
        return await self._services.dead_letters.list()

    async def dead_letter(self, letter_id: str) -> DeadLetter:
        """Return a parked message.

        Args:
            letter_id: of the message.

        Raises:
            DeadLetterNotFound: none of this id is parked.
        """
        return await self._services.dead_letters.find(letter_id)

    async def dead_letter_content(self, letter: DeadLetter) -> str | None:
        """Return what was in the blob of a parked message that was too large for its queue.

        Args:
            letter: of :meth:`dead_letter`.

        Returns:
            The text, or base64 of a blob that is no compressed text; ``None`` when there is no such blob.
        """
        content = await self._services.dead_letters.content(letter)
        if content is None:
            return None
        try:
            return decompress(content)
        except MalformedMessage:
            return b64encode(content).decode()

    async def retry_dead_letter(self, letter_id: str) -> DeadLetter:
        """Put a parked message back into its queue, as if it had never been read; return the letter, which is gone.

        An orchestration that was told of a failure in its stead has gone on: it drops the answer that comes now.

        Args:
            letter_id: of the message.

        Raises:
            DeadLetterNotFound: none of this id is parked.
        """
        letters = self._services.dead_letters
        letter = await letters.find(letter_id)
        content = await letters.content(letter)
        if letter.blob_name is not None and content is not None:
            await self._services.large.restore(letter.blob_name, content)
        await self._in_hub(lambda: self._services.messenger.put_again(letter))
        await letters.drop(letter)
        return letter

    async def drop_dead_letter(self, letter_id: str) -> DeadLetter:
        """Delete a parked message for good; return the letter.

        Args:
            letter_id: of the message.

        Raises:
            DeadLetterNotFound: none of this id is parked.
        """
        letter = await self._services.dead_letters.find(letter_id)
        await self._services.dead_letters.drop(letter)
        return letter

    # ---- waiting

    async def wait(
        self, instance_id: InstanceId, *, timeout_seconds: float, poll_seconds: float = 1.0
    ) -> InstanceState | None:
        """Return the state of an instance once it has ended, or as it is when the time is over.

        Args:
            instance_id: which one.
            timeout_seconds: how long to wait.
            poll_seconds: how long to wait between two looks.

        Returns:
            The state; ``None`` when there is no such instance at the end.
        """
        clock = self._services.environment.clock
        deadline = clock.monotonic() + timeout_seconds
        while True:
            state = None
            try:
                state = await self.get(instance_id)
            except TransientStorageError:
                # It is there or not as before: who waits until the end need not hear of trouble that passes.
                if clock.monotonic() >= deadline:
                    raise
            left = deadline - clock.monotonic()
            if left <= 0 or (state is not None and state.status is not None and state.status.is_terminal):
                return state
            await clock.sleep(min(poll_seconds, left))

    async def _start(self, started: ExecutionStarted, *, may_exist: bool) -> None:
        services, instance_id = self._services, started.instance.instance_id
        # Each step by itself: when the answer to the last one is lost, the first one would find our own row.
        retry = services.health.retry_briefly
        existing = await retry(lambda: services.instances.read(instance_id)) if may_exist else None
        status = existing.status if existing else None
        if status is not None and not status.is_terminal and not services.settings.overridable_running_instances:
            raise InstanceExists(instance_id, status)
        started = replace(started, generation=0 if existing is None else (existing.generation or 0) + 1)
        message = TaskMessage(started, target=started.instance)
        # Message and row are made before either is stored: a message without a row would be read for nothing.
        packed = services.messenger.pack(message)
        input_url = None if packed.blob_name is None else services.large.url_of(packed.blob_name)
        row = services.instances.encode(started, input_url=input_url)
        # The message first: a row without one would be Pending for ever. Its reader waits for the row, so it is not
        # woken before the row is there.
        kept = self._keep(packed) if started.scheduled_start is None else Kept()
        hide_seconds = kept.hide_seconds(packed)
        receipt = await retry(
            lambda: services.messenger.put(packed, due=started.scheduled_start, wake=False, hide_seconds=hide_seconds)
        )
        kept.put(packed, packed, receipt)
        try:
            created = await retry(lambda: services.instances.create(instance_id, row, replaces=existing))
        except Exception:
            await kept.give_back()
            raise
        await kept.hand_over(row=_row_of(started, created))
        if not hide_seconds:
            services.messenger.wake(message, started.scheduled_start)

    async def _send(self, instance_id: InstanceId, event: HistoryEvent, *, due: Utc | None = None) -> None:
        _check_instance_id(instance_id)
        # Without an execution id: for whichever execution is current.
        message = TaskMessage(event, target=OrchestrationInstance(instance_id, None))
        packed = self._services.messenger.pack(message)
        retry = self._services.health.retry_briefly
        # Put twice it counts once: the reader knows the second copy.

        kept = self._keep(packed) if due is None else Kept()

        async def put() -> None:
            receipt = await retry(
                lambda: self._services.messenger.put(packed, due=due, hide_seconds=kept.hide_seconds(packed))
            )
            kept.put(packed, packed, receipt)
            await kept.hand_over()

        await self._in_hub(put)

    def _keep(self, packed: PackedMessage) -> Kept:
        return Kept() if self._local is None else self._local.keep_message(packed)

    async def _in_hub(self, act: Callable[[], Awaitable[None]]) -> None:
        """Do something on the hub, which is made if need be; also if it was deleted since we last saw it."""
        hub, retry = self._services.hub, self._services.health.retry_briefly
        await retry(hub.create)
        try:
            await act()
        except (QueueNotFound, TableNotFound, BlobNotFound):
            hub.forget()
            await retry(hub.create)
            await act()

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())


def _row_of(started: ExecutionStarted, etag: ETag | None) -> InstanceState | None:
    """Return the row that was written for a start; ``None`` when somebody else's is there."""
    if etag is None:
        return None
    return InstanceState(
        instance_id=started.instance.instance_id,
        execution_id=started.instance.execution_id,
        name=started.name,
        version=started.version,
        status=RuntimeStatus.Pending,
        created=started.timestamp,
        last_updated=started.timestamp,
        generation=started.generation,
        etag=etag,
    )


def _check_instance_id(instance_id: InstanceId) -> None:
    refusal = refusal_of_instance_id(instance_id)
    if refusal is not None:
        raise PayloadError(refusal)


def _is_possible(instance_id: InstanceId) -> bool:
    """Return whether there may be such an instance: of another one storage need not, and may not, be asked."""
    return refusal_of_instance_id(instance_id) is None
