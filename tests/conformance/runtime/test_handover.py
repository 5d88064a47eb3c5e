"""Two workers on every store: steal, drain, expiry (storage.md 10.10), and both queue encodings (10.13)."""

import asyncio
import base64
import json

from taskhub import TaskHubClient, TaskHubSettings
from taskhub.codec.lease_rows import decode_lease
from taskhub.model.ids import InstanceId
from taskhub.storage.interception import intercepted
from tests.support.mortal import Mortal
from tests.support.real_hub import PATIENCE_SECONDS, RealHub

LEASES = {"lease_interval_seconds": 3.0, "lease_round_seconds": 0.3, "fence_margin_seconds": 0.3}


def stepping(context):
    """Wait for an event and do something, again and again."""
    total = 0
    for _ in range(4):
        number = yield context.wait_for_external_event("go")
        total += yield context.call_activity("echo", number)
    return total


async def slow(value):
    await asyncio.sleep(0.1)
    return value


def a_hub(storage):
    return RealHub(
        storage,
        {"stepping": stepping},
        {"echo": slow},
        control_queue_visibility_seconds=3,
        work_item_visibility_seconds=3,
        **LEASES,
    )


async def owners(hub):
    """Return who owns each partition now."""
    page = await hub.storage.tables.query(hub.names.partitions_table)
    return [decode_lease(row.row_key, row.columns, row.etag).owner for row in page.rows]


async def until_owned(hub, *shares):
    """Wait until the partitions are shared so."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        found = [owner for owner in await owners(hub) if owner]
        counts = sorted(found.count(owner) for owner in set(found))
        if counts == sorted(shares):
            return
        assert loop.time() < deadline, found
        await asyncio.sleep(0.05)


async def push(hub, names, number):
    """Let every instance make a step."""
    for name in names:
        await hub.client.raise_event(InstanceId(name), "go", str(number))


async def test_partitions_are_stolen_drained_and_given_back_while_instances_run(any_storage):
    hub = a_hub(any_storage)
    names = [f"i-{number}" for number in range(8)]
    async with hub.working(worker_id="first"):
        await until_owned(hub, 4)
        for name in names:
            await hub.start("stepping", instance_id=name)
        await push(hub, names, 1)
        async with hub.working(worker_id="second"):
            await push(hub, names, 10)
            await until_owned(hub, 2, 2)
            await push(hub, names, 100)
        await until_owned(hub, 4)
        await push(hub, names, 1000)
        states = [await hub.end(name) for name in names]

    assert [state.output for state in states] == ["1111"] * len(names)


async def test_what_a_dead_worker_owned_is_claimed_when_its_leases_expire(any_storage):
    hub = a_hub(any_storage)
    names = [f"i-{number}" for number in range(8)]
    mortal = Mortal(any_storage)
    loop = asyncio.get_running_loop()
    async with hub.working(worker_id="dead", process=mortal):
        await until_owned(hub, 4)
        for name in names:
            await hub.start("stepping", instance_id=name)
        await push(hub, names, 1)
        mortal.die()
        await mortal.buried()
    died = loop.time()
    async with hub.working(worker_id="heir"):
        await until_owned(hub, 4)
        assert set(await owners(hub)) == {"heir"}
        waited = loop.time() - died
        for number in (10, 100, 1000):
            await push(hub, names, number)
        states = [await hub.end(name) for name in names]

    assert [state.output for state in states] == ["1111"] * len(names)
    assert waited > 1, "the leases of the dead worker were not waited for"


async def test_messages_in_both_encodings_lie_in_one_queue(any_storage):
    hub = a_hub(any_storage)
    texts = []

    async def note(call, act):
        if (call.service, call.method) == ("queue", "put"):
            texts.append(call.arguments[0])
        return await act()

    watched = intercepted(any_storage, note)
    clients = [
        TaskHubClient(watched, TaskHubSettings(hub_name=hub.settings.hub_name, base64_messages=base64_messages))
        for base64_messages in (False, True)
    ]
    await clients[0].start("stepping", instance_id=InstanceId("i"))
    for index, number in enumerate((1, 10, 100, 1000)):
        await clients[index % 2].raise_event(InstanceId("i"), "go", str(number))
    async with hub.working():
        state = await hub.end("i")

    assert state.output == "1111"
    plain = [text for text in texts if text.startswith("{")]
    encoded = [json.loads(base64.b64decode(text, validate=True)) for text in texts if text not in plain]
    assert (len(plain), len(encoded)) == (3, 2)
