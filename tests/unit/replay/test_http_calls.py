"""``call_http`` beyond one request: polls, retries and timeouts, as recorded and in the corners."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import CreateTimer, OrchestrationSession, Raised, Returned, ScheduleActivity

from tests.support.contexts import START, event
from tests.support.recordings import GOLDEN

BASE = "http://127.0.0.1:17074/target"
RECORDED = GOLDEN / "extension" / "call_http"
HEADERS = {"X-Sent": "yes", "x-functions-key": "secret", "Authorization": "Basic eDp5"}


def polled(context: Any) -> Any:
    return (yield context.call_http("GET", BASE + "/start", headers=HEADERS, asynchronous_pattern_enabled=True))


def retried(context: Any) -> Any:
    options = df.HttpRetryOptions(1000, 5, status_codes_to_retry=[503])
    return (yield context.call_http("GET", BASE + "/busy", retry_options=options))


def timed(context: Any) -> Any:
    headers = {"X-List": ["a", "b"]}
    return (yield context.call_http("GET", BASE + "/echo", headers=headers, timeout=timedelta(seconds=10)))


FUNCTIONS = {"polled": polled, "retried": retried, "timed": timed}


def recorded_triggers(name: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (RECORDED / "triggers.jsonl").read_text(encoding="utf-8").splitlines())
    return [each for each in lines if each["name"] == name]


def recorded_requests(name: str) -> list[Any]:
    """The inputs of the built-in activity, in the order in which they were put."""
    lines = map(json.loads, (RECORDED / "messages.jsonl").read_text(encoding="utf-8").splitlines())
    found = [each["message"]["TaskMessage"] for each in lines]
    return [
        json.loads(each["Event"]["Input"])
        for each in found
        if each["OrchestrationInstance"]["InstanceId"] == f"{name}-1" and each["Event"].get("Name", "")[:7] == "BuiltIn"
    ]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_official_host_is_asked_for_what_was_recorded(name: str) -> None:
    triggers = recorded_triggers(name)
    asked = json.loads(triggers[0]["answer"])["actions"][0][0]["httpRequest"]

    for number, trigger in enumerate(triggers):
        state = json.loads(df.Orchestrator.create(FUNCTIONS[name])(trigger["trigger"]))
        [action] = state["actions"][0]
        action = action["compoundActions"][0] if action["actionType"] == 12 else action

        assert action["actionType"] == 8
        given = {key: value for key, value in action["httpRequest"].items() if value is not None}
        assert given == {**asked, "method": "GET"}
        assert state["isDone"] is (number == len(triggers) - 1)
    assert state["output"]["statusCode"] == 200


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_live_shell_decides_the_timers_and_requests_of_the_recording(name: str) -> None:
    history = json.loads(recorded_triggers(name)[-1]["trigger"])["history"]
    session = OrchestrationSession(FUNCTIONS[name], instance_id=f"{name}-1")
    # What an episode brings ends where what it decided begins, or the episode itself.
    ends = [
        index + 1
        for index, each in enumerate(history[:-1])
        if each["EventType"] not in (4, 10, 13) and history[index + 1]["EventType"] in (4, 10, 13)
    ]
    operations, outcome = [], None

    for begin, end in zip([0, *ends], [*ends, len(history)], strict=True):
        decided = session.advance(history[begin:end])
        operations += decided.operations
        outcome = decided.outcome

    requests = [json.loads(each.input) for each in operations if isinstance(each, ScheduleActivity)]
    timers = [each for each in operations if isinstance(each, CreateTimer)]
    assert requests == recorded_requests(name)
    assert [(each.task_id, each.fire_at.strftime("%Y-%m-%dT%H:%M:%S.%f")) for each in timers] == [
        (each["EventId"], each["FireAt"][:-2]) for each in history if each["EventType"] == 10
    ]
    assert isinstance(outcome, Returned)


# ---- corners of polling


class Polling:
    """One polled call in the live shell."""

    def __init__(self, uri: str = "https://a.test/start", *, pause: float = 30, **options: Any) -> None:
        def flow(context: Any) -> Any:
            return (yield context.call_http("POST", uri, {"x": 1}, asynchronous_pattern_enabled=True, **options))

        self.session = OrchestrationSession(flow, instance_id="i", http_poll_seconds=pause)
        self.next_id = 1
        [self.first] = self.session.advance([event(12), event(0, Name="Flow", Input=None)]).operations

    def accepted(self, **headers: Any) -> CreateTimer:
        """Let a request be answered by 202; return the timer that follows."""
        response = {"statusCode": 202, "headers": {name.replace("_", "-"): each for name, each in headers.items()}}
        task_id = self.next_id - 1
        [timer] = self.session.advance(
            [event(12), event(5, TaskScheduledId=task_id, Result=json.dumps(response))]
        ).operations
        assert timer.task_id == self.next_id
        self.next_id += 2
        return timer

    def fired(self) -> Any:
        """Let the timer fire; return what is decided."""
        return self.session.advance([event(12), event(11, TimerId=self.next_id - 2)])

    def poll(self, **headers: Any) -> dict[str, Any]:
        """Return the request that follows an answer."""
        self.accepted(**headers)
        [operation] = self.fired().operations
        return json.loads(operation.input)[0]


def seconds(timer: CreateTimer) -> float:
    return (timer.fire_at - START).total_seconds()


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("0", 0),
        ("86400", 86_400),
        (["5", "7"], 5),
        ((START + timedelta(minutes=2)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 120),
        ((START - timedelta(minutes=2)).strftime("%a, %d %b %Y %H:%M:%S GMT"), 0),
        ("soon", 2.5),
        ("", 2.5),
        (None, 2.5),
    ],
)
def test_the_pause_is_what_the_answer_says_or_the_hosts_own(header: Any, wait: float) -> None:
    headers = {} if header is None else {"retry_after": header}

    assert seconds(Polling(pause=2.5).accepted(**headers)) == wait


def test_a_pause_beyond_all_times_ends_with_them() -> None:
    assert Polling().accepted(Retry_After="9" * 30).fire_at == datetime.max.replace(tzinfo=timezone.utc)


def test_a_poll_is_a_get_without_body_or_retries() -> None:
    polling = Polling(timeout=timedelta(days=1, milliseconds=5), retry_options=df.RetryOptions(1000, 3))

    poll = polling.poll(Location="https://a.test/status")

    assert (poll["method"], poll["content"], poll["retryOptions"]) == ("GET", None, None)
    assert (poll["timeout"], poll["asynchronousPatternEnabled"]) == ("1.00:00:00.0050000", True)


@pytest.mark.parametrize(
    ("location", "uri"),
    [
        ("/status?x=1", "https://a.test/status?x=1"),
        ("status", "https://a.test/jobs/status"),
        ("https://b.test/s", "https://b.test/s"),
        (["/one", "/two"], "https://a.test/one"),
    ],
)
def test_a_location_is_read_against_the_request(location: Any, uri: str) -> None:
    assert Polling("https://a.test/jobs/start").poll(location=location)["uri"] == uri


def test_a_second_location_is_read_against_the_address_that_gave_it() -> None:
    polling = Polling("https://a.test/start")

    first, second = polling.poll(Location="https://b.test/jobs/1"), polling.poll(Location="2")

    assert (first["uri"], second["uri"]) == ("https://b.test/jobs/1", "https://b.test/jobs/2")


@pytest.mark.parametrize(
    ("location", "is_same"),
    [
        ("https://a.test/s", True),
        ("https://a.test:443/s", True),
        ("https://A.TEST/s", True),
        ("http://a.test/s", False),
        ("https://a.test:8443/s", False),
        ("https://a.test.evil/s", False),
        ("//evil/s", False),
    ],
)
def test_secrets_stay_with_the_origin_that_they_are_for(location: str, is_same: bool) -> None:
    secrets = {"authorization": "Basic x", "COOKIE": "a=1", "X-Functions-Key": "k", "X-Other": "y"}
    token = df.ManagedIdentityTokenSource("r")

    poll = Polling(headers=secrets, token_source=token).poll(Location=location)

    kept = {"authorization": "Basic x", "COOKIE": "a=1"} if is_same else {}
    assert poll["headers"] == {**kept, "X-Other": "y"}
    assert poll["tokenSource"] == (token.to_json() if is_same else None)


def test_secrets_are_back_when_the_origin_is() -> None:
    polling = Polling(headers={"Authorization": "Basic x"})

    away, back = polling.poll(Location="https://b.test/s"), polling.poll(Location="https://a.test/s")

    assert (away["headers"], back["headers"]) == ({}, {"Authorization": "Basic x"})


def test_an_answer_that_says_nowhere_to_ask_is_a_failure_without_the_query() -> None:
    polling = Polling("https://user:pass@a.test/start?code=secret")
    polling.accepted()

    outcome = polling.fired().outcome

    assert isinstance(outcome, Raised)
    assert outcome.error == (
        "The answer of https://a.test/start was 202 (Accepted) without a Location header, so that there is nowhere to "
        "ask again."
    )


def test_without_the_pattern_a_202_is_the_answer() -> None:
    def flow(context: Any) -> Any:
        return (yield context.call_http("GET", "http://x.test"))

    session = OrchestrationSession(flow, instance_id="i")
    session.advance([event(12), event(0, Name="Flow", Input=None)])
    outcome = session.advance([event(12), event(5, TaskScheduledId=0, Result='{"statusCode": 202}')]).outcome

    assert outcome == Returned('{"statusCode":202}')


def test_a_filter_decides_after_which_failures_a_request_is_made_again() -> None:
    def flow(context: Any) -> Any:
        options = df.HttpRetryOptions(1000, 5, handle=lambda error: "503" in error.error_message)
        yield context.call_http("GET", "http://x.test", retry_options=options)

    session = OrchestrationSession(flow, instance_id="i")
    session.advance([event(12), event(0, Name="Flow", Input=None)])
    again = session.advance([event(12), event(6, TaskScheduledId=0, Reason="503", Details=None)])
    session.advance([event(12), event(11, TimerId=1)])
    last = session.advance([event(12), event(6, TaskScheduledId=2, Reason="500", Details=None)])

    assert seconds(again.operations[0]) == 1
    assert seconds(last.operations[0]) == 0
    assert isinstance(session.advance([event(12), event(11, TimerId=3)]).outcome, Raised)


# ---- what is refused


def test_statuses_to_retry_after_are_statuses() -> None:
    with pytest.raises(ValueError, match="must be HTTP statuses from 100 to 599, not 5030"):
        df.HttpRetryOptions(1000, 3, status_codes_to_retry=[503, 5030])


@pytest.mark.parametrize("timeout", [timedelta(0), timedelta(seconds=-1)])
def test_a_timeout_is_above_zero(timeout: timedelta) -> None:
    with pytest.raises(ValueError, match="timeout must be above zero"):
        df.DurableOrchestrationContext([event(12)], "i", False, None).call_http("GET", "http://x.test", timeout=timeout)
