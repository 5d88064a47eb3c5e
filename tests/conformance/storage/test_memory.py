"""What only the memory store promises: simulations stand on it."""

import asyncio
import random
import uuid
from datetime import datetime, timedelta, timezone

from taskhub.storage.memory import MemoryAccount, open_memory
from taskhub.storage.port import Row, TableWrite, Write

START = datetime(2026, 1, 1, tzinfo=timezone.utc)


async def a_run(seed):
    """Do a bit of everything; return all that the store answered."""
    drawn = random.Random(seed)
    clock = [START]
    storage = open_memory(now=lambda: clock[0], new_guid=lambda: uuid.UUID(int=drawn.getrandbits(128), version=4))
    answers = [await storage.queues.create_queue("q"), await storage.tables.create_table("T")]
    for number in range(50):
        clock[0] += timedelta(seconds=drawn.random())
        answers.append(await storage.queues.put("q", str(number), visible_after=drawn.randrange(3)))
        answers.append(await storage.queues.get("q", limit=2, invisible_for=1))
        answers.append(
            await storage.tables.write("T", TableWrite(Write.INSERT_OR_MERGE, Row("p", str(number % 7), {"N": number})))
        )
        answers.append(await storage.tables.query("T", top=3))
    await storage.blobs.create_container("c")
    answers.append(await storage.blobs.put_blob("c", "b", b"x"))
    return repr(answers)


async def test_one_seed_gives_one_run():
    runs = [await a_run(5), await a_run(5)]

    assert runs[0] == runs[1]
    assert runs[0] != await a_run(6)


async def test_every_call_lets_other_tasks_run_once_and_then_acts_at_once():
    storage = open_memory(now=lambda: START)
    await storage.queues.create_queue("q")
    order = []

    async def caller(name):
        order.append(f"{name} asks")
        await storage.queues.put("q", name)
        order.append(f"{name} has")

    await asyncio.gather(caller("a"), caller("b"))

    assert order == ["a asks", "b asks", "a has", "b has"]


async def test_a_call_that_is_cancelled_before_it_acts_leaves_no_trace():
    storage = open_memory(now=lambda: START)
    await storage.queues.create_queue("q")
    call = asyncio.ensure_future(storage.queues.put("q", "x"))
    await asyncio.sleep(0)

    call.cancel()
    await asyncio.gather(call, return_exceptions=True)

    assert call.cancelled()
    assert await storage.queues.count("q") == 0


async def test_processes_share_an_account():
    account = MemoryAccount(lambda: START)
    first, second = (open_memory(now=account.now, account=account) for _ in range(2))

    await first.queues.create_queue("q")
    await first.queues.put("q", "x")
    await first.aclose()
    [message] = await second.queues.get("q", limit=1, invisible_for=1)

    assert message.text == "x"


async def test_a_message_that_is_renewed_for_ever_does_not_fill_the_memory():
    clock = [START]
    account = MemoryAccount(lambda: clock[0])
    storage = open_memory(now=account.now, account=account)
    await storage.queues.create_queue("q")
    held = await storage.queues.put("q", "x", visible_after=60)

    for _ in range(1_000):
        clock[0] += timedelta(seconds=30)
        held = await storage.queues.update("q", held.id, held.receipt, visible_after=60)
        assert await storage.queues.get("q", limit=32, invisible_for=60) == []

    assert len(account.queues["q"].due) < 10
