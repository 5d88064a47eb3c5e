"""What the SDK's live shell decides, in the task hub's own terms: the only module of the runtime that knows the SDK.

Whoever implements :class:`taskhub.runtime.application.Application` over the live shell hands its decisions on through
this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import azure.durable_functions.replay as replay

from taskhub.codec.messages import event_of
from taskhub.core.episode import failure
from taskhub.model import actions
from taskhub.model.history import EventRaised
from taskhub.model.ids import InstanceId, Utc

if TYPE_CHECKING:
    from collections.abc import Mapping


def actions_of(decisions: replay.Decisions, orchestrator: str) -> actions.Actions:
    """Return what a session decided.

    Args:
        decisions: of an ``advance``.
        orchestrator: name that the instance was started by, for the text of a failure.
    """
    return actions.Actions(
        operations=tuple(_operation_of(operation) for operation in decisions.operations),
        custom_status=decisions.custom_status,
        outcome=_outcome_of(decisions.outcome, orchestrator),
        next_task_id=decisions.next_task_id,
    )


def _operation_of(operation: replay.Operation) -> actions.Operation:
    match operation:
        case replay.ScheduleActivity():
            return actions.ScheduleActivity(operation.task_id, operation.name, operation.input)
        case replay.CreateTimer():
            return actions.CreateTimer(operation.task_id, Utc.of(operation.fire_at))
        case replay.StartSubOrchestration():
            instance_id = InstanceId(operation.instance_id) if operation.instance_id else None
            return actions.StartSubOrchestration(
                operation.task_id, operation.name, instance_id, operation.input, operation.version
            )
        case replay.SendEvent():
            return actions.SendEvent(
                operation.task_id, InstanceId(operation.instance_id), operation.name, operation.input
            )


def _outcome_of(outcome: replay.Outcome | None, orchestrator: str) -> actions.Outcome | None:
    match outcome:
        case None:
            return None
        case replay.Returned(result=result):
            return actions.Returned(result)
        case replay.Raised(error=error, stack=stack):
            return failure(orchestrator, error, stack)
        case replay.Restarted():
            return actions.Restarted(outcome.input, tuple(_raised_of(raw) for raw in outcome.unprocessed))


def _raised_of(raw: Mapping[str, Any]) -> EventRaised:
    event = event_of(raw)
    if not isinstance(event, EventRaised):
        raise TypeError(f"code carries over {event.type_name}, which is no external event")
    return event
