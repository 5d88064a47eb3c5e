"""Some recorded hubs, cut off in the middle, are finished on every store in real time.

Every point of every scenario is taken in ``tests/simulation/test_recorded_middles.py``.
"""

import asyncio

import pytest

from tests.support.dotnet_programs import ACTIVITIES, ORCHESTRATORS, DotnetApplication
from tests.support.hub_state import read_hub
from tests.support.real_hub import PATIENCE_SECONDS, RealHub
from tests.support.recorded_hub import Restored, recording
from tests.support.recorded_middles import NOT_NEW, check_finished, recorded_ends

# Nothing here waits for a recorded time, which may be ahead of the machine's clock.
MIDDLES = {
    "hello_base64": 0.5,
    "fan_out_10": 0.4,
    "sub_orchestration": 0.3,
    "large_payload": 0.6,
    "duplicate_start": 0.2,
    "purge_filter": 0.7,
}
"""Scenarios, and after which part of their changes they stop."""


@pytest.mark.parametrize("scenario", MIDDLES)
async def test_a_recorded_hub_that_stopped_in_the_middle_is_finished(any_storage, scenario):
    recorded = recording(scenario)
    point = int(len(recorded.changes) * MIDDLES[scenario])
    hub = RealHub(any_storage, default_version="", overridable_running_instances=True, **NOT_NEW)
    hub.app = DotnetApplication(ORCHESTRATORS, ACTIVITIES)
    await hub.client.create_hub()
    restored = Restored(recorded, any_storage, hub.names)
    await restored.until(point)

    async with hub.working():
        await restored.client_goes_on(asyncio.sleep)
        state = await at_rest(hub, recorded_ends(scenario, point))

    check_finished(scenario, state, hub.app, point)


async def at_rest(hub, ends):
    """Return what is stored when all instances are as they end and no message is left."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE_SECONDS
    while True:
        state = await read_hub(hub.storage, hub.names, partition_count=hub.settings.partition_count)
        found = {row.partition_key: row.columns["RuntimeStatus"] for row in state.instances}
        if found == {key: status for key, (status, _) in ends.items()} and not any(state.messages.values()):
            return state
        assert loop.time() < deadline, f"{found}, messages {state.messages}"
        await asyncio.sleep(0.05)
