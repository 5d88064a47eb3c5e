"""Every history row that the reference stored or sent decodes, and encodes again to the same columns.

What cannot come back the same, and why: nothing in the recordings. By construction: columns that an event of its type
does not have (rewinding leaves some on tombstones), which .NET ignores too.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from taskhub.codec.history_rows import (
    decode_event,
    decode_sentinel,
    encode_event,
    execution_of,
    offloaded_columns,
    sentinel_columns,
)
from taskhub.codec.keys import SENTINEL, escape_instance_id, unescape_instance_id
from taskhub.codec.messages import event_of, raw_event
from tests.support.recordings import RecordedRow, batch_rows, folders, is_cut, requests_of, rows_left

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = "x" * 30_721


def sent_rows() -> list[RecordedRow]:
    return [
        row
        for folder in folders("storage")
        for request in requests_of(folder)
        if request["kind"] == "table.batch History" and "body" in request
        for row in batch_rows(request)
    ]


def assert_comes_back(row: RecordedRow) -> None:
    blobs = offloaded_columns(row.columns)
    suffixes = iter([int(name.split("-")[-2], 16) for name in blobs.values()])

    event = decode_event(row.columns, dict.fromkeys(blobs, LARGE))
    encoded = encode_event(
        event,
        instance_id=unescape_instance_id(row.partition_key),
        execution_id=execution_of(row.columns),
        index=int(row.row_key, 16),
        is_played=row.columns["IsPlayed"],
        new_suffix=lambda: next(suffixes),
    )

    assert encoded.columns == row.columns, row.where
    assert {type(value) for value in encoded.columns.values()} == {type(value) for value in row.columns.values()}
    assert encoded.row_key == row.row_key
    assert [moved.blob_name for moved in encoded.offloaded] == list(blobs.values())
    assert all(moved.text == LARGE for moved in encoded.offloaded)


def test_rows_that_the_reference_left_come_back():
    rows = [row for row in rows_left("History") if row.row_key != SENTINEL]

    assert len(rows) == 2408
    for row in rows:
        assert_comes_back(row)


def test_rows_that_the_reference_sent_come_back():
    rows = [row for row in sent_rows() if row.row_key != SENTINEL]

    assert len(rows) == 406
    for row in rows:
        assert_comes_back(row)


def test_sentinels_come_back():
    rows = [row for row in [*rows_left("History"), *sent_rows()] if row.row_key == SENTINEL]

    assert len(rows) >= 300
    for row in rows:
        sentinel = decode_sentinel(row.columns)
        again = sentinel_columns(
            sentinel.execution_id, complete=sentinel.is_complete, completed_at=sentinel.completed_at
        )
        assert again == row.columns, row.where


def test_partition_keys_come_back():
    for row in rows_left("History"):
        assert escape_instance_id(unescape_instance_id(row.partition_key)) == row.partition_key


def handed_histories(folder: Path) -> Iterator[list[dict[str, object]]]:
    for line in (folder / "triggers.jsonl").read_text(encoding="utf-8").splitlines():
        call = json.loads(line)
        if call.get("kind") == "orchestrator":
            yield json.loads(call["trigger"])["history"]


def test_raw_events_that_the_extension_handed_to_the_sdk_come_back():
    events = [event for folder in folders("extension") for history in handed_histories(folder) for event in history]

    assert len(events) == 2784
    for event in events:
        again = raw_event(event_of(event))
        assert again == event
        assert list(again) == list(event)


def test_rows_become_the_raw_events_that_the_extension_handed_to_the_sdk():
    stored = {
        (execution_of(row.columns), int(row.row_key, 16)): row
        for row in rows_left("History")
        if row.row_key != SENTINEL
    }
    compared = 0
    for folder in folders("extension"):
        for history in handed_histories(folder):
            execution_id = history[1]["OrchestrationInstance"]["ExecutionId"]
            for index, event in enumerate(history):
                row = stored.get((execution_id, index))
                if row is None or row.columns["_Timestamp"] != event["Timestamp"] or is_cut([row.columns, event]):
                    continue  # replaced by a later generation, or not yet as it was committed
                blobs = dict.fromkeys(offloaded_columns(row.columns), "")
                raw = raw_event(decode_event(row.columns, blobs))
                compared += 1
                assert list(raw) == list(event)
                # Handed over before it is marked as played; off-loaded values are not in the row.
                for name in ("IsPlayed", *blobs):
                    raw[name] = event[name]
                assert raw == event, row.where

    assert compared == 2545
