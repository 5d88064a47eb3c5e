"""Orchestrators driven by the JSON protocol, as the Durable Task extension drives them: for the official SDK.

Each episode calls the function with the text of the whole history, and gets the list of everything that it has asked
for since its start; ``core.action_list`` tells what of it is new. Nothing of the code stays in memory between two
episodes, only the texts of the events.

Source: Durable Task extension, OutOfProcMiddleware.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

from taskhub.codec.action_lists import (
    BadAnswer,
    read_answer,
    read_raised_answer,
    split_failure,
)
from taskhub.codec.entity_texts import encode_release, encode_request, event_name
from taskhub.codec.messages import event_of
from taskhub.codec.orchestrator_triggers import TriggerFacts, event_text, trigger_text
from taskhub.core.action_list import Carried, ListRules, carry_out
from taskhub.core.episode import failure
from taskhub.host.client_binding import bound_data
from taskhub.host.invoker import DURABLE_REASON, InvocationFailed
from taskhub.model.action_list import Answer, EntityMessage, ListedOperation
from taskhub.model.actions import Actions, Operation, Outcome, Raised, Restarted, Returned, SendEvent
from taskhub.model.entities import RELEASE_EVENT, Release
from taskhub.model.history import (
    EventRaised,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    OrchestratorCompleted,
    SubOrchestrationCompleted,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TimerFired,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.invoker import Invoker
    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import InstanceId
    from taskhub.settings import TaskHubSettings

_DELIVERED = frozenset(
    each.type_number
    for each in (
        EventRaised,
        ExecutionResumed,
        ExecutionStarted,
        ExecutionSuspended,
        ExecutionTerminated,
        OrchestratorCompleted,
        SubOrchestrationCompleted,
        SubOrchestrationFailed,
        TaskCompleted,
        TaskFailed,
        TimerFired,
    )
)
"""Types of events that count as played once an episode has seen them; the end of an episode is seen by none but the
first of a generation that began in the same work item as it."""


class JsonOrchestrations:
    """Begins executions; see :class:`taskhub.host.application.Orchestrations`.

    Args:
        invoker: runs the functions.
        settings: limits of the task hub.
        client_payload: makes the text that a durable client binding receives, from that binding's properties.
    """

    def __init__(
        self, invoker: Invoker, settings: TaskHubSettings, client_payload: Callable[[Mapping[str, Any]], str]
    ) -> None:
        limit, leg = timedelta(days=settings.long_timer_days), timedelta(days=settings.long_timer_leg_days)
        poll = timedelta(seconds=settings.http_poll_seconds)
        self._facts = TriggerFacts(limit, leg, poll)
        self._rules = ListRules(limit, leg, settings.entity_reorder_window_seconds, poll)
        self._invoker = invoker
        self._client_payload = client_payload

    def begin(
        self, plan: CallPlan, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> _JsonOrchestration:
        """Return a fresh execution."""

        async def call(text: str) -> str | None:
            data = bound_data(plan, Datum(text, "string"), self._client_payload)
            outcome = await self._invoker.invoke(plan, data, reason=DURABLE_REASON)
            answer = None if outcome.result is None else outcome.result.value
            return answer.decode() if isinstance(answer, bytes) else answer

        return _JsonOrchestration(call, name, instance_id, parent_instance_id, self._facts, self._rules)


class _JsonOrchestration:
    """One execution: its events so far."""

    def __init__(
        self,
        call: Callable[[str], Awaitable[str | None]],
        name: str,
        instance_id: InstanceId,
        parent_instance_id: InstanceId | None,
        facts: TriggerFacts,
        rules: ListRules,
    ) -> None:
        self._call = call
        self._name = name
        self._instance_id = instance_id
        self._parent_instance_id = parent_instance_id
        self._facts = facts
        self._rules = rules
        self._started: ExecutionStarted | None = None
        self._history: list[HistoryEvent] = []
        self._texts: list[str] = []
        self._unplayed: dict[int, Mapping[str, Any]] = {}
        """What the latest episode delivered, by its place among the events."""

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        self._append(events, replayed)
        trigger = trigger_text(
            self._texts,
            self._facts,
            instance_id=self._instance_id,
            parent_instance_id=self._parent_instance_id,
            input_text=None if self._started is None else self._started.input,
            is_replaying=all(raw["EventType"] != ExecutionStarted.type_number for raw in self._unplayed.values()),
        )
        try:
            answer, stack = read_answer(await self._call(trigger)), ""
        except InvocationFailed as error:
            shown, state = split_failure(error.message)
            if state is None:
                return self._ended(failure(self._name, f"One or more errors occurred. ({error.full_text()})"))
            try:
                answer, stack = read_raised_answer(state), error.stack
            except BadAnswer as bad:
                return self._ended(Raised(str(bad), f"Message: {shown}, StackTrace: {error.stack}"))
        except BadAnswer as bad:
            outcome = replace(failure(self._name, str(bad)), failure=bad.answer.failure)
            return self._ended(outcome, bad.answer.custom_status)
        carried = carry_out(answer, self._history, self._rules)
        return Actions(
            operations=tuple(map(_written, carried.operations)),
            custom_status=answer.custom_status,
            outcome=self._outcome(answer, carried, stack),
            next_task_id=carried.next_task_id,
        )

    def close(self) -> None:
        """Let go of nothing: no code is in memory."""

    def _append(self, events: Sequence[Mapping[str, Any]], replayed: int) -> None:
        for place, raw in self._unplayed.items():
            self._texts[place] = event_text({**raw, "IsPlayed": True})
        self._unplayed = {}
        for number, raw in enumerate(events):
            if number >= replayed and raw["EventType"] in _DELIVERED:
                self._unplayed[len(self._texts)] = raw
            event = event_of(raw)
            if isinstance(event, ExecutionStarted):
                self._started = event
            self._texts.append(event_text(raw))
            self._history.append(event)

    def _ended(self, outcome: Raised, custom_status: str | None = None) -> Actions:
        scheduled = [event.event_id for event in self._history]
        return Actions((), custom_status, outcome, max(scheduled, default=-1) + 1)

    def _outcome(self, answer: Answer, carried: Carried, stack: str) -> Outcome | None:
        if not carried.is_over:
            return None
        if carried.is_disagreeing:
            return Raised(carried.error or "", None)
        if carried.error is not None:
            return failure(self._name, carried.error)
        if answer.error is not None:
            return replace(failure(self._name, answer.error, stack), failure=answer.failure)
        if carried.restart is not None:
            return Restarted(carried.restart.input, carried.kept_events)
        return Returned(answer.output) if answer.is_done else None


def _written(operation: ListedOperation) -> Operation:
    """Return an operation with its message to an entity as text."""
    if not isinstance(operation, EntityMessage):
        return operation
    content = operation.content
    if isinstance(content, Release):
        return SendEvent(operation.task_id, operation.target, RELEASE_EVENT, encode_release(content))
    return SendEvent(operation.task_id, operation.target, event_name(content.due), encode_request(content))
