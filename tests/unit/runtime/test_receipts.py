"""What a dead worker had in hand, given back by its successor."""

import asyncio

import pytest

from taskhub import Worker
from taskhub.model.ids import WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime.receipts import Receipt
from taskhub.simulation.process import MemoryReceipts
from tests.support.virtual_hub import VirtualHub


async def slow(value):
    await asyncio.sleep(1)
    return value


def two(context):
    first = yield context.call_activity("slow", 1)
    return first + (yield context.call_activity("slow", 2))


def start_worker(hub, name, kept):
    """Start a worker that finds and keeps its receipts in ``kept``."""
    process = hub.process(name)
    worker = Worker(
        process.storage,
        hub.settings,
        hub.app,
        worker_id=WorkerId("worker"),
        environment=process.environment,
        receipts=None if kept is None else MemoryReceipts(process, kept),
    )
    process.spawn(worker.run(asyncio.Event()), name="run")
    return process


async def in_the_middle(hub):
    while not hub.app.runs:
        await hub.sleep(0.01)
    await hub.sleep(0.5)


@pytest.mark.parametrize(("has_receipts", "low", "high"), [(True, 2, 5), (False, 50, 100)])
def test_a_worker_that_comes_back_goes_on_at_once_with_what_it_had(has_receipts, low, high):
    async def play(hub):
        kept = {} if has_receipts else None
        first = start_worker(hub, "first", kept)
        instance_id = await hub.start("two")
        await in_the_middle(hub)
        first.kill()
        killed_at = hub.seconds
        start_worker(hub, "second", kept)
        state = await hub.end(instance_id)
        await hub.sleep(1)
        return state, hub.seconds - killed_at - 1, kept

    state, seconds, kept = VirtualHub({"two": two}, {"slow": slow}).run(play)

    assert (state.status, state.output) == (RuntimeStatus.Completed, "3")
    assert low <= seconds <= high
    assert not kept


def test_receipts_that_others_have_made_void_do_no_harm():
    async def play(hub):
        kept = {"gone": Receipt(hub.names.control_queue(0), "gone", "r"), "lost": Receipt("no-queue", "lost", "r")}
        start_worker(hub, "worker", kept)
        state = await hub.end(await hub.start("two"))
        await hub.sleep(1)
        return state.status, kept

    assert VirtualHub({"two": two}, {"slow": slow}).run(play) == (RuntimeStatus.Completed, {})


def test_a_message_that_another_worker_has_by_now_stays_with_it():
    """The first worker was away for longer than its messages were hidden."""

    async def play(hub):
        kept = {}
        first = start_worker(hub, "first", kept)
        instance_id = await hub.start("two")
        await in_the_middle(hub)
        first.kill()
        await hub.worker("other")
        state = await hub.end(instance_id, within=120)
        start_worker(hub, "second", kept)
        await hub.sleep(20)
        return state.output, sum(hub.app.runs.values()), kept

    output, runs, kept = VirtualHub({"two": two}, {"slow": slow}).run(play)

    assert (output, runs) == ("3", 3)
    assert not kept
