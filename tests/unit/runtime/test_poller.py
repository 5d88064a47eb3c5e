import asyncio

import pytest

from taskhub import TaskHubSettings
from taskhub.runtime.poller import Poller, Wakeups
from taskhub.simulation.world import World


def poller_in(world):
    return Poller.of(world.process("reader").environment, TaskHubSettings())


async def seconds_of(world, wait):
    begin = world.loop.time()
    await wait
    return world.loop.time() - begin


def test_a_reader_looks_at_once_when_it_begins_and_ever_more_rarely_afterwards():
    world = World()
    poller = poller_in(world)

    async def main():
        waits = [await seconds_of(world, poller.wait())]
        for _ in range(14):
            poller.found(0, limit=32)
            waits.append(await seconds_of(world, poller.wait()))
        return waits

    waits = world.run(main())

    assert waits[0] == pytest.approx(0, abs=1e-4)
    assert waits[1] == pytest.approx(0.05, abs=1e-4)
    assert waits == sorted(waits)
    assert waits[-1] == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize(("found", "expected"), [(32, 0.0), (5, 0.05)])
def test_a_full_read_is_followed_by_another_at_once(found, expected):
    world = World()
    poller = poller_in(world)
    poller.found(found, limit=32)

    assert world.run(seconds_of(world, poller.wait())) == pytest.approx(expected, abs=1e-4)


def test_waking_ends_a_wait_at_once():
    world = World()
    poller = poller_in(world)

    async def main():
        for _ in range(20):
            poller.found(0, limit=32)
        world.loop.call_later(2, poller.wake)
        return await seconds_of(world, poller.wait())

    assert world.run(main()) == pytest.approx(2, abs=1e-3)


def test_a_message_that_is_put_hidden_wakes_its_reader_when_it_becomes_visible():
    world = World()
    poller = poller_in(world)

    async def main():
        for _ in range(20):
            poller.found(0, limit=32)
        poller.wake(9)
        world.loop.call_later(1, poller.wake, 3)
        first = await seconds_of(world, poller.wait())
        for _ in range(20):
            poller.found(0, limit=32)
        second = await seconds_of(world, poller.wait())
        return first, second

    first, second = world.run(main())

    assert first == pytest.approx(4, abs=0.1)
    assert first + second == pytest.approx(9, abs=0.1)


def test_a_wake_before_the_wait_is_not_lost():
    world = World()
    poller = poller_in(world)
    for _ in range(20):
        poller.found(0, limit=32)
    poller.wake()

    assert world.run(seconds_of(world, poller.wait())) == pytest.approx(0, abs=1e-4)


def test_only_the_reader_of_a_queue_is_woken():
    woken = []

    class Reader:
        def wake(self, after_seconds):
            woken.append(after_seconds)

    wakeups, reader = Wakeups(), Reader()
    wakeups.register("a", reader)

    wakeups.wake("a", 3.0)
    wakeups.wake("b")
    wakeups.forget("a", reader)
    wakeups.wake("a")

    assert woken == [3.0]


def test_a_reader_that_ends_late_does_not_take_the_wake_ups_of_the_next():
    world, wakeups = World(), Wakeups()
    old, new = poller_in(world), poller_in(world)
    wakeups.register("a", old)
    wakeups.register("a", new)

    wakeups.forget("a", old)
    for _ in range(20):
        new.found(0, limit=32)
    wakeups.wake("a")

    assert world.run(seconds_of(world, new.wait())) == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize(("took", "rest"), [(0.0, 0.0), (0.03, 0.03), (5.0, 0.1)])
def test_a_reader_of_a_busy_store_rests_as_long_as_it_read(took, rest):
    world = World()
    poller = poller_in(world)

    async def main():
        await poller.wait()
        await asyncio.sleep(took)
        poller.found(1, limit=32)
        poller.wake()
        return await seconds_of(world, poller.wait())

    assert world.run(main()) == pytest.approx(rest, abs=1e-3)


def test_what_is_put_while_a_reader_rests_needs_no_read_of_its_own():
    world = World()
    poller = poller_in(world)

    async def main():
        await poller.wait()
        await asyncio.sleep(0.05)
        poller.found(1, limit=32)
        for moment in (0.0, 0.01, 0.02):
            world.loop.call_later(moment, poller.wake)
        await poller.wait()
        await asyncio.sleep(0.05)
        poller.found(3, limit=32)
        return await seconds_of(world, poller.wait())

    assert world.run(main()) == pytest.approx(0.05, abs=1e-3)
