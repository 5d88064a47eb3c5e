"""The live shell by small cases: what is decided, when, and how an execution ends."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta, timezone
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import (
    CreateTimer,
    Decisions,
    OrchestrationSession,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)

START = datetime(2024, 3, 5, 10, 0, tzinfo=timezone.utc)


class Execution:
    """A session and the history that it has been fed."""

    def __init__(self, function: Any, *, input_text: str | None = None, **options: Any) -> None:
        self.session = OrchestrationSession(function, instance_id="i-1", **options)
        self.history: list[dict[str, Any]] = []
        self.second = 0
        self.input_text = input_text

    def start(self) -> Decisions:
        instance = {"InstanceId": "i-1", "ExecutionId": "e-1"}
        return self.arrive(event(0, Name="Flow", Version="1.4", Input=self.input_text, OrchestrationInstance=instance))

    def arrive(self, *arrived: dict[str, Any]) -> Decisions:
        """Run an episode; what the last one decided is taken as committed."""
        new = [event(12, second=self.second), *arrived]
        self.history += new
        decisions = self.session.advance([*self._committed, *new], replayed=len(self._committed))
        self._committed = [*(scheduled(operation) for operation in decisions.operations), event(13)]
        self.history += self._committed
        self.second += 1
        return decisions

    _committed: list[dict[str, Any]] = []  # noqa: RUF012 (replaced, never changed)


def event(kind: int, event_id: int = -1, *, second: int = 0, **properties: Any) -> dict[str, Any]:
    time = (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"EventType": kind, **properties, "EventId": event_id, "IsPlayed": False, "Timestamp": time}


def scheduled(operation: Any) -> dict[str, Any]:
    match operation:
        case ScheduleActivity():
            return event(4, operation.task_id, Name=operation.name)
        case StartSubOrchestration():
            return event(7, operation.task_id, Name=operation.name, InstanceId=operation.instance_id or "made")
        case CreateTimer():
            return event(10, operation.task_id)
        case SendEvent():
            return event(14, operation.task_id, Name="op", InstanceId=operation.instance_id, Input=operation.input)
    raise AssertionError(operation)


def completed(task_id: int, value: Any = None) -> dict[str, Any]:
    return event(5, TaskScheduledId=task_id, Result=json.dumps(value))


def failed(task_id: int) -> dict[str, Any]:
    return event(6, TaskScheduledId=task_id, Reason="reason", Details="details")


def fired(task_id: int) -> dict[str, Any]:
    return event(11, TimerId=task_id)


def raised(name: str, value: Any) -> dict[str, Any]:
    return event(15, Name=name, Input=json.dumps(value))


def test_a_sequence_is_decided_step_by_step() -> None:
    def flow(context: Any) -> Any:
        first = yield context.call_activity("A", context.get_input())
        second = yield context.call_activity("B", [first])
        return {"é": second}

    run = Execution(flow, input_text=json.dumps(json.dumps("Tokyo")))

    assert run.start() == Decisions((ScheduleActivity(0, "A", '["\\"Tokyo\\""]'),), None, None, 1)
    assert run.arrive(completed(0, 1)) == Decisions((ScheduleActivity(1, "B", '["[1]"]'),), None, None, 2)
    assert run.arrive(completed(1, 2)) == Decisions((), None, Returned('{"é":2}'), 2)


def test_after_the_outcome_nothing_changes() -> None:
    def flow(context: Any) -> Any:
        return (yield context.wait_for_external_event("go"))

    run = Execution(flow)
    run.start()
    ended = run.arrive(raised("go", 1), raised("go", 2))

    assert ended.outcome == Returned("1")
    assert run.arrive(raised("go", 3)).outcome == Returned("1")


def test_no_return_value_is_no_result() -> None:
    assert Execution(lambda context: None).start().outcome == Returned(None)


def test_a_plain_function_ends_at_once() -> None:
    assert Execution(lambda context: context.version).start().outcome == Returned('"1.4"')


def test_an_exception_of_a_plain_function_fails_the_execution() -> None:
    def flow(context: Any) -> Any:
        raise ValueError("no")

    outcome = Execution(flow).start().outcome

    assert isinstance(outcome, Raised)
    assert outcome.error == "no"
    assert outcome.stack.splitlines()[-1].strip() == 'raise ValueError("no")'


def test_an_exception_carries_the_frames_of_the_app_only() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")

    run = Execution(flow)
    run.start()
    outcome = run.arrive(failed(0)).outcome

    assert isinstance(outcome, Raised)
    assert outcome.error == "reason \n details"
    assert outcome.stack.count("File ") == 1
    assert 'yield context.call_activity("A")' in outcome.stack


def test_operations_come_with_an_outcome() -> None:
    def flow(context: Any) -> Any:
        context.signal_entity(df.EntityId("Log", "k"), "write", 1)
        raise ValueError("after the signal")
        yield

    decisions = Execution(flow).start()

    assert [type(operation) for operation in decisions.operations] == [SendEvent]
    assert isinstance(decisions.outcome, Raised)


def test_a_retry_takes_its_ids_as_its_events_pass() -> None:
    def flow(context: Any) -> Any:
        options = df.RetryOptions(5000, 2)
        both = [context.call_activity_with_retry("Flaky", options), context.call_activity("Other")]
        yield context.task_all(both)

    run = Execution(flow)

    assert [o.task_id for o in run.start().operations] == [0, 1]
    assert run.arrive(failed(0)).operations == (CreateTimer(2, START + timedelta(seconds=1 + 5)),)
    assert run.arrive(fired(2)).operations == (ScheduleActivity(3, "Flaky", '["null"]'),)
    # The last failure waits for a timer that fires at once.
    assert run.arrive(failed(3)).operations == (CreateTimer(4, START + timedelta(seconds=3)),)
    assert run.arrive(fired(4)).outcome == Raised("reason \n details", Anything())


class Anything:
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]  # equal to everything


def test_a_child_that_is_tried_again_keeps_only_an_explicit_id() -> None:
    def flow(context: Any) -> Any:
        options = df.RetryOptions(1000, 3)
        yield context.task_all(
            [
                context.call_sub_orchestrator_with_retry("Named", options, instance_id="child-1"),
                context.call_sub_orchestrator_with_retry("Nameless", options, {"n": 1}, instance_id=" ", version="2"),
            ]
        )

    run = Execution(flow)
    named, nameless = run.start().operations

    assert named == StartSubOrchestration(0, "Named", "child-1", '"null"', None)
    assert nameless == StartSubOrchestration(1, "Nameless", None, '"{\\"n\\": 1}"', "2")
    run.arrive(event(9, TaskScheduledId=0, Reason="r", Details="d"))
    assert run.arrive(fired(2)).operations == (StartSubOrchestration(3, "Named", "child-1", '"null"', None),)


def test_a_cancelled_timer_is_still_scheduled_and_may_fire_late() -> None:
    def flow(context: Any) -> Any:
        timer = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        event = context.wait_for_external_event("go")
        winner = yield context.task_any([event, timer])
        timer.cancel()
        yield context.call_activity("A")
        return [winner is event, timer.is_cancelled]

    run = Execution(flow)

    assert run.start().operations == (CreateTimer(0, START + timedelta(hours=1)),)
    assert run.arrive(raised("go", None)).operations == (ScheduleActivity(1, "A", '["null"]'),)
    assert run.arrive(fired(0)).operations == ()
    assert run.arrive(completed(1)).outcome == Returned("[true,true]")


def test_a_task_that_nobody_yields_is_not_scheduled() -> None:
    def flow(context: Any) -> Any:
        context.call_activity("Forgotten")
        yield context.call_activity("Seen")

    assert [o.name for o in Execution(flow).start().operations] == ["Seen"]


def test_a_task_listed_twice_is_scheduled_once() -> None:
    def flow(context: Any) -> Any:
        task = context.call_activity("A")
        return (yield context.task_all([task, task]))

    run = Execution(flow)

    assert len(run.start().operations) == 1
    assert run.arrive(completed(0, 7)).outcome == Returned("[7,7]")


def test_a_task_may_be_in_several_compounds() -> None:
    def flow(context: Any) -> Any:
        shared = context.call_activity("A")
        first = context.task_all([shared, context.call_activity("B")])
        second = context.task_any([shared, first])
        yield second
        return (yield first)

    run = Execution(flow)
    run.start()
    run.arrive(completed(0, "a"))

    assert run.arrive(completed(1, "b")).outcome == Returned('["a","b"]')


def test_events_are_consumed_once_and_in_order_whatever_their_case() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("Prepare")
        first = yield context.wait_for_external_event("Ready")
        second = yield context.wait_for_external_event("Ready")
        third = yield context.wait_for_external_event("Ready")
        return [first, second, third]

    run = Execution(flow)
    run.start()
    run.arrive(raised("READY", 1))
    run.arrive(raised("ready", 2))

    assert run.arrive(completed(0)).outcome is None
    assert run.arrive(raised("Ready", 3)).outcome == Returned("[1,2,3]")


def test_a_wait_that_lost_its_race_does_not_take_the_event_of_a_later_one() -> None:
    def flow(context: Any) -> Any:
        while True:
            timer = context.create_timer(context.current_utc_datetime + timedelta(minutes=1))
            event = context.wait_for_external_event("go")
            if (yield context.task_any([event, timer])) is event:
                return event.result

    run = Execution(flow)
    run.start()
    run.arrive(fired(0))

    assert run.arrive(raised("go", "now")).outcome == Returned('"now"')


def test_continuing_as_new_carries_over_what_came_after() -> None:
    def flow(context: Any) -> Any:
        first = yield context.wait_for_external_event("go")
        context.continue_as_new([first])
        yield context.call_activity("Never")

    run = Execution(flow)
    run.start()
    late = [raised("go", 2), raised("other", 3)]
    decisions = run.arrive(raised("go", 1), late[0], completed(9), late[1])

    assert decisions.operations == ()
    assert decisions.outcome == Restarted('"[1]"', tuple(late))


def test_an_error_after_continuing_as_new_fails_the_execution() -> None:
    def flow(context: Any) -> Any:
        context.continue_as_new(1)
        raise ValueError("changed my mind")
        yield

    assert Execution(flow).start().outcome == Raised("changed my mind", Anything())


@pytest.mark.parametrize(
    ("status", "text"), [("é", '"é"'), ({"a": [1, None]}, '{"a":[1,null]}'), (0, None), ("", None), (None, None)]
)
def test_custom_status_is_compact_json_and_falsy_ones_are_none(status: Any, text: str | None) -> None:
    def flow(context: Any) -> Any:
        context.set_custom_status(status)
        yield context.call_activity("A")

    assert Execution(flow).start().custom_status == text


@pytest.mark.parametrize(("length", "fits"), [(8701, True), (8702, False)])
def test_custom_status_has_the_extensions_limit(length: int, fits: bool) -> None:
    def flow(context: Any) -> Any:
        context.set_custom_status("x" * length)
        yield context.call_activity("A")

    decisions = Execution(flow).start()

    if fits:
        assert decisions.outcome is None
    else:
        text = (
            "The UTF-16 size of the JSON-serialized payload must not exceed 16 KB. The current payload size is 17 KB."
        )
        # The activity is not begun, so that the end has its id.
        assert decisions == Decisions((), None, Raised(text, ""), 0)


def test_a_custom_status_that_is_too_large_leaves_the_ids_of_what_is_not_begun() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")
        context.set_custom_status("x" * 9000)
        yield context.call_activity("B")

    run = Execution(flow)
    run.start()
    warm = run.arrive(completed(0))
    cold = OrchestrationSession(flow, instance_id="i-1").advance(run.history[:-1])

    assert warm.next_task_id == cold.next_task_id == 1
    assert isinstance(warm.outcome, Raised)


@pytest.mark.parametrize("output", [{1, 2}, object()])
def test_an_output_that_is_no_json_fails_the_execution(output: Any) -> None:
    outcome = Execution(lambda context: output).start().outcome

    assert isinstance(outcome, Raised)
    assert type(output).__name__ in outcome.error


def test_a_result_that_is_no_json_fails_the_execution_and_is_named() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")

    run = Execution(flow)
    run.start()
    outcome = run.arrive(event(5, TaskScheduledId=0, Result="not json")).outcome

    assert isinstance(outcome, Raised)
    assert outcome.error.startswith("The result of activity 'A' (task 0) cannot be decoded: it is no JSON")


def test_yielding_no_task_raises_where_it_was_yielded() -> None:
    def flow(context: Any) -> Any:
        try:
            yield 5
        except TypeError as error:
            return str(error)

    outcome = Execution(flow).start().outcome

    assert isinstance(outcome, Returned)
    assert outcome.result is not None
    assert "not int: 5" in outcome.result


def test_replaying_is_seen_by_code_that_has_run_before_only() -> None:
    def flow(context: Any) -> Any:
        seen = [context.is_replaying]
        for name in "AB":
            yield context.call_activity(name)
            seen.append(context.is_replaying)
        return seen

    run = Execution(flow)
    run.start()
    run.arrive(completed(0))
    assert run.arrive(completed(1)).outcome == Returned("[false,false,false]")

    cold = OrchestrationSession(flow, instance_id="i-1")
    last = max(i for i, each in enumerate(run.history) if each["EventType"] == 12)
    assert cold.advance(run.history[: last + 2], replayed=last).outcome == Returned("[true,true,false]")


def test_all_events_are_there_to_read() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")
        return [[e.event_type, e.event_id, e.Name] for e in context.histories]

    run = Execution(flow)
    run.start()
    outcome = run.arrive(completed(0)).outcome

    assert isinstance(outcome, Returned)
    kinds = [[12, -1, None], [0, -1, "Flow"], [4, 0, "A"], [13, -1, None], [12, -1, None], [5, -1, None]]
    assert json.loads(outcome.result or "") == kinds


def test_coroutines_are_orchestrators_too() -> None:
    async def flow(context: Any) -> Any:
        first = await context.call_activity("A")
        rest = await context.task_all([context.call_activity("B"), context.call_activity("C")])
        return [first, *rest]

    run = Execution(flow)
    run.start()
    run.arrive(completed(0, 1))

    assert run.arrive(completed(1, 2), completed(2, 3)).outcome == Returned("[1,2,3]")


def test_awaiting_something_foreign_names_the_durable_way() -> None:
    async def flow(context: Any) -> Any:
        await asyncio.sleep(0)

    outcome = Execution(flow).start().outcome

    assert isinstance(outcome, Raised)
    assert "context.create_timer" in outcome.error


def test_closing_runs_finally_blocks_and_ignores_what_they_do() -> None:
    ran = []

    def flow(context: Any) -> Any:
        try:
            yield context.call_activity("A")
        finally:
            ran.append("finally")
            raise ValueError("too late")

    run = Execution(flow)
    run.start()
    run.session.close()
    run.session.close()

    assert ran == ["finally"]


def test_closing_before_anything_was_fed_does_nothing() -> None:
    OrchestrationSession(lambda context: None, instance_id="i-1").close()


def test_handles_stand_for_their_functions() -> None:
    def flow(context: Any) -> Any:
        return context.instance_id

    assert Execution(df.Orchestrator.create(flow)).start().outcome == Returned('"i-1"')


def test_a_session_says_what_it_is() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")

    run = Execution(flow)
    run.start()

    assert repr(run.session) == "<OrchestrationSession i-1 waiting, 2 events>"


def test_an_entitys_answer_comes_under_the_id_in_the_history() -> None:
    def flow(context: Any) -> Any:
        return (yield context.call_entity(df.EntityId("Counter", "k"), "get"))

    sent = event(14, 0, InstanceId="@counter@k", Name="op", Input='{"op": "get", "id": "of-another-program"}')
    history = [
        event(12),
        event(0, Name="Flow", Input=None),
        sent,
        event(13),
        event(12),
        event(15, Name="of-another-program", Input='{"result": "5"}'),
    ]

    decisions = OrchestrationSession(flow, instance_id="i-1").advance(history, replayed=4)

    assert decisions == Decisions((), None, Returned("5"), 1)


@pytest.mark.parametrize(
    ("reply", "outcome"),
    [
        ({"result": '"fine"'}, Returned('"fine"')),
        ({"result": None}, Returned(None)),
        ({"result": '"broken"', "exceptionType": "Error"}, Raised("broken", Anything())),
        ({"result": " Timeout value of 1 exceeded"}, Raised(" Timeout value of 1 exceeded", Anything())),
    ],
)
def test_an_entitys_answer_is_a_result_or_an_error(reply: dict[str, Any], outcome: Any) -> None:
    def flow(context: Any) -> Any:
        return (yield context.call_entity(df.EntityId("Counter", "k"), "get"))

    run = Execution(flow)
    [request] = run.start().operations
    decided = run.arrive(event(15, Name=json.loads(request.input)["id"], Input=json.dumps(reply))).outcome

    assert outcome == decided


def test_http_goes_out_as_the_built_in_activity() -> None:
    def flow(context: Any) -> Any:
        yield context.call_http("POST", "http://x.test", {"a": 1}, {"x": "y"}, df.ManagedIdentityTokenSource("r"))

    [operation] = Execution(flow).start().operations

    assert operation.name == "BuiltIn::HttpActivity"
    [request] = json.loads(operation.input)
    assert request.pop("$type").startswith("Microsoft.Azure.WebJobs.Extensions.DurableTask.DurableHttpRequest,")
    assert request == {
        "method": "POST",
        "uri": "http://x.test",
        "headers": {"x": "y"},
        "content": '{"a": 1}',
        "tokenSource": {"resource": "r", "kind": "AzureManagedIdentity"},
        "asynchronousPatternEnabled": False,
        "retryOptions": None,
        "timeout": None,
    }


def test_a_call_that_cannot_be_encoded_when_it_goes_out_fails_the_execution() -> None:
    def flow(context: Any) -> Any:
        yield context.call_http("GET", "https://x", headers={"accept": {"json", "text"}})

    outcome = Execution(flow).start().outcome

    assert isinstance(outcome, Raised)
    assert "class <class 'set'> does not expose a `to_json` function" in outcome.error
