"""Rows of the History table: one per event, and the sentinel that guards them.

A row's columns are the event's properties (``layout``) and the id of the execution that it belongs to. Values that a
column cannot hold move to blobs. The sentinel names the execution whose rows count; its ETag is the instance's lock.

Source: DurableTask.AzureStorage, AzureTableTrackingStore and TableEntityConverter.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from taskhub.codec.jsontext import json_of, storable, writable
from taskhub.codec.keys import blob_folder, escape_instance_id, row_key
from taskhub.codec.layout import BASE_PROPERTIES, EVENT_TYPE, EVENTS, Kind, Property, Record
from taskhub.codec.overflow import (
    BLOB_NAME_SUFFIX,
    LARGE_COLUMNS,
    Columns,
    EncodedRow,
    check_columns,
    offload,
    table_time,
    utf16_units,
)
from taskhub.codec.records import (
    READERS,
    UNTYPED_WRITERS,
    Mismatch,
    Reader,
    Step,
    parse_object,
    read_tags,
    without_types,
)
from taskhub.errors import MalformedMessage
from taskhub.model.history import EventSent, GenericEvent, TimerCreated
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.model.history import HistoryEvent

__all__ = [
    "EVENT_TYPE_COLUMN",
    "EXECUTION_ID_COLUMN",
    "TIMESTAMP_COLUMN",
    "EncodedRow",
    "Sentinel",
    "decode_event",
    "decode_sentinel",
    "encode_event",
    "execution_of",
    "may_be_pending",
    "offloaded_columns",
    "rewound_columns",
    "sentinel_columns",
]

EXECUTION_ID_COLUMN = "ExecutionId"
"""In every row, the sentinel included: the execution that it belongs to."""
EVENT_TYPE_COLUMN = "EventType"
"""The event's name."""
TIMESTAMP_COLUMN = "_Timestamp"
"""The event's time; "Timestamp" is the table service's own."""

TAKEN_REQUESTS_COLUMN = "TakenRequests"
"""In the sentinel, and ours alone: .NET passes over it, and its merges leave it be. Requests that an entity has taken;
starts and events that executions of an orchestration before this one have taken."""

_ROW_OVERHEAD_BYTES = 1024
"""The reference's estimate of a row without its variable texts."""


@dataclass(frozen=True, slots=True)
class Sentinel:
    """The row behind an instance's events: whose they are."""

    execution_id: ExecutionId | None
    is_complete: bool
    """Whether the batch that wrote it was the last of its episode; nothing may depend on it."""
    completed_at: Utc | None
    taken_requests: str | None = None


def encode_event(
    event: HistoryEvent,
    *,
    instance_id: InstanceId,
    execution_id: ExecutionId,
    index: int,
    is_played: bool,
    new_suffix: Callable[[], int],
) -> EncodedRow:
    """Return the row of an event.

    Args:
        event: what to store.
        instance_id: names the blobs of large values.
        execution_id: whose history it belongs to.
        index: position in that history, from 0.
        is_played: whether the code has seen the event in the episode that is committed.
        new_suffix: random numbers below 2**31.

    Raises:
        PayloadError: a time is before the year 1601, or a text too long for a column that has no blob.
    """
    form = _FORMS[type(event)]
    key = row_key(index)
    columns = form.columns(event)
    columns["IsPlayed"] = is_played
    columns[EXECUTION_ID_COLUMN] = execution_id
    offloaded = offload(
        columns,
        form.large,
        stem=lambda _: f"{blob_folder(escape_instance_id(instance_id))}/history-{key}-{event.type_name}",
        new_suffix=new_suffix,
    )
    check_columns(f"a {event.type_name} event", columns)
    size = _ROW_OVERHEAD_BYTES
    for column in form.large:
        text = columns.get(column)
        if text:
            size += 2 * utf16_units(str(text))
    return EncodedRow(key, columns, offloaded, size)


def offloaded_columns(columns: Mapping[str, object]) -> Mapping[str, str]:
    """Return the blob names of the values that :func:`decode_event` needs besides the row, by column."""
    form = _FORMS_BY_NAME.get(columns.get(EVENT_TYPE_COLUMN))
    if form is None:
        return {}
    return {column: str(columns[blob]) for column, blob in form.blob_columns if blob in columns}


def decode_event(columns: Mapping[str, object], large: Mapping[str, str] | None = None) -> HistoryEvent:
    """Return the event of a row.

    Args:
        columns: of the row. Columns that the event does not have are ignored (rewinding leaves some).
        large: the texts of :func:`offloaded_columns`, by column.

    Raises:
        MalformedMessage: the row is none of the reference's, or a value of ``offloaded_columns`` was not given.
    """
    name = columns.get(EVENT_TYPE_COLUMN)
    form = _FORMS_BY_NAME.get(name)
    if form is None:
        raise MalformedMessage(f"history row has the unknown EventType {name!r}")
    for column, blob in form.blob_columns:
        if blob in columns:
            if large is None or column not in large:
                raise MalformedMessage(f"history row {name}: {column} is in blob {columns[blob]!r}, which was not read")
            columns = {**columns, column: large[column]}
    try:
        event: HistoryEvent = form.read(columns)
    except Mismatch as error:
        raise MalformedMessage(f"history row {name} is not one of DurableTask.AzureStorage: {error}") from None
    return event


def rewound_columns(type_name: str, *, entombs: bool) -> Columns:
    """Return what is merged into the row of an event that a rewind takes back.

    Args:
        type_name: of the event.
        entombs: whether the row becomes a GenericEvent, which replay ignores; else it is only marked.
    """
    columns: Columns = {"Reason": f"Rewound: {type_name}"}
    if entombs:
        columns[EVENT_TYPE_COLUMN] = GenericEvent.type_name
    return columns


def may_be_pending(columns: Mapping[str, object], *, after: Utc) -> bool:
    """Return whether a row is of an event that puts a message for later than ``after``: a timer, or an event sent."""
    name = columns.get(EVENT_TYPE_COLUMN)
    fire_at = columns.get("FireAt")
    is_later = isinstance(fire_at, Utc) and fire_at.padded() > after.padded()
    return name == EventSent.type_name or (name == TimerCreated.type_name and is_later)


def execution_of(columns: Mapping[str, object]) -> ExecutionId | None:
    """Return the execution that a row (an event's or the sentinel) belongs to."""
    execution_id = columns.get(EXECUTION_ID_COLUMN)
    return ExecutionId(execution_id) if isinstance(execution_id, str) else None


def sentinel_columns(
    execution_id: ExecutionId, *, complete: bool, completed_at: Utc | None, taken_requests: str | None = None
) -> Columns:
    """Return the columns of the sentinel, which is the last operation of every history batch.

    Args:
        execution_id: who owns the history now.
        complete: whether the batch holds the last event of its episode.
        completed_at: now, with ``complete``; else ``None``, and a merge keeps the time that is stored.
        taken_requests: see :func:`encode_taken_requests`; ``None``: a merge keeps what is stored.
    """
    columns: Columns = {EXECUTION_ID_COLUMN: execution_id, "IsCheckpointComplete": complete}
    if completed_at is not None:
        columns["CheckpointCompletedTimestamp"] = completed_at
    if taken_requests is not None:
        columns[TAKEN_REQUESTS_COLUMN] = taken_requests
    return columns


def decode_sentinel(columns: Mapping[str, object]) -> Sentinel:
    """Return what a sentinel row says; columns that it lacks are unknown."""
    completed_at, taken = columns.get("CheckpointCompletedTimestamp"), columns.get(TAKEN_REQUESTS_COLUMN)
    return Sentinel(
        execution_id=execution_of(columns),
        is_complete=columns.get("IsCheckpointComplete") is True,
        completed_at=completed_at if isinstance(completed_at, Utc) else None,
        taken_requests=taken if isinstance(taken, str) else None,
    )


class _Form:
    """An event's row, compiled from its record."""

    def __init__(self, record: Record) -> None:
        own = [p for p in record.properties if p is not EVENT_TYPE]
        self._name = record.model.type_name
        self._columns = tuple((_column(p), _cell(p), "null" if _is_json(p) else None) for p in own)
        self._values = attrgetter(*(p.attribute for p in own))
        self.large = tuple(p.wire_name for p in own if p.wire_name in LARGE_COLUMNS)
        self.blob_columns = tuple((column, column + BLOB_NAME_SUFFIX) for column in self.large)
        self.read = Reader(record, (_step(p) for p in own))

    def columns(self, event: HistoryEvent) -> Columns:
        columns: Columns = {}
        for (column, cell, if_null), value in zip(self._columns, self._values(event), strict=True):
            if value is not None:
                columns[column] = value if cell is None else cell(value)
            elif if_null is not None:
                columns[column] = if_null
        columns[EVENT_TYPE_COLUMN] = self._name
        return columns


def _column(item: Property) -> str:
    return TIMESTAMP_COLUMN if item.wire_name == "Timestamp" else item.wire_name


def _is_json(item: Property) -> bool:
    return not isinstance(item.kind, Kind) or item.kind in (Kind.TAGS, Kind.JSON)


def _cell(item: Property) -> Callable[[Any], str | Utc] | None:
    """Return what makes a column's value of an attribute; ``None``: it is the value."""
    if not isinstance(item.kind, Kind):
        write = UNTYPED_WRITERS[item.kind]
        return lambda value: writable(write(value))
    if item.kind in (Kind.TAGS, Kind.JSON):
        return lambda value: writable(json_of(value))
    if item.kind is Kind.TEXT:
        return storable
    if item.kind is Kind.STATUS:
        return _status_name
    if item.kind is Kind.TIME and item not in BASE_PROPERTIES:
        return table_time
    return None


def _status_name(status: RuntimeStatus) -> str:
    return status.name


_COLUMN_TYPES: Mapping[Kind, type] = {
    Kind.TEXT: str,
    Kind.TIME: Utc,
    Kind.INTEGER: int,
    Kind.FLAG: bool,
    Kind.STATUS: str,
    Kind.TAGS: str,
    Kind.JSON: str,
}


def _step(item: Property) -> Step:
    expected = _COLUMN_TYPES[item.kind] if isinstance(item.kind, Kind) else str
    return Step(_column(item), item.attribute, expected, _parser(item))


def _parser(item: Property) -> Callable[[str], object] | None:
    if not isinstance(item.kind, Kind):
        read = READERS[item.kind]
        return lambda text: parse_object(text, read)
    if item.kind is Kind.STATUS:
        return _status
    if item.kind is Kind.TAGS:
        return lambda text: parse_object(text, read_tags)
    if item.kind is Kind.JSON:
        return lambda text: parse_object(text, without_types)
    return None


def _status(name: str) -> RuntimeStatus:
    try:
        return RuntimeStatus[name]
    except KeyError:
        raise Mismatch(f"unknown runtime status {name!r}") from None


_FORMS: Mapping[type, _Form] = {record.model: _Form(record) for record in EVENTS}
_FORMS_BY_NAME: Mapping[object, _Form] = {record.model.type_name: _FORMS[record.model] for record in EVENTS}
