"""Dead letters on every store: parked, looked at, put back, dropped, moved, purged."""

import asyncio
import json
import uuid

import pytest

from taskhub import DeadLetterNotFound
from taskhub.codec.dump_lines import DumpedBlob, decode_line
from taskhub.model.ids import InstanceId
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from tests.support.real_hub import RealHub, parts_of

LARGE = "x" * 50_000


def working(context):
    try:
        return (yield context.call_activity("work", context.get_input()))
    except Exception as error:
        return f"caught {error.error_type}"


class Broken:
    """Stands for a host that fails by itself, until it is mended."""

    def __init__(self, hub):
        self._run = hub.app.run_activity
        self.is_mended = False
        hub.app.run_activity = self

    async def __call__(self, call):
        if not self.is_mended:
            raise RuntimeError("the host is broken")
        return await self._run(call)


@pytest.fixture
def hub(any_storage):
    return RealHub(any_storage, {"working": working}, {"work": lambda value: value}, max_dequeue_count=1)


async def letters(hub, count):
    """Return the dead letters once there are so many; the second reading of a message comes after two seconds."""
    for _ in range(200):
        found = await hub.client.dead_letters()
        if len(found) >= count:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"there are only {found}")


async def test_a_poisoned_work_item_is_parked_and_put_back(hub):
    broken = Broken(hub)
    names = {"small": 1, "a/b #1": LARGE}
    async with hub.working():
        for name, given in names.items():
            await hub.start("working", given, instance_id=name)
        outputs = [json.loads((await hub.end(name)).output) for name in names]
        found = await letters(hub, 2)
        shown = [await hub.client.dead_letter(each.id) for each in found]
        contents = {each.address.instance_id: await hub.client.dead_letter_content(each) for each in found}
        status = await hub.client.hub_status()
        broken.is_mended = True
        ran = asyncio.Event()
        hub.app.activities = {"work": lambda value: ran.set()}
        for each in found:
            await hub.client.retry_dead_letter(each.id)
        await ran.wait()

    assert outputs == ["caught PoisonedMessageError"] * 2
    assert shown == list(found)
    assert {each.told for each in found} == names.keys()
    assert contents["small"] is None
    assert LARGE in json.loads(contents["a/b #1"])["TaskMessage"]["Event"]["Input"]
    assert status.dead_letters == 2
    assert await hub.client.dead_letters() == []
    with pytest.raises(DeadLetterNotFound, match=found[0].id):
        await hub.client.retry_dead_letter(found[0].id)


async def park_two_unreadable(hub):
    await hub.client.create_hub()
    for queue in (hub.names.work_item_queue, hub.names.control_queue(1)):
        await hub.storage.queues.put(queue, "no message")
    async with hub.working():
        return await letters(hub, 2)


async def test_letters_are_dropped_one_by_one_and_go_with_the_hub(hub):
    first, second = await park_two_unreadable(hub)

    await hub.client.drop_dead_letter(first.id)
    with pytest.raises(DeadLetterNotFound):
        await hub.client.drop_dead_letter(first.id)
    left = await hub.client.dead_letters()
    await hub.client.delete_hub()

    assert left == [second]
    assert await hub.client.dead_letters() == []
    assert await parts_of(hub) == []


async def test_a_hub_without_letters_says_so(hub):
    assert await hub.client.dead_letters() == []
    with pytest.raises(DeadLetterNotFound, match="no dead letter 'x'"):
        await hub.client.dead_letter("x")


async def test_a_purged_instance_takes_its_letters_along_and_no_others(hub):
    Broken(hub)
    names = ["a", "a/b", "ab", "b"]
    async with hub.working():
        for name in names:
            await hub.start("working", LARGE, instance_id=name)
        for name in names:
            await hub.end(name)
        await letters(hub, 4)

    await hub.client.purge(InstanceId("a"))
    after_one = {each.told for each in await hub.client.dead_letters()}
    purged = await hub.client.purge_ended(InstanceFilter(statuses=frozenset({RuntimeStatus.Completed}), id_prefix="a"))
    after_many = {each.told for each in await hub.client.dead_letters()}

    assert after_one == {"a/b", "ab", "b"}
    assert purged.instances == 2
    assert after_many == {"b"}
    blobs = await hub.storage.blobs.list_blobs(hub.names.dead_letters_container, "")
    assert len(blobs) == 2  # the letter and its content


async def test_letters_move_with_their_hub_and_are_put_where_their_instance_is_now(hub, any_storage):
    Broken(hub)
    async with hub.working():
        await hub.start("working", LARGE, instance_id="order-42")
        await hub.end("order-42")
        [letter] = await letters(hub, 1)
    lines = []
    await hub.client.dump_hub(lines.append)
    there = RealHub(any_storage, {}, name=f"M{uuid.uuid4().hex[:12]}", partition_count=3)
    await there.client.load_hub(lines)

    [moved] = await there.client.dead_letters()
    content = await there.client.dead_letter_content(moved)
    await there.client.retry_dead_letter(moved.id)

    assert moved == letter
    assert content is not None
    assert LARGE in content
    assert await there.storage.queues.count(there.names.work_item_queue) == 1
    dumped = [item for item in map(decode_line, lines) if isinstance(item, DumpedBlob)]
    assert {item.container for item in dumped} == {"largemessages", "deadletters"}
    assert any("document" in json.loads(line) for line in lines)


async def test_a_damaged_letter_is_left_out_and_said(hub, caplog):
    _, second = await park_two_unreadable(hub)
    container = hub.names.dead_letters_container
    [name] = [each.name for each in await hub.storage.blobs.list_blobs(container, "") if second.id not in each.name]
    await hub.storage.blobs.put_blob(container, name, b"\xff")

    left = await hub.client.dead_letters()

    assert left == [second]
    assert [record.blob for record in caplog.records if record.event == "dead_letter_unreadable"] == [name]
