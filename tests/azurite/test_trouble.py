"""A worker and a client on a real emulator, behind a network and a service that fail."""

import asyncio
import contextlib
import json
import logging
import time

import azure.durable_functions as df
import pytest

from taskhub import TransientStorageError
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.azure import open_azure
from tests.simulation.checks import check_at_rest
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub
from tests.support.troubled_azurite import Trouble, troubled

pytestmark = [pytest.mark.azurite, pytest.mark.timeout(120)]


async def opened(stack, connection_string):
    """Open a store, which is closed with the stack."""
    storage = await open_azure(connection_string=connection_string)
    stack.push_async_callback(storage.aclose)
    return storage


LARGE = "x" * 50_000


def everything(context):
    first = yield context.call_activity("add", 1)
    squares = yield context.task_all([context.call_activity("add", number) for number in (10, 20, 30)])
    child = yield context.call_sub_orchestrator("child", 5)
    counted = yield context.call_entity(df.EntityId("counter", context.instance_id), "add", LARGE)
    event = yield context.wait_for_external_event("go")
    return [first, squares, child, counted, event]


def child(context):
    return (yield context.call_activity("add", context.get_input()))


def counter(context):
    added = [*context.get_state(list), context.get_input()]
    context.set_state(added)
    context.set_result(len(added))


RATES = {"busy": 0.02, "broken": 0.02, "cut_before": 0.02, "cut_after": 0.02, "slow": 0.05}


async def test_nothing_is_lost_and_nothing_done_twice_behind_a_bad_network(azurite, caplog):
    trouble = Trouble(7, RATES)
    async with troubled(azurite, trouble) as connection_string, contextlib.AsyncExitStack() as stack:
        storage = await opened(stack, connection_string)
        calm = await opened(stack, azurite)
        hub = RealHub(
            storage,
            {"everything": everything, "child": child},
            {"add": lambda number: number + 1},
            control_queue_visibility_seconds=5,
            work_item_visibility_seconds=5,
        )
        hub.app.entities = {"counter": counter}
        names = [f"i-{number}" for number in range(6)]
        with caplog.at_level(logging.ERROR):
            async with hub.working():
                for name in names:
                    await hub.start("everything", instance_id=name)
                for name in names:
                    await hub.client.raise_event(InstanceId(name), "go", "7")
                states = [await hub.client.wait(InstanceId(name), timeout_seconds=60) for name in names]
                trouble.rates.clear()
                await at_rest(calm, hub)
        left = await read_hub(calm, hub.names, partition_count=4)

    assert {state.status for state in states} == {RuntimeStatus.Completed}
    assert [json.loads(state.output) for state in states] == [[2, [11, 21, 31], 6, 1, 7]] * len(names)
    check_at_rest(left)
    assert all(trouble.struck[kind] for kind in RATES), trouble.struck
    assert [record.getMessage() for record in caplog.records if record.name.startswith("taskhub")] == []


async def at_rest(storage, hub):
    """Wait until nothing is in the queues; what was in hand when a reply got lost comes back after seconds."""
    deadline = time.monotonic() + 40
    queues = [hub.names.work_item_queue, *(hub.names.control_queue(index) for index in range(4))]
    while any([await storage.queues.count(queue) for queue in queues]):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)


async def test_each_kind_of_trouble_is_an_error_that_says_what_happened(azurite):
    """At one request of each service: its status, and how long to wait, where the service says so."""
    trouble = Trouble(0, {})
    async with troubled(azurite, trouble) as connection_string, contextlib.AsyncExitStack() as stack:
        storage = await opened(stack, connection_string)
        await storage.queues.create_queue("trouble-queue")
        await storage.tables.create_table("TroubleTable")
        await storage.blobs.create_container("trouble-container")
        calls = [
            lambda: storage.queues.put("trouble-queue", "text"),
            lambda: storage.queues.count("trouble-queue"),
            lambda: storage.tables.read("TroubleTable", "a", "b"),
            lambda: storage.tables.query("TroubleTable"),
            lambda: storage.blobs.put_blob("trouble-container", "name", b"data"),
            lambda: storage.blobs.list_blobs("trouble-container", ""),
        ]
        said = {}
        for kind in ("busy", "broken", "cut_before", "cut_after"):
            trouble.rates = {kind: 1.0}
            said[kind] = [await error_of(call) for call in calls]
        trouble.rates = {}
        await asyncio.gather(*(call() for call in calls))

    assert all("503 ServerBusy" in str(error) and error.retry_after_seconds == 1 for error in said["busy"])
    assert all("500" in str(error) and error.retry_after_seconds is None for error in said["broken"])
    for kind in ("cut_before", "cut_after"):
        assert all("could not be reached, or did not answer" in str(error) for error in said[kind])


async def error_of(call):
    with pytest.raises(TransientStorageError) as caught:
        await call()
    return caught.value


async def test_an_outage_of_the_real_service_is_told_once(azurite, caplog):
    trouble = Trouble(0, {})
    async with troubled(azurite, trouble) as connection_string, contextlib.AsyncExitStack() as stack:
        storage = await opened(stack, connection_string)
        hub = RealHub(storage, {"child": child}, {"add": lambda number: number + 1})
        with caplog.at_level(logging.WARNING):
            async with hub.working():
                await hub.start("child", 1, instance_id="before")
                await hub.end("before")
                trouble.rates = {"cut_before": 1.0}
                with pytest.raises(TransientStorageError):
                    await hub.start("child", 2, instance_id="meanwhile")
                await asyncio.sleep(3)
                trouble.rates = {}
                await hub.start("child", 3, instance_id="after")
                after = await hub.end("after")

    assert after.output == "4"
    told = [(record.service, record.event) for record in caplog.records if record.name == "taskhub.storage"]
    assert [event for _, event in told] == ["storage_trouble", "storage_back"], told
    assert "queue" in told[1][0]


@pytest.mark.parametrize("service", ["Queue", "Table"])
async def test_an_outage_of_one_real_service_is_told_while_the_others_answer(azurite, caplog, service):
    trouble = Trouble(0, {}, service=service)
    async with troubled(azurite, trouble) as connection_string, contextlib.AsyncExitStack() as stack:
        storage = await opened(stack, connection_string)
        hub = RealHub(storage, {"child": child}, {"add": lambda number: number + 1}, lease_round_seconds=0.5)
        with caplog.at_level(logging.WARNING):
            async with hub.working():
                await hub.start("child", 1, instance_id="before")
                await hub.end("before")
                trouble.rates = {"busy": 1.0}
                await told_of(caplog, "storage_trouble")
                trouble.rates = {}
                await told_of(caplog, "storage_back")
                await hub.start("child", 3, instance_id="after")
                after = await hub.end("after")

    assert after.output == "4"
    told = [(record.service, record.event) for record in caplog.records if record.name == "taskhub.storage"]
    assert told == [(service.lower(), "storage_trouble"), (service.lower(), "storage_back")]


async def told_of(caplog, event):
    """Wait until the log tells of an event."""
    deadline = time.monotonic() + 40
    while not any(getattr(record, "event", None) == event for record in caplog.records):
        assert time.monotonic() < deadline, event
        await asyncio.sleep(0.1)
