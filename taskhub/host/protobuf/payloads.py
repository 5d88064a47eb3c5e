"""What activities and entities of the official SDK 2.x receive and answer.

Activities have JSON, as before, but what an orchestration gave them travels as it is, and failures are structured.
Entities have ``EntityBatchRequest`` and ``EntityBatchResult``.

Source: Durable Task extension, OutOfProcMiddleware, ProtobufUtils; DurableTask.Core, TaskEntityDispatcher.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from taskhub.host.protobuf.schema import Undecodable, decode, encode
from taskhub.host.protobuf.values import (
    failure_from_text,
    failure_in,
    failure_of,
    optional,
    text_of,
    utc_of,
)
from taskhub.model.entities import BatchAnswer, EntityId, Response, Signal, Start
from taskhub.model.ids import InstanceId
from taskhub.runtime.application import ActivityFailed, EntityAnswered, EntityFailed

if TYPE_CHECKING:
    from taskhub.host.invoker import InvocationFailed
    from taskhub.model.history import FailureDetails
    from taskhub.runtime.application import EntityCall


class ProtobufPayloads:
    """See :class:`taskhub.host.durable_payloads.DurablePayloads`.

    Args:
        messages: module with the message classes.
    """

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    def activity_input(self, text: str | None) -> str | None:
        """Return the text as it is."""
        return text

    def activity_failed(self, name: str, error: InvocationFailed) -> ActivityFailed:
        """Return the extension's text, and the failure."""
        return ActivityFailed(
            f"Function '{name}' failed with an unhandled exception.",
            failure=failure_from_text(error.message, error.stack),
        )

    def entity_request(self, call: EntityCall) -> str:
        """Return an ``EntityBatchRequest``."""
        asked = json.loads(call.payload)
        request = self._messages.EntityBatchRequest(
            instanceId=EntityId(call.name, call.key).instance_id,
            entityState=optional(asked["state"] if asked["exists"] else None),
            operations=[
                {"operation": each["name"], "requestId": each["id"], "input": optional(each["input"])}
                for each in asked["batch"]
            ],
        )
        return encode(request)

    def entity_answer(self, call: EntityCall, answer: object) -> EntityAnswered | EntityFailed:
        """Return what an ``EntityBatchResult`` tells."""
        try:
            result = decode(self._messages.EntityBatchResult, answer if isinstance(answer, str) else None)
            responses = tuple(map(_response, result.results))
            broken = failure_in(result)
            if broken is not None and not responses:
                return EntityFailed.because(broken.error_message)  # the state stays
            if broken is not None:
                responses += (_error(broken),) * (call.operations - len(responses))
            if len(responses) != call.operations:
                raise Undecodable(
                    f"The answer of the entity function has {len(responses)} results for {call.operations} operations."
                )
            state = text_of(result, "entityState")
            signals = (_signal(each.sendSignal) for each in result.actions if each.HasField("sendSignal"))
            starts = (
                _start(each.startNewOrchestration) for each in result.actions if each.HasField("startNewOrchestration")
            )
            return EntityAnswered(BatchAnswer(state is not None, state, responses, tuple(signals), tuple(starts)))
        except Undecodable as error:
            return EntityFailed.because(str(error))


def _response(result: Any) -> Response:
    match result.WhichOneof("resultType"):
        case "success":
            # An operation that returns nothing gives an empty text.
            return Response(text_of(result.success, "result") or None)
        case "failure":
            return _error(failure_of(result.failure.failureDetails))
    raise Undecodable("A result of the entity function tells neither success nor failure.")


def _error(failure: FailureDetails) -> Response:
    return Response(json.dumps(failure.error_message, ensure_ascii=False), is_error=True, failure=failure)


def _signal(action: Any) -> Signal:
    target = EntityId.parse(InstanceId(action.instanceId))
    if target is None:
        raise Undecodable(f"'{action.instanceId}' is no entity to be sent a signal.")
    return Signal(target, action.name, text_of(action, "input"), due=utc_of(action, "scheduledTime"))


def _start(action: Any) -> Start:
    return Start(
        InstanceId(action.instanceId),
        action.name,
        text_of(action, "input"),
        text_of(action, "version") or None,
        utc_of(action, "scheduledTime"),
    )
