"""Which of two apps works on a hub, and how that changes."""

import pytest

from taskhub import ConfigurationError, TaskHubClient, TaskHubSettings
from tests.support.virtual_hub import VirtualHub


def quick(context):
    return context.get_input()
    yield


def owners(state):
    return {row.columns.get("CurrentOwner") for row in state.partitions}


def test_an_app_that_is_made_primary_takes_the_hub_over_at_once():
    hub = VirtualHub({"quick": quick}, app_name="first")

    async def main(hub):
        await hub.worker("one")
        second = await hub.worker("two", app_name="second", wait=False)
        await hub.sleep(60)
        before = owners(await hub.state())
        await second.worker.client.make_primary()
        await hub.sleep(60)
        state = await hub.end(await hub.start("quick", 1))
        return before, owners(await hub.state()), state

    before, after, state = hub.run(main)

    assert (before, after) == ({"one"}, {"two"})
    assert state.output == "1"


def test_making_the_app_primary_that_is_it_already_changes_nothing():
    hub = VirtualHub({"quick": quick}, app_name="first")

    async def main(hub):
        running = await hub.worker("one")
        await running.worker.client.make_primary()
        await hub.sleep(60)
        blob = await hub.storage.blobs.get_blob(hub.names.app_lease_container, hub.names.app_lease_blob)
        return owners(await hub.state()), blob.decode()

    owned, info = hub.run(main)

    assert owned == {"one"}
    assert '"DesiredSwapId":null' in info


def test_a_hub_without_the_lease_has_no_primary_app():
    hub = VirtualHub()

    async def main(hub):
        client = TaskHubClient(hub.storage, TaskHubSettings(hub_name="TestHub", use_app_lease=False))
        with pytest.raises(ConfigurationError, match="not using the AppLease feature"):
            await client.make_primary()

    hub.run(main)
