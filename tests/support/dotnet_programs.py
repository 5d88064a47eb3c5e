"""The programs of ``golden/storage``, which were .NET code there, in Python."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
from azure.durable_functions.replay import Decisions, StartSubOrchestration

from tests.support.world import PlainApplication, PlainOrchestration

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence


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
    return (yield context.call_activity("Fail", context.get_input()))


def fail_caught(context: Any) -> Generator[Any, Any, Any]:
    try:
        yield context.call_activity("Fail", context.get_input())
    except Exception as error:
        return ["caught", str(error)]
    raise AssertionError("the activity did not fail")


def retry(context: Any) -> Generator[Any, Any, Any]:
    given = {"key": "r", "failures": context.get_input()}
    return (yield context.call_activity_with_retry("Flaky", df.RetryOptions(1000, 5), given))


def fail(message: str) -> None:
    raise RuntimeError(message)


async def slow(request: Mapping[str, Any]) -> Any:
    await asyncio.sleep(request["ms"] / 1000)
    return request["value"]


class Flaky:
    """An activity that fails at first. It returns how often it was tried; ``attempts`` were made elsewhere."""

    def __init__(self, attempts: int = 0) -> None:
        self._attempts = attempts

    def __call__(self, request: Mapping[str, Any]) -> int:
        self._attempts += 1
        if self._attempts <= request["failures"]:
            raise RuntimeError(f"attempt {self._attempts}")
        return self._attempts


class DotnetOrchestration(PlainOrchestration):
    """Gives children their input as .NET code does: encoded once, not twice as the Python SDK does."""

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Decisions:
        decisions = await super().advance(events, replayed=replayed)
        operations = tuple(
            replace(each, input=json.loads(each.input or "null")) if isinstance(each, StartSubOrchestration) else each
            for each in decisions.operations
        )
        return replace(decisions, operations=operations)


class DotnetApplication(PlainApplication):
    orchestration_type = DotnetOrchestration


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
}


def activities(*, attempts: int = 0) -> dict[str, Any]:
    """Return the activities; so many attempts of the flaky one were made elsewhere."""
    return {
        "Hello": lambda name: f"Hello {name}!",
        "Echo": lambda value: value,
        "Slow": slow,
        "Fail": fail,
        "Flaky": Flaky(attempts),
    }
