"""The loaded app as the task hub sees it: orchestrators, activities and entities by the names that callers use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from azure.functions.meta import Datum

from taskhub.errors import UnknownFunction
from taskhub.host.activity_values import result_text
from taskhub.host.client_binding import bound_data
from taskhub.host.durable_payloads import JsonPayloads
from taskhub.host.functions import ACTIVITY_TRIGGER, ENTITY_TRIGGER, ORCHESTRATION_TRIGGER
from taskhub.host.http_activity import HttpActivity
from taskhub.host.http_calls import HTTP_ACTIVITY
from taskhub.host.invocation import TraceContext
from taskhub.host.invoker import DURABLE_REASON, TIMEOUT, InvocationFailed
from taskhub.runtime.application import ActivityFailed, ActivitySucceeded, EntityFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.durable_payloads import DurablePayloads
    from taskhub.host.invoker import Invoker
    from taskhub.model.ids import InstanceId
    from taskhub.runtime.application import ActivityCall, EntityAnswered, EntityCall, Orchestration


class Orchestrations(Protocol):
    """How the orchestrators of an app are driven, which depends on the SDK that it uses."""

    def begin(
        self, plan: CallPlan, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> Orchestration:
        """Return a fresh, empty execution.

        Args:
            plan: of the orchestrator function.
            name: that the instance was started by.
            instance_id: of the instance.
            parent_instance_id: of a sub-orchestration's parent.
        """


class FunctionsApplication:
    """Implements :class:`taskhub.runtime.application.Application` over the functions of an app.

    Args:
        plans: the functions that can run; those of other triggers are passed over.
        invoker: runs them.
        orchestrations: drives the orchestrators.
        client_payload: makes the text that a durable client binding receives, from that binding's properties.
        payloads: what activities and entities receive and answer.
        http: makes the requests of ``call_http``.
    """

    def __init__(
        self,
        plans: Iterable[CallPlan],
        invoker: Invoker,
        orchestrations: Orchestrations,
        *,
        client_payload: Callable[[Mapping[str, Any]], str],
        payloads: DurablePayloads | None = None,
        http: HttpActivity | None = None,
    ) -> None:
        self._invoker = invoker
        self._orchestrations = orchestrations
        self._client_payload = client_payload
        self._payloads = payloads or JsonPayloads()
        self._http = http or HttpActivity()
        plans = list(plans)
        self._orchestrators = _by_called_name(plans, ORCHESTRATION_TRIGGER)
        self._activities = _by_called_name(plans, ACTIVITY_TRIGGER)
        self._entities = _by_called_name(plans, ENTITY_TRIGGER)

    def __repr__(self) -> str:
        return (
            f"<FunctionsApplication, {len(self._orchestrators)} orchestrators, {len(self._activities)} activities, "
            f"{len(self._entities)} entities>"
        )

    def orchestration(
        self, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> Orchestration:
        """Return a fresh execution of an orchestrator.

        Raises:
            UnknownFunction: no orchestrator has this name; the message lists those that exist.
        """
        return self._orchestrations.begin(
            self.find_orchestrator(name), name, instance_id=instance_id, parent_instance_id=parent_instance_id
        )

    def find_orchestrator(self, name: str) -> CallPlan:
        """Return an orchestrator by the name that clients start it by, ignoring case.

        Raises:
            UnknownFunction: there is none.
        """
        plan = self._orchestrators.get(name.lower())
        if plan is None or plan.function.is_disabled:
            raise UnknownFunction(unknown_function(name, "an orchestrator", _enabled(self._orchestrators)))
        return plan

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        """Run an activity to its end; unknown names and exceptions of user code are failures."""
        if call.name == HTTP_ACTIVITY:
            return await self._http.run(call.input)
        plan = self._activities.get(call.name.lower())
        if plan is None:
            return ActivityFailed(
                f"Activity function '{call.name}' failed: Activity function '{call.name}' does not exist. "
                f"{known_functions('an activity', _enabled(self._activities))}"
            )
        if plan.function.is_disabled:
            return ActivityFailed(
                f"Activity function '{call.name}' failed: Activity function '{call.name}' is disabled."
            )
        try:
            outcome = await self._invoker.invoke(
                plan,
                self._data(plan, self._payloads.activity_input(call.input)),
                reason=DURABLE_REASON,
                values={"instanceId": call.instance_id},
                trace=None
                if call.trace is None
                else TraceContext(call.trace.trace_parent, call.trace.trace_state or ""),
            )
        except InvocationFailed as error:
            return self._payloads.activity_failed(call.name, error)
        if outcome.result is None:
            return ActivitySucceeded(None)
        return ActivitySucceeded(result_text(outcome.result.type, outcome.result.value))

    def check_entity(self, name: str) -> None:
        """See that there is an entity of a name, ignoring case.

        Raises:
            UnknownFunction: there is none.
        """
        plan = self._entities.get(name.lower())
        if plan is None or plan.function.is_disabled:
            raise UnknownFunction(unknown_function(name, "an entity", _enabled(self._entities)))

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        """Run a batch of operations; unknown names, and exceptions that the SDK does not catch, are failures."""
        plan = self._entities.get(call.name.lower())
        if plan is None:
            return EntityFailed.because(
                f"Entity function '{call.name}' does not exist. "
                f"{known_functions('an entity', _enabled(self._entities))}"
            )
        if plan.function.is_disabled:
            return EntityFailed.because(f"Entity function '{call.name}' is disabled.")
        try:
            data = self._data(plan, self._payloads.entity_request(call))
            outcome = await self._invoker.invoke(plan, data, reason=DURABLE_REASON)
        except InvocationFailed as error:
            # Readers tell a timeout by its first words, and take it as it is.
            is_timeout = error.message.startswith(TIMEOUT)
            return EntityFailed(error.message) if is_timeout else EntityFailed.because(error.message)
        answer = None if outcome.result is None else outcome.result.value
        return self._payloads.entity_answer(call, answer)

    async def aclose(self) -> None:
        """Close what requests of ``call_http`` left open."""
        await self._http.aclose()

    def _data(self, plan: CallPlan, text: str | None) -> dict[str, Datum]:
        trigger = Datum("null", "json") if text is None else Datum(text, "string")
        return bound_data(plan, trigger, self._client_payload)


def _by_called_name(plans: list[CallPlan], trigger: str) -> dict[str, CallPlan]:
    return {plan.function.called_as.lower(): plan for plan in plans if plan.function.trigger.kind == trigger}


def _enabled(plans: Mapping[str, CallPlan]) -> list[str]:
    return [plan.function.called_as for plan in plans.values() if not plan.function.is_disabled]


def unknown_function(name: str, kind: str, known: Sequence[str]) -> str:
    """Return the extension's text for a name that no function has.

    Args:
        name: the name asked for.
        kind: with its article: ``an orchestrator``.
        known: names that exist.
    """
    return f"The function '{name}' doesn't exist, is disabled, or is not {kind} function. " + known_functions(
        kind, known
    )


def known_functions(kind: str, known: Sequence[str]) -> str:
    """Return the extension's text about the functions that exist."""
    noun = kind.split()[-1]
    if not known:
        return f"Additional info: No {noun} functions are currently registered!"
    names = ", ".join(f"'{name}'" for name in known)
    return f"Additional info: The following are the known {noun} functions: {names}."
