"""`doctor` on every store: a hub is damaged on purpose, the damage is named, repaired, and a worker finishes."""

import asyncio
import json
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub import TaskHubClient, TaskHubSettings
from taskhub.codec.instance_rows import ROW_KEY
from taskhub.model.diagnosis import Severity
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime import doctor
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub

COUNTER = EntityId("counter", "a")


def quick(context):
    return context.get_input()
    yield


def working(context):
    return (yield context.call_activity("work", 5))


def sleeping(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))
    return "awake"


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def holding(context):
    yield context.lock_entities([df.EntityId("counter", "a")])
    yield context.wait_for_external_event("go")


def counter(context):
    context.set_state(context.get_state(lambda: 0) + (context.get_input() or 0))


class Activity:
    """Hangs until it is let go."""

    def __init__(self):
        self.is_free = False

    async def work(self, value):
        if not self.is_free:
            await asyncio.Event().wait()
        return value


@pytest.fixture(autouse=True)
def short_second_look(monkeypatch):
    monkeypatch.setattr(doctor, "SECOND_LOOK_SECONDS", 0.1)


@pytest.fixture
def activity():
    return Activity()


@pytest.fixture
def hub(any_storage, activity):
    code = {each.__name__: each for each in (quick, working, sleeping, waiting, holding)}
    made = RealHub(any_storage, code, {"work": activity.work}, stop_grace_seconds=0.5)
    made.app.entities = {"counter": counter}
    return made


async def lose(hub, *queues):
    """Lose all messages of some queues, or of all."""
    for queue in queues or await hub.storage.queues.list_queues(f"{hub.names.hub.lower()}-"):
        await hub.storage.queues.delete_queue(queue)
        await hub.storage.queues.create_queue(queue)


async def spoil_row(hub, instance_id, columns, kind=Write.MERGE):
    await hub.storage.tables.write(hub.names.instances_table, TableWrite(kind, Row(instance_id, ROW_KEY, columns)))


def of(found, *severities):
    return [(each.kind, each.subject) for each in found.findings if each.severity in (severities or tuple(Severity))]


async def repair(hub, kind):
    """Look, see that exactly one thing of a kind is wrong, mend it, and see that it is mended."""
    found = await hub.client.examine()
    (finding,) = [each for each in found.findings if each.remedy is not None]
    assert finding.kind == kind, finding
    assert await hub.client.repair(finding) is None
    return finding


async def test_a_hub_that_is_well_has_no_findings(hub, activity):
    activity.is_free = True
    nothing = await hub.client.examine()
    async with hub.working():
        await hub.end(await hub.start("working", instance_id="a"))
        await hub.running(await hub.start("waiting", instance_id="b"))
        await hub.running(await hub.start("sleeping", 3600, instance_id="c"))
        await hub.client.signal_entity(COUNTER, "add", "1")
        await hub.end(await hub.start("quick", "x" * 50_000, instance_id="d"))
        at_work = await hub.client.examine()
    at_rest = await hub.client.examine()

    assert (nothing.exists, nothing.findings) == (False, ())
    assert of(at_work, Severity.PROBLEM) == []
    assert (at_work.instances, at_work.workers) == (4, ("worker",))
    assert of(at_rest, Severity.PROBLEM) == []
    assert {kind for kind, _ in of(at_rest)} <= {"no-worker"}


async def test_a_start_that_was_lost_is_put_again(hub):
    await hub.start("quick", "x" * 50_000, instance_id="a")
    await lose(hub)

    finding = await repair(hub, "lost-start")
    async with hub.working():
        ended = await hub.end("a")

    assert finding.subject == "a"
    assert json.loads(ended.output) == "x" * 50_000


async def test_a_work_item_that_was_lost_is_asked_for_again(hub, activity):
    async with hub.working():
        await hub.running(await hub.start("working", instance_id="a"))
        await hub.events("a", at_least=4)
    await lose(hub, hub.names.work_item_queue)
    activity.is_free = True

    await repair(hub, "lost-activity")
    async with hub.working():
        ended = await hub.end("a")

    assert (ended.status, ended.output) == (RuntimeStatus.Completed, "5")


async def test_a_timer_that_was_lost_is_put_again(hub):
    async with hub.working():
        await hub.running(await hub.start("sleeping", 2, instance_id="a"))
    await lose(hub)

    await repair(hub, "lost-timer")
    async with hub.working():
        ended = await hub.end("a")

    assert ended.output == '"awake"'


async def test_a_row_that_disagrees_with_its_history_is_written_anew(hub):
    async with hub.working():
        for name in ("a", "b"):
            await hub.end(await hub.start("quick", name, instance_id=name))
    await spoil_row(hub, "a", {"RuntimeStatus": "Running", "Output": ""})
    await spoil_row(hub, "b", {}, Write.DELETE)

    found = await hub.client.examine()
    refused = [await hub.client.repair(each) for each in found.findings]
    again = [await hub.client.repair(each) for each in found.findings]

    assert of(found) == [("row-disagrees", "a"), ("row-disagrees", "b")]
    assert "Its row says Running, its history says Completed." in found.findings[0].text
    assert refused == [None, None]
    assert again == ["it has changed since it was looked at"] * 2
    for name in ("a", "b"):
        state = await hub.client.get(InstanceId(name))
        assert (state.status, state.name, state.output) == (RuntimeStatus.Completed, "quick", f'"{name}"')
    assert (await hub.client.examine()).findings == ()


async def test_an_entity_that_was_left_locked_is_opened(hub):
    async def is_there():
        return await hub.client.read_entity(COUNTER) is not None

    async def is_locked():
        state = await hub.client.read_entity(COUNTER)
        return state is not None and state.locked_by == "a"

    async def has_gone_on():
        return (await hub.client.read_entity(COUNTER)).state == "3"

    async with hub.working():
        await hub.client.signal_entity(COUNTER, "add", "1")
        await until(is_there)  # nothing keeps the lock from overtaking the signal
        await hub.start("holding", instance_id="a")
        await until(is_locked)
    await hub.client.purge(InstanceId("a"))

    async with hub.working():
        await hub.client.signal_entity(COUNTER, "add", "2")
        finding = await repair(hub, "orphaned-lock")
        await until(has_gone_on)

    assert finding.subject == "@counter@a"
    assert "locked by 'a', which does not exist" in finding.text


async def until(is_so):
    deadline = asyncio.get_running_loop().time() + 30
    while not await is_so():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.05)


async def test_a_blob_that_nothing_names_is_deleted_and_others_are_kept(hub, activity):
    async with hub.working():
        await hub.end(await hub.start("quick", "x" * 50_000, instance_id="a"))
    await hub.start("quick", "y" * 50_000, instance_id="b")
    container = hub.names.large_messages_container
    before = {each.name for each in await hub.storage.blobs.list_blobs(container, "")}
    await hub.storage.blobs.put_blob(container, "c/history-0000000000000009-TaskCompleted-1-Result.json.gz", b"old")

    finding = await repair(hub, "unused-blob")
    async with hub.working():
        ended = await hub.end("b")

    assert finding.severity is Severity.NOTICE
    assert json.loads(ended.output) == "y" * 50_000
    left = {each.name for each in await hub.storage.blobs.list_blobs(container, "")}
    assert before <= left
    assert finding.subject not in left


async def test_messages_that_lead_nowhere_are_told(hub):
    await hub.client.create_hub()
    queue = hub.names.control_queue(0)
    await hub.storage.queues.put(queue, "garbage")
    await hub.client.raise_event(InstanceId("nobody"), "go", None)

    found = await hub.client.examine()
    elsewhere = TaskHubClient(hub.storage, TaskHubSettings(hub_name=hub.names.hub, partition_count=7))
    of_seven = await elsewhere.examine()
    counts = [each.messages for each in (found, await hub.client.examine())]

    assert ("message-unreadable", queue) in of(found, Severity.PROBLEM)
    assert ("unknown-instance", "nobody") in of(found, Severity.NOTICE)
    assert ("no-worker", "workers") in of(found, Severity.NOTICE)
    assert of(of_seven, Severity.PROBLEM)[0] == ("partition-count", "host.json")
    assert "partitionCount to 4" in of_seven.findings[0].text
    assert counts == [2, 2], "looking takes nothing away"
    state = await read_hub(hub.storage, hub.names, partition_count=4)
    assert sum(state.messages.values()) == 2


async def test_a_lease_that_nobody_renews_is_told(hub):
    await hub.client.create_hub()
    await hub.start("quick", 1, instance_id="a")
    async with hub.working():
        await hub.end("a")
    queue = hub.names.control_queue(0)
    lease = {"CurrentOwner": "dead", "IsDraining": False}
    await hub.storage.tables.write(
        hub.names.partitions_table, TableWrite(Write.INSERT_OR_REPLACE, Row("", queue, lease))
    )
    await hub.storage.queues.put(queue, "garbage")

    found = await hub.client.examine()

    assert ("lease-not-renewed", queue) in of(found)
    assert "'dead' owns this partition" in next(each for each in found.findings if each.subject == queue).text


async def test_what_has_changed_meanwhile_is_left_alone(hub, activity):
    async with hub.working():
        await hub.running(await hub.start("working", instance_id="a"))
        await hub.events("a", at_least=4)
    await lose(hub, hub.names.work_item_queue)
    (finding,) = [each for each in (await hub.client.examine()).findings if each.remedy is not None]
    activity.is_free = True

    async with hub.working():
        at_work = await hub.client.repair(finding)
        await hub.client.terminate(InstanceId("a"), "enough")
        await hub.end("a")
    changed = await hub.client.repair(finding)

    assert at_work == "a worker is at work, and may have it in memory; stop the workers first"
    assert changed == "it has changed since it was looked at"
