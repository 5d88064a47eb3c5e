"""The service's rules that adapters without a service apply themselves: limits, filters, row writes, leases.

Pure: values in, values or errors out. ``azure`` uses the limits only (so that a request that the service
would refuse is refused alike everywhere, before it is sent); ``memory`` and ``sqlite`` use all of it, so
that the two cannot drift apart.

Source: the REST reference of Azure Storage; where it is silent, Azurite 3.35 and the recordings.
"""

from __future__ import annotations

import base64
import binascii
import operator
import re
import uuid
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from taskhub.errors import ContentRefused, LeaseHeld, RowChanged, RowExists, RowNotFound
from taskhub.model.ids import ETag, Utc
from taskhub.storage.port import (
    MAX_BATCH_OPERATIONS,
    MAX_INVISIBLE_SECONDS,
    MAX_MESSAGE_BYTES,
    MAX_MESSAGES_PER_GET,
    AllOf,
    AnyOf,
    Comparison,
    Filter,
    Row,
    TableValue,
    TableWrite,
    Where,
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

MAX_KEY_UNITS = 512
"""UTF-16 units of a partition or row key (1 KiB)."""

MAX_COLUMN_UNITS = 32_768
"""UTF-16 units of a text column (64 KiB)."""

MAX_COLUMNS = 252
"""Columns of a row besides keys and timestamp."""

MAX_ROW_BYTES = 1_048_576
MAX_BATCH_BYTES = 4 * 1_048_576

MAX_PAGE_ROWS = 1_000

_UNSENDABLE = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")
"""What XML 1.0 does not carry unchanged: CR is among it, readers make it LF. A surrogate here is a lone one: pairs
are one code point in Python."""

_BAD_KEY = re.compile("[/\\\\#?\x00-\x1f\x7f-\x9f]")


# ---- queues


def check_message_text(text: str) -> None:
    """Refuse a text that a queue message cannot hold."""
    if bad := _UNSENDABLE.search(text):
        raise ContentRefused(
            f"a queue message cannot hold the character U+{ord(bad[0]):04X} (at index {bad.start()}): "
            "XML has no way to write it; escape it in the text"
        )
    # UTF-8 needs at most 4 bytes a character, so that most texts need no counting.
    if len(text) * 4 > MAX_MESSAGE_BYTES and (size := len(text.encode())) > MAX_MESSAGE_BYTES:
        raise ContentRefused(f"a queue message holds at most {MAX_MESSAGE_BYTES} bytes of UTF-8, this one has {size}")


def check_visible_after(seconds: int) -> None:
    """Refuse a visibility delay that the service does not know."""
    if not 0 <= seconds <= MAX_INVISIBLE_SECONDS:
        raise ContentRefused(f"visible_after is 0 to {MAX_INVISIBLE_SECONDS} seconds, not {seconds}")


def check_get(limit: int, invisible_for: int) -> None:
    """Refuse a queue read that the service does not know."""
    if not 1 <= limit <= MAX_MESSAGES_PER_GET:
        raise ContentRefused(f"a queue read takes 1 to {MAX_MESSAGES_PER_GET} messages, not {limit}")
    if not 1 <= invisible_for <= MAX_INVISIBLE_SECONDS:
        raise ContentRefused(f"invisible_for is 1 to {MAX_INVISIBLE_SECONDS} seconds, not {invisible_for}")


# ---- tables: limits


def utf16_units(text: str) -> int:
    """Return the size of a text as the table service counts it, in UTF-16 units.

    Raises:
        ContentRefused: the text holds half a surrogate pair, which no service stores.
    """
    if text.isascii():
        return len(text)
    try:
        return len(text.encode("utf-16-le")) // 2
    except UnicodeEncodeError as error:
        raise ContentRefused(f"a table value holds half a surrogate pair at index {error.start}") from error


def _check_key(name: str, key: str) -> int:
    if bad := _BAD_KEY.search(key):
        raise ContentRefused(f"{name} {key!r} holds {bad[0]!r}: keys have no '/', '\\', '#', '?' or control characters")
    units = utf16_units(key)
    if units > MAX_KEY_UNITS:
        raise ContentRefused(f"{name} {key[:40]!r}... has {units} UTF-16 units, the limit is {MAX_KEY_UNITS}")
    return units


def _value_bytes(column: str, value: TableValue) -> int:
    """Return what the service counts for a value. Source: "Understanding the Table service data model"."""
    if isinstance(value, str):
        if isinstance(value, Utc):
            return 8
        units = utf16_units(value)
        if units > MAX_COLUMN_UNITS:
            raise ContentRefused(
                f"column {column} has {units} UTF-16 units, the limit is {MAX_COLUMN_UNITS}: put the value into a blob"
            )
        return 4 + 2 * units
    if isinstance(value, bool):
        return 1
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise ContentRefused(f"column {column}: {value} does not fit 64 bits")
        return 4 if -(2**31) <= value < 2**31 else 8
    if isinstance(value, float):
        return 8
    raise ContentRefused(f"column {column} is a {type(value).__name__}; columns are str, Utc, bool, int or float")


def check_row(row: Row) -> int:
    """Return a row's size in bytes, or refuse a row that the service would not store."""
    size = 4 + 2 * (_check_key("PartitionKey", row.partition_key) + _check_key("RowKey", row.row_key))
    for column, value in row.columns.items():
        size += 8 + 2 * len(column) + _value_bytes(column, value)
    if len(row.columns) > MAX_COLUMNS:
        raise ContentRefused(f"row {row.row_key!r} has {len(row.columns)} columns, the limit is {MAX_COLUMNS}")
    if size > MAX_ROW_BYTES:
        raise ContentRefused(f"row {row.row_key!r} has {size} bytes, the limit is {MAX_ROW_BYTES}")
    return size


def check_batch(operations: Sequence[TableWrite]) -> None:
    """Refuse a transaction that the service would not even begin."""
    if not 1 <= len(operations) <= MAX_BATCH_OPERATIONS:
        raise ContentRefused(f"a batch has 1 to {MAX_BATCH_OPERATIONS} operations, not {len(operations)}")
    partition_key = operations[0].row.partition_key
    row_keys = set()
    size = 0
    for operation in operations:
        row = operation.row
        if row.partition_key != partition_key:
            raise ContentRefused(
                f"a batch has one partition key, this one has {partition_key!r}, {row.partition_key!r}"
            )
        row_keys.add(row.row_key)
        size += check_row(row)
    if len(row_keys) != len(operations):
        raise ContentRefused("a batch names each row once")
    # The service counts bytes of the request. This is what they are for most texts; an adapter that makes a
    # request counts again.
    if size // 2 > MAX_BATCH_BYTES:
        raise ContentRefused(f"a batch has at most {MAX_BATCH_BYTES} bytes, this one about {size // 2}")


def check_page(top: int | None) -> None:
    """Refuse a page size that the service does not know."""
    if top is not None and not 1 <= top <= MAX_PAGE_ROWS:
        raise ContentRefused(f"a page has 1 to {MAX_PAGE_ROWS} rows, not {top}")


# ---- tables: writes


def columns_after(
    operation: TableWrite, columns: Mapping[str, TableValue] | None, etag: ETag | None
) -> dict[str, TableValue] | None:
    """Return a row's columns after an operation, ``None`` after a delete.

    Args:
        operation: what to do; its row passed :func:`check_row`.
        columns: the row's columns now, ``None`` when there is no such row.
        etag: the row's ETag now.

    Raises:
        RowExists: INSERT of a row that exists.
        RowNotFound: REPLACE, MERGE or DELETE of a row that does not exist.
        RowChanged: the ETag differs.
        ContentRefused: the merged row is too large.
    """
    row, kind = operation.row, operation.kind
    if kind is Write.INSERT:
        if columns is not None:
            raise RowExists(f"there is a row {row.partition_key!r}, {row.row_key!r} already")
        return dict(row.columns)
    if kind in (Write.REPLACE, Write.MERGE, Write.DELETE):
        if columns is None:
            raise RowNotFound(f"there is no row {row.partition_key!r}, {row.row_key!r}")
        if operation.if_match is not None and operation.if_match != etag:
            raise RowChanged(f"row {row.partition_key!r}, {row.row_key!r} is not the one that was read")
    if kind is Write.DELETE:
        return None
    if kind in (Write.REPLACE, Write.INSERT_OR_REPLACE) or columns is None:
        return dict(row.columns)
    merged = {**columns, **row.columns}
    check_row(Row(row.partition_key, row.row_key, merged))
    return merged


# ---- tables: order, filters, pages


def order_key(text: str) -> bytes:
    """Return bytes that sort as the service sorts texts: by UTF-16 unit.

    It is UTF-8 with surrogates written one by one (CESU-8): equal to UTF-8, and readable, for all texts within
    the basic plane.
    """
    if text.isascii():
        return text.encode("ascii")
    if max(text) <= "\uffff":
        return text.encode("utf-8", "surrogatepass")
    # A str of the two halves is what UTF-8 encodes one by one.
    halves = text.encode("utf-16-le", "surrogatepass")
    return "".join(
        chr(halves[i] | halves[i + 1] << 8) for i in range(0, len(halves), 2)
    ).encode("utf-8", "surrogatepass")  # fmt: skip


def text_of_order_key(key: bytes) -> str:
    """Return the text that :func:`order_key` was given."""
    text = key.decode("utf-8", "surrogatepass")
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")


_COMPARE: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQ: operator.eq,
    Comparison.NE: operator.ne,
    Comparison.LT: operator.lt,
    Comparison.LE: operator.le,
    Comparison.GT: operator.gt,
    Comparison.GE: operator.ge,
}


def _comparable(value: TableValue) -> tuple[str, Any]:
    """Return the value's kind, only equal kinds compare, and what to compare."""
    if isinstance(value, Utc):
        return "time", value.padded()  # the fraction has no fixed length
    if isinstance(value, str):
        return "text", order_key(value)
    if isinstance(value, bool):
        return "bool", value
    return "number", value


def predicate(where: Filter | None) -> Callable[[str, str, Mapping[str, TableValue]], bool]:
    """Return a function of partition key, row key and columns that tells whether a row passes the filter."""
    if where is None:
        return lambda partition_key, row_key, columns: True
    if isinstance(where, AllOf):
        all_parts = [predicate(part) for part in where.parts]
        return lambda *row: all(part(*row) for part in all_parts)
    if isinstance(where, AnyOf):
        any_parts = [predicate(part) for part in where.parts]
        return lambda *row: any(part(*row) for part in any_parts)
    column, compare, (kind, operand) = where.column, _COMPARE[where.op], _comparable(where.value)

    def passes(partition_key: str, row_key: str, columns: Mapping[str, TableValue]) -> bool:
        if column == "PartitionKey":
            value: TableValue | None = partition_key
        elif column == "RowKey":
            value = row_key
        else:
            value = columns.get(column)
        if value is None:
            return False
        found, comparable = _comparable(value)
        return found == kind and compare(comparable, operand)

    return passes


@dataclass(frozen=True, slots=True)
class KeyRange:
    """Partition keys, as :func:`order_key` gives them, outside of which no row can pass; both ends included."""

    low: bytes | None = None
    high: bytes | None = None


def partition_range(where: Filter | None) -> KeyRange:
    """Return the range of partition keys that a filter leaves; rows within it are still to be tested."""
    if isinstance(where, Where) and where.column == "PartitionKey" and isinstance(where.value, str):
        key = order_key(where.value)
        if where.op is Comparison.EQ:
            return KeyRange(key, key)
        if where.op in (Comparison.GE, Comparison.GT):
            return KeyRange(low=key)
        if where.op in (Comparison.LE, Comparison.LT):
            return KeyRange(high=key)
    if isinstance(where, AllOf):
        ranges = [partition_range(part) for part in where.parts]
        lows = [part.low for part in ranges if part.low is not None]
        highs = [part.high for part in ranges if part.high is not None]
        return KeyRange(max(lows, default=None), min(highs, default=None))
    return KeyRange()


def selected(columns: Mapping[str, TableValue], select: Sequence[str] | None) -> dict[str, TableValue]:
    """Return a copy of the columns that were asked for."""
    if select is None:
        return dict(columns)
    return {name: columns[name] for name in select if name in columns}


def token_of(partition_key: str, row_key: str) -> str:
    """Return the token of a page that starts at a row, in the form of Azurite's headers."""
    return f"{_token_part(partition_key)} {_token_part(row_key)}"


def _token_part(key: str) -> str:
    return base64.b64encode(key.encode("utf-8", "surrogatepass")).decode("ascii")


def keys_of_token(token: str) -> tuple[str, str]:
    """Return partition and row key of the row that a page starts at.

    Raises:
        ContentRefused: the token is none that a query returned.
    """
    partition_key, _, row_key = token.partition(" ")
    try:
        first, second = (base64.b64decode(part, validate=True).decode() for part in (partition_key, row_key))
    except (binascii.Error, ValueError) as error:
        raise ContentRefused(f"{token!r} is no continuation token of this store") from error
    return first, second


# ---- blobs


def local_url(container: str, name: str) -> str:
    """Return the URL of a blob that lives in no account; nothing answers to it.

    It says nothing about where the store is, so that a store may be moved.
    """
    return f"https://taskhub.invalid/{container}/{quote(name)}"


# ---- leases


@dataclass(frozen=True, slots=True)
class Lease:
    """A lease on a blob or container, running or run out. None is kept of a released one."""

    id: str
    seconds: int
    expires: datetime

    def is_active(self, now: datetime) -> bool:
        """Whether it still runs."""
        return now < self.expires


def lease_guid(lease_id: str) -> str:
    """Return a lease id in its one form.

    Raises:
        ContentRefused: it is no GUID.
    """
    try:
        return str(uuid.UUID(lease_id))
    except ValueError as error:
        raise ContentRefused(f"a lease id is a GUID, not {lease_id!r}") from error


def acquired(lease: Lease | None, now: datetime, lease_id: str, seconds: int, what: str) -> Lease:
    """Return the lease after an acquisition of ``what``."""
    lease_id = lease_guid(lease_id)
    check_lease_seconds(seconds)
    if lease is not None and lease.is_active(now) and lease.id != lease_id:
        raise LeaseHeld(f"{what} is leased by somebody else")
    return Lease(lease_id, seconds, now + timedelta(seconds=seconds))


def check_lease_seconds(seconds: int) -> None:
    """Refuse a duration that the service does not know."""
    if not 15 <= seconds <= 60:
        raise ContentRefused(f"a lease lasts 15 to 60 seconds, not {seconds}")


def renewed(lease: Lease | None, now: datetime, lease_id: str, what: str) -> Lease:
    """Return the lease after a renewal, also of one that ran out unnoticed."""
    if lease is None or lease.id != lease_guid(lease_id):
        raise LeaseHeld(f"{what} is not leased under this id any more")
    return replace(lease, expires=now + timedelta(seconds=lease.seconds))


def changed(lease: Lease | None, now: datetime, lease_id: str, new_lease_id: str, what: str) -> Lease:
    """Return the lease after it was handed to another id."""
    new_lease_id = lease_guid(new_lease_id)
    if lease is None or not lease.is_active(now) or lease.id not in (lease_guid(lease_id), new_lease_id):
        raise LeaseHeld(f"{what} is not leased under this id")
    return replace(lease, id=new_lease_id)


def check_release(lease: Lease | None, lease_id: str, what: str) -> None:
    """Refuse the release of a lease that is not the caller's; one that ran out may be released."""
    if lease is None or lease.id != lease_guid(lease_id):
        raise LeaseHeld(f"{what} is not leased under this id")


def check_leased_write(lease: Lease | None, now: datetime, lease_id: str | None, what: str) -> None:
    """Refuse a write without the lease that guards ``what``, or under a lease that has ended."""
    active = lease is not None and lease.is_active(now)
    if active and (lease_id is None or lease is None or lease.id != lease_guid(lease_id)):
        raise LeaseHeld(f"{what} is leased under another id")
    if not active and lease_id is not None:
        raise LeaseHeld(f"{what} is not leased (any more)")
