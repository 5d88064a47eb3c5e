"""A hub as lines of JSON, to be read by people and loaded into another store.

::

    {"kind": "hub", "format": 1, "hub": "MyHub", "partitions": 4, "taken": "2026-01-05T12:00:00Z", "from": "…"}
    {"kind": "blob", "name": "order-42/message-….json.gz", "text": "…"}
    {"kind": "row", "table": "History", "partition_key": "order-42", "row_key": "0000000000000000", "columns": {…}}
    {"kind": "message", "queue": "control-02", "message": {…}}
    {"kind": "end", "blobs": 1, "rows": 12, "messages": 1}

Columns stand as the table service writes them: a time has the type beside it (``"CreatedTime@odata.type":
"Edm.DateTime"``). A message or blob that is the text of an object and that JSON gives back to the letter stands as the
object (``message``, ``json``); else as its text (``text``), a blob that is not compressed as ``document`` or, when it
is no JSON, as ``base64``. Dead letters are blobs of the container ``deadletters``, which their lines then name. What
belongs to the moment, such as leases and ETags, is left out. Lines come in the order in which they must be loaded:
messages last, because they start work.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

from taskhub.codec.jsontext import json_of, parse_utc, writable
from taskhub.codec.overflow import compress, decompress
from taskhub.codec.records import Mismatch, require, take
from taskhub.errors import MalformedMessage
from taskhub.model.hub import HubContents
from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.codec.overflow import Columns

FORMAT = 1
LARGE_MESSAGES = "largemessages"
DEAD_LETTERS = "deadletters"
_TYPE_SUFFIX = "@odata.type"
_TIME_TYPE = "Edm.DateTime"


@dataclass(frozen=True, slots=True)
class HubHead:
    """The first line: what follows is this hub."""

    hub: str
    partitions: int
    taken: Utc
    source: str
    """Where it lay, for people."""


@dataclass(frozen=True, slots=True)
class DumpedBlob:
    """A blob."""

    name: str
    data: bytes
    container: str = LARGE_MESSAGES
    """Without the hub's name."""


@dataclass(frozen=True, slots=True)
class DumpedRow:
    """A row of the History or Instances table."""

    table: str
    """Without the hub's name."""
    partition_key: str
    row_key: str
    columns: Columns


@dataclass(frozen=True, slots=True)
class DumpedMessage:
    """A message of a queue."""

    queue: str
    """Without the hub's name: ``workitems`` or ``control-02``."""
    text: str
    visible: Utc | None = None
    """When it becomes visible; ``None``: it was visible."""
    dequeue_count: int = 0
    """Reads before the dump; not restored."""
    is_inferred: bool = False
    """Not read from the queue, which hides it, but told by the tables: it must be there."""


# The end of a dump tells how much there was, so that a cut one is noticed.
DumpItem = Union[HubHead, DumpedBlob, DumpedRow, DumpedMessage, HubContents]  # noqa: UP007 (a runtime alias on 3.10)


# ---- writing


def encode_line(item: DumpItem) -> str:
    """Return an item as a line, without the line's end."""
    match item:
        case HubHead():
            values: dict[str, object] = {
                "kind": "hub",
                "format": FORMAT,
                "hub": item.hub,
                "partitions": item.partitions,
                "taken": item.taken,
                "from": item.source,
            }
        case DumpedBlob():
            values = {"kind": "blob", "name": item.name}
            if item.container != LARGE_MESSAGES:
                values["container"] = item.container
            values |= _blob_content(item.data)
        case DumpedRow():
            values = {
                "kind": "row",
                "table": item.table,
                "partition_key": item.partition_key,
                "row_key": item.row_key,
                "columns": _plain_columns(item.columns),
            }
        case DumpedMessage():
            values = {"kind": "message", "queue": item.queue}
            if item.visible is not None:
                values["visible"] = item.visible
            if item.dequeue_count:
                values["dequeue_count"] = item.dequeue_count
            if item.is_inferred:
                values["inferred"] = True
            values |= _text_content(item.text, "message")
        case HubContents():
            values = {"kind": "end", "blobs": item.blobs, "rows": item.rows, "messages": item.messages}
    return writable(json_of(values))


def _blob_content(data: bytes) -> dict[str, object]:
    try:
        text = decompress(data)
    except MalformedMessage:
        return _plain_blob_content(data)
    # What decompresses to this text may have been compressed otherwise; the text is what counts.
    return _text_content(text, "json")


def _plain_blob_content(data: bytes) -> dict[str, object]:
    """Return a blob that is not compressed: a dead letter, or something damaged."""
    with contextlib.suppress(UnicodeDecodeError):
        content = _text_content(data.decode(), "document")
        if "document" in content:
            return content
    return {"base64": base64.b64encode(data).decode()}


def _text_content(text: str, key: str) -> dict[str, object]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"text": text}
    is_same = isinstance(value, dict) and writable(json_of(value)) == text
    return {key: value} if is_same else {"text": text}


def _plain_columns(columns: Mapping[str, object]) -> dict[str, object]:
    plain: dict[str, object] = {}
    for name, value in columns.items():
        plain[name] = value
        if isinstance(value, Utc):
            plain[name + _TYPE_SUFFIX] = _TIME_TYPE
    return plain


# ---- reading


def decode_line(line: str) -> DumpItem:
    """Return the item of a line.

    Raises:
        MalformedMessage: the line is none of :func:`encode_line`; says what is wrong.
    """
    try:
        values = json.loads(line)
    except ValueError as error:
        raise MalformedMessage(f"not JSON: {error}") from None
    if not isinstance(values, dict):
        raise MalformedMessage("not a JSON object")
    read = _READERS.get(values.get("kind"))
    if read is None:
        raise MalformedMessage(f"of the unknown kind {values.get('kind')!r}")
    try:
        return read(values)
    except Mismatch as error:
        raise MalformedMessage(str(error)) from None


def _head(values: Mapping[str, Any]) -> HubHead:
    version = require(values, "format", int)
    if version != FORMAT:
        raise Mismatch(f"format {version}, of which this version of taskhub knows nothing", "format")
    return HubHead(
        require(values, "hub", str),
        require(values, "partitions", int),
        _time(values, "taken"),
        require(values, "from", str),
    )


def _blob(values: Mapping[str, Any]) -> DumpedBlob:
    name, container = require(values, "name", str), take(values, "container", str) or LARGE_MESSAGES
    if "document" in values:
        return DumpedBlob(name, _text(values, "document").encode(), container)
    encoded = take(values, "base64", str)
    if encoded is None:
        return DumpedBlob(name, compress(_text(values, "json")), container)
    try:
        return DumpedBlob(name, base64.b64decode(encoded, validate=True), container)
    except binascii.Error as error:
        raise Mismatch(str(error), "base64") from None


def _row(values: Mapping[str, Any]) -> DumpedRow:
    columns: Columns = {}
    plain = require(values, "columns", dict)
    for name, value in plain.items():
        if name.endswith(_TYPE_SUFFIX):
            continue
        if not isinstance(value, (str, bool, int, float)):
            raise Mismatch(f"holds {value!r}, which no column can", name).below("columns")
        is_time = plain.get(name + _TYPE_SUFFIX) == _TIME_TYPE
        columns[name] = _parsed(str(value), name) if is_time else value
    return DumpedRow(
        require(values, "table", str), require(values, "partition_key", str), require(values, "row_key", str), columns
    )


def _message(values: Mapping[str, Any]) -> DumpedMessage:
    return DumpedMessage(
        queue=require(values, "queue", str),
        text=_text(values, "message"),
        visible=_time(values, "visible") if "visible" in values else None,
        dequeue_count=take(values, "dequeue_count", int) or 0,
        is_inferred=take(values, "inferred", bool) or False,
    )


def _end(values: Mapping[str, Any]) -> HubContents:
    return HubContents(require(values, "blobs", int), require(values, "rows", int), require(values, "messages", int))


def _text(values: Mapping[str, Any], key: str) -> str:
    if key in values:
        return writable(json_of(values[key]))
    return require(values, "text", str)


def _time(values: Mapping[str, Any], key: str) -> Utc:
    return _parsed(require(values, key, str), key)


def _parsed(text: str, key: str) -> Utc:
    try:
        return parse_utc(text)
    except ValueError as error:
        raise Mismatch(str(error), key) from None


_READERS: Mapping[object, Callable[[Mapping[str, Any]], DumpItem]] = {
    "hub": _head,
    "blob": _blob,
    "row": _row,
    "message": _message,
    "end": _end,
}
