"""A history that the code did not write is refused, with both sides named."""

from __future__ import annotations

from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import OrchestrationSession, Raised, Returned


def event(kind: int, event_id: int = -1, **properties: Any) -> dict[str, Any]:
    return {
        "EventType": kind,
        **properties,
        "EventId": event_id,
        "IsPlayed": False,
        "Timestamp": "2024-03-05T10:00:00Z",
    }


def replay(function: Any, *recorded: dict[str, Any]) -> Any:
    history = [event(12), event(0, Name="Flow", Input=None), *recorded, event(13), event(12)]
    return OrchestrationSession(function, instance_id="i-1").advance(history, replayed=len(history) - 1)


def activity(context: Any) -> Any:
    yield context.call_activity("Mine")


def child(context: Any) -> Any:
    yield context.call_sub_orchestrator("Mine")


def timer(context: Any) -> Any:
    yield context.create_timer(context.current_utc_datetime)


def entity(context: Any) -> Any:
    yield context.call_entity(df.EntityId("Mine", "k"), "get")


def nothing(context: Any) -> Any:
    yield context.wait_for_external_event("go")


RECORDED = {
    "activity": event(4, 0, Name="Theirs", Version=""),
    "child": event(7, 0, Name="Theirs", Version=None, InstanceId="c"),
    "timer": event(10, 0),
    "entity": event(14, 0, Name="op", InstanceId="@theirs@k", Input='{"id": "x"}'),
}
WORDS = {"activity": "an activity", "child": "a sub-orchestration", "timer": "a timer", "entity": "a send event"}


@pytest.mark.parametrize("recorded", RECORDED)
@pytest.mark.parametrize("code", [activity, child, timer, entity])
def test_other_kind_or_name_is_refused(recorded: str, code: Any) -> None:
    decisions = replay(code, RECORDED[recorded])

    if recorded == code.__name__ == "timer":
        assert decisions.outcome is None  # one timer is like another
        return
    assert isinstance(decisions.outcome, Raised)
    text = decisions.outcome.error
    assert text.startswith(
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled "
        f"{WORDS[recorded]} task with sequence number 0"
    )
    assert f"instead scheduled {WORDS[code.__name__]} task" in text
    assert decisions.operations == ()


@pytest.mark.parametrize("recorded", RECORDED)
def test_what_the_code_does_not_ask_for_is_refused(recorded: str) -> None:
    outcome = replay(nothing, RECORDED[recorded]).outcome

    assert isinstance(outcome, Raised)
    assert f"scheduled {WORDS[recorded]} task with sequence ID 0" in outcome.error
    assert "hasn't (yet?) scheduled this task" in outcome.error


def test_the_texts_begin_as_the_references() -> None:
    other = replay(activity, RECORDED["activity"]).outcome
    gone = replay(nothing, RECORDED["activity"]).outcome

    assert other.error.startswith(
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task "
        "with sequence number 0 named 'Theirs', but the current orchestration replay instead scheduled an activity "
        "task named 'Mine' with this sequence number.  Was a change made to the orchestrator code after this instance "
        "had already started running?"
    )
    assert gone.error.startswith(
        "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task "
        "with sequence ID 0 and name 'Theirs' (version ''), but the current replay execution hasn't (yet?) scheduled "
        "this task. Was a change made to the orchestrator code after this instance had already started running?"
    )


def test_the_line_of_the_users_code_is_shown() -> None:
    def inner(context: Any) -> Any:
        yield context.wait_for_external_event("inner")

    def outer(context: Any) -> Any:
        yield from inner(context)

    async def awaiting(context: Any) -> Any:
        await context.wait_for_external_event("awaited")

    for function, line in ((outer, '"inner"'), (awaiting, '"awaited"')):
        outcome = replay(function, RECORDED["timer"]).outcome

        assert f"{__file__}, line " in outcome.error
        assert outcome.error.endswith(f"context.wait_for_external_event({line})")


def test_code_that_has_ended_too_early_is_refused() -> None:
    outcome = replay(lambda context: "done", RECORDED["activity"]).outcome

    assert isinstance(outcome, Raised)
    assert outcome.error.endswith("The code has ended without asking for a task with sequence number 0.")


def test_code_that_ended_having_asked_is_accepted() -> None:
    def flow(context: Any) -> Any:
        context.signal_entity(df.EntityId("Theirs", "k"), "add")
        return "done"
        yield

    decisions = replay(flow, RECORDED["entity"])

    assert decisions.outcome == Returned('"done"')
    assert decisions.operations == ()


@pytest.mark.parametrize("name", ["mine", "MINE", "Mine\n1.0"])
def test_names_ignore_case_and_a_version_behind_them(name: str) -> None:
    assert replay(activity, event(4, 0, Name=name)).outcome is None


def test_what_replay_does_not_know_is_passed_over() -> None:
    split = [event(10, -100), event(11, TimerId=-100)]

    assert replay(nothing, *split, event(17, Data=None), event(19, Reason="r"), event(20), event(99)).outcome is None


def test_work_that_a_rewind_took_out_of_the_history_is_decided_again() -> None:
    decisions = replay(activity, event(17, 0, Data=None))

    assert [operation.name for operation in decisions.operations] == ["Mine"]
