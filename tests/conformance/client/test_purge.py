"""Purging one and many, next to neighbours and to workers that are at work."""

import json

import pytest

from taskhub import TaskHubClient
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter, Purged, RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub

LARGE = "x" * 70_000


def quick(context):
    return context.get_input()
    yield


def failing(context):
    raise ValueError("no")
    yield


def waiting(context):
    return (yield context.wait_for_external_event("go"))


CODE = {"quick": quick, "failing": failing, "waiting": waiting}


async def ids_of(hub, **wanted):
    page = await hub.client.query(InstanceFilter(**wanted))
    return [state.instance_id for state in page.instances]


async def test_nothing_is_left_of_a_purged_instance_and_its_neighbours_keep_everything(any_storage):
    # Of each other: prefix, folder below, and what the id is escaped to.
    names = ("order-4", "order-42", "order/4", "order", "order^04", "order-4x")
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        for name in names:
            await hub.start("quick", LARGE, instance_id=name)
        for name in names:
            await hub.end(name)

        for gone in ("order-4", "order", "order/4"):
            await hub.client.purge(InstanceId(gone))

        for name in ("order-42", "order^04", "order-4x"):
            state = await hub.client.get(InstanceId(name))
            assert json.loads(json.loads(state.input)) == json.loads(state.output) == LARGE
            assert len(await hub.client.history(InstanceId(name))) == 4
    left = await read_hub(any_storage, hub.names, partition_count=4)
    assert {row.partition_key for row in (*left.history, *left.instances)} == {"order-42", "order^^04", "order-4x"}
    # For each a start message, its input and its output in history.
    assert {name.rpartition("/")[0] for name in left.blobs} == {"order-42", "order^04", "order^^04", "order-4x"}
    assert len(left.blobs) == 3 * len(("order-42", "order^04", "order-4x"))


async def test_many_are_purged_by_time_status_and_prefix_but_never_live_ones(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        for number in range(3):
            await hub.start("quick", number, instance_id=f"q-{number}")
            await hub.start("failing", instance_id=f"f-{number}")
        await hub.start("waiting", instance_id="q-waiting")
        for name in ("q-0", "q-1", "q-2", "f-0", "f-1", "f-2"):
            await hub.end(name)
        await hub.running("q-waiting")
        times = sorted([(await hub.client.get(InstanceId(f"q-{number}"))).created for number in range(3)])

        async def purge(wanted):
            return (await hub.client.purge_ended(wanted)).instances

        assert await purge(InstanceFilter(created_from=Utc("2100-01-01T00:00:00Z"))) == 0
        assert await purge(InstanceFilter(statuses=frozenset({RuntimeStatus.Running, RuntimeStatus.Pending}))) == 0
        assert await ids_of(hub) == ["f-0", "f-1", "f-2", "q-0", "q-1", "q-2", "q-waiting"]

        assert await purge(InstanceFilter(created_to=times[0], id_prefix="q-")) == 1
        assert len(await ids_of(hub, id_prefix="q-")) == 3
        assert await purge(InstanceFilter(statuses=frozenset({RuntimeStatus.Failed, RuntimeStatus.Running}))) == 3
        assert await ids_of(hub, id_prefix="f-") == []
        assert await purge(InstanceFilter()) == 2
        assert await ids_of(hub) == ["q-waiting"]


async def test_a_purge_goes_through_all_pages_and_all_rows(any_storage):
    def long(context):
        yield context.task_all([context.call_activity("echo", number) for number in range(130)])

    hub = RealHub(any_storage, {**CODE, "long": long}, {"echo": lambda value: value})
    async with hub.working():
        await hub.start("long", instance_id="long")
        for number in range(105):
            await hub.start("quick", number, instance_id=f"q-{number:03}")
        for number in range(105):
            await hub.end(f"q-{number:03}")
        await hub.end("long")

        rows = len((await read_hub(any_storage, hub.names, partition_count=4)).history)
        assert await hub.client.purge_ended(InstanceFilter()) == Purged(106, rows)

    left = await read_hub(any_storage, hub.names, partition_count=4)
    assert (list(left.history), list(left.instances)) == ([], [])


async def test_an_instance_that_is_purged_while_it_runs_is_forgotten_by_its_worker(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        await hub.start("waiting", instance_id="w")
        await hub.running("w")
        assert await hub.client.purge(InstanceId("w")) == 1
        await hub.client.raise_event(InstanceId("w"), "go", "1")

        # The id is free again, and the old session, which is warm, does no harm.
        await hub.start("quick", 5, instance_id="w")
        state = await hub.end("w")

    assert (state.name, state.output) == ("quick", "5")


@pytest.mark.parametrize("how_far", ["is started anew", "has ended again"])
async def test_an_instance_that_comes_back_during_its_purge_is_not_lost(any_storage, how_far):
    hub = RealHub(any_storage, CODE)

    async def come_back(call, act):
        """Begin again just before the purge deletes the history that it has read."""
        if (call.method, call.target) == ("batch", hub.names.history_table):
            await hub.start("quick", 2, instance_id="q")
            if how_far == "has ended again":
                await hub.until("q", lambda state: state.output == "2")
        return await act()

    async with hub.working():
        await hub.start("quick", 1, instance_id="q")
        await hub.end("q")
        purging = TaskHubClient(intercepted(any_storage, come_back), hub.settings)
        removed = (await purging.purge_ended(InstanceFilter())).instances
        state = await hub.until("q", lambda state: state.output == "2")
        history = await hub.client.history(InstanceId("q"))

    assert state.status is RuntimeStatus.Completed
    assert len(history) == 4
    assert removed == (1 if how_far == "is started anew" else 0)
