"""Writes that lose against others, and writes of which nobody knows, on every store (storage.md 10.8, 10.9, H9)."""

import asyncio
import json
from datetime import timedelta

import pytest

from taskhub.errors import TransientStorageError
from taskhub.model.history import ExecutionCompleted, OrchestrationInstance, TimerFired
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.storage.interception import intercepted
from taskhub.storage.port import Row, TableWrite, Write
from tests.simulation.checks import check_at_rest
from tests.support.hub_state import read_hub
from tests.support.real_hub import PATIENCE_SECONDS, RealHub


def echoing(context):
    return (yield context.call_activity("echo", context.get_input()))


def fan_out(context):
    return sum((yield context.task_all([context.call_activity("echo", number) for number in range(120)])))


def generations(context):
    """A long first generation, a short second one, which waits for an event or a timer of a day."""
    if context.get_input():
        yield context.task_all([context.call_activity("echo", number) for number in range(20)])
        soon = context.create_timer(context.current_utc_datetime + timedelta(seconds=2))
        yield context.task_any([soon, context.call_activity("echo", 1)])
        context.continue_as_new(False)
        return None
    late = context.create_timer(context.current_utc_datetime + timedelta(days=1))
    event = context.wait_for_external_event("go")
    winner = yield context.task_any([late, event])
    late.cancel()
    return "the timer of the old generation" if winner is late else event.result


CODE = {"echoing": echoing, "fan_out": fan_out, "generations": generations}
ECHO = {"echo": lambda value: value}


class Meddled:
    """A hub whose worker meets something at a call."""

    def __init__(self, storage, **settings):
        self.outside = storage
        self.calls, self.rules = [], []
        self.hub = RealHub(
            intercepted(storage, self._around),
            CODE,
            ECHO,
            partition_count=1,
            control_queue_visibility_seconds=3,
            work_item_visibility_seconds=3,
            **settings,
        )

    def once(self, method, target, action):
        """Let ``action(call, act)`` happen instead of one call."""
        self.rules.append((method, target, action))

    async def _around(self, call, act):
        self.calls.append((call.method, call.target))
        for rule in self.rules:
            method, target, action = rule
            if (method, target) == (call.method, call.target):
                self.rules.remove(rule)
                return await action(call, act)
        return await act()

    def commits(self):
        """How often the history was written, or tried to be."""
        return self.calls.count(("batch", self.hub.names.history_table))

    async def at_rest(self):
        """Return what is stored when no message is left; it must be in order."""
        names, loop = self.hub.names, asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        queues = (names.work_item_queue, names.control_queue(0))
        while any([await self.outside.queues.count(queue) for queue in queues]):
            assert loop.time() < deadline, "messages are left"
            await asyncio.sleep(0.05)
        left = await read_hub(self.outside, names, partition_count=1)
        check_at_rest(left)
        return left


async def lose_reply(call, act):
    await act()
    raise TransientStorageError("the reply was lost")


async def test_a_commit_whose_reply_is_lost_is_taken_for_what_it_is(any_storage):
    meddled = Meddled(any_storage)
    hub = meddled.hub
    async with hub.working():
        meddled.once("batch", hub.names.history_table, lose_reply)
        state = await hub.end(await hub.start("echoing", 1))
        left = await meddled.at_rest()

    # Two episodes, and the attempt that was refused because it had succeeded.
    assert (state.output, meddled.commits(), sum(hub.app.runs.values())) == ("1", 3, 1)
    assert len(left.events(state.instance_id)) == 8


@pytest.mark.parametrize("number", [1, 2])
async def test_any_transaction_of_a_long_commit_may_lose_its_reply(any_storage, number):
    meddled = Meddled(any_storage)
    hub = meddled.hub
    async with hub.working():
        for _ in range(number - 1):
            meddled.once("batch", hub.names.history_table, lambda call, act: act())
        meddled.once("batch", hub.names.history_table, lose_reply)
        state = await hub.end(await hub.start("fan_out"))
        left = await meddled.at_rest()

    assert state.output == str(sum(range(120)))
    assert set(hub.app.runs.values()) == {1}
    assert sum(event.type_name == "TaskScheduled" for event in left.events(state.instance_id)) == 120


async def test_who_loses_against_a_second_writer_reloads_and_loses_nothing(any_storage):
    """Somebody touches the sentinel between our reading and our commit, as another owner of the partition would."""
    meddled = Meddled(any_storage)
    hub = meddled.hub

    async def touch_first(call, act):
        *_, sentinel = call.arguments[0]
        row = await any_storage.tables.read(call.target, sentinel.row.partition_key, sentinel.row.row_key)
        touched = TableWrite(Write.MERGE, Row(row.partition_key, row.row_key, {"CheckpointNote": "another's"}))
        await any_storage.tables.batch(call.target, [touched])
        return await act()

    async with hub.working():
        meddled.once("batch", hub.names.history_table, lambda call, act: act())
        meddled.once("batch", hub.names.history_table, touch_first)
        state = await hub.end(await hub.start("echoing", 1))
        left = await meddled.at_rest()

    # The start, the end that was refused, and the end.
    assert (state.status, state.output, meddled.commits()) == (RuntimeStatus.Completed, "1", 3)
    assert sum(isinstance(event, ExecutionCompleted) for event in left.events(state.instance_id)) == 1


async def test_two_who_begin_an_instance_make_one_of_it(any_storage):
    """The second writer's first commit is there before ours: nobody's rows are mixed."""
    meddled = Meddled(any_storage)
    hub = meddled.hub
    seen = []

    async def commit_twice(call, act):
        seen.append(await act())
        return await act()

    async with hub.working():
        meddled.once("batch", hub.names.history_table, commit_twice)
        state = await hub.end(await hub.start("echoing", 1))
        await meddled.at_rest()

    assert seen
    assert (state.output, sum(hub.app.runs.values())) == ("1", 1)


async def test_a_row_that_somebody_else_wrote_is_merged_again(any_storage):
    meddled = Meddled(any_storage)
    hub = meddled.hub

    async def touch_first(call, act):
        row = await any_storage.tables.read(call.target, "x", "")
        await any_storage.tables.write(call.target, TableWrite(Write.MERGE, Row("x", "", {"Note": "theirs"}), row.etag))
        return await act()

    async with hub.working():
        meddled.once("write", hub.names.instances_table, lambda call, act: act())  # the client's
        meddled.once("write", hub.names.instances_table, touch_first)
        await hub.start("echoing", 1, instance_id="x")
        state = await hub.end("x")
        await meddled.at_rest()
        row = await any_storage.tables.read(hub.names.instances_table, "x", "")

    assert (state.output, row.columns["Note"], row.columns["RuntimeStatus"]) == ("1", "theirs", "Completed")


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "classic"])
async def test_a_new_generation_replaces_a_longer_history_and_hears_no_timer_of_the_old_one(any_storage, warm):
    meddled = Meddled(any_storage, warm_sessions=warm)
    hub = meddled.hub
    # Before anybody works: its first generation may be over before it could be looked at.
    await hub.client.create_hub()
    await hub.start("generations", True, instance_id="g")
    first = (await hub.client.get(InstanceId("g"))).execution_id
    async with hub.working():
        second = (await hub.until("g", lambda state: state.execution_id != first)).execution_id
        new = await hub.events("g", at_least=5)
        # The timer of two seconds was left open, and so is the activity of the first generation: the answers come.
        await asyncio.sleep(3)
        # And once more, for the very task id that is open in the second generation.
        fired = TimerFired(timestamp=hub.client._now(), timer_id=0, fire_at=hub.client._now())
        await hub.client._services.messenger.send(
            TaskMessage(fired, target=OrchestrationInstance(InstanceId("g"), first)),
            sender=OrchestrationInstance(InstanceId("g"), first),
            episode=1,
        )
        await asyncio.sleep(1)
        assert (await hub.client.get(InstanceId("g"))).status is RuntimeStatus.Running
        await hub.client.raise_event(InstanceId("g"), "go", '"the event"')
        state = await hub.end("g")
        history = await hub.client.history(InstanceId("g"))
        left = await read_hub(any_storage, hub.names, partition_count=1)

    assert json.loads(state.output) == "the event"
    assert state.execution_id == second
    # These rows of the new generation lie over those of the old one, of which more are left: they are no part of it.
    assert [event.type_name for event in new] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
        "TimerCreated",
        "OrchestratorCompleted",
    ]
    assert len([row for row in left.history if row.partition_key == "g"]) > len(history) + 1
    assert not [event for event in history if isinstance(event, TimerFired)]
