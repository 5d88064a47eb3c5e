"""Requests of the durable client, and what their answers mean. Pure: nothing here sends.

An :class:`Operation` is one request and the reading of its answer, so that the asynchronous and the blocking client
differ only in how they send. Addresses, bodies and outcomes are the reference's; what differs is listed in
``docs/reference/differences.md`` and held by ``tests/conformance/sdk/test_client_reference.py``.

Bodies are encoded twice, as the reference does: the value becomes JSON text, and the text is sent as a JSON string.

Source: Durable Task extension, HTTP API.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeVar
from urllib.parse import urlsplit

from azure.durable_functions._client.addresses import RpcManagementOptions, quoted
from azure.durable_functions._client.answers import EntityStateResponse, PurgeHistoryResult
from azure.durable_functions._client.errors import DurableClientError
from azure.durable_functions._client.status import DurableOrchestrationStatus
from azure.durable_functions._serialization import df_dumps
from azure.durable_functions.constants import ORCHESTRATION_TRIGGER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from azure.durable_functions._client.status import OrchestrationRuntimeStatus
    from azure.durable_functions._replay.functions import OrchestratorFunction
    from azure.durable_functions.models.utils.entity_utils import EntityId

T = TypeVar("T")

Control = Literal["terminate", "suspend", "resume"]


@dataclass(frozen=True, slots=True)
class Operation(Generic[T]):
    """One request, and how to read its answer."""

    method: Literal["GET", "POST", "DELETE"]
    url: str
    read: Callable[[int, Any], T]
    """Takes status and decoded body; returns what the caller wants, or raises."""
    data: str | None = None
    """JSON text, to be sent as a JSON string; ``None`` for no body."""
    is_traced: bool = False
    """Whether the request carries the current trace."""


def start(base: str | None, name: str, instance_id: str | None, value: Any, version: str | None) -> Operation[str]:
    """Start an instance; the answer is its id."""

    def read(status: int, body: Any) -> str:
        if status <= 202 and body:
            return str(body["id"])
        if status == 400 and isinstance(body, dict) and "ExceptionMessage" in body:
            raise DurableClientError(str(body["ExceptionMessage"]), status=status, body=body)
        if body:
            raise DurableClientError(str(body), status=status, body=body)
        raise DurableClientError(
            f"the host answered status code {status} without a body to the start of {name!r}", status=status
        )

    url = f"{_required(base)}orchestrators/{quoted(name)}"
    if instance_id is not None:
        url += f"/{quoted(instance_id)}"
    if version is not None:
        url += f"?version={quoted(version)}"
    return Operation("POST", url, read, None if value is None else df_dumps(value), is_traced=True)


def orchestrator_name(orchestrator: str | OrchestratorFunction) -> str:
    """Return the name under which the host knows an orchestrator, given by name or as the decorated function."""
    if isinstance(orchestrator, str):
        return orchestrator
    function = getattr(orchestrator, "_function", None)
    trigger = function.get_trigger() if function is not None else None
    if function is None or trigger is None or trigger.get_binding_name() != ORCHESTRATION_TRIGGER:
        raise ValueError(f"{orchestrator!r} is no orchestrator: give its name, or a function of @orchestration_trigger")
    return str(trigger.orchestration or function.get_function_name())


def status_of(
    base: str | None, instance_id: str, *, show_history: bool, show_history_output: bool, show_input: bool
) -> Operation[DurableOrchestrationStatus]:
    """Read the status of an instance; that of a missing one is falsy."""

    def read(status: int, body: Any) -> DurableOrchestrationStatus:
        # 202 while it runs, 500 when it failed; 400 and 404 tell nothing but that there is no such instance.
        if status in (200, 202, 400, 404, 500):
            return DurableOrchestrationStatus.from_json("" if body is None else body)
        _refuse(status, body)

    options = RpcManagementOptions(
        instance_id=instance_id,
        show_history=show_history,
        show_history_output=show_history_output,
        show_input=show_input,
    )
    return Operation("GET", options.to_url(base), read)


def statuses(
    base: str | None,
    *,
    created_time_from: datetime | None = None,
    created_time_to: datetime | None = None,
    runtime_status: Iterable[OrchestrationRuntimeStatus] | None = None,
    instance_id_prefix: str | None = None,
) -> Operation[list[DurableOrchestrationStatus]]:
    """Read the statuses of the first page of instances that match."""

    def read(status: int, body: Any) -> list[DurableOrchestrationStatus]:
        if status == 200:
            return [DurableOrchestrationStatus.from_json(row) for row in body or ()]
        _refuse(status, body)

    options = RpcManagementOptions(
        created_time_from=created_time_from,
        created_time_to=created_time_to,
        runtime_status=runtime_status,
        instance_id_prefix=instance_id_prefix,
    )
    return Operation("GET", options.to_url(base), read)


def purge(base: str | None, instance_id: str) -> Operation[PurgeHistoryResult]:
    """Remove an instance."""
    if instance_id == "":
        # The address would be that of all instances.
        raise ValueError("instance_id must be a non-empty string.")
    return Operation("DELETE", f"{_required(base)}instances/{quoted(instance_id)}", _read_purge)


def purge_by(
    base: str | None,
    *,
    created_time_from: datetime | None,
    created_time_to: datetime | None,
    runtime_status: Iterable[OrchestrationRuntimeStatus] | None,
) -> Operation[PurgeHistoryResult]:
    """Remove the instances that match."""
    if created_time_from is None:
        raise ValueError("created_time_from is required when purging instance history")
    options = RpcManagementOptions(
        created_time_from=created_time_from, created_time_to=created_time_to, runtime_status=runtime_status
    )
    return Operation("DELETE", options.to_url(base), _read_purge)


def _read_purge(status: int, body: Any) -> PurgeHistoryResult:
    if status == 200 and body:
        return PurgeHistoryResult.from_json(body)
    if status == 404:
        return PurgeHistoryResult.from_json({"instancesDeleted": 0})
    _refuse(status, body)


def raise_event(
    base: str | None,
    instance_id: str,
    event_name: str,
    event_data: Any,
    task_hub_name: str | None,
    connection_name: str | None,
) -> Operation[None]:
    """Send an external event to an instance."""
    if event_name == "":
        raise ValueError("event_name must be a non-empty string.")
    refusals = {
        410: f"Instance with ID {instance_id} is gone: either completed or failed",
        404: f"No instance with ID {instance_id} found.",
        400: "Only application/json request content is supported",
    }

    def read(status: int, body: Any) -> None:
        if status != 202:
            text = refusals.get(status) or _explained(f"Webhook returned unrecognized status code {status}", body)
            raise DurableClientError(text, status=status, body=body)

    url = f"{_required(base)}instances/{quoted(instance_id)}/raiseEvent/{quoted(event_name)}"
    return Operation("POST", url + _elsewhere("?", task_hub_name, connection_name), read, df_dumps(event_data))


def control(base: str | None, verb: Control, instance_id: str, reason: str | None) -> Operation[None]:
    """Terminate, suspend or resume an instance; one that has ended already is left alone."""

    def read(status: int, body: Any) -> None:
        if status == 404:
            raise DurableClientError(f"No instance with ID '{instance_id}' found.", status=status, body=body)
        if status not in (202, 410):
            _refuse(status, body)

    query = "" if reason is None else f"?reason={quoted(reason)}"
    return Operation("POST", f"{_required(base)}instances/{quoted(instance_id)}/{verb}{query}", read)


def restart(base: str | None, instance_id: str, with_new_instance_id: bool) -> Operation[str]:
    """Start an instance over with its first input; the answer is the id of the new instance."""

    def read(status: int, body: Any) -> str:
        if status == 404:
            raise DurableClientError(f"No instance with ID '{instance_id}' found.", status=status, body=body)
        if status not in (202, 410):
            _refuse(status, body)
        if isinstance(body, dict):
            return str(body.get("id", instance_id))
        return str(body) if body else str(instance_id)

    query = f"restartWithNewInstanceId={'true' if with_new_instance_id else 'false'}"
    return Operation("POST", f"{_required(base)}instances/{quoted(instance_id)}/restart?{query}", read)


def rewind(
    base: str | None, instance_id: str, reason: str | None, task_hub_name: str | None, connection_name: str | None
) -> Operation[None]:
    """Replay a failed instance from before its failure."""
    if not base:
        raise DurableClientError(
            "The Python SDK only supports RPC endpoints.Please remove the `localRpcEnabled` setting from host.json"
        )
    refusals = {
        404: f"No instance with ID {instance_id} found.",
        410: "The rewind operation is only supported on failed orchestration instances.",
    }

    def read(status: int, body: Any) -> None:
        if status in (200, 202):
            return
        text = refusals.get(status) or (body if isinstance(body, str) and body else None)
        if text is None:
            text = f"Received unexpected payload from the durable-extension: {[status, body]}"
        raise DurableClientError(text, status=status, body=body)

    url = f"{base}instances/{quoted(instance_id)}/rewind?reason={quoted(reason or '')}"
    return Operation("POST", url + _elsewhere("&", task_hub_name, connection_name), read)


def signal(
    base: str | None,
    entity_id: EntityId,
    operation_name: str,
    value: Any,
    task_hub_name: str | None,
    connection_name: str | None,
) -> Operation[None]:
    """Send an entity an operation, without waiting for it."""

    def read(status: int, body: Any) -> None:
        if status != 202:
            _refuse(status, body)

    options = RpcManagementOptions(
        operation_name=operation_name,
        entity_Id=entity_id,
        task_hub_name=task_hub_name,
        connection_name=connection_name,
    )
    data = None if value is None else df_dumps(value)
    return Operation("POST", options.to_url(base), read, data, is_traced=True)


def entity_state(
    base: str | None, entity_id: EntityId, task_hub_name: str | None, connection_name: str | None
) -> Operation[EntityStateResponse]:
    """Read the state of an entity."""

    def read(status: int, body: Any) -> EntityStateResponse:
        if status == 200:
            return EntityStateResponse(True, body)
        if status == 404:
            return EntityStateResponse(False)
        _refuse(status, body)

    options = RpcManagementOptions(entity_Id=entity_id, task_hub_name=task_hub_name, connection_name=connection_name)
    return Operation("GET", options.to_url(base), read)


def management_urls(templates: Mapping[str, str], instance_id: str) -> dict[str, str]:
    """Return an instance's addresses: the placeholder, the value of ``id``, replaced by the escaped id."""
    placeholder = templates["id"]
    return {
        key: str(instance_id) if key == "id" else url.replace(placeholder, quoted(instance_id))
        for key, url in templates.items()
    }


def with_origin(urls: Mapping[str, str], request_url: str) -> dict[str, str]:
    """Return the addresses with scheme and host of another: those that the caller reached us under."""
    origin = urlsplit(str(request_url))  # requests of web frameworks have a URL object
    return {
        key: url if key == "id" else urlsplit(url)._replace(scheme=origin.scheme, netloc=origin.netloc).geturl()
        for key, url in urls.items()
    }


def _required(base: str | None) -> str:
    if not base:
        raise ValueError("orchestration bindings has not RPC base url")
    return base


def _elsewhere(separator: str, task_hub_name: str | None, connection_name: str | None) -> str:
    given = (("taskHub", task_hub_name), ("connection", connection_name))
    query = "&".join(f"{key}={quoted(value)}" for key, value in given if value)
    return separator + query if query else ""


def _refuse(status: int, body: Any) -> NoReturn:
    text = _explained(f"The operation failed with an unexpected status code {status}", body)
    raise DurableClientError(text, status=status, body=body)


def _explained(text: str, body: Any) -> str:
    """Add what the host says to a message, where it says anything."""
    reason = (body.get("ExceptionMessage") or body.get("Message")) if isinstance(body, dict) else body
    return f"{text}: {reason}" if isinstance(reason, str) and reason else text
