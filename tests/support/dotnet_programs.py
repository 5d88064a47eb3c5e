"""The programs of ``golden/storage``, which were .NET code there, in Python."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df

from taskhub.model.actions import Actions, ScheduleActivity, SendEvent, StartSubOrchestration
from taskhub.model.ids import InstanceId
from taskhub.runtime.application import ActivityCall, ActivityFailed, ActivitySucceeded
from tests.support.plain_application import PlainApplication, PlainOrchestration

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence

    from taskhub.model.actions import Operation


def hello_sequence(context: Any) -> Generator[Any, Any, Any]:
    tokyo = yield context.call_activity("Hello", "Tokyo")
    seattle = yield context.call_activity("Hello", "Seattle")
    london = yield context.call_activity("Hello", "London")
    return [tokyo, seattle, london]


def fan_out(context: Any) -> Generator[Any, Any, Any]:
    numbers = yield context.task_all([context.call_activity("Echo", n) for n in range(context.get_input())])
    return sum(numbers)


def parent(context: Any) -> Generator[Any, Any, Any]:
    return (yield context.call_sub_orchestrator("HelloSequence", context.get_input(), f"{context.instance_id}:child"))


def default_child(context: Any) -> Generator[Any, Any, Any]:
    return (yield context.call_sub_orchestrator("Child", context.get_input()))


def child(context: Any) -> Generator[Any, Any, Any]:
    return (yield context.call_activity("Hello", context.get_input()))


def timer(context: Any) -> Generator[Any, Any, Any]:
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))
    return "fired"


def timer_or_event(context: Any) -> Generator[Any, Any, Any]:
    deadline = context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))
    event = context.wait_for_external_event("go")
    winner = yield context.task_any([event, deadline])
    if winner is event:
        deadline.cancel()
    return ["event", event.result]


def wait_event(context: Any) -> Generator[Any, Any, Any]:
    return (yield context.wait_for_external_event("go"))


def slow_then_event(context: Any) -> Generator[Any, Any, Any]:
    yield context.call_activity("Slow", {"ms": context.get_input(), "value": "slow"})
    return (yield context.wait_for_external_event("go"))


def status(context: Any) -> Generator[Any, Any, Any]:
    context.set_custom_status({"step": 1})
    yield context.call_activity("Hello", "Tokyo")
    context.set_custom_status({"step": 2})
    return (yield context.call_activity("Hello", "Seattle"))


def fail_once(context: Any) -> Generator[Any, Any, Any]:
    return (yield from _as_dotnet_tells(context.call_activity("Fail", context.get_input())))


def fail_caught(context: Any) -> Generator[Any, Any, Any]:
    try:
        yield context.call_activity("Fail", context.get_input())
    except df.TaskFailedError as error:
        return ["caught", error.reason]
    raise AssertionError("the activity did not fail")


def retry(context: Any) -> Generator[Any, Any, Any]:
    given = {"key": "r", "failures": context.get_input()}
    return (yield context.call_activity_with_retry("Flaky", df.RetryOptions(1000, 5), given))


def send_event(context: Any) -> Generator[Any, Any, Any]:
    # Python code can send events to entities only; see DotnetOrchestration.
    context.signal_entity(df.EntityId("instance", context.get_input()), "go", "from orchestrator")
    return (yield context.call_activity("Hello", "sender"))


def large_payload(context: Any) -> Generator[Any, Any, Any]:
    text = yield context.call_activity("Large", context.get_input())
    return {"length": len(text), "text": text}


def call_missing(context: Any) -> Generator[Any, Any, Any]:
    return (yield from _as_dotnet_tells(context.call_activity("NoSuchActivity", "x")))


def _as_dotnet_tells(task: Any) -> Generator[Any, Any, Any]:
    """Wait for a task; fail in the words of .NET, which leaves out the details."""
    try:
        return (yield task)
    except df.TaskFailedError as error:
        raise RuntimeError(error.reason) from None


def fail(message: str) -> None:
    raise RuntimeError(message)


async def slow(request: Mapping[str, Any]) -> Any:
    await asyncio.sleep(request["ms"] / 1000)
    return request["value"]


def flaky(request: Mapping[str, Any]) -> int:
    """Fail at first; return how often it was tried."""
    if request["attempt"] <= request["failures"]:
        raise RuntimeError(f"attempt {request['attempt']}")
    attempt: int = request["attempt"]
    return attempt


class DotnetOrchestration(PlainOrchestration):
    """Asks for what .NET code asks for: inputs are encoded once, not twice, and events go to orchestrations."""

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        decided = await super().advance([_as_asked_for(event) for event in events], replayed=replayed)
        return replace(decided, operations=tuple(map(_as_of_dotnet, decided.operations)))


_EVENT_SENT = 14


def _as_of_dotnet(operation: Operation) -> Operation:
    match operation:
        case StartSubOrchestration(input=given):
            return replace(operation, input=json.loads(given or "null"))
        case ScheduleActivity(input=str(given)):
            return replace(operation, input=_json([json.loads(each) for each in json.loads(given)]))
        case SendEvent(instance_id=target, input=str(given)) if target.startswith("@instance@"):
            request = json.loads(given)
            return replace(
                operation,
                instance_id=InstanceId(target.removeprefix("@instance@")),
                name=request["op"],
                input=json.loads(request["input"]),
            )
        case _:
            return operation


def _as_asked_for(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an event of the history as the code expects it that :func:`_as_of_dotnet` speaks for."""
    if event["EventType"] != _EVENT_SENT:
        return event
    return {**event, "InstanceId": f"@instance@{event['InstanceId']}", "Input": "{}"}


class DotnetApplication(PlainApplication):
    """Its activities get their inputs from .NET code, or from code that asks like it, and fail in its words."""

    orchestration_type = DotnetOrchestration

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        (given,) = json.loads(call.input or "[null]")
        if call.name == "Flaky":
            # A timer stands between two attempts. A work item that comes twice is the same attempt twice.
            given["attempt"] = call.task_id // 2 + 1
        result = await super().run_activity(replace(call, input=_json([_json(given)])))
        if isinstance(result, ActivityFailed):
            return replace(result, reason=result.reason.replace("failed:  RuntimeError: ", "failed: "))
        return result


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


ORCHESTRATORS = {
    "HelloSequence": hello_sequence,
    "FanOut": fan_out,
    "Parent": parent,
    "DefaultChild": default_child,
    "Child": child,
    "Timer": timer,
    "TimerOrEvent": timer_or_event,
    "WaitEvent": wait_event,
    "SlowThenEvent": slow_then_event,
    "Status": status,
    "FailOnce": fail_once,
    "FailCaught": fail_caught,
    "Retry": retry,
    "SendEvent": send_event,
    "LargePayload": large_payload,
    "CallMissing": call_missing,
}

ACTIVITIES: Mapping[str, Callable[..., Any]] = {
    "Hello": lambda name: f"Hello {name}!",
    "Echo": lambda value: value,
    "Slow": slow,
    "Fail": fail,
    "Flaky": flaky,
    "Large": lambda request: "r" * request["size"],
}
