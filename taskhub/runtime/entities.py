"""Entities: the four verbs for the messages of one entity.

Fetching takes an entity with messages from the inbox. Processing reads what it remembers, takes the messages in, and
has user code run the operations that may run now. Completing puts answers, signals and locks, stores what the entity
remembers as the input of a new execution, and deletes the messages. A batch that tells others something is stored
before that, as it began: after a crash it is run again alone, on the same state, so that it comes to what others have
been told.

An entity needs no start: the first message makes it. User code runs only here, never on the loop that renews leases:
:meth:`~taskhub.runtime.application.Application.run_entity_batch` sees to that.

Source: DurableTask.AzureStorage, storage.md 6.13; Durable Task extension, ``TaskEntityShim``.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskhub.codec.entity_texts import (
    decode_answer,
    decode_incoming,
    decode_scheduler,
    decode_taken_requests,
    encode_scheduler,
    encode_status,
    encode_taken_requests,
    trigger_text,
)
from taskhub.core import episode as episodes
from taskhub.core.entity_batch import Batch, BatchRules, begin_batch, finish_batch
from taskhub.core.entity_memory import RequestMemory
from taskhub.core.episode import KEEP_STATUS, Ahead, Checkpoint, Outbound
from taskhub.core.event_sizes import EVENT_BYTES
from taskhub.core.operations import EpisodeRules
from taskhub.core.runtime_state import RuntimeState
from taskhub.core.tracing import entity_spans
from taskhub.errors import MalformedMessage
from taskhub.model.actions import Actions
from taskhub.model.entities import BatchAnswer, BatchFailure, Continue, EntityId, Request, Response, SchedulerState
from taskhub.model.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
)
from taskhub.model.ids import ExecutionId
from taskhub.model.instance import RuntimeStatus
from taskhub.model.lifecycle import LifecycleChange
from taskhub.runtime.application import EntityCall, EntityFailed
from taskhub.runtime.entity_messages import outgoing
from taskhub.runtime.instance_work import NO_MESSAGES, InstanceWork, Sorted
from taskhub.runtime.sessions import StoredInstance

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.core.entity_batch import Finished
    from taskhub.core.tracing import Span
    from taskhub.model.entities import Incoming
    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import Utc
    from taskhub.runtime.application import Application
    from taskhub.runtime.checkpoints import Checkpoints
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.inbox import Inbox, WorkItem
    from taskhub.runtime.mailbox import Mailbox
    from taskhub.runtime.renewals import Renewals
    from taskhub.runtime.services import Services

_CONTROL = (EventRaised, ExecutionTerminated, ExecutionSuspended, ExecutionResumed)
_NO_RULES = EpisodeRules()

_logger = logging.getLogger("taskhub.entities")


class EntitySession(StoredInstance):
    """An entity in memory.

    Args:
        stored: its history: one start, whose input is what it remembers, and whatever a worker appended since.

    Raises:
        MalformedMessage: the input is none that an entity remembers.
    """

    def __init__(self, stored: StoredHistory) -> None:
        super().__init__(stored)
        started = self.state.started
        self.scheduler = decode_scheduler(started.input if started else None)
        self.memory = RequestMemory(decode_taken_requests(stored.taken_requests))
        self.unread = [event for event in stored.events if isinstance(event, EventRaised)]
        """Events of the history that the entity has not taken in: it was suspended, or they were carried over."""

    def __repr__(self) -> str:
        return f"<EntitySession, queue of {len(self.scheduler.queue)}, {self.memory!r}>"

    @property
    def is_interrupted(self) -> bool:
        """Whether a batch was stored as it began, and not what it came to."""
        return not self.state.is_whole and bool(self.unread)

    @property
    def weight(self) -> int:
        """What it takes of the memory for warm instances, in history events."""
        return super().weight + len(self.scheduler.state or "") // EVENT_BYTES

    @property
    def size_bytes(self) -> int:
        """What it takes of the memory for warm instances, in bytes; its state is in its start a second time."""
        return super().size_bytes + len(self.scheduler.state or "")

    def committed(self, checkpoint: Checkpoint, scheduler: SchedulerState | None) -> None:
        """Take over what a checkpoint stored.

        Args:
            checkpoint: what was stored.
            scheduler: what the entity remembers, ``None`` when the checkpoint only appended events.
        """
        if scheduler is None:
            for event in checkpoint.new_events:
                self.state.apply(event)
            self.unread += [event for event in checkpoint.new_events if isinstance(event, EventRaised)]
        else:
            self.state = RuntimeState.of(checkpoint.new_events)
            self.scheduler = scheduler
            self.unread = []
            self.memory.has_changed = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    session: EntitySession | None = None
    checkpoint: Checkpoint | None = None
    scheduler: SchedulerState | None = None
    """What the entity remembers after ``checkpoint``, ``None`` when that only appends events."""
    operations: int = 0
    messages: Sorted = NO_MESSAGES
    spans: Sequence[Span] = ()


class Entities(InstanceWork):
    """See the module, and :class:`taskhub.runtime.dispatcher.Work`."""

    _of_entities = True

    def __init__(
        self,
        services: Services,
        application: Application,
        inbox: Inbox,
        mailbox: Mailbox,
        renewals: Renewals,
        checkpoints: Checkpoints,
    ) -> None:
        super().__init__(services, inbox, mailbox, renewals)
        settings = services.settings
        self._application = application
        self._checkpoints = checkpoints
        self._rules = BatchRules(
            max_operations=settings.max_entity_batch, reorder_window_seconds=settings.entity_reorder_window_seconds
        )

    # ---- processing and completing

    async def process(self, item: WorkItem) -> Outcome:
        """Run a batch, if the messages hold something new."""
        async with self._renewals.hold(item.batch.messages):
            session, stored = await self._session(item)
            used_up = Sorted(tuple(item.batch.messages))
            if session.state.is_terminal:
                if stored is not None:
                    await self._checkpoints.repair_row(item.partition, item.instance.id, stored)
                self._log_dropped(item)
                return Outcome(messages=used_up)
            if session.is_interrupted:
                return await self._run_again(item, session)
            events = _new_events(session, item)
            if session.state.started is not None and _must_append(session, events):
                return Outcome(session, self._append(session, events), messages=used_up)
            outcome = await self._run(item, session, events, may_skip=stored is None)
            return replace(outcome, messages=used_up)

    async def complete(self, item: WorkItem, result: Outcome) -> None:
        """Commit the checkpoint; let go of the entity, then of its messages."""
        session, checkpoint = result.session, result.checkpoint
        if session is not None and checkpoint is not None:
            async with self._renewals.hold(item.batch.messages):
                await self._tell_begun(session, checkpoint)
                await self._checkpoints.commit(item.partition, session, checkpoint)
            session.committed(checkpoint, result.scheduler)
            tell = self._services.environment.tell_spans
            if tell is not None and result.spans:
                tell(result.spans)
            self._log_batch(item, checkpoint, result.operations)
        if session is not None and (session.state.is_terminal or not self._services.settings.warm_sessions):
            session = None
        await self._let_go(item, session, result.messages)

    async def _tell_begun(self, session: EntitySession, checkpoint: Checkpoint) -> None:
        tell, entity = self._services.environment.tell_changes, EntityId.parse(checkpoint.instance.instance_id)
        if tell is not None and entity is not None and session.state.started is None:
            change = LifecycleChange(entity.name, entity.instance_id, RuntimeStatus.Running, self._now())
            await tell([change])

    # ---- bringing the entity into memory

    async def _session(self, item: WorkItem) -> tuple[EntitySession, StoredHistory | None]:
        """Return the entity's session; and the history that it was loaded from, if it was not warm."""
        warm = item.instance.session
        if isinstance(warm, EntitySession):
            return warm, None
        # Whatever execution a message names: all that an entity is sent is for the current one.
        stored = await self._load(item, None)
        session = item.instance.session = EntitySession(stored)
        return session, stored

    # ---- running a batch

    async def _run_again(self, item: WorkItem, session: EntitySession) -> Outcome:
        """Run a batch that was interrupted, at its time and without what came since, which is looked at after it."""
        messages = item.batch.messages
        used_up = tuple(held for held in messages if session.state.has_seen(held.envelope.message.event))
        later = tuple(held for held in messages if held not in used_up)
        outcome = await self._run(item, session, (), may_skip=False)
        return replace(outcome, messages=Sorted(used_up, later=later))

    async def _run(
        self, item: WorkItem, session: EntitySession, events: Sequence[HistoryEvent], *, may_skip: bool
    ) -> Outcome:
        """Take events in and run what may run now; ``may_skip``: nothing need be stored when nothing changes."""
        started = session.state.started
        entity = EntityId.parse(item.instance.id)
        if entity is None:
            raise ValueError(f"'{item.instance.id}' is no entity")
        now = (session.state.clock if session.is_interrupted else None) or self._now()
        batch = begin_batch(
            entity,
            session.scheduler,
            self._incoming(item, (*session.unread, *events)),
            session.memory,
            now=now,
            began=started.timestamp if started else None,
            rules=self._rules,
        )
        began = self._now()
        outcome = await self._call(batch) if batch.operations else None
        spans = self._spans(batch, outcome, began)
        finished = finish_batch(batch, outcome, now=self._now())
        is_unchanged = finished.scheduler == session.scheduler and not finished.sends and not session.memory.has_changed
        is_unchanged = is_unchanged and not session.unread and all(isinstance(event, EventRaised) for event in events)
        if is_unchanged and (may_skip or session.state.started is None):
            # Second copies, a reminder that is not needed any more: nothing to store. An entity that was just loaded
            # is stored in any case: whoever stored it before may have died before it wrote the row.
            return Outcome(session if session.state.started else None)
        checkpoint = self._checkpoint(session, entity, finished)
        if self._services.settings.commit_before_messages and events and _tells_others(finished):
            ahead = self._beginning(session, entity, events, now)
            checkpoint = replace(checkpoint, ahead=ahead, clears=ahead.first_index + len(ahead.events))
        return Outcome(session, checkpoint, finished.scheduler, len(batch.operations), spans=spans)

    def _spans(self, batch: Batch, outcome: BatchAnswer | BatchFailure | None, began: Utc) -> Sequence[Span]:
        if self._services.environment.tell_spans is None or outcome is None:
            return ()
        if isinstance(outcome, BatchFailure):
            results = [Response(outcome.result, is_error=True)] * len(batch.operations)
        else:
            results = list(outcome.results)
        return entity_spans(
            batch.entity, list(zip(batch.operations, results, strict=True)), began=began, ended=self._now()
        )

    async def _call(self, batch: Batch) -> BatchAnswer | BatchFailure:
        """Have user code run the operations of a batch."""
        answered = await self._application.run_entity_batch(
            EntityCall(
                name=batch.entity.name,
                key=batch.entity.key,
                payload=trigger_text(batch.entity, batch.scheduler, batch.operations),
                operations=len(batch.operations),
            )
        )
        if isinstance(answered, EntityFailed):
            self._log_failed(batch, answered.result)
            return BatchFailure(answered.result)
        try:
            answer = _read(answered.answer, operations=len(batch.operations))
        except MalformedMessage as error:
            # The extension would run the batch again and again; it cannot come to anything else.
            failed = EntityFailed.because(str(error))
            self._log_failed(batch, failed.result)
            return BatchFailure(failed.result)
        for request, response in zip(batch.operations, answer.results, strict=True):
            if response.is_error:
                self._log_operation_failed(batch, request, response)
        return answer

    def _incoming(self, item: WorkItem, events: Iterable[HistoryEvent]) -> Iterable[Incoming]:
        for event in events:
            if isinstance(event, EventRaised):
                try:
                    yield decode_incoming(event.name, event.input)
                except MalformedMessage as error:
                    # Anybody can raise an event. One that no entity understands must not stop those behind it.
                    _logger.error(
                        "event '%s' for entity '%s' is dropped: %s",
                        event.name,
                        item.instance.id,
                        error,
                        extra={"event": "entity_event_dropped", "instance_id": item.instance.id, "error": str(error)},
                    )

    # ---- what is stored and sent

    def _checkpoint(self, session: EntitySession, entity: EntityId, finished: Finished) -> Checkpoint:
        now = self._now()
        before = session.state.started
        sender = OrchestrationInstance(entity.instance_id, before.instance.execution_id if before else None)
        started = self._started(entity, finished.scheduler, now)
        instance = started.instance
        number = session.state.episodes + 1
        version = self._services.settings.default_version
        return Checkpoint(
            instance=instance,
            outbound=tuple(
                Outbound(outgoing(send, sender, now=now, default_version=version), sender, number)
                for send in finished.sends
            ),
            first_index=0,
            new_events=(
                OrchestratorStarted(timestamp=now),
                started,
                # The code sees this one, unlike those that end episodes: it counts as played.
                OrchestratorCompleted(timestamp=now, is_played=True),
            ),
            custom_status=encode_status(finished.scheduler),
            replaces=True,
            clears=session.state.event_count,
            taken_requests=encode_taken_requests(session.memory.remembered()),
        )

    def _started(self, entity: EntityId, scheduler: SchedulerState, now: Utc) -> ExecutionStarted:
        """Return the start of a new execution."""
        return ExecutionStarted(
            timestamp=now,
            is_played=True,
            instance=OrchestrationInstance(entity.instance_id, ExecutionId(self._services.environment.new_guid().hex)),
            name=entity.instance_id,
            version="",
            input=encode_scheduler(scheduler),
        )

    def _beginning(self, session: EntitySession, entity: EntityId, events: Sequence[HistoryEvent], now: Utc) -> Ahead:
        """Return what is stored of a batch before others are told what it came to: its events, in their order."""
        taken = [replace(event, is_played=True) for event in events]
        started = session.state.started
        if started is None:
            started = self._started(entity, session.scheduler, now)
            taken.insert(0, started)
        beginning = (OrchestratorStarted(timestamp=now), *taken)
        return Ahead(started.instance, session.state.event_count, beginning, remembers=False)

    def _append(self, session: EntitySession, events: Sequence[HistoryEvent]) -> Checkpoint:
        """Return what is stored of events that the entity does not take in now: it is suspended, or terminated."""
        now = self._now()
        episode = episodes.begin_episode(session.state, events, now=now)
        if episode.terminated is not None:
            return episodes.terminate(episode, now=now)
        nothing = Actions((), None, None, episode.next_task_id)
        checkpoint = episodes.finish_episode(episode, nothing, now=now, rules=_NO_RULES)
        return replace(checkpoint, custom_status=KEEP_STATUS)

    # ---- logs

    def _log_batch(self, item: WorkItem, checkpoint: Checkpoint, operations: int) -> None:
        _logger.debug(
            "batch of '%s' stored: %d operations, %d messages",
            item.instance.id,
            operations,
            len(checkpoint.outbound),
            extra={
                "event": "entity_batch_stored",
                "instance_id": item.instance.id,
                "partition": item.partition.queue,
                "operations": operations,
                "outbound": len(checkpoint.outbound),
            },
        )

    def _log_failed(self, batch: Batch, result: str) -> None:
        _logger.error(
            "%d operations of entity '%s' failed: %s",
            len(batch.operations),
            batch.entity,
            result,
            extra={"event": "entity_batch_failed", "instance_id": str(batch.entity), "error": result},
        )

    def _log_operation_failed(self, batch: Batch, request: Request, response: Response) -> None:
        _logger.warning(
            "operation '%s' of entity '%s' failed: %s",
            request.operation,
            batch.entity,
            response.result,
            extra={
                "event": "entity_operation_failed",
                "instance_id": str(batch.entity),
                "operation": request.operation,
                "error": response.result,
            },
        )

    def _log_dropped(self, item: WorkItem) -> None:
        _logger.warning(
            "%d messages for entity '%s' are dropped: it was terminated; purge it to let it begin anew",
            len(item.batch.messages),
            item.instance.id,
            extra={"event": "message_dropped", "instance_id": item.instance.id},
        )


def _new_events(session: EntitySession, item: WorkItem) -> list[HistoryEvent]:
    """Return the events of a batch that mean something to an entity and are not in its history."""
    # There is nothing to stop before the entity is there.
    wanted = _CONTROL if session.state.started is not None else EventRaised
    events = [held.envelope.message.event for held in item.batch.messages]
    return [event for event in events if isinstance(event, wanted) and not session.state.has_seen(event)]


def _tells_others(finished: Finished) -> bool:
    return any(not isinstance(send.content, Continue) for send in finished.sends)


def _must_append(session: EntitySession, events: Iterable[HistoryEvent]) -> bool:
    """Return whether events are stored as they are, to be taken in later or never."""
    is_suspended = session.state.status is RuntimeStatus.Suspended
    for event in events:
        if isinstance(event, ExecutionTerminated):
            return True
        if isinstance(event, (ExecutionSuspended, ExecutionResumed)):
            is_suspended = isinstance(event, ExecutionSuspended)
    return is_suspended


def _read(answer: str | BatchAnswer, *, operations: int) -> BatchAnswer:
    return answer if isinstance(answer, BatchAnswer) else decode_answer(answer, operations=operations)
