"""The state of an execution, folded from its history.

It holds what the next episode needs besides the code itself: which tasks are open, how many rows are stored, which
messages have been seen. The events are not kept; a warm session would pay for them with its memory. Messages arrive
at least once, so this is also where a second copy is recognised: an answer by its task id, everything that clients
send by its own time, name and content.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING

from taskhub.core.event_sizes import estimated_bytes
from taskhub.core.execution_memory import ExecutionMemory, Fingerprint
from taskhub.core.request_texts import request_properties
from taskhub.core.tracing import Traces, own_span_of
from taskhub.model.entities import RELEASE_EVENT, EntityId, is_entity
from taskhub.model.history import (
    FAKE_TIMER_ID,
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    HistoryEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from taskhub.model.ids import ExecutionId, InstanceId, Utc


@dataclass(slots=True)
class RuntimeState:
    """What an execution has come to. Grows by :meth:`apply`, in the order of the history."""

    started: ExecutionStarted | None = None
    status: RuntimeStatus = RuntimeStatus.Pending
    event_count: int = 0
    """Stored rows; the index of the next one."""
    size_bytes: int = 0
    """What they take in memory, roughly."""
    episodes: int = 0
    """OrchestratorStarted events."""
    clock: Utc | None = None
    """Time of the last of them, which is the time that the code sees."""
    terminated: ExecutionTerminated | None = None
    """A termination that was delivered."""
    next_task_id: int = 0
    is_whole: bool = True
    """Whether the last episode was stored to its end; a crash between two batches of a commit leaves a part."""
    scheduled: dict[int, type[HistoryEvent]] = field(default_factory=dict)
    """All tasks, timers, sub-orchestrations and sent events: id to kind."""
    open: set[int] = field(default_factory=set)
    """Those without an answer."""
    asked: dict[int, str] = field(default_factory=dict)
    """What tells each open task from others that may have been asked for under its id: when an activity was asked for,
    when a timer fires, the id of a child."""
    requests: set[str] = field(default_factory=set)
    """Ids of requests to entities."""
    answered: set[str] = field(default_factory=set)
    """Those that were answered."""
    locks: dict[str, list[InstanceId]] = field(default_factory=dict)
    """By the id of the request: entities that are locked, or will be, and were not told to open."""
    received: set[Fingerprint] = field(default_factory=set)
    earlier: ExecutionMemory = field(default_factory=ExecutionMemory)
    """What earlier executions of the instance have taken."""
    rewound: dict[int, int] = field(default_factory=dict)
    """How often a rewind took back each task; empty for executions that were never rewound."""
    traces: Traces | None = None
    """Its spans; ``None`` where nobody traces."""

    @classmethod
    def of(cls, history: Iterable[HistoryEvent]) -> RuntimeState:
        """Return the state after a history."""
        state = cls()
        for event in history:
            state.apply(event)
        return state

    @property
    def execution_id(self) -> ExecutionId | None:
        """The execution, ``None`` when there is no history."""
        return self.started.instance.execution_id if self.started else None

    @property
    def is_terminal(self) -> bool:
        """Whether the execution has ended."""
        return self.status.is_terminal

    def apply(self, event: HistoryEvent) -> None:
        """Take one more event of the history into account."""
        self.event_count += 1
        self.size_bytes += estimated_bytes(event)
        self.is_whole = False
        handler = _HANDLERS.get(type(event))
        if handler is not None:
            handler(self, event)
        if self.traces is not None:
            self.traces.apply(event)

    def has_seen(self, event: HistoryEvent) -> bool:
        """Return whether the history already holds this event, so that a message of it is a second copy."""
        if isinstance(event, ExecutionStarted):
            return self.started is not None
        task_id = answered_task(event)
        if task_id is not None:
            return task_id in self.scheduled and not (task_id in self.open and self._asked_for(event, task_id))
        if isinstance(event, EventRaised) and event.name in self.answered:
            return True
        mark = fingerprint(event)
        return mark in self.received or self.earlier.has_taken(mark)

    def _asked_for(self, event: HistoryEvent, task_id: int) -> bool:
        """Return whether an answer is of the kind that was asked for.

        An episode that put its messages, was not stored, and then decided otherwise has asked for something else under
        the same id. That answer is nobody's.
        """
        return isinstance(event, _ANSWERS.get(self.scheduled[task_id], ()))


_ANSWERS: dict[type[HistoryEvent], tuple[type[HistoryEvent], ...]] = {
    TaskScheduled: (TaskCompleted, TaskFailed),
    SubOrchestrationCreated: (SubOrchestrationCompleted, SubOrchestrationFailed),
    TimerCreated: (TimerFired,),
}


def answered_task(event: HistoryEvent) -> int | None:
    """Return the id of the task that an event answers, ``None`` when it is no answer."""
    if isinstance(event, (TaskCompleted, TaskFailed, SubOrchestrationCompleted, SubOrchestrationFailed)):
        return event.task_scheduled_id
    if isinstance(event, TimerFired):
        return event.timer_id
    return None


def fingerprint(event: HistoryEvent) -> Fingerprint | None:
    """Return what tells a message of a client from its next, ``None`` for events that no client sends."""
    match event:
        case EventRaised(name=name, input=content):
            return _mark(event, name, content)
        case ExecutionSuspended(reason=content) | ExecutionResumed(reason=content):
            return _mark(event, None, content)
        case ExecutionTerminated(input=content) | GenericEvent(data=content):
            return _mark(event, None, content)
        case _:
            return None


def _mark(event: HistoryEvent, name: str | None, content: str | None) -> Fingerprint:
    text = f"{event.type_number}\n{event.timestamp}\n{name}\n{content}"
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


# ---- one small function per event type


def _execution_started(state: RuntimeState, event: ExecutionStarted) -> None:
    state.started = event
    state.status = RuntimeStatus.Running
    span = own_span_of(event)
    if span is not None:
        state.traces = Traces(event, span)


def _execution_terminated(state: RuntimeState, event: ExecutionTerminated) -> None:
    state.terminated = event
    _received(state, event)


def _execution_completed(state: RuntimeState, event: ExecutionCompleted) -> None:
    state.status = event.status


def _execution_suspended(state: RuntimeState, event: ExecutionSuspended) -> None:
    state.status = RuntimeStatus.Suspended
    _received(state, event)


def _execution_resumed(state: RuntimeState, event: ExecutionResumed) -> None:
    state.status = RuntimeStatus.Running
    _received(state, event)


def _received(state: RuntimeState, event: HistoryEvent) -> None:
    mark = fingerprint(event)
    if mark is not None:
        state.received.add(mark)


def _event_raised(state: RuntimeState, event: EventRaised) -> None:
    if event.name in state.requests:
        state.answered.add(event.name)
    _received(state, event)


def _generic_event(state: RuntimeState, event: GenericEvent) -> None:
    _received(state, event)
    if event.event_id >= 0:
        # A tombstone keeps the id of what it was; a wake-up has none.
        state.rewound[event.event_id] = state.rewound.get(event.event_id, 0) + 1


def _scheduled(state: RuntimeState, event: TaskScheduled | TimerCreated | SubOrchestrationCreated) -> None:
    state.scheduled[event.event_id] = type(event)
    state.open.add(event.event_id)
    state.asked[event.event_id] = _mark_of(event)
    if event.event_id != FAKE_TIMER_ID:
        state.next_task_id = max(state.next_task_id, event.event_id + 1)


def _mark_of(event: TaskScheduled | TimerCreated | SubOrchestrationCreated) -> str:
    match event:
        case TaskScheduled():
            return event.timestamp.padded()
        case TimerCreated():
            return event.fire_at.padded()
        case SubOrchestrationCreated():
            return event.instance_id.lower()


def _event_sent(state: RuntimeState, event: EventSent) -> None:
    state.scheduled[event.event_id] = type(event)
    state.next_task_id = max(state.next_task_id, event.event_id + 1)
    if is_entity(event.instance_id):
        _entity_told(state, event)


def _entity_told(state: RuntimeState, event: EventSent) -> None:
    content = request_properties(event.input)
    found = content.get("id")
    if not isinstance(found, str):
        return
    if event.name == RELEASE_EVENT:
        held = state.locks.get(found, [])
        if event.instance_id in held:
            held.remove(event.instance_id)
        return
    # Its answer carries it as name.
    state.requests.add(found)
    lock_set = content.get("lockset")
    if isinstance(lock_set, list):
        members = [each for each in lock_set if isinstance(each, dict)]
        state.locks[found] = [EntityId(str(each.get("name")), str(each.get("key"))).instance_id for each in members]


def _answered(state: RuntimeState, event: HistoryEvent) -> None:
    task_id = answered_task(event)
    if task_id is not None:
        state.open.discard(task_id)
        state.asked.pop(task_id, None)


def _orchestrator_started(state: RuntimeState, event: OrchestratorStarted) -> None:
    state.episodes += 1
    state.clock = event.timestamp


def _orchestrator_completed(state: RuntimeState, event: OrchestratorCompleted) -> None:
    state.is_whole = True


_HANDLERS: dict[type, Callable[..., None]] = {  # each takes the state and an event of its key's type
    ExecutionStarted: _execution_started,
    ExecutionCompleted: _execution_completed,
    ExecutionSuspended: _execution_suspended,
    ExecutionResumed: _execution_resumed,
    ExecutionTerminated: _execution_terminated,
    EventRaised: _event_raised,
    GenericEvent: _generic_event,
    TaskScheduled: _scheduled,
    TimerCreated: _scheduled,
    SubOrchestrationCreated: _scheduled,
    EventSent: _event_sent,
    TaskCompleted: _answered,
    TaskFailed: _answered,
    SubOrchestrationCompleted: _answered,
    SubOrchestrationFailed: _answered,
    TimerFired: _answered,
    OrchestratorStarted: _orchestrator_started,
    OrchestratorCompleted: _orchestrator_completed,
}
