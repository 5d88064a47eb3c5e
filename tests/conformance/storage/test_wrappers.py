"""Counting and fault injection, over the memory store."""

import asyncio
import random
from collections import Counter
from datetime import datetime, timezone

import pytest

from taskhub.errors import MessageGone, RowExists, TransientStorageError
from taskhub.storage.counting import CallCounter
from taskhub.storage.faults import NO_FAULTS, FaultInjector, FaultRates
from taskhub.storage.memory import open_memory
from taskhub.storage.port import Row, TableWrite, Write

LEASE = "3f753f26-0000-0000-0000-000000000000"


@pytest.fixture
def memory():
    now = datetime(2026, 1, 1, tzinfo=timezone.utc)
    return open_memory(now=lambda: now)


def insert(row_key="r"):
    return TableWrite(Write.INSERT, Row("p", row_key, {}))


# ---- counting


async def test_every_call_counts_under_the_kind_of_the_recordings(memory):
    counter = CallCounter()
    storage = counter.wrap(memory)
    queues, tables, blobs = storage.queues, storage.tables, storage.blobs

    await queues.create_queue("hub-control-00")
    await queues.create_queue("hub-workitems")
    put = await queues.put("hub-control-00", "x")
    [message] = await queues.get("hub-control-00", limit=32, invisible_for=1)
    await queues.get("hub-workitems", limit=1, invisible_for=1)
    updated = await queues.update("hub-control-00", put.id, message.receipt, visible_after=1)
    await queues.delete("hub-control-00", put.id, updated.receipt)
    await tables.create_table("HubHistory")
    await tables.create_table("HubHistory")
    await tables.batch("HubHistory", [insert("1"), insert("2")])
    await tables.create_table("HubInstances")
    for kind in (
        Write.INSERT,
        Write.REPLACE,
        Write.MERGE,
        Write.INSERT_OR_REPLACE,
        Write.INSERT_OR_MERGE,
        Write.DELETE,
    ):
        await tables.write("HubInstances", TableWrite(kind, Row("p", "", {})))
    await tables.query("HubInstances")
    await blobs.create_container("hub-applease")
    await blobs.create_container("hub-applease")
    await blobs.acquire_lease("hub-applease", None, lease_id=LEASE, seconds=60)
    await blobs.put_blob("hub-applease", "hub-appleaseinfo", b"{}", overwrite=False)
    await blobs.lease_state("hub-applease", "hub-appleaseinfo")
    await blobs.get_blob("hub-applease", "hub-appleaseinfo")
    await blobs.list_blobs("hub-largemessages", "x/")
    await queues.list_queues("hub-")

    assert counter.counts == {
        "queue.put.admin control": 1,
        "queue.put.admin workitems": 1,
        "queue.put control": 1,
        "queue.get full control": 1,
        "queue.get empty workitems": 1,
        "queue.update_message control": 1,
        "queue.delete_message control": 1,
        "table.post.admin History": 1,
        "table.post.admin History -> 409": 1,
        "table.batch History": 1,
        "table.post.admin Instances": 1,
        "table.post Instances": 1,
        "table.put Instances": 2,
        "table.patch Instances": 2,
        "table.delete Instances": 1,
        "table.query Instances": 1,
        "blob.put applease": 2,
        "blob.put applease -> 409": 1,
        "blob.put.lease applease": 1,
        "blob.head applease": 1,
        "blob.get applease": 1,
        "blob.get.list largemessages": 1,
        "queue.get.list hub-": 1,
    }
    assert counter.total == 26
    assert counter.matching("queue.get empty") == 1


async def test_a_refused_call_counts_with_its_status(memory):
    counter = CallCounter()
    storage = counter.wrap(memory)
    await memory.tables.create_table("HubPartitions")
    await memory.tables.write("HubPartitions", insert())

    with pytest.raises(RowExists):
        await storage.tables.write("HubPartitions", insert())
    await storage.tables.read("HubPartitions", "p", "absent")

    assert counter.counts == {"table.post Partitions -> 409": 1, "table.get Partitions -> 404": 1}


async def test_several_stores_may_be_counted_together_and_closing_goes_through(memory):
    counter = CallCounter()
    first, second = counter.wrap(memory), counter.wrap(memory)

    await first.queues.create_queue("hub-workitems")
    await second.queues.put("hub-workitems", "x")
    await first.aclose()

    assert counter.total == 2
    assert first.blobs.url_of("c", "b") == memory.blobs.url_of("c", "b")
    assert first.description == memory.description


# ---- faults


def faulty(memory, *, seed=1, **rates):
    slept = []

    async def sleep(seconds):
        slept.append(seconds)
        await asyncio.sleep(0)

    injector = FaultInjector(FaultRates(**rates), random.Random(seed), sleep)
    return injector.wrap(memory), injector, slept


@pytest.fixture
async def filled(memory):
    await memory.queues.create_queue("q")
    await memory.tables.create_table("T")
    return memory


async def test_a_call_that_fails_before_it_acts_leaves_no_trace(filled):
    storage, injector, _ = faulty(filled, fail_before=1.0)

    with pytest.raises(TransientStorageError, match="put on q failed before it acted"):
        await storage.queues.put("q", "x")

    assert await filled.queues.count("q") == 0
    assert injector.injected == {"fail_before": 1}


async def test_a_throttled_call_leaves_no_trace(filled):
    storage, injector, _ = faulty(filled, throttle=1.0)

    with pytest.raises(TransientStorageError, match="throttled"):
        await storage.tables.batch("T", [insert("1"), insert("2")])

    assert (await filled.tables.query("T")).rows == []
    assert injector.injected == {"throttle": 1}


async def test_a_call_whose_reply_is_lost_has_acted(filled):
    storage, injector, _ = faulty(filled, lose_reply=1.0)

    with pytest.raises(TransientStorageError, match="reply"):
        await storage.tables.batch("T", [insert("1"), insert("2")])
    with pytest.raises(TransientStorageError, match="reply"):  # the store's own refusal is lost as well
        await storage.tables.write("T", insert("1"))

    assert [row.row_key for row in (await filled.tables.query("T")).rows] == ["1", "2"]
    assert injector.injected == {"lose_reply": 2}


async def test_a_call_that_acts_twice_answers_for_the_second_time(filled):
    storage, injector, _ = faulty(filled, act_twice=1.0)

    await storage.queues.put("q", "x")
    [first, second] = await filled.queues.get("q", limit=32, invisible_for=1)
    with pytest.raises(MessageGone):
        await storage.queues.delete("q", first.id, first.receipt)
    with pytest.raises(RowExists):
        await storage.tables.write("T", insert())

    assert first.text == second.text == "x"
    assert await filled.queues.count("q") == 1
    assert await filled.tables.read("T", "p", "r") is not None
    assert injector.injected == {"act_twice": 3}


async def test_a_late_call_is_late_before_or_after_it_acts(filled):
    storage, injector, slept = faulty(filled, delay=1.0, max_delay_seconds=3.0)

    for _ in range(40):
        await storage.queues.put("q", "x")
    with pytest.raises(MessageGone):
        await storage.queues.delete("q", "absent", "1")

    assert len(slept) == 41
    assert 0 <= min(slept) < 1 < 2 < max(slept) <= 3
    assert await filled.queues.count("q") == 40
    assert injector.injected == {"delay": 41}


async def test_faults_strike_as_often_as_asked_and_the_same_seed_repeats_them(filled):
    rates = {"fail_before": 0.1, "lose_reply": 0.1, "act_twice": 0.1, "delay": 0.1, "throttle": 0.1}
    runs = []
    for _ in range(2):
        storage, injector, _ = faulty(filled, seed=7, **rates)
        for _ in range(2_000):
            await asyncio.gather(storage.queues.count("q"), return_exceptions=True)
        runs.append(Counter(injector.injected))

    assert runs[0] == runs[1]
    assert all(150 < runs[0][name] < 250 for name in rates)
    assert runs[0].total() == 2_000


async def test_faults_can_be_called_off(filled):
    storage, injector, _ = faulty(filled, fail_before=1.0)

    injector.rates = NO_FAULTS
    await storage.queues.put("q", "x")

    assert await filled.queues.count("q") == 1
    assert injector.injected == {"none": 1}


@pytest.mark.parametrize("rates", [{"delay": -0.1}, {"delay": 0.6, "throttle": 0.6}])
def test_rates_are_shares_of_all_calls(rates):
    with pytest.raises(ValueError, match="together at most 1"):
        FaultRates(**rates)
