"""Tables and rows, by requests of our own."""

from __future__ import annotations

import json
import re
import uuid
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taskhub.errors import ContentRefused, RowNotFound, StorageError, TableNotFound, TransientStorageError
from taskhub.model.ids import ETag, Utc
from taskhub.storage import rules
from taskhub.storage.azure.errors import refusal
from taskhub.storage.port import AllOf, AnyOf, Filter, Page, Row, TableValue, TableWrite, Where, Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.storage.azure.requests import Answer, Requests

_NO_HEADERS: Mapping[str, str] = {}
_READING = {"Accept": "application/json;odata=minimalmetadata"}
_WRITING = {**_READING, "Content-Type": "application/json"}
_SILENT = {"Prefer": "return-no-content"}

_METHODS: Mapping[Write, str] = {
    Write.INSERT: "POST",
    Write.REPLACE: "PUT",
    Write.INSERT_OR_REPLACE: "PUT",
    Write.MERGE: "PATCH",
    Write.INSERT_OR_MERGE: "PATCH",
    Write.DELETE: "DELETE",
}

_CONDITIONAL = (Write.REPLACE, Write.MERGE, Write.DELETE)


class AzureTables:
    """See :class:`~taskhub.storage.port.TableStore`."""

    def __init__(self, requests: Requests) -> None:
        self._requests = requests

    async def create_table(self, table: str) -> bool:
        """Create a table unless it exists."""
        what = f"create table {table}"
        body = json.dumps({"TableName": table}).encode("ascii")
        answer = await self._requests.send(what, "POST", "/Tables", {**_WRITING, **_SILENT}, body)
        if answer.status == 204:
            return True
        error, code = _refusal(what, answer)
        if code != "TableAlreadyExists":
            raise error
        return False

    async def delete_table(self, table: str) -> bool:
        """Delete a table with its rows."""
        what = f"delete table {table}"
        answer = await self._requests.send(what, "DELETE", f"/Tables('{table}')", _READING)
        if answer.status == 404:
            return False
        if answer.status != 204:
            raise _refusal(what, answer)[0]
        return True

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
        what = f"read a row of table {table}"
        answer = await self._requests.send(what, "GET", _row_path(table, partition_key, row_key), _READING)
        if answer.status == 200:
            return _row_of(json.loads(answer.body))
        error, _ = _refusal(what, answer)
        if isinstance(error, RowNotFound):
            return None
        raise error

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
        options: dict[str, str] = {}
        if token is not None:
            partition_key, _, row_key = token.partition(" ")
            options["NextPartitionKey"] = partition_key
            if row_key:
                options["NextRowKey"] = row_key
        if top is not None:
            options["$top"] = str(top)
        if select is not None:
            options["$select"] = ",".join(dict.fromkeys((*select, "PartitionKey", "RowKey")))
        if where is not None:
            options["$filter"] = odata_filter(where)
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in options.items())
        what = f"query table {table}"
        answer = await self._requests.send(what, "GET", f"/{table}()?{query}" if query else f"/{table}()", _READING)
        if answer.status != 200:
            raise _refusal(what, answer)[0]
        rows = [_row_of(entity) for entity in json.loads(answer.body)["value"]]
        return Page(rows, _token_of(answer.headers))

    async def write(self, table: str, operation: TableWrite) -> ETag | None:
        """Carry out one row operation."""
        rules.check_row(operation.row)
        row, kind = operation.row, operation.kind
        path = f"/{table}" if kind is Write.INSERT else _row_path(table, row.partition_key, row.row_key)
        what = f"{kind.value} a row of table {table}"
        answer = await self._requests.send(what, _METHODS[kind], path, _headers_of(operation), _body_of(operation))
        if answer.status != 204:
            raise _refusal(what, answer)[0]
        return None if kind is Write.DELETE else ETag(answer.headers["ETag"])

    async def batch(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        """Carry out operations on one partition, all or none."""
        rules.check_batch(operations)
        boundary, body = self._transaction(table, operations)
        if len(body) > rules.MAX_BATCH_BYTES:
            raise ContentRefused(f"a batch has at most {rules.MAX_BATCH_BYTES} bytes, this one {len(body)}")
        what = f"batch of {len(operations)} on table {table}"
        headers = {**_READING, "Content-Type": f"multipart/mixed; boundary={boundary}"}
        answer = await self._requests.send(what, "POST", "/$batch", headers, body)
        if answer.status != 202:
            raise _refusal(what, answer)[0]
        return _results_of(what, operations, answer.body)

    def _transaction(self, table: str, operations: Sequence[TableWrite]) -> tuple[str, bytes]:
        """Return the boundary and the body of an entity-group transaction: requests within a request."""
        batch, changes = f"batch_{uuid.uuid4()}", f"changeset_{uuid.uuid4()}"
        url = f"{self._requests.endpoint}/{table}"
        lines = [f"--{batch}", f"Content-Type: multipart/mixed; boundary={changes}", ""]
        for operation in operations:
            row, kind = operation.row, operation.kind
            target = url if kind is Write.INSERT else url + _keys(row.partition_key, row.row_key)
            lines += (f"--{changes}", "Content-Type: application/http", "Content-Transfer-Encoding: binary", "")
            lines.append(f"{_METHODS[kind]} {target} HTTP/1.1")
            lines += (f"{name}: {value}" for name, value in _headers_of(operation).items())
            lines += ("", (_body_of(operation) or b"").decode("ascii"))
        lines += (f"--{changes}--", "", f"--{batch}--", "")
        return batch, "\r\n".join(lines).encode("ascii")


# ---- requests


def _keys(partition_key: str, row_key: str) -> str:
    return f"(PartitionKey='{_key(partition_key)}',RowKey='{_key(row_key)}')"


def _key(key: str) -> str:
    # Everything is escaped, as the clients do: the policy that signs undoes what the transport will undo.
    return quote(key.replace("'", "''"), safe="")


def _row_path(table: str, partition_key: str, row_key: str) -> str:
    return f"/{table}{_keys(partition_key, row_key)}"


def _headers_of(operation: TableWrite) -> dict[str, str]:
    kind = operation.kind
    if kind is Write.INSERT:
        return {**_WRITING, **_SILENT}
    if kind in _CONDITIONAL:
        return {**(_READING if kind is Write.DELETE else _WRITING), "If-Match": operation.if_match or "*"}
    return _WRITING


def _body_of(operation: TableWrite) -> bytes | None:
    """Return a row as JSON in ASCII: the emulator reads a body in pieces and spoils what a border cuts in two."""
    if operation.kind is Write.DELETE:
        return None
    row = operation.row
    entity: dict[str, object] = {"PartitionKey": row.partition_key, "RowKey": row.row_key}
    for column, value in row.columns.items():
        if isinstance(value, Utc):
            entity[column] = value.padded()
            entity[f"{column}@odata.type"] = "Edm.DateTime"
        elif isinstance(value, float):
            entity[column] = _DOUBLE_NAMES.get(repr(value), value)
            entity[f"{column}@odata.type"] = "Edm.Double"
        elif type(value) is int and not -(2**31) <= value < 2**31:
            entity[column] = str(value)
            entity[f"{column}@odata.type"] = "Edm.Int64"
        else:
            entity[column] = value
    return json.dumps(entity, separators=(",", ":")).encode("ascii")


_DOUBLE_NAMES: Mapping[str, str] = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


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


# ---- answers


def _refusal(what: str, answer: Answer) -> tuple[StorageError, str]:
    """Return the port's error for an answer, and the service's code."""
    return _refusal_of(what, answer.status, answer.body, answer.headers)


def _refusal_of(
    what: str, status: int, body: bytes, headers: Mapping[str, str] = _NO_HEADERS
) -> tuple[StorageError, str]:
    code = headers.get("x-ms-error-code", "")
    try:
        error = json.loads(body)["odata.error"]
        code, message = error["code"], error["message"]["value"]
    except (ValueError, TypeError, KeyError):  # no body, or a gateway's page; status and header have to do
        message = ""
    return refusal(what, status, code, message, headers=headers), code


_PART = re.compile(rb"(?m)^HTTP/1\.1 (\d{3})[^\r\n]*\r?\n((?:[^\r\n]+\r?\n)*)\r?\n")
"""Status and headers of one answer within an answer. None of ours has a body, but for the one that failed."""

_ETAG = re.compile(rb"(?im)^etag: *(.*?)\r?$")


def _results_of(what: str, operations: Sequence[TableWrite], body: bytes) -> Sequence[ETag | None]:
    parts = list(_PART.finditer(body))
    for part in parts:
        status = int(part[1])
        if status >= 400:
            end = body.find(b"\n--", part.end())
            raise _refusal_of(what, status, body[part.end() : end if end > 0 else len(body)])[0]
    if len(parts) != len(operations):
        raise TransientStorageError(f"{what}: the answer has {len(parts)} parts")
    etags: list[ETag | None] = []
    for operation, part in zip(operations, parts, strict=True):
        found = _ETAG.search(part[2])
        etags.append(ETag(found[1].decode()) if found and operation.kind is not Write.DELETE else None)
    return etags


def _row_of(entity: dict[str, Any]) -> Row:
    columns: dict[str, TableValue] = {}
    for column, value in entity.items():
        if value is None or column in _NOT_COLUMNS or column.endswith("@odata.type"):
            continue
        columns[column] = value
        # Text, Boolean, Int32 and some Double values come without a type.
        edm_type = entity.get(f"{column}@odata.type")
        if edm_type == "Edm.DateTime":
            columns[column] = Utc.parse(value)
        elif edm_type == "Edm.Int64":
            columns[column] = int(value)
        elif edm_type == "Edm.Double":
            columns[column] = float(value)
    etag = entity.get("odata.etag")
    return Row(entity["PartitionKey"], entity["RowKey"], columns, None if etag is None else ETag(etag))


_NOT_COLUMNS = frozenset({"PartitionKey", "RowKey", "Timestamp", "odata.etag", "odata.metadata", "odata.type"})


def _token_of(headers: Mapping[str, str]) -> str | None:
    partition_key = headers.get("x-ms-continuation-NextPartitionKey")
    row_key = headers.get("x-ms-continuation-NextRowKey")
    if partition_key is None and row_key is None:
        return None
    return f"{partition_key or ''} {row_key or ''}"
