"""The skeleton makes the calls that the worker makes: no yardstick if it made fewer or more."""

import json
from collections import Counter

import pytest

from benchmarks import calls
from benchmarks.skeleton import Skeleton
from taskhub.storage.counting import CallCounter
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub

HUB = "Skeleton"


def counted(play, **settings):
    hub, counter = VirtualHub(app=PlainApplication(calls.ORCHESTRATORS, calls.ACTIVITIES), **settings), CallCounter()
    hub.run(lambda hub: play(hub, counter))
    return counter.counts


def of_worker(name, given, *, is_warm):
    """Count what a worker does for an instance that a client in its process starts.

    Args:
        name: of the orchestrator.
        given: its input.
        is_warm: whether its activities are known to be quick.
    """

    async def play(hub, counter):
        running = await hub.worker(wrap=counter.wrap)
        if is_warm:
            await hub.end(await running.worker.client.start(name, input=json.dumps(given)))
        await hub.sleep(calls.SETTLE_SECONDS)
        counter.counts.clear()
        await hub.end(await running.worker.client.start(name, input=json.dumps(given)))
        await hub.sleep(0.5)

    return counted(play, max_concurrent_activities=100)


def of_skeleton(method, *arguments):
    async def play(hub, counter):
        skeleton = Skeleton(hub.process("skeleton", wrap=counter.wrap).storage, HUB)
        await skeleton.create()
        counter.counts.clear()
        await getattr(skeleton, method)(*arguments)
        await skeleton.settle()

    return counted(play)


@pytest.mark.parametrize(
    ("name", "given", "method", "arguments"),
    [("hello", None, "hello", ()), ("fan_out", 100, "fan_out", (100,)), ("fan_out", 10, "fan_out", (10,))],
)
def test_calls_are_those_of_a_worker_with_all_shortcuts(name, given, method, arguments):
    assert of_skeleton(method, *arguments) == of_worker(name, given, is_warm=name == "hello")


def test_many_hellos_are_so_many_times_one():
    async def play(hub, counter):
        skeleton = Skeleton(hub.process("skeleton", wrap=counter.wrap).storage, HUB)
        await skeleton.create()
        counter.counts.clear()
        await skeleton.hellos(7, parallel=3)

    assert counted(play) == Counter({kind: 7 * count for kind, count in of_skeleton("hello").items()})
