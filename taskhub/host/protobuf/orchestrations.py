"""Orchestrators driven by protobuf messages, as the Durable Task extension drives those of the official SDK 2.x.

Each episode calls the function with the whole history, in which the events that are new stand apart, and gets what it
has decided now. Nothing of the code stays in memory between two episodes, only the messages of the events.

Source: Durable Task extension, OutOfProcMiddleware.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

from taskhub.codec.messages import event_of
from taskhub.host.client_binding import bound_data
from taskhub.host.invoker import DURABLE_REASON, InvocationFailed
from taskhub.host.protobuf.actions import BadAnswer, actions_of
from taskhub.host.protobuf.history_events import event_fields
from taskhub.host.protobuf.schema import Undecodable, decode, encode
from taskhub.host.protobuf.values import failure_from_text
from taskhub.model.actions import Actions, Raised
from taskhub.model.history import (
    FAKE_TIMER_ID,
    ExecutionStarted,
    OrchestratorStarted,
    TimerCreated,
    TimerFired,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.invoker import Invoker
    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import InstanceId, Utc
    from taskhub.settings import TaskHubSettings


class ProtobufOrchestrations:
    """Begins executions; see :class:`taskhub.host.application.Orchestrations`.

    Args:
        invoker: runs the functions.
        settings: limits of the task hub.
        client_payload: makes the text that a durable client binding receives, from that binding's properties.
        messages: module with the message classes.
    """

    def __init__(
        self,
        invoker: Invoker,
        settings: TaskHubSettings,
        client_payload: Callable[[Mapping[str, Any]], str],
        messages: Any,
    ) -> None:
        self._invoker = invoker
        self._reorder_window_seconds = int(settings.entity_reorder_window_seconds)
        self._client_payload = client_payload
        self._messages = messages

    def begin(
        self, plan: CallPlan, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> _ProtobufOrchestration:
        """Return a fresh execution."""

        async def call(text: str) -> str | None:
            data = bound_data(plan, Datum(text, "string"), self._client_payload)
            outcome = await self._invoker.invoke(plan, data, reason=DURABLE_REASON)
            answer = None if outcome.result is None else outcome.result.value
            return answer.decode() if isinstance(answer, bytes) else answer

        request = self._messages.OrchestratorRequest(
            instanceId=instance_id,
            entityParameters={"entityMessageReorderWindow": {"seconds": self._reorder_window_seconds}},
        )
        return _ProtobufOrchestration(call, name, request, self._messages)


class _ProtobufOrchestration:
    """One execution: its events so far."""

    def __init__(self, call: Callable[[str], Awaitable[str | None]], name: str, request: Any, messages: Any) -> None:
        self._call = call
        self._name = name
        self._request = request
        self._messages = messages
        self._clock: Utc | None = None
        self._next_task_id = 0

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        self._append([event_of(raw) for raw in events], replayed)
        try:
            answer = await self._call(encode(self._request))
            return self._actions(decode(self._messages.OrchestratorResponse, answer))
        except InvocationFailed as error:
            return self._failed(error.message, error.stack)
        except (BadAnswer, Undecodable) as error:
            return self._failed(str(error))

    def close(self) -> None:
        """Let go of nothing: no code is in memory."""

    def _append(self, events: Sequence[HistoryEvent], replayed: int) -> None:
        past, new = self._request.pastEvents, self._request.newEvents
        past.extend(new)
        del new[:]
        for number, event in enumerate(events):
            if isinstance(event, ExecutionStarted):
                self._request.executionId.value = event.instance.execution_id or ""
            elif isinstance(event, OrchestratorStarted):
                self._clock = event.timestamp
            elif _splits_an_episode(event):
                continue
            self._next_task_id = max(self._next_task_id, event.event_id + 1)
            (past if number < replayed else new).append(self._messages.HistoryEvent(**event_fields(event)))
        if not new:
            # An episode that was stored in part goes on: the SDK wants to hear of it as of something new.
            begins = max(place for place, event in enumerate(past) if event.HasField("orchestratorStarted"))
            new.extend(past[begins:])
            del past[begins:]

    def _actions(self, response: Any) -> Actions:
        if self._clock is None:
            raise BadAnswer("an episode begins with its clock")
        return actions_of(response, clock=self._clock, next_task_id=self._next_task_id)

    def _failed(self, error: str, stack: str | None = None) -> Actions:
        """Return the end of an orchestration whose function did not answer, in the extension's words."""
        reason = f"Function '{self._name}' failed with an unhandled exception."
        outcome = Raised(reason, f"{error}\n{stack or ''}".rstrip(), failure_from_text(error, stack))
        return Actions((), None, outcome, self._next_task_id)


def _splits_an_episode(event: HistoryEvent) -> bool:
    """Return whether an event is of the timer by which the reference splits a long episode: no code asked for it."""
    if isinstance(event, TimerCreated):
        return event.event_id == FAKE_TIMER_ID
    return isinstance(event, TimerFired) and event.timer_id == FAKE_TIMER_ID
