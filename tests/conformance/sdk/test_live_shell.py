"""The live shell against recordings of the real extension: same history in, same durable operations out.

The extension runs the SDK's actions and writes what it scheduled into the history. Here the recorded history of each
episode is replayed by the live shell; what it decides must be what the extension scheduled then, ids, names, inputs
and request ids included.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from azure.durable_functions.replay import (
    CreateTimer,
    OrchestrationSession,
    Raised,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)

from tests.support.modules import load_module

GOLDEN = Path(__file__).parents[2] / "golden" / "extension"
SCHEDULING = {4: ScheduleActivity, 7: StartSubOrchestration, 10: CreateTimer, 14: SendEvent}

MAX_INLINE = 45_000
"""Longer inputs are in a blob, not in the recorded message."""

DIFFERENT = {
    "activity_failed": "the extension waits for all siblings of a failed fan-out, the live shell goes on at once",
    "http_control:17": "suspended: the extension withholds what the code asks for",
    "http_control:24": "terminated: the extension schedules nothing",
    "entity_locks": "states written by hand",
    "limits": "the extension stops at maxOrchestrationActions",
    "unknown_functions": "the extension swallows actions that cannot start",
}


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if "«" not in line]


def episodes() -> Iterator[tuple[str, Any, dict[str, Any], list[dict[str, Any]]]]:
    """Yield name, function, context and what was scheduled, for each episode that was followed by another."""
    for folder in sorted(path.parent for path in GOLDEN.glob("*/triggers.jsonl")):
        functions = getattr(load_module(folder / "scenario.py", f"live_{folder.name}"), "ORCHESTRATORS", {})
        previous: dict[str, tuple[str, Any, dict[str, Any]]] = {}
        for row in rows(folder / "triggers.jsonl"):
            function = functions.get(row.get("name", ""))
            if row.get("kind") != "orchestrator" or function is None or folder.name in DIFFERENT:
                continue
            context = json.loads(row["trigger"])
            execution = next(e for e in context["history"] if e["EventType"] == 0)["OrchestrationInstance"][
                "ExecutionId"
            ]
            if execution in previous:
                name, before, earlier = previous[execution]
                later = context["history"][len(earlier["history"]) :]
                end = next((i for i, event in enumerate(later) if event["EventType"] == 13), len(later))
                yield name, before, earlier, [event for event in later[:end] if event["EventType"] in SCHEDULING]
            previous[execution] = f"{folder.name}:{row['n']}", function, context


EPISODES = {name: rest for name, *rest in episodes() if name not in DIFFERENT}
MESSAGES = {path.parent.name: rows(path) for path in sorted(GOLDEN.glob("*/messages.jsonl"))}


def decide(function: Any, context: dict[str, Any]) -> Any:
    history = context["history"]
    last = max(i for i, event in enumerate(history) if event["EventType"] == 12)
    session = OrchestrationSession(
        function, instance_id=context["instanceId"], parent_instance_id=context["parentInstanceId"]
    )
    return session.advance(history, replayed=last)


def test_there_are_enough_recordings() -> None:
    assert len(EPISODES) > 50


@pytest.mark.parametrize("name", EPISODES)
def test_decisions_are_what_the_extension_scheduled(name: str) -> None:
    function, context, scheduled = EPISODES[name]

    decisions = decide(function, context)

    assert not (isinstance(decisions.outcome, Raised) and "Non-Deterministic" in decisions.outcome.error)
    assert [shape(operation) for operation in decisions.operations] == [recorded_shape(event) for event in scheduled]
    execution = next(e for e in context["history"] if e["EventType"] == 0)["OrchestrationInstance"]["ExecutionId"]
    for operation in decisions.operations:
        assert_same_message(operation, MESSAGES[name.partition(":")[0]], context["instanceId"], execution)


def shape(operation: Any) -> Any:
    if isinstance(operation, SendEvent):
        return (SendEvent, operation.task_id, operation.instance_id)
    return (type(operation), operation.task_id, getattr(operation, "name", None))


def recorded_shape(event: dict[str, Any]) -> Any:
    kind = SCHEDULING[event["EventType"]]
    return (kind, event["EventId"], event["InstanceId"] if kind is SendEvent else event.get("Name"))


def assert_same_message(operation: Any, messages: list[dict[str, Any]], instance_id: str, execution_id: str) -> None:
    """Compare an operation with the queue message that the extension put for it."""
    # Messages that are in a blob are recorded without their content.
    address = {"InstanceId": instance_id, "ExecutionId": execution_id}
    rows_here = [row["message"] for row in messages if row["message"]["TaskMessage"] is not None]
    tasks = [message["TaskMessage"] for message in rows_here]
    # The work item of an activity is addressed to whoever waits for it; the others name their sender. (A new generation
    # is sent for in its predecessor's name, and a rewound activity is sent twice.)
    ours = [m["Event"] for m in tasks if m["OrchestrationInstance"] | address == m["OrchestrationInstance"]]
    sent = [message["TaskMessage"]["Event"] for message in rows_here if message["Sender"] == address]
    match operation:
        case ScheduleActivity(task_id=task_id):
            inputs = [event["Input"] for event in ours if (event["EventType"], event["EventId"]) == (4, task_id)]
            assert operation.input in inputs or len(operation.input) > MAX_INLINE
        case CreateTimer(task_id=task_id):
            [event] = [event for event in sent if event["EventType"] == 11 and event["TimerId"] == task_id]
            assert operation.fire_at.strftime("%Y-%m-%dT%H:%M:%S.%f") == padded(event["FireAt"])
        case StartSubOrchestration(task_id=task_id):
            starts = [event for event in sent if event["EventType"] == 0]
            [event] = [event for event in starts if event["ParentInstance"]["TaskScheduleId"] == task_id]
            assert operation.input == event["Input"]
            assert operation.version in (None, event["Version"])
        case SendEvent():
            request = json.loads(operation.input)
            inputs = [event["Input"] for event in sent if event["EventType"] == 15]
            [recorded] = [json.loads(text) for text in inputs if f'"id":"{request["id"]}"' in text]
            recorded.pop("parentTraceContext", None)  # with tracing only
            assert list(request) == list(recorded)
            # The extension takes this one from the wall clock.
            assert {**request, "requestTime": None} == {**recorded, "requestTime": None}


def padded(time: str) -> str:
    seconds, _, fraction = time.rstrip("Z").partition(".")
    return f"{seconds}.{fraction[:6].ljust(6, '0')}"
