"""The app lease: which of two apps works on the control queues of a hub, and how it changes."""

import pytest

from taskhub import TaskHubClient
from taskhub.codec.documents import AppLeaseInfo, decode_app_lease_info
from taskhub.core.partitioning import app_lease_id
from taskhub.errors import ConfigurationError
from taskhub.model.instance import RuntimeStatus
from taskhub.settings import TaskHubSettings
from taskhub.storage.counting import CallCounter
from tests.support.virtual_hub import VirtualHub


def two_activities(context):
    yield context.call_activity("say", "Tokyo")
    return (yield context.call_activity("say", "Seattle"))


def hub_of(**settings):
    return VirtualHub({"two": two_activities}, {"say": lambda name: name}, **settings)


def owned(running):
    return running.worker._partitions.owned


async def info(hub):
    data = await hub.storage.blobs.get_blob(hub.names.app_lease_container, hub.names.app_lease_blob)
    return decode_app_lease_info(data.decode())


async def until(hub, is_reached, within):
    begun = hub.seconds
    while not is_reached():
        assert hub.seconds - begun < within
        await hub.sleep(0.1)
    return hub.seconds - begun


async def two_apps(hub):
    """Start a worker of the app that has the lease, and one of an app that waits for it."""
    first = await hub.worker("a", app_name="one")
    second = await hub.worker("b", app_name="two", wait=False)
    await hub.sleep(40)
    assert (len(owned(first)), len(owned(second))) == (4, 0)
    return first, second


def test_a_worker_without_the_lease_runs_activities():
    async def play(hub):
        first, second = await two_apps(hub)
        first.worker._activities.stop()
        await hub.sleep(31)
        state = await hub.end(await hub.start("two"), within=60)
        return state, second.worker._partitions.owned

    state, partitions = hub_of().run(play)

    assert (state.status, partitions) == (RuntimeStatus.Completed, ())


def test_an_app_that_is_made_primary_in_its_own_process_takes_over_at_once():
    async def play(hub):
        first, second = await two_apps(hub)
        await second.worker.client.make_primary()
        await until(hub, lambda: not owned(first), within=30)
        seconds = await until(hub, lambda: len(owned(second)) == 4, within=45)
        return seconds, await info(hub)

    seconds, left = hub_of().run(play)

    # The old one notices at its next renewal, drains and gives back.
    assert seconds <= 11
    assert left == AppLeaseInfo(app_lease_id("two"))


def test_an_app_that_is_made_primary_from_elsewhere_takes_over_within_a_renewal():
    async def play(hub):
        first, second = await two_apps(hub)
        process = hub.process("tool")
        settings = TaskHubSettings(hub_name=hub.settings.hub_name, app_name="two")
        await TaskHubClient(process.storage, settings, environment=process.environment).make_primary()
        wished = await info(hub)
        took = await until(hub, lambda: second.worker._app_lease.is_held, within=60)
        await until(hub, lambda: not owned(first) and len(owned(second)) == 4, within=60)
        return wished, took

    wished, took = hub_of().run(play)

    assert wished == AppLeaseInfo(app_lease_id("one"), desired_swap_id=app_lease_id("two"))
    assert took <= 25


def test_the_app_that_lost_the_lease_gives_its_partitions_back_and_may_have_it_again():
    async def play(hub):
        first, second = await two_apps(hub)
        await second.worker.client.make_primary()
        await until(hub, lambda: len(owned(second)) == 4, within=60)
        await first.worker.client.make_primary()
        await until(hub, lambda: len(owned(first)) == 4 and not owned(second), within=60)
        return (await hub.end(await hub.start("two"))).status

    assert hub_of().run(play) is RuntimeStatus.Completed


def test_making_the_primary_app_primary_writes_nothing():
    async def play(hub):
        first, _ = await two_apps(hub)
        before = await info(hub)
        await first.worker.client.make_primary()
        await hub.sleep(60)
        return before, await info(hub), len(owned(first))

    before, after, count = hub_of().run(play)

    assert (after, count) == (before, 4)


def test_a_lease_lapses_after_its_worker_stopped():
    async def play(hub):
        first, second = await two_apps(hub)
        await first.stop()
        return await until(hub, lambda: second.worker._app_lease.is_held, within=400)

    # It is not released; the other app asks every five minutes.
    assert 60 < hub_of().run(play) <= 300


@pytest.mark.parametrize("within", [5, 20])
def test_the_intervals_are_those_of_the_settings(within):
    async def play(hub):
        first, second = await two_apps(hub)
        first.kill()
        return await until(hub, lambda: second.worker._app_lease.is_held, within=60)

    settings = {"app_lease_seconds": 15, "app_lease_renew_seconds": 3.0, "app_lease_acquire_seconds": float(within)}
    assert hub_of(**settings).run(play) <= 15 + within


def test_without_the_lease_nobody_can_be_made_primary():
    async def play(hub):
        counter = CallCounter()
        running = await hub.worker(wrap=counter.wrap)
        with pytest.raises(ConfigurationError, match="not using the AppLease feature"):
            await running.worker.client.make_primary()
        return counter.matching("blob.put.lease")

    assert hub_of(use_app_lease=False).run(play) == 0
