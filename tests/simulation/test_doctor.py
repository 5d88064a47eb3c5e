"""`taskhub doctor` on hubs of the .NET provider: whole ones are well, and so are those whose worker just died.

A worker that dies leaves nothing that its successor would not put right. So at no point of any recording may the doctor
call something lost, and what it repairs in such a hub must not be in the successor's way.
"""

import json
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub.model.diagnosis import Severity
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.dotnet_programs import ACTIVITIES, ORCHESTRATORS, DotnetApplication
from tests.support.plain_application import PlainApplication
from tests.support.recorded_hub import recording
from tests.support.recorded_middles import MIDDLES, check_finished, hub_of, recorded_ends, restored_at
from tests.support.virtual_hub import VirtualHub

HARMLESS = {"row-disagrees", "no-worker", "unused-blob"}
"""What a dead worker may leave: an old row, and a blob that was to be named by the next write."""


def examined(scenario, point, *, repair=False):
    recorded = recording(scenario)
    app = DotnetApplication(ORCHESTRATORS, ACTIVITIES)
    hub = hub_of(recorded, app)

    async def play(hub):
        restored = await restored_at(hub, recorded, point)
        found = await hub.client.examine()
        if repair:
            # A client that stored a large input is about to send the message that names it.
            spares_blobs = recorded.changes[point : point + 1] and recorded.changes[point]["from"] == "client"
            for finding in found.findings:
                if finding.remedy is not None and not (spares_blobs and finding.kind == "unused-blob"):
                    assert await hub.client.repair(finding) is None
            running = await hub.worker()
            await restored.client_goes_on(hub.sleep)
            await hub.sleep(600)
            await running.stop()
            check_finished(scenario, await hub.state(), app, point)
        return found

    return hub.run(play)


@pytest.mark.parametrize("scenario", MIDDLES)
def test_nothing_is_lost_in_a_recorded_hub_whatever_its_worker_died_at(scenario):
    for point in range(len(recording(scenario).changes) + 1):
        found = examined(scenario, point).findings
        kinds = {each.kind for each in found if each.severity is Severity.PROBLEM or each.remedy is not None}
        assert kinds <= HARMLESS, (point, [each.text for each in found])


@pytest.mark.parametrize("scenario", ["hello_sequence", "large_payload", "sub_orchestration", "timer", "retry"])
def test_what_is_repaired_in_a_recorded_hub_is_not_in_the_way_of_its_next_worker(scenario):
    for point in range(len(recording(scenario).changes) + 1):
        examined(scenario, point, repair=True)


@pytest.mark.parametrize(
    "scenario",
    ["hello_sequence", "sub_orchestration", "timer", "fan_out_10", "retry", "activity_failure_caught", "delayed_start"],
)
def test_an_instance_finishes_after_all_messages_of_its_hub_were_lost_and_it_was_repaired(scenario):
    recorded = recording(scenario)
    for point in range(0, len(recorded.changes) + 1, 3 if scenario == "fan_out_10" else 1):
        try:
            finish_without_messages(recorded, point)
        except Exception as error:  # noqa: PERF203 (a run takes longer)
            raise AssertionError(f"{scenario}, after {point} changes: {error}") from error


def finish_without_messages(recorded, point):
    hub = hub_of(recorded, DotnetApplication(ORCHESTRATORS, ACTIVITIES))

    async def play(hub):
        await restored_at(hub, recorded, point)
        for queue in await hub.storage.queues.list_queues(""):
            await hub.storage.queues.delete_queue(queue)
            await hub.storage.queues.create_queue(queue)
        for _ in range(4):  # what was repaired may show what else was lost: a parent, then its child
            found = await hub.client.examine()
            for finding in found.findings:
                if finding.remedy is not None:
                    assert await hub.client.repair(finding) is None
            running = await hub.worker()
            await hub.sleep(600)
            await running.stop()
            await hub.sleep(120)
        again = await hub.client.examine()
        state = await hub.state()
        return again, {row.partition_key: row.columns["RuntimeStatus"] for row in state.instances}

    again, statuses = hub.run(play)

    ends = recorded_ends(recorded.name, point)
    assert again.problems == ()
    # What had not even a row when its message was lost, never was.
    assert statuses == {key: ends[key][0] for key in statuses}
    assert statuses or not any(each["kind"] == "table.batch History" for each in recorded.changes[:point])


# ---- entities


def bank(context):
    """Every way to ask an entity: signalled, called, locked and called."""
    one, two = df.EntityId("account", "one"), df.EntityId("account", "two")
    context.signal_entity(one, "add", 1)
    counted = yield context.call_entity(one, "add", 2)
    with (yield context.lock_entities([one, two])):
        counted += yield context.call_entity(two, "add", 10)
        counted += yield context.call_entity(one, "add", 4)
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
    return counted + (yield context.call_entity(two, "add", 20))


def account(context):
    context.set_state(context.get_state(lambda: 0) + context.get_input())
    context.set_result(context.get_state())


class Deadly:
    """Between a worker and its store: the worker dies at one of its calls."""

    def __init__(self, number):
        self.calls_left = number
        self.running = None
        self.has_struck = False

    def wrap(self, storage):
        return intercepted(storage, self._around)

    async def _around(self, call, act):
        self.calls_left -= 1
        if self.calls_left == 0:
            self.has_struck = True
            self.running.kill()
        return await act()


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "classic"])
def test_no_request_to_an_entity_is_lost_whatever_its_worker_died_at(warm):
    looks = 0
    for number in range(10, 1000, 3):
        found = examined_after(number, warm=warm)
        if found is None:
            break
        kinds = {each.kind for each in found.findings if each.severity is Severity.PROBLEM or each.remedy is not None}
        assert kinds <= HARMLESS, (number, [each.text for each in found.findings])
        looks += 1

    assert looks > 20


def examined_after(number, *, warm):
    """Let a worker die at a call, look, and let another one finish; ``None`` when it was finished before."""
    app = PlainApplication({"bank": bank})
    app.entities = {"account": account}
    hub = VirtualHub(app=app, partition_count=2, warm_sessions=warm, wake_readers=warm, use_app_lease=False)

    async def play(hub):
        deadly = Deadly(number)
        await hub.start("bank", instance_id="i")
        deadly.running = await hub.worker(wrap=deadly.wrap, wait=False)
        while not deadly.has_struck:
            await hub.sleep(0.05)
            if (await hub.client.get(InstanceId("i"))).status is RuntimeStatus.Completed:
                return None
        found = await hub.client.examine()
        await hub.worker("next")
        assert json.loads((await hub.end("i")).output) == 3 + 10 + 7 + 30, number
        return found

    return hub.run(play)
