"""Who owns what: joining, leaving, dying, pausing; and the app lease."""

import pytest

from taskhub.codec.documents import AppLeaseInfo, decode_app_lease_info, encode_app_lease_info
from taskhub.codec.lease_rows import decode_lease
from taskhub.core.partitioning import app_lease_id
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.counting import CallCounter
from tests.support.virtual_hub import VirtualHub


async def owners(hub):
    """Return the owners of the partitions as the table shows them."""
    page = await hub.storage.tables.query(hub.names.partitions_table)
    return [decode_lease(row.row_key, row.columns, row.etag).owner for row in page.rows]


async def until_owners(hub, expected, within=120):
    """Wait until the partitions are owned so; return how long it took."""
    begin = hub.seconds
    while sorted(found := await owners(hub), key=str) != sorted(expected, key=str):
        assert hub.seconds - begin < within, found
        await hub.sleep(0.25)
    return hub.seconds - begin


def quick(context):
    return (yield context.call_activity("echo", context.get_input()))


ECHO = {"echo": lambda value: value}


def test_a_worker_alone_owns_everything_at_once():
    async def main(hub):
        await hub.worker("a")
        return await until_owners(hub, ["a"] * 4)

    assert VirtualHub().run(main) < 1


def test_a_second_worker_gets_its_half_and_gives_it_back_when_it_leaves():
    async def main(hub):
        first = await hub.worker("a")
        second = await hub.worker("b", wait=False)
        joined = await until_owners(hub, ["a", "a", "b", "b"])
        await second.stop()
        left = await until_owners(hub, ["a"] * 4)
        await first.stop()
        return joined, left, await owners(hub)

    joined, left, afterwards = VirtualHub().run(main)

    assert joined < 15
    assert left < 12
    assert afterwards == [None] * 4


def test_partitions_of_a_dead_worker_are_claimed_after_their_lease():
    async def main(hub):
        first = await hub.worker("a")
        await hub.worker("b", wait=False)
        await until_owners(hub, ["a", "a", "b", "b"])
        first.kill()
        return await until_owners(hub, ["b"] * 4)

    assert 15 < VirtualHub().run(main) < 45


def test_a_worker_that_comes_back_under_its_name_goes_on():
    async def main(hub):
        first = await hub.worker("a")
        first.kill()
        await hub.worker("a")
        return await until_owners(hub, ["a"] * 4)

    assert VirtualHub().run(main) < 1


def test_a_worker_that_was_paused_beyond_its_lease_gives_way():
    hub = VirtualHub({"quick": quick}, ECHO)

    async def main(hub):
        first = await hub.worker("a")
        first.process.pause()
        await hub.worker("b", wait=False)
        await until_owners(hub, ["b"] * 4)
        first.process.resume()
        await until_owners(hub, ["a", "a", "b", "b"])
        return [await hub.end(await hub.start("quick", n)) for n in range(8)]

    states = hub.run(main)

    assert {state.status for state in states} == {RuntimeStatus.Completed}


def test_instances_run_on_while_their_partition_moves():
    def long(context):
        for number in range(40):
            yield context.call_activity("echo", number)
            yield context.create_timer(context.current_utc_datetime)
        return "done"

    hub = VirtualHub({"long": long}, ECHO)

    async def main(hub):
        first = await hub.worker("a")
        instances = [await hub.start("long") for _ in range(8)]
        second = await hub.worker("b", wait=False)
        await until_owners(hub, ["a", "a", "b", "b"])
        await first.stop()
        states = [await hub.end(instance_id) for instance_id in instances]
        await second.stop()
        return states, await hub.state(), hub.app.open_executions

    states, left, open_executions = hub.run(main)

    assert {state.output for state in states} == {'"done"'}
    assert not any(left.messages.values())
    assert open_executions == 0


# ---- rounds of a worker that is alone (8.4 I)


async def lease_seconds(hub):
    """Return how long each lease lasts from its last renewal on."""
    page = await hub.storage.tables.query(hub.names.partitions_table)
    leases = [decode_lease(row.row_key, row.columns, row.etag) for row in page.rows]
    return [round((each.expires_at.moment() - each.last_renewal.moment()).total_seconds()) for each in leases]


def test_a_worker_that_stays_alone_holds_leases_for_longer():
    counter = CallCounter()

    async def main(hub):
        await hub.worker("a", wrap=counter.wrap)
        await hub.sleep(25)
        early = await lease_seconds(hub)
        await hub.sleep(60)
        counter.counts.clear()
        await hub.sleep(300)
        return early, await lease_seconds(hub), counter.counts["table.batch Partitions"]

    assert VirtualHub().run(main) == ([30] * 4, [90] * 4, 10)


@pytest.mark.parametrize("settings", [{"long_lease_rounds": False}, {"partition_count": 1}], ids=["off", "one"])
def test_leases_stay_short_where_that_is_off_and_where_others_cannot_show(settings):
    async def main(hub):
        await hub.worker("a")
        await hub.sleep(300)
        return await lease_seconds(hub)

    assert set(VirtualHub(**settings).run(main)) == {30}


def test_a_worker_that_comes_late_gets_its_half_after_one_long_round_and_leases_are_short_again():
    async def main(hub):
        await hub.worker("a")
        await hub.sleep(301)
        second = await hub.worker("b", wait=False)
        joined = await until_owners(hub, ["a", "a", "b", "b"])
        await hub.sleep(30)
        shared = await lease_seconds(hub)
        await second.stop()
        left = await until_owners(hub, ["a"] * 4)
        await hub.sleep(100)
        return joined, shared, left, await lease_seconds(hub)

    joined, shared, left, alone = VirtualHub().run(main)

    assert joined < 34  # a long round, and a few short ones until the partitions have changed hands
    assert shared == [30] * 4
    assert left < 12
    assert alone == [90] * 4


def test_a_worker_that_hears_of_a_newcomer_looks_at_once():
    async def main(hub):
        first = await hub.worker("a")
        await hub.sleep(301)
        await hub.worker("b", wait=False)
        await hub.sleep(1)
        first.worker.wake(hub.names.partitions_table)  # as the newcomer's hint does
        return await until_owners(hub, ["a", "a", "b", "b"])

    assert VirtualHub().run(main) < 5


def test_partitions_of_a_worker_that_died_alone_are_claimed_after_its_long_lease():
    async def main(hub):
        first = await hub.worker("a")
        await hub.sleep(301)
        first.kill()
        await hub.worker("b", wait=False)
        return await until_owners(hub, ["b"] * 4)

    assert 55 < VirtualHub().run(main) <= 100


def test_a_worker_that_died_alone_and_comes_back_under_its_name_goes_on_at_once():
    async def main(hub):
        first = await hub.worker("a")
        await hub.sleep(301)
        first.kill()
        await hub.worker("a")
        return await until_owners(hub, ["a"] * 4)

    assert VirtualHub().run(main) < 1


def test_a_worker_that_stood_still_sends_nothing_after_its_long_lease():
    hub = VirtualHub({"quick": quick}, ECHO)

    async def main(hub):
        first = await hub.worker("a")
        await hub.sleep(301)
        first.process.pause()
        await hub.worker("b", wait=False)
        await until_owners(hub, ["b"] * 4)
        states = [await hub.end(await hub.start("quick", n)) for n in range(4)]
        first.process.resume()
        await until_owners(hub, ["a", "a", "b", "b"])
        return states + [await hub.end(await hub.start("quick", n)) for n in range(4)]

    assert {state.status for state in hub.run(main)} == {RuntimeStatus.Completed}


# ---- the app lease


@pytest.mark.parametrize("use_app_lease", [True, False])
def test_another_app_runs_no_orchestrations_but_activities(use_app_lease):
    hub = VirtualHub({"quick": quick}, ECHO, use_app_lease=use_app_lease)

    async def main(hub):
        await hub.worker("a", app_name="one", max_concurrent_activities=1)
        other = await hub.worker("b", app_name="two", wait=False)
        await hub.sleep(60)
        return other.ready.is_set(), await owners(hub)

    is_ready, found = hub.run(main)

    assert is_ready is not use_app_lease
    assert found.count("a") == (4 if use_app_lease else 2)


def test_workers_of_one_app_hold_the_lease_together_and_it_lapses_after_them():
    async def main(hub):
        first = await hub.worker("a", app_name="one")
        await hub.worker("b", app_name="one")
        other = await hub.worker("c", app_name="two", wait=False)
        await hub.sleep(100)
        assert not other.ready.is_set()
        for process in hub.world.processes:
            if process.name in "ab":
                process.kill()
        await hub.sleep(400)
        return first, await owners(hub)

    _, found = VirtualHub().run(main)

    assert found == ["c"] * 4


def test_an_app_that_is_asked_to_takes_the_lease_over():
    hub = VirtualHub()
    mine = app_lease_id("two")

    async def main(hub):
        await hub.worker("a", app_name="one")
        blobs, container, blob = hub.storage.blobs, hub.names.app_lease_container, hub.names.app_lease_blob
        info = decode_app_lease_info((await blobs.get_blob(container, blob)).decode())
        wish = AppLeaseInfo(info.owner_id, desired_swap_id=mine)
        await blobs.put_blob(container, blob, encode_app_lease_info(wish).encode())
        await hub.worker("b", app_name="two", wait=False)
        await until_owners(hub, ["b"] * 4)
        return decode_app_lease_info((await blobs.get_blob(container, blob)).decode())

    assert hub.run(main) == AppLeaseInfo(mine)
