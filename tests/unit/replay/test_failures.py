"""What an orchestrator can learn about a task that failed, from the texts that hosts make of it."""

from __future__ import annotations

import copy
import json
import pickle
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.errors import FailureDetails, TaskFailedError, task_failed

from taskhub.core.episode import failure
from taskhub.host.activity_values import failure_details, failure_reason
from tests.support.contexts import event, run, run_failing

EXTENSION = Path(__file__).parents[2] / "golden" / "extension"
STACK = '  File "app.py", line 3, in charge\n    raise CardDeclined("no funds")\n'


def recorded(scenario: str, orchestrator: str, kind: int) -> dict[str, Any]:
    """Return the first failure that the official extension handed to an orchestrator."""
    lines = (EXTENSION / scenario / "triggers.jsonl").read_text(encoding="utf-8").splitlines()
    for row in map(json.loads, lines):
        if row.get("name") == orchestrator and row["kind"] == "orchestrator":
            for each in json.loads(row["trigger"])["history"]:
                if each["EventType"] == kind:
                    found: dict[str, Any] = each
                    return found
    raise AssertionError("no such recording")


def caught(raw: dict[str, Any]) -> TaskFailedError:
    """Return what an orchestrator catches for a failure event."""
    seen: list[Any] = []

    def activity(context: Any) -> Any:
        try:
            yield context.call_activity("Charge")
        except Exception as error:
            seen.append(error)

    def child(context: Any) -> Any:
        try:
            yield context.call_sub_orchestrator("flaky")
        except Exception as error:
            seen.append(error)

    run(child if raw["EventType"] == 9 else activity, {**raw, "TaskScheduledId": 0})
    (error,) = seen
    assert isinstance(error, TaskFailedError)
    return error


def test_the_extensions_failure_of_an_activity_tells_type_message_and_stack() -> None:
    error = caught(recorded("activity_failed", "uncaught", 6))

    assert (error.kind, error.name) == ("activity", "Charge")
    assert error.reason == "Activity function 'explode' failed:  ValueError: bad value"
    assert (error.error_type, error.error_message) == ("ValueError", "bad value")
    assert error.stack_trace is not None
    assert error.stack_trace.endswith("raise ValueError(value)\n")
    assert error.details == FailureDetails("bad value", "ValueError", error.stack_trace)


def test_a_message_with_odd_text_is_whole_though_the_reason_is_cut() -> None:
    error = caught(recorded("activity_failed", "odd", 6))

    assert error.reason.endswith("ValueError: line one")
    assert error.error_message == "line one\nStack: not a stack\n\n$OutOfProcData$:{}"


def test_our_hosts_failure_of_an_activity_tells_the_same() -> None:
    raw = event(
        6,
        Reason=failure_reason("Charge", "CardDeclined: no funds"),
        Details=failure_details("CardDeclined: no funds", STACK),
    )

    assert caught(raw).details == FailureDetails("no funds", "CardDeclined", STACK)


def test_the_text_is_that_of_the_reference() -> None:
    error = caught(event(6, Reason="r", Details="d"))

    assert str(error) == "r \n d"
    assert error.args == ("r \n d",)
    assert str(caught(event(6))) == "None \n None"


def test_the_extensions_failure_of_a_child_leads_to_its_activity() -> None:
    error = caught(recorded("http_purge_restart_rewind", "flaky_parent", 9))

    assert (error.kind, error.name) == ("orchestration", "flaky")
    assert error.details.error_type is None
    assert error.details.message == "Activity function 'sometimes' failed:  ValueError: not yet"
    assert (error.error_type, error.error_message) == ("ValueError", "not yet")
    assert error.details.root.stack_trace is not None
    assert "http_purge_restart_rewind.py" in error.details.root.stack_trace


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_a_failure_is_followed_through_every_level(depth: int) -> None:
    reason = failure_reason("Charge", "CardDeclined: no funds")
    details = failure_details("CardDeclined: no funds", STACK)
    for level in range(depth):
        outcome = failure(f"level_{level}", f"{reason} \n {details}", f"stack {level}")
        reason, details = outcome.reason, outcome.details or ""

    error = caught(event(9, Reason=reason, Details=details))

    assert (error.error_type, error.error_message, error.stack_trace) == ("CardDeclined", "no funds", STACK)
    stacks, each = [], error.details
    while each.inner is not None:
        stacks.append(each.stack_trace)
        each = each.inner
    assert stacks == [f"stack {level}" for level in reversed(range(depth))]


def test_an_error_of_the_childs_own_code_is_told_with_its_stack() -> None:
    outcome = failure("flaky", "out of stock", "  File ...\n")

    error = caught(event(9, Reason=outcome.reason, Details=outcome.details))

    assert error.details == FailureDetails("out of stock", None, "  File ...\n")


@pytest.mark.parametrize(
    ("reason", "details", "wanted"),
    [
        ("Activity function 'f' failed: ValueError: bad", None, FailureDetails("bad", "ValueError")),
        ("Activity function 'f' failed:  KeyError: ", "", FailureDetails("", "KeyError")),
        ("Activity function 'f' failed: it is odd: very", "{broken", FailureDetails("it is odd: very")),
        ("Connection refused (127.0.0.1:9)", "[1]", FailureDetails("Connection refused (127.0.0.1:9)")),
        ("r", "{}", FailureDetails("r")),
        ("r", '{"RemoteMessage": 5, "InnerException": [], "Message": null}', FailureDetails("r")),
    ],
)
def test_details_that_are_something_else_are_no_trouble(reason: str, details: str, wanted: FailureDetails) -> None:
    assert caught(event(6, Reason=reason, Details=details)).details == wanted


def test_an_exception_of_the_host_tells_its_own_type() -> None:
    error = caught(recorded("call_http", "refused", 6))

    assert error.error_type == "System.Net.Http.HttpRequestException"
    assert error.error_message == "Connection refused (127.0.0.1:9)"
    assert error.is_caused_by("HttpRequestException")


def test_failure_details_of_the_history_come_first() -> None:
    given = {
        "ErrorType": "Outer",
        "ErrorMessage": "o",
        "StackTrace": "s",
        "InnerFailure": {"ErrorType": "Inner", "ErrorMessage": "i", "StackTrace": None, "InnerFailure": None},
    }

    error = caught(event(6, Reason="r", Details="d", FailureDetails=given))

    assert error.details == FailureDetails("o", "Outer", "s", FailureDetails("i", "Inner"))
    assert error.is_caused_by("Outer")
    assert error.is_caused_by("Inner")
    assert caught(event(6, Reason="r", Details="d", FailureDetails={"x": 1})).details == FailureDetails("r")


def test_a_failed_operation_of_an_entity_is_such_an_error_too() -> None:
    seen: list[TaskFailedError] = []

    def flow(context: Any) -> Any:
        try:
            yield context.call_entity(df.EntityId("Counter", "Main"), "get")
        except TaskFailedError as error:
            seen.append(error)

    answer = json.dumps({"result": '"cannot"', "exceptionType": "System.Exception"})
    run(flow, event(14, 0, Name="op", Input='{"id": "q"}'), event(15, Name="q", Input=answer))

    assert [(e.kind, e.name, str(e), e.details) for e in seen] == [
        ("entity", "@counter@Main", "cannot", FailureDetails("cannot"))
    ]


def test_a_function_that_does_not_exist_is_an_error_of_its_own() -> None:
    ours = "Activity function 'Charge' failed: Activity function 'Charge' does not exist. Additional info: none."
    child = failure("flaky", "The function 'flaky' doesn't exist, is disabled, or is not an orchestrator function.")
    nested = failure("flaky", "The function 'Other' doesn't exist, is disabled, or is not an orchestrator function.")

    assert isinstance(caught(event(6, Reason=ours)), df.FunctionNotFoundError)
    assert isinstance(caught(event(9, Reason=child.reason, Details=child.details)), df.FunctionNotFoundError)
    assert not isinstance(caught(event(9, Reason=nested.reason, Details=nested.details)), df.FunctionNotFoundError)


class Declined(OSError):
    pass


class HardDeclined(Declined):
    pass


@pytest.mark.parametrize(
    ("told", "asked", "wanted"),
    [
        ("ValueError", ValueError, True),
        ("UnicodeDecodeError", ValueError, True),
        ("ValueError", UnicodeDecodeError, False),
        ("ValueError", "ValueError", True),
        ("ValueError", "builtins.ValueError", True),
        ("shop.errors.Declined", Declined, True),
        ("HardDeclined", Declined, True),
        ("Declined", HardDeclined, False),
        # A subclass in another module may not be loaded when the history is replayed.
        ("HardDeclined", OSError, False),
        ("KeyError", Exception, True),
    ],
)
def test_causes_are_found_by_class_or_name(told: str, asked: Any, wanted: bool) -> None:
    assert FailureDetails("m", told).is_caused_by(asked) is wanted


def test_an_uncaught_failure_leaves_the_function_as_the_plain_exception_of_the_reference() -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("A")

    raised = run_failing(flow, event(6, TaskScheduledId=0, Reason="r", Details="d"))

    assert type(raised.__cause__) is Exception
    assert str(raised.__cause__) == "r \n d"
    assert isinstance(raised.__cause__.__cause__, TaskFailedError)


def test_errors_can_be_copied_and_pickled() -> None:
    error = task_failed("r \n d", kind="activity", name="A", reason="r", raw_details="d")

    for twin in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(twin), twin.name, twin.reason, twin.raw_details) == ("r \n d", "A", "r", "d")
