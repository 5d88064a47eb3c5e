import asyncio

import pytest

from taskhub.runtime.nursery import Nursery, run_all


def spawn(coro, *, name):
    return asyncio.get_running_loop().create_task(coro, name=name)


async def forever(ended):
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("cancelled")


async def fail():
    raise ValueError("boom")


async def block(*children, body=None):
    """Start children in a nursery and do something beside them."""
    async with Nursery(spawn) as nursery:
        for child in children:
            nursery.start(child, name="child")
        if body is not None:
            await body


async def test_the_block_ends_when_all_children_have_ended():
    done = []

    async def work(number):
        await asyncio.sleep(0)
        done.append(number)

    async with Nursery(spawn) as nursery:
        for number in range(3):
            nursery.start(work(number), name="work")

    assert done == [0, 1, 2]


async def test_the_first_failure_cancels_the_others_and_the_block():
    ended = []

    with pytest.raises(ValueError, match="boom"):
        await block(forever(ended), fail(), body=asyncio.Event().wait())

    assert ended == ["cancelled"]


async def test_a_failure_while_the_block_waits_for_its_children_is_raised():
    ended = []

    with pytest.raises(ValueError, match="boom"):
        await block(forever(ended), fail())

    assert ended == ["cancelled"]


async def test_an_error_of_the_block_cancels_the_children_and_is_raised():
    ended = []

    async def body():
        await asyncio.sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        await block(forever(ended), body=body())

    assert ended == ["cancelled"]


async def test_cancelling_the_parent_cancels_the_children_first():
    ended = []

    task = asyncio.ensure_future(block(forever(ended)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]


async def test_a_parent_that_caught_a_child_s_failure_can_wait_again():
    with pytest.raises(ValueError, match="boom"):
        await block(fail(), body=asyncio.Event().wait())

    await asyncio.wait_for(asyncio.sleep(0), timeout=1)


async def test_calls_run_at_most_so_many_at_once_and_answer_in_order():
    running = peak = 0

    async def call(number):
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await asyncio.sleep(0)
        running -= 1
        return number * number

    results = await run_all(spawn, [lambda n=n: call(n) for n in range(10)], limit=3, name="call")

    assert results == [n * n for n in range(10)]
    assert peak == 3


@pytest.mark.parametrize("count", [0, 1, 4])
async def test_any_number_of_calls_may_be_run(count):
    async def call():
        return "x"

    assert await run_all(spawn, [call] * count, limit=2, name="call") == ["x"] * count


async def test_the_first_call_that_fails_ends_the_others():
    ended = []

    with pytest.raises(ValueError, match="boom"):
        await run_all(spawn, [lambda: forever(ended), fail], limit=2, name="call")

    assert ended == ["cancelled"]
