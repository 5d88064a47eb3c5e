"""Orchestrators of our own SDK, driven by its live shell: a generator in memory, fed with what is new."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from azure.durable_functions.replay import Decisions, OrchestrationSession, Raised

from taskhub.core.episode import failure
from taskhub.host.invoker import InvocationFailed
from taskhub.model.actions import Actions
from taskhub.runtime.instance_ids import refusal_of_instance_id
from taskhub.runtime.live_replay import actions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.invoker import Invoker
    from taskhub.model.ids import InstanceId
    from taskhub.settings import TaskHubSettings

_DAY = 24 * 3600


class LiveOrchestrations:
    """Begins executions; see :class:`taskhub.host.application.Orchestrations`."""

    def __init__(self, invoker: Invoker, settings: TaskHubSettings) -> None:
        self._invoker = invoker
        self._settings = settings

    def begin(
        self, plan: CallPlan, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> _LiveOrchestration:
        """Return a fresh execution."""
        session = OrchestrationSession(
            plan.function.call,
            instance_id=instance_id,
            parent_instance_id=parent_instance_id,
            long_timer_limit_seconds=self._settings.long_timer_days * _DAY,
            long_timer_leg_seconds=self._settings.long_timer_leg_days * _DAY,
            entity_reorder_window_seconds=self._settings.entity_reorder_window_seconds,
            http_poll_seconds=self._settings.http_poll_seconds,
            refusal_of_id=refusal_of_instance_id,
        )
        return _LiveOrchestration(session, name, plan.function.name, self._invoker)


class _LiveOrchestration:
    """One execution in memory; user code runs in the invoker's pool for orchestrators."""

    def __init__(self, session: OrchestrationSession, name: str, function: str, invoker: Invoker) -> None:
        self._session = session
        self._name = name
        self._function = function
        self._invoker = invoker

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        step = functools.partial(self._session.advance, events, replayed=replayed)
        try:
            decisions = await self._invoker.replay(self._function, step, _failure_of)
        except InvocationFailed as error:
            # What is no Exception (sys.exit() in an orchestrator) would otherwise come back for ever.
            return Actions((), None, failure(self._name, error.message, error.stack), 0)
        return actions_of(decisions, self._name)

    def close(self) -> None:
        # In the pool: the generator's finally blocks are user code.
        self._invoker.in_background(self._session.close)


def _failure_of(decisions: Decisions) -> str | None:
    outcome = decisions.outcome
    if isinstance(outcome, Raised):
        return f"Result: Failure\nException: {outcome.error}\nStack: {outcome.stack}"
    return None
