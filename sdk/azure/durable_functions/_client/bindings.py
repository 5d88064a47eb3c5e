"""What the host tells a durable client: where its hub is."""

from __future__ import annotations

import json
from typing import Any

from azure.durable_functions._replay.context import FunctionContext


class DurableOrchestrationBindings:
    """The payload of a ``durableClient`` binding.

    Args:
        taskHubName: the task hub that the client works on.
        creationUrls: addresses that start instances.
        managementUrls: addresses of an instance; each has the value of the key ``id`` where the instance's id belongs.
        rpcBaseUrl: address of the management API for this process, with ``/`` at its end; ``None`` when the host does
            not serve one.
        **kwargs: whatever else the host tells.
    """

    def __init__(
        self,
        taskHubName: str,
        creationUrls: dict[str, str],
        managementUrls: dict[str, str],
        rpcBaseUrl: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._task_hub_name = taskHubName
        self._creation_urls = creationUrls
        self._management_urls = managementUrls
        self._rpc_base_url = rpcBaseUrl
        self._client_data = FunctionContext(**kwargs)

    @classmethod
    def from_json(cls, json_string: str | bytes) -> DurableOrchestrationBindings:
        """Read the payload.

        Raises:
            TypeError: a required key is missing; the text names it.
            json.JSONDecodeError: the text is no JSON.
        """
        return cls(**json.loads(json_string))

    @property
    def task_hub_name(self) -> str:
        """The task hub that the client works on."""
        return self._task_hub_name

    @property
    def creation_urls(self) -> dict[str, str]:
        """Addresses that start instances."""
        return self._creation_urls

    @property
    def management_urls(self) -> dict[str, str]:
        """Addresses of an instance, with a placeholder for its id."""
        return self._management_urls

    @property
    def rpc_base_url(self) -> str | None:
        """Address of the management API for this process."""
        return self._rpc_base_url

    @property
    def client_data(self) -> FunctionContext:
        """One attribute for each further key of the payload."""
        return self._client_data
