"""Values of every size, histories and fan-outs beyond one page or batch, ids of any letters: on every store."""

import json
import random
import re
from datetime import timedelta

import pytest

from taskhub.codec.keys import escape_instance_id
from taskhub.codec.messages import MAX_INLINE_MESSAGE_BYTES
from taskhub.codec.overflow import MAX_COLUMN_UNITS
from taskhub.model.ids import InstanceId
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from taskhub.runtime.history_store import MAX_BATCH_EVENTS
from taskhub.storage.interception import intercepted
from taskhub.storage.port import MAX_BATCH_OPERATIONS
from tests.support.long_history import EVENTS_PER_STEP, answer_last, steps, write_history
from tests.support.real_hub import RealHub

SERVICE_BATCH_BYTES = 4 * 1024 * 1024
WIDTHS = {"x": 1, "é": 1, "€": 1, "😀": 2}
"""Letters of one to four bytes in UTF-8, and their UTF-16 units."""


def echo(context):
    return context.get_input()
    yield


def through_an_activity(context):
    return (yield context.call_activity("Echo", context.get_input()))


def fan_out(context):
    results = yield context.task_all([context.call_activity("Wide", n) for n in range(context.get_input())])
    return sum(map(len, results))


def meets_a_child(context):
    name = yield context.wait_for_external_event("naïve/event")
    child = yield context.call_sub_orchestrator("echo", name, f"{context.instance_id}-childé")
    yield context.create_timer(context.current_utc_datetime + timedelta(milliseconds=10))
    return (yield context.call_activity("Echo", child))


CODE = {"echo": echo, "through": through_an_activity, "fan": fan_out, "meets": meets_a_child, "Steps": steps}
WIDE = "w" * 29_000


def hub_on(storage, **settings):
    return RealHub(storage, CODE, {"Echo": lambda value: value, "Wide": lambda n: WIDE}, **settings)


async def blobs_of(hub, prefix=""):
    return {item.name for item in await hub.storage.blobs.list_blobs(hub.names.large_messages_container, prefix)}


# ---- the exact limits


@pytest.mark.parametrize("letter", WIDTHS)
async def test_an_input_of_exactly_the_column_s_size_stays_in_its_column(any_storage, letter):
    """30,720 UTF-16 units, which are the reference's 60 KB."""
    hub = hub_on(any_storage)
    most = (MAX_COLUMN_UNITS - 2) // WIDTHS[letter]  # and two quotes
    texts = {f"of-{delta}": json.dumps(letter * (most + delta), ensure_ascii=False) for delta in (-1, 0, 1)}

    async with hub.working():
        for name, text in texts.items():
            await hub.client.start("echo", instance_id=InstanceId(name), input=text)
        states = {name: await hub.end(name) for name in texts}
        columns = {name: await blobs_of(hub, f"{name}/") for name in texts}

    assert {name: state.input for name, state in states.items()} == texts
    assert {name: state.output for name, state in states.items()} == texts
    # Of a start message that fits its queue only the columns go to blobs.
    histories = {name: any("/history-" in blob for blob in found) for name, found in columns.items()}
    assert histories == {"of--1": False, "of-0": False, "of-1": True}


async def test_messages_around_the_queue_s_limit_arrive_whole_with_and_without_a_blob(any_storage):
    """45 KiB of UTF-8; how long the rest of a message is varies by some letters, hence a range."""
    hub = hub_on(any_storage)
    sent = []

    async def measure(call, act):
        if call.method == "put" and "-control-" in call.target:
            sent.append(len(call.arguments[0].encode()))
        return await act()

    measured = hub_on(intercepted(any_storage, measure), name=hub.settings.hub_name)
    await measured.client.start("echo", instance_id=InstanceId("measured-00"), input='""')
    overhead = sent.pop()
    texts = {
        f"measured-{number:02}": json.dumps("x" * (MAX_INLINE_MESSAGE_BYTES - overhead - 10 + number))
        for number in range(1, 21)
    }

    async with hub.working():
        for name, text in texts.items():
            await measured.client.start("echo", instance_id=InstanceId(name), input=text)
        states = {name: await hub.end(name) for name in texts}
        with_blob = {name for name in texts if any("/message-" in each for each in await blobs_of(hub, f"{name}/"))}

    assert {name: state.output for name, state in states.items()} == texts
    assert 0 < len(with_blob) < len(texts)
    assert max(sent) <= MAX_INLINE_MESSAGE_BYTES


async def test_twelve_megabytes_pass_through_everything(any_storage):
    hub = hub_on(any_storage)
    value = random.Random(1).randbytes(4096).hex() * 1536

    async with hub.working():
        instance_id = await hub.start("through", value)
        state = await hub.end(instance_id)

    assert state.status is RuntimeStatus.Completed
    assert len(value) == 12 * 1024 * 1024
    assert json.loads(state.output) == value
    assert json.loads(json.loads(state.input)) == value
    await hub.client.purge(instance_id)
    assert await blobs_of(hub) == set()


# ---- histories and batches


async def test_a_history_of_several_pages_is_loaded_replayed_and_committed(any_storage):
    hub, count = hub_on(any_storage), 600
    instance_id = InstanceId("long")
    await write_history(any_storage, hub.settings, instance_id, count)
    await answer_last(any_storage, hub.settings, instance_id, count)

    async with hub.working():
        state = await hub.end(instance_id)
        history = await hub.client.history(instance_id)

    assert json.loads(state.output) == sum(range(count))
    assert len(history) == EVENTS_PER_STEP * count + 4
    assert hub.app.runs == {}


async def test_an_episode_is_stored_in_batches_that_the_service_takes(any_storage):
    """150 answers of 29,000 letters: too many rows and too many bytes for one transaction."""
    batches = []

    async def measure(call, act):
        if call.method == "batch" and call.target.endswith("History"):
            operations = call.arguments[0]
            size = sum(len(json.dumps(dict(each.row.columns)).encode("utf-8")) for each in operations)
            batches.append((len(operations), size))
        return await act()

    hub = hub_on(intercepted(any_storage, measure), warm_sessions=False, max_concurrent_activities=100)

    async with hub.working():
        state = await hub.end(await hub.start("fan", 150))

    assert json.loads(state.output) == 150 * len(WIDE)
    assert max(count for count, _ in batches) == MAX_BATCH_OPERATIONS == MAX_BATCH_EVENTS + 1
    assert max(size for _, size in batches) < SERVICE_BATCH_BYTES
    assert sum(count - 1 for count, _ in batches) >= 300


# ---- ids


IDS = (
    "заказ №7",
    "日本語/注文",
    "zero\u200bwidth and 😀",
    "a\\b#c?d%e",
    "%2F+^^0",
    "e\u0301 and é",
    "i" * 200,
    "'quote' \"double\"",
)


@pytest.mark.parametrize("instance_id", IDS, ids=ascii)
async def test_an_id_may_have_any_letters(any_storage, instance_id):
    hub = hub_on(any_storage)
    value = "ü" * 40_000  # so that blobs are named after it

    async with hub.working():
        await hub.start("meets", instance_id=instance_id)
        await hub.running(instance_id)
        await hub.client.raise_event(InstanceId(instance_id), "NAÏVE/event", json.dumps(value))
        state = await hub.end(instance_id)
        page = await hub.client.query(InstanceFilter(id_prefix=instance_id))
        history = await hub.client.history(InstanceId(instance_id))

    assert json.loads(state.output) == value
    assert {each.instance_id for each in page.instances} == {instance_id, f"{instance_id}-childé"}
    assert history[1].instance.instance_id == instance_id
    for each in page.instances:
        await hub.client.purge(each.instance_id)
    assert await blobs_of(hub) == set()
    assert not (await hub.client.query(InstanceFilter())).instances


@pytest.mark.parametrize("char", "/\\#?\u0000\u001f\u007f\u009f")
def test_letters_that_a_key_may_not_have_are_written_as_others(char):
    assert not re.search(r"[/\\#?\x00-\x1f\x7f-\x9f]", escape_instance_id(InstanceId(f"a{char}b")))
