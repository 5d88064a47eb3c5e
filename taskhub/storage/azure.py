"""Storage in Azure Storage, or in Azurite, its emulator: the port over the official asynchronous clients.

The clients give credentials, signing and the wire format. What they are told differently from their defaults:

* One HTTP session for the three services, without a look at the environment for each request (that look costs
  as much as the rest of a simple call).
* No retries: the runtime retries, because only it knows what a call that may have acted means.
* One API version, which every recent Azurite accepts.
* No logging of requests.

Every error of the clients becomes one of the port's, here and nowhere else.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import logging
import socket
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote

import aiohttp
from azure.core import MatchConditions
from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import AzureError, ClientAuthenticationError, HttpResponseError
from azure.core.pipeline.transport import AioHttpTransport
from azure.data.tables import EdmType, EntityProperty, UpdateMode
from azure.data.tables.aio import TableClient, TableServiceClient
from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobServiceClient, ContainerClient
from azure.storage.queue.aio import QueueClient, QueueServiceClient

from taskhub.errors import (
    BlobExists,
    BlobNotFound,
    ConfigurationError,
    LeaseHeld,
    MessageGone,
    QueueNotFound,
    RowChanged,
    RowExists,
    RowNotFound,
    StorageError,
    StorageRefused,
    TableNotFound,
    TransientStorageError,
)
from taskhub.model.ids import ETag, Utc
from taskhub.storage import rules
from taskhub.storage.port import (
    AllOf,
    AnyOf,
    BlobItem,
    BlobLease,
    Filter,
    Page,
    PutReceipt,
    QueueMessage,
    Row,
    Storage,
    TableValue,
    TableWrite,
    Where,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from azure.core.credentials_async import AsyncTokenCredential

API_VERSION = "2020-12-06"
"""Known to the official clients of all three services and to every Azurite since 2021."""

CONNECT_SECONDS = 5
READ_SECONDS = 30
MAX_CONNECTIONS = 64

EMULATOR_ACCOUNT = "devstoreaccount1"
EMULATOR_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The emulator's fixed and public account; no secret."""

EMULATOR_PORTS = {"blob": 10000, "queue": 10001, "table": 10002}

_SERVICES = ("blob", "queue", "table")


# ---- opening


async def open_azure(
    *,
    connection_string: str | None = None,
    account_name: str | None = None,
    blob_service_uri: str | None = None,
    queue_service_uri: str | None = None,
    table_service_uri: str | None = None,
    credential: str | None = None,
    client_id: str | None = None,
) -> Storage:
    """Open an account. Nothing is sent yet: a wrong key or an unreachable host shows at the first call.

    Args:
        connection_string: with a key or a shared access signature, or ``UseDevelopmentStorage=true``. All other
            arguments are for a connection by identity instead.
        account_name: an account of the public cloud.
        blob_service_uri: with the next two, the endpoints in place of ``account_name``.
        queue_service_uri: see there.
        table_service_uri: see there.
        credential: ``managedidentity``, or ``None`` for the chain that suits a developer's machine.
        client_id: of a user-assigned managed identity.

    Raises:
        ConfigurationError: the connection is not complete or not readable; the message names the part that is
            missing, and never a key.
    """
    if connection_string is not None:
        return _open(_parse_connection_string(connection_string))
    uris = {"blob": blob_service_uri, "queue": queue_service_uri, "table": table_service_uri}
    return _open(_identity_connection(account_name, uris, credential, client_id))


def emulator_is_listening(host: str = "127.0.0.1") -> bool:
    """Return whether something listens on all three ports of the emulator; takes a moment at most."""
    try:
        for port in EMULATOR_PORTS.values():
            socket.create_connection((host, port), timeout=0.5).close()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class _Connection:
    endpoints: Mapping[str, str]
    """By service, without a slash at the end."""
    credential: AzureNamedKeyCredential | AzureSasCredential | AsyncTokenCredential
    is_emulator: bool


def _parse_connection_string(text: str) -> _Connection:
    parts: dict[str, str] = {}
    for part in text.strip().strip(";").split(";"):
        key, separator, value = part.partition("=")
        if not separator:
            raise ConfigurationError(
                "the storage connection string is not of the form Name=Value;Name=Value: "
                f"there is no '=' in its part of {len(part)} characters"
            )
        parts[key.strip().lower()] = value.strip()
    if parts.get("usedevelopmentstorage", "").lower() == "true":
        base = parts.get("developmentstorageproxyuri", "http://127.0.0.1").rstrip("/")
        endpoints = {service: f"{base}:{port}/{EMULATOR_ACCOUNT}" for service, port in EMULATOR_PORTS.items()}
        return _Connection(endpoints, AzureNamedKeyCredential(EMULATOR_ACCOUNT, EMULATOR_KEY), is_emulator=True)
    name, secret, signature = parts.get("accountname"), parts.get("accountkey"), parts.get("sharedaccesssignature")
    protocol, suffix = parts.get("defaultendpointsprotocol", "https"), parts.get("endpointsuffix", "core.windows.net")
    endpoints = {}
    for service in _SERVICES:
        if own := parts.get(f"{service}endpoint"):
            endpoints[service] = own.rstrip("/")
        elif name:
            endpoints[service] = f"{protocol}://{name}.{service}.{suffix}"
        else:
            raise ConfigurationError(
                f"the storage connection string has neither AccountName nor {service.title()}Endpoint"
            )
    if signature:
        return _Connection(endpoints, AzureSasCredential(signature.lstrip("?")), is_emulator=False)
    if not name or not secret:
        raise ConfigurationError(
            "the storage connection string has neither AccountName with AccountKey nor SharedAccessSignature"
        )
    is_emulator = endpoints["queue"].endswith(f"/{name}")  # Azure has the account in the host's name
    return _Connection(endpoints, AzureNamedKeyCredential(name, secret), is_emulator)


def _identity_connection(
    account_name: str | None, uris: Mapping[str, str | None], credential: str | None, client_id: str | None
) -> _Connection:
    endpoints = {service: uri.rstrip("/") for service, uri in uris.items() if uri}
    if account_name and not endpoints:
        endpoints = {service: f"https://{account_name}.{service}.core.windows.net" for service in _SERVICES}
    if missing := [f"{service}ServiceUri" for service in _SERVICES if service not in endpoints]:
        raise ConfigurationError(
            f"a storage connection by identity needs accountName, or all service URIs: {', '.join(missing)} is missing"
        )
    if credential not in (None, "managedidentity"):
        raise ConfigurationError(f"credential of a storage connection is managedidentity or absent, not {credential!r}")
    try:
        identity: Any = importlib.import_module("azure.identity.aio")
    except ImportError as error:
        raise ConfigurationError(
            "a storage connection by identity needs the package azure-identity: pip install 'durable-taskhub[identity]'"
        ) from error
    token: AsyncTokenCredential
    if credential == "managedidentity":
        token = identity.ManagedIdentityCredential(client_id=client_id)
    else:
        token = identity.DefaultAzureCredential(managed_identity_client_id=client_id)
    return _Connection(endpoints, token, is_emulator=False)


class _Transport(AioHttpTransport):  # type: ignore[misc]  # exported lazily, hence untyped
    """The clients' transport, but large bodies are read in pieces: whole ones would keep the event loop."""

    async def send(self, request: Any, **config: Any) -> Any:
        if isinstance(request.data, bytes) and len(request.data) > 1_000_000:
            request.data = io.BytesIO(request.data)
        return await super().send(request, **config)


def _open(connection: _Connection) -> Storage:
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=MAX_CONNECTIONS,
            # Azurite closes an idle connection after five seconds; a request that meets the close is in doubt.
            keepalive_timeout=4 if connection.is_emulator else 30,
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )
    silent = logging.Logger("taskhub.storage.azure.requests", logging.CRITICAL)
    options: dict[str, Any] = {
        "credential": connection.credential,
        "api_version": API_VERSION,
        "transport": _Transport(
            session=session,
            session_owner=False,
            use_env_settings=False,
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
        ),
        "logger": silent,
        "retry_total": 0,
    }
    endpoints = connection.endpoints
    queues = QueueServiceClient(endpoints["queue"], **options)
    tables = TableServiceClient(endpoints["table"], **options)
    blobs = BlobServiceClient(endpoints["blob"], **options)

    async def close() -> None:
        for service in (queues, tables, blobs):
            await service.close()
        await session.close()
        close_credential = getattr(connection.credential, "close", None)
        if close_credential is not None:
            await close_credential()

    kind = "Azurite at" if connection.is_emulator else "Azure Storage at"
    return Storage(
        queues=AzureQueues(queues),
        tables=AzureTables(tables),
        blobs=AzureBlobs(blobs, endpoints["blob"]),
        description=f"{kind} {endpoints['blob']}",
        closing=close,
    )


# ---- errors

_LEASE_CODES = (
    "LeaseAlreadyPresent",
    "LeaseIdMismatchWithBlobOperation",
    "LeaseIdMismatchWithContainerOperation",
    "LeaseIdMismatchWithLeaseOperation",
    "LeaseIdMissing",
    "LeaseIsBreakingAndCannotBeAcquired",
    "LeaseIsBreakingAndCannotBeChanged",
    "LeaseIsBrokenAndCannotBeRenewed",
    "LeaseLost",
    "LeaseNotPresentWithBlobOperation",
    "LeaseNotPresentWithContainerOperation",
    "LeaseNotPresentWithLeaseOperation",
)

_ERRORS: Mapping[str, type[StorageError]] = {
    "QueueNotFound": QueueNotFound,
    "MessageNotFound": MessageGone,
    "PopReceiptMismatch": MessageGone,
    "TableNotFound": TableNotFound,
    "EntityAlreadyExists": RowExists,
    "EntityNotFound": RowNotFound,
    "ResourceNotFound": RowNotFound,
    "ConditionNotMet": RowChanged,
    "UpdateConditionNotSatisfied": RowChanged,
    "BlobNotFound": BlobNotFound,
    "ContainerNotFound": BlobNotFound,
    "BlobAlreadyExists": BlobExists,
    **dict.fromkeys(_LEASE_CODES, LeaseHeld),
    **dict.fromkeys(("QueueBeingDeleted", "TableBeingDeleted", "ContainerBeingDeleted"), TransientStorageError),
}

_TRANSIENT_STATUSES = (408, 429, 500, 502, 503, 504)


def _error_code(error: HttpResponseError) -> str:
    code = getattr(error, "error_code", None)
    if code is None and error.response is not None:
        code = error.response.headers.get("x-ms-error-code")  # type: ignore[attr-defined]  # every response has them
    return str(getattr(code, "value", code) or "")


def _raise(error: AzureError | OSError, what: str) -> NoReturn:
    """Raise the port's error for one of the clients'."""
    if isinstance(error, HttpResponseError) and error.status_code is not None:
        code = _error_code(error)
        kind = _ERRORS.get(code)
        if kind is not None:
            raise kind(f"{what}: {code}") from error
        if error.status_code in _TRANSIENT_STATUSES:
            raise TransientStorageError(f"{what}: the service answered {error.status_code} {code}") from error
        first_line = str(error.message).partition("\n")[0]
        raise StorageRefused(f"{what}: the service answered {error.status_code} {code}: {first_line}") from error
    if isinstance(error, ClientAuthenticationError):
        raise StorageRefused(f"{what}: no token for the storage account: {error}") from error
    raise TransientStorageError(f"{what}: the service could not be reached, or did not answer: {error}") from error


@contextmanager
def _mapped(what: str) -> Iterator[None]:
    """Map the clients' errors of one call; ``what`` is for the message."""
    try:
        yield
    except (AzureError, OSError) as error:
        _raise(error, what)
    except (aiohttp.ClientError, asyncio.TimeoutError) as error:  # while a body was being read
        raise TransientStorageError(f"{what}: the answer broke off: {error}") from error


# ---- queues


class AzureQueues:
    """See :class:`~taskhub.storage.port.QueueStore`."""

    def __init__(self, service: QueueServiceClient) -> None:
        self._service = service
        self._clients: dict[str, QueueClient] = {}

    def _queue(self, queue: str) -> QueueClient:
        client = self._clients.get(queue)
        if client is None:
            client = self._clients[queue] = self._service.get_queue_client(queue)
        return client

    async def create_queue(self, queue: str) -> bool:
        """Create a queue unless it exists."""
        statuses: list[int] = []
        try:
            with _mapped(f"create queue {queue}"):
                await self._queue(queue).create_queue(raw_response_hook=_status_into(statuses))
        except StorageRefused as error:
            if _code_of(error) != "QueueAlreadyExists":
                raise
            return False
        return statuses == [201]  # 204: it was there, with the same metadata

    async def delete_queue(self, queue: str) -> bool:
        """Delete a queue with its messages."""
        try:
            with _mapped(f"delete queue {queue}"):
                await self._queue(queue).delete_queue()
        except QueueNotFound:
            return False
        return True

    async def list_queues(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with ``prefix``."""
        with _mapped(f"list queues {prefix}"):
            return sorted([queue.name async for queue in self._service.list_queues(name_starts_with=prefix)])

    async def put(self, queue: str, text: str, *, visible_after: int = 0) -> PutReceipt:
        """Add a message; without a delay no visibility timeout is sent, as the reference does."""
        rules.check_message_text(text)
        rules.check_visible_after(visible_after)
        with _mapped(f"put into queue {queue}"):
            put = await self._queue(queue).send_message(text, visibility_timeout=visible_after or None, time_to_live=-1)
        return PutReceipt(put.id, _text(put.pop_receipt), _time(put.next_visible_on))

    async def get(self, queue: str, *, limit: int, invisible_for: int) -> Sequence[QueueMessage]:
        """Take visible messages."""
        rules.check_get(limit, invisible_for)
        with _mapped(f"get from queue {queue}"):
            pages = self._queue(queue).receive_messages(messages_per_page=limit, visibility_timeout=invisible_for)
            async for page in pages.by_page():
                return [
                    QueueMessage(
                        id=message.id,
                        receipt=_text(message.pop_receipt),
                        text=message.content or "",
                        dequeue_count=message.dequeue_count or 1,
                        inserted=_time(message.inserted_on),
                        next_visible=_time(message.next_visible_on),
                    )
                    async for message in page
                ]
        return []

    async def update(
        self, queue: str, message_id: str, receipt: str, *, visible_after: int, text: str | None = None
    ) -> PutReceipt:
        """Change when a message becomes visible, and its text."""
        if text is not None:
            rules.check_message_text(text)
        rules.check_visible_after(visible_after)
        with _mapped(f"update message {message_id} of queue {queue}"):
            updated = await self._queue(queue).update_message(
                message_id, receipt, content=text, visibility_timeout=visible_after
            )
        return PutReceipt(message_id, _text(updated.pop_receipt), _time(updated.next_visible_on))

    async def delete(self, queue: str, message_id: str, receipt: str) -> None:
        """Delete a message."""
        with _mapped(f"delete message {message_id} of queue {queue}"):
            await self._queue(queue).delete_message(message_id, receipt)

    async def count(self, queue: str) -> int:
        """Return about how many messages the queue holds."""
        with _mapped(f"count queue {queue}"):
            properties = await self._queue(queue).get_queue_properties()
        return properties.approximate_message_count or 0


def _status_into(statuses: list[int]) -> Any:
    """Return a hook that notes the status of an answer; the clients hide some."""
    return lambda response: statuses.append(response.http_response.status_code)


def _code_of(error: StorageError) -> str:
    cause = error.__cause__
    return _error_code(cause) if isinstance(cause, HttpResponseError) else ""


def _text(value: str | None) -> str:
    if value is None:
        raise TransientStorageError("the service left a part of its answer out")
    return value


def _time(value: datetime | None) -> datetime:
    if value is None:
        raise TransientStorageError("the service left a time out of its answer")
    return value


# ---- tables


class _ServiceTime(str):
    """A time as the service writes it; with this attribute the client passes it on as it is, seventh digit and all."""

    __slots__ = ()

    @property
    def tables_service_value(self) -> str:
        return str(self)


class AzureTables:
    """See :class:`~taskhub.storage.port.TableStore`."""

    def __init__(self, service: TableServiceClient) -> None:
        self._service = service
        self._clients: dict[str, TableClient] = {}

    def _table(self, table: str) -> TableClient:
        client = self._clients.get(table)
        if client is None:
            client = self._clients[table] = self._service.get_table_client(table)
        return client

    async def create_table(self, table: str) -> bool:
        """Create a table unless it exists."""
        try:
            with _mapped(f"create table {table}"):
                await self._table(table).create_table()
        except StorageRefused as error:
            if _code_of(error) != "TableAlreadyExists":
                raise
            return False
        return True

    async def delete_table(self, table: str) -> bool:
        """Delete a table with its rows."""
        statuses: list[int] = []
        with _mapped(f"delete table {table}"):
            await self._table(table).delete_table(raw_response_hook=_status_into(statuses))
        return statuses != [404]

    async def table_exists(self, table: str) -> bool:
        """Return whether the table exists."""
        # Not by a filter on the list of tables: the emulator compares names there with their case.
        try:
            await self.query(table, select=[], top=1)
        except TableNotFound:
            return False
        return True

    async def read(self, table: str, partition_key: str, row_key: str) -> Row | None:
        """Return one row."""
        try:
            with _mapped(f"read a row of table {table}"):
                entity = await self._table(table).get_entity(partition_key, row_key)
        except RowNotFound:
            return None
        return _row_of(entity)

    async def query(
        self,
        table: str,
        where: Filter | None = None,
        *,
        select: Sequence[str] | None = None,
        top: int | None = None,
        token: str | None = None,
    ) -> Page:
        """Return one page."""
        rules.check_page(top)
        names = None if select is None else list(dict.fromkeys((*select, "PartitionKey", "RowKey")))
        client = self._table(table)
        with _mapped(f"query table {table}"):
            if where is None:
                rows = client.list_entities(select=names, results_per_page=top)
            else:
                rows = client.query_entities(odata_filter(where), select=names, results_per_page=top)
            pages = rows.by_page(continuation_token=_continuation_of(token))  # type: ignore[arg-type]  # a mapping
            async for page in pages:
                found = [_row_of(entity) async for entity in page]
                return Page(found, _token_of(pages.continuation_token))  # type: ignore[attr-defined]
        return Page([], None)

    async def write(self, table: str, operation: TableWrite) -> ETag | None:
        """Carry out one row operation."""
        rules.check_row(operation.row)
        client, entity, kind = self._table(table), _entity_of(operation.row), operation.kind
        with _mapped(f"{kind.value} a row of table {table}"):
            if kind is Write.INSERT:
                done = await client.create_entity(entity, headers={"Prefer": "return-no-content"})
            elif kind in (Write.REPLACE, Write.MERGE):
                done = await client.update_entity(entity, mode=_MODES[kind], **_condition(operation))
            elif kind is Write.DELETE:
                statuses: list[int] = []
                hook = _status_into(statuses)
                await client.delete_entity(entity, raw_response_hook=hook, **_condition(operation))
                if statuses == [404]:  # the client says nothing
                    await self._raise_missing(table, operation.row)
                return None
            else:
                done = await client.upsert_entity(entity, mode=_MODES[kind])
        return ETag(done["etag"])

    async def batch(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        """Carry out operations on one partition, all or none."""
        rules.check_batch(operations)
        transaction: list[Any] = []
        for operation in operations:
            entity, kind = _entity_of(operation.row), operation.kind
            if kind is Write.INSERT:
                transaction.append(("create", entity))
            elif kind in (Write.REPLACE, Write.MERGE):
                transaction.append(("update", entity, {"mode": _MODES[kind], **_condition(operation)}))
            elif kind is Write.DELETE:
                transaction.append(("delete", entity, _condition(operation)))
            else:
                transaction.append(("upsert", entity, {"mode": _MODES[kind]}))
        with _mapped(f"batch of {len(operations)} on table {table}"):
            done = await self._table(table).submit_transaction(transaction)
        return [
            None if operation.kind is Write.DELETE else ETag(part["etag"])
            for operation, part in zip(operations, done, strict=True)
        ]

    async def _raise_missing(self, table: str, row: Row) -> NoReturn:
        if not await self.table_exists(table):
            raise TableNotFound(f"there is no table {table}")
        raise RowNotFound(f"there is no row {row.partition_key!r}, {row.row_key!r}")


_MODES = {
    Write.REPLACE: UpdateMode.REPLACE,
    Write.INSERT_OR_REPLACE: UpdateMode.REPLACE,
    Write.MERGE: UpdateMode.MERGE,
    Write.INSERT_OR_MERGE: UpdateMode.MERGE,
}


def _condition(operation: TableWrite) -> dict[str, Any]:
    if operation.if_match is None:
        return {"match_condition": MatchConditions.Unconditionally}  # If-Match: *
    return {"etag": operation.if_match, "match_condition": MatchConditions.IfNotModified}


def _entity_of(row: Row) -> dict[str, Any]:
    entity: dict[str, Any] = {"PartitionKey": row.partition_key, "RowKey": row.row_key}
    for column, value in row.columns.items():
        if isinstance(value, Utc):
            entity[column] = EntityProperty(_ServiceTime(value.padded()), EdmType.DATETIME)
        elif type(value) is int and not -(2**31) <= value < 2**31:
            entity[column] = EntityProperty(value, EdmType.INT64)
        else:
            entity[column] = value
    return entity


def _row_of(entity: Any) -> Row:
    columns: dict[str, TableValue] = {}
    for column, value in entity.items():
        if column in ("PartitionKey", "RowKey") or value is None:
            continue
        if isinstance(value, EntityProperty):  # Int64
            columns[column] = value.value
        elif hasattr(value, "tables_service_value"):
            columns[column] = Utc.parse(value.tables_service_value)
        elif isinstance(value, str | bool | int | float):
            columns[column] = value
        else:  # nobody of ours writes GUIDs or bytes
            columns[column] = str(value)
    etag = entity.metadata.get("etag")
    return Row(entity["PartitionKey"], entity["RowKey"], columns, None if etag is None else ETag(etag))


def odata_filter(where: Filter) -> str:
    """Return a condition in the service's language, in the form of the reference's texts."""
    if isinstance(where, Where):
        return f"{where.column} {where.op.value} {_literal(where.value)}"
    assert isinstance(where, AllOf | AnyOf)
    word = " and " if isinstance(where, AllOf) else " or "
    if len(where.parts) == 1:
        return odata_filter(where.parts[0])
    return word.join(
        odata_filter(part) if isinstance(part, Where) and isinstance(where, AnyOf) else f"({odata_filter(part)})"
        for part in where.parts
    )


def _literal(value: TableValue) -> str:
    if isinstance(value, Utc):
        return f"datetime'{value.padded()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        return f"{value}L"
    return repr(value)


def _continuation_of(token: str | None) -> dict[str, str | None] | None:
    if token is None:
        return None
    partition_key, _, row_key = token.partition(" ")
    return {"PartitionKey": partition_key, "RowKey": row_key or None}


def _token_of(continuation: Mapping[str, str | None] | None) -> str | None:
    if not continuation or continuation.get("PartitionKey") is None:
        return None
    return f"{continuation['PartitionKey']} {continuation.get('RowKey') or ''}"


# ---- blobs


class AzureBlobs:
    """See :class:`~taskhub.storage.port.BlobStore`."""

    def __init__(self, service: BlobServiceClient, endpoint: str) -> None:
        self._service = service
        self._endpoint = endpoint

    async def create_container(self, container: str) -> bool:
        """Create a container unless it exists."""
        try:
            with _mapped(f"create container {container}"):
                await self._container(container).create_container()
        except StorageRefused as error:
            if _code_of(error) != "ContainerAlreadyExists":
                raise
            return False
        return True

    async def delete_container(self, container: str, *, lease_id: str | None = None) -> bool:
        """Delete a container with its blobs."""
        options: dict[str, Any] = {} if lease_id is None else {"lease": lease_id}
        try:
            with _mapped(f"delete container {container}"):
                await self._container(container).delete_container(**options)
        except BlobNotFound:
            return False
        return True

    async def container_exists(self, container: str) -> bool:
        """Return whether the container exists."""
        with _mapped(f"look for container {container}"):
            return await self._container(container).exists()

    async def put_blob(
        self, container: str, name: str, data: bytes, *, overwrite: bool = True, lease_id: str | None = None
    ) -> ETag:
        """Store a blob."""
        options: dict[str, Any] = {} if lease_id is None else {"lease": lease_id}
        with _mapped(f"put blob {container}/{name}"):
            done = await self._blob(container, name).upload_blob(data, overwrite=overwrite, **options)
        return ETag(done["etag"])

    async def get_blob(self, container: str, name: str) -> bytes:
        """Return a blob's content."""
        with _mapped(f"get blob {container}/{name}"):
            download = await self._blob(container, name).download_blob()
            return await download.readall()

    async def delete_blob(self, container: str, name: str) -> bool:
        """Delete a blob."""
        try:
            with _mapped(f"delete blob {container}/{name}"):
                await self._blob(container, name).delete_blob()
        except BlobNotFound:
            return False
        return True

    async def list_blobs(self, container: str, prefix: str) -> Sequence[BlobItem]:
        """Return the blobs whose name begins with ``prefix``."""
        try:
            with _mapped(f"list blobs {container}/{prefix}"):
                found = self._container(container).list_blobs(name_starts_with=prefix, include=["metadata"])
                items = [BlobItem(blob.name, blob.size, dict(blob.metadata or {})) async for blob in found]
        except BlobNotFound:
            return []
        return sorted(items, key=lambda item: item.name)

    async def lease_state(self, container: str, name: str | None = None) -> BlobLease:
        """Return whether a blob or container is leased."""
        with _mapped(f"look at {_what(container, name)}"):
            if name is None:
                holder = await self._container(container).get_container_properties()
                return BlobLease(holder.lease.status == "locked", ETag(holder.etag))
            blob = await self._blob(container, name).get_blob_properties()
            return BlobLease(blob.lease.status == "locked", ETag(_text(blob.etag)))

    async def acquire_lease(self, container: str, name: str | None, *, lease_id: str, seconds: int) -> None:
        """Lease a blob or container."""
        rules.check_lease_seconds(seconds)
        with _mapped(f"lease {_what(container, name)}"):
            await self._lease(container, name, lease_id).acquire(lease_duration=seconds)

    async def renew_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Start the time of a lease anew."""
        with _mapped(f"renew the lease of {_what(container, name)}"):
            await self._lease(container, name, lease_id).renew()

    async def change_lease(self, container: str, name: str | None, *, lease_id: str, new_lease_id: str) -> None:
        """Hand a lease to another id."""
        new_lease_id = rules.lease_guid(new_lease_id)
        with _mapped(f"change the lease of {_what(container, name)}"):
            await self._lease(container, name, lease_id).change(new_lease_id)

    async def release_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Give a lease back."""
        with _mapped(f"release the lease of {_what(container, name)}"):
            await self._lease(container, name, lease_id).release()

    def url_of(self, container: str, name: str) -> str:
        """Return the blob's absolute URL."""
        return f"{self._endpoint}/{container}/{quote(name)}"

    def _container(self, container: str) -> ContainerClient:
        return self._service.get_container_client(container)

    def _blob(self, container: str, name: str) -> BlobClient:
        return self._service.get_blob_client(container, name)

    def _lease(self, container: str, name: str | None, lease_id: str) -> BlobLeaseClient:
        holder = self._container(container) if name is None else self._blob(container, name)
        return BlobLeaseClient(holder, rules.lease_guid(lease_id))


def _what(container: str, name: str | None) -> str:
    return f"container {container}" if name is None else f"blob {container}/{name}"
