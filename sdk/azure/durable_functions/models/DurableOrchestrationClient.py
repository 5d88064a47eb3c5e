"""The durable client: starts, watches and controls orchestrations and entities through the host."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, TypeVar

from azure.durable_functions._client import requests
from azure.durable_functions._client.links import InstanceLinks, check_intervals, finished_response
from azure.durable_functions._client.tracing import current_trace
from azure.durable_functions.models.utils.http_utils import (
    delete_async_request,
    get_async_request,
    post_async_request,
)

if TYPE_CHECKING:
    from datetime import datetime

    import azure.functions as func
    from azure.durable_functions._replay.functions import OrchestratorFunction
    from azure.durable_functions.models.DurableOrchestrationStatus import DurableOrchestrationStatus
    from azure.durable_functions.models.EntityStateResponse import EntityStateResponse
    from azure.durable_functions.models.OrchestrationRuntimeStatus import OrchestrationRuntimeStatus
    from azure.durable_functions.models.PurgeHistoryResult import PurgeHistoryResult
    from azure.durable_functions.models.utils.entity_utils import EntityId

T = TypeVar("T")


class DurableOrchestrationClient(InstanceLinks):
    """Starts, watches and controls orchestrations and entities.

    Made by ``@app.durable_client_input``, or by hand from the text that a ``durableClient`` binding of function.json
    hands over. Methods that talk to the host raise, besides what they name:

    * :class:`DurableClientError`, an ``Exception`` with ``status`` and ``body``, when the host refuses,
    * ``ValueError`` when the binding has no ``rpcBaseUrl``,
    * ``aiohttp.ClientError`` or ``asyncio.TimeoutError`` when the host cannot be reached.

    Args:
        context: the binding's payload, JSON text.
        function_invocation_id: id of the invocation that the client works for; the host logs it with each request.

    Raises:
        TypeError: the payload lacks a key; the text names it.
        json.JSONDecodeError: the payload is no JSON.
    """

    def __init__(self, context: str | bytes, function_invocation_id: str | None = None) -> None:
        super().__init__(context, function_invocation_id)
        # Looked up here, and called in exactly this shape, because tests of apps and tracing tools replace them.
        self._post_async_request = post_async_request
        self._get_async_request = get_async_request
        self._delete_async_request = delete_async_request

    async def start_new(
        self,
        orchestration_function_name: str | OrchestratorFunction,
        instance_id: str | None = None,
        client_input: Any = None,
        version: str | None = None,
    ) -> str:
        """Start an instance of an orchestrator.

        Args:
            orchestration_function_name: the orchestrator's name, or the function under ``@orchestration_trigger``.
            instance_id: id of the new instance; the host makes one if there is none.
            client_input: the orchestrator's input: any JSON value, or an object with ``to_json``.
            version: version of the instance; the app's default if there is none.

        Returns:
            The instance's id.

        Raises:
            DurableClientError: no such orchestrator, a bad id, or an instance of this id that still runs.
            TypeError: the input cannot be encoded.
            ValueError: the function is no orchestrator.
        """
        name = requests.orchestrator_name(orchestration_function_name)
        return await self._perform(requests.start(self._base, name, instance_id, client_input, version))

    async def get_status(
        self,
        instance_id: str,
        show_history: bool = False,
        show_history_output: bool = False,
        show_input: bool = False,
    ) -> DurableOrchestrationStatus:
        """Read the status of an instance.

        Args:
            instance_id: the instance; ``@name@key`` for an entity's.
            show_history: read the history too.
            show_history_output: read the results in the history too.
            show_input: ask for the input; hosts give it unless they are told not to.

        Returns:
            The status, falsy when there is no such instance.
        """
        return await self._perform(
            requests.status_of(
                self._base,
                instance_id,
                show_history=show_history,
                show_history_output=show_history_output,
                show_input=show_input,
            )
        )

    async def get_status_all(self) -> list[DurableOrchestrationStatus]:
        """Read the statuses of all instances, entities included.

        Returns:
            One page: at most 100 with the usual hosts.
        """
        return await self._perform(requests.statuses(self._base))

    async def get_status_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
        instance_id_prefix: str | None = None,
    ) -> list[DurableOrchestrationStatus]:
        """Read the statuses of instances that match every condition given.

        Args:
            created_time_from: created at or after this time; a naive time is UTC.
            created_time_to: created at or before this time; a naive time is UTC.
            runtime_status: in one of these states.
            instance_id_prefix: with an id that begins so; case matters.

        Returns:
            One page: at most 100 with the usual hosts.
        """
        return await self._perform(
            requests.statuses(
                self._base,
                created_time_from=created_time_from,
                created_time_to=created_time_to,
                runtime_status=runtime_status,
                instance_id_prefix=instance_id_prefix,
            )
        )

    async def purge_instance_history(self, instance_id: str) -> PurgeHistoryResult:
        """Remove an instance that has ended, with all that is stored of it.

        Returns:
            How many were removed: 0 when there is no such instance.

        Raises:
            ValueError: the id is empty.
            DurableClientError: the instance has not ended.
        """
        return await self._perform(requests.purge(self._base, instance_id))

    async def purge_instance_history_by(
        self,
        created_time_from: datetime | None = None,
        created_time_to: datetime | None = None,
        runtime_status: list[OrchestrationRuntimeStatus] | None = None,
    ) -> PurgeHistoryResult:
        """Remove the instances that match every condition given.

        Give final states: without any, the official extension removes running instances too.

        Args:
            created_time_from: created at or after this time; required; a naive time is UTC.
            created_time_to: created at or before this time; a naive time is UTC.
            runtime_status: in one of these states.

        Returns:
            How many were removed.

        Raises:
            ValueError: ``created_time_from`` is missing.
        """
        return await self._perform(
            requests.purge_by(
                self._base,
                created_time_from=created_time_from,
                created_time_to=created_time_to,
                runtime_status=runtime_status,
            )
        )

    async def raise_event(
        self,
        instance_id: str,
        event_name: str,
        event_data: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Send an external event to an instance.

        Args:
            instance_id: the instance; one that has not begun yet may get events too.
            event_name: what the orchestrator waits for.
            event_data: the event's value. It is encoded twice: the orchestrator receives JSON *text*.
            task_hub_name: another task hub than the client's.
            connection_name: setting with another storage connection than the client's.

        Raises:
            ValueError: the name is empty.
            DurableClientError: no such instance, or it has ended.
            TypeError: the value cannot be encoded.
        """
        return await self._perform(
            requests.raise_event(self._base, instance_id, event_name, event_data, task_hub_name, connection_name)
        )

    async def terminate(self, instance_id: str, reason: str | None) -> None:
        """Stop an instance from outside. Its sub-orchestrations go on.

        Nothing happens to an instance that has ended.

        Args:
            instance_id: the instance.
            reason: why; becomes the instance's output. ``None`` for no reason.

        Raises:
            DurableClientError: no such instance.
        """
        return await self._perform(requests.control(self._base, "terminate", instance_id, reason))

    async def suspend(self, instance_id: str, reason: str | None) -> None:
        """Pause an instance: events wait until it is resumed.

        Nothing happens to an instance that has ended.

        Args:
            instance_id: the instance.
            reason: why, for its history; ``None`` for no reason.

        Raises:
            DurableClientError: no such instance, or it is suspended.
        """
        return await self._perform(requests.control(self._base, "suspend", instance_id, reason))

    async def resume(self, instance_id: str, reason: str | None) -> None:
        """Let a suspended instance go on.

        Nothing happens to an instance that has ended.

        Args:
            instance_id: the instance.
            reason: why, for its history; ``None`` for no reason.

        Raises:
            DurableClientError: no such instance, or it is not suspended.
        """
        return await self._perform(requests.control(self._base, "resume", instance_id, reason))

    async def restart(self, instance_id: str, restart_with_new_instance_id: bool = True) -> str:
        """Start an instance over, with the input that it was started with.

        Args:
            instance_id: the instance.
            restart_with_new_instance_id: whether a new instance is made; otherwise the old one must have ended, and
                is replaced.

        Returns:
            The id of the instance that was started.

        Raises:
            DurableClientError: no such instance, or it has not ended and keeps its id.
        """
        return await self._perform(requests.restart(self._base, instance_id, restart_with_new_instance_id))

    async def rewind(
        self,
        instance_id: str,
        reason: str | None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Let a failed instance go on from before its failure.

        Args:
            instance_id: the instance.
            reason: why, for its history.
            task_hub_name: another task hub than the client's.
            connection_name: setting with another storage connection than the client's.

        Raises:
            DurableClientError: no such instance, or it has not failed, or the binding has no ``rpcBaseUrl``.
        """
        return await self._perform(requests.rewind(self._base, instance_id, reason, task_hub_name, connection_name))

    async def signal_entity(
        self,
        entityId: EntityId,
        operation_name: str,
        operation_input: Any = None,
        task_hub_name: str | None = None,
        connection_name: str | None = None,
    ) -> None:
        """Send an entity an operation, without waiting for it. The entity need not exist.

        Args:
            entityId: the entity.
            operation_name: the operation.
            operation_input: its input; what is not ``None`` arrives, falsy values too.
            task_hub_name: another task hub than the client's (official hosts ignore it here).
            connection_name: setting with another storage connection than the client's (likewise).

        Raises:
            DurableClientError: no such entity function.
            TypeError: the input cannot be encoded.
        """
        return await self._perform(
            requests.signal(self._base, entityId, operation_name, operation_input, task_hub_name, connection_name)
        )

    async def read_entity_state(
        self, entityId: EntityId, task_hub_name: str | None = None, connection_name: str | None = None
    ) -> EntityStateResponse:
        """Read the state of an entity, as of its last operation.

        Args:
            entityId: the entity.
            task_hub_name: another task hub than the client's.
            connection_name: setting with another storage connection than the client's.

        Returns:
            Whether it exists, and its decoded state.
        """
        return await self._perform(requests.entity_state(self._base, entityId, task_hub_name, connection_name))

    async def wait_for_completion_or_create_check_status_response(
        self,
        request: func.HttpRequest | None,
        instance_id: str,
        timeout_in_milliseconds: int = 10_000,
        retry_interval_in_milliseconds: int = 1_000,
        *,
        return_internal_server_error_on_failure: bool = True,
    ) -> func.HttpResponse:
        """Wait a while for an instance to end, and return the answer to the request that started it.

        Args:
            request: the request to answer; its scheme and host go into the addresses.
            instance_id: the instance.
            timeout_in_milliseconds: how long to wait at most.
            retry_interval_in_milliseconds: how long between two looks.
            return_internal_server_error_on_failure: answer 500 for a failed instance, otherwise 200.

        Returns:
            Completed: 200 with the output, a text as it is, anything else as JSON. Terminated or cancelled: 200 with
            the status. Failed: 500 with the status. Not ended: as :meth:`create_check_status_response`.

        Raises:
            Exception: the interval is longer than the timeout.
        """
        check_intervals(timeout_in_milliseconds, retry_interval_in_milliseconds)
        deadline = time.monotonic() + timeout_in_milliseconds / 1000
        while True:
            status = await self.get_status(instance_id)
            code = 500 if return_internal_server_error_on_failure else 200
            response = finished_response(status, failed_status_code=code)
            if response is not None:
                return response
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return self.create_check_status_response(request, instance_id)
            await asyncio.sleep(min(remaining, retry_interval_in_milliseconds / 1000))

    @staticmethod
    def _get_current_activity_context() -> tuple[str | None, str | None]:
        """Return ``traceparent`` and ``tracestate`` of the current span; tracing tools replace this."""
        return current_trace()

    async def _perform(self, operation: requests.Operation[T]) -> T:
        if operation.method == "GET":
            answer = await self._get_async_request(operation.url)
        elif operation.method == "DELETE":
            answer = await self._delete_async_request(operation.url)
        elif operation.is_traced:
            trace = self._get_current_activity_context()
            answer = await self._post_async_request(operation.url, operation.data, *trace, self._function_invocation_id)
        else:
            answer = await self._post_async_request(
                operation.url, operation.data, function_invocation_id=self._function_invocation_id
            )
        status, body = answer
        return operation.read(status, body)
