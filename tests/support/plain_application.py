"""An application of plain functions, run in the loop's thread."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from azure.durable_functions import Entity
from azure.durable_functions.replay import OrchestrationSession

from taskhub.errors import UnknownFunction
from taskhub.runtime.application import (
    ActivityCall,
    ActivityFailed,
    ActivitySucceeded,
    EntityAnswered,
    EntityCall,
    EntityFailed,
)
from taskhub.runtime.instance_ids import refusal_of_instance_id
from taskhub.runtime.live_replay import actions_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.model.actions import Actions


class PlainOrchestration:
    """One execution over the SDK's live shell, in the loop's thread."""

    def __init__(self, session: OrchestrationSession, name: str, app: PlainApplication) -> None:
        self._session = session
        self._name = name
        self._app = app
        self._is_closed = False

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        assert not self._is_closed, "fed after its end"
        await asyncio.sleep(self._app.advance_seconds)
        self._app.fed += len(events)
        return actions_of(self._session.advance(events, replayed=replayed), self._name)

    def close(self) -> None:
        assert not self._is_closed, "closed twice"
        self._is_closed = True
        self._app.open_executions -= 1
        self._session.close()


@dataclass
class PlainApplication:
    """Orchestrators and activities by name. An activity takes the decoded input."""

    orchestration_type: ClassVar[type[PlainOrchestration]] = PlainOrchestration

    orchestrators: Mapping[str, Callable[..., Any]]
    activities: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    entities: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Functions of a DurableEntityContext, by name in lower case."""
    runs: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """How often each activity ran: by instance id, name and task id."""
    batches: list[EntityCall] = field(default_factory=list)
    """What entities were given."""
    fed: int = 0
    """History events given to code."""
    open_executions: int = 0
    advance_seconds: float = 0
    """How long code takes to its next wait."""
    long_timer_limit_seconds: float = 6 * 24 * 3600
    long_timer_leg_seconds: float = 3 * 24 * 3600
    http_poll_seconds: float = 30

    def orchestration(self, name: str, *, instance_id: str, parent_instance_id: str | None) -> PlainOrchestration:
        function = {known.lower(): each for known, each in self.orchestrators.items()}.get(name.lower())
        if function is None:
            known = ", ".join(f"'{each}'" for each in self.orchestrators)
            raise UnknownFunction(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. "
                f"Additional info: The following are the known orchestrator functions: {known}."
            )
        self.open_executions += 1
        session = OrchestrationSession(
            function,
            instance_id=instance_id,
            parent_instance_id=parent_instance_id,
            long_timer_limit_seconds=self.long_timer_limit_seconds,
            long_timer_leg_seconds=self.long_timer_leg_seconds,
            http_poll_seconds=self.http_poll_seconds,
            refusal_of_id=refusal_of_instance_id,
        )
        return self.orchestration_type(session, name, self)

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        self.runs[(call.instance_id, call.name, call.task_id)] += 1
        function = self.activities.get(call.name)
        if function is None:
            return ActivityFailed(
                f"Activity function '{call.name}' failed: Activity function '{call.name}' does not exist."
            )
        (wrapped,) = json.loads(call.input) if call.input else (None,)
        value = json.loads(wrapped) if isinstance(wrapped, str) else wrapped
        try:
            result = function(value)
            if asyncio.iscoroutine(result):
                result = await result
            else:
                await asyncio.sleep(0)
        except Exception as error:  # user code, as the host translates it
            return ActivityFailed(
                f"Activity function '{call.name}' failed:  {type(error).__name__}: {error}", "details"
            )
        return ActivitySucceeded(
            None if result is None else json.dumps(result, separators=(",", ":"), ensure_ascii=False)
        )

    def check_entity(self, name: str) -> None:
        if name.lower() not in self.entities:
            known = ", ".join(f"'{each}'" for each in self.entities)
            raise UnknownFunction(
                f"The function '{name}' doesn't exist, is disabled, or is not an entity function. "
                f"Additional info: The following are the known entity functions: {known}."
            )

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        await asyncio.sleep(0)
        function = self.entities.get(call.name)
        if function is None:
            return EntityFailed.because(f"Entity function '{call.name}' does not exist.")
        self.batches.append(call)
        return EntityAnswered(Entity.create(function)(call.payload))
