"""Retries and polls: what the host is told, and that it, our live shell and the code agree about every id.

The official extension makes the timers and attempts of a retried call by itself, and those of an HTTP call that polls.
``core.action_list`` does it as the extension does; here it writes the histories, which the JSON shell and the live
shell then replay.
"""

from __future__ import annotations

import json
import random
from datetime import timedelta
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions._replay.tasks import TaskState, WhenAllTask
from azure.durable_functions._serialization import compact_json
from azure.durable_functions.replay import (
    CreateTimer,
    OrchestrationSession,
    Raised,
    Returned,
)
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from taskhub.codec.action_lists import read_answer
from taskhub.codec.messages import event_of
from taskhub.core.action_list import HTTP_ACTIVITY, Carried, ListRules, carry_out
from taskhub.model import actions
from taskhub.runtime.live_replay import actions_of
from tests.support.contexts import START, context_text
from tests.support.contexts import event as raw_event
from tests.support.contexts import run as replay

FULL = {
    "first_retry_interval_in_milliseconds": 1500,
    "max_number_of_attempts": 4,
    "backoff_coefficient": 2.5,
    "max_retry_interval_in_milliseconds": 60_000,
    "retry_timeout_in_milliseconds": 600_000,
}


RULES = ListRules(timedelta(days=6), timedelta(days=3), entity_window_seconds=0, http_poll=timedelta(seconds=30))


class KnownDivergence(BaseException):
    """A child of a ``task_all`` has failed: the code goes on, the extension waits for the others first."""


class ExtensionHost:
    """An execution under the official extension, simulated; and at each episode the live shell over its history."""

    def __init__(self, function: Any, rng: random.Random) -> None:
        self.function = function
        self.rng = rng
        self.history: list[dict[str, Any]] = []
        self.now = START
        self.open: dict[int, Any] = {}
        self.outcome: Any = None

    def run(self, *, episodes: int) -> None:
        instance = {"InstanceId": "i-1", "ExecutionId": "e-1"}
        arrived = [self._event(0, OrchestrationInstance=instance, Name="Flow", Version=None, Input=None)]
        for _ in range(episodes):
            begins = len(self.history)
            self.history += [self._event(12), *arrived]
            state = self._ask()
            carried = carry_out(read_answer(json.dumps(state)), map(event_of, self.history), RULES)
            assert carried.error is None, carried.error
            decisions = OrchestrationSession(self.function, instance_id="i-1").advance(self.history, replayed=begins)
            if state["isDone"]:
                # The rest of the batch is the host's own business: retries that nobody waits for go on there.
                assert decisions.outcome == Returned(compact_json(state["output"]))
                self.outcome = state["output"]
                return
            assert list(map(facts, actions_of(decisions, "Flow").operations)) == list(map(facts, carried.operations))
            self._commit(carried)
            if not self.open:
                return
            arrived = [self._answer() for _ in range(min(len(self.open), self.rng.choice((1, 1, 2, 3))))]

    def _ask(self) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(df.Orchestrator.create(self.function)(context_text(history=self.history)))
        return state

    def _commit(self, carried: Carried) -> None:
        for operation in carried.operations:
            task_id, kind, what = facts(operation)
            told = {"FireAt": str(what)} if kind == 10 else {"Name": what}
            if kind == 7:
                told["InstanceId"] = "child"
            self.history.append(self._event(kind, task_id, **told))
            self.open[task_id] = operation
        self.history.append(self._event(13))
        self.open = {task_id: each for task_id, each in self.open.items() if task_id in carried.open_tasks}

    def _answer(self) -> dict[str, Any]:
        timers = [each for each in self.open.values() if isinstance(each, actions.CreateTimer)]
        timers.sort(key=lambda each: each.fire_at.padded())
        others = [each for each in self.open.values() if not isinstance(each, actions.CreateTimer)]
        chosen = self.rng.choice([*others, *timers[:1]])
        del self.open[chosen.task_id]
        if isinstance(chosen, actions.CreateTimer):
            # A timer may fire up to a second early.
            early = timedelta(milliseconds=self.rng.choice((0, 0, 500, 1000)))
            self.now = max(self.now, chosen.fire_at.moment() - early)
            return self._event(11, TimerId=chosen.task_id, FireAt=str(chosen.fire_at))
        self.now += timedelta(microseconds=self.rng.choice((0, 1, 700_000, 30_000_000)))
        is_activity = isinstance(chosen, actions.ScheduleActivity)
        if self.rng.random() < 0.6:
            error = self.rng.choice(("ValueError", "KeyError", "OSError"))
            return self._event(
                6 if is_activity else 9,
                TaskScheduledId=chosen.task_id,
                Reason=f"Activity function '{chosen.name}' failed:  {error}: {self.rng.randrange(100)}",
                Details=None,
            )
        result = self._response() if chosen.name == HTTP_ACTIVITY else str(chosen.task_id)
        return self._event(5 if is_activity else 8, TaskScheduledId=chosen.task_id, Result=result)

    def _response(self) -> str:
        headers = {"Location": "/status", "Retry-After": "7"}
        for name in headers.copy():
            if self.rng.random() < 0.2:
                del headers[name]
        return json.dumps({"statusCode": self.rng.choice((200, 202, 202)), "headers": headers, "content": ""})

    def _event(self, kind: int, event_id: int = -1, **facts: Any) -> dict[str, Any]:
        return raw_event(kind, event_id, at=self.now, **facts)


def facts(operation: Any) -> tuple[int, int, Any]:
    match operation:
        case actions.ScheduleActivity():
            return operation.task_id, 4, operation.name
        case actions.StartSubOrchestration():
            return operation.task_id, 7, operation.name
        case actions.CreateTimer():
            return operation.task_id, 10, operation.fire_at
    raise AssertionError(operation)


HANDLES = {
    "all": None,
    "class": ValueError,
    "names": ["OSError", KeyError],
    "function": lambda error: "5" not in error.error_message,
}


@st.composite
def options(draw: st.DrawFn) -> df.RetryOptions:
    return df.RetryOptions(
        draw(st.sampled_from([1, 999, 5000])),
        draw(st.integers(1, 4)),
        backoff_coefficient=draw(st.sampled_from([1, 1.5, 3])),
        max_retry_interval_in_milliseconds=draw(st.sampled_from([None, 1, 7000])),
        retry_timeout_in_milliseconds=draw(st.sampled_from([None, 1, 6000, 60_000])),
        handle=HANDLES[draw(st.sampled_from(list(HANDLES)))],
    )


def tasks() -> st.SearchStrategy[Any]:
    leaf = st.one_of(
        st.tuples(st.just("retry"), options()),
        st.tuples(st.just("retry"), options()),
        st.tuples(st.just("child"), options()),
        st.tuples(st.just("http"), st.booleans(), st.one_of(st.none(), options())),
        st.just(("plain",)),
    )
    return st.recursive(
        leaf,
        lambda inner: st.tuples(st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)),
        max_leaves=4,
    )


PROGRAMS = st.lists(st.tuples(st.sampled_from(["wait", "race"]), tasks()), min_size=1, max_size=4)


def orchestrator(program: list[Any]) -> Any:
    def make(context: Any, spec: Any) -> Any:
        match spec:
            case ("retry", options):
                return context.call_activity_with_retry("Retried", options, 1)
            case ("child", options):
                return context.call_sub_orchestrator_with_retry("Child", options)
            case ("http", polls, options):
                return context.call_http(
                    "GET", "http://x.test/", asynchronous_pattern_enabled=polls, retry_options=options
                )
            case ("plain",):
                return context.call_activity("Plain")
            case ("all", specs):
                return context.task_all([make(context, each) for each in specs])
            case ("any", specs):
                return context.task_any([make(context, each) for each in specs])
        raise AssertionError(spec)

    def flow(context: Any) -> Any:
        seen: list[Any] = []
        for how, spec in program:
            task = make(context, spec)
            timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
            try:
                winner = yield task if how == "wait" else context.task_any([task, timer])
                seen.append(shown(winner) if how == "wait" else winner is task)
            except Exception as error:
                seen.append(str(error))
            if has_half_failed(task):
                raise KnownDivergence
            if how == "race" and not timer.is_completed:
                timer.cancel()
        return seen

    return flow


def has_half_failed(task: Any) -> bool:
    children = getattr(task, "children", ())
    failed = isinstance(task, WhenAllTask) and task.state is TaskState.FAILED
    return (failed and any(not each.is_completed for each in children)) or any(map(has_half_failed, children))


def shown(result: Any) -> Any:
    if hasattr(result, "is_completed"):
        return ["task", shown(result.result)]
    if isinstance(result, list):
        return [shown(each) for each in result]
    return str(result)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(program=PROGRAMS, seed=st.integers(0, 2**32))
def test_the_extension_and_both_shells_agree_about_every_id(program: list[Any], seed: int) -> None:
    host = ExtensionHost(orchestrator(program), random.Random(seed))

    try:
        host.run(episodes=60)
    except KnownDivergence:
        event("diverged, as the reference does")
        return

    event("ended" if host.outcome is not None else "still waits")
    assert host.outcome is not None


# -- what is sent ------------------------------------------------------------------------------------------------------


def retry_action(retry: df.RetryOptions, *events: dict[str, Any]) -> dict[str, Any]:
    """Return the retry options that the host gets for one retried call after some events."""

    def flow(context: Any) -> Any:
        try:
            yield context.call_activity_with_retry("A", retry)
        except Exception as error:
            yield context.call_activity("Failed", str(error))

    first = replay(flow, *events)["actions"][0][0]["compoundActions"][0]["retryOptions"]
    assert isinstance(first, dict)
    return first


def test_options_that_are_not_used_are_not_sent() -> None:
    assert df.RetryOptions(5000, 3).to_json() == {"firstRetryIntervalInMilliseconds": 5000, "maxNumberOfAttempts": 3}
    assert df.RetryOptions(5000, 3, handle=ValueError).to_json() == df.RetryOptions(5000, 3).to_json()


def test_all_options_are_sent_as_the_extension_reads_them() -> None:
    assert retry_action(df.RetryOptions(**FULL)) == {
        "firstRetryIntervalInMilliseconds": 1500,
        "maxNumberOfAttempts": 4,
        "backoffCoefficient": 2.5,
        "maxRetryIntervalInMilliseconds": 60_000,
        "retryTimeoutInMilliseconds": 600_000,
    }


def failed(task_id: int, error: str) -> dict[str, Any]:
    return raw_event(6, TaskScheduledId=task_id, Reason=f"Activity function 'A' failed:  {error}", Details=None)


def test_a_refused_failure_makes_its_attempt_the_last_one_for_the_host() -> None:
    retry = df.RetryOptions(5000, 5, handle=TimeoutError)
    accepted = [raw_event(4, 0, Name="A"), raw_event(12), failed(0, "TimeoutError: slow"), raw_event(10, 1)]
    again = [raw_event(12), raw_event(11, TimerId=1), raw_event(4, 2, Name="A")]

    assert retry_action(retry, *accepted)["maxNumberOfAttempts"] == 5
    refused = [*accepted, *again, raw_event(12), failed(2, "ValueError: bad")]
    assert retry_action(retry, *refused)["maxNumberOfAttempts"] == 2
    assert retry.max_number_of_attempts == 5


def test_a_refused_failure_reaches_the_code_after_the_hosts_last_timer() -> None:
    retry = df.RetryOptions(5000, 5, handle=lambda error: error.error_type != "ValueError")

    def flow(context: Any) -> Any:
        try:
            yield context.call_activity_with_retry("A", retry)
        except df.TaskFailedError as error:
            return error.error_type

    before = [raw_event(4, 0, Name="A"), raw_event(12), failed(0, "ValueError: bad")]

    assert "output" not in replay(flow, *before)
    assert replay(flow, *before, raw_event(10, 1), raw_event(12), raw_event(11, TimerId=1))["output"] == "ValueError"


def test_an_error_of_the_filter_itself_is_what_the_call_gives() -> None:
    def flow(context: Any) -> Any:
        try:
            yield context.call_activity_with_retry("A", df.RetryOptions(5000, 5, handle=lambda error: 1 / 0))
        except ZeroDivisionError as error:
            return str(error)

    events = [raw_event(4, 0, Name="A"), raw_event(12), failed(0, "ValueError: bad"), raw_event(10, 1)]
    assert replay(flow, *events, raw_event(12), raw_event(11, TimerId=1))["output"] == "division by zero"


def session_of(retry: df.RetryOptions) -> OrchestrationSession:
    def flow(context: Any) -> Any:
        return (yield context.call_activity_with_retry("A", retry))

    return OrchestrationSession(flow, instance_id="i-1")


def test_waits_grow_to_the_longest() -> None:
    session = session_of(df.RetryOptions(1000, 6, backoff_coefficient=3, max_retry_interval_in_milliseconds=20_000))
    session.advance([raw_event(12), raw_event(0, Name="Flow", Input=None)])
    waits = []

    for attempt in range(5):
        timer = session.advance([raw_event(12), failed(2 * attempt, "E: x")]).operations[0]
        waits.append((timer.fire_at - START).total_seconds())
        session.advance([raw_event(12), raw_event(11, TimerId=2 * attempt + 1)])

    assert waits == [1, 3, 9, 20, 20]


@pytest.mark.parametrize(
    ("late", "attempts"), [(timedelta(milliseconds=2999, microseconds=999), 2), (timedelta(seconds=3), 1)]
)
def test_no_attempt_and_no_timer_follow_when_time_is_up(late: timedelta, attempts: int) -> None:
    session = session_of(df.RetryOptions(1000, 5, retry_timeout_in_milliseconds=3000))
    session.advance([raw_event(12), raw_event(0, Name="Flow", Input=None)])

    decisions = session.advance([raw_event(12, at=START + late), failed(0, "E: x")])

    if attempts == 2:
        assert [type(each) for each in decisions.operations] == [CreateTimer]
    else:
        assert decisions.operations == ()
        assert isinstance(decisions.outcome, Raised)


def test_the_time_is_counted_to_the_tick() -> None:
    session = session_of(df.RetryOptions(1000, 5, retry_timeout_in_milliseconds=1))
    started = {**raw_event(12), "Timestamp": "2024-03-05T10:00:00.0000009Z"}
    session.advance([started, raw_event(0, Name="Flow", Input=None)])

    decisions = session.advance([{**raw_event(12), "Timestamp": "2024-03-05T10:00:00.0010008Z"}, failed(0, "E: x")])

    assert [type(each) for each in decisions.operations] == [CreateTimer]


def test_a_race_with_a_retry_and_a_cancelled_timeout_waits_for_its_winner() -> None:
    def flow(context: Any) -> Any:
        retried = context.call_activity_with_retry("A", df.RetryOptions(1000, 3))
        timeout = context.create_timer(START + timedelta(hours=1))
        yield context.task_any([retried, timeout])
        timeout.cancel()
        yield context.call_activity("After")

    first_try = [raw_event(4, 0, Name="A"), raw_event(10, 1), raw_event(12)]
    second_try = [
        failed(0, "E: x"),
        raw_event(10, 2),
        raw_event(12),
        raw_event(11, TimerId=2),
        raw_event(4, 3, Name="A"),
    ]
    quick = replay(flow, *first_try, raw_event(5, TaskScheduledId=0, Result="1"))["actions"][0]
    slow = replay(flow, *first_try, *second_try, raw_event(12), raw_event(5, TaskScheduledId=3, Result="1"))["actions"][
        0
    ]

    assert quick[0]["actionType"] == 11
    assert quick[0]["compoundActions"][1]["isCanceled"] is True
    assert slow[0]["actionType"] == 12
    winner, loser = slow[0]["compoundActions"]
    assert winner["compoundActions"][0]["actionType"] == 1
    assert loser["actionType"] == 11
    assert loser["compoundActions"][0]["isCanceled"] is True
    assert loser["compoundActions"][1] == {"actionType": 12, "compoundActions": []}


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        (
            {"first_retry_interval_in_milliseconds": 0},
            "first_retry_interval_in_milliseconds valuemust be greater than 0.",
        ),
        ({"max_number_of_attempts": 0}, "max_number_of_attempts must be a whole number of at least 1, not 0"),
        ({"backoff_coefficient": 0.5}, "backoff_coefficient must be a number of at least 1, not 0.5"),
        ({"backoff_coefficient": float("inf")}, "backoff_coefficient must be a number"),
        ({"max_retry_interval_in_milliseconds": 0}, "max_retry_interval_in_milliseconds must be a whole number from 1"),
        ({"retry_timeout_in_milliseconds": 2**31}, "retry_timeout_in_milliseconds must be a whole number from 1"),
        ({"retry_timeout_in_milliseconds": 1.5}, "retry_timeout_in_milliseconds must be a whole number from 1"),
    ],
)
def test_numbers_that_the_host_cannot_use_are_refused(changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        df.RetryOptions(**{**FULL, **changed})


@pytest.mark.parametrize("handle", [5, int, [ValueError, 5], [int], ""])
def test_filters_that_are_none_are_refused(handle: Any) -> None:
    with pytest.raises(TypeError, match="handle must be an exception class"):
        df.RetryOptions(5000, 3, handle=handle)


@pytest.mark.parametrize("name", ["first_retry_interval_in_milliseconds", "max_retry_interval_in_milliseconds"])
def test_waits_beyond_the_hosts_limit_are_refused_instead_of_hanging(name: str) -> None:
    options = df.RetryOptions(**{**FULL, name: 7 * 24 * 3600 * 1000})

    def flow(context: Any) -> Any:
        try:
            yield context.call_activity_with_retry("A", options)
        except ValueError as error:
            return str(error)

    assert replay(flow)["output"] == f"{name} is 7 days, 0:00:00; this host waits at most 6 days, 0:00:00."
    assert "output" not in replay(flow, maximumShortTimerDuration=None)


def test_a_policy_in_spans_is_the_same() -> None:
    policy = df.RetryPolicy(
        timedelta(seconds=1.5), 4, 2.5, max_retry_interval=timedelta(minutes=1), retry_timeout=timedelta(minutes=10)
    )

    assert policy.to_json() == df.RetryOptions(**FULL).to_json()
    assert df.RetryPolicy(timedelta(seconds=5), 3).to_json() == df.RetryOptions(5000, 3).to_json()
    assert (policy.first_retry_interval, policy.max_retry_interval, policy.retry_timeout) == (
        timedelta(seconds=1.5),
        timedelta(minutes=1),
        timedelta(minutes=10),
    )
    assert df.RetryPolicy(timedelta(seconds=5), 3).retry_timeout is None


def test_a_huge_number_of_attempts_waits_the_longest_in_the_end() -> None:
    assert df.RetryOptions(1, 10_000, backoff_coefficient=10)._wait_after(9_999) == timedelta(days=6)
