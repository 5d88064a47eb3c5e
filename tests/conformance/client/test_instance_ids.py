"""Ids that storage cannot hold as they are: kept apart, run and purged. Those that it cannot hold at all: refused."""

import json

import pytest

from taskhub import InstanceNotFound, PayloadError
from taskhub.codec.keys import MAX_INSTANCE_ID_UNITS
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub

LARGE = "x" * 50_000

ODD_IDS = [
    "a/b",
    "a\\b",
    "/",
    "//a/",
    ".",
    "..",
    "../..",
    "a/../b",
    "a./b.",
    "a#b?c%41&d",
    "tab\tline\n",
    "\x00\x01\x7f\x85\x9f",
    "^^0^1",
    "\ufffe\uffff",
    'it\'s "quoted" <b>',
    "日" * MAX_INSTANCE_ID_UNITS,
    "\U0001f600" * (MAX_INSTANCE_ID_UNITS // 2),
    "#" * (MAX_INSTANCE_ID_UNITS // 2),
    "a" * MAX_INSTANCE_ID_UNITS,
]
TOO_LONG = [
    "a" * (MAX_INSTANCE_ID_UNITS + 1),
    "#" * (MAX_INSTANCE_ID_UNITS // 2) + "a",
    "日" * (MAX_INSTANCE_ID_UNITS + 1),
    "\U0001f600" * (MAX_INSTANCE_ID_UNITS // 2) + "a",
]
IMPOSSIBLE = [*TOO_LONG, "half \ud800 a pair"]


def echoing(context):
    return (yield context.call_activity("echo", context.get_input()))


async def test_an_odd_id_runs_with_large_values_and_is_purged_without_a_trace(any_storage):
    hub = RealHub(any_storage, {"echoing": echoing}, {"echo": lambda value: value}, max_concurrent_orchestrations=20)
    async with hub.working():
        for instance_id in ODD_IDS:
            await hub.start("echoing", LARGE, instance_id=instance_id)
        states = [await hub.end(instance_id) for instance_id in ODD_IDS]
        histories = [await hub.client.history(InstanceId(instance_id)) for instance_id in ODD_IDS]
    # What is left of each when all that come before it are gone: nobody's purge takes a neighbour's.
    whole = []
    for instance_id in ODD_IDS:
        state = await hub.client.get(InstanceId(instance_id))
        whole.append(LARGE in state.input and json.loads(state.output) == LARGE)
        await hub.client.purge(InstanceId(instance_id))
    left = await read_hub(any_storage, hub.names, partition_count=4)

    assert [state.instance_id for state in states] == ODD_IDS
    assert {state.status for state in states} == {RuntimeStatus.Completed}
    assert {len(events) for events in histories} == {8}
    assert all(whole)
    assert (left.history, left.instances, left.blobs) == ([], [], {})


@pytest.mark.parametrize("instance_id", IMPOSSIBLE, ids=lambda each: ascii(each[:12]))
async def test_an_impossible_id_is_refused_before_anything_is_stored(any_storage, instance_id):
    hub = RealHub(any_storage)
    client, instance_id = hub.client, InstanceId(instance_id)
    await client.create_hub()

    for refused in (
        lambda: hub.start("echoing", 1, instance_id=instance_id),
        lambda: client.raise_event(instance_id, "go", None),
        lambda: client.terminate(instance_id, None),
        lambda: client.suspend(instance_id, None),
        lambda: client.resume(instance_id, None),
        lambda: client.signal_entity(EntityId("counter", instance_id), "add"),
    ):
        with pytest.raises(PayloadError, match=f"may have {MAX_INSTANCE_ID_UNITS} characters|half a surrogate pair"):
            await refused()
    with pytest.raises(InstanceNotFound):
        await client.rewind(instance_id, None)
    assert await client.get(instance_id) is None
    assert await client.history(instance_id) == ()
    assert await client.purge(instance_id) == 0
    assert await client.read_entity(EntityId("counter", instance_id)) is None
    left = await read_hub(any_storage, hub.names, partition_count=4)
    assert not any(left.messages.values())


async def test_a_name_that_no_column_holds_is_refused(any_storage):
    hub = RealHub(any_storage)
    await hub.client.create_hub()

    for refused in ({"name": "n" * 32_769}, {"name": "N", "version": "v" * 32_769}):
        with pytest.raises(PayloadError, match=r"of an instance row has 32769 characters .* a column holds 32768"):
            await hub.client.start(**refused)
    left = await read_hub(any_storage, hub.names, partition_count=4)
    assert not any(left.messages.values())
    await hub.client.start("n" * 32_768, version="v" * 32_768)
