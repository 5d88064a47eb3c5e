"""Answers that are stored together with what they answer (docs/design/shortcuts.md): `fold_seconds`."""

import asyncio

import pytest

from taskhub.model.history import EventRaised, TaskCompleted, TaskScheduled
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.counting import CallCounter
from taskhub.storage.interception import intercepted
from taskhub.storage.port import TableWrite, Write
from tests.support.activities import Runs
from tests.support.virtual_hub import VirtualHub


def sequence(context):
    total = 0
    for n in range(context.get_input() or 3):
        total += yield context.call_activity("work", n)
    return total


def fan_out(context):
    return sum((yield context.task_all([context.call_activity("work", n) for n in range(context.get_input())])))


def patient(context):
    yield context.call_activity("work", 0)
    return (yield context.wait_for_external_event("go"))


def endless(context):
    yield context.call_activity("work", 0)
    if context.get_input() < 5:
        context.continue_as_new(context.get_input() + 1)
        return None
    return "done"


def a_hub(work, **settings):
    orchestrators = {"sequence": sequence, "fan_out": fan_out, "patient": patient, "endless": endless}
    return VirtualHub(orchestrators, {"work": work}, partition_count=1, **settings)


async def worker_that_knows_work(hub, work, *, name="first", wrap=None):
    """Start a worker that has run the activity once, so that it is known to be quick."""
    running = await hub.worker(name, wrap=wrap)
    await hub.end(await hub.start("fan_out", 1))
    work.given.clear()
    return running


class Calls:
    """Notes what a worker writes, and lets something happen before one of its calls."""

    def __init__(self, hub):
        self.hub = hub
        self.made = []
        self.before = None

    def wrap(self, storage):
        async def note(call, act):
            if self.before is not None:
                await self.before(call)
            if call.method in ("put", "batch", "merge", "delete") or call.target == self.hub.names.instances_table:
                self.made.append((call.method, call.target))
            return await act()

        return intercepted(storage, note)


def answers(history):
    return [event.task_scheduled_id for event in history if isinstance(event, TaskCompleted)]


def test_a_sequence_of_quick_activities_costs_one_transaction_for_each():
    work, counter = Runs(), CallCounter()
    hub = a_hub(work)

    async def main(hub):
        running = await worker_that_knows_work(hub, work, wrap=counter.wrap)
        await hub.sleep(5)
        counter.counts.clear()
        instance_id = await running.worker.client.start("sequence")
        state = await hub.end(instance_id)
        await hub.sleep(1)
        return state, answers(await hub.client.history(instance_id)), await hub.state()

    state, answered, left = hub.run(main)
    work_done = {kind: n for kind, n in counter.counts.items() if " Partitions" not in kind and "empty" not in kind}

    assert (state.output, answered) == ("3", [0, 1, 2])
    assert work_done == {
        "queue.put control": 1,
        "table.post Instances": 1,
        "queue.put workitems": 3,
        "table.batch History": 3,
        "table.patch Instances": 1,
        "queue.delete_message workitems": 3,
        "queue.delete_message control": 1,
    }
    assert not any(left.messages.values())


def test_what_an_episode_was_told_is_stored_before_what_follows_is_put_and_its_message_stays_until_the_next_is_stored():
    work = Runs()
    hub = a_hub(work)
    calls = Calls(hub)

    async def main(hub):
        await worker_that_knows_work(hub, work, wrap=calls.wrap)
        await hub.sleep(5)
        calls.made.clear()
        await hub.end(await hub.start("sequence"))
        await hub.sleep(1)

    hub.run(main)
    writes = [
        (method, "work" if target == hub.names.work_item_queue else "history")
        for method, target in calls.made
        if target in (hub.names.work_item_queue, hub.names.history_table)
    ]

    puts_and_batches = [method for method, _ in writes if method != "delete"]
    assert puts_and_batches == ["put", "batch", "put", "batch", "put", "batch"]
    deletes = [writes[:index].count(("batch", "history")) for index, each in enumerate(writes) if each[0] == "delete"]
    # The first one stands for its answer until what followed from that, the second one's TaskScheduled, is stored.
    assert len(deletes) == 3
    assert min(deletes) >= 2


def test_an_activity_that_is_not_known_to_be_quick_is_asked_for_in_the_history_first():
    """It may be one that kills its process; it would come back for ever, and the instance would not be seen to run."""
    work = Runs()
    work.seconds = 100
    hub = a_hub(work)

    async def main(hub):
        await hub.worker()
        instance_id = await hub.start("sequence")
        await hub.sleep(0.5)
        state = await hub.client.get(instance_id)
        return state.status, [type(event) for event in await hub.client.history(instance_id)]

    status, history = hub.run(main)

    assert status is RuntimeStatus.Running
    assert TaskScheduled in history


def test_one_that_takes_longer_than_usual_is_waited_for_a_moment_only():
    work = Runs()
    hub = a_hub(work, fold_seconds=0.05)

    async def main(hub):
        await worker_that_knows_work(hub, work)
        work.seconds = 10
        instance_id = await hub.start("sequence")
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        waited = hub.seconds
        asked = [event.event_id for event in await hub.client.history(instance_id) if isinstance(event, TaskScheduled)]
        return waited, asked, await hub.end(instance_id)

    waited, asked, state = hub.run(main)

    assert asked == [0]
    assert waited < 1
    assert (state.output, work.given) == ("3", [0, 1, 2])


def test_what_else_comes_for_the_instance_is_not_kept_waiting():
    work = Runs()
    hub = a_hub(work, fold_seconds=5)

    async def main(hub):
        running = await worker_that_knows_work(hub, work)
        work.seconds = 4
        instance_id = await running.worker.client.start("patient")
        await hub.sleep(1)
        before = await hub.client.history(instance_id)
        await running.worker.client.raise_event(instance_id, "go", '"now"')
        await hub.sleep(0.5)
        return before, await hub.client.history(instance_id), await hub.end(instance_id)

    before, after, state = hub.run(main)

    assert not before  # its answer is waited for
    assert EventRaised in [type(event) for event in after]
    assert (state.output, work.given) == ('"now"', [0])


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_worker_that_dies_before_it_stores_an_answer_that_came_at_once_loses_nothing(number):
    """The work item comes back, and so does the message before it."""
    work = Runs()
    hub = a_hub(work, work_item_visibility_seconds=30, control_queue_visibility_seconds=30)
    calls, commits = Calls(hub), []

    async def main(hub):
        first = await worker_that_knows_work(hub, work, wrap=calls.wrap)
        await hub.sleep(5)

        async def die(call):
            if call.method == "batch" and call.target == hub.names.history_table:
                commits.append(call)
                if len(commits) == number:
                    first.kill()
                    await asyncio.sleep(0)

        calls.before = die
        instance_id = await hub.start("sequence")
        await hub.sleep(10)
        stored = answers(await hub.client.history(instance_id))
        await hub.worker("second")
        state = await hub.end(instance_id)
        await hub.sleep(60)
        return stored, state, answers(await hub.client.history(instance_id)), await hub.state()

    stored, state, answered, left = hub.run(main)

    assert stored == [0, 1, 2][: number - 1]
    assert state.output == "3"
    assert answered == [0, 1, 2]
    assert work.given.count(number - 1) >= 2
    assert not any(left.messages.values())


@pytest.mark.parametrize("number", [1, 2])
def test_a_refused_episode_with_answers_is_run_again(number):
    work = Runs()
    hub = a_hub(work)
    calls, commits = Calls(hub), []

    async def write_behind(call):
        if call.method == "batch" and call.target == hub.names.history_table:
            commits.append(call)
            if len(commits) == number + 1:
                rows = await hub.storage.tables.query(hub.names.history_table)
                for row in [row for row in rows.rows if row.row_key == "sentinel"]:
                    await hub.storage.tables.write(hub.names.history_table, TableWrite(Write.MERGE, row))

    async def main(hub):
        await worker_that_knows_work(hub, work, wrap=calls.wrap)
        await hub.sleep(5)
        calls.before = write_behind
        instance_id = await hub.start("sequence", 4)
        state = await hub.end(instance_id)
        await hub.sleep(60)
        return state, answers(await hub.client.history(instance_id)), await hub.state()

    state, answered, left = hub.run(main)

    assert (state.output, answered) == ("6", [0, 1, 2, 3])
    assert not any(left.messages.values())


def test_an_instance_that_goes_on_as_new_keeps_to_its_newest_generation():
    work = Runs()
    hub = a_hub(work)

    async def main(hub):
        await worker_that_knows_work(hub, work)
        instance_id = await hub.start("endless", 0)
        state = await hub.end(instance_id)
        await hub.sleep(60)
        return state, answers(await hub.client.history(instance_id)), await hub.state()

    state, answered, left = hub.run(main)

    assert (state.output, answered) == ('"done"', [0])
    assert work.given == [0] * 6
    assert not any(left.messages.values())


def test_a_long_sequence_is_stored_as_running_before_its_end():
    work = Runs()
    hub = a_hub(work)

    async def main(hub):
        await worker_that_knows_work(hub, work)
        work.seconds = 0.04
        instance_id = await hub.start("sequence", 200)
        running = await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        await hub.sleep(2)
        later = await hub.client.get(instance_id)
        return running, later, await hub.end(instance_id)

    running, later, state = hub.run(main)

    assert running.last_updated < later.last_updated < state.last_updated
    assert state.output == str(sum(range(200)))


def test_an_instance_that_took_answers_at_once_can_be_replayed_by_another_worker():
    work = Runs()
    hub = a_hub(work)

    async def main(hub):
        first = await worker_that_knows_work(hub, work)
        instance_id = await hub.start("patient")
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        await first.stop()
        await hub.worker("second")
        await hub.client.raise_event(InstanceId(instance_id), "go", "7")
        return await hub.end(instance_id)

    assert hub.run(main).output == "7"
    assert work.given == [0]
