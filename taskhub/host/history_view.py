"""PURE: a history as the management API shows it.

Each completion stands for its scheduling event too; ids and the bookkeeping of episodes are left out. Keys keep the
reference's spelling and order.

Source: Durable Task extension 3.15, DurableOrchestrationStatus.HistoryEvents; ``golden/extension/http_status``.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from taskhub.model import history

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.model.history import HistoryEvent

_SCHEDULING = (history.TaskScheduled, history.SubOrchestrationCreated)


def history_json(events: Sequence[HistoryEvent], *, show_input: bool, show_output: bool) -> list[dict[str, Any]]:
    """Return the events to show, in history order.

    Args:
        events: the whole history of an execution.
        show_input: keep ``Input`` keys.
        show_output: keep the results of tasks and of the execution, as JSON values.

    Raises:
        ValueError: two scheduling events have one id, which only a failed replay leaves behind.
    """
    scheduled = _scheduling_events(events)
    answered = {_scheduled_id(event) for event in events} - {None}
    shown = []
    for event in events:
        if isinstance(event, (history.OrchestratorStarted, history.OrchestratorCompleted)):
            continue
        if isinstance(event, _SCHEDULING) and (_kind(event), event.event_id) in answered:
            continue
        key = _scheduled_id(event)
        item = _VIEWS[type(event)](event)
        if "Result" in item:
            item = _with_result(item, show_output=show_output)
        item["Timestamp"] = event.timestamp
        if key in scheduled:
            item.update(_scheduling_keys(scheduled[key]))
        if isinstance(event, history.ExecutionStarted):
            item["FunctionName"] = event.name
        if not show_input:
            item.pop("Input", None)
        shown.append(item)
    return shown


def _kind(event: HistoryEvent) -> str:
    return "task" if isinstance(event, history.TaskScheduled) else "sub-orchestration"


def _scheduling_events(events: Sequence[HistoryEvent]) -> Mapping[tuple[str, int] | None, Any]:
    found: dict[tuple[str, int] | None, Any] = {}
    for event in events:
        if isinstance(event, _SCHEDULING):
            key = (_kind(event), event.event_id)
            if key in found:
                raise ValueError(
                    f"An item with the same key has already been added. Key: {event.type_name}_{event.event_id}"
                )
            found[key] = event
    return found


def _scheduled_id(event: HistoryEvent) -> tuple[str, int] | None:
    if isinstance(event, (history.TaskCompleted, history.TaskFailed)):
        return "task", event.task_scheduled_id
    if isinstance(event, (history.SubOrchestrationCompleted, history.SubOrchestrationFailed)):
        return "sub-orchestration", event.task_scheduled_id
    return None


def _scheduling_keys(event: Any) -> dict[str, Any]:
    keys: dict[str, Any] = {"ScheduledTime": event.timestamp.with_offset(), "FunctionName": event.name}
    if isinstance(event, history.SubOrchestrationCreated):
        keys["InstanceId"] = event.instance_id
    keys["Input"] = event.input
    return keys


def _with_result(item: dict[str, Any], *, show_output: bool) -> dict[str, Any]:
    if not show_output:
        return {key: value for key, value in item.items() if key != "Result"}
    return {key: _json_or_text(value) if key == "Result" else value for key, value in item.items()}


def _json_or_text(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


# ---- one view per event type, in the reference's property order


def _trace(trace: history.TraceContext | None) -> dict[str, Any] | None:
    if trace is None:
        return None
    return {
        "TraceParent": trace.trace_parent,
        "TraceState": trace.trace_state,
        "Id": trace.id,
        "SpanId": trace.span_id,
        "ActivityStartTime": trace.activity_start_time,
    }


def _failure(failure: history.FailureDetails | None) -> dict[str, Any] | None:
    if failure is None:
        return None
    return {
        "ErrorType": failure.error_type,
        "ErrorMessage": failure.error_message,
        "StackTrace": failure.stack_trace,
        "InnerFailure": _failure(failure.inner_failure),
        "IsNonRetriable": failure.is_non_retriable,
        "Properties": failure.properties,
    }


def _execution_started(event: history.ExecutionStarted) -> dict[str, Any]:
    return {
        "EventType": "ExecutionStarted",
        "Input": event.input,
        "Correlation": event.correlation,
        "ParentTraceContext": _trace(event.parent_trace),
        "ScheduledStartTime": event.scheduled_start,
        "Generation": event.generation,
        "GenerateNewTrace": event.generate_new_trace,
    }


def _execution_completed(event: history.ExecutionCompleted) -> dict[str, Any]:
    return {
        "EventType": event.type_name,
        "OrchestrationStatus": event.status.name,
        "Result": event.result,
        "FailureDetails": _failure(event.failure),
    }


def _failed(event: history.TaskFailed | history.SubOrchestrationFailed) -> dict[str, Any]:
    return {
        "EventType": event.type_name,
        "Reason": event.reason,
        "Details": event.details,
        "FailureDetails": _failure(event.failure),
    }


def _task_scheduled(event: history.TaskScheduled) -> dict[str, Any]:
    return {
        "EventType": event.type_name,
        "Name": event.name,
        "Input": event.input,
        "ParentTraceContext": _trace(event.parent_trace),
        "Tags": event.tags,
    }


def _sub_orchestration_created(event: history.SubOrchestrationCreated) -> dict[str, Any]:
    return {
        "EventType": event.type_name,
        "Name": event.name,
        "InstanceId": event.instance_id,
        "Input": event.input,
        "ClientSpanId": event.client_span_id,
        "Tags": event.tags,
    }


def _event_raised(event: history.EventRaised) -> dict[str, Any]:
    return {
        "EventType": event.type_name,
        "Name": event.name,
        "Input": event.input,
        "ParentTraceContext": _trace(event.parent_trace),
    }


def _execution_rewound(event: history.ExecutionRewound) -> dict[str, Any]:
    return {
        "EventType": event.type_name,
        "Reason": event.reason,
        "ParentExecutionId": event.parent_execution_id,
        "InstanceId": event.instance_id,
        "ParentTraceContext": _trace(event.parent_trace),
    }


_VIEWS: Mapping[type, Callable[[Any], dict[str, Any]]] = {
    history.ExecutionStarted: _execution_started,
    history.ExecutionCompleted: _execution_completed,
    history.ExecutionTerminated: lambda event: {"EventType": event.type_name, "Input": event.input},
    history.TaskScheduled: _task_scheduled,
    history.TaskCompleted: lambda event: {"EventType": event.type_name, "Result": event.result},
    history.TaskFailed: _failed,
    history.SubOrchestrationCreated: _sub_orchestration_created,
    history.SubOrchestrationCompleted: lambda event: {"EventType": event.type_name, "Result": event.result},
    history.SubOrchestrationFailed: _failed,
    history.TimerCreated: lambda event: {"EventType": event.type_name, "FireAt": event.fire_at},
    history.TimerFired: lambda event: {"EventType": event.type_name, "FireAt": event.fire_at},
    history.EventSent: lambda event: {
        "EventType": event.type_name,
        "InstanceId": event.instance_id,
        "Name": event.name,
        "Input": event.input,
    },
    history.EventRaised: _event_raised,
    # Data stands first: the reference declares it in the class below.
    history.GenericEvent: lambda event: {"Data": event.data, "EventType": event.type_name},
    history.ExecutionSuspended: lambda event: {"EventType": event.type_name, "Reason": event.reason},
    history.ExecutionResumed: lambda event: {"EventType": event.type_name, "Reason": event.reason},
    history.ExecutionRewound: _execution_rewound,
}
