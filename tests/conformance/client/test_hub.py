"""A hub as a whole: what it tells of itself, and how it goes."""

import pytest

from taskhub import HubInUse
from taskhub.codec.documents import BlobLease, encode_blob_lease
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.real_hub import RealHub, parts_of

LARGE = "x" * 70_000
LEASE = "3f753f26-0000-0000-0000-000000000000"


def quick(context):
    return context.get_input()
    yield


def waiting(context):
    return (yield context.wait_for_external_event("go"))


CODE = {"quick": quick, "waiting": waiting}


async def test_a_hub_tells_its_owners_its_messages_and_its_instances(any_storage):
    hub = RealHub(any_storage, CODE)
    nothing = await hub.client.hub_status()
    async with hub.working(worker_id="worker-a"):
        for number in range(3):
            await hub.start("quick", number, instance_id=f"q-{number}")
            await hub.end(f"q-{number}")
        await hub.start("waiting", instance_id="w")
        await hub.running("w")
        at_work = await hub.client.hub_status()
    await hub.client.raise_event(InstanceId("w"), "go", None)
    await hub.client.raise_event(InstanceId("@counter@a"), "op", None)
    entity = Row("@counter@a", "", {"RuntimeStatus": "Running"})
    await any_storage.tables.write(hub.names.instances_table, TableWrite(Write.INSERT, entity))
    left = await hub.client.hub_status()

    assert (nothing.exists, nothing.partitions, nothing.work_items, nothing.entities) == (False, (), 0, 0)
    assert nothing.instances == {}
    assert at_work.workers == ("worker-a",)
    assert [each.is_held for each in at_work.partitions] == [True] * 4
    assert at_work.instances == {RuntimeStatus.Completed: 3, RuntimeStatus.Running: 1}
    assert (left.exists, left.workers, left.entities) == (True, (), 1)
    assert [each.queue for each in left.partitions] == [hub.names.control_queue(index) for index in range(4)]
    assert sum(each.messages for each in left.partitions) == 2


async def test_leases_in_blobs_are_seen_too(any_storage):
    hub = RealHub(any_storage)
    queue, container = hub.names.control_queue(0), hub.names.leases_container
    await any_storage.queues.create_queue(queue)
    await any_storage.blobs.create_container(container)
    text = encode_blob_lease(BlobLease(queue, WorkerId("dotnet"), LEASE, 1))
    await any_storage.blobs.put_blob(container, f"ownership/{queue}", text.encode())

    free = await hub.client.hub_status()
    await any_storage.blobs.acquire_lease(container, f"ownership/{queue}", lease_id=LEASE, seconds=60)
    held = await hub.client.hub_status()

    assert [(each.owner, each.is_held) for each in free.partitions] == [("dotnet", False)]
    assert held.workers == ("dotnet",)


async def test_a_deleted_hub_leaves_nothing_and_can_be_made_again(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        await hub.start("quick", LARGE, instance_id="q")
        await hub.end("q")
    assert await parts_of(hub) != []

    assert await hub.client.delete_hub() is True

    assert await parts_of(hub) == []
    assert await hub.client.delete_hub() is False
    # The client has seen the hub before, and finds out.
    await hub.start("quick", LARGE, instance_id="q")
    async with hub.working():
        state = await hub.end("q")
    assert (state.status, state.generation) == (RuntimeStatus.Completed, 0)


async def test_a_hub_in_use_is_deleted_only_by_force(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working(worker_id="worker-a"):
        await hub.start("waiting", instance_id="w")
        await hub.running("w")
        with pytest.raises(HubInUse, match="worker-a"):
            await hub.client.delete_hub()
        assert (await hub.client.get(InstanceId("w"))).status is RuntimeStatus.Running

        assert await hub.client.delete_hub(force=True) is True
        assert await hub.client.get(InstanceId("w")) is None


async def test_deleting_a_hub_leaves_those_whose_names_begin_alike(any_storage):
    short = RealHub(any_storage)
    long = RealHub(any_storage, name=f"{short.settings.hub_name}2")
    await short.client.create_hub()
    await long.client.create_hub()

    await short.client.delete_hub()

    assert await parts_of(short) == []
    assert len((await long.client.hub_status()).partitions) == 4
