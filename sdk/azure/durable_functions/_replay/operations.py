"""Turns started tasks into the durable operations that a task hub carries out.

Source: Durable Task extension, how it starts each action of the JSON protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.actions import (
    Action,
    CallActivityAction,
    CallActivityWithRetryAction,
    CallEntityAction,
    CallHttpAction,
    CallSubOrchestratorAction,
    CallSubOrchestratorWithRetryAction,
    CreateTimerAction,
    LockEntitiesAction,
    ReleaseEntityAction,
    SignalEntityAction,
)
from azure.durable_functions._replay.decisions import (
    CreateTimer,
    Operation,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)
from azure.durable_functions._replay.http import retry_wire_json
from azure.durable_functions._serialization import compact_json
from azure.durable_functions.constants import HTTP_ACTION_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from azure.durable_functions._replay.tasks import TaskBase

_EXTENSION = "Microsoft.Azure.WebJobs.Extensions.DurableTask"


def operation_of(task: TaskBase, instance_id: str, execution_id: str | None) -> Operation:
    """Return the operation of a started leaf.

    Args:
        task: a task with an id of its own.
        instance_id: the orchestration's, for messages that it sends.
        execution_id: likewise.
    """
    action: Action = task.action_repr
    if isinstance(action, LockEntitiesAction):
        return _lock_request(task.id, action, instance_id, execution_id)
    if isinstance(action, ReleaseEntityAction):
        return _release(task.id, action, instance_id)
    if isinstance(action, CallEntityAction):
        return _entity_request(task.id, action, instance_id, execution_id)
    return _BUILDERS[type(action)](task.id, action)


def _activity(task_id: int, action: Any) -> Operation:
    return ScheduleActivity(task_id, action.function_name, compact_json([action.input_]))


def _http(task_id: int, action: Any) -> Operation:
    """Return the built-in activity: all eight keys of a request, nulls included."""
    asked = action.http_request.to_json()
    retry_options = action.http_request.retry_options
    request = {
        "$type": f"{_EXTENSION}.DurableHttpRequest, {_EXTENSION}",
        "method": asked["method"],
        "uri": asked["uri"],
        "headers": asked["headers"] or {},
        "content": asked["content"],
        "tokenSource": asked.get("tokenSource"),
        # The official package never sends it, which the extension reads as false: a 202 comes back as it is.
        "asynchronousPatternEnabled": asked.get("asynchronousPatternEnabled", False),
        "retryOptions": None
        if retry_options is None
        else retry_wire_json(retry_options, f"{_EXTENSION}.HttpRetryOptions, {_EXTENSION}"),
        "timeout": asked.get("timeout"),
    }
    return ScheduleActivity(task_id, HTTP_ACTION_NAME, compact_json([request]))


def _sub_orchestration(task_id: int, action: Any) -> Operation:
    instance_id = action.instance_id if action.instance_id and action.instance_id.strip() else None
    return StartSubOrchestration(
        task_id, action.function_name, instance_id, compact_json(action._input), action.version
    )


def _timer(task_id: int, action: Any) -> Operation:
    return CreateTimer(task_id, action._fire_at_utc)


def _entity_request(task_id: int, action: CallEntityAction, instance_id: str, execution_id: str | None) -> Operation:
    labels = action._request
    if labels is None:
        raise RuntimeError("The request was never sent.")
    message: dict[str, Any] = {"$type": f"{_EXTENSION}.RequestMessage, {_EXTENSION}", "op": action.operation}
    if isinstance(action, SignalEntityAction):
        message["signal"] = True
    message["input"] = compact_json(action.input_)
    message["id"] = labels.id
    message["parent"] = instance_id
    if execution_id is not None:
        message["parentExecution"] = execution_id
    message["Timestamp"] = labels.timestamp
    message["Predecessor"] = labels.predecessor
    message["requestTime"] = labels.sent_at
    return SendEvent(task_id, action.instance_id, "op", compact_json(message))


def _lock_request(task_id: int, action: LockEntitiesAction, instance_id: str, execution_id: str | None) -> Operation:
    labels = action._request
    if labels is None:
        raise RuntimeError("The request was never sent.")
    message: dict[str, Any] = {
        "$type": f"{_EXTENSION}.RequestMessage, {_EXTENSION}",
        "op": None,
        "id": labels.id,
        "parent": instance_id,
    }
    if execution_id is not None:
        message["parentExecution"] = execution_id
    message["Timestamp"] = labels.timestamp
    message["Predecessor"] = labels.predecessor
    kind = f"{_EXTENSION}.EntityId, {_EXTENSION}"
    message["lockset"] = [{"$type": kind, **entity} for entity in action.to_json()["lockSet"]]
    return SendEvent(task_id, action.instance_id, "op", compact_json(message))


def _release(task_id: int, action: ReleaseEntityAction, instance_id: str) -> Operation:
    message = {
        "$type": f"{_EXTENSION}.ReleaseMessage, {_EXTENSION}",
        "parent": instance_id,
        "id": action.request_id,
    }
    return SendEvent(task_id, action.instance_id, "release", compact_json(message))


_BUILDERS: dict[type[Action], Callable[[int, Any], Operation]] = {
    CallActivityAction: _activity,
    CallActivityWithRetryAction: _activity,
    CallHttpAction: _http,
    CallSubOrchestratorAction: _sub_orchestration,
    CallSubOrchestratorWithRetryAction: _sub_orchestration,
    CreateTimerAction: _timer,
}
