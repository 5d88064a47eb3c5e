"""Orchestrators of every form, all that their context offers, and children."""

from __future__ import annotations

import logging
from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import azure.durable_functions as df
from azure.durable_functions.models.Task import LongTimerTask, TaskBase, TimerTask
from typing_extensions import assert_type

app = df.DFApp()
retries = df.RetryOptions(first_retry_interval_in_milliseconds=1000, max_number_of_attempts=3)
counter = df.EntityId("Counter", "main")


@dataclass
class Order:
    id: str


@app.activity_trigger(input_name="n")
def double(n: int) -> int:
    return 2 * n


@app.orchestration_trigger(context_name="context")
def generator(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, list[str]]:
    names: list[str] = yield context.call_activity("names")
    return names


@app.orchestration_trigger(context_name="context", orchestration="Coro", input_type=Order)
async def coroutine(context: df.DurableOrchestrationContext) -> Order:
    return Order(await context.call_activity("id", expected_type=str))


@app.orchestration_trigger(context_name="context")
def plain(context: df.DurableOrchestrationContext) -> int:
    return 7


@app.orchestration_trigger(context_name="context")
def loose(context: df.DurableOrchestrationContext) -> Generator[Any, Any, Any]:
    return (yield context.call_activity("names"))


@app.orchestration_trigger(context_name="context")
def as_in_17(context: df.DurableOrchestrationContext) -> Generator[TaskBase, Any, dict[str, Any]]:
    found: dict[str, Any] = yield context.task_all([context.call_activity("a"), context.create_timer(datetime.max)])
    return found


@app.orchestration_trigger(context_name="context")
def children(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, None]:
    assert_type(context.call_sub_orchestrator(generator), df.Task[list[str]])
    assert_type(context.call_sub_orchestrator(coroutine, Order("1"), "child-1", "2.0"), df.Task[Order])
    assert_type(context.call_sub_orchestrator(plain), df.Task[int])
    assert_type(context.call_sub_orchestrator(loose), df.Task[Any])
    assert_type(context.call_sub_orchestrator(as_in_17), df.Task[dict[str, Any]])
    assert_type(context.call_sub_orchestrator("generator"), df.Task[Any])
    assert_type(context.call_sub_orchestrator("generator", expected_type=Order), df.Task[Order])
    assert_type(context.call_sub_orchestrator("generator", None, None, None, Order), df.Task[Order])
    assert_type(context.call_sub_orchestrator(generator, expected_type=list[Order]), df.Task[list[Order]])
    assert_type(context.call_sub_orchestrator_with_retry(generator, retries), df.Task[list[str]])
    assert_type(context.call_sub_orchestrator_with_retry(coroutine, retries, Order("1")), df.Task[Order])
    assert_type(context.call_sub_orchestrator_with_retry(plain, retries), df.Task[int])
    assert_type(context.call_sub_orchestrator_with_retry("x", retries, expected_type=Order), df.Task[Order])
    yield context.call_sub_orchestrator(generator)
    names = yield from context.call_sub_orchestrator(generator)
    assert_type(names, list[str])


@app.orchestration_trigger(context_name="context")
def together(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, int]:
    numbers = yield from context.task_all([context.call_activity(double, n) for n in range(3)])
    assert_type(numbers, list[int])
    tasks = [context.call_activity(double, n) for n in range(3)]
    while tasks:
        winner = yield from context.task_any(tasks)
        assert_type(winner, df.Task[int])
        assert_type(winner.result, int)
        tasks.remove(winner)
    return sum(numbers)


@app.orchestration_trigger(context_name="context")
async def approval(context: df.DurableOrchestrationContext) -> str:
    deadline = context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    assert_type(deadline, TimerTask | LongTimerTask)
    approved = context.wait_for_external_event("approved", bool)
    assert_type(approved, df.Task[bool])
    winner = await context.task_any([approved, deadline])
    if winner is approved:
        deadline.cancel()
        return "yes" if approved.result else "no"
    if winner == deadline:
        return f"too late, {deadline.is_cancelled}"
    await deadline
    return "never"


@app.orchestration_trigger(context_name="context")
async def waits(context: df.DurableOrchestrationContext) -> None:
    assert_type(await context.wait_for_external_event("go"), Any)
    assert_type(await context.wait_for_external_event("go", expected_type=Order), Order)
    assert_type(await context.wait_for_external_event("go", list[Order]), list[Order])
    assert_type(await context.create_timer(datetime.max), None)
    assert_type(await context.call_entity(counter, "get"), Any)
    assert_type(await context.call_entity(counter, "get", None, int), int)
    assert_type(await context.call_entity(counter, "get", expected_type=int), int)
    context.signal_entity(counter, "add", 1)
    lock = await context.lock_entities([counter])
    with lock:
        await context.call_entity(counter, "add", 1)
    lock.release()


@app.orchestration_trigger(context_name="context")
async def http(context: df.DurableOrchestrationContext) -> int:
    token = df.ManagedIdentityTokenSource("https://management.core.windows.net")
    answer = await context.call_http("GET", "https://x.test", None, {"a": "b"}, token)
    assert_type(answer["statusCode"], int)
    assert_type(answer["headers"], dict[str, str])
    response = df.DurableHttpResponse.from_json(answer)
    assert_type(response, df.DurableHttpResponse)
    return response.status_code


@app.orchestration_trigger(context_name="context")
def facts(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, None]:
    assert_type(context.get_input(), Any)
    print(context.get_input()["id"])
    order = context.get_input(expected_type=Order)
    assert_type(order, "Order | None")
    assert_type(context.instance_id, str)
    assert_type(context.parent_instance_id, "str | None")
    assert_type(context.current_utc_datetime, datetime)
    assert_type(context.is_replaying, bool)
    assert_type(context.new_uuid(), str)
    assert_type(context.new_guid(), UUID)
    assert_type(context.version, "str | None")
    assert_type(context.will_continue_as_new, bool)
    assert_type(context.custom_status, Any)
    context.set_custom_status({"at": 1})
    context.logger.info("here")
    context.create_replay_safe_logger(logging.getLogger("x")).warning("there")
    print(context.histories[0].Timestamp, context.function_context.whatever)
    yield context.create_timer(context.current_utc_datetime)
    context.continue_as_new({"n": 1})
    context.continue_as_new(None, preserve_unprocessed_events=True)


@app.orchestration_trigger(context_name="context")
async def failing(context: df.DurableOrchestrationContext) -> str | None:
    policy = df.RetryOptions(
        1000, 5, backoff_coefficient=2, retry_timeout_in_milliseconds=60_000, handle=[ValueError, "TimeoutError"]
    )
    try:
        await context.call_activity_with_retry("charge", policy, 1)
    except df.TaskFailedError as error:
        if error.is_caused_by(ValueError):
            return error.reason
    picky = df.RetryPolicy(timedelta(seconds=1), 3, handle=lambda error: error.reason != "no")
    await context.call_activity_with_retry("charge", picky, 1)
    return None


def helper(context: df.DurableOrchestrationContext, n: int) -> Generator[df.Task, Any, int]:
    """A part of an orchestrator."""
    return (yield from context.call_activity(double, n))


@app.orchestration_trigger(context_name="context")
def with_helper(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, int]:
    return (yield from helper(context, 1)) + 1
