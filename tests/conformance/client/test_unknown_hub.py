"""Looking at a hub that nobody created: it reads as an empty one, and still does not exist afterwards."""

import pytest

from taskhub.model.ids import InstanceId, PartitionIndex
from taskhub.model.instance import InstanceFilter
from tests.support.real_hub import RealHub, parts_of

NOBODY = InstanceId("nobody")


async def test_reading_creates_nothing(any_storage):
    hub = RealHub(any_storage)

    state = await hub.client.get(NOBODY)
    page = await hub.client.query(InstanceFilter())
    events = await hub.client.history(NOBODY)
    purged = await hub.client.purge(NOBODY)
    waited = await hub.client.wait(NOBODY, timeout_seconds=0)

    assert (state, list(page.instances), page.token, list(events), purged, waited) == (None, [], None, [], 0, None)
    assert await parts_of(hub) == []


@pytest.mark.parametrize("act", ["start", "raise_event", "terminate"])
async def test_starting_and_sending_create_it(any_storage, act):
    hub = RealHub(any_storage)

    await {
        "start": lambda: hub.client.start("order"),
        "raise_event": lambda: hub.client.raise_event(NOBODY, "go", None),
        "terminate": lambda: hub.client.terminate(NOBODY, None),
    }[act]()

    queues = {hub.names.work_item_queue, *(hub.names.control_queue(PartitionIndex(index)) for index in range(4))}
    assert queues < set(await parts_of(hub))
