"""The part of a durable client that needs no request: addresses of instances, and responses that hold them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, overload

from azure.durable_functions._client import requests
from azure.durable_functions._client.bindings import DurableOrchestrationBindings
from azure.durable_functions._client.status import OrchestrationRuntimeStatus

if TYPE_CHECKING:
    import azure.functions as func
    from azure.durable_functions._client.status import DurableOrchestrationStatus

_RETRY_AFTER_SECONDS = 10


class InstanceLinks:
    """Addresses of instances, from a ``durableClient`` binding.

    Args:
        context: the binding's payload, JSON text.
        function_invocation_id: id of the invocation that the client works for; the host logs it with each request.

    Raises:
        TypeError: the payload lacks a key; the text names it.
        json.JSONDecodeError: the payload is no JSON.
    """

    def __init__(self, context: str | bytes, function_invocation_id: str | None = None) -> None:
        self._orchestration_bindings = DurableOrchestrationBindings.from_json(context)
        self._function_invocation_id = function_invocation_id

    def __repr__(self) -> str:
        bindings = self._orchestration_bindings
        return f"<{type(self).__name__} of {bindings.task_hub_name} at {bindings.rpc_base_url}>"

    @property
    def _base(self) -> str | None:
        return self._orchestration_bindings.rpc_base_url

    @overload
    def create_http_management_payload(self, instance_id: str) -> dict[str, str]: ...

    @overload
    def create_http_management_payload(self, request: func.HttpRequest | None, instance_id: str) -> dict[str, str]: ...

    def create_http_management_payload(self, *arguments: Any, **keywords: Any) -> dict[str, str]:
        """Return the addresses of an instance.

        Args:
            *arguments: the instance's id, or the request that the caller made and the id.
            **keywords: the same by name, ``request`` and ``instance_id``.

        Returns:
            One address for each key of the host's templates (``statusQueryGetUri``, ``sendEventPostUri``,
            ``terminatePostUri``, ``rewindPostUri``, ``purgeHistoryDeleteUri``, ``restartPostUri``,
            ``suspendPostUri``, ``resumePostUri``), and ``id``. With a request, its scheme and host.
        """
        return self._links(*_request_and_id(*arguments, **keywords))

    def get_client_response_links(self, request: func.HttpRequest | None, instance_id: str) -> dict[str, str]:
        """Return the addresses of an instance as the caller of ``request`` can reach them.

        Args:
            request: gives scheme and host; ``None`` leaves those that the host knows.
            instance_id: the instance.

        Returns:
            As :meth:`create_http_management_payload`.
        """
        return self._links(request, instance_id)

    def create_check_status_response(self, request: func.HttpRequest | None, instance_id: str) -> func.HttpResponse:
        """Return the answer to a request that started an instance: "accepted, look here".

        Args:
            request: the request to answer; its scheme and host go into the addresses.
            instance_id: the instance.

        Returns:
            Status 202, the addresses as JSON body, ``Location`` of the status and ``Retry-After: 10`` (seconds).
        """
        links = self._links(request, instance_id)
        headers = {
            "Content-Type": "application/json",
            "Location": links["statusQueryGetUri"],
            "Retry-After": str(_RETRY_AFTER_SECONDS),
        }
        return _response(202, json.dumps(links), headers)

    def _links(self, request: func.HttpRequest | None, instance_id: str) -> dict[str, str]:
        urls = requests.management_urls(self._orchestration_bindings.management_urls, instance_id)
        return urls if request is None else requests.with_origin(urls, request.url)


def finished_response(status: DurableOrchestrationStatus, *, failed_status_code: int) -> func.HttpResponse | None:
    """Return the answer that tells how an instance ended; ``None`` while it has not.

    Completed: 200 with the output, a text as it is and anything else as JSON. Terminated and cancelled: 200 with the
    whole status. Failed: ``failed_status_code`` with the whole status.
    """
    state = status.runtime_status
    headers = {"Content-Type": "application/json"}
    if state is OrchestrationRuntimeStatus.Completed:
        output = status.output
        return _response(200, output if isinstance(output, str) else json.dumps(output), headers)
    if state in (OrchestrationRuntimeStatus.Canceled, OrchestrationRuntimeStatus.Terminated):
        return _response(200, json.dumps(status.to_json()), headers)
    if state is OrchestrationRuntimeStatus.Failed:
        return _response(failed_status_code, json.dumps(status.to_json()), headers)
    return None


def check_intervals(timeout_in_milliseconds: int, retry_interval_in_milliseconds: int) -> None:
    """Refuse to wait with an interval that is longer than the whole wait."""
    if retry_interval_in_milliseconds > timeout_in_milliseconds:
        raise Exception(
            f"Total timeout {timeout_in_milliseconds} (ms) should be bigger than "
            f"retry timeout {retry_interval_in_milliseconds} (ms)"
        )


def _response(status_code: int, body: str, headers: dict[str, str]) -> func.HttpResponse:
    import azure.functions as func

    return func.HttpResponse(status_code=status_code, body=body, headers=headers)


def _request_and_id(*arguments: Any, **keywords: Any) -> tuple[func.HttpRequest | None, str]:
    names = ("instance_id",) if len(arguments) + len(keywords) == 1 else ("request", "instance_id")
    given = dict(zip(names, arguments, strict=False)) | keywords
    if len(arguments) > len(names) or given.keys() != set(names):
        raise TypeError("create_http_management_payload() takes (instance_id) or (request, instance_id)")
    return given.get("request"), given["instance_id"]
