"""Instances and entities of a simulated world, as a test sees them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.durable_functions._serialization import df_dumps, df_loads
from azure.durable_functions.models.OrchestrationRuntimeStatus import OrchestrationRuntimeStatus
from azure.durable_functions.testing._waiting import waits_of
from azure.durable_functions.testing.errors import DurableWorldError, UnexpectedState

from taskhub.host.functions import ORCHESTRATION_TRIGGER
from taskhub.host.history_view import history_json
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.durable_functions.testing._waiting import Waits

    from taskhub.model.history import HistoryEvent
    from taskhub.model.instance import InstanceState
    from taskhub.simulation.hub import SimulatedHub


class Instance:
    """One orchestration. What it tells is what is stored at the moment of asking.

    ``DurableWorld.start`` and ``DurableWorld.instance`` make it.

    Args:
        hub: where it lives.
        instance_id: its id.
    """

    def __init__(self, hub: SimulatedHub, instance_id: str) -> None:
        self._hub = hub
        self._id = InstanceId(instance_id)

    def __repr__(self) -> str:
        state = self._hub.look(self._hub.client.get(self._id))
        if state is None:
            return f"<Instance {self._id}, which does not exist>"
        return f"<Instance {self._id} of {state.name}, {self.status.name}>"

    @property
    def id(self) -> str:
        """Its instance id."""
        return self._id

    @property
    def name(self) -> str | None:
        """The name of its orchestrator."""
        return self._state().name

    @property
    def status(self) -> OrchestrationRuntimeStatus:
        """Where it stands."""
        status = self._state().status
        return OrchestrationRuntimeStatus(None if status is None else status.name)

    @property
    def input(self) -> Any:
        """What it was started with."""
        value = _decoded(self._state().input)
        return _decoded(value) if isinstance(value, str) else value

    @property
    def output(self) -> Any:
        """What it returned; the text of the error if it failed, the reason if it was terminated, else ``None``."""
        return _decoded(self._state().output)

    @property
    def custom_status(self) -> Any:
        """What it set last, ``None`` for nothing."""
        return _decoded(self._state().custom_status)

    @property
    def completed(self) -> Any:
        """What it returned.

        Raises:
            UnexpectedState: it has not completed. The message says for what it waits, or why it failed.
        """
        if self.status is not OrchestrationRuntimeStatus.Completed:
            raise UnexpectedState(self._described("did not complete"))
        return self.output

    @property
    def failed(self) -> str:
        """The text of the error that ended it.

        Raises:
            UnexpectedState: it has not failed.
        """
        if self.status is not OrchestrationRuntimeStatus.Failed:
            raise UnexpectedState(self._described("did not fail"))
        return str(self.output)

    @property
    def waits_for(self) -> list[str]:
        """For what it waits: ``external event 'Approval'``, ``activity 'charge'``; for nothing once it has ended."""
        return list(self._waits().tasks)

    @property
    def history(self) -> list[dict[str, Any]]:
        """Its events, as the management API shows them with ``showHistory=true&showHistoryOutput=true``."""
        return history_json(self._events(), show_input=True, show_output=True)

    def raise_event(self, name: str, data: Any = None, *, as_posted: bool = False) -> None:
        """Raise an event, and let everything happen that follows from it at once.

        Args:
            name: of the event.
            data: what it carries.
            as_posted: the orchestrator gets the value itself, as when somebody posts it to the management API. By
                default it gets the value's JSON text, as from ``client.raise_event`` of this SDK.

        Raises:
            DurableWorldError: it has ended.
        """
        self._check_alive("raise an event to")
        text = df_dumps(data)
        self._hub.tell(f"event '{name}' is raised to '{self._id}'")
        self._hub.play(self._hub.client.raise_event(self._id, name, text if as_posted else json.dumps(text)))

    def terminate(self, reason: str | None = None) -> None:
        """End it where it stands.

        Args:
            reason: becomes its output.
        """
        self._hub.play(self._hub.client.terminate(self._id, reason))

    def suspend(self, reason: str | None = None) -> None:
        """Keep it from going on until :meth:`resume`; what arrives meanwhile waits.

        Args:
            reason: for its history.
        """
        self._hub.play(self._hub.client.suspend(self._id, reason))

    def resume(self, reason: str | None = None) -> None:
        """Let it go on.

        Args:
            reason: for its history.
        """
        self._hub.play(self._hub.client.resume(self._id, reason))

    def rewind(self, reason: str | None = None) -> None:
        """Have it try again what failed, if it failed.

        Args:
            reason: for its history.
        """
        self._hub.play(self._hub.client.rewind(self._id, reason))

    # ---- reading

    def _state(self) -> InstanceState:
        state = self._hub.look(self._hub.client.get(self._id))
        if state is None:
            raise DurableWorldError(f"there is no instance '{self._id}'")
        return state

    def _events(self) -> Sequence[HistoryEvent]:
        return self._hub.look(self._hub.client.history(self._id))

    def _waits(self) -> Waits:
        state = self._state()
        plan = self._hub.app.plan_of(ORCHESTRATION_TRIGGER, state.name or "")
        if plan is None or (state.status is not None and state.status.is_terminal):
            return waits_of(None, self._id, ())
        return waits_of(plan.function.call, self._id, self._events())

    def _check_alive(self, what: str) -> None:
        if self.status in (
            OrchestrationRuntimeStatus.Completed,
            OrchestrationRuntimeStatus.Failed,
            OrchestrationRuntimeStatus.Terminated,
        ):
            raise DurableWorldError(f"cannot {what} '{self._id}': it has ended, and is {self.status.name}")

    def _described(self, what: str) -> str:
        state, status = self._state(), self.status
        text = f"instance '{self._id}' of '{state.name}' {what}: it is {status.name}"
        if status is OrchestrationRuntimeStatus.Failed:
            return f"{text}, with\n{self.output}"
        if state.status is not None and state.status.is_terminal:
            return f"{text}, with {self.output!r}"
        now = self._hub.now().replace(microsecond=0).isoformat()
        if state.scheduled_start is not None and not self._events():
            return f"{text}: it begins at {state.scheduled_start}, and it is {now}"
        waits = self._waits()
        if not waits.tasks:
            return f"{text} at {now}"
        lines = [f"{text} at {now}, and waits for", *(f"  {each}" for each in waits.tasks)]
        if waits.where:
            lines.append(f"at {waits.where}")
        return "\n".join(lines)


class EntityInstance:
    """One entity. What it tells is what is stored at the moment of asking.

    ``DurableWorld.entity`` makes it.

    Args:
        hub: where it lives.
        name: of the entity function.
        key: of the entity.
    """

    def __init__(self, hub: SimulatedHub, name: str, key: str) -> None:
        self._hub = hub
        self._entity = EntityId.of(name, key)

    def __repr__(self) -> str:
        return f"<Entity {self._entity}>"

    @property
    def exists(self) -> bool:
        """Whether it has a state."""
        found = self._hub.look(self._hub.client.read_entity(self._entity))
        return found is not None and found.exists

    @property
    def state(self) -> Any:
        """Its state, ``None`` when it has none."""
        found = self._hub.look(self._hub.client.read_entity(self._entity))
        return None if found is None or not found.exists else _decoded(found.state)

    def signal(self, operation: str, value: Any = None) -> None:
        """Ask it for an operation, and let everything happen that follows from it at once.

        Args:
            operation: its name.
            value: its input.
        """
        text = None if value is None else json.dumps(df_dumps(value))
        self._hub.tell(f"entity '{self._entity}' is signalled '{operation}'")
        self._hub.play(self._hub.client.signal_entity(self._entity, operation, text))


def _decoded(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return df_loads(text)
    except ValueError:
        return text  # of a failure, or a reason
