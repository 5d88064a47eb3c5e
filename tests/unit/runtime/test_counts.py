"""Storage transactions, counted: exactly, because time is virtual. Reads that found nothing and leases are left out."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from taskhub.settings import CLASSIC
from taskhub.storage.counting import CallCounter
from tests.support.recordings import GOLDEN
from tests.support.virtual_hub import VirtualHub

SEQUENCE_OF_THREE = {
    "queue.put control": 4,
    # Of the worker alone: the client made the id, so there is nothing to look for.
    "table.get Instances": 1,
    "table.post Instances": 1,
    "queue.get full control": 4,
    "table.query History": 1,
    "queue.put workitems": 3,
    "queue.get full workitems": 3,
    "table.batch History": 6,  # what it was told is stored ahead of what it asks for next
    "table.patch Instances": 4,
    "queue.delete_message workitems": 3,
    "queue.delete_message control": 4,
}
TIMER = {
    "queue.put control": 2,
    "table.get Instances": 1,
    "table.post Instances": 1,
    "queue.get full control": 2,
    "table.query History": 1,
    "table.batch History": 2,
    "table.patch Instances": 2,
    "queue.delete_message control": 2,
}


def hello(context):
    for city in ("Tokyo", "Seattle", "London"):
        yield context.call_activity("echo", city)


def fan_out(context):
    yield context.task_all([context.call_activity("echo", n) for n in range(context.get_input())])


def sleeping(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=2))


def counts(name, given=None, **settings):
    """Run one instance; return the calls that worker and client made for it."""
    hub = VirtualHub(
        {"hello": hello, "fan_out": fan_out, "sleeping": sleeping},
        {"echo": lambda value: value},
        partition_count=1,
        **settings,
    )
    counter = CallCounter()

    async def main(hub):
        running = await hub.worker(wrap=counter.wrap)
        await hub.sleep(0.2)
        counter.counts.clear()
        # Through the worker's own client, which wakes it.
        instance_id = await running.worker.client.start(name, input=None if given is None else json.dumps(given))
        await hub.end(instance_id)
        await hub.sleep(1)

    hub.run(main)
    ignored = ("queue.get empty", "table.query Partitions", "table.batch Partitions", "blob.put.lease")
    return {kind: count for kind, count in counter.counts.items() if not kind.startswith(ignored)}


def recorded_work(scenario):
    """Return how many such calls the reference made."""
    measured = json.loads((GOLDEN / "storage" / scenario / "scenario.json").read_text())["counts_measured"]
    return sum(count for kind, count in measured.items() if "empty" not in kind)


@pytest.mark.parametrize(("name", "expected"), [("hello", SEQUENCE_OF_THREE), ("sleeping", TIMER)])
def test_a_warm_instance_costs_exactly(name, expected):
    assert counts(name, **CLASSIC | {"warm_sessions": True, "commit_before_messages": True}) == expected


def test_a_start_in_the_same_process_is_not_read_from_its_queue_and_its_row_is_known():
    assert counts("hello") == {
        "queue.put control": 1,
        "table.post Instances": 1,
        "queue.put workitems": 3,
        "table.batch History": 4,
        "table.patch Instances": 2,
        "queue.delete_message workitems": 3,
        "queue.delete_message control": 1,
    }


@pytest.mark.parametrize(
    ("name", "given", "scenario"),
    [("hello", None, "hello_sequence"), ("fan_out", 10, "fan_out_10"), ("sleeping", None, "timer")],
)
@pytest.mark.parametrize("warm", [True, False])
def test_no_instance_costs_more_than_with_the_reference(name, given, scenario, warm):
    ours = sum(counts(name, given, **CLASSIC | {"warm_sessions": warm, "commit_before_messages": warm}).values())

    assert ours <= recorded_work(scenario)
    if warm:
        assert ours < recorded_work(scenario)


def test_a_fan_out_is_stored_in_as_few_batches_as_its_answers_come_in():
    found = counts("fan_out", 100)

    assert found["queue.put workitems"] == 100
    assert found["table.batch History"] <= 2 + 10


def test_an_idle_minute_costs_less_than_the_reference_s():
    hub, counter = VirtualHub(), CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        await hub.sleep(300)
        counter.counts.clear()
        await hub.sleep(600)

    hub.run(main)

    # 42.4 a minute, of which 24 for four leases that it renews one by one.
    assert counter.total / 10 < 17
