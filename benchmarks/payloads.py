"""Messages and rows of the sizes that a task hub sends, for benchmarks that talk to storage without one."""

from __future__ import annotations

import json
from datetime import datetime, timezone

from taskhub.model.ids import Utc
from taskhub.storage.port import Row, TableWrite, Write

_INSTANCE = {"InstanceId": "2f1d0c6c5e2a4f0a9a3c6c0f5a1b7d42", "ExecutionId": "0123456789abcdef0123456789abcdef"}
_NOW = datetime(2026, 12, 1, 4, 30, 5, 678901, tzinfo=timezone.utc)

MESSAGE = json.dumps(
    {
        "$type": "DurableTask.AzureStorage.MessageData",
        "ActivityId": "5f0c1d2e-3a4b-4c5d-8e6f-000000000015",
        "TaskMessage": {
            "$type": "DurableTask.Core.TaskMessage",
            "Event": {
                "$type": "DurableTask.Core.History.TaskScheduledEvent",
                "EventType": 4,
                "Name": "say_hello",
                "Version": "",
                "Input": '["Tokyo"]',
                "ParentTraceContext": None,
                "Tags": None,
                "EventId": 0,
                "IsPlayed": False,
                "Timestamp": "2026-12-01T04:30:05.6789010Z",
            },
            "SequenceNumber": 0,
            "OrchestrationInstance": {"$type": "DurableTask.Core.OrchestrationInstance", **_INSTANCE},
            "OrchestrationExecutionContext": None,
        },
        "CompressedBlobName": None,
        "SequenceNumber": 15,
        "Sender": _INSTANCE,
        "SerializableTraceContext": None,
    },
    separators=(",", ":"),
)
"""A work item: 0.8 KB."""


def history_row(instance_id: str, index: int) -> Row:
    """Return a row of the history: an activity that was asked for."""
    return Row(
        instance_id,
        f"{index:016X}",
        {
            "ExecutionId": _INSTANCE["ExecutionId"],
            "EventType": "TaskScheduled",
            "EventId": index,
            "IsPlayed": False,
            "_Timestamp": Utc.of(_NOW),
            "Name": "say_hello",
            "Version": "",
            "ParentTraceContext": "null",
            "Tags": "null",
        },
    )


def sentinel(instance_id: str) -> Row:
    """Return the row that guards a history."""
    return Row(
        instance_id,
        "sentinel",
        {
            "ExecutionId": _INSTANCE["ExecutionId"],
            "IsCheckpointComplete": True,
            "CheckpointCompletedTimestamp": Utc.of(_NOW),
        },
    )


def instance_row(instance_id: str, status: str) -> Row:
    """Return the row of an instance."""
    return Row(
        instance_id,
        "",
        {
            "Name": "hello",
            "Version": "",
            "RuntimeStatus": status,
            "Input": "null",
            "CustomStatus": "null",
            "ExecutionId": _INSTANCE["ExecutionId"],
            "TaskHubName": "Benchmark",
            "Generation": 0,
            "CreatedTime": Utc.of(_NOW),
            "LastUpdatedTime": Utc.of(_NOW),
        },
    )


def history_batch(instance_id: str, first: int, count: int) -> list[TableWrite]:
    """Return a transaction of so many rows of the history, the last of them its guard."""
    rows = [history_row(instance_id, index) for index in range(first, first + count - 1)]
    guard = TableWrite(Write.INSERT if first == 0 else Write.MERGE, sentinel(instance_id))
    return [*(TableWrite(Write.INSERT_OR_REPLACE, row) for row in rows), guard]
