"""Orchestrators that are coroutine functions, and what happens to those that await something else than tasks."""

from __future__ import annotations

import asyncio
import functools
import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import OrchestrationSession, Raised

from tests.support.contexts import START, context_text, event, run, run_failing

if TYPE_CHECKING:
    from collections.abc import Callable

STARTED = [event(12), event(0, Name="Flow", Version=None, Input=None)]


def done(task_id: int, value: Any) -> dict[str, Any]:
    return event(5, TaskScheduledId=task_id, Result=json.dumps(value))


async def quote(context: Any, item: str) -> Any:
    return await context.call_activity("Quote", item)


async def shop(context: Any) -> Any:
    first = await quote(context, "tea")
    both = await context.task_all([context.call_activity("A"), context.call_activity("B")])
    timer = context.create_timer(START + timedelta(days=1))
    winner = await context.task_any([timer, context.wait_for_external_event("go")])
    try:
        await context.call_activity("C")
    except df.TaskFailedError as error:
        return [first, both, winner is timer, error.reason]


HISTORY = [
    done(0, 5),
    event(12),
    done(2, "b"),
    done(1, "a"),
    event(12),
    event(15, Name="go", Input="1"),
    event(12),
    event(6, TaskScheduledId=4, Reason="no C", Details=None),
]


def test_a_coroutine_function_runs_through_the_json_shell() -> None:
    assert run(shop, *HISTORY)["output"] == [5, ["a", "b"], False, "no C"]


def test_it_runs_step_by_step_through_the_live_shell() -> None:
    session = OrchestrationSession(shop, instance_id="i-1")
    seen = [len(session.advance(STARTED).operations)]

    for episode in (HISTORY[:1], HISTORY[2:4], HISTORY[5:6], HISTORY[7:]):
        decisions = session.advance([event(12), *episode])
        seen.append(len(decisions.operations))

    assert seen == [1, 2, 1, 1, 0]
    assert json.loads(decisions.outcome.result) == [5, ["a", "b"], False, "no C"]  # type: ignore[union-attr]


def test_it_can_be_decorated() -> None:
    app = df.DFApp()

    @app.activity_trigger(input_name="value")
    def A(value: Any) -> Any:
        return value

    @app.orchestration_trigger(context_name="ctx")
    async def flow(ctx: Any) -> Any:
        return await ctx.call_activity("A")

    handle = app.get_functions()[1].get_user_function()

    assert not asyncio.iscoroutinefunction(handle)
    assert json.loads(handle(ctx=context_text(done(0, 7))))["output"] == 7


async def test_it_can_be_replayed_where_an_event_loop_runs() -> None:
    assert run(shop, *HISTORY)["isDone"] is True
    assert asyncio.get_running_loop().is_running()


async def tick(context: Any) -> None:
    await asyncio.sleep(0)


async def plain(value: int) -> int:
    return value


class Odd:
    def __await__(self) -> Any:
        yield "odd"


async def use_task_group(context: Any) -> None:
    async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined]  # 3.11
        group.create_task(plain(1))


async def use_timeout(context: Any) -> None:
    async with asyncio.timeout(1):  # type: ignore[attr-defined]  # 3.11
        await context.call_activity("B")


FOREIGN: dict[str, tuple[Callable[[Any], Any], str, str]] = {
    "sleep": (lambda _: asyncio.sleep(1), "asyncio.sleep", "context.create_timer("),
    "sleep of nothing": (lambda _: asyncio.sleep(0), "asyncio.sleep", "context.create_timer("),
    "sleep within a helper": (tick, "asyncio.sleep", "context.create_timer("),
    "gather": (
        lambda context: asyncio.gather(context.call_activity("B"), context.call_activity("C")),
        "asyncio.gather",
        "context.task_all(",
    ),
    "wait": (
        lambda context: asyncio.wait([asyncio.ensure_future(context.call_activity("B"))]),
        "asyncio.ensure_future",
        "context.task_all(",
    ),
    "wait_for": (
        lambda context: asyncio.wait_for(context.call_activity("B"), 1),
        "asyncio.wait_for",
        "context.task_any([task",
    ),
    "create_task": (lambda _: asyncio.create_task(plain(1)), "asyncio.create_task", "context.task_all("),
    "to_thread": (lambda _: asyncio.to_thread(print), "asyncio.to_thread", "an activity"),
    "event": (lambda _: asyncio.Event().wait(), "asyncio.Event.wait", "context.wait_for_external_event("),
    "queue": (lambda _: asyncio.Queue().get(), "asyncio.Queue.get", "context.wait_for_external_event("),
    "own awaitable": (lambda _: Odd(), "Odd.__await__", "an activity"),
}
if hasattr(asyncio, "TaskGroup"):
    FOREIGN["task group"] = (use_task_group, "asyncio.TaskGroup.__aenter__", "context.task_all(")
    FOREIGN["timeout"] = (use_timeout, "asyncio.timeout", "context.task_any(")


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_awaitable_is_refused_at_its_line_with_its_name_and_replacement(case: str) -> None:
    make, name, replacement = FOREIGN[case]

    async def flow(context: Any) -> Any:
        await context.call_activity("A")
        try:
            await make(context)
        except df.ForeignAwaitableError as error:
            return [error.awaited, error.replacement, str(error)]

    awaited, instead, text = run(flow, done(0, 1))["output"]

    assert awaited == name
    assert instead.startswith(replacement)
    assert text == (
        f"An orchestrator can await only tasks that its context makes, not {name}, which no replay could repeat. "
        f"Use {instead}."
    )


@pytest.mark.parametrize("case", FOREIGN)
def test_it_fails_the_instance_when_nobody_catches_it(case: str) -> None:
    make, _, _ = FOREIGN[case]

    async def flow(context: Any) -> Any:
        await make(context)

    raised = run_failing(flow)
    outcome = OrchestrationSession(flow, instance_id="i-1").advance(STARTED).outcome

    assert isinstance(raised.__cause__, df.ForeignAwaitableError)
    assert isinstance(outcome, Raised)
    assert outcome.error == str(raised.__cause__)
    assert "await make(context)" in outcome.stack


async def test_the_loop_of_a_test_is_none_of_an_orchestrators() -> None:
    async def flow(context: Any) -> Any:
        await asyncio.sleep(0)

    assert isinstance(run_failing(flow).__cause__, df.ForeignAwaitableError)


def test_a_runtime_error_of_the_app_is_left_alone() -> None:
    async def flow(context: Any) -> Any:
        raise RuntimeError("mine")

    assert type(run_failing(flow).__cause__) is RuntimeError


# -- generators that yield something else ------------------------------------------------------------------------------


def helper(context: Any) -> Any:
    yield context.call_activity("A")


@pytest.mark.parametrize(
    ("make", "awaited", "words"),
    [
        (
            lambda context: helper(context),
            "helper",
            "To run helper(...) as a part of the orchestrator use `yield from`",
        ),
        (lambda context: quote(context, "x"), "quote", "use `await` in an orchestrator that is `async def`"),
        (lambda context: asyncio.sleep(1), "asyncio.sleep", "Use context.create_timer("),
        (lambda context: 5, "int", "not int: 5. Yield what context.call_activity(...)"),
        (lambda context: [context.call_activity("A")], "list", "context.task_all([...]) and the like return"),
    ],
)
def test_what_a_generator_must_not_yield_is_named(make: Any, awaited: str, words: str) -> None:
    def flow(context: Any) -> Any:
        yield make(context)

    error = run_failing(flow).__cause__

    assert isinstance(error, df.ForeignAwaitableError)
    assert error.awaited == awaited
    assert words in str(error)


def test_a_coroutine_in_a_compound_is_named_and_closed() -> None:
    async def flow(context: Any) -> Any:
        await context.task_all([quote(context, "x")])

    error = run_failing(flow).__cause__

    assert isinstance(error, TypeError)
    assert "got coroutine: quote" in str(error)


# -- asynchronous generators -------------------------------------------------------------------------------------------


async def both_ways(context: Any) -> Any:
    yield context.call_activity("A")


def test_an_asynchronous_generator_is_refused_where_it_is_defined() -> None:
    with pytest.raises(TypeError, match=r"'both_ways' is `async def` and has `yield` in it.*Use `await`"):
        df.Orchestrator.create(both_ways)
    with pytest.raises(TypeError, match="'both_ways'"):
        df.DFApp().orchestration_trigger(context_name="context")(both_ways)
    with pytest.raises(TypeError, match="partial"):
        df.Orchestrator.create(functools.partial(both_ways))


def test_one_that_is_found_late_fails_the_instance() -> None:
    with pytest.raises(TypeError, match="'both_ways'"):
        run(lambda context: both_ways(context))

    outcome = OrchestrationSession(lambda context: both_ways(context), instance_id="i").advance(STARTED).outcome

    assert isinstance(outcome, Raised)
    assert "asynchronous generator" in outcome.error


def test_code_that_is_never_started_is_closed() -> None:
    history = [event(12)]

    with pytest.raises(Exception, match="received History array of size 1"):
        run(shop, history=history)
