"""Rows of the Instances table: one per instance, a view of its current execution. History is the truth.

The client writes the row when it starts an instance, every commit merges into it, and a merge clears nothing: after a
continue-as-new the output of the generation before can remain. Inputs and outputs that a column cannot hold appear as
the URL of a blob, or, between the start and the first commit, as an empty text beside the blob's name.

Source: DurableTask.AzureStorage, AzureTableTrackingStore.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from taskhub.codec.jsontext import json_of, storable, writable
from taskhub.codec.keys import blob_folder, escape_instance_id, unescape_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.codec.overflow import (
    BLOB_NAME_SUFFIX,
    MAX_COLUMN_UNITS,
    SERVICE_COLUMN_UNITS,
    Columns,
    EncodedRow,
    check_columns,
    is_large,
    offload,
    table_time,
    utf16_units,
)
from taskhub.codec.records import Mismatch, parse_object, read_tags, take
from taskhub.errors import MalformedMessage, PayloadError
from taskhub.model.history import (
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
)
from taskhub.model.ids import ExecutionId, Utc
from taskhub.model.instance import InstanceState, RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import ETag, InstanceId

ROW_KEY = ""
"""Row key of every instance row; the partition key is the escaped instance id."""

_START_MESSAGE_BLOB = "-ExecutionStarted.json.gz"
"""End of the name of a large start message: the blob holds an envelope, and the input is inside of it."""


class BlobUrls(NamedTuple):
    """Where an episode's input and output lie, if they are too large for a column."""

    input: str | None
    output: str | None


# ---- writing


def creation_columns(
    started: ExecutionStarted, *, hub: str, now: Utc, input_url: str | None, new_suffix: Callable[[], int]
) -> EncodedRow:
    """Return the row that a client writes for an instance that it starts, after putting the start message.

    Args:
        started: the event of the start message.
        hub: name of the task hub as configured.
        now: becomes the time of the last update.
        input_url: URL of the start message's blob, if the message was large; it is the input then.
        new_suffix: random numbers below 2**31.

    Raises:
        PayloadError: the scheduled start is before the year 1601, or the name or version too long for a column.
    """
    columns: Columns = {
        **_identity(started),
        "RuntimeStatus": RuntimeStatus.Pending.name,
        "LastUpdatedTime": now,
        "TaskHubName": hub,
    }
    if started.instance.execution_id is not None:
        columns["ExecutionId"] = started.instance.execution_id
    _set(columns, "Input", started.input if input_url is None else input_url)
    folder = blob_folder(escape_instance_id(started.instance.instance_id))
    offloaded = offload(
        columns, ("Input", "Tags"), stem=lambda column: f"{folder}/history--{column}", new_suffix=new_suffix
    )
    check_columns("an instance row", columns)
    return EncodedRow(ROW_KEY, columns, offloaded)


def checkpoint_columns(
    new_events: Sequence[HistoryEvent],
    *,
    hub: str,
    execution_id: ExecutionId,
    custom_status: str | None,
    now: Utc,
    status: RuntimeStatus | None = None,
    input_url: str | None = None,
    output_url: str | None = None,
) -> Columns:
    """Return the columns that a commit merges into the instance's row, after its history.

    Args:
        new_events: the committed events, at least one. Where several set the same column, the last counts.
        hub: name of the task hub as configured.
        execution_id: the execution that was committed.
        custom_status: JSON text, ``None`` for none.
        now: becomes the time of completion.
        status: what the row shows where the events do not tell; ``None``: what it shows already.
        input_url: where the input lies if its history row moved it to a blob; see :func:`blob_urls`.
        output_url: the same of the output.

    Raises:
        PayloadError: an input or output is too large for a column and has no URL.
    """
    columns: Columns = {
        "CustomStatus": "null" if custom_status is None else storable(custom_status),
        "ExecutionId": execution_id,
        "LastUpdatedTime": new_events[-1].timestamp,
        "TaskHubName": hub,
    }
    if status is not None:
        columns["RuntimeStatus"] = status.name
    for event in new_events:
        if isinstance(event, ExecutionStarted):
            columns.update(_identity(event))
            if utf16_units(event.name) > SERVICE_COLUMN_UNITS:
                # Of a sub-orchestration; a client refuses it. The history has it whole, in a blob.
                columns["Name"] = storable(event.name[: SERVICE_COLUMN_UNITS // 2])
            columns["RuntimeStatus"] = RuntimeStatus.Running.name
            _set(columns, "Input", event.input if input_url is None else input_url)
            if is_large(str(columns["Tags"])):
                del columns["Tags"]  # the creation moved them to a blob, and a merge leaves that be
        elif type(event) in _OUTCOMES:
            outcome = _OUTCOMES[type(event)]
            reached = outcome.status(event)
            columns["RuntimeStatus"] = reached.name
            if reached.is_terminal:
                columns["CompletedTime"] = now
            _set(columns, "Output", outcome.text(event) if output_url is None else output_url)
    for column in ("Input", "Output"):
        if is_large(str(columns.get(column, ""))):
            raise PayloadError(f"{column} of an instance row exceeds {MAX_COLUMN_UNITS} UTF-16 units: give its URL")
    return columns


def blob_urls(new_events: Iterable[HistoryEvent], rows: Iterable[EncodedRow], url_of: Callable[[str], str]) -> BlobUrls:
    """Return the URLs that :func:`checkpoint_columns` needs.

    Args:
        new_events: the committed events.
        rows: their history rows.
        url_of: the URL of a blob in the large-messages container.
    """
    urls: dict[str, str | None] = {"Input": None, "Output": None}
    for event, row in zip(new_events, rows, strict=True):
        if isinstance(event, ExecutionStarted):
            target, column = "Input", "Input"
        elif type(event) in _OUTCOMES:
            target, column = "Output", _OUTCOMES[type(event)].column
        else:
            continue
        blob_name = row.columns.get(column + BLOB_NAME_SUFFIX)
        urls[target] = None if blob_name is None else url_of(str(blob_name))
    return BlobUrls(urls["Input"], urls["Output"])


def termination_columns(
    event: ExecutionTerminated,
    *,
    instance_id: InstanceId,
    now: Utc,
    url_of: Callable[[str], str],
    new_suffix: Callable[[], int],
) -> EncodedRow:
    """Return what is merged into the row of an instance that is terminated before it has any history."""
    columns: Columns = {
        "RuntimeStatus": RuntimeStatus.Terminated.name,
        "LastUpdatedTime": event.timestamp,
        "CompletedTime": now,
    }
    _set(columns, "Output", event.input)
    folder = blob_folder(escape_instance_id(instance_id))
    offloaded = offload(columns, ("Output",), stem=lambda _: f"{folder}/history--Output", new_suffix=new_suffix)
    blob_name = columns.pop("Output" + BLOB_NAME_SUFFIX, None)
    if blob_name is not None:
        columns["Output"] = url_of(str(blob_name))
    return EncodedRow(ROW_KEY, columns, offloaded)


def rewind_columns(now: Utc) -> Columns:
    """Return what is merged into the row of an instance that is rewound."""
    return {"RuntimeStatus": RuntimeStatus.Pending.name, "LastUpdatedTime": now}


def repair_columns(
    history: Sequence[HistoryEvent],
    *,
    hub: str,
    execution_id: ExecutionId,
    row_exists: bool,
    has_input: bool = True,
    input_url: str | None = None,
    output_url: str | None = None,
) -> Columns:
    """Return what is inserted or merged when the row of an ended instance is missing or disagrees with its history.

    What history does not hold, or the row holds already, is left alone: custom status and input.

    Args:
        history: all events of the execution.
        hub: name of the task hub as configured.
        execution_id: the execution of the history.
        row_exists: whether there is a row to merge into.
        has_input: whether that row has the input of this execution.
        input_url: see :func:`checkpoint_columns`.
        output_url: see :func:`checkpoint_columns`.
    """
    ended = next((event for event in reversed(history) if type(event) in _OUTCOMES), history[-1])
    columns = checkpoint_columns(
        history,
        hub=hub,
        execution_id=execution_id,
        custom_status=None,
        now=ended.timestamp,
        input_url=input_url,
        output_url=output_url,
    )
    if row_exists:
        del columns["CustomStatus"]
    if row_exists and has_input:
        columns.pop("Input", None)
    return columns


def _identity(started: ExecutionStarted) -> Columns:
    columns: Columns = {
        "Name": storable(started.name),
        "CreatedTime": started.timestamp,
        "Tags": "null" if started.tags is None else writable(json_of(started.tags)),
    }
    _set(columns, "Version", started.version)
    if started.generation is not None:
        columns["Generation"] = started.generation
    if started.scheduled_start is not None:
        columns["ScheduledStartTime"] = table_time(started.scheduled_start)
    return columns


def _set(columns: Columns, column: str, text: str | None) -> None:
    if text is not None:
        columns[column] = storable(text)


class _Outcome(NamedTuple):
    """What an event makes of the instance."""

    status: Callable[[Any], RuntimeStatus]
    text: Callable[[Any], str | None]
    """The output."""
    column: str
    """Column of the event's history row that holds it."""


def _completion_text(event: ExecutionCompleted) -> str | None:
    if event.failure is None:
        return event.result
    text = storable(f"{event.failure.error_type}: {event.failure.error_message}")
    # Unlike a result it has no blob. The reference fails here; the whole text is in history.
    return text[: MAX_COLUMN_UNITS // 2] if is_large(text) else text


_OUTCOMES: Mapping[type, _Outcome] = {
    ExecutionCompleted: _Outcome(attrgetter("status"), _completion_text, "Result"),
    ExecutionTerminated: _Outcome(lambda _: RuntimeStatus.Terminated, attrgetter("input"), "Input"),
    ExecutionSuspended: _Outcome(lambda _: RuntimeStatus.Suspended, attrgetter("reason"), "Reason"),
    ExecutionResumed: _Outcome(lambda _: RuntimeStatus.Running, attrgetter("reason"), "Reason"),
}


# ---- reading


def status_columns(*, with_input: bool, with_output: bool) -> Sequence[str] | None:
    """Return the columns that a status read selects, ``None`` for all of them."""
    if with_input and with_output:
        return None
    left_out = {name for name, wanted in (("Input", with_input), ("Output", with_output)) if not wanted}
    return [column for column in _STATUS_COLUMNS if column.removesuffix(BLOB_NAME_SUFFIX) not in left_out]


def large_value(text: str, *, container: str) -> str | None:
    """Return the blob name if an input or output is the URL of a large-message blob, else ``None``.

    The reference takes any absolute URL for one and fails on those of other places. Here they stay what they are:
    outputs that happen to be URLs.

    Args:
        text: value of an ``Input`` or ``Output`` column.
        container: name of the hub's large-messages container.
    """
    _, is_url, location = text.partition("://")
    if not is_url or not text.endswith(".json.gz"):
        return None
    _, is_ours, path = location.partition(f"/{container}/")
    return unquote(path) if is_ours else None


def relocated_columns(columns: Columns, *, container: str, hub: str, url_of: Callable[[str], str]) -> Columns:
    """Return the columns of a row that comes from another hub or store.

    Args:
        columns: of the row.
        container: name of the large-messages container that its URLs name.
        hub: name of the hub that it goes to.
        url_of: the URL of a blob there.
    """
    moved = dict(columns)
    for column in ("Input", "Output"):
        blob_name = large_value(str(moved.get(column, "")), container=container)
        if blob_name is not None:
            moved[column] = url_of(blob_name)
    if "TaskHubName" in moved:
        moved["TaskHubName"] = hub
    return moved


def offloaded_columns(columns: Mapping[str, object], *, container: str) -> Mapping[str, str]:
    """Return the blob names of the values that are not in the row, by column.

    Args:
        columns: of the row, or the selected ones.
        container: name of the hub's large-messages container.
    """
    blobs = {}
    for column in ("Input", "Output", "Tags"):
        value, blob_name = columns.get(column), columns.get(column + BLOB_NAME_SUFFIX)
        # After the first commit the URL is right and the name a left-over.
        if value:
            blob_name = large_value(str(value), container=container)
        if blob_name is not None:
            blobs[column] = str(blob_name)
    return blobs


def decode_instance(
    partition_key: str,
    columns: Mapping[str, object],
    *,
    etag: ETag | None = None,
    large: Mapping[str, str] | None = None,
) -> InstanceState:
    """Return the state that a row shows.

    Args:
        partition_key: of the row.
        columns: of the row, or the selected ones.
        etag: of the row.
        large: the blob texts of :func:`offloaded_columns`, by column. What is not given shows as it is in the row: as
            the blob's URL, or empty.

    Raises:
        MalformedMessage: a column is not what the reference writes. An unknown status is no error.
    """
    instance_id = unescape_instance_id(partition_key)
    try:
        execution_id = take(columns, "ExecutionId", str)
        return InstanceState(
            instance_id=instance_id,
            execution_id=ExecutionId(execution_id) if execution_id else None,
            name=take(columns, "Name", str),
            version=take(columns, "Version", str),
            status=RuntimeStatus.__members__.get(take(columns, "RuntimeStatus", str) or ""),
            created=take(columns, "CreatedTime", Utc),
            last_updated=take(columns, "LastUpdatedTime", Utc),
            completed=take(columns, "CompletedTime", Utc),
            scheduled_start=take(columns, "ScheduledStartTime", Utc),
            input=_input(columns, large or {}),
            output=(large or {}).get("Output", take(columns, "Output", str)),
            custom_status=_unless_null(take(columns, "CustomStatus", str)),
            generation=take(columns, "Generation", int),
            tags=_tags((large or {}).get("Tags", take(columns, "Tags", str))),
            etag=etag,
        )
    except Mismatch as error:
        raise MalformedMessage(
            f"row of instance {instance_id!r} is not one of DurableTask.AzureStorage: {error}"
        ) from None


_STATUS_COLUMNS = (
    "ExecutionId",
    "Name",
    "Version",
    "Input",
    "InputBlobName",
    "Output",
    "CustomStatus",
    "CreatedTime",
    "LastUpdatedTime",
    "CompletedTime",
    "RuntimeStatus",
    "ScheduledStartTime",
    "Generation",
    "Tags",
    "TagsBlobName",
)


def _input(columns: Mapping[str, object], large: Mapping[str, str]) -> str | None:
    stored = take(columns, "Input", str)
    text = large.get("Input", stored)
    if "Input" not in large or stored is None or not stored.endswith(_START_MESSAGE_BLOB):
        return text
    message = decode_envelope(large["Input"])
    if isinstance(message, BlobPointer) or not isinstance(message.message.event, ExecutionStarted):
        raise Mismatch("its blob is no start message", "Input")
    return message.message.event.input


def _tags(text: str | None) -> Mapping[str, str] | None:
    try:
        return parse_object(text, read_tags) if text else None
    except Mismatch as error:
        raise error.below("Tags") from None


def _unless_null(text: str | None) -> str | None:
    return None if text == "null" else text
