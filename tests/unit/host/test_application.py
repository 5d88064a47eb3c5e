import io
import json
import sys
import threading
import types
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import azure.durable_functions as df
import pytest

from taskhub.errors import UnknownFunction
from taskhub.host.activity_values import failure_details, failure_reason, unwrap_input
from taskhub.host.application import FunctionsApplication
from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.console import Console
from taskhub.host.functions import Function
from taskhub.host.invoker import Invoker
from taskhub.host.live_orchestrations import LiveOrchestrations
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.runtime.application import (
    ActivityCall,
    ActivityFailed,
    ActivitySucceeded,
    EntityAnswered,
    EntityCall,
    EntityFailed,
)
from taskhub.settings import TaskHubSettings

# The library says so once in a process, to whoever loads values without naming their type.
pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

GOLDEN = Path(__file__).parents[2] / "golden" / "extension"


def lines(path):
    return [json.loads(line) for line in (GOLDEN / path).read_text(encoding="utf-8").splitlines()]


def plan(name, call, trigger="activityTrigger", disabled=False, **properties):
    bindings = read_bindings([{"name": "value", "type": trigger, **properties}])
    return plan_call(Function(name, call, bindings, Path(), disabled))


def application(*plans):
    invoker = Invoker(Console(io.StringIO()))
    orchestrations = LiveOrchestrations(invoker, TaskHubSettings())
    return FunctionsApplication(plans, invoker, orchestrations, client_payload=lambda properties: "{}")


def call(name, payload):
    return ActivityCall(name, payload, InstanceId("i"), ExecutionId("e"), 0, 1)


async def run(app, name, payload):
    return await app.run_activity(call(name, payload))


def events(scenario):
    messages = [each["message"].get("TaskMessage") or {} for each in lines(f"{scenario}/messages.jsonl")]
    return [message.get("Event") or {} for message in messages]


def kind(value):
    return [type(value).__name__, value]


# ---- recorded values


def recorded_inputs():
    """The payload of each work item with the text that the extension handed over for it."""
    scheduled = [event["Input"] for event in events("activity_values") if event.get("EventType") == 4]
    triggers = [each["trigger"] for each in lines("activity_values/triggers.jsonl") if each["kind"] == "activity"]
    return list(zip(scheduled, triggers, strict=False))[:21]


def test_the_recording_has_inputs_of_every_kind():
    assert len(recorded_inputs()) == 21


@pytest.mark.parametrize(("payload", "handed_over"), recorded_inputs())
def test_inputs_are_unwrapped_as_recorded(payload, handed_over):
    assert unwrap_input(payload) == handed_over


def test_a_payload_that_is_no_array_counts_as_the_element():
    assert (unwrap_input('{"a": 1}'), unwrap_input("plain"), unwrap_input("[]")) == ('{"a":1}', "plain", None)


async def test_results_are_stored_as_recorded():
    app = application(plan("kind", kind), plan("raw_kind", kind))
    scheduled, completed = ([e for e in events("activity_values") if e.get("EventType") == number] for number in (4, 5))

    results = [await run(app, event["Name"], event["Input"]) for event in scheduled[:21]]

    assert sorted(result.result for result in results) == sorted(event["Result"] for event in completed[:21])


async def test_nothing_returned_is_no_result():
    assert await run(application(plan("a", lambda value: None)), "A", '["1"]') == ActivitySucceeded(None)


# ---- annotations, without the SDK's decorators


@dataclass
class Order:
    number: int
    price: Decimal


def doubled(value: Order) -> Order:
    return Order(value.number, value.price * 2)


async def next_day(value: datetime) -> datetime:
    return value + timedelta(days=1)


@pytest.mark.parametrize(
    ("function", "given", "stored"),
    [
        (doubled, {"number": 7, "price": "1.10"}, {"number": 7, "price": "2.20"}),
        (next_day, "2024-03-05T10:00:00Z", "2024-03-06T10:00:00+00:00"),
        (df.Activity.create(doubled), {"number": 7, "price": "1.10"}, {"number": 7, "price": "2.20"}),
    ],
    ids=["plain", "async", "created"],
)
async def test_annotations_of_a_plain_activity_count(function, given, stored):
    result = await run(application(plan("a", function)), "a", json.dumps([json.dumps(given)]))

    assert json.loads(result.result) == stored


async def test_an_input_that_does_not_fit_is_a_failure_that_says_where():
    failed = await run(application(plan("a", doubled)), "a", json.dumps([json.dumps({"number": 7})]))

    assert failed.reason == (
        "Activity function 'a' failed:  PayloadDecodeError: The input of activity 'doubled' cannot be decoded "
        "as Order: price: is missing"
    )


async def test_the_traceback_of_an_annotated_activity_is_the_user_s():
    def explode(value: Order) -> str:
        raise ValueError(value.number)

    failed = await run(application(plan("a", explode)), "a", json.dumps([json.dumps({"number": 7, "price": 1})]))

    stack = json.loads(failed.details)["InnerException"]["RemoteStackTrace"]
    assert "raise ValueError(value.number)" in stack
    assert "durable_functions" not in stack


# ---- recorded failures


def recorded_failures():
    return [event for event in events("activity_failed") if event.get("EventType") == 6]


@pytest.mark.parametrize("event", recorded_failures(), ids=lambda event: event["Reason"][:60])
def test_failures_are_told_as_recorded(event):
    recorded = json.loads(event["Details"])
    remote = recorded["InnerException"]
    name = event["Reason"].split("'")[1]

    reason = failure_reason(name, remote["RemoteMessage"])
    details = json.loads(failure_details(remote["RemoteMessage"], remote["RemoteStackTrace"]))

    assert reason == event["Reason"]
    for unlike in ("StackTrace", "Source"):  # of the recording's .NET host
        del remote[unlike], details["InnerException"][unlike]
    assert list(details.items()) == list(recorded.items())


async def test_an_exception_is_a_failure_with_the_user_s_traceback():
    def explode(value):
        raise ValueError(value)

    failed = await run(application(plan("explode", explode)), "explode", '["\\"bad value\\""]')

    assert failed.reason == "Activity function 'explode' failed:  ValueError: bad value"
    remote = json.loads(failed.details)["InnerException"]
    assert "raise ValueError(value)" in remote["RemoteStackTrace"]
    assert "taskhub/host" not in remote["RemoteStackTrace"]


async def test_a_result_that_cannot_be_encoded_is_a_failure_that_says_so():
    failed = await run(application(plan("a", lambda value: object())), "a", None)

    assert isinstance(failed, ActivityFailed)
    assert "activity trigger output must be json serializable" in failed.reason


async def test_unknown_and_disabled_activities_fail_with_the_names_that_exist():
    app = application(plan("One", kind), plan("Two", kind, disabled=True))

    unknown, disabled = await run(app, "Tow", None), await run(app, "two", None)

    assert unknown.reason == (
        "Activity function 'Tow' failed: Activity function 'Tow' does not exist. "
        "Additional info: The following are the known activity functions: 'One'."
    )
    assert disabled.reason == "Activity function 'two' failed: Activity function 'two' is disabled."


# ---- names and threads


async def test_functions_are_called_by_their_durable_name_ignoring_case():
    app = application(plan("function_name", lambda value: value, activity="Called"))

    assert await run(app, "CALLED", '["7"]') == ActivitySucceeded("7")
    assert isinstance(await run(app, "function_name", None), ActivityFailed)


def test_an_unknown_orchestrator_is_told_as_the_extension_tells_it():
    app = application(plan("One", kind, "orchestrationTrigger"), plan("Two", kind, "orchestrationTrigger"))

    with pytest.raises(UnknownFunction) as caught:
        app.orchestration("nowhere", instance_id=InstanceId("i"), parent_instance_id=None)

    assert str(caught.value) == (
        "The function 'nowhere' doesn't exist, is disabled, or is not an orchestrator function. Additional info: "
        "The following are the known orchestrator functions: 'One', 'Two'."
    )


def test_an_app_without_orchestrators_says_so():
    with pytest.raises(UnknownFunction, match="No orchestrator functions are currently registered!"):
        application().find_orchestrator("x")


async def test_plain_functions_and_coroutines_both_leave_the_host_s_thread():
    async def coroutine(value):
        return threading.current_thread().name

    def plain(value):
        return threading.current_thread().name

    app = application(plan("a", coroutine), plan("b", plain))

    assert (await run(app, "a", None)).result == '"coroutine functions"'
    assert (await run(app, "b", None)).result.startswith('"function_')


async def test_custom_objects_come_back_as_their_class(monkeypatch):
    module = types.ModuleType("custom_values")

    class Point:
        def __init__(self, x):
            self.x = x

        @staticmethod
        def to_json(point):
            return str(point.x)

        @staticmethod
        def from_json(text):
            return Point(int(text))

    Point.__module__, Point.__qualname__ = "custom_values", "Point"
    module.Point = Point
    monkeypatch.setitem(sys.modules, "custom_values", module)
    app = application(plan("double", lambda value: Point(value.x * 2)))
    element = json.dumps({"__class__": "Point", "__module__": "custom_values", "__data__": "4"})

    result = await run(app, "double", json.dumps([element]))

    assert isinstance(result, ActivitySucceeded), result.reason
    assert json.loads(result.result) == {"__class__": "Point", "__module__": "custom_values", "__data__": "8"}


# ---- entities

PAYLOAD = json.dumps({"self": {"name": "counter", "key": "a"}, "exists": False, "state": None, "batch": []})
ENTITY = EntityCall(name="counter", key="a", payload=PAYLOAD, operations=0)


def entity(call, name="Counter", **more):
    bindings = read_bindings([{"name": "context", "type": "entityTrigger"}])
    return plan_call(Function(name, call, bindings, Path(), **more))


async def test_an_entity_gets_the_batch_and_its_answer_is_taken_as_text():
    given = []

    def keep(context):
        given.append(context.body)
        return '{"entityExists": true}'

    assert await application(entity(keep)).run_entity_batch(ENTITY) == EntityAnswered('{"entityExists": true}')
    assert given == [PAYLOAD]


async def test_an_answer_that_is_no_text_is_handed_on_as_json():
    answered = await application(entity(lambda context: {"entityExists": True})).run_entity_batch(ENTITY)

    assert json.loads(answered.answer) == {"entityExists": True}


def broken(context):
    raise TypeError("cannot be stored")


def slow(context):
    threading.Event().wait(0.3)


@pytest.mark.parametrize(
    ("plans", "result"),
    [
        (
            [entity(broken, "other")],
            "\"Entity function 'counter' does not exist. "
            "Additional info: The following are the known entity functions: 'other'.\"",
        ),
        (
            [],
            "\"Entity function 'counter' does not exist. "
            'Additional info: No entity functions are currently registered!"',
        ),
        ([entity(broken, is_disabled=True)], "\"Entity function 'counter' is disabled.\""),
        ([entity(broken)], '"TypeError: cannot be stored"'),
    ],
    ids=["unknown", "none", "disabled", "broken"],
)
async def test_an_entity_that_cannot_be_run_answers_with_an_error(plans, result):
    assert await application(*plans).run_entity_batch(ENTITY) == EntityFailed(result)


async def test_an_entity_that_takes_too_long_answers_as_readers_expect():
    invoker = Invoker(Console(io.StringIO()), timeout_seconds=0.05)
    orchestrations = LiveOrchestrations(invoker, TaskHubSettings())
    app = FunctionsApplication([entity(slow)], invoker, orchestrations, client_payload=lambda properties: "{}")

    failed = await app.run_entity_batch(ENTITY)
    await invoker.aclose(grace_seconds=2)

    assert failed.result.startswith("Timeout value of 0:00:00.050000 was exceeded by function: Functions.Counter")


def test_entities_are_known_by_any_spelling():
    app = application(entity(broken), entity(slow, "other", is_disabled=True))

    app.check_entity("COUNTER")
    with pytest.raises(UnknownFunction, match="known entity functions: 'Counter'"):
        app.check_entity("other")
