"""The durable client under the names of the 2.x preview, beside those of 1.x."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from azure.durable_functions._client.status import OrchestrationRuntimeStatus
from azure.durable_functions.models.DurableOrchestrationClient import DurableOrchestrationClient

if TYPE_CHECKING:
    from datetime import datetime

    from azure.durable_functions._client.answers import EntityStateResponse, PurgeHistoryResult
    from azure.durable_functions._client.status import DurableOrchestrationStatus
    from azure.durable_functions._replay.functions import OrchestratorFunction
    from azure.durable_functions.models.utils.entity_utils import EntityId

_ENDED = frozenset(
    {
        OrchestrationRuntimeStatus.Completed,
        OrchestrationRuntimeStatus.Failed,
        OrchestrationRuntimeStatus.Canceled,
        OrchestrationRuntimeStatus.Terminated,
    }
)
_FIRST_POLL_SECONDS = 0.1
_LONGEST_POLL_SECONDS = 1.0


class DurableFunctionsClient(DurableOrchestrationClient):
    """A :class:`DurableOrchestrationClient` that also has the method names of the 2.x preview.

    The methods call those of 1.x, and raise what these raise.
    """

    async def schedule_new_orchestration(
        self,
        orchestrator: str | OrchestratorFunction,
        *,
        input: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> str:
        """Start an instance of an orchestrator.

        Args:
            orchestrator: its name, or the function under ``@orchestration_trigger``.
            input: the orchestrator's input: any JSON value, or an object with ``to_json``.
            instance_id: id of the new instance; the host makes one if there is none.
            version: version of the instance; the app's default if there is none.

        Returns:
            The instance's id.

        See :meth:`DurableOrchestrationClient.start_new`.
        """
        return await self.start_new(orchestrator, instance_id, input, version)

    async def get_orchestration_state(
        self, instance_id: str, *, fetch_payloads: bool = True
    ) -> DurableOrchestrationStatus | None:
        """Read the status of an instance; ``None`` when there is no such instance.

        Args:
            instance_id: the instance.
            fetch_payloads: ask for the input; hosts give it unless they are told not to.
        """
        return await self.get_status(instance_id, show_input=fetch_payloads) or None

    async def get_all_orchestration_states(self) -> list[DurableOrchestrationStatus]:
        """Read the statuses of all instances; see :meth:`DurableOrchestrationClient.get_status_all`."""
        return await self.get_status_all()

    async def raise_orchestration_event(self, instance_id: str, event_name: str, *, data: Any = None) -> None:
        """Send an external event; see :meth:`DurableOrchestrationClient.raise_event`.

        Args:
            instance_id: the instance.
            event_name: what the orchestrator waits for.
            data: the event's value, a JSON value.
        """
        await self.raise_event(instance_id, event_name, data)

    async def terminate_orchestration(self, instance_id: str, *, output: Any = None) -> None:
        """Stop an instance; its output is then ``output``, as JSON text unless it is text.

        See :meth:`DurableOrchestrationClient.terminate`.
        """
        await self.terminate(instance_id, output if output is None or isinstance(output, str) else json.dumps(output))

    async def suspend_orchestration(self, instance_id: str, *, reason: str | None = None) -> None:
        """Pause an instance; see :meth:`DurableOrchestrationClient.suspend`."""
        await self.suspend(instance_id, reason)

    async def resume_orchestration(self, instance_id: str, *, reason: str | None = None) -> None:
        """Let a suspended instance go on; see :meth:`DurableOrchestrationClient.resume`."""
        await self.resume(instance_id, reason)

    async def restart_orchestration(self, instance_id: str, *, restart_with_new_instance_id: bool = False) -> str:
        """Start an instance over; unlike :meth:`DurableOrchestrationClient.restart` it keeps its id by default.

        Args:
            instance_id: the instance, which must have ended.
            restart_with_new_instance_id: whether a new instance is made instead.

        Returns:
            The id of the instance that was started.
        """
        return await self.restart(instance_id, restart_with_new_instance_id)

    async def rewind_orchestration(self, instance_id: str, *, reason: str | None = None) -> None:
        """Let a failed instance go on; see :meth:`DurableOrchestrationClient.rewind`."""
        await self.rewind(instance_id, reason)

    async def purge_orchestration(self, instance_id: str) -> PurgeHistoryResult:
        """Remove an instance; see :meth:`DurableOrchestrationClient.purge_instance_history`."""
        return await self.purge_instance_history(instance_id)

    async def purge_orchestrations_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Remove instances; see :meth:`DurableOrchestrationClient.purge_instance_history_by`."""
        return await self.purge_instance_history_by(created_time_from, created_time_to, runtime_status)

    async def get_entity(self, entity_instance_id: EntityId) -> EntityStateResponse | None:
        """Read the state of an entity.

        Args:
            entity_instance_id: the entity.

        Returns:
            Its decoded state; ``None`` when it does not exist.
        """
        found = await self.read_entity_state(entity_instance_id)
        return found if found.entity_exists else None

    async def wait_for_orchestration_completion(
        self, instance_id: str, *, fetch_payloads: bool = True, timeout: float = 60
    ) -> DurableOrchestrationStatus | None:
        """Wait for an instance to end.

        Args:
            instance_id: the instance.
            fetch_payloads: ask for the input; hosts give it unless they are told not to.
            timeout: how long to wait at most, in seconds; 0 looks once.

        Returns:
            Its status; ``None`` when there is no such instance.

        Raises:
            TimeoutError: it has not ended in time.
        """
        deadline = time.monotonic() + timeout
        pause = _FIRST_POLL_SECONDS
        while True:
            status = await self.get_orchestration_state(instance_id, fetch_payloads=fetch_payloads)
            if status is None or status.runtime_status in _ENDED:
                return status
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                raise TimeoutError(f"instance {instance_id} has not ended within {timeout} s")
            await asyncio.sleep(min(remaining, pause))
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)
