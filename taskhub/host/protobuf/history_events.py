"""PURE: history events as the protocol has them.

What a failed task tells is in ``failureDetails`` alone. Where the history has only texts (of an activity of another
SDK, of a child that ended before it ran) they are made into one.

Source: Durable Task extension, ProtobufUtils.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from taskhub.host.protobuf.values import failure_fields, failure_from_text, optional, optional_stamp, stamp
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionRewound,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    GenericEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)

if TYPE_CHECKING:
    from taskhub.model.history import FailureDetails, HistoryEvent, TraceContext

_Fields = Mapping[str, Any]


def event_fields(event: HistoryEvent) -> _Fields:
    """Return the fields of a ``HistoryEvent`` message."""
    name, of = _KINDS[type(event)]
    return {"eventId": event.event_id, "timestamp": stamp(event.timestamp), name: of(event)}


def _execution_started(event: ExecutionStarted) -> _Fields:
    return {
        "name": event.name,
        "version": optional(event.version),
        "input": optional(event.input),
        "orchestrationInstance": _instance(event.instance),
        "parentInstance": None if event.parent is None else _parent(event.parent),
        "scheduledStartTimestamp": optional_stamp(event.scheduled_start),
        "parentTraceContext": _trace(event.parent_trace),
        "tags": dict(event.tags or {}),
    }


def _execution_completed(event: ExecutionCompleted) -> _Fields:
    return {
        # The numbers are the same.
        "orchestrationStatus": event.status.value,
        "result": optional(event.result),
        "failureDetails": None if event.failure is None else failure_fields(event.failure),
    }


def _task_scheduled(event: TaskScheduled) -> _Fields:
    return {
        "name": event.name,
        "version": optional(event.version),
        "input": optional(event.input),
        "tags": dict(event.tags or {}),
    }


def _child_created(event: SubOrchestrationCreated) -> _Fields:
    return {
        "instanceId": event.instance_id,
        "name": event.name,
        "version": optional(event.version),
        "input": optional(event.input),
        "tags": dict(event.tags or {}),
    }


def _completed(event: TaskCompleted | SubOrchestrationCompleted) -> _Fields:
    return {"taskScheduledId": event.task_scheduled_id, "result": optional(event.result)}


def _failed(event: TaskFailed | SubOrchestrationFailed) -> _Fields:
    return {
        "taskScheduledId": event.task_scheduled_id,
        "failureDetails": failure_fields(_failure(event.failure, event.reason, event.details)),
    }


def _failure(failure: FailureDetails | None, reason: str | None, details: str | None) -> FailureDetails:
    return failure or failure_from_text(reason or "The task failed.", details)


def _timer_fired(event: TimerFired) -> _Fields:
    return {"fireAt": stamp(event.fire_at), "timerId": event.timer_id}


def _event_sent(event: EventSent) -> _Fields:
    return {"instanceId": event.instance_id, "name": event.name, "input": optional(event.input)}


def _event_raised(event: EventRaised) -> _Fields:
    return {"name": event.name, "input": optional(event.input)}


def _nothing(event: HistoryEvent) -> _Fields:
    return {}


def _instance(instance: OrchestrationInstance) -> _Fields:
    return {"instanceId": instance.instance_id, "executionId": optional(instance.execution_id)}


def _parent(parent: ParentInstance) -> _Fields:
    return {
        "name": optional(parent.name),
        "version": optional(parent.version),
        "taskScheduledId": parent.task_schedule_id,
        "orchestrationInstance": _instance(parent.instance),
    }


def _trace(trace: TraceContext | None) -> _Fields | None:
    if trace is None:
        return None
    return {"traceParent": trace.trace_parent, "traceState": optional(trace.trace_state)}


_KINDS: Mapping[type, tuple[str, Callable[[Any], _Fields]]] = {
    ExecutionStarted: ("executionStarted", _execution_started),
    ExecutionCompleted: ("executionCompleted", _execution_completed),
    ExecutionTerminated: ("executionTerminated", lambda event: {"input": optional(event.input)}),
    TaskScheduled: ("taskScheduled", _task_scheduled),
    TaskCompleted: ("taskCompleted", _completed),
    TaskFailed: ("taskFailed", _failed),
    SubOrchestrationCreated: ("subOrchestrationInstanceCreated", _child_created),
    SubOrchestrationCompleted: ("subOrchestrationInstanceCompleted", _completed),
    SubOrchestrationFailed: ("subOrchestrationInstanceFailed", _failed),
    TimerCreated: ("timerCreated", lambda event: {"fireAt": stamp(event.fire_at)}),
    TimerFired: ("timerFired", _timer_fired),
    OrchestratorStarted: ("orchestratorStarted", _nothing),
    OrchestratorCompleted: ("orchestratorCompleted", _nothing),
    EventSent: ("eventSent", _event_sent),
    EventRaised: ("eventRaised", _event_raised),
    GenericEvent: ("genericEvent", lambda event: {"data": optional(event.data)}),
    ExecutionSuspended: ("executionSuspended", lambda event: {"input": optional(event.reason)}),
    ExecutionResumed: ("executionResumed", lambda event: {"input": optional(event.reason)}),
    ExecutionRewound: ("executionRewound", _nothing),
}
