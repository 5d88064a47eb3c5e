import json
from datetime import datetime, timedelta, timezone

import pytest

from taskhub import InstanceExists, TaskHubClient
from taskhub.model.history import ExecutionStarted
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from tests.support.virtual_hub import UNHURRIED, VirtualHub

ECHO = {"echo": lambda value: value}


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def echoing(context):
    return (yield context.call_activity("echo", context.get_input()))


def play(orchestrators, scenario, activities=ECHO, **settings):
    """Run a scenario on a hub with one worker; return what it returns."""
    hub = VirtualHub(orchestrators, activities, **settings)

    async def main(hub):
        await hub.worker()
        return await scenario(hub)

    return hub.run(main)


def outcome(orchestrators, name, given=None, activities=ECHO, **settings):
    """Start one instance and return its final state."""

    async def scenario(hub):
        return await hub.end(await hub.start(name, given), within=9 * 24 * 3600)

    return play(orchestrators, scenario, activities, **settings)


# ---- failures


def test_an_unknown_orchestrator_fails_its_instance_and_names_those_that_exist():
    state = outcome({"known": waiting}, "nowhere")

    assert state.status is RuntimeStatus.Failed
    assert state.output == (
        "Orchestrator function 'nowhere' failed: The function 'nowhere' doesn't exist, is disabled, or is not an "
        "orchestrator function. Additional info: The following are the known orchestrator functions: 'known'."
    )


@pytest.mark.parametrize("child", ["@counter@a", "boss", "BOSS", "middle"])
def test_a_child_may_not_have_the_id_of_an_entity_or_of_those_who_wait_for_it(child):
    def boss(context):
        return (yield context.call_sub_orchestrator("middle", None, "middle"))

    def middle(context):
        return (yield context.call_sub_orchestrator("echoing", 1, child))

    async def scenario(hub):
        await hub.start("boss", instance_id="boss")
        return await hub.end("middle"), await hub.end("boss")

    middle_state, boss_state = play({"boss": boss, "middle": middle, "echoing": echoing}, scenario)

    assert middle_state.status is boss_state.status is RuntimeStatus.Failed
    assert (middle_state.name, boss_state.name) == ("middle", "boss")
    assert "Parameter 'instanceId'" in middle_state.output
    assert child in middle_state.output or child.startswith("@")


def test_an_unknown_activity_is_a_failure_that_code_can_catch():
    def catching(context):
        try:
            yield context.call_activity("nowhere", 1)
        except Exception as error:
            return str(error).split(" \n")[0]

    state = outcome({"catching": catching}, "catching")

    assert json.loads(state.output) == "Activity function 'nowhere' failed: Activity function 'nowhere' does not exist."


def test_an_exception_of_the_code_fails_the_instance():
    def raising(context):
        yield context.call_activity("echo", 1)
        raise KeyError("missing")

    state = outcome({"raising": raising}, "raising")

    assert (state.status, state.output) == (RuntimeStatus.Failed, "Orchestrator function 'raising' failed: 'missing'")


def test_a_failed_child_tells_its_parent_why():
    def raising(context):
        raise ValueError("no good")

    def parent(context):
        try:
            yield context.call_sub_orchestrator("raising", 1)
        except Exception as error:
            return str(error)

    state = outcome({"parent": parent, "raising": raising}, "parent")

    reason, details = json.loads(state.output).split(" \n ")
    assert reason == "Orchestrator function 'raising' failed: no good"
    assert details.startswith("Message: no good, StackTrace: ")


def test_what_cannot_be_stored_fails_the_instance_and_not_the_worker():
    def ancient(context):
        yield context.create_timer(datetime(1500, 1, 1, tzinfo=timezone.utc))

    async def scenario(hub):
        broken = await hub.end(await hub.start("ancient"))
        return broken, await hub.end(await hub.start("echoing", 1))

    broken, fine = play({"ancient": ancient, "echoing": echoing}, scenario)

    assert broken.status is RuntimeStatus.Failed
    assert "1500" in broken.output
    assert fine.status is RuntimeStatus.Completed


def test_a_custom_status_above_the_limit_fails_the_instance():
    def sized(context):
        context.set_custom_status("x" * 9000)
        yield context.call_activity("echo", 1)

    state = outcome({"sized": sized}, "sized")

    assert state.status is RuntimeStatus.Failed
    assert state.output.endswith("The current payload size is 17 KB.")


# ---- children


def test_a_child_without_an_id_is_named_after_its_parent_s_execution():
    def parent(context):
        yield context.call_activity("echo", 1)
        return (yield context.call_sub_orchestrator("child", 1))

    def child(context):
        return [context.instance_id, context.parent_instance_id]

    async def scenario(hub):
        return await hub.end(await hub.start("parent", instance_id="p"))

    state = play({"parent": parent, "child": child}, scenario)

    assert json.loads(state.output) == [f"{state.execution_id}:1", "p"]


def test_a_terminated_child_fails_in_its_parent():
    def parent(context):
        try:
            yield context.call_sub_orchestrator("waiting", None, "child")
        except Exception as error:
            return str(error).split(" \n")[0]

    async def scenario(hub):
        await hub.start("parent", instance_id="parent")
        await hub.until("child", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.terminate(InstanceId("child"), "enough")
        return await hub.end("child"), await hub.end("parent")

    child, ended = play({"parent": parent, "waiting": waiting}, scenario)

    assert (child.status, child.output) == (RuntimeStatus.Terminated, "enough")
    assert json.loads(ended.output) == "enough"


# ---- time


@pytest.mark.parametrize("seconds", [0.4, 1, 2.7, 3600, 8 * 24 * 3600.0])
def test_a_timer_fires_at_its_time_and_not_before(seconds):
    def sleeping(context):
        begin = context.current_utc_datetime
        yield context.create_timer(begin + timedelta(seconds=seconds))
        return (context.current_utc_datetime - begin).total_seconds()

    state = outcome({"sleeping": sleeping}, "sleeping", **UNHURRIED)

    assert seconds <= json.loads(state.output) < seconds + 1.1


def test_a_timer_further_ahead_than_a_queue_can_hide_is_hidden_again():
    hub = VirtualHub(max_seconds=1e7, **UNHURRIED)
    hub.app.orchestrators = {"sleeping": lambda context: (yield context.create_timer(datetime(2026, 2, 1)))}
    hub.app.long_timer_limit_seconds = 0

    async def scenario(hub):
        await hub.worker()
        return await hub.end(await hub.start("sleeping"), within=40 * 24 * 3600)

    state = hub.run(scenario)

    late = state.completed.moment() - datetime(2026, 2, 1, tzinfo=timezone.utc)
    assert timedelta(0) <= late < timedelta(seconds=2)


def test_a_scheduled_start_begins_at_its_time_and_keeps_what_was_raised_before():
    async def scenario(hub):
        when = Utc.of(hub.clock.now()).plus(timedelta(seconds=90.5))
        instance_id = await hub.start("waiting", scheduled_start=when)
        await hub.sleep(10)
        await hub.client.raise_event(instance_id, "go", '"early"')
        state = await hub.end(instance_id)
        return when, state, await hub.client.history(instance_id)

    when, state, history = play({"waiting": waiting}, scenario)

    assert state.output == '"early"'
    assert history[0].timestamp >= when


# ---- events


def test_an_event_that_nobody_waits_for_yet_is_kept():
    def late(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=5))
        return (yield context.wait_for_external_event("go"))

    async def scenario(hub):
        instance_id = await hub.start("late")
        await hub.client.raise_event(instance_id, "go", '"early"')
        return await hub.end(instance_id)

    assert play({"late": late}, scenario).output == '"early"'


@pytest.mark.parametrize("status", ["unknown", "finished"])
def test_an_event_for_an_unknown_or_finished_instance_is_dropped(status):
    async def scenario(hub):
        if status == "finished":
            await hub.end(await hub.start("echoing", 1, instance_id="x"))
        await hub.client.raise_event(InstanceId("x"), "go", "1")
        await hub.client.suspend(InstanceId("x"), None)
        await hub.client.terminate(InstanceId("x"), None)
        await hub.sleep(30)
        return await hub.state(), await hub.client.get(InstanceId("x"))

    state, instance = play({"echoing": echoing}, scenario)

    assert not any(state.messages.values())
    assert instance is None if status == "unknown" else instance.status is RuntimeStatus.Completed


# ---- suspension


def test_a_suspended_instance_keeps_what_arrives_and_goes_on_when_resumed():
    def two_steps(context):
        first = yield context.wait_for_external_event("go")
        second = yield context.call_activity("echo", first)
        return second

    async def scenario(hub):
        instance_id = await hub.start("two_steps")
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        await hub.client.suspend(instance_id, "hold")
        held = await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Suspended)
        await hub.client.raise_event(instance_id, "go", '"x"')
        await hub.sleep(60)
        ran_while_held = sum(hub.app.runs.values())
        await hub.client.resume(instance_id, "go on")
        return held, ran_while_held, await hub.end(instance_id)

    held, ran_while_held, ended = play({"two_steps": two_steps}, scenario)

    assert held.output == "hold"
    assert ran_while_held == 0
    assert (ended.status, ended.output) == (RuntimeStatus.Completed, '"x"')


def test_a_suspended_instance_can_be_terminated():
    async def scenario(hub):
        instance_id = await hub.start("waiting")
        await hub.client.suspend(instance_id, None)
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Suspended)
        await hub.client.terminate(instance_id, '{"why": 1}')
        return await hub.end(instance_id)

    state = play({"waiting": waiting}, scenario)

    assert (state.status, state.output) == (RuntimeStatus.Terminated, '{"why": 1}')


def test_code_that_returned_while_suspended_ends_when_resumed():
    async def scenario(hub):
        instance_id = await hub.start("waiting")
        await hub.client.suspend(instance_id, None)
        await hub.client.raise_event(instance_id, "go", "1")
        await hub.sleep(5)
        held = await hub.client.get(instance_id)
        await hub.client.resume(instance_id, None)
        return held, await hub.end(instance_id)

    held, ended = play({"waiting": waiting}, scenario)

    assert held.status is RuntimeStatus.Suspended
    assert (ended.status, ended.output) == (RuntimeStatus.Completed, "1")


# ---- the end


def test_code_that_returned_is_not_held_by_what_it_left_open():
    def leaving(context):
        context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        context.call_activity("echo", 1)
        yield context.call_activity("echo", 2)
        return "done"

    async def scenario(hub):
        state = await hub.end(await hub.start("leaving"))
        seconds = hub.seconds
        await hub.sleep(2 * 3600)
        return state, seconds, await hub.state()

    state, seconds, left = play({"leaving": leaving}, scenario)

    assert (state.output, seconds < 10) == ('"done"', True)
    assert not any(left.messages.values())


# ---- continue as new


def test_events_that_come_after_continue_as_new_are_carried_over():
    def collecting(context):
        seen = context.get_input() or []
        seen = [*seen, (yield context.wait_for_external_event("item"))]
        if len(seen) < 4:
            context.continue_as_new(seen)
            return None
        return seen

    async def scenario(hub):
        instance_id = await hub.start("collecting", [])
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        for number in range(4):
            await hub.client.raise_event(instance_id, "item", str(number))
        state = await hub.end(instance_id)
        return state, await hub.client.history(instance_id)

    state, history = play({"collecting": collecting}, scenario)

    assert json.loads(state.output) == [0, 1, 2, 3]
    assert sum(isinstance(event, ExecutionStarted) for event in history) == 1


def test_a_new_generation_keeps_the_parent_and_shrinks_the_history():
    def looping(context):
        count = context.get_input()
        if count:
            yield context.task_all([context.call_activity("echo", n) for n in range(30)])
            context.continue_as_new(count - 1)
            return None
        return "done"

    def parent(context):
        return (yield context.call_sub_orchestrator("looping", 2, "loop"))

    async def scenario(hub):
        state = await hub.end(await hub.start("parent"))
        return state, await hub.client.history(InstanceId("loop")), (await hub.state()).history

    state, history, rows = play({"looping": looping, "parent": parent}, scenario)

    assert state.output == '"done"'
    assert [event.type_name for event in history] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
        "ExecutionCompleted",
        "OrchestratorCompleted",
    ]
    # Rows of the longer generation before stay behind, as the reference leaves them.
    assert sum(row.partition_key == "loop" for row in rows) > len(history)


# ---- starting over


def test_a_finished_instance_may_be_started_again_but_not_a_running_one():
    async def scenario(hub):
        await hub.start("waiting", instance_id="x")
        with pytest.raises(InstanceExists) as refusal:
            await hub.start("waiting", instance_id="x")
        await hub.client.raise_event(InstanceId("x"), "go", '"first"')
        first = await hub.end("x")
        await hub.start("echoing", "second", instance_id="x")
        return refusal.value, first, await hub.until("x", lambda state: state.output == '"second"')

    refusal, first, second = play({"waiting": waiting, "echoing": echoing}, scenario)

    assert refusal.status in (RuntimeStatus.Pending, RuntimeStatus.Running)
    assert (first.output, first.generation) == ('"first"', 0)
    assert (second.status, second.generation) == (RuntimeStatus.Completed, 1)
    assert second.execution_id != first.execution_id


@pytest.mark.parametrize("warm_sessions", [True, False])
def test_a_running_instance_is_replaced_when_the_settings_allow_it(warm_sessions):
    def slow(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
        return "old"

    async def scenario(hub):
        await hub.start("slow", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.name == "waiting" and state.status is RuntimeStatus.Running)
        await hub.sleep(200)  # the timer of the old execution comes and is dropped
        await hub.client.raise_event(InstanceId("x"), "go", '"new"')
        return await hub.end("x"), await hub.state()

    state, left = play(
        {"slow": slow, "waiting": waiting}, scenario, overridable_running_instances=True, warm_sessions=warm_sessions
    )

    assert state.output == '"new"'
    assert not any(left.messages.values())


def test_two_clients_that_start_one_id_at_once_start_one_instance():
    async def scenario(hub):
        other = hub.process("other")
        second = TaskHubClient(other.storage, hub.settings, environment=other.environment)
        tasks = [
            hub.world.processes[0].spawn(
                client.start("echoing", instance_id=InstanceId("x"), input=json.dumps(text)), name="s"
            )
            for client, text in ((hub.client, "1"), (second, "2"))
        ]
        for task in tasks:
            await task
        state = await hub.end("x")
        await hub.sleep(60)
        return state, await hub.client.get(InstanceId("x")), sum(hub.app.runs.values()), await hub.state()

    state, later, runs, left = play({"echoing": echoing}, scenario)

    assert (state.execution_id, state.output) == (later.execution_id, later.output)
    assert runs == 1
    assert not any(left.messages.values())


# ---- large values


def test_large_values_travel_and_rest_in_blobs():
    async def scenario(hub):
        instance_id = await hub.start("echoing", "x" * 100_000)
        state = await hub.end(instance_id)
        history = await hub.client.history(instance_id)
        page = await hub.storage.tables.query(hub.names.instances_table)
        return state, history, page.rows[0], (await hub.state()).blobs

    state, history, row, blobs = play({"echoing": echoing}, scenario)

    assert json.loads(state.output) == "x" * 100_000
    assert json.loads(json.loads(state.input)) == "x" * 100_000
    assert len(history[1].input) > 100_000
    assert row.columns["Output"].endswith("-Result.json.gz")
    assert len(blobs) == 5  # no message for the answer: the orchestration got it directly


def test_an_episode_of_more_than_a_batch_is_stored_in_several():
    def fan_out(context):
        return sum((yield context.task_all([context.call_activity("echo", n) for n in range(250)])))

    state = outcome({"fan_out": fan_out}, "fan_out")

    assert json.loads(state.output) == sum(range(250))


# ---- purge


def test_purging_leaves_nothing_and_takes_nothing_of_a_neighbour():
    async def scenario(hub):
        for instance_id in ("order-4", "order-42"):
            await hub.end(await hub.start("echoing", "x" * 100_000, instance_id=instance_id))
        purged = await hub.client.purge(InstanceId("order-4"))
        again = await hub.client.purge(InstanceId("order-4"))
        state = await hub.state()
        return purged, again, state, await hub.client.get(InstanceId("order-42"))

    purged, again, state, neighbour = play({"echoing": echoing}, scenario)

    assert (purged, again) == (1, 0)
    assert {row.partition_key for row in (*state.history, *state.instances)} == {"order-42"}
    assert {name.split("/")[0] for name in state.blobs} == {"order-42"}
    assert json.loads(neighbour.output) == "x" * 100_000
