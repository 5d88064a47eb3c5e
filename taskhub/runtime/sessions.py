"""An execution in memory: what is stored of it, and its code as far as it was fed.

A session is made from a stored history and then lives from episode to episode. The code is a generator that waits;
the next episode feeds it the rows that its own last commit added, and what arrived. So a session that was just loaded
and a warm one differ only in how much is left to feed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.codec.entity_texts import decode_taken_requests, encode_taken_requests
from taskhub.codec.messages import raw_event
from taskhub.core.episode import failure
from taskhub.core.execution_memory import ExecutionMemory
from taskhub.core.runtime_state import RuntimeState, fingerprint
from taskhub.core.tracing import own_span_of
from taskhub.errors import UnknownFunction
from taskhub.model import actions
from taskhub.model.entities import EntityId, is_entity
from taskhub.model.history import TimerFired

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.core.episode import Checkpoint, Episode
    from taskhub.core.tracing import Span
    from taskhub.model.history import ExecutionStarted, HistoryEvent
    from taskhub.model.ids import ETag, ExecutionId, InstanceId
    from taskhub.model.lifecycle import LifecycleChange
    from taskhub.runtime.application import Application, Orchestration
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.receipts import Receipt


INSTANCE_BYTES = 7_400
"""What an instance in memory takes besides its events: its code that waits, and many small objects
(``benchmarks.memory``)."""


class StoredInstance:
    """What a worker knows of an instance that it has in memory, and of what is stored of it.

    Args:
        stored: the history that it begins with.
    """

    def __init__(self, stored: StoredHistory) -> None:
        self.state = RuntimeState.of(stored.events)
        self.state.is_whole = self.state.is_whole and stored.is_complete
        if self.state.traces is not None:
            self.state.traces.forget_told(is_whole=self.state.is_whole)
        self.etag: ETag | None = stored.etag
        """The sentinel's, ``None`` before the first commit of the instance."""
        self.row_etag: ETag | None = None
        """Of the Instances row, if we wrote or read it last."""
        self.blobs: list[str] = list(stored.blobs)
        """Blobs of the history rows."""
        self.timers: dict[int, Receipt] = {}
        """The messages of timers that are open and were put while it was in memory, by number."""

    @property
    def weight(self) -> int:
        """What it takes of the memory for warm instances, in history events."""
        return max(self.state.event_count, 1)

    @property
    def size_bytes(self) -> int:
        """What it takes of the memory for warm instances, in bytes: an estimate, kept as events are added."""
        return INSTANCE_BYTES + self.state.size_bytes

    @property
    def execution_id(self) -> ExecutionId | None:
        """The execution that is stored, or about to be."""
        return self.state.execution_id

    def has_begun(self, execution_id: ExecutionId | None) -> bool:
        """Return whether an execution is known to be one of the instance, the current one or one before."""
        return False

    def close(self) -> None:
        """Let go of whatever it holds besides values."""


class Session(StoredInstance):
    """An orchestration; see the module."""

    def __init__(self, stored: StoredHistory) -> None:
        super().__init__(stored)
        self.stored_execution_id = stored.execution_id
        """Of the history that is stored, which may be another's."""
        self.is_assumed_new = False
        """Nobody looked whether a history is stored."""
        self._next_execution_id: ExecutionId | None = None
        self.memory = self.state.earlier = ExecutionMemory(decode_taken_requests(stored.taken_requests))
        self._spans: list[Span] = []
        """Of earlier generations of the work item."""
        self.changes: list[LifecycleChange] = []
        """What nobody was told yet of the instance's life, in earlier episodes of the work item."""
        self.failure_details = ""
        """Of the failure that its code came to."""
        self._unfed: Sequence[HistoryEvent] = stored.events
        self._code: Orchestration | None = None

    def __repr__(self) -> str:
        code = "without code" if self._code is None else "with code"
        return f"<Session {code}, {self.state.event_count} events, {len(self._unfed)} not fed>"

    @property
    def execution_id(self) -> ExecutionId | None:
        """The execution that is stored, or about to be: its activities may have run before it is known to be stored."""
        return self._next_execution_id or self.state.execution_id

    async def advance(self, application: Application, episode: Episode) -> actions.Actions:
        """Feed the code everything up to and with an episode; return what it decided and was not stored."""
        started = episode.started
        self._next_execution_id = started.instance.execution_id
        if self._code is None:
            try:
                self._code = application.orchestration(
                    started.name,
                    instance_id=started.instance.instance_id,
                    parent_instance_id=started.parent.instance.instance_id if started.parent else None,
                )
            except UnknownFunction as error:
                return actions.Actions((), None, failure(started.name, str(error)), episode.next_task_id)
        raw = [raw_event(event) for event in self._unfed]
        raw += [{**raw_event(event), "IsPlayed": False} for event in episode.new_events]
        decided = await self._code.advance(raw, replayed=len(self._unfed))
        self._unfed = ()
        return _up_to_refused(decided, application, started)

    def begin_again(self, episode: Episode) -> None:
        """Forget the execution, but not what is stored nor what it was told: its next generation begins.

        Args:
            episode: the last one of the execution.
        """
        self.close()
        taken = (*self.state.received, *(fingerprint(event) for event in episode.new_events))
        execution_id = episode.started.instance.execution_id
        if execution_id is None:
            raise ValueError("an episode belongs to an execution")
        self.memory.go_on(execution_id, taken, episode.clock.moment())
        if own_span_of(episode.started) is not None:
            for event in episode.new_events:  # nobody stores them
                self.state.apply(event)
            self._spans = self.take_spans()
        self.state = RuntimeState(earlier=self.memory)
        self._unfed = ()

    def has_begun(self, execution_id: ExecutionId | None) -> bool:
        """Return whether it is the stored execution, or one that a message has begun."""
        return execution_id is not None and (
            execution_id == self.stored_execution_id or self.memory.has_begun(execution_id)
        )

    def take_spans(self) -> list[Span]:
        """Return the spans that have ended since the last time; the orchestration's has when it ends."""
        spans, self._spans = self._spans, []
        return spans if self.state.traces is None else spans + self.state.traces.take()

    def remembered(self) -> str | None:
        """Return what is to be stored of earlier executions, ``None`` when nothing was added."""
        return encode_taken_requests(self.memory.remembered()) if self.memory.has_changed else None

    def go_on(self, checkpoint: Checkpoint, episode: Episode) -> None:
        """Take over what an episode came to, which is stored now, or will be before anything depends on it."""
        for event in checkpoint.new_events:
            self.state.apply(event)
            if isinstance(event, TimerFired):
                self.timers.pop(event.timer_id, None)
        self._unfed = checkpoint.new_events[len(episode.new_events) :]

    def committed(self, checkpoint: Checkpoint) -> None:
        """Take note that all of it is stored."""
        self.is_assumed_new = False
        self.stored_execution_id = checkpoint.instance.execution_id
        self.memory.has_changed = False

    def close(self) -> None:
        """Let go of the code."""
        if self._code is not None:
            self._code.close()
            self._code = None


def _up_to_refused(decided: actions.Actions, application: Application, started: ExecutionStarted) -> actions.Actions:
    """Return decisions as they are; or, when one cannot be carried out, those before it and a failure.

    The extension fails only signals so. It forgets what else it cannot start, and the orchestration waits for ever.
    """
    for index, operation in enumerate(decided.operations):
        reason = _refusal_of(operation, application, started)
        if reason is not None:
            return actions.Actions(
                decided.operations[:index], decided.custom_status, failure(started.name, reason), operation.task_id
            )
    return decided


def _refusal_of(operation: actions.Operation, application: Application, started: ExecutionStarted) -> str | None:
    match operation:
        case actions.SendEvent(instance_id=target):
            entity = EntityId.parse(target)
            try:
                if entity is not None:
                    application.check_entity(entity.name)
            except UnknownFunction as error:
                return str(error)
        case actions.StartSubOrchestration(instance_id=child) if child is not None and is_entity(child):
            return "Orchestration instance IDs must not start with @. (Parameter 'instanceId')"
        case actions.StartSubOrchestration(instance_id=child) if child is not None and _is_waiting(child, started):
            return (
                f"A sub-orchestration cannot have the instance ID '{child}' of the orchestration that waits for it. "
                "(Parameter 'instanceId')"
            )
    return None


def _is_waiting(child: InstanceId, started: ExecutionStarted) -> bool:
    """Return whether an id is that of the orchestration or of its parent: the child would take its place."""
    taken = [started.instance, *([started.parent.instance] if started.parent else [])]
    return child.lower() in [each.instance_id.lower() for each in taken]
