"""What an orchestrator of the protocol answered, in the task hub's own terms: only what it has decided now, with ids.

The SDK knows the history and leaves out what is in it. It ends when it says so, whatever is still open.

Source: Durable Task extension, ProtobufUtils, RemoteOrchestratorContext; DurableTask.Core, TaskOrchestrationDispatcher.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.codec.entity_texts import encode_release, encode_request, event_name
from taskhub.host.protobuf.values import failure_in, text_of, utc, utc_of
from taskhub.model.actions import (
    Actions,
    CreateTimer,
    Operation,
    Outcome,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)
from taskhub.model.entities import RELEASE_EVENT, EntityId, Release, Request
from taskhub.model.history import EventRaised
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.model.ids import Utc


class BadAnswer(Exception):
    """An answer that nobody can carry out; the message says why."""


def actions_of(response: Any, *, clock: Utc, next_task_id: int) -> Actions:
    """Return what a response decided.

    Args:
        response: an ``OrchestratorResponse``.
        clock: of the episode; events that are carried over get it where they have no time.
        next_task_id: the first id that the history does not have.

    Raises:
        BadAnswer: it asks for something that orchestrations cannot do.
    """
    operations: list[Operation] = []
    outcome, after = None, next_task_id
    for action in response.actions:
        kind = action.WhichOneof("orchestratorActionType")
        if kind == "completeOrchestration":
            # The end has an id too, the last one.
            outcome, after = _outcome(action.completeOrchestration, clock), action.id
            continue
        write = _OPERATIONS.get(kind)
        if write is None:
            raise BadAnswer(f"Received unsupported action type '{kind}'.")
        operations.append(write(action.id, getattr(action, kind)))
    operations.sort(key=lambda operation: operation.task_id)
    last = operations[-1].task_id if operations else -1
    return Actions(tuple(operations), text_of(response, "customStatus"), outcome, max(after, last + 1))


# ---- the end


def _outcome(action: Any, clock: Utc) -> Outcome:
    status = RuntimeStatus(action.orchestrationStatus)
    result = text_of(action, "result")
    match status:
        case RuntimeStatus.ContinuedAsNew:
            carried = (_carried(event, clock) for event in action.carryoverEvents if event.HasField("eventRaised"))
            return Restarted(result, tuple(carried), version=text_of(action, "newVersion"))
        case RuntimeStatus.Completed:
            return Returned(result)
        case RuntimeStatus.Failed:
            failure = failure_in(action)
            if failure is None:
                text = result or "Exception occurred during orchestration execution."
                return Raised(text, text_of(action, "details"))
            return Raised(f"{failure.error_type}: {failure.error_message}", text_of(action, "details"), failure)
    # Who is terminated does not get to run.
    raise BadAnswer(f"Orchestrations cannot end with the status {status.name}.")


def _carried(event: Any, clock: Utc) -> EventRaised:
    raised = event.eventRaised
    return EventRaised(timestamp=utc_of(event, "timestamp") or clock, name=raised.name, input=text_of(raised, "input"))


# ---- operations


def _schedule_task(task_id: int, action: Any) -> Operation:
    return ScheduleActivity(task_id, action.name, text_of(action, "input"))


def _create_timer(task_id: int, action: Any) -> Operation:
    return CreateTimer(task_id, utc(action.fireAt))


def _start_child(task_id: int, action: Any) -> Operation:
    instance_id = InstanceId(action.instanceId) if action.instanceId else None
    return StartSubOrchestration(
        task_id, action.name, instance_id, text_of(action, "input"), text_of(action, "version") or None
    )


def _send_event(task_id: int, action: Any) -> Operation:
    return SendEvent(task_id, InstanceId(action.instance.instanceId), action.name, text_of(action, "data"))


def _send_entity_message(task_id: int, action: Any) -> Operation:
    kind = action.WhichOneof("EntityMessageType")
    write = _ENTITY_MESSAGES.get(kind)
    if write is None:
        raise BadAnswer(f"Deserialization of SendEntityMessage action type '{kind}' is not supported.")
    target, content = write(getattr(action, kind))
    if isinstance(content, Release):
        return SendEvent(task_id, target, RELEASE_EVENT, encode_release(content))
    return SendEvent(task_id, target, event_name(content.due), encode_request(content))


# ---- messages to entities. They have no labels: whoever gets them takes them in the order in which they come.


def _called(message: Any) -> tuple[InstanceId, Request]:
    parent, execution = text_of(message, "parentInstanceId"), text_of(message, "parentExecutionId")
    return _target(message), Request(
        id=message.requestId,
        operation=message.operation,
        input=text_of(message, "input"),
        parent=None if parent is None else InstanceId(parent),
        parent_execution=ExecutionId(execution) if execution else None,
        due=utc_of(message, "scheduledTime"),
    )


def _signaled(message: Any) -> tuple[InstanceId, Request]:
    return _target(message), Request(
        id=message.requestId,
        operation=message.operation,
        is_signal=True,
        input=text_of(message, "input"),
        due=utc_of(message, "scheduledTime"),
    )


def _lock_requested(message: Any) -> tuple[InstanceId, Request]:
    lock_set = tuple(map(_entity, message.lockSet))
    parent = text_of(message, "parentInstanceId")
    if parent is None or not 0 <= message.position < len(lock_set):
        raise BadAnswer("A request for locks names who asks for them, and the entities.")
    return lock_set[message.position].instance_id, Request(
        id=message.criticalSectionId,
        operation=None,
        parent=InstanceId(parent),
        lock_set=lock_set,
        position=message.position,
    )


def _unlock_sent(message: Any) -> tuple[InstanceId, Release]:
    parent = text_of(message, "parentInstanceId")
    return _target(message), Release(InstanceId(parent or ""), message.criticalSectionId)


def _target(message: Any) -> InstanceId:
    return _entity(text_of(message, "targetInstanceId") or "").instance_id


def _entity(instance_id: str) -> EntityId:
    entity = EntityId.parse(InstanceId(instance_id))
    if entity is None:
        raise BadAnswer(f"'{instance_id}' is no entity.")
    return entity


_OPERATIONS: Mapping[str | None, Callable[[int, Any], Operation]] = {
    "scheduleTask": _schedule_task,
    "createTimer": _create_timer,
    "createSubOrchestration": _start_child,
    "sendEvent": _send_event,
    "sendEntityMessage": _send_entity_message,
}
_ENTITY_MESSAGES: Mapping[str | None, Callable[[Any], tuple[InstanceId, Request | Release]]] = {
    "entityOperationCalled": _called,
    "entityOperationSignaled": _signaled,
    "entityLockRequested": _lock_requested,
    "entityUnlockSent": _unlock_sent,
}
