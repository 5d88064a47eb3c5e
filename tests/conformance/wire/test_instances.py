"""Instance rows: those that the reference wrote are those that we would write, and all that it left can be read.

A row is not the encoding of one value: a start and several commits made it. So the provider's writes are compared one
by one, and what was left of it with what its history says.

What cannot come back the same, and why:

* The row of a start whose message went to a blob: its recording is cut, so that the event is unknown.
* After continue-as-new, columns of the generation before: a merge clears nothing.
* The time of completion: the worker's clock, not in history; taken from the row.
* ``InputBlobName`` of a creation: stays beside the URL that the first commit wrote.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from taskhub.codec import history_rows, instance_rows
from taskhub.codec.keys import SENTINEL, unescape_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.codec.overflow import EncodedRow
from taskhub.model.history import ExecutionStarted, ExecutionTerminated
from tests.support.recordings import RecordedRow, batch_rows, columns_of, folders, is_cut, requests_of, rows_left

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from taskhub.model.history import HistoryEvent

LARGE = "x" * 30_721


@dataclass
class Commit:
    """History rows of an instance that no merge has shown yet."""

    events: list[HistoryEvent] = field(default_factory=list)
    rows: list[EncodedRow] = field(default_factory=list)

    def add(self, row: RecordedRow) -> None:
        blobs = dict.fromkeys(history_rows.offloaded_columns(row.columns), LARGE)
        self.events.append(history_rows.decode_event(row.columns, blobs))
        self.rows.append(EncodedRow(row.row_key, dict(row.columns)))

    def merged(self, recorded: dict[str, object], url_of: Callable[[str], str]) -> dict[str, object]:
        status = str(recorded["CustomStatus"])
        urls = instance_rows.blob_urls(self.events, self.rows, url_of)
        return instance_rows.checkpoint_columns(
            self.events,
            hub=str(recorded["TaskHubName"]),
            execution_id=recorded["ExecutionId"],
            custom_status=None if status == "null" else status,
            now=recorded.get("CompletedTime"),
            input_url=urls.input,
            output_url=urls.output,
        )


class Replay:
    """Makes the instance rows that the requests of a scenario should write, and compares them."""

    def __init__(self, folder: Path) -> None:
        tables = json.loads((folder / "state.json").read_text(encoding="utf-8"))["tables"]
        self.hub = next(name for name in tables if name.endswith("Instances")).removesuffix("Instances")
        self.compared = 0
        self.unknown_starts = 0
        self.large_starts = 0
        self._starts: dict[str, ExecutionStarted] = {}
        self._commits: dict[str, Commit] = defaultdict(Commit)

    def url_of(self, blob_name: str) -> str:
        return f"http://127.0.0.1:10000/devstoreaccount1/{self.hub.lower()}-largemessages/{quote(blob_name)}"

    def see(self, request: dict) -> None:
        body, kind = request["body"], request["kind"]
        if kind == "queue.put control":
            message = decode_envelope(json.dumps(body))
            if isinstance(message, BlobPointer):
                self.large_starts += message.blob_name.endswith("-ExecutionStarted.json.gz")
            elif isinstance(message.message.event, ExecutionStarted):
                self._starts[message.message.target.instance_id] = message.message.event
        elif kind == "table.batch History":
            for row in batch_rows(request):
                if row.row_key != SENTINEL:
                    self._commits[row.partition_key].add(row)
        elif kind in ("table.post Instances", "table.put Instances"):
            self._creation(unescape_instance_id(body["PartitionKey"]), columns_of(body))
        elif kind == "table.patch Instances":
            self._merge(body["PartitionKey"], columns_of(body))

    def _creation(self, instance_id: str, recorded: dict[str, object]) -> None:
        started = self._starts.pop(instance_id, None)
        if started is None:
            self.unknown_starts += 1
            return
        if is_cut(started.input):
            started = replace(started, input=LARGE)
        suffix = str(recorded.get("InputBlobName", "0-Input")).split("-")[-2]
        row = instance_rows.creation_columns(
            started,
            hub=self.hub,
            now=recorded["LastUpdatedTime"],
            input_url=None,
            new_suffix=lambda: int(suffix, 16),
        )
        assert row.columns == recorded
        self.compared += 1

    def _merge(self, partition_key: str, recorded: dict[str, object]) -> None:
        if "CustomStatus" in recorded:
            assert self._commits.pop(partition_key).merged(recorded, self.url_of) == recorded
        else:
            row = instance_rows.termination_columns(
                ExecutionTerminated(timestamp=recorded["LastUpdatedTime"], input=recorded["Output"]),
                instance_id=unescape_instance_id(partition_key),
                now=recorded["CompletedTime"],
                url_of=self.url_of,
                new_suffix=lambda: 0,
            )
            assert row.columns == recorded
        self.compared += 1


def written_instances(folder: Path) -> list[dict]:
    kinds = {"table.post Instances", "table.put Instances", "table.patch Instances"}
    return [request for request in requests_of(folder) if request["kind"] in kinds and "body" in request]


def scenarios_that_write_instances() -> list[Path]:
    """Return those whose recording kept every history batch."""

    def is_whole(request: dict) -> bool:
        return request["kind"] != "table.batch History" or ("body" in request and "[cut: " not in str(request["body"]))

    return [f for f in folders("storage") if written_instances(f) and all(map(is_whole, requests_of(f)))]


@pytest.mark.parametrize("folder", scenarios_that_write_instances(), ids=lambda folder: folder.name)
def test_rows_that_the_provider_wrote_are_those_that_we_would_write(folder):
    replay = Replay(folder)

    for request in requests_of(folder):
        if "body" in request:
            replay.see(request)

    assert replay.unknown_starts == replay.large_starts
    assert replay.compared == len(written_instances(folder)) - replay.unknown_starts


def test_rows_left_show_what_their_history_says():
    histories: dict[tuple[str, str], list[RecordedRow]] = defaultdict(list)
    for row in rows_left("History"):
        if row.row_key != SENTINEL:
            histories[row.where.replace("History", "Instances"), row.partition_key].append(row)
    compared = 0
    for row in rows_left("Instances"):
        commit = Commit()
        for event_row in histories[row.where, row.partition_key]:
            if history_rows.execution_of(event_row.columns) == row.columns["ExecutionId"]:
                commit.add(event_row)
        if not commit.events:
            continue
        expected = commit.merged(dict(row.columns), url_of=quote)
        shown = {
            name: quote(instance_rows.large_value(str(value), container=container_of(value)) or str(value))
            if name in ("Input", "Output") and "largemessages" in str(value)
            else value
            for name, value in row.columns.items()
        }
        assert {name: shown.get(name) for name in expected} == expected, row
        compared += 1

    assert compared >= 250


def container_of(url: object) -> str:
    return next(part for part in str(url).split("/") if part.endswith("-largemessages"))


def test_rows_left_can_be_read():
    rows = list(rows_left("Instances"))

    assert len(rows) == 278
    for row in rows:
        state = instance_rows.decode_instance(row.partition_key, row.columns)
        assert state.status is not None
        assert state.status.name == row.columns["RuntimeStatus"]
        assert (state.created, state.last_updated) == (row.columns["CreatedTime"], row.columns["LastUpdatedTime"])
        assert (state.name, state.version) == (row.columns["Name"], row.columns.get("Version"))
        assert (state.input, state.output) == (row.columns.get("Input"), row.columns.get("Output"))
        assert (state.custom_status or "null") == row.columns.get("CustomStatus", "null")
        assert state.generation == row.columns.get("Generation")


def test_large_values_left_are_found_in_their_blobs():
    found = [
        instance_rows.offloaded_columns(row.columns, container=container_of(value))
        for row in rows_left("Instances")
        for value in (row.columns.get("Input"), row.columns.get("Output"))
        if "largemessages" in str(value)
    ]

    assert len(found) >= 4
    assert all(name.split("/")[1].startswith("history-") for blobs in found for name in blobs.values())
