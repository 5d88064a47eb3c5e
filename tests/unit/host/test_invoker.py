"""How the invoker ends: what user code left open on its loop, and what still runs."""

import asyncio
import io
import threading
from pathlib import Path

import pytest
from azure.functions.meta import Datum

from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.console import Console
from taskhub.host.functions import Function
from taskhub.host.invoker import InvocationFailed, Invoker

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")


def activity(call):
    return plan_call(
        Function(call.__name__, call, read_bindings([{"name": "value", "type": "activityTrigger"}]), Path())
    )


async def invoke(invoker, call):
    return await invoker.invoke(activity(call), {"value": Datum("null", "json")}, reason="test")


async def test_generators_that_user_code_keeps_open_are_closed_on_their_own_loop():
    kept, loops = [], []

    async def lifetime():
        try:
            yield
        finally:
            loops.append(asyncio.get_running_loop())

    async def opens(value):
        kept.append(lifetime())
        await kept[0].__anext__()
        loops.append(asyncio.get_running_loop())

    invoker = Invoker(Console(io.StringIO()))
    await invoke(invoker, opens)

    await invoker.aclose(grace_seconds=1)

    assert len(loops) == 2
    assert loops[0] is loops[1]
    assert loops[0].is_closed()
    assert not invoker.is_busy


async def test_a_coroutine_function_that_outlives_the_grace_period_is_cancelled():
    began, cancelled = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def waits(value):
        loop.call_soon_threadsafe(began.set)
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    invoker = Invoker(Console(io.StringIO()))
    waiting = asyncio.create_task(invoke(invoker, waits))
    await began.wait()

    await invoker.aclose(grace_seconds=0.01)

    assert cancelled.is_set()
    assert invoker.is_busy, "what it called may still run in a thread, which the interpreter would wait for"
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_coroutine_function_that_blocks_does_not_hold_up_the_end():
    began, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    async def blocks(value):
        loop.call_soon_threadsafe(began.set)
        release.wait()
        raise ValueError("released")

    invoker = Invoker(Console(io.StringIO()), loop_end_seconds=0.01)
    waiting = asyncio.create_task(invoke(invoker, blocks))
    await began.wait()

    await invoker.aclose(grace_seconds=0.01)

    assert invoker.is_busy
    release.set()
    with pytest.raises((InvocationFailed, asyncio.CancelledError)):
        await waiting


async def test_a_function_that_takes_too_long_fails_and_a_plain_one_goes_on_where_it_is():
    release, ended = threading.Event(), threading.Event()

    def slow(value):
        release.wait()
        ended.set()

    invoker = Invoker(Console(io.StringIO()), timeout_seconds=0.01)

    with pytest.raises(
        InvocationFailed, match=r"Timeout value of 0:00:00.01\d* was exceeded by function: Functions.slow"
    ):
        await invoke(invoker, slow)

    assert invoker.is_busy
    release.set()
    await asyncio.to_thread(ended.wait)
    await invoker.aclose(grace_seconds=5)


async def test_a_coroutine_function_that_takes_too_long_is_cancelled():
    cancelled = threading.Event()

    async def slow(value):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    invoker = Invoker(Console(io.StringIO()), timeout_seconds=0.01)

    with pytest.raises(InvocationFailed, match="Timeout"):
        await invoke(invoker, slow)

    await asyncio.to_thread(cancelled.wait)
    await invoker.aclose(grace_seconds=5)
    assert not invoker.is_busy


async def test_a_timeout_error_of_user_code_is_its_own():
    async def gives_up(value):
        raise asyncio.TimeoutError("no answer from the bank")

    invoker = Invoker(Console(io.StringIO()), timeout_seconds=60)

    with pytest.raises(InvocationFailed, match="TimeoutError: no answer from the bank"):
        await invoke(invoker, gives_up)

    await invoker.aclose(grace_seconds=1)


async def test_an_invocation_is_announced_before_its_code_says_anything():
    written = io.StringIO()
    console = Console(written)
    invoker = Invoker(console)

    def says(value):
        console.plain("says")

    await invoke(invoker, says)
    await invoker.aclose(grace_seconds=1)

    announced, said, ended = written.getvalue().splitlines()
    assert "Executing 'Functions.says'" in announced
    assert said == "says"
    assert "Executed 'Functions.says' (Succeeded" in ended
