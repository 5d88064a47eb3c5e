"""Shortcuts (docs/design/shortcuts.md): what each saves, and that it falls back to the long way where it must."""

import asyncio
import itertools
import json
from datetime import datetime, timedelta

import azure.durable_functions as df
import pytest

from taskhub.codec.messages import decode_envelope
from taskhub.core.activity import question_id
from taskhub.errors import TransientStorageError
from taskhub.model.history import TaskCompleted, TaskScheduled, TimerCreated, TimerFired
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.settings import CLASSIC
from taskhub.storage.counting import CallCounter
from taskhub.storage.interception import intercepted
from taskhub.storage.port import TableWrite, Write
from tests.support.activities import Runs
from tests.support.virtual_hub import UNHURRIED, VirtualHub

SHORTCUTS = list(CLASSIC)


def sequence(context):
    total = 0
    for n in range(3):
        total += yield context.call_activity("work", n)
    return total


def fan_out(context):
    return sum((yield context.task_all([context.call_activity("work", n) for n in range(context.get_input())])))


def late(context):
    yield context.wait_for_external_event("go")
    return (yield context.call_activity("work", 7))


def a_hub(work, **settings):
    orchestrators = {"sequence": sequence, "fan_out": fan_out, "late": late}
    return VirtualHub(orchestrators, {"work": work}, partition_count=1, **settings)


def answers(history):
    return [event.task_scheduled_id for event in history if isinstance(event, TaskCompleted)]


# ---- 8.4 A: activities that are run where they are asked for


def test_an_activity_that_is_asked_for_here_runs_without_a_read_of_the_queue():
    hub, counter = a_hub(Runs()), CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        return await hub.end(await hub.start("sequence"))

    assert hub.run(main).output == "3"
    assert counter.counts["queue.get full workitems"] == 0


def test_only_as_many_work_items_are_hidden_as_can_start_and_another_worker_takes_the_others():
    work = Runs(seconds=50)
    hub = a_hub(work, max_concurrent_activities=3)

    async def main(hub):
        first = await hub.worker()
        await hub.worker("second", wait=False)
        instance_id = await hub.start("fan_out", 6)
        await hub.sleep(40)
        held = first.worker._mailbox.count(hub.names.work_item_queue)
        return held, sorted(work.given), await hub.end(instance_id)

    held, given, state = hub.run(main)

    assert (held, given, state.output) == (3, [0, 1, 2, 3, 4, 5], "15")


def test_an_activity_whose_worker_dies_runs_on_another_when_its_time_is_over():
    work = Runs(seconds=1000)
    hub = a_hub(work, work_item_visibility_seconds=30)

    async def main(hub):
        first = await hub.worker()
        instance_id = await hub.start("fan_out", 1)
        await hub.sleep(5)
        first.kill()
        work.seconds = 0
        await hub.worker("second")
        return await hub.end(instance_id)

    assert hub.run(main).output == "0"
    assert work.given == [0, 0]


def test_work_items_of_a_refused_commit_are_left_to_whoever_reads_the_queue():
    """They must not be deleted: the refusal may be the echo of a commit that was stored."""
    work = Runs()
    hub = a_hub(work)
    struck = []

    async def write_behind(call, act):
        """Have somebody write the history once, between a put and the commit."""
        done = await act()
        if call.method == "put" and call.target == hub.names.work_item_queue and not struck:
            struck.append(call)
            await _touch_sentinel(hub)
        return done

    async def main(hub):
        await hub.worker(wrap=lambda store: intercepted(store, write_behind))
        await hub.start("late", instance_id="a")
        await hub.until("a", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.raise_event(InstanceId("a"), "go", "1")
        state = await hub.end("a")
        await hub.sleep(5)
        return state, await hub.client.history(InstanceId("a")), await hub.state()

    state, history, left = hub.run(main)

    assert struck
    assert state.output == "7"
    assert answers(history) == [0]
    assert work.given == [7, 7]
    assert not any(left.messages.values())


async def _touch_sentinel(hub):
    rows = await hub.storage.tables.query(hub.names.history_table)
    (sentinel,) = [row for row in rows.rows if row.row_key == "sentinel"]
    await hub.storage.tables.write(hub.names.history_table, TableWrite(Write.MERGE, sentinel))


# ---- 8.4 C: answers that go by no queue


def test_an_answer_here_goes_by_no_queue_and_is_stored_before_what_follows_from_it():
    hub, counter = a_hub(Runs(), fold_seconds=0), CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        return await hub.end(await hub.start("sequence"))

    hub.run(main)

    assert counter.counts["queue.put control"] == 0
    assert counter.counts["table.batch History"] == 6  # two of them ahead of a put


def test_the_work_item_stands_for_its_answer_until_that_is_stored():
    """A worker that dies between an episode's beginning and its end leaves the work item, which goes on with it."""
    work = Runs()
    hub = a_hub(work, work_item_visibility_seconds=30)
    struck = []

    async def main(hub):
        async def die(call, act):
            if call.method == "put" and call.target == hub.names.work_item_queue:
                struck.append(call)
                if len(struck) == 2:
                    first.kill()
                    await asyncio.sleep(0)
            return await act()

        first = await hub.worker(wrap=lambda store: intercepted(store, die))
        instance_id = await hub.start("sequence")
        await hub.sleep(10)
        stored = [type(event) for event in await hub.client.history(instance_id)]
        await hub.worker("second")
        return stored, await hub.end(instance_id), await hub.client.history(instance_id)

    stored, state, history = hub.run(main)

    assert stored.count(TaskCompleted) == 1
    assert stored.count(TaskScheduled) == 1  # what follows from the answer was not stored
    assert state.output == "3"
    assert answers(history) == [0, 1, 2]


@pytest.mark.parametrize("end", ["stop", "partition"])
def test_an_answer_that_waits_when_its_partition_goes_is_put_on_the_queue(end):
    """The orchestration is busy with other messages when the partition goes, the activity must not run again."""
    work = Runs(seconds=5)
    hub = a_hub(work)

    async def main(hub):
        first = await hub.worker()
        instance_id = await hub.start("fan_out", 1, instance_id="a")
        await hub.sleep(2)
        if end == "stop":
            await first.stop()
        else:
            first.worker._partitions.drop(hub.names.control_queue(0))
            await hub.sleep(10)
            first.kill()
        await hub.worker("second")
        return await hub.end(instance_id)

    assert hub.run(main).output == "0"
    assert work.given == [0]


def test_an_answer_whose_episode_is_refused_is_put_on_the_queue_and_says_which_question_it_is_for():
    work = Runs()
    hub = a_hub(work)
    commits, answers_put = [], []

    async def write_behind(call, act):
        if call.method == "batch" and call.target == hub.names.history_table:
            commits.append(call)
            if len(commits) == 2:
                await _touch_sentinel(hub)
        if call.method == "put" and call.target == hub.names.control_queue(0):
            answers_put.append(decode_envelope(call.arguments[0]))
        return await act()

    async def main(hub):
        await hub.worker(wrap=lambda store: intercepted(store, write_behind))
        state = await hub.end(await hub.start("fan_out", 1))
        return state, await hub.client.history(state.instance_id)

    state, history = hub.run(main)

    (asked,) = [event for event in history if isinstance(event, TaskScheduled)]
    (answer,) = answers_put
    assert (state.output, work.given) == ("0", [0])
    assert answer.activity_id == question_id(state.execution_id, asked.event_id, asked.timestamp)


def test_answers_that_come_together_are_stored_together():
    hub, counter = a_hub(Runs(), max_concurrent_activities=100), CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        return await hub.end(await hub.start("fan_out", 50))

    assert hub.run(main).output == str(sum(range(50)))
    assert counter.counts["table.batch History"] == 2


def test_one_slow_activity_holds_the_others_answers_up_for_a_moment_only():
    async def work(value):
        await asyncio.sleep(100 if value else 0)
        return value

    hub = a_hub(work, gather_seconds=0.02)

    async def main(hub):
        await hub.worker()
        instance_id = await hub.start("fan_out", 2)
        await hub.sleep(1)
        return answers(await hub.client.history(instance_id))

    assert hub.run(main) == [0]


# ---- 8.4 B, G: messages to instances of partitions that are ours


def parent(context):
    return (yield context.call_sub_orchestrator("sequence", None, "child"))


def test_a_child_and_its_answer_are_handed_over():
    hub, counter = a_hub(Runs()), CallCounter()
    hub.app = type(hub.app)({"parent": parent, "sequence": sequence}, {"work": Runs()})

    async def main(hub):
        running = await hub.worker(wrap=counter.wrap)
        return await hub.end(await running.worker.client.start("parent"))

    assert hub.run(main).output == "3"
    assert counter.counts["queue.get full control"] == 0
    assert counter.counts["queue.put control"] == 3


def test_messages_to_partitions_of_others_are_put_for_them_to_see():
    hub, counter = VirtualHub(partition_count=4), CallCounter()
    hub.app = type(hub.app)({"parent": parent, "sequence": sequence}, {"work": Runs()})

    async def main(hub):
        await hub.worker("first", wrap=counter.wrap)
        await hub.worker("second", wrap=counter.wrap)
        await hub.sleep(60)  # they share the partitions
        return [await hub.end(await hub.start("parent", instance_id=name)) for name in ("p0", "p1", "p2")]

    # One after the other, since they share the child's id.
    assert [state.output for state in hub.run(main)] == ["3", "3", "3"]


def test_a_worker_that_dies_with_messages_out_of_sight_loses_none():
    """The child's start is hidden when its worker dies; the parent's history asks for it."""
    hub = a_hub(Runs(), control_queue_visibility_seconds=30)
    hub.app = type(hub.app)({"parent": parent, "sequence": sequence}, {"work": Runs()})
    struck = []

    async def main(hub):
        async def die(call, act):
            done = await act()
            if call.method == "batch" and call.target == hub.names.history_table and not struck:
                struck.append(call)
                first.kill()
                await asyncio.sleep(0)
            return done

        first = await hub.worker(wrap=lambda store: intercepted(store, die))
        instance_id = await hub.start("parent")
        await hub.sleep(10)
        asked = [event.type_name for event in await hub.client.history(instance_id)]
        await hub.worker("second")
        return asked, await hub.end(instance_id)

    asked, state = hub.run(main)

    assert "SubOrchestrationInstanceCreated" in asked
    assert state.output == "3"


def test_a_start_whose_row_cannot_be_written_is_left_in_sight():
    hub = a_hub(Runs(), control_queue_visibility_seconds=1000)

    async def main(hub):
        async def fail(call, act):
            if call.method == "write" and call.target == hub.names.instances_table:
                raise TransientStorageError("503 ServerBusy")
            return await act()

        running = await hub.worker(wrap=lambda store: intercepted(store, fail))
        running.worker._partitions.leave()  # so that nobody reads it
        with pytest.raises(TransientStorageError):
            await running.worker.client.start("sequence", instance_id="a")
        (message,) = await hub.storage.queues.snapshot(hub.names.control_queue(0))
        return message.next_visible - hub.clock.now()

    assert hub.run(main).total_seconds() <= 0


# ---- 8.4 F: timers that fire from memory

DUE_SECONDS = 100.5


def waits(context):
    """Wait for a time that is not a whole second away; return when it was over."""
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=DUE_SECONDS))
    return context.current_utc_datetime.isoformat()


def many(context):
    """Wait for several times at once."""
    begun = context.current_utc_datetime
    yield context.task_all([context.create_timer(begun + timedelta(seconds=5 + n)) for n in range(context.get_input())])


def a_hub_of_timers(**settings):
    hub = a_hub(Runs(), **{"max_polling_interval_seconds": 1.0, **settings})
    hub.app = type(hub.app)({"waits": waits, "many": many, "approval": approval}, {"work": Runs()})
    return hub


async def waiting_for(hub, instance_id):
    """Start an instance that waits for a timer; return when its timer is due, and its message as stored."""
    await hub.start("waits", instance_id=instance_id)
    await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
    await hub.sleep(1)
    return await due_of_timer(hub, instance_id), (await hub.storage.queues.snapshot(hub.names.control_queue(0)))[-1]


async def due_of_timer(hub, instance_id):
    history = await hub.client.history(InstanceId(instance_id))
    return next(event.fire_at.moment() for event in history if isinstance(event, TimerCreated))


def seconds_late(state, due):
    """Return how long after its time an instance went on."""
    return (datetime.fromisoformat(json.loads(state.output)) - due).total_seconds()


def test_a_timer_fires_at_its_very_time_and_without_a_read():
    hub, counter = a_hub_of_timers(max_polling_interval_seconds=3600.0), CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        due, message = await waiting_for(hub, "a")
        counter.counts.clear()
        state = await hub.end("a")
        await hub.sleep(1)
        return due, message, state, await hub.state()

    due, message, state, left = hub.run(main)

    assert 0 <= seconds_late(state, due) < 0.1
    assert 10 <= (message.next_visible - due).total_seconds() <= 11
    assert counter.counts["queue.get full control"] == 0
    assert counter.matching("queue.get empty control") <= 10  # no more than it polls anyway
    assert counter.counts["queue.delete_message control"] == 1
    assert not any(left.messages.values())


def test_a_timer_that_is_read_from_its_queue_wakes_the_reader_and_fires_at_its_very_time():
    hub = a_hub_of_timers(local_timers=False, max_polling_interval_seconds=3600.0)
    reads = []

    async def main(hub):
        async def note(call, act):
            if call.method == "get" and call.target == hub.names.control_queue(0):
                reads.append(hub.world.clock.now())
            return await act()

        await hub.worker(wrap=lambda store: intercepted(store, note))
        due, message = await waiting_for(hub, "a")
        return due, message, await hub.end("a")

    due, message, state = hub.run(main)

    assert -1 < (message.next_visible - due).total_seconds() <= 0
    assert 0 <= seconds_late(state, due) < 0.1
    found = min(at for at in reads if at >= message.next_visible)
    assert (found - message.next_visible).total_seconds() < 0.05  # polling alone would find it within minutes


def test_a_timer_whose_worker_dies_fires_a_moment_late():
    hub = a_hub_of_timers()

    async def main(hub):
        first = await hub.worker()
        due, _ = await waiting_for(hub, "a")
        first.kill()
        await hub.worker("second")
        return due, await hub.end("a")

    due, state = hub.run(main)

    assert 10 <= seconds_late(state, due) < 13


@pytest.mark.parametrize("end", ["stop", "lost", "drained"])
def test_a_timer_that_waits_when_its_partition_goes_is_visible_at_its_time(end):
    hub = a_hub_of_timers()

    async def main(hub):
        first = await hub.worker()
        due, _ = await waiting_for(hub, "a")
        queue = hub.names.control_queue(0)
        if end == "stop":
            await first.stop()
        else:
            getattr(first.worker._partitions, {"lost": "drop", "drained": "drain"}[end])(queue)
            await asyncio.sleep(1)
            left = len(first.worker._timers)
            first.kill()
            assert left == 0
        (message,) = await hub.storage.queues.snapshot(queue)
        await hub.worker("second")
        return due, message, await hub.end("a")

    due, message, state = hub.run(main)

    assert -1 < (message.next_visible - due).total_seconds() <= 0
    assert 0 <= seconds_late(state, due) < 1.1  # the next owner finds it when it polls


def test_a_timer_of_a_refused_commit_is_left_in_its_queue_and_visible_at_its_time():
    """It must not be deleted: the refusal may be the echo of a commit that was stored."""
    hub = a_hub_of_timers()
    hub.app = type(hub.app)({"late": timer_after_event}, {})
    struck = []

    async def main(hub):
        async def write_behind(call, act):
            done = await act()
            if call.method == "put" and call.target == hub.names.control_queue(0) and not struck:
                struck.append(call)
                await _touch_sentinel(hub)
            return done

        await hub.worker(wrap=lambda store: intercepted(store, write_behind))
        await hub.start("late", instance_id="a")
        await hub.until("a", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.raise_event(InstanceId("a"), "go", "1")
        await hub.sleep(10)
        timers = await hub.storage.queues.snapshot(hub.names.control_queue(0))
        due = await due_of_timer(hub, "a")
        state = await hub.end("a")
        await hub.sleep(60)
        return [(each.next_visible - due).total_seconds() for each in timers], due, state, await hub.state()

    hidden, due, state, left = hub.run(main)

    assert struck
    # Of the episode that was refused, and of the one that was run in its place.
    assert len(hidden) == 2
    assert min(hidden) <= 0.0 < 10 <= max(hidden)
    assert 0 <= seconds_late(state, due) < 0.1
    assert not any(left.messages.values())


def timer_after_event(context):
    """Ask for a timer in the second episode."""
    yield context.wait_for_external_event("go")
    return (yield from waits(context))


def test_a_timer_whose_commit_takes_until_its_end_is_read_from_its_queue():
    hub = a_hub_of_timers()

    async def main(hub):
        async def dawdle(call, act):
            if call.method == "batch" and call.target == hub.names.history_table:
                await asyncio.sleep(DUE_SECONDS + 8)
            return await act()

        running = await hub.worker(
            wrap=lambda store: intercepted(store, dawdle), lease_interval_seconds=600.0, lease_round_seconds=100.0
        )
        await hub.start("waits", instance_id="a")
        await hub.sleep(DUE_SECONDS + 9)
        kept = len(running.worker._timers)
        state = await hub.end("a")
        await hub.sleep(60)
        return kept, state.status, await hub.state()

    kept, status, left = hub.run(main)

    assert (kept, status) == (0, RuntimeStatus.Completed)
    assert not any(left.messages.values())


def test_timers_beyond_the_limit_are_read_from_their_queue():
    hub, counter = a_hub_of_timers(max_local_timers=3), CallCounter()

    async def main(hub):
        running = await hub.worker(wrap=counter.wrap)
        instance_id = await hub.start("many", 5)
        await hub.sleep(3)
        return len(running.worker._timers), await hub.end(instance_id)

    kept, state = hub.run(main)

    assert (kept, state.status) == (3, RuntimeStatus.Completed)
    assert counter.counts["queue.get full control"] == 3  # the start, and two timers


@pytest.mark.parametrize("deletes", [True, False])
def test_a_timer_that_is_left_open_does_not_wait_in_memory_for_its_time(deletes):
    hub = a_hub_of_timers(delete_timers=deletes, max_polling_interval_seconds=3600.0)

    async def main(hub):
        running = await hub.worker()
        await hub.start("approval", instance_id="a")
        await hub.sleep(5)
        before = len(running.worker._timers)
        await hub.client.raise_event(InstanceId("a"), "go", "1")
        await hub.end("a")
        after = len(running.worker._timers)
        await hub.sleep(4 * 24 * 3600)
        return before, after, len(running.worker._timers), await hub.state()

    before, after, at_last, left = hub.run(main)

    # What is not deleted comes at its time, for nobody, as it does from the queue.
    assert (before, after, at_last) == (1, 0 if deletes else 1, 0)
    assert not any(left.messages.values())


def test_the_waits_between_attempts_fire_from_memory():
    given = []

    async def work(value):
        given.append(hub.seconds)
        if len(given) < 3:
            raise ValueError("not yet")
        return value

    def again(context):
        return (yield context.call_activity_with_retry("work", df.RetryOptions(20_000, 3), 7))

    hub, counter = a_hub(work, max_polling_interval_seconds=3600.0), CallCounter()
    hub.app = type(hub.app)({"again": again}, {"work": work})

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        return await hub.end(await hub.start("again"))

    assert hub.run(main).output == "7"
    assert [later - sooner for sooner, later in itertools.pairwise(given)] == pytest.approx([20, 20], abs=0.2)
    assert counter.counts["queue.get full control"] == 1


def test_a_long_timer_fires_from_memory_leg_by_leg():
    hub, counter = a_hub_of_timers(**UNHURRIED), CallCounter()
    ended = []

    def long(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(days=8, seconds=0.5))
        ended.append(hub.seconds)

    hub.app = type(hub.app)({"long": long}, {})

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        return await hub.end(await hub.start("long"), within=30 * 24 * 3600)

    assert hub.run(main).status is RuntimeStatus.Completed
    assert ended[-1] == pytest.approx(8 * 24 * 3600 + 0.5, abs=1)
    assert counter.counts["queue.get full control"] == 1


def test_a_timer_that_was_hidden_for_too_short_a_time_fires_once_at_its_time():
    """The store shows it early: the reader hides it again, with another receipt, and it comes a second time."""
    hub = a_hub_of_timers()

    async def main(hub):
        await hub.worker()
        due, message = await waiting_for(hub, "a")
        queue = hub.names.control_queue(0)
        await hub.storage.queues.put(queue, message.text)
        state = await hub.end("a")
        await hub.sleep(60)
        return due, state, await hub.client.history(InstanceId("a")), await hub.state()

    due, state, history, left = hub.run(main)

    assert 0 <= seconds_late(state, due) < 0.1
    assert len([event for event in history if isinstance(event, TimerFired)]) == 1
    assert not any(left.messages.values())


# ---- 8.4 F: timers that nobody waits for


def approval(context):
    """Wait for an event or three days, and begin anew once."""
    late = context.create_timer(context.current_utc_datetime + timedelta(days=3))
    event = context.wait_for_external_event("go")
    yield context.task_any([late, event])
    late.cancel()
    if context.get_input():
        context.continue_as_new(None)


@pytest.mark.parametrize("again", [None, True], ids=["ended", "generation"])
def test_a_timer_that_is_left_open_leaves_no_message(again):
    hub = a_hub(Runs())
    hub.app = type(hub.app)({"approval": approval}, {})

    async def main(hub):
        await hub.worker()
        await hub.start("approval", again, instance_id="a")
        for _ in range(2 if again else 1):
            await hub.sleep(5)
            waiting = await hub.storage.queues.snapshot(hub.names.control_queue(0))
            await hub.client.raise_event(InstanceId("a"), "go", "1")
        state = await hub.end("a")
        await hub.sleep(5)
        return len(waiting), state.status, (await hub.state()).messages

    waiting, status, left = hub.run(main)

    assert (waiting, status) == (1, RuntimeStatus.Completed)
    assert not any(left.values())


# ---- 8.4 E: instances that are taken for new


def test_a_new_instance_is_not_looked_for():
    hub, counter = a_hub(Runs()), CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        return await hub.end(await hub.start("sequence"))

    hub.run(main)

    assert counter.counts["table.query History"] == 0


@pytest.mark.parametrize("is_lost", [True, False], ids=["row lost", "row there"])
def test_an_instance_that_is_started_again_under_its_id_begins_anew(is_lost):
    """Its generation tells that there was one before; where the row was lost, the refused commit does."""
    seen = []

    def clock(context):
        seen.append(context.current_utc_datetime)
        return (yield context.call_activity("work", 1))

    work = Runs()
    hub, counter = a_hub(work), CallCounter()
    hub.app = type(hub.app)({"clock": clock}, {"work": work})

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        await hub.end(await hub.start("clock", instance_id="a"))
        await hub.sleep(5)
        if is_lost:
            table = hub.names.instances_table
            (row,) = (await hub.storage.tables.query(table)).rows
            await hub.storage.tables.write(table, TableWrite(Write.DELETE, row))
        counter.counts.clear()
        seen.clear()
        await hub.start("clock", instance_id="a")
        state = await hub.end("a")
        return state, await hub.client.history(InstanceId("a"))

    state, history = hub.run(main)

    assert state.output == "1"
    assert answers(history) == [0]
    # The code ran once more, at the same time, so that it decides the same.
    assert (len(seen), len(set(seen))) == (2, 1) if is_lost else len(seen) == 1
    assert counter.counts["table.batch History -> 409"] == (1 if is_lost else 0)


# ---- each can be switched off


@pytest.mark.parametrize("off", SHORTCUTS)
def test_each_can_be_switched_off_alone(off):
    hub = a_hub(Runs(), **{off: False})

    async def main(hub):
        await hub.worker()
        return [await hub.end(await hub.start(name, given)) for name, given in (("sequence", None), ("fan_out", 30))]

    assert [json.loads(state.output) for state in hub.run(main)] == [3, sum(range(30))]
