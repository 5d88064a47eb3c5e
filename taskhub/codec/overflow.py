"""Which values are too large for a table column, and the compressed form in which they go to blobs."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from taskhub.errors import MalformedMessage, PayloadError
from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Columns = dict[str, Union[str, bool, int, float, Utc]]  # noqa: UP007 (a runtime alias on 3.10)
"""Columns of a row to write, without its keys; an absent column is null."""

MAX_COLUMN_UNITS = 30_720
"""Longest text of a column in UTF-16 units. The reference's 61,440 bytes leave room below the service's 64 KiB."""

SERVICE_COLUMN_UNITS = 32_768
"""The service's limit, for columns that have no blob to go to."""

LARGE_COLUMNS = frozenset(
    {"Name", "Input", "Result", "Output", "Reason", "Details", "Correlation", "FailureDetails", "Tags"}
)
"""Columns that may move to a blob; the service refuses other columns above 64 KiB."""

BLOB_NAME_SUFFIX = "BlobName"
"""``{column}BlobName`` holds the name of the blob that a column's value moved to; the column itself is then empty."""

_EARLIEST_TIME = "1601"


@dataclass(frozen=True, slots=True)
class Offloaded:
    """A value that must be in its blob, compressed, before the row that names the blob is written."""

    blob_name: str
    text: str


@dataclass(frozen=True, slots=True)
class EncodedRow:
    """A row ready to be written once its ``offloaded`` values are stored."""

    row_key: str
    columns: Columns
    offloaded: tuple[Offloaded, ...] = ()
    size: int = 0
    """What the row adds to the size of a transaction, in the reference's estimate (bytes)."""


def offload(
    columns: Columns, candidates: Iterable[str], *, stem: Callable[[str], str], new_suffix: Callable[[], int]
) -> tuple[Offloaded, ...]:
    """Move the candidates that are too large out of ``columns``, which is changed; return what was moved.

    Args:
        columns: of the row.
        candidates: names of columns that may move.
        stem: blob name of a column up to the random suffix.
        new_suffix: random numbers below 2**31: two workers that both believe to own the instance must not overwrite
            each other's blobs.
    """
    moved = []
    for column in candidates:
        text = columns.get(column)
        if isinstance(text, str) and is_large(text):
            blob_name = f"{stem(column)}-{new_suffix():08X}-{column}.json.gz"
            columns[column] = ""
            columns[column + BLOB_NAME_SUFFIX] = blob_name
            moved.append(Offloaded(blob_name, text))
    return tuple(moved)


def check_columns(what: str, columns: Columns) -> None:
    """Refuse a text that no column holds and that has no blob to go to.

    Args:
        what: the row, for the message.
        columns: of the row, after :func:`offload`.

    Raises:
        PayloadError: a column is too long.
    """
    for column, value in columns.items():
        if isinstance(value, str) and 2 * len(value) > SERVICE_COLUMN_UNITS:
            units = utf16_units(value)
            if units > SERVICE_COLUMN_UNITS:
                raise PayloadError(
                    f"{column} of {what} has {units} characters (UTF-16 units); a column holds {SERVICE_COLUMN_UNITS}"
                )


def is_large(text: str) -> bool:
    """Return whether a column's text must go to a blob."""
    return 2 * len(text) > MAX_COLUMN_UNITS and utf16_units(text) > MAX_COLUMN_UNITS


def table_time(time: Utc) -> Utc:
    """Return ``time``, which a column is to hold.

    Raises:
        PayloadError: it is before the first year of a table's DateTime.
    """
    if time < _EARLIEST_TIME:
        raise PayloadError(f"time {time} cannot be stored: tables hold times from the year {_EARLIEST_TIME} on")
    return time


def compress(text: str) -> bytes:
    """Return the content of a large-message blob: gzip of the UTF-8 text, the same bytes for the same text."""
    # A gzip header without a time; half a surrogate pair survives between Python workers.
    packer = zlib.compressobj(wbits=31)
    return packer.compress(text.encode("utf-8", "surrogatepass")) + packer.flush()


def decompress(data: bytes) -> str:
    """Return the text of a large-message blob.

    Raises:
        MalformedMessage: the blob is not gzip of UTF-8 text.
    """
    try:
        if not data:
            raise EOFError("it is empty, its writer has not finished")
        return gzip.decompress(data).decode("utf-8", "surrogatepass")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise MalformedMessage(f"large-message blob of {len(data)} bytes is not gzip of UTF-8 text: {error}") from error


def utf16_units(text: str) -> int:
    """Return the length of ``text`` as .NET counts it."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
