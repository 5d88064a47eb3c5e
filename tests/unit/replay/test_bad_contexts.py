"""What the host hands over and cannot be right: errors that say which key, which event."""

from __future__ import annotations

import json
import logging
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import OrchestrationSession, Raised

from tests.support.contexts import context_text, event, run


def flow(context: Any) -> Any:
    return (yield context.call_activity("A"))


HANDLE = df.Orchestrator.create(flow)


@pytest.mark.parametrize("key", ["history", "instanceId", "isReplaying", "parentInstanceId"])
def test_a_missing_key_is_named(key: str) -> None:
    found = json.loads(context_text())
    del found[key]

    with pytest.raises(df.MalformedContextError, match=f"The orchestration trigger has no '{key}'") as caught:
        HANDLE(json.dumps(found))

    assert caught.value.key == key
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    ("key", "value", "complaint"),
    [
        ("history", {"a": 1}, "'history' of the orchestration trigger is dict: {'a': 1}"),
        ("instanceId", 5, "'instanceId' of the orchestration trigger is int: 5"),
        ("upperSchemaVersion", "2", "'upperSchemaVersion' of the orchestration trigger is str: '2'"),
        (
            "upperSchemaVersion",
            7,
            "7 is not a valid ReplaySchema ('upperSchemaVersion' of the orchestration trigger)",
        ),
        ("maximumShortTimerDuration", 6, "'maximumShortTimerDuration' of the orchestration trigger is int: 6"),
        (
            "longRunningTimerIntervalDuration",
            "3 days",
            "Format of TimeSpan failed attempted conversion to timedelta: 3 days "
            "('longRunningTimerIntervalDuration' of the orchestration trigger)",
        ),
    ],
)
def test_a_value_of_another_kind_is_named(key: str, value: Any, complaint: str) -> None:
    with pytest.raises(df.MalformedContextError) as caught:
        HANDLE(context_text(**{key: value}))

    assert str(caught.value) == complaint
    assert caught.value.key == key


def test_what_is_no_object_is_refused() -> None:
    with pytest.raises(df.MalformedContextError, match="The orchestration trigger is no JSON object but list"):
        HANDLE("[]")
    with pytest.raises(json.JSONDecodeError):
        HANDLE("{")


@pytest.mark.parametrize("key", ["EventType", "EventId", "IsPlayed", "Timestamp"])
@pytest.mark.parametrize("index", [0, 1])
def test_an_event_without_a_key_that_all_have_is_named(key: str, index: int) -> None:
    history = json.loads(context_text())["history"]
    del history[index][key]
    needed = {0: ("EventType", "Timestamp"), 1: ("EventType", "IsPlayed")}[index]

    if key not in needed:
        HANDLE(context_text(history=history))  # nothing depends on it
        return
    with pytest.raises(df.CorruptHistoryError, match=f"Event {index} of the history, .* has no '{key}'") as caught:
        HANDLE(context_text(history=history))

    assert (caught.value.index, caught.value.key) == (index, key)


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        (event(5, Result="1"), "Event 2 of the history, TASK_COMPLETED (EventId -1), has no 'TaskScheduledId'."),
        (event(11), "Event 2 of the history, TIMER_FIRED (EventId -1), has no 'TimerId'."),
        (event(15, Input="1"), "Event 2 of the history, EVENT_RAISED (EventId -1), has no 'Name'."),
        (
            {**event(12), "Timestamp": "noon"},
            "Event 2 of the history, ORCHESTRATOR_STARTED (EventId -1), cannot be replayed: "
            "ValueError: Not an ISO 8601 time: 'noon'",
        ),
        ("text", "Event 2 of the history is no object but str: 'text'"),
        (None, "Event 2 of the history is no object but NoneType: None"),
    ],
)
def test_an_event_that_cannot_be_replayed_is_named(broken: Any, complaint: str) -> None:
    with pytest.raises(df.CorruptHistoryError) as caught:
        run(flow, broken)

    assert str(caught.value) == complaint
    assert caught.value.index == 2


def test_an_entitys_answer_that_is_none_is_named() -> None:
    def asks(context: Any) -> Any:
        yield context.call_entity(df.EntityId("E", "k"), "op")

    sent = event(14, 0, Name="op", InstanceId="@e@k", Input='{"id": "q"}')

    with pytest.raises(
        df.CorruptHistoryError, match=r"Event 3 .*EVENT_RAISED \(EventId -1, Name 'q'\), .*JSONDecodeError"
    ):
        run(asks, sent, event(15, Name="q", Input="no json"))


@pytest.mark.parametrize(
    ("history", "complaint"),
    [
        ([event(13), event(13)], "The history holds no OrchestratorStarted event."),
        ([event(12), event(13)], "The history holds no ExecutionStarted event."),
        ([], "The history holds no OrchestratorStarted event."),
    ],
)
def test_a_history_without_a_beginning_is_refused(history: Any, complaint: str) -> None:
    with pytest.raises(df.CorruptHistoryError) as caught:
        run(flow, history=history)

    assert str(caught.value) == complaint


def test_a_live_session_names_the_event_by_its_place_in_all_that_it_was_fed() -> None:
    session = OrchestrationSession(flow, instance_id="i-1")
    session.advance([event(12), event(0, Name="Flow", Input=None)])

    outcome = session.advance([event(4, 0, Name="A"), event(13), event(12), event(5)]).outcome

    assert isinstance(outcome, Raised)
    assert outcome.error == "Event 5 of the history, TASK_COMPLETED (EventId -1), has no 'TaskScheduledId'."


# -- histories of other code, under a host that checks them itself -----------------------------------------------------


def test_a_history_of_other_code_is_logged_with_our_side(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR, "azure.durable_functions"):
        run(flow, event(4, 0, Name="Other"), event(4, 1, Name="Gone"))

    (record,) = caplog.records  # once is enough
    text = record.getMessage()
    assert "scheduled an activity task with sequence number 0 named 'Other'" in text
    assert "instead scheduled an activity task named 'A'" in text
    assert f"The code now stands at {__file__}, line " in text
    assert text.endswith('return (yield context.call_activity("A"))')


@pytest.mark.parametrize(
    "scheduled", [event(4, 0, Name="a"), event(4, 0, Name="A\n1.0"), event(4, -5, Name="X"), event(10, -1)]
)
def test_histories_of_this_code_are_not(scheduled: dict[str, Any], caplog: pytest.LogCaptureFixture) -> None:
    run(flow, scheduled)

    assert caplog.records == []


def test_the_error_of_a_live_session_tells_both_sides() -> None:
    from azure.durable_functions._replay.nondeterminism import mismatch

    def code(context: Any) -> Any:
        yield 1

    generator = code(None)
    next(generator)
    error = mismatch(event(4, 3, Name="Other"), None, generator)

    assert (error.task_id, error.expected, error.actual) == (3, "activity 'Other'", None)
    assert (error.file, error.source) == (__file__, "yield 1")
    assert error.event is not None
    assert error.event["Name"] == "Other"


def test_a_schema_version_below_all_is_refused_though_a_newer_one_is_offered() -> None:
    with pytest.raises(df.MalformedContextError, match="-1 is not a valid ReplaySchema"):
        run(lambda context: None, upperSchemaVersion=-1)
