"""Reads recorded histories: from the management API, ``taskhub instances history --json``, and ``taskhub hub dump``."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from azure.durable_functions.testing.errors import DurableWorldError

from taskhub.codec.dump_lines import LARGE_MESSAGES, DumpedBlob, DumpedRow, decode_line
from taskhub.codec.history_rows import EXECUTION_ID_COLUMN, decode_event, offloaded_columns
from taskhub.codec.keys import SENTINEL
from taskhub.codec.messages import raw_event
from taskhub.codec.overflow import decompress
from taskhub.errors import TaskHubError
from taskhub.model.entities import is_entity

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping, Sequence

    from taskhub.model.history import HistoryEvent

_STARTED = 0


@dataclass(frozen=True)
class Recording:
    """The history of one instance."""

    name: str
    """Of its orchestrator."""
    instance_id: str
    events: Sequence[Mapping[str, Any]]
    is_view: bool
    """Whether the events are those that the management API shows: without ids, episodes, and scheduling events that
    were answered. Else they are raw ones, whole."""
    source: str = "the recording"
    parent_id: str | None = None


def read_recordings(
    source: str | os.PathLike[str] | Mapping[str, Any] | Sequence[Any], name: str | None
) -> list[Recording]:
    """Return the histories in a file, or in what was read from one.

    Args:
        source: a file's path, or its content.
        name: of the orchestrator, where the recording does not tell.

    Raises:
        DurableWorldError: it is none of the forms that are known.
    """
    if isinstance(source, (str, Path)) or hasattr(source, "__fspath__"):
        path = Path(source)
        if not path.is_file():
            raise DurableWorldError(f"there is no file {path.absolute()}")
        return _of_text(path.read_text(encoding="utf-8-sig"), name, str(source))
    return [_of_value(source, name, "the recording")]


def _of_text(text: str, name: str | None, source: str) -> list[Recording]:
    try:
        value = json.loads(text)
    except ValueError:
        return _of_dump(text.splitlines(), source)
    if isinstance(value, dict) and value.get("kind"):
        return _of_dump(text.splitlines(), source)
    return [_of_value(value, name, source)]


def _of_value(value: Any, name: str | None, source: str) -> Recording:
    status = value if isinstance(value, dict) else {}
    events = status.get("historyEvents", value)
    if not isinstance(events, (list, tuple)) or not events or not all(isinstance(each, dict) for each in events):
        raise DurableWorldError(
            f"{source} is no history: neither a status with historyEvents (GET instances/ID?showHistory=true"
            "&showHistoryOutput=true), nor a list of events (taskhub instances history ID --json), nor a hub's dump"
        )
    is_view = isinstance(events[0].get("EventType"), str)
    started = next((each for each in events if each.get("EventType") in (_STARTED, "ExecutionStarted")), None)
    if started is None:
        raise DurableWorldError(f"{source} has no ExecutionStarted: that instance has not begun")
    instance = started.get("OrchestrationInstance") or {}
    name = name or status.get("name") or started.get("FunctionName") or started.get("Name")
    if not name:
        raise DurableWorldError(f"{source} does not say which orchestrator it is of: give name=")
    parent = (started.get("ParentInstance") or {}).get("OrchestrationInstance") or {}
    instance_id = status.get("instanceId") or instance.get("InstanceId") or "recorded"
    return Recording(name, instance_id, events, is_view, source, parent.get("InstanceId"))


def _of_dump(lines: Iterable[str], source: str) -> list[Recording]:
    blobs: dict[str, bytes] = {}
    rows: dict[str, dict[str, DumpedRow]] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            item = decode_line(line)
        except TaskHubError as error:
            raise DurableWorldError(f"{source}, line {number}, is not one of a hub's dump: {error}") from None
        if isinstance(item, DumpedBlob) and item.container == LARGE_MESSAGES:
            blobs[item.name] = item.data
        elif isinstance(item, DumpedRow) and item.table == "History":
            rows.setdefault(item.partition_key, {})[item.row_key] = item
    found = [_of_rows(each, blobs, source) for each in rows.values()]
    return [recording for recording in found if recording is not None]


def _of_rows(rows: Mapping[str, DumpedRow], blobs: Mapping[str, bytes], source: str) -> Recording | None:
    sentinel = rows.get(SENTINEL)
    current = None if sentinel is None else sentinel.columns.get(EXECUTION_ID_COLUMN)
    events: list[HistoryEvent] = []
    for key in sorted(rows):
        columns = rows[key].columns
        if key == SENTINEL or (current is not None and columns.get(EXECUTION_ID_COLUMN) != current):
            continue
        texts = {column: decompress(blobs[name]) for column, name in offloaded_columns(columns).items()}
        events.append(decode_event(columns, texts))
    raw = [raw_event(event) for event in events]
    started = next((each for each in raw if each["EventType"] == _STARTED), None)
    if started is None or is_entity(started["OrchestrationInstance"]["InstanceId"]):
        return None
    return _of_value(raw, None, source)
