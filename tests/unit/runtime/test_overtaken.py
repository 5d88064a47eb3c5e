"""Writes that somebody else's overtake: a start, a purge, the end that another worker stored."""

import asyncio
import json
from datetime import datetime, timedelta

import azure.durable_functions as df
import pytest

from taskhub import TaskHubClient
from taskhub.codec.messages import decode_envelope, encode_pointer
from taskhub.codec.overflow import compress
from taskhub.errors import TransientStorageError
from taskhub.model.entities import EntityId
from taskhub.model.history import OrchestrationInstance, OrchestratorStarted, TaskCompleted
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.runtime.application import ActivitySucceeded
from taskhub.storage.interception import intercepted
from tests.support.plain_application import PlainApplication
from tests.support.scripted import Script
from tests.support.virtual_hub import VirtualHub

LARGE = "x" * 70_000


def echoing(context):
    return context.get_input()
    yield


def waiting(context):
    return (yield context.wait_for_external_event("go"))


CODE = {"echoing": echoing, "waiting": waiting}


def scripted_client(hub, script):
    process = hub.process("scripted", wrap=script.wrap)
    return TaskHubClient(process.storage, hub.settings, environment=process.environment)


def test_a_start_in_the_place_of_an_ended_instance_is_not_lost_when_its_row_is_written_meanwhile():
    hub, script = VirtualHub(CODE), Script()

    async def main(hub):
        await hub.worker()
        await hub.start("echoing", "first", instance_id="x")
        before = await hub.end("x")

        async def write_more_of_it(call, act):
            """As a worker does that died between the history and the row, and came back."""
            columns = {"CustomStatus": '"late"'}
            row = await hub.client._services.instances.read(InstanceId("x"))
            await hub.client._services.instances.merge(InstanceId("x"), columns, etag=row.etag)
            return await act()

        script.on("write", "Instances", write_more_of_it)
        await scripted_client(hub, script).restart(before, with_new_id=False)
        state = await hub.until("x", lambda state: state.generation == 1 and state.status.is_terminal, within=600)
        return before, state, await hub.state()

    before, state, left = hub.run(main)

    assert state.execution_id != before.execution_id
    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, "first")
    assert not any(left.messages.values())


def test_an_instance_that_is_purged_between_its_history_and_its_row_leaves_nothing():
    hub, script = VirtualHub(CODE, warm_sessions=False, partition_count=1), Script()

    async def main(hub):
        await hub.worker(wrap=script.wrap)
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)

        async def purge(call, act):
            await hub.client.purge(InstanceId("x"))
            return await act()

        script.on("write", "Instances", purge)
        await hub.client.raise_event(InstanceId("x"), "go", json.dumps(LARGE))
        await hub.sleep(100)
        return await hub.state()

    left = hub.run(main)

    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])
    assert not any(left.messages.values())
    assert not any(rule[3] for rule in script.rules)


@pytest.mark.parametrize("delay", [None, 3600], ids=["at once", "scheduled"])
def test_an_event_that_overtakes_the_start_of_an_ended_instance_reaches_the_new_execution(delay):
    """Found by simulation: it was dropped as one for the execution that had ended."""
    hub, script = VirtualHub(CODE, partition_count=1), Script()

    async def main(hub):
        await hub.worker()
        await hub.start("waiting", instance_id="x")
        await hub.client.raise_event(InstanceId("x"), "go", "1")
        await hub.end("x")

        async def put_later(call, act):
            await hub.storage.queues.put(call.target, *call.arguments, visible_after=delay or 5)

        script.on("put", "control", put_later)
        client = scripted_client(hub, script)
        at = None if delay is None else Utc.of(hub.clock.now() + timedelta(seconds=delay))
        await client.start("waiting", instance_id=InstanceId("x"), scheduled_start=at)
        await hub.client.raise_event(InstanceId("x"), "go", "2")
        return await hub.until("x", lambda state: state.output == "2", within=7200), await hub.state()

    state, left = hub.run(main)

    assert (state.status, state.generation) == (RuntimeStatus.Completed, 1)
    assert not any(left.messages.values())


def test_an_instance_that_begins_while_it_is_purged_leaves_no_history():
    """Seed 300309: its row was deleted when its history, looked for before, had begun."""
    hub, script = VirtualHub(CODE, partition_count=1), Script()

    async def main(hub):
        await hub.start("waiting", instance_id="x")

        async def begin(call, act):
            await hub.worker()
            await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
            return await act()

        script.on("write", "Instances", begin)
        purged = await scripted_client(hub, script).purge(InstanceId("x"))
        return purged, await hub.state()

    purged, left = hub.run(main)

    assert purged == 1
    assert (left.instances, left.history) == ([], [])


def test_what_is_stored_for_an_instance_while_it_is_purged_goes_with_it_but_not_the_next_start():
    hub, script = VirtualHub(CODE, partition_count=1), Script()
    names = [f"x/message-{number}-{kind}.json.gz" for number, kind in enumerate(("TaskCompleted", "ExecutionStarted"))]

    async def main(hub):
        running = await hub.worker()
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
        await running.stop()

        await hub.storage.blobs.create_container(hub.names.large_messages_container)

        async def store_more(call, act):
            for name in names:
                await hub.storage.blobs.put_blob(hub.names.large_messages_container, name, compress(LARGE))
            return await act()

        script.on("batch", "History", store_more)
        await scripted_client(hub, script).purge(InstanceId("x"))
        return await hub.state()

    assert list(hub.run(main).blobs) == names[1:]


@pytest.mark.parametrize("moment", ["read Instances", "write Instances"])
def test_an_instance_that_is_purged_while_its_row_is_repaired_leaves_nothing(moment):
    hub, dies, script = VirtualHub(CODE, partition_count=1), Script(), Script()

    async def main(hub):
        first = await hub.worker("first", wrap=dies.wrap)

        async def die(call, act):
            first.kill()
            await hub.sleep(0)

        dies.on("write", "Instances", die)
        await hub.start("waiting", instance_id="x")
        await hub.sleep(1)
        assert first.process.is_dead

        async def purge(call, act):
            await hub.client.purge(InstanceId("x"))
            return await act()

        script.on(*moment.split(), purge)
        await hub.worker("second", wrap=script.wrap)
        await hub.sleep(200)
        return await hub.state()

    left = hub.run(main)

    assert (list(left.instances), list(left.history)) == ([], [])
    assert not any(left.messages.values())
    assert not any(rule[3] for rule in script.rules)


def test_an_instance_that_is_purged_between_its_large_values_and_its_history_leaves_nothing():
    hub, script = VirtualHub(CODE, partition_count=1), Script()

    async def main(hub):
        await hub.worker(wrap=script.wrap)
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)

        async def purge(call, act):
            await hub.client.purge(InstanceId("x"))
            return await act()

        # What the episode returns lies in a blob by now.
        script.on("batch", "History", purge)
        await hub.client.raise_event(InstanceId("x"), "go", json.dumps(LARGE))
        await hub.sleep(1000)
        return await hub.state()

    left = hub.run(main)

    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])
    assert not any(left.messages.values())
    assert not any(rule[3] for rule in script.rules)


def test_without_warm_sessions_a_paused_worker_leaves_no_old_status_behind():
    """It is stopped right before it writes the row, for longer than its lease lasts."""
    hub, script = VirtualHub(CODE, partition_count=1, warm_sessions=False, lease_round_seconds=5), Script()

    async def main(hub):
        old = await hub.worker("old", wrap=script.wrap)
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)

        async def be_paused(call, act):
            old.process.pause()
            await hub.sleep(0)
            return await act()

        script.on("write", "Instances", be_paused)
        await hub.client.suspend(InstanceId("x"), "wait")
        while not old.process.is_paused:
            await hub.sleep(1)
        await hub.worker("new")
        await hub.client.resume(InstanceId("x"), "go on")
        await hub.client.raise_event(InstanceId("x"), "go", "1")
        ended = await hub.end("x")
        old.process.resume()
        await hub.sleep(100)
        return ended, await hub.client.get(InstanceId("x"))

    ended, later = hub.run(main)

    assert ended.status is RuntimeStatus.Completed
    assert (later.status, later.output) == (ended.status, ended.output)


@pytest.mark.parametrize("max_dequeue_count", [0, 40])
def test_a_large_message_whose_blob_went_with_its_instance_is_dropped(caplog, max_dequeue_count):
    hub = VirtualHub(CODE, partition_count=1, max_dequeue_count=max_dequeue_count)

    async def main(hub):
        await hub.client.create_hub()
        await hub.start("waiting", instance_id="x")
        await hub.client.raise_event(InstanceId("x"), "go", json.dumps(LARGE))
        large = [name for name in (await hub.state()).blobs if name.startswith("x/message-")]
        await hub.client.purge(InstanceId("x"))
        # Its text stays: readers cannot know whom a pointer is for, and another instance goes on.
        await hub.storage.queues.put(hub.names.control_queue(0), encode_pointer("y/message-lost.json.gz"))
        await hub.start("echoing", "of y", instance_id="y")
        await hub.worker()
        await hub.end("y")
        await hub.sleep(3600)
        return large, await hub.state()

    large, left = hub.run(main)

    assert len(large) == 1
    # The one for an instance that is there is kept: somebody may put the blob back.
    assert sum(left.messages.values()) == 1
    assert "y/message-lost" in caplog.text
    assert "x/message-" not in caplog.text


def test_a_late_copy_of_an_event_does_not_reach_the_execution_that_took_the_place():
    """Seed 900419: it could not be deleted when it was taken, and came back after the instance was started anew."""
    hub, script = VirtualHub(CODE, partition_count=1), Script()
    texts = []

    async def main(hub):
        await hub.worker()
        await hub.start("waiting", instance_id="x")

        async def note(call, act):
            texts.append(call.arguments[0])
            return await act()

        script.on("put", "control", note)
        await scripted_client(hub, script).raise_event(InstanceId("x"), "go", "1")
        await hub.end("x")
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
        await hub.storage.queues.put(hub.names.control_queue(0), texts[0])
        await hub.sleep(60)
        before = await hub.client.get(InstanceId("x"))
        await hub.client.raise_event(InstanceId("x"), "go", "2")
        return before, await hub.end("x"), await hub.state()

    before, state, left = hub.run(main)

    assert before.status is RuntimeStatus.Running
    assert (state.output, state.generation) == ("2", 1)
    assert not any(left.messages.values())


def test_what_came_beside_mail_for_a_dead_execution_is_not_forgotten_when_the_partition_goes():
    """Seed 900445: the worker kept it in hand, hid it again whenever it came, and never looked at it."""
    hub, script = VirtualHub(CODE, partition_count=1), Script()

    async def main(hub):
        first = await hub.worker(wrap=script.wrap)
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)

        async def lose_the_partition(call, act):
            first.worker._partitions.drop(hub.names.control_queue(0))
            return await act()

        script.on("query", "History", lose_the_partition)
        dead = OrchestrationInstance(InstanceId("x"), ExecutionId("0" * 32))
        answer = TaskCompleted(timestamp=Utc.of(hub.clock.now()), task_scheduled_id=0, result="1")
        await hub.client._services.messenger.send(TaskMessage(answer, dead))
        await hub.client.raise_event(InstanceId("x"), "go", "2")
        state = await hub.end("x")
        await hub.sleep(60)
        return state, await hub.state()

    state, left = hub.run(main)

    assert script.rules[0][-1] == 0
    assert state.output == "2"
    assert not any(left.messages.values())


def test_a_large_message_that_a_worker_gives_up_leaves_no_blob():
    """Seed 900086: its partition had gone while it stood still, and the instance was purged by then."""

    def asking(context):
        return (yield context.call_activity("grow", LARGE))

    hub, script = VirtualHub({"asking": asking}, {"grow": str.upper}, partition_count=1), Script()

    async def main(hub):
        first = await hub.worker(wrap=script.wrap)

        async def lose_the_partition(call, act):
            first.worker._partitions.drop(hub.names.control_queue(0))
            await act()
            names.extend(item.name for item in await hub.storage.blobs.list_blobs(call.target, "x/"))
            raise TransientStorageError("the reply was lost")

        script.on("put_blob", "largemessages", lose_the_partition)
        await hub.start("asking", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Completed)
        await hub.client.purge(InstanceId("x"))
        return await hub.state()

    names = []
    left = hub.run(main)

    assert len(names) == 1
    assert list(left.blobs) == []


def test_a_large_answer_that_comes_after_its_instance_was_purged_leaves_nothing():
    def asking(context):
        return (yield context.call_activity("grow", None))

    hub = VirtualHub({"asking": asking}, partition_count=1)

    async def grow(call):
        await hub.clock.sleep(5)
        return ActivitySucceeded(json.dumps(LARGE))

    hub.app.run_activity = grow

    async def main(hub):
        await hub.worker()
        await hub.start("asking", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.purge(InstanceId("x"))
        await hub.sleep(1000)
        return await hub.state()

    left = hub.run(main)

    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])
    assert not any(left.messages.values())


def test_a_second_large_answer_for_an_instance_in_memory_that_was_purged_leaves_nothing():
    """Found by simulation: the activity ran twice, and the session knew the first answer but not of the purge."""

    def asking(context):
        yield context.call_activity("grow", None)
        yield context.wait_for_external_event("go")

    hub = VirtualHub({"asking": asking}, {"grow": lambda _: LARGE}, partition_count=1, direct_answers=False)
    container = hub.names.large_messages_container

    async def main(hub):
        await hub.worker()
        await hub.start("asking", instance_id="x")
        await hub.sleep(10)
        [answer] = [name for name in (await hub.state()).blobs if name.endswith("-TaskCompleted.json.gz")]
        content = await hub.storage.blobs.get_blob(container, answer)
        await hub.client.purge(InstanceId("x"))
        # As whoever runs an activity puts it.
        await hub.storage.blobs.put_blob(container, answer, content)
        await hub.storage.queues.put(hub.names.control_queue(0), encode_pointer(answer))
        await hub.sleep(1000)
        return await hub.state()

    left = hub.run(main)

    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])
    assert not any(left.messages.values())


def test_a_large_termination_that_comes_after_an_instance_that_never_began_was_purged_leaves_nothing():
    hub = VirtualHub(CODE, partition_count=1)
    container = hub.names.large_messages_container

    async def main(hub):
        await hub.client.create_hub()
        await hub.start("waiting", instance_id="x")
        await hub.client.terminate(InstanceId("x"), LARGE)
        [reason] = [name for name in (await hub.state()).blobs if name.startswith("x/message-")]
        content = await hub.storage.blobs.get_blob(container, reason)
        await hub.client.purge(InstanceId("x"))
        await hub.storage.blobs.put_blob(container, reason, content)
        await hub.worker()
        await hub.sleep(3600)  # the start waits for its row for 17 minutes
        return await hub.state()

    left = hub.run(main)

    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])
    assert not any(left.messages.values())


def calling(context):
    return (yield context.call_sub_orchestrator("echoing", 7, "child"))


def test_an_answer_that_comes_before_the_start_of_its_parent_came_back_waits_for_it():
    """Seed 600448: the worker of the first episode died after its puts; its start stays hidden for long."""
    hub = VirtualHub(CODE | {"calling": calling}, partition_count=1, control_queue_visibility_seconds=1000)
    struck = []

    async def main(hub):
        async def die(call, act):
            done = await act()
            if call.method == "put" and call.target == hub.names.control_queue(0) and not struck:
                struck.append(call)
                await hub.storage.queues.update(call.target, done.id, done.receipt, visible_after=0)
                first.kill()
                await asyncio.sleep(0)
            return done

        first = await hub.worker(wrap=lambda store: intercepted(store, die))
        await hub.start("calling", instance_id="x")
        await hub.sleep(5)
        await hub.worker("second")
        return await hub.end("x"), await hub.state()

    state, left = hub.run(main)

    assert struck
    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, 7)
    assert not any(left.messages.values())


def test_the_beginning_that_another_worker_stored_is_not_taken_for_our_own():
    """Seed 600479: its last row is the start, which tells the time of the message that both have read."""

    def telling(context):
        now = context.current_utc_datetime
        context.signal_entity(df.EntityId("counter", "a"), "add", 1)
        yield context.call_activity("echo", 1)
        return now.isoformat()

    def counter(context):
        context.set_state(context.get_state(lambda: 0) + 1)

    app = PlainApplication({"telling": telling}, {"echo": lambda value: value}, {"counter": counter})
    hub, script = VirtualHub(app=app, partition_count=1, assume_new=False), Script()

    async def main(hub):
        async def store_theirs(call, act):
            services = hub.client._services
            (start,) = await hub.storage.queues.snapshot(hub.names.control_queue(0))
            started = decode_envelope(start.text).message.event
            theirs = [OrchestratorStarted(timestamp=Utc.of(hub.clock.now() - timedelta(seconds=60))), started]
            rows = services.history.encode(started.instance, theirs, first_index=0)
            await services.history.commit(started.instance, rows, etag=None, give_up=lambda: True, is_complete=False)
            return await act()

        script.on("batch", "History", store_theirs)
        await hub.start("telling", instance_id="x")
        await hub.worker(wrap=script.wrap)
        state = await hub.end("x")
        history = await hub.client.history(InstanceId("x"))
        return state, history[0], await hub.client.read_entity(EntityId("counter", "a"))

    state, begun, entity = hub.run(main)

    assert datetime.fromisoformat(json.loads(state.output)) == begun.timestamp.moment()
    assert json.loads(entity.state) == 1


@pytest.mark.parametrize("is_child", [False, True], ids=["started by a client", "child"])
def test_an_instance_whose_first_episode_was_stored_in_part_is_shown_as_running(is_child):
    """Seed 2001386: whoever went on took its row for written, so it was Pending for as long as it waited."""

    def parent(context):
        return (yield context.call_sub_orchestrator("many", 150, "x"))

    def many(context):
        """Do more than one transaction of a table takes."""
        yield context.task_all([context.call_activity("double", n) for n in range(context.get_input())])
        return (yield context.wait_for_external_event("go"))

    hub = VirtualHub({"parent": parent, "many": many}, {"double": lambda n: 2 * n}, partition_count=1)
    script = Script()

    async def main(hub):
        running = await hub.worker(wrap=script.wrap)

        async def store_a_part(call, act):
            async def die(call, act):
                running.kill()
                await hub.sleep(1)

            await act()
            script.on("batch", "History", die)

        async def let_the_parent_go_on(call, act):
            script.on("batch", "History", store_a_part)
            return await act()

        script.on("batch", "History", let_the_parent_go_on if is_child else store_a_part)
        await (hub.start("parent") if is_child else hub.start("many", 150, instance_id="x"))
        await hub.sleep(60)
        rows = len([row for row in (await hub.state()).history if row.partition_key == "x"])
        await hub.worker()
        await hub.sleep(600)
        waiting = await hub.client.get(InstanceId("x"))
        await hub.client.raise_event(InstanceId("x"), "go", "1")
        return rows, waiting, await hub.end("x")

    rows, waiting, ended = hub.run(main)

    assert 0 < rows < 152
    assert (waiting.status, waiting.name, waiting.input) == (RuntimeStatus.Running, "many", ended.input)
    assert waiting.created == ended.created is not None
    assert json.loads(ended.input) in (150, "150")
    assert ended.output == "1"


def test_a_pending_instance_that_goes_on_while_it_is_purged_can_be_purged_again_when_that_breaks_off():
    """Seed 2201349: its row was gone before it was clear that nothing had come meanwhile."""

    def asking(context):
        return (yield context.call_activity("grow", LARGE))

    hub = VirtualHub({"asking": asking}, {"grow": lambda text: text + LARGE}, partition_count=1)
    script = Script()

    async def main(hub):
        await hub.start("asking", instance_id="x")

        async def begin(call, act):
            await hub.worker()
            await hub.end("x")

            async def break_off(call, act):
                raise TransientStorageError("the reply was lost")

            # Whatever it reads next.
            script.on("read", "Instances", break_off)
            return await act()

        script.on("write", "Instances", begin)
        client = scripted_client(hub, script)
        with pytest.raises(TransientStorageError):
            await client.purge(InstanceId("x"))
        purged = await client.purge(InstanceId("x"))
        return purged, await hub.state()

    purged, left = hub.run(main)

    assert purged == 1
    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])


def test_an_end_that_was_written_although_it_seemed_not_does_not_hide_the_next_start():
    """Seed 2202744: without warm sessions rows are written blindly, and were so once more after a lost reply."""
    hub, script = VirtualHub(CODE, warm_sessions=False, partition_count=1), Script()

    async def main(hub):
        await hub.start("waiting", instance_id="x")
        running = await hub.worker(wrap=script.wrap)
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)

        async def start_anew(call, act):
            await act()
            await hub.end("x")
            await hub.start("waiting", instance_id="x")
            started.append(await hub.client.get(InstanceId("x")))
            raise TransientStorageError("the reply was lost")

        script.on("write", "Instances", start_anew)
        await hub.client.raise_event(InstanceId("x"), "go", "1")
        await hub.sleep(2)
        await running.stop()
        return await hub.client.get(InstanceId("x"))

    started = []
    state = hub.run(main)

    assert [each.status for each in started] == [RuntimeStatus.Pending]
    assert state.execution_id == started[0].execution_id
    assert state.status in (RuntimeStatus.Pending, RuntimeStatus.Running)


def test_a_large_work_item_of_an_episode_that_a_purge_overtook_leaves_no_blob():
    """Seed 6001927: it was put, then the history was gone, and the answer found no instance."""

    def asking(context):
        yield context.wait_for_external_event("go")
        return (yield context.call_activity("size", LARGE))

    hub, script = VirtualHub({"asking": asking}, {"size": len}, partition_count=1), Script()

    async def main(hub):
        await hub.worker(wrap=script.wrap)
        await hub.start("asking", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)

        async def purge(call, act):
            await hub.client.purge(InstanceId("x"))
            return await act()

        script.on("put_blob", "largemessages", purge)
        await hub.client.raise_event(InstanceId("x"), "go", "1")
        await hub.sleep(600)
        return await hub.state()

    left = hub.run(main)

    assert script.rules[0][-1] == 0
    assert (list(left.instances), list(left.history), list(left.blobs)) == ([], [], [])
    assert not any(left.messages.values())
