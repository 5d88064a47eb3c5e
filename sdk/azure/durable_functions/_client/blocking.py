"""The durable client for plain ``def`` functions: every method returns when the host has answered.

Requests run on one event loop in a thread of its own, shared by all blocking clients of the process, so that they
share its connections.
"""

from __future__ import annotations

import asyncio
import atexit
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from azure.durable_functions._client.links import InstanceLinks
from azure.durable_functions._client.newer_names import DurableFunctionsClient

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from datetime import datetime

    import azure.functions as func
    from azure.durable_functions._client.answers import EntityStateResponse, PurgeHistoryResult
    from azure.durable_functions._client.status import DurableOrchestrationStatus, OrchestrationRuntimeStatus
    from azure.durable_functions._replay.functions import OrchestratorFunction
    from azure.durable_functions.models.utils.entity_utils import EntityId

T = TypeVar("T")

_CLOSE_SECONDS = 1.0

_starting = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on the blocking clients' loop, and wait for it."""
    return asyncio.run_coroutine_threadsafe(coroutine, _running_loop()).result()


def _running_loop() -> asyncio.AbstractEventLoop:
    global _loop
    with _starting:
        if _loop is None:
            _loop = asyncio.new_event_loop()
            # A daemon: a thread that others wait for would keep the worker from ending.
            threading.Thread(target=_loop.run_forever, name="durable-client", daemon=True).start()
            atexit.register(_close_connections, _loop)
        return _loop


def _close_connections(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(loop.shutdown_asyncgens(), loop).result(timeout=_CLOSE_SECONDS)


class SyncDurableFunctionsClient(InstanceLinks):
    """A :class:`DurableFunctionsClient` whose methods block. Safe to use from several threads.

    Not for ``async def`` functions: it would stop their event loop until the host answers.

    Args:
        context: the binding's payload, JSON text.
        function_invocation_id: id of the invocation that the client works for; the host logs it with each request.
    """

    def __init__(self, context: str | bytes, function_invocation_id: str | None = None) -> None:
        super().__init__(context, function_invocation_id)
        self._client = DurableFunctionsClient(context, function_invocation_id)

    def start_new(
        self,
        orchestration_function_name: str | OrchestratorFunction,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
    ) -> str:
        """Start an instance; see :meth:`DurableOrchestrationClient.start_new`."""
        return run(self._client.start_new(orchestration_function_name, instance_id, client_input, version))

    def get_status(
        self,
        instance_id: str,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = False,
    ) -> DurableOrchestrationStatus:
        """Read a status; see :meth:`DurableOrchestrationClient.get_status`."""
        return run(self._client.get_status(instance_id, show_history, show_history_output, show_input))

    def get_status_all(self) -> list[DurableOrchestrationStatus]:
        """Read all statuses; see :meth:`DurableOrchestrationClient.get_status_all`."""
        return run(self._client.get_status_all())

    def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
    ) -> list[DurableOrchestrationStatus]:
        """Read statuses that match; see :meth:`DurableOrchestrationClient.get_status_by`."""
        return run(self._client.get_status_by(created_time_from, created_time_to, runtime_status, instance_id_prefix))

    def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        """Remove an instance; see :meth:`DurableOrchestrationClient.purge_instance_history`."""
        return run(self._client.purge_instance_history(instance_id))

    def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Remove instances that match; see :meth:`DurableOrchestrationClient.purge_instance_history_by`."""
        return run(self._client.purge_instance_history_by(created_time_from, created_time_to, runtime_status))

    def raise_event(
        self,
        instance_id: str,
        event_name: str,
        event_data: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Send an external event; see :meth:`DurableOrchestrationClient.raise_event`."""
        run(self._client.raise_event(instance_id, event_name, event_data, task_hub_name, connection_name))

    def terminate(self, instance_id: str, reason: str | None) -> None:
        """Stop an instance; see :meth:`DurableOrchestrationClient.terminate`."""
        run(self._client.terminate(instance_id, reason))

    def suspend(self, instance_id: str, reason: str | None) -> None:
        """Pause an instance; see :meth:`DurableOrchestrationClient.suspend`."""
        run(self._client.suspend(instance_id, reason))

    def resume(self, instance_id: str, reason: str | None) -> None:
        """Let a suspended instance go on; see :meth:`DurableOrchestrationClient.resume`."""
        run(self._client.resume(instance_id, reason))

    def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Start an instance over; see :meth:`DurableOrchestrationClient.restart`."""
        return run(self._client.restart(instance_id, restart_with_new_instance_id))

    def rewind(
        self,
        instance_id: str,
        reason: str | None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Let a failed instance go on; see :meth:`DurableOrchestrationClient.rewind`."""
        run(self._client.rewind(instance_id, reason, task_hub_name, connection_name))

    def signal_entity(
        self,
        entityId: EntityId,
        operation_name: str,
        operation_input: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Send an entity an operation; see :meth:`DurableOrchestrationClient.signal_entity`."""
        run(self._client.signal_entity(entityId, operation_name, operation_input, task_hub_name, connection_name))

    def read_entity_state(
        self, entityId: EntityId, task_hub_name: str | None = None, connection_name: str | None = None
    ) -> EntityStateResponse:
        """Read an entity's state; see :meth:`DurableOrchestrationClient.read_entity_state`."""
        return run(self._client.read_entity_state(entityId, task_hub_name, connection_name))

    def wait_for_completion_or_create_check_status_response(
        self,
        request: func.HttpRequest | None,
        instance_id: str,
        timeout_in_milliseconds: int = 10_000,
        retry_interval_in_milliseconds: int = 1_000,
        *,
        return_internal_server_error_on_failure: bool = True,
    ) -> func.HttpResponse:
        """Wait a while for an instance to end; see the method of :class:`DurableOrchestrationClient`."""
        return run(
            self._client.wait_for_completion_or_create_check_status_response(
                request,
                instance_id,
                timeout_in_milliseconds,
                retry_interval_in_milliseconds,
                return_internal_server_error_on_failure=return_internal_server_error_on_failure,
            )
        )

    def schedule_new_orchestration(
        self,
        orchestrator: str | OrchestratorFunction,
        *,
        input: Any = None,
        instance_id: str | None = None,
        version: str | None = None,
    ) -> str:
        """Start an instance; see :meth:`DurableFunctionsClient.schedule_new_orchestration`."""
        return run(
            self._client.schedule_new_orchestration(orchestrator, input=input, instance_id=instance_id, version=version)
        )

    def get_orchestration_state(
        self, instance_id: str, *, fetch_payloads: bool = True
    ) -> DurableOrchestrationStatus | None:
        """Read a status; see :meth:`DurableFunctionsClient.get_orchestration_state`."""
        return run(self._client.get_orchestration_state(instance_id, fetch_payloads=fetch_payloads))

    def get_all_orchestration_states(self) -> list[DurableOrchestrationStatus]:
        """Read all statuses; see :meth:`DurableFunctionsClient.get_all_orchestration_states`."""
        return run(self._client.get_all_orchestration_states())

    def raise_orchestration_event(self, instance_id: str, event_name: str, *, data: Any = None) -> None:
        """Send an external event; see :meth:`DurableFunctionsClient.raise_orchestration_event`."""
        run(self._client.raise_orchestration_event(instance_id, event_name, data=data))

    def terminate_orchestration(self, instance_id: str, *, output: Any = None) -> None:
        """Stop an instance; see :meth:`DurableFunctionsClient.terminate_orchestration`."""
        run(self._client.terminate_orchestration(instance_id, output=output))

    def suspend_orchestration(self, instance_id: str, *, reason: str | None = None) -> None:
        """Pause an instance; see :meth:`DurableFunctionsClient.suspend_orchestration`."""
        run(self._client.suspend_orchestration(instance_id, reason=reason))

    def resume_orchestration(self, instance_id: str, *, reason: str | None = None) -> None:
        """Let a suspended instance go on; see :meth:`DurableFunctionsClient.resume_orchestration`."""
        run(self._client.resume_orchestration(instance_id, reason=reason))

    def restart_orchestration(self, instance_id: str, *, restart_with_new_instance_id: bool = False) -> str:
        """Start an instance over; see :meth:`DurableFunctionsClient.restart_orchestration`."""
        return run(
            self._client.restart_orchestration(instance_id, restart_with_new_instance_id=restart_with_new_instance_id)
        )

    def rewind_orchestration(self, instance_id: str, *, reason: str | None = None) -> None:
        """Let a failed instance go on; see :meth:`DurableFunctionsClient.rewind_orchestration`."""
        run(self._client.rewind_orchestration(instance_id, reason=reason))

    def purge_orchestration(self, instance_id: str) -> PurgeHistoryResult:
        """Remove an instance; see :meth:`DurableFunctionsClient.purge_orchestration`."""
        return run(self._client.purge_orchestration(instance_id))

    def purge_orchestrations_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Remove instances that match; see :meth:`DurableFunctionsClient.purge_orchestrations_by`."""
        return run(self._client.purge_orchestrations_by(created_time_from, created_time_to, runtime_status))

    def get_entity(self, entity_instance_id: EntityId) -> EntityStateResponse | None:
        """Read an entity's state; see :meth:`DurableFunctionsClient.get_entity`."""
        return run(self._client.get_entity(entity_instance_id))

    def wait_for_orchestration_completion(
        self, instance_id: str, *, fetch_payloads: bool = True, timeout: float = 60
    ) -> DurableOrchestrationStatus | None:
        """Wait for an instance to end; see :meth:`DurableFunctionsClient.wait_for_orchestration_completion`."""
        return run(
            self._client.wait_for_orchestration_completion(instance_id, fetch_payloads=fetch_payloads, timeout=timeout)
        )
