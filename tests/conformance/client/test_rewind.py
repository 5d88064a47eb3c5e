"""Rewinding on every store, and what it leaves in the tables for workers of either kind."""

import json

from taskhub.codec.keys import SENTINEL
from taskhub.model.history import GenericEvent
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub


class Broken:
    """An activity that fails until it is mended."""

    is_mended = False

    def work(self, value):
        if not self.is_mended:
            raise ValueError("not yet")
        return value


def parent(context):
    first = yield context.call_activity("fine", 1)
    second = yield context.call_sub_orchestrator("child", None, "child-1")
    return [first, second]


def child(context):
    first = yield context.call_activity("fine", 2)
    second = yield context.call_activity("work", 3)
    return [first, second]


async def test_a_parent_and_its_child_go_on_from_where_they_failed(any_storage):
    broken = Broken()
    hub = RealHub(any_storage, {"parent": parent, "child": child}, {"fine": lambda value: value, "work": broken.work})

    async with hub.working():
        await hub.start("parent", instance_id="parent-1")
        assert (await hub.end("parent-1")).status is RuntimeStatus.Failed
        broken.is_mended = True
        await hub.client.rewind(InstanceId("parent-1"), "mended")
        state = await hub.until("parent-1", lambda state: state.status is RuntimeStatus.Completed)

    assert json.loads(state.output) == [1, [2, 3]]
    assert {name: runs for (_, name, _), runs in hub.app.runs.items() if name == "fine"} == {"fine": 1}
    woken = [event.data for event in await hub.client.history(InstanceId("child-1")) if isinstance(event, GenericEvent)]
    assert woken == [None, None, None, "mended"]


async def test_tombstones_keep_their_columns_and_the_sentinel_stays(any_storage):
    hub = RealHub(any_storage, {"parent": parent, "child": child}, {"fine": lambda value: value, "work": Broken().work})
    async with hub.working():
        await hub.start("parent", instance_id="parent-1")
        await hub.end("parent-1")
    before = await read_hub(any_storage, hub.names, partition_count=4)

    await hub.client.rewind(InstanceId("parent-1"), "mended")

    after = await read_hub(any_storage, hub.names, partition_count=4)
    assert changes(before, after, "parent-1") == {
        "SubOrchestrationInstanceCreated": {"Reason": "Rewound: SubOrchestrationInstanceCreated"},
        "SubOrchestrationInstanceFailed": buried("SubOrchestrationInstanceFailed"),
        "ExecutionCompleted": buried("ExecutionCompleted"),
    }
    assert changes(before, after, "child-1") == {
        "TaskScheduled": buried("TaskScheduled"),
        "TaskFailed": buried("TaskFailed"),
        "ExecutionCompleted": buried("ExecutionCompleted"),
    }
    assert after.sentinel("child-1").etag == before.sentinel("child-1").etag
    states = [await hub.client.get(InstanceId(name)) for name in ("parent-1", "child-1")]
    assert [state.status for state in states] == [RuntimeStatus.Pending] * 2
    # One wake-up, for the deepest failure.
    assert sum(after.messages.values()) - sum(before.messages.values()) == 1


def buried(name):
    return {"Reason": f"Rewound: {name}", "EventType": "GenericEvent"}


def changes(before, after, instance_id):
    """Return which columns of an instance's history rows changed, by the type that the row had; none may be lost."""
    rows = {row.row_key: dict(row.columns) for row in after.history if row.partition_key == instance_id}
    found = {}
    for row in before.history:
        if row.partition_key == instance_id and row.row_key != SENTINEL:
            now = rows[row.row_key]
            assert set(row.columns) <= set(now)
            changed = {name: value for name, value in now.items() if row.columns.get(name) != value}
            if changed:
                found[row.columns["EventType"]] = changed
    return found
