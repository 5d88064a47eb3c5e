"""The three ways to share partitions, by the clock: who reads which queue, and when it changes hands."""

import itertools
import json

import pytest

from taskhub.codec.documents import BlobLease, HubInfo, encode_blob_lease, encode_hub_info
from taskhub.codec.lease_rows import encode_lease
from taskhub.errors import HubMismatch, TransientStorageError
from taskhub.model.ids import Utc, WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionLease, PartitionManager
from taskhub.storage.interception import intercepted
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.virtual_hub import VirtualHub

MANAGERS = list(PartitionManager)
each_manager = pytest.mark.parametrize("manager", MANAGERS, ids=lambda manager: manager.value)


def say(name):
    return f"Hello {name}!"


def hello(context):
    return (yield context.call_activity("say", "Tokyo"))


def wait_for_go(context):
    return (yield context.wait_for_external_event("go"))


def hub_of(manager, **settings):
    return VirtualHub({"hello": hello, "wait_for_go": wait_for_go}, {"say": say}, partition_manager=manager, **settings)


def owned(running):
    return running.worker._partitions.owned


def numbers(queues):
    return sorted(int(queue[-2:]) for queue in queues)


async def balanced(hub, *workers, within):
    """Wait until every partition has one owner and shares differ by one at most; return the seconds it took."""
    begun = hub.seconds
    while hub.seconds < begun + within:
        shares = [owned(worker) for worker in workers]
        together = numbers(queue for share in shares for queue in share)
        if together == list(range(hub.settings.partition_count)):
            sizes = [len(share) for share in shares]
            if max(sizes) - min(sizes) <= 1:
                return hub.seconds - begun
        await hub.sleep(0.1)
    raise AssertionError(f"after {within} s: {[numbers(owned(worker)) for worker in workers]}")


async def lease_documents(hub):
    """Return who the lease blobs name, and the epoch, by blob."""
    container = hub.names.leases_container
    found = {}
    for blob in await hub.storage.blobs.list_blobs(container, ""):
        if "/" in blob.name:
            document = json.loads(await hub.storage.blobs.get_blob(container, blob.name))
            found[blob.name.replace(f"{hub.names.control_queue_prefix}", "")] = (document["Owner"], document["Epoch"])
    return found


@each_manager
def test_a_worker_alone_owns_everything_and_runs_what_is_started(manager):
    async def play(hub):
        worker = await hub.worker("worker-a")
        await balanced(hub, worker, within=1)
        instance_id = await hub.start("hello")
        state = await hub.end(instance_id)
        await worker.stop()
        return state.status, state.output

    assert hub_of(manager).run(play) == (RuntimeStatus.Completed, '"Hello Tokyo!"')


@each_manager
@pytest.mark.parametrize("partitions", [1, 2, 5, 16])
def test_workers_that_join_come_to_even_shares(manager, partitions):
    async def play(hub):
        workers = [await hub.worker("worker-0")]
        for number in range(1, 3):
            workers.append(await hub.worker(f"worker-{number}", wait=False))
            await balanced(hub, *workers, within=400)
        await hub.sleep(60)
        await balanced(hub, *workers, within=0.1)

    hub_of(manager, partition_count=partitions).run(play)


# What the recordings needed: 8 s by the table, 10 s to notice with the legacy manager, 35 s with the safe one.
@pytest.mark.parametrize(
    ("manager", "seconds"),
    [(PartitionManager.TABLE, 13), (PartitionManager.SAFE, 26), (PartitionManager.LEGACY, 36)],
    ids=lambda value: getattr(value, "value", value),
)
def test_a_second_worker_has_its_half_soon(manager, seconds):
    async def play(hub):
        first = await hub.worker("worker-a")
        await hub.sleep(3)
        second = await hub.worker("worker-b", wait=False)
        return await balanced(hub, first, second, within=120)

    assert hub_of(manager).run(play) <= seconds


@each_manager
def test_what_a_leaving_worker_had_is_taken_in_the_next_round(manager):
    async def play(hub):
        first, second = await hub.worker("worker-a"), await hub.worker("worker-b", wait=False)
        await balanced(hub, first, second, within=120)
        await first.stop()
        assert owned(first) == ()
        return await balanced(hub, second, within=60)

    assert hub_of(manager).run(play) <= 11


@each_manager
def test_what_a_dead_worker_had_is_taken_after_its_lease(manager):
    async def play(hub):
        first, second = await hub.worker("worker-a"), await hub.worker("worker-b", wait=False)
        await balanced(hub, first, second, within=120)
        first.kill()
        return await balanced(hub, second, within=60)

    # 30 s since the last renewal, and a round of 10 s; with the safe manager, another look.
    assert hub_of(manager).run(play) <= 43


@each_manager
def test_a_worker_that_comes_back_under_its_name_goes_on_at_once(manager):
    async def play(hub):
        first = await hub.worker("worker-a")
        first.kill()
        again = await hub.worker("worker-a")
        return await balanced(hub, again, within=60)

    assert hub_of(manager).run(play) <= 0.1


@each_manager
def test_no_queue_has_two_readers_while_workers_come_and_go(manager):
    readers = {}

    def watch(name):
        def look(call):
            if call.method == "get" and "-control-" in call.target:
                readers.setdefault(call.target, []).append((hub.seconds, name))

        return look

    async def play(hub):
        workers = {}
        for name in ("a", "b", "c"):
            workers[name] = await hub.worker(name, wait=False)
            workers[name].process.observer = watch(name)
            await hub.sleep(37)
        await workers.pop("a").stop()
        await hub.sleep(37)
        workers.pop("b").kill()
        await hub.sleep(90)
        assert numbers(owned(workers["c"])) == [0, 1, 2, 3]

    hub = hub_of(manager, max_polling_interval_seconds=0.5)
    hub.run(play)

    for reads in readers.values():
        names = [name for _, name in reads]
        changes = sum(before != after for before, after in itertools.pairwise(names))
        # Two readers at once, each looking twice a second, would alternate more than that within a renewal.
        assert changes <= 5, names
    assert {name for reads in readers.values() for _, name in reads} == {"a", "b", "c"}


@each_manager
def test_a_worker_paused_beyond_its_lease_drops_what_it_had(manager):
    async def play(hub):
        first = await hub.worker("worker-a")
        instance_id = await hub.start("wait_for_go")
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        first.process.pause()
        second = await hub.worker("worker-b", wait=False)
        await balanced(hub, second, within=60)
        await hub.client.raise_event(instance_id, "go", "1")
        assert (await hub.end(instance_id, within=40)).output == "1"
        first.process.resume()
        await hub.sleep(0.1)
        assert owned(first) == ()
        await balanced(hub, first, second, within=120)

    hub_of(manager).run(play)


@each_manager
def test_an_outage_shorter_than_the_lease_costs_no_partition(manager):
    async def play(hub):
        is_out = False

        async def around(call, act):
            if is_out:
                raise TransientStorageError("out")
            return await act()

        worker = await hub.worker("worker-a", wrap=lambda store: intercepted(store, around))
        partitions = [each.partition for each in worker.worker._partitions._owned.values()]
        await hub.sleep(3)
        is_out = True
        await hub.sleep(15)
        is_out = False
        await hub.sleep(30)
        assert not any(partition.is_lost for partition in partitions)
        assert len(owned(worker)) == 4

    hub_of(manager).run(play)


def test_the_documents_of_the_safe_manager_are_those_of_the_recording():
    async def play(hub):
        first = await hub.worker("worker-a")
        await hub.sleep(12)
        assert set((await lease_documents(hub)).values()) == {("worker-a", 1)}
        second = await hub.worker("worker-b", wait=False)
        await balanced(hub, first, second, within=60)
        shared = await lease_documents(hub)
        await first.stop()
        await balanced(hub, second, within=60)
        await second.stop()
        return shared, await lease_documents(hub)

    shared, left = hub_of(PartitionManager.SAFE).run(play)

    halves = {"00": ("worker-b", 2), "01": ("worker-b", 2), "02": ("worker-a", 1), "03": ("worker-a", 1)}
    assert shared == {f"{folder}/{n}": value for folder in ("intent", "ownership") for n, value in halves.items()}
    assert left == {f"{folder}/{n}": (None, 2) for folder in ("intent", "ownership") for n in halves}


def test_the_documents_of_the_legacy_manager_are_those_of_the_recording():
    async def play(hub):
        first = await hub.worker("worker-a")
        await hub.sleep(12)
        second = await hub.worker("worker-b", wait=False)
        await balanced(hub, first, second, within=60)
        shared = await lease_documents(hub)
        await first.stop()
        await balanced(hub, second, within=60)
        await second.stop()
        return shared, await lease_documents(hub)

    shared, left = hub_of(PartitionManager.LEGACY).run(play)

    assert shared == {
        "default/00": ("worker-b", 2),
        "default/01": ("worker-b", 2),
        "default/02": ("worker-a", 1),
        "default/03": ("worker-a", 1),
    }
    assert left == {f"default/{number:02}": (None, 2) for number in range(4)}


def test_the_thief_of_a_legacy_lease_waits_until_it_was_noticed():
    async def play(hub):
        first = await hub.worker("worker-a")
        await hub.sleep(3)
        second = await hub.worker("worker-b", wait=False)
        seen = []
        while len(owned(second)) < 2:
            seen.append(set(owned(first)) & set(owned(second)))
            await hub.sleep(0.05)
        return seen

    assert not any(hub_of(PartitionManager.LEGACY).run(play))


# ---- which manager


async def put_row(hub, number, lease=None):
    await hub.storage.tables.create_table(hub.names.partitions_table)
    queue = hub.names.control_queue(number)
    row = Row("", queue, encode_lease(lease or PartitionLease(queue)))
    await hub.storage.tables.write(hub.names.partitions_table, TableWrite(Write.INSERT, row))


async def put_blobs(hub, *folders, count=4):
    await hub.storage.blobs.create_container(hub.names.leases_container)
    info = HubInfo(hub.names.hub, Utc("2026-01-01T00:00:00Z"), count)
    await hub.storage.blobs.put_blob(hub.names.leases_container, "taskhub.json", encode_hub_info(info).encode())
    for folder in folders:
        for number in range(count):
            queue = hub.names.control_queue(number)
            text = encode_blob_lease(BlobLease(queue))
            await hub.storage.blobs.put_blob(hub.names.leases_container, f"{folder}/{queue}", text.encode())


@pytest.mark.parametrize(
    ("folders", "manager"),
    [
        (("intent", "ownership"), PartitionManager.SAFE),
        (("default",), PartitionManager.LEGACY),
        ((), PartitionManager.SAFE),
    ],
)
def test_a_hub_with_lease_blobs_is_followed(folders, manager):
    async def play(hub):
        await put_blobs(hub, *folders)
        worker = await hub.worker()
        return worker.worker._services.hub.manager, await hub.storage.tables.table_exists(hub.names.partitions_table)

    assert hub_of(None).run(play) == (manager, False)


def test_a_new_hub_gets_the_table_and_no_lease_container():
    async def play(hub):
        await hub.client.create_hub()
        return await hub.storage.blobs.container_exists(hub.names.leases_container), (await hub.state()).partitions

    exists, rows = hub_of(None).run(play)

    assert not exists
    assert [row.row_key[-2:] for row in rows] == ["00", "01", "02", "03"]


def test_a_worker_whose_settings_contradict_the_hub_does_not_start():
    async def play(hub):
        await put_blobs(hub, "intent", "ownership")
        with pytest.raises(HubMismatch, match="remove the settings"):
            await (await hub.worker(wait=False)).task

    hub_of(PartitionManager.TABLE).run(play)


def test_leases_that_are_held_now_tell_which_of_two_managers_is_at_work():
    async def play(hub):
        await put_row(hub, 0)
        await put_blobs(hub, "intent", "ownership")
        queue = hub.names.control_queue(0)
        await hub.storage.blobs.acquire_lease(
            hub.names.leases_container,
            f"ownership/{queue}",
            lease_id="11111111-2222-3333-4444-555555555555",
            seconds=30,
        )
        await hub.client.create_hub()
        return hub.client._services.hub.manager

    assert hub_of(None, partition_count=4).run(play) is PartitionManager.SAFE


@pytest.mark.parametrize("count", [1, 3, 5, 16])
def test_a_number_of_partitions_that_is_not_the_table_s_is_refused(count):
    async def play(hub):
        for number in range(count):
            await put_row(hub, number)
        with pytest.raises(HubMismatch, match=rf"has {count} partitions .* set .*partitionCount to {count}"):
            await hub.client.create_hub()

    hub_of(None).run(play)


def test_a_number_of_partitions_that_is_not_taskhub_json_s_is_refused():
    async def play(hub):
        await put_blobs(hub, "default", count=2)
        with pytest.raises(HubMismatch, match=r"has 2 partitions \(says taskhub.json"):
            await hub.client.create_hub()

    hub_of(None).run(play)


def test_a_hub_that_somebody_is_just_making_is_waited_for():
    """The reference inserts the rows one by one."""

    async def play(hub):
        await put_row(hub, 0)

        async def go_on():
            for number in (1, 2, 3):
                await hub.sleep(0.4)
                await put_row(hub, number)

        maker = hub.process("maker").spawn(go_on(), name="make")
        await hub.client.create_hub()
        await maker
        return (await hub.state()).partitions

    assert len(hub_of(None).run(play)) == 4


@pytest.mark.parametrize("present", [[1], [0, 2], [3], [1, 2]])
def test_a_hub_whose_maker_died_is_completed(present):
    async def play(hub):
        owner = PartitionLease("", owner=WorkerId("other"), expires_at=Utc("2026-01-01T00:10:00Z"))
        for number in present:
            await put_row(hub, number, owner)
        await hub.client.create_hub()
        return (await hub.state()).partitions

    rows = hub_of(None).run(play)

    assert [int(row.row_key[-2:]) for row in rows] == [0, 1, 2, 3]
    assert [int(row.row_key[-2:]) for row in rows if row.columns.get("CurrentOwner") == "other"] == present
