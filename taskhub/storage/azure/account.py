"""Opening an account: one session, three services."""

from __future__ import annotations

import io
import logging
from typing import TYPE_CHECKING, Any

import aiohttp
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import BlobServiceClient
from azure.storage.queue.aio import QueueServiceClient

from taskhub.storage.azure.blobs import AzureBlobs
from taskhub.storage.azure.connection import identity_connection, parse_connection_string
from taskhub.storage.azure.queues import AzureQueues
from taskhub.storage.azure.requests import API_VERSION, Requests
from taskhub.storage.azure.tables import AzureTables
from taskhub.storage.port import Storage

if TYPE_CHECKING:
    from taskhub.storage.azure.connection import Connection

CONNECT_SECONDS = 5
READ_SECONDS = 30
MAX_CONNECTIONS = 64


async def open_azure(
    *,
    connection_string: str | None = None,
    account_name: str | None = None,
    blob_service_uri: str | None = None,
    queue_service_uri: str | None = None,
    table_service_uri: str | None = None,
    credential: str | None = None,
    client_id: str | None = None,
    tenant_id: str | None = None,
    client_secret: str | None = None,
) -> Storage:
    """Open an account. Nothing is sent yet: a wrong key or an unreachable host shows at the first call.

    Args:
        connection_string: with a key or a shared access signature, or ``UseDevelopmentStorage=true``. All other
            arguments are for a connection by identity instead.
        account_name: an account of the public cloud; gives the endpoints that the next three do not.
        blob_service_uri: the blob service's endpoint.
        queue_service_uri: see there.
        table_service_uri: see there.
        credential: ``managedidentity``, or ``None`` for the chain that suits a developer's machine.
        client_id: of a user-assigned managed identity, or of the application that ``client_secret`` belongs to.
        tenant_id: of that application.
        client_secret: of that application.

    Raises:
        ConfigurationError: the connection is not complete or not readable; the message names the part that is
            missing, and never a key.
    """
    if connection_string is not None:
        return _open(parse_connection_string(connection_string))
    uris = {"blob": blob_service_uri, "queue": queue_service_uri, "table": table_service_uri}
    return _open(
        identity_connection(account_name, uris, credential, client_id, tenant_id=tenant_id, client_secret=client_secret)
    )


class _Transport(AioHttpTransport):  # type: ignore[misc]  # exported lazily, hence untyped
    """The clients' transport, but large bodies are read in pieces: whole ones would keep the event loop."""

    async def send(self, request: Any, **config: Any) -> Any:
        if isinstance(request.data, bytes) and len(request.data) > 1_000_000:
            request.data = io.BytesIO(request.data)
        return await super().send(request, **config)


def new_session(*, is_emulator: bool) -> aiohttp.ClientSession:
    """Return the session that the three services of an account share."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            # Azurite closes an idle connection after five seconds; a request that meets the close is in doubt.
            keepalive_timeout=4 if is_emulator else 30,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
        # The clients state their own headers; our requests state all of theirs.
        skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=READ_SECONDS),
    )


def _open(connection: Connection) -> Storage:
    session = new_session(is_emulator=connection.is_emulator)
    transport = _Transport(
        session=session,
        session_owner=False,
        use_env_settings=False,
        connection_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
    )
    options: dict[str, Any] = {
        "credential": connection.credential,
        "api_version": API_VERSION,
        "transport": transport,
        "retry_total": 0,
        # A logger that nobody hears: the clients would log every request.
        "logger": logging.Logger("taskhub.storage.azure.requests", logging.CRITICAL),
    }
    endpoints = connection.endpoints
    queues = QueueServiceClient(endpoints["queue"], **options)
    blobs = BlobServiceClient(endpoints["blob"], **options)

    async def close() -> None:
        for service in (queues, blobs):
            await service.close()
        await session.close()
        close_credential = getattr(connection.credential, "close", None)
        if close_credential is not None:
            await close_credential()

    kind = "Azurite at" if connection.is_emulator else "Azure Storage at"
    return Storage(
        queues=AzureQueues(queues, Requests("queue", connection, session)),
        tables=AzureTables(Requests("table", connection, session)),
        blobs=AzureBlobs(blobs, endpoints["blob"]),
        description=f"{kind} {endpoints['blob']}",
        closing=close,
    )
