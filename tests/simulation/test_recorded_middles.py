"""Hubs of the .NET provider, cut off in the middle: its worker is gone, and ours finishes what it began.

The state is that after a number of recorded changes, whatever they belonged to: messages put before their history was
stored, history without its row, messages not deleted yet. The client lives on and does what it did later. Every point
of every scenario is taken, in virtual time.
"""

import pytest

from tests.support.dotnet_programs import ACTIVITIES, ORCHESTRATORS, DotnetApplication
from tests.support.recorded_hub import recording
from tests.support.recorded_middles import MIDDLES, NOT_FINISHED, check_finished, hub_of, restored_at
from tests.support.recordings import folders


def finish(scenario, point, *, warm):
    """Bring a hub to a point of a recording, let a worker of ours finish it, and check it."""
    recorded = recording(scenario)
    app = DotnetApplication(ORCHESTRATORS, ACTIVITIES)
    hub = hub_of(recorded, app, warm_sessions=warm)

    async def play(hub):
        restored = await restored_at(hub, recorded, point)
        running = await hub.worker()
        await restored.client_goes_on(hub.sleep)
        await hub.sleep(600)
        await running.stop()
        return await hub.state()

    check_finished(scenario, hub.run(play), app, point)


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "classic"])
@pytest.mark.parametrize("scenario", MIDDLES)
def test_a_recorded_hub_that_stopped_at_any_point_is_finished(scenario, warm):
    for point in range(len(recording(scenario).changes) + 1):
        try:
            finish(scenario, point, warm=warm)
        except Exception as error:  # noqa: PERF203 (a run takes longer)
            raise AssertionError(f"{scenario}, after {point} changes: {error}") from error


def test_every_scenario_is_finished_or_has_a_reason():
    assert sorted([*MIDDLES, *NOT_FINISHED]) == [folder.name for folder in folders("storage")]
    assert len(set(MIDDLES)) == len(MIDDLES)
