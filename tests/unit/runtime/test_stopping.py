"""A worker that stops gives its partitions back whenever there is time, whatever still runs."""

import asyncio

import pytest

from taskhub.storage.interception import intercepted
from tests.support.virtual_hub import VirtualHub


def stuck(context):
    yield context.call_activity("hang", None)


async def hang(value):
    await asyncio.Event().wait()


def leases(state):
    return {row.row_key: row.columns.get("CurrentOwner") for row in state.partitions}


@pytest.mark.parametrize("grace_seconds", [3.0, 25.0])
def test_partitions_are_given_back_within_the_grace_period_although_an_activity_hangs(grace_seconds):
    hub = VirtualHub({"stuck": stuck}, {"hang": hang})

    async def main(hub):
        running = await hub.worker()
        await hub.start("stuck")
        await hub.sleep(5)
        owned = leases(await hub.state())
        running.worker.grace_seconds = grace_seconds
        began = hub.seconds
        await running.stop()
        return owned, leases(await hub.state()), hub.seconds - began

    owned, left, seconds = hub.run(main)

    assert set(owned.values()) == {"worker"}
    assert set(left.values()) == {None}
    assert seconds <= grace_seconds


def test_partitions_are_given_back_although_an_episode_hangs():
    # The store of this worker never answers to a commit, so that the instance is never at rest.
    async def hang_at_commits(call, act):
        if call.method == "batch" and "History" in call.target:
            await asyncio.Event().wait()
        return await act()

    hub = VirtualHub({"stuck": stuck}, {"hang": hang})

    async def main(hub):
        running = await hub.worker(wrap=lambda storage: intercepted(storage, hang_at_commits))
        await hub.start("stuck")
        await hub.sleep(5)
        running.worker.grace_seconds = 5.0
        await running.stop()
        return leases(await hub.state())

    assert set(hub.run(main).values()) == {None}
