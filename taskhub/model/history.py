"""History events: the facts of an execution, as stored in order.

Every event of the reference has its class; nobody invents new ones (a .NET reader fails on them). The
field order of each class is the reference's property order, and ``codec`` holds the wire names.

Source: DurableTask.Core.History.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Union

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.ids import ExecutionId, InstanceId, Utc
    from taskhub.model.instance import RuntimeStatus

FAKE_TIMER_ID = -100
"""EventId of the reference's timer that splits a long episode; replay ignores it."""


@dataclass(frozen=True, slots=True)
class OrchestrationInstance:
    """Address of an execution; ``execution_id`` ``None`` means whichever is current."""

    instance_id: InstanceId
    execution_id: ExecutionId | None


@dataclass(frozen=True, slots=True)
class ParentInstance:
    """Who waits for a sub-orchestration, and under which of its task ids."""

    name: str
    instance: OrchestrationInstance
    task_schedule_id: int
    version: str | None = None


@dataclass(frozen=True, slots=True)
class FailureDetails:
    """Structured failure. Source: DurableTask.Core.FailureDetails."""

    error_type: str
    error_message: str
    stack_trace: str | None = None
    inner_failure: FailureDetails | None = None
    is_non_retriable: bool = False
    properties: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class TraceContext:
    """W3C trace context of whoever asked for the work."""

    trace_parent: str
    trace_state: str | None = None
    id: str | None = None
    span_id: str | None = None
    activity_start_time: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HistoryEventBase:
    """What every event has."""

    type_number: ClassVar[int]
    type_name: ClassVar[str]

    event_id: int = -1
    """Task id on scheduling events (0 upwards); -1 on all others."""
    is_played: bool = False
    timestamp: Utc


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionStarted(HistoryEventBase):
    """An execution was asked for."""

    type_number: ClassVar[int] = 0
    type_name: ClassVar[str] = "ExecutionStarted"

    instance: OrchestrationInstance
    parent: ParentInstance | None = None
    name: str
    version: str | None = None
    input: str | None = None
    tags: Mapping[str, str] | None = None
    correlation: str | None = None
    parent_trace: TraceContext | None = None
    scheduled_start: Utc | None = None
    generation: int | None = None
    generate_new_trace: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionCompleted(HistoryEventBase):
    """The execution ended; ``event_id`` is the orchestrator's next task id."""

    type_number: ClassVar[int] = 1
    type_name: ClassVar[str] = "ExecutionCompleted"

    status: RuntimeStatus
    result: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionTerminated(HistoryEventBase):
    """Somebody ended the instance from outside; ``input`` is the reason."""

    type_number: ClassVar[int] = 3
    type_name: ClassVar[str] = "ExecutionTerminated"

    input: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskScheduled(HistoryEventBase):
    """An activity was asked for. ``input`` is in the message always, in history only on request."""

    type_number: ClassVar[int] = 4
    type_name: ClassVar[str] = "TaskScheduled"

    name: str
    version: str | None = None
    input: str | None = None
    parent_trace: TraceContext | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskCompleted(HistoryEventBase):
    """An activity returned."""

    type_number: ClassVar[int] = 5
    type_name: ClassVar[str] = "TaskCompleted"

    task_scheduled_id: int
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskFailed(HistoryEventBase):
    """An activity raised."""

    type_number: ClassVar[int] = 6
    type_name: ClassVar[str] = "TaskFailed"

    task_scheduled_id: int
    reason: str | None = None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationCreated(HistoryEventBase):
    """A sub-orchestration was asked for (history only)."""

    type_number: ClassVar[int] = 7
    type_name: ClassVar[str] = "SubOrchestrationInstanceCreated"

    name: str
    version: str | None = None
    instance_id: InstanceId
    input: str | None = None
    client_span_id: str | None = None
    tags: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationCompleted(HistoryEventBase):
    """A sub-orchestration returned."""

    type_number: ClassVar[int] = 8
    type_name: ClassVar[str] = "SubOrchestrationInstanceCompleted"

    task_scheduled_id: int
    result: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SubOrchestrationFailed(HistoryEventBase):
    """A sub-orchestration failed or was terminated."""

    type_number: ClassVar[int] = 9
    type_name: ClassVar[str] = "SubOrchestrationInstanceFailed"

    task_scheduled_id: int
    reason: str | None = None
    details: str | None = None
    failure: FailureDetails | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerCreated(HistoryEventBase):
    """A timer was asked for (history only)."""

    type_number: ClassVar[int] = 10
    type_name: ClassVar[str] = "TimerCreated"

    fire_at: Utc


@dataclass(frozen=True, slots=True, kw_only=True)
class TimerFired(HistoryEventBase):
    """A timer's time has come."""

    type_number: ClassVar[int] = 11
    type_name: ClassVar[str] = "TimerFired"

    timer_id: int
    fire_at: Utc


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorStarted(HistoryEventBase):
    """An episode began; its timestamp is the clock that user code sees (history only)."""

    type_number: ClassVar[int] = 12
    type_name: ClassVar[str] = "OrchestratorStarted"


@dataclass(frozen=True, slots=True, kw_only=True)
class OrchestratorCompleted(HistoryEventBase):
    """An episode ended (history only)."""

    type_number: ClassVar[int] = 13
    type_name: ClassVar[str] = "OrchestratorCompleted"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventSent(HistoryEventBase):
    """An event was sent to another instance (history only; on the wire it travels as EventRaised)."""

    type_number: ClassVar[int] = 14
    type_name: ClassVar[str] = "EventSent"

    instance_id: InstanceId
    name: str
    input: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRaised(HistoryEventBase):
    """An event arrived."""

    type_number: ClassVar[int] = 15
    type_name: ClassVar[str] = "EventRaised"

    name: str
    input: str | None = None
    parent_trace: TraceContext | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GenericEvent(HistoryEventBase):
    """A wake-up after a classic rewind, or the tombstone of a rewound event; replay ignores it."""

    type_number: ClassVar[int] = 17
    type_name: ClassVar[str] = "GenericEvent"

    data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionSuspended(HistoryEventBase):
    """Somebody paused the instance."""

    type_number: ClassVar[int] = 19
    type_name: ClassVar[str] = "ExecutionSuspended"

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResumed(HistoryEventBase):
    """Somebody let the instance go on."""

    type_number: ClassVar[int] = 20
    type_name: ClassVar[str] = "ExecutionResumed"

    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRewound(HistoryEventBase):
    """Somebody sent the instance back before its failure (newer, provider-neutral form)."""

    type_number: ClassVar[int] = 21
    type_name: ClassVar[str] = "ExecutionRewound"

    reason: str | None = None
    parent_execution_id: ExecutionId | None = None
    instance_id: InstanceId | None = None
    parent_trace: TraceContext | None = None


HistoryEvent = Union[  # noqa: UP007 (a runtime alias on 3.10)
    ExecutionStarted,
    ExecutionCompleted,
    ExecutionTerminated,
    TaskScheduled,
    TaskCompleted,
    TaskFailed,
    SubOrchestrationCreated,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TimerCreated,
    TimerFired,
    OrchestratorStarted,
    OrchestratorCompleted,
    EventSent,
    EventRaised,
    GenericEvent,
    ExecutionSuspended,
    ExecutionResumed,
    ExecutionRewound,
]
