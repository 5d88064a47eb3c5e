"""What the official package does badly and this one mends, through the JSON shell."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import azure.durable_functions as df
import pytest
from azure.functions import _durable_functions as worker

from tests.support.contexts import MARKER, START, event, run, run_failing

needs_strict_mode = pytest.mark.skipif(
    not hasattr(worker, "df_loads"), reason="azure-functions before 1.26 has no strict mode"
)


class Money:
    def __init__(self, amount: int) -> None:
        self.amount = amount

    def to_json(self) -> Any:
        return self.amount

    @staticmethod
    def from_json(data: Any) -> Money:
        return Money(data)


@pytest.mark.parametrize("given", [5, 1.5, True, [1, "a"], "plain text", {"a": 1}, None])
def test_an_input_that_is_no_json_text_is_taken_as_it_is(given: Any) -> None:
    assert run(lambda context: [context.get_input()], input=given)["output"] == [given]


@needs_strict_mode
@pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")
def test_the_expected_type_counts_for_retried_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")

    def flow(context: Any) -> Any:
        options = df.RetryOptions(1000, 2)
        yield context.call_activity_with_retry("A", options, expected_type=str)

    raised = run_failing(flow, event(4, 0, Name="A"), event(5, TaskScheduledId=0, Result="1"))

    assert isinstance(raised.__cause__, df.PayloadDecodeError)
    assert "not compatible with expected type" in str(raised)


def test_yielding_no_task_fails_through_the_marker() -> None:
    def flow(context: Any) -> Any:
        yield "not a task"

    with pytest.raises(Exception, match="only tasks that its context makes, not str") as caught:
        run(flow)

    assert MARKER in str(caught.value)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("fire_at", "sent"),
    [
        (datetime(2024, 3, 5, 12), "2024-03-05T12:00:00.000000Z"),
        (datetime(2024, 3, 5, 12, tzinfo=timezone(timedelta(hours=1))), "2024-03-05T11:00:00.000000Z"),
    ],
)
def test_timers_without_zone_are_utc_and_others_are_converted(fire_at: datetime, sent: str) -> None:
    def flow(context: Any) -> Any:
        yield context.create_timer(fire_at)

    assert run(flow)["actions"] == [[{"actionType": 5, "fireAt": sent, "isCanceled": False}]]


def test_a_long_timer_gives_no_value() -> None:
    def flow(context: Any) -> Any:
        return [(yield context.create_timer(START + timedelta(days=7)))]

    first, last = START + timedelta(days=3), START + timedelta(days=7)
    state = run(
        flow,
        event(12, at=first),
        event(11, TimerId=0),
        event(12, at=last),
        event(11, TimerId=1),
    )

    assert state["output"] == [None]


def test_cancelling_a_long_timer_reaches_the_host() -> None:
    def flow(context: Any) -> Any:
        timer = context.create_timer(START + timedelta(days=20))
        event = context.wait_for_external_event("go")
        yield context.task_any([timer, event])
        timer.cancel()
        return [timer.is_cancelled, timer.is_canceled()]

    later = START + timedelta(days=3)
    state = run(flow, event(12, at=later), event(11, TimerId=0), event(15, Name="go", Input="1"))

    assert state["output"] == [True, True]
    race, leg = state["actions"][0]
    assert race["compoundActions"][0]["compoundActions"][0]["isCanceled"] is False  # it had fired
    assert leg == {"actionType": 5, "fireAt": "2024-03-11T10:00:00.000000Z", "isCanceled": True}


def test_a_custom_class_can_be_the_output() -> None:
    output = run(lambda context: Money(5))["output"]

    assert output == {"__class__": "Money", "__module__": __name__, "__data__": 5}


def test_code_that_is_new_is_not_replaying_though_it_takes_an_early_event() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")
        yield context.wait_for_external_event("early")
        return context.is_replaying

    state = run(
        flow,
        event(4, 0, Name="A"),
        event(13),
        event(12),
        event(15, Name="early", Input="1"),
        event(13),
        event(12),
        event(5, TaskScheduledId=0, Result="1"),
    )

    assert state["output"] is False


def test_an_event_without_version_is_of_no_version() -> None:
    history = [event(12), {k: v for k, v in event(0, Name="Flow", Input=None).items() if k != "Version"}]

    assert run(lambda context: [context.version], history=history)["output"] == [None]


def test_an_early_event_gives_no_warning() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")

    state = run(flow, event(15, Name="early", Input="1"))  # warnings are errors here

    assert state["isDone"] is False


def test_a_nested_compound_that_failed_does_not_report_again_when_the_rest_completes() -> None:
    """The official package fails the replay: "Parent Task -1 does not have pending sub-task with ID -1."."""

    def flow(context: Any) -> Any:
        both = context.task_all([context.call_activity("A"), context.call_activity("B")])
        yield context.task_any([both, context.wait_for_external_event("stop")])
        yield context.call_activity("C")
        return [both.state.name, str(both.result)]

    state = run(
        flow,
        *(event(4, number, Name=name) for number, name in enumerate("AB")),
        event(6, TaskScheduledId=0, Reason="r", Details="d"),
        event(5, TaskScheduledId=1, Result="1"),
        event(5, TaskScheduledId=2, Result="1"),
    )

    assert state["output"] == ["FAILED", "r \n d"]


def test_a_wait_that_is_raced_again_and_again_takes_one_event() -> None:
    """The official package fails the replay at the second event."""

    def flow(context: Any) -> Any:
        stop = context.wait_for_external_event("stop")
        for _ in range(2):
            yield context.task_any([stop, context.call_activity("A")])
        yield stop
        return [stop.result, (yield context.wait_for_external_event("stop"))]

    state = run(
        flow,
        event(5, TaskScheduledId=0, Result="null"),
        event(5, TaskScheduledId=1, Result="null"),
        event(15, Name="stop", Input="1"),
        event(15, Name="stop", Input="2"),
    )

    assert state["output"] == [1, 2]


def test_a_signal_that_is_yielded_is_sent_once() -> None:
    def flow(context: Any) -> Any:
        yield context.signal_entity(df.EntityId("Counter", "k"), "add", 1)

    [actions] = run(flow)["actions"]

    assert [action["actionType"] for action in actions] == [9]


def test_yielding_none_says_so_instead_of_waiting_for_ever() -> None:
    def flow(context: Any) -> Any:
        yield

    with pytest.raises(Exception, match="only tasks that its context makes, not NoneType"):
        run(flow)


@needs_strict_mode
@pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")
def test_in_strict_mode_an_entity_may_answer_as_the_caller_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")

    def flow(context: Any) -> Any:
        return [(yield context.call_entity(df.EntityId("Counter", "k"), "get", expected_type=int))]

    state = run(
        flow,
        event(14, 0, InstanceId="@counter@k", Name="op", Input='{"id": "request"}'),
        event(15, Name="request", Input='{"result": "7"}'),
    )

    assert state["output"] == [7]


@needs_strict_mode
@pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")
def test_in_strict_mode_the_custom_status_may_be_of_a_custom_class(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_FUNCTIONS_DURABLE_STRICT_TYPING", "1")

    state = run(lambda context: context.set_custom_status(Money(5)))

    assert state["customStatus"] == {"__class__": "Money", "__module__": __name__, "__data__": 5}


ID = UUID(int=5)


def test_ids_and_names_that_are_no_text_become_text() -> None:
    def flow(context: Any) -> Any:
        context.signal_entity(df.EntityId("Counter", ID), 7)
        yield context.task_all(
            [
                context.call_sub_orchestrator("Child", instance_id=ID, version=2),
                context.call_sub_orchestrator_with_retry("Child", df.RetryOptions(1, 1), instance_id=6),
                context.wait_for_external_event(ID),
            ]
        )

    signal, calls = run(flow)["actions"][0]

    child, retried, event_wait = calls["compoundActions"]
    assert (signal["instanceId"], signal["operation"]) == (f"@counter@{ID}", "7")
    assert (child["instanceId"], child["version"]) == (str(ID), "2")
    assert retried["compoundActions"][0]["instanceId"] == "6"
    assert event_wait["externalEventName"] == str(ID)


def test_an_event_whose_name_is_no_text_is_found() -> None:
    def flow(context: Any) -> Any:
        return (yield context.wait_for_external_event(ID))

    assert run(flow, event(15, Name=str(ID), Input="1"))["output"] == 1


@pytest.mark.parametrize(
    ("call", "complaint"),
    [
        (
            lambda context: context.call_http("GET", "u", token_source="secret"),
            "token_source must be a TokenSource, not",
        ),
        (lambda context: context.create_timer(timedelta(hours=1)), "got a timedelta: 1:00:00. Use context.current_utc"),
        (lambda context: context.call_entity(df.EntityId("e", "k"), None), "operation cannot be None"),
        (lambda context: context.signal_entity(df.EntityId("e", "k"), None), "operation cannot be None"),
    ],
)
def test_an_argument_that_never_works_is_refused_where_it_is_given(call: Any, complaint: str) -> None:
    def flow(context: Any) -> Any:
        try:
            yield call(context)
        except (TypeError, ValueError) as error:
            return str(error)

    assert complaint in run(flow)["output"]
