"""Requests of our own, on the official clients' transport and credentials."""

from __future__ import annotations

import time
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.pipeline import AsyncPipeline
from azure.core.pipeline.policies import AsyncBearerTokenCredentialPolicy, AzureSasCredentialPolicy
from azure.core.rest import HttpRequest

# The two services sign differently, and neither client shows its policy.
from azure.data.tables._authentication import SharedKeyCredentialPolicy as TableKeyPolicy
from azure.storage.queue._shared.authentication import SharedKeyCredentialPolicy as QueueKeyPolicy

from taskhub.storage.azure.errors import mapped

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.core.pipeline.transport import AsyncHttpTransport

    from taskhub.storage.azure.connection import Connection

API_VERSION = "2020-12-06"
"""Known to the official clients of all three services and to every Azurite since 2021."""

_TOKEN_SCOPE = "https://storage.azure.com/.default"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the service answered, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names compare ignoring case."""
    body: bytes


class Requests:
    """Sends signed requests to the queue or the table service of one account."""

    def __init__(self, service: str, connection: Connection, transport: AsyncHttpTransport[Any, Any]) -> None:
        self.endpoint = connection.endpoints[service]
        self.is_emulator = connection.is_emulator
        self._transport = transport
        self._headers = {"x-ms-version": API_VERSION, "User-Agent": "durable-taskhub"}
        if service == "table":
            self._headers.update({"DataServiceVersion": "3.0", "MaxDataServiceVersion": "3.0;NetFx"})
        self._pipeline: AsyncPipeline[HttpRequest, Any] = AsyncPipeline(
            transport, [_credential_policy(service, connection)]
        )

    def __repr__(self) -> str:
        return f"<Requests {self.endpoint}>"

    async def send(
        self, what: str, method: str, path: str, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> Answer:
        """Send a request and read the answer.

        Args:
            what: the call, for messages.
            method: HTTP's.
            path: after the account's endpoint, with the query; escaped.
            headers: besides the ones that all have.
            body: what to send.

        Raises:
            TransientStorageError: there is no answer.
            StorageRefused: there is no token to sign with.
        """
        request = HttpRequest(
            method,
            self.endpoint + path,
            headers={**self._headers, "x-ms-date": formatdate(time.time(), usegmt=True), **(headers or {})},
            content=body,
        )
        with mapped(what):
            response = (await self._pipeline.run(request, stream=True)).http_response
            # As it came: reading through the response object would look for an encoding in it.
            content = await response.read()
        return Answer(response.status_code, response.headers, content)


def _credential_policy(service: str, connection: Connection) -> Any:
    credential = connection.credential
    if isinstance(credential, AzureSasCredential):
        return AzureSasCredentialPolicy(credential)
    if isinstance(credential, AzureNamedKeyCredential):
        if service == "table":
            return TableKeyPolicy(credential)  # type: ignore[no-untyped-call]  # theirs
        return QueueKeyPolicy(*credential.named_key)  # type: ignore[no-untyped-call]  # theirs
    return AsyncBearerTokenCredentialPolicy(credential, _TOKEN_SCOPE)
