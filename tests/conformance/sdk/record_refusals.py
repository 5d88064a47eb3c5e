"""Records which arguments azure-functions-durable 1.7.0 refuses, and how.

Run with the reference's Python (``scripts/reference-env`` makes it)::

    .venv-reference/bin/python tests/conformance/sdk/record_refusals.py > tests/conformance/sdk/refusals-1.7.0.json

Holds facts only: for each call with a bad argument the class and the text of the exception, or null. The test beside it
makes the same calls here.
"""

import json
import warnings

import azure.durable_functions as df
from azure.durable_functions.models import actions
from azure.durable_functions.models.actions.CallEntityAction import CallEntityAction
from azure.durable_functions.models.actions.SignalEntityAction import SignalEntityAction

BAD = (None, "", 0, 5, [], {}, object)
ENTITY = df.EntityId("e", "k")
OPTIONS = df.RetryOptions(1, 1)


def context(**keys):
    time = {"EventId": -1, "IsPlayed": False, "Timestamp": "2024-03-05T10:00:00.0000000Z"}
    history = [{"EventType": 12, **time}, {"EventType": 0, "Name": "F", "Version": "", "Input": None, **time}]
    found = {
        "history": history,
        "input": None,
        "instanceId": "i",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
        "longRunningTimerIntervalDuration": "3.00:00:00",
        "maximumShortTimerDuration": "6.00:00:00",
        **keys,
    }
    return df.DurableOrchestrationContext.from_json(json.dumps({k: v for k, v in found.items() if v != "absent"}))


CALLS = {
    "call_activity(?)": lambda bad: context().call_activity(bad),
    "call_activity_with_retry(?)": lambda bad: context().call_activity_with_retry(bad, OPTIONS),
    "call_activity_with_retry(A, ?)": lambda bad: context().call_activity_with_retry("A", bad),
    "call_sub_orchestrator(?)": lambda bad: context().call_sub_orchestrator(bad),
    "call_sub_orchestrator_with_retry(?)": lambda bad: context().call_sub_orchestrator_with_retry(bad, OPTIONS),
    "call_entity(?)": lambda bad: context().call_entity(bad, "op"),
    "signal_entity(?)": lambda bad: context().signal_entity(bad, "op"),
    "create_timer(?)": lambda bad: context().create_timer(bad),
    "wait_for_external_event(?)": lambda bad: context().wait_for_external_event(bad),
    "task_all(?)": lambda bad: context().task_all(bad),
    "task_any(?)": lambda bad: context().task_any(bad),
    "task_all([?])": lambda bad: context().task_all([bad]),
    "call_http(is_raw_str=?)": lambda bad: context().call_http("GET", "u", bad, is_raw_str=True),
    "call_http(content=?)": lambda bad: context().call_http("GET", "u", bad),
    "EntityId(?, k)": lambda bad: df.EntityId(bad, "k"),
    "EntityId(e, ?)": lambda bad: df.EntityId("e", bad),
    "EntityId.get_entity_id(?)": lambda bad: df.EntityId.get_entity_id(bad),
    "RetryOptions(?, 1)": lambda bad: df.RetryOptions(bad, 1),
    "RetryOptions(1, ?)": lambda bad: df.RetryOptions(1, bad),
    "CallActivityAction(?)": lambda bad: actions.CallActivityAction(bad),
    "WaitForExternalEventAction(?)": lambda bad: actions.WaitForExternalEventAction(bad),
    "CreateTimerAction(?)": lambda bad: actions.CreateTimerAction(bad),
    "CallEntityAction(?)": lambda bad: CallEntityAction(bad, "op"),
    "SignalEntityAction(?)": lambda bad: SignalEntityAction(bad, "op"),
    "from_json(?)": lambda bad: df.DurableOrchestrationContext.from_json(bad),
    "without history(?)": lambda bad: context(history="absent"),
    "history=?": lambda bad: context(history=bad if bad is not object else "x"),
    "upperSchemaVersion=?": lambda bad: context(upperSchemaVersion=bad if bad is not object else "x"),
    "maximumShortTimerDuration=?": lambda bad: context(maximumShortTimerDuration=bad if bad is not object else "x"),
    "call_activity(A, set)": lambda bad: context().call_activity("A", {1}),
    "continue_as_new(set)": lambda bad: context().continue_as_new({1}),
}


def cases():
    """Return every call: its name, and a function without arguments."""
    for name, call in CALLS.items():
        for bad in BAD:
            shown = "object" if bad is object else repr(bad)
            yield name.replace("?", shown), lambda call=call, bad=bad: call(bad)


def outcome(call):
    """Return the class names and the text of what a call raises, ``None`` for nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except Exception as error:
            return {"classes": [cls.__name__ for cls in type(error).__mro__[:-2]], "text": str(error)}
    return None


if __name__ == "__main__":
    print(json.dumps({name: outcome(call) for name, call in cases()}, indent=1, sort_keys=True))
