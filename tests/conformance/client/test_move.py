"""A hub moves from one store to another in the middle of its work: the worker over there finishes everything."""

import asyncio
import json
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import azure.durable_functions as df
import pytest

from taskhub import ConfigurationError, HubInUse, PayloadError, TaskHubClient
from taskhub.codec.dump_lines import DumpedMessage, DumpedRow, decode_line
from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from taskhub.storage.azure import open_azure
from taskhub.storage.memory import open_memory
from taskhub.storage.sqlite import open_sqlite
from tests.support.real_hub import RealHub, parts_of

LARGE = "x" * 70_000
MOVES = [
    ("memory", "sqlite"),
    pytest.param(("sqlite", "azure"), marks=pytest.mark.azurite),
    pytest.param(("azure", "memory"), marks=pytest.mark.azurite),
    pytest.param(("azure", "azure"), marks=pytest.mark.azurite),
]


@pytest.fixture(params=MOVES, ids=lambda move: f"{move[0]} to {move[1]}")
async def stores(request, tmp_path):
    """Two stores of the kinds of a move."""
    async with AsyncExitStack() as stack:
        opened = []
        for number, kind in enumerate(request.param):
            if kind == "memory":
                storage = open_memory(now=lambda: datetime.now(timezone.utc))
            elif kind == "sqlite":
                storage = await open_sqlite(tmp_path / f"hub-{number}.db")
            else:
                storage = await open_azure(connection_string=request.getfixturevalue("azurite"))
            stack.push_async_callback(storage.aclose)
            opened.append(storage)
        yield opened


def echoing(context):
    return (yield context.call_activity("echo", context.get_input()))


def slow(context):
    first = yield context.call_activity("echo", "before")
    second = yield context.call_activity("slow", "after")
    return [first, second]


def timing(context):
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=3))
    return "fired"


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def parent(context):
    children = [context.call_sub_orchestrator("slow", None, f"{context.instance_id}-{number}") for number in range(2)]
    return (yield context.task_all(children))


def failing(context):
    raise ValueError("no")
    yield


CODE = {"echoing": echoing, "slow": slow, "timing": timing, "waiting": waiting, "parent": parent, "failing": failing}


def make_hubs(stores, **elsewhere):
    release = asyncio.Event()

    async def held(value):
        await release.wait()
        return value

    here = RealHub(stores[0], CODE, {"echo": lambda value: value, "slow": held}, stop_grace_seconds=1.0)
    there = RealHub(stores[1], CODE, {"echo": lambda value: value, "slow": lambda value: value}, **elsewhere)
    return here, there


async def dumped(hub, **options):
    lines = []
    await hub.client.dump_hub(lines.append, **options)
    return lines


@pytest.mark.parametrize("partition_count", [4, 3])
async def test_a_hub_in_the_middle_of_everything_is_finished_elsewhere(stores, partition_count):
    here, there = make_hubs(stores, partition_count=partition_count)
    async with here.working():
        await here.start("echoing", LARGE, instance_id="done")
        await here.start("failing", instance_id="failed")
        await here.end("done")
        await here.end("failed")
        await here.start("slow", instance_id="slow/1")
        await here.start("parent", instance_id="parent")
        await here.start("timing", instance_id="timing")
        await here.start("waiting", instance_id="waiting")
        await here.start("waiting", instance_id="suspended")
        for name in ("slow/1", "parent", "timing", "waiting", "suspended", "parent-0", "parent-1"):
            await here.running(name)
        await here.client.suspend(InstanceId("suspended"), "hold")
        await here.until("suspended", lambda state: state.status is RuntimeStatus.Suspended)
        await here.client.raise_event(InstanceId("suspended"), "go", '"kept"')
        await here.events("suspended", at_least=9)
    # After the worker's end: this event lies in the queue, and so do the starts.
    later = Utc.of(datetime.now(timezone.utc) + timedelta(seconds=3))
    await here.start("echoing", LARGE, instance_id="later", scheduled_start=later, tags={"a": "b"})
    await here.client.raise_event(InstanceId("waiting"), "go", json.dumps(LARGE))
    await here.start("echoing", 5, instance_id="new")

    await there.client.load_hub(await dumped(here))

    async with there.working():
        await there.client.resume(InstanceId("suspended"), None)
        names = ("done", "slow/1", "parent", "timing", "waiting", "suspended", "later", "new")
        outputs = {name: json.loads((await there.end(name)).output) for name in names}
        failed = await there.client.get(InstanceId("failed"))
        later_state = await there.client.get(InstanceId("later"))
        inputs = json.loads(json.loads((await there.client.get(InstanceId("done"))).input))

    assert outputs == {
        "done": LARGE,
        "slow/1": ["before", "after"],
        "parent": [["before", "after"]] * 2,
        "timing": "fired",
        "waiting": LARGE,
        "suspended": "kept",
        "later": LARGE,
        "new": 5,
    }
    assert inputs == LARGE
    assert failed.output == "Orchestrator function 'failing' failed: no"
    assert later_state.tags == {"a": "b"}
    # What was done here was not done again there.
    assert there.app.runs.total() == 3 + len(("later", "new"))


async def test_a_dump_holds_all_rows_to_the_letter_and_leaves_the_hub_as_it_was(stores):
    here, there = make_hubs(stores)
    async with here.working():
        await here.start("echoing", LARGE, instance_id="it's/odd #1")
        await here.end("it's/odd #1")
    await here.start("echoing", 5, instance_id="new")

    first = await dumped(here)
    again = await dumped(here)
    await there.client.load_hub(first)
    moved = await dumped(there)

    def content(lines, kind):
        return [item for item in map(decode_line, lines) if isinstance(item, kind)]

    assert content(again, DumpedRow) == content(first, DumpedRow)
    # Messages were taken to be read, where they cannot be seen otherwise, and were put back.
    assert [item.text for item in content(again, DumpedMessage)] == [
        item.text for item in content(first, DumpedMessage)
    ]
    history = [item for item in content(first, DumpedRow) if item.table == "History"]
    assert [item for item in content(moved, DumpedRow) if item.table == "History"] == history
    assert len(history) == 9
    hubs = {item.columns["TaskHubName"] for item in content(moved, DumpedRow) if item.table == "Instances"}
    assert hubs == {there.settings.hub_name}


async def test_a_dump_is_loaded_whole_or_starts_nothing(stores):
    here, there = make_hubs(stores)
    await here.start("echoing", 5, instance_id="new")
    lines = await dumped(here)

    with pytest.raises(PayloadError, match="not whole"):
        await there.client.load_hub(lines[:-1])
    assert sum(each.messages for each in (await there.client.hub_status()).partitions) == 0
    with pytest.raises(ConfigurationError, match="not empty"):
        await there.client.load_hub(lines)

    await there.client.delete_hub()
    with pytest.raises(PayloadError, match="line 2 of the dump is not JSON"):
        await there.client.load_hub([lines[0], lines[1][:-1], *lines[2:]])
    with pytest.raises(PayloadError, match="line 1 of the dump stands in the wrong place"):
        await there.client.load_hub(lines[1:])
    del lines[1]
    with pytest.raises(PayloadError, match="not whole"):
        await there.client.load_hub(lines)


async def test_a_hub_in_use_is_dumped_only_by_force(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working(worker_id="worker-a"):
        await hub.start("waiting", instance_id="w")
        await hub.running("w")
        with pytest.raises(HubInUse, match="worker-a"):
            await dumped(hub)
        lines = await dumped(hub, force=True)

    assert json.loads(lines[-1])["rows"] == 5


async def test_a_hub_that_does_not_exist_is_not_dumped(any_storage):
    hub = RealHub(any_storage)

    with pytest.raises(ConfigurationError, match=f"no task hub '{hub.settings.hub_name}'"):
        await dumped(hub)

    assert await parts_of(hub) == []


async def test_timers_that_a_queue_does_not_show_are_inferred(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        await hub.start("timing", instance_id="t")
        await hub.running("t")
        later = Utc("2100-01-01T00:00:00Z")
        await hub.start("echoing", LARGE, instance_id="later", scheduled_start=later)
    lines = []
    summary = await hub.client.dump_hub(lines.append)

    messages = [item for item in map(decode_line, lines) if isinstance(item, DumpedMessage)]
    is_azure = await any_storage.queues.snapshot(hub.names.work_item_queue) is None
    assert [item.is_inferred for item in messages] == [is_azure] * 2
    assert all(item.visible > Utc.of(datetime.now(timezone.utc)) for item in messages)
    assert summary.unread == 0


async def test_a_loaded_hub_can_be_read_with_a_client_alone(any_storage):
    hub = RealHub(any_storage, CODE, {"echo": lambda value: value})
    async with hub.working():
        await hub.start("echoing", LARGE, instance_id="done")
        await hub.end("done")
    memory = open_memory(now=lambda: datetime.now(timezone.utc))
    client = TaskHubClient(memory, hub.settings)
    await client.load_hub(await dumped(hub))

    page = await client.query(InstanceFilter())
    purged = await client.purge(InstanceId("done"))

    assert [json.loads(state.output) for state in page.instances] == [LARGE]
    assert purged == 1
    assert await memory.blobs.list_blobs(hub.names.large_messages_container, "") == []


# ---- there and back


def counter(context):
    context.set_state([*context.get_state(lambda: []), context.get_input()])
    context.set_result(context.get_state())


def calling(context):
    yield context.call_activity("slow", "first")
    return (yield context.call_entity(df.EntityId("counter", "a"), "add", LARGE))


@pytest.mark.azurite
async def test_a_running_hub_moves_to_the_emulator_and_back_and_is_finished(azurite, tmp_path):
    async with AsyncExitStack() as stack:
        hubs = []
        for storage in (
            await open_sqlite(tmp_path / "here.db"),
            await open_azure(connection_string=azurite),
            await open_sqlite(tmp_path / "back.db"),
        ):
            stack.push_async_callback(storage.aclose)
            hubs.append(RealHub(storage, {**CODE, "calling": calling}, {"echo": lambda value: value, "slow": hold}))
            hubs[-1].app.entities = {"counter": counter}
        here, there, back = hubs
        back.app.activities = {"echo": lambda value: value, "slow": lambda value: value}
        here.settings = replace(here.settings, stop_grace_seconds=0.5)

        async with here.working():
            await signal(here, "a", 1)
            await here.until("@counter@a", lambda state: '"[1]"' in (state.input or ""))
            for name in ("slow", "calling", "timing", "waiting", "parent"):
                await here.start(name, instance_id=name)
            for name in ("slow", "calling", "timing", "waiting", "parent", "parent-0", "parent-1"):
                await here.running(name)
        # With no worker left: messages of every kind lie in the queues.
        await here.client.raise_event(InstanceId("waiting"), "go", json.dumps(LARGE))
        await here.start("echoing", LARGE, instance_id="new")
        await signal(here, "a", 2)

        first = await dumped(here)
        await there.client.load_hub(first)
        second = []
        summary = await there.client.dump_hub(second.append)
        await back.client.load_hub(second)
        async with back.working():
            outputs = {
                name: json.loads((await back.end(name)).output)
                for name in ("slow", "calling", "timing", "waiting", "parent", "new")
            }
            counted = await back.until("@counter@a", lambda state: '"[1, 2' in (state.input or ""))

    assert summary.unread == 0
    assert messages_of(second) == messages_of(first)
    assert outputs == {
        "slow": ["before", "after"],
        "calling": [1, 2, LARGE],
        "timing": "fired",
        "waiting": LARGE,
        "parent": [["before", "after"]] * 2,
        "new": LARGE,
    }
    assert counted.status is RuntimeStatus.Running


async def signal(hub, key, value, **options):
    await hub.client.signal_entity(EntityId("counter", key), "add", json.dumps(json.dumps(value)), **options)


async def hold(value):
    await asyncio.sleep(3600)


def messages_of(lines):
    """Return the messages of a dump: their queues and kinds.

    A timer that is due within a second is visible already, and told by the history too; its reader takes it once.
    """
    found = set()
    for item in map(decode_line, lines):
        if isinstance(item, DumpedMessage):
            content = decode_envelope(item.text)
            event = None if isinstance(content, BlobPointer) else content.message.event
            found.add((item.queue, event.type_name if event else "in a blob"))
    return found
