"""Sizes at which something is stored otherwise, on every store: batches, messages, columns (storage.md 10.5, 10.6)."""

import json
from datetime import timedelta

import pytest

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub

MAX_CHECKPOINT_BYTES = 3 * 1024 * 1024
FIRST_EPISODE_ROWS = 3
"""OrchestratorStarted, ExecutionStarted, OrchestratorCompleted."""


def wide(context):
    """Call N activities at once, with texts of a length."""
    count, length = context.get_input()
    results = yield context.task_all([context.call_activity("size", str(n % 10) * length) for n in range(count)])
    return sum(results)


def echoing(context):
    return (yield context.call_activity("echo", context.get_input()))


def speaking(context):
    return context.get_input()
    yield


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def patient(context):
    """Wait for the first of N timers, which is a day away."""
    tomorrow = context.current_utc_datetime + timedelta(days=1)
    yield context.task_any([context.create_timer(tomorrow) for _ in range(context.get_input())])


CODE = {"wide": wide, "patient": patient, "echoing": echoing, "speaking": speaking, "waiting": waiting}


class Watched:
    """A hub whose history batches and messages are noted."""

    def __init__(self, storage, **settings):
        self.batches, self.messages = [], []
        self.hub = RealHub(
            intercepted(storage, self._note), CODE, {"size": len, "echo": lambda value: value}, **settings
        )

    async def _note(self, call, act):
        if call.method == "batch" and call.target == self.hub.names.history_table:
            self.batches.append(len(call.arguments[0]))
        if (call.service, call.method) == ("queue", "put"):
            self.messages.append(call.arguments[0])
        return await act()

    async def state(self):
        return await read_hub(self.hub.storage, self.hub.names, partition_count=self.hub.settings.partition_count)


# 99 rows and the sentinel fit into a batch.
@pytest.mark.parametrize(
    ("events", "batches"), [(98, [99]), (99, [100]), (100, [100, 2]), (250, [100, 100, 53])], ids=str
)
async def test_an_episode_is_stored_in_as_many_batches_as_it_needs(any_storage, events, batches):
    watched = Watched(any_storage)
    async with watched.hub.working():
        await watched.hub.start("patient", events - FIRST_EPISODE_ROWS, instance_id="patient")
        await watched.hub.running("patient")
    stored = await watched.state()

    assert watched.batches == batches
    assert stored.sentinel("patient").columns["IsCheckpointComplete"] is True
    assert [row.row_key for row in stored.history_rows("patient")] == [f"{n:016X}" for n in range(events)]


async def test_an_episode_is_stored_in_batches_of_three_mebibytes(any_storage):
    count, length = 70, 28_000
    watched = Watched(any_storage, store_inputs=True)
    async with watched.hub.working():
        await watched.hub.start("wide", [count, length], instance_id="wide")
        state = await watched.hub.end("wide")

    assert state.output == str(count * length)
    # A row counts for its texts in UTF-16 and a kibibyte; two small rows come first, the sentinel last.
    full = MAX_CHECKPOINT_BYTES // (2 * length + 1024)
    first, second, *_ = watched.batches
    assert abs(first - full - 3) <= 1
    assert first + second == FIRST_EPISODE_ROWS + count + 2


# ---- messages and columns

ENVELOPE = 46_080
COLUMN = 30_720


async def test_a_message_of_45_kib_is_a_message_and_one_byte_more_is_a_blob(any_storage):
    watched = Watched(any_storage)
    hub = watched.hub
    await hub.client.create_hub()
    await hub.client.raise_event(InstanceId("i"), "go", json.dumps(""))
    rest = len(watched.messages[-1])

    # The time in an envelope has six or seven digits, or fewer; all sizes around the limit are met.
    for size in range(ENVELOPE - 8, ENVELOPE + 9):
        await hub.client.raise_event(InstanceId("i"), "go", json.dumps("x" * (size - rest)))
    stored = await watched.state()
    names = [json.loads(text)["CompressedBlobName"] for text in watched.messages]
    inline = [len(text.encode()) for text, name in zip(watched.messages, names, strict=True) if name is None]
    in_blobs = [len(stored.blobs[name].encode()) for name in names if name is not None]

    assert ENVELOPE - 3 < max(inline) <= ENVELOPE
    assert ENVELOPE < min(in_blobs) < ENVELOPE + 4
    assert all(name.endswith("-EventRaised.json.gz") for name in names if name is not None)


@pytest.mark.parametrize("length", [COLUMN, COLUMN + 1])
async def test_a_column_of_60_kib_is_a_column_and_one_character_more_is_a_blob(any_storage, length):
    watched = Watched(any_storage)
    hub = watched.hub
    text = json.dumps("x" * (length - 2))
    async with hub.working():
        await hub.client.start("speaking", instance_id=InstanceId("i"), input=json.dumps(text))
        spoken = await hub.end("i")
        await hub.client.start("waiting", instance_id=InstanceId("w"), input=None)
        await hub.running("w")
        await hub.client.terminate(InstanceId("w"), "y" * length)
        ended = await hub.end("w")
    stored = await watched.state()

    assert spoken.output == text
    assert (ended.status, ended.output) == (RuntimeStatus.Terminated, "y" * length)
    columns = {
        (row.partition_key, row.columns["EventType"]): row.columns
        for row in stored.history
        if "EventType" in row.columns
    }
    for key in (("i", "ExecutionCompleted"), ("w", "ExecutionCompleted")):
        assert ("ResultBlobName" in columns[key]) == (length > COLUMN), key
        assert len(columns[key]["Result"]) == (0 if length > COLUMN else COLUMN)
    assert ("InputBlobName" in columns["w", "ExecutionTerminated"]) == (length > COLUMN)
