"""What replay costs, in function calls: they do not depend on the machine."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import pytest
from azure.durable_functions.orchestrator import Orchestrator
from azure.durable_functions.replay import OrchestrationSession, Returned

if TYPE_CHECKING:
    from collections.abc import Callable


def calls_of(function: Callable[[], Any]) -> int:
    """Count the calls, of Python and of C functions, that a call makes."""
    count = 0

    def note(frame: Any, kind: str, argument: Any) -> None:
        nonlocal count
        count += kind in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


def sequence(context: Any) -> Any:
    total = 0
    for number in range(context.get_input()):
        total += yield context.call_activity("Step", number)
    return total


def event(kind: int, event_id: int = -1, **properties: Any) -> dict[str, Any]:
    time = "2024-03-05T10:00:00.1234567Z"
    return {"EventType": kind, **properties, "EventId": event_id, "IsPlayed": False, "Timestamp": time}


def start(length: int) -> list[dict[str, Any]]:
    return [event(12), event(0, Name="Flow", Version=None, Input=json.dumps(str(length)))]


def step(number: int) -> list[dict[str, Any]]:
    completed = event(5, TaskScheduledId=number, Result=str(number))
    return [event(4, number, Name="Step", Version="", Input=None), event(13), event(12), completed]


def history_of(steps: int) -> list[dict[str, Any]]:
    return [*start(steps), *(each for number in range(steps) for each in step(number))]


def test_a_live_step_costs_the_same_however_long_the_history_is() -> None:
    session = OrchestrationSession(sequence, instance_id="i-1")
    session.advance(start(1000))
    costs = {}

    for number in range(1000):
        costs[number] = calls_of(lambda number=number: session.advance(step(number), replayed=2))  # type: ignore[misc]

    assert costs[998] == costs[10]
    assert costs[10] < 100


def test_a_cold_live_replay_costs_the_same_for_each_event() -> None:
    def cold(steps: int) -> int:
        history = history_of(steps)
        return calls_of(
            lambda: OrchestrationSession(sequence, instance_id="i-1").advance(history, replayed=len(history) - 2)
        )

    short, long = cold(100), cold(1000)

    assert long - short == pytest.approx(9 * (short - cold(0)), rel=0.01)
    assert long / 4000 < 12


def test_a_json_replay_costs_the_same_for_each_event() -> None:
    handle = Orchestrator.create(sequence)

    def cold(steps: int) -> int:
        context = json.dumps(
            {
                "history": history_of(steps),
                "input": str(steps),
                "instanceId": "i-1",
                "isReplaying": True,
                "parentInstanceId": None,
                "upperSchemaVersion": 1,
                "upperSchemaVersionNew": 3,
            }
        )
        return calls_of(lambda: handle(context))

    short, long = cold(100), cold(1000)

    assert long - short == pytest.approx(10 * (short - cold(10)), rel=0.01)
    assert long / 4000 < 12


def test_times_that_nobody_reads_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    from azure.durable_functions._replay import history

    def refuse(text: str) -> None:
        raise AssertionError(f"parsed {text}")

    monkeypatch.setattr(history, "parse_timestamp", refuse)
    events = history_of(5)

    decisions = OrchestrationSession(sequence, instance_id="i-1").advance(events, replayed=len(events) - 2)

    assert decisions.outcome == Returned("10")
