"""Rewinds whose client dies, children that ended otherwise, and everything that runs meanwhile."""

import asyncio
import json
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub import InstanceNotFound, InvalidInstanceState, TaskHubClient
from taskhub.errors import TransientStorageError
from taskhub.model.history import GenericEvent
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.scripted import Script
from tests.support.virtual_hub import VirtualHub

ROOT = InstanceId("root")


class Trouble:
    """Activities that fail until they are mended."""

    def __init__(self):
        self.is_mended = False
        self.done = []

    def work(self, value):
        if not self.is_mended:
            raise ValueError("not yet")
        self.done.append(value)
        return value

    def fine(self, value):
        self.done.append(value)
        return value


def leaf(context):
    yield context.call_activity("fine", f"{context.instance_id} before")
    return (yield context.call_activity("work", context.instance_id))


def middle(context):
    return (yield context.call_sub_orchestrator("leaf", None, f"{context.instance_id}-leaf"))


def root(context):
    children = [context.call_sub_orchestrator("middle", None, f"middle-{number}") for number in range(2)]
    own = context.call_activity("fine", "root")
    return (yield context.task_all([*children, own]))


def lone(context):
    return (yield context.call_sub_orchestrator("leaf", None, "child"))


ORCHESTRATORS = {"root": root, "middle": middle, "leaf": leaf, "lone": lone}
OUTPUT = ["middle-0-leaf", "middle-1-leaf", "root"]


def a_hub(**settings):
    trouble = Trouble()
    hub = VirtualHub(ORCHESTRATORS, {"work": trouble.work, "fine": trouble.fine}, **settings)
    return hub, trouble


async def failed(hub, name="root", instance_id="root"):
    """Start an instance, let it fail, and everything below it."""
    await hub.start(name, instance_id=instance_id)
    state = await hub.end(instance_id)
    await hub.sleep(60)
    assert state.status is RuntimeStatus.Failed
    return state


def test_nested_failures_are_done_again_and_nothing_else_is():
    hub, trouble = a_hub()

    async def main(hub):
        await hub.worker()
        await failed(hub)
        trouble.is_mended = True
        before = list(trouble.done)
        await hub.client.rewind(ROOT, "try again")
        state = await hub.end(ROOT)
        histories = {name: await hub.client.history(InstanceId(name)) for name in ("root", "middle-0", "middle-0-leaf")}
        return state, before, histories

    state, before, histories = hub.run(main)

    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, OUTPUT)
    assert sorted(trouble.done[len(before) :]) == ["middle-0-leaf", "middle-1-leaf"]
    # Only the deepest failures are woken up; those above are woken by the answers.
    woken = {
        name: [event.data for event in events if isinstance(event, GenericEvent) and event.data is not None]
        for name, events in histories.items()
    }
    assert woken == {"root": [], "middle-0": [], "middle-0-leaf": ["try again"]}


def test_an_instance_may_fail_and_be_rewound_again_and_again():
    hub, trouble = a_hub()

    async def main(hub):
        await hub.worker()
        await failed(hub)
        for attempt in range(3):
            trouble.is_mended = attempt == 2
            await hub.client.rewind(ROOT, f"attempt {attempt}")
            state = await hub.end(ROOT)
            await hub.sleep(60)
        return state

    assert json.loads(hub.run(main).output) == OUTPUT


def test_a_rewind_goes_on_when_what_it_writes_is_sent_twice():
    """Heavy seed 10202146: the reply was lost, and the storage client sent the batch once more."""
    hub, trouble = a_hub()

    async def twice(seen, act):
        if seen.method == "batch":
            await act()
        return await act()

    async def main(hub):
        await hub.worker()
        await failed(hub)
        trouble.is_mended = True
        client = TaskHubClient(
            intercepted(hub.storage, twice), hub.settings, environment=hub.process("client").environment
        )
        await client.rewind(ROOT, "try again")
        return await hub.end(ROOT)

    assert json.loads(hub.run(main).output) == OUTPUT


@pytest.mark.parametrize("call", range(1, 40))
def test_a_rewind_whose_client_dies_at_any_call_is_completed_by_others(call):
    hub, trouble = a_hub(partition_count=1)
    calls = []

    async def die(seen, act):
        calls.append(seen.method)
        if len(calls) == call:
            raise TransientStorageError("the client is gone")
        return await act()

    async def main(hub):
        await hub.worker()
        await failed(hub)
        trouble.is_mended = True
        dying = TaskHubClient(intercepted(hub.storage, die), hub.settings, environment=hub.process("dying").environment)
        try:
            await dying.rewind(ROOT, "first")
        except TransientStorageError:
            # Those that it did not wake up still show as failed.
            await hub.sleep(60)
            for name in ("root", "middle-0", "middle-1", "middle-0-leaf", "middle-1-leaf"):
                if (await hub.client.get(InstanceId(name))).status is RuntimeStatus.Failed:
                    await hub.client.rewind(InstanceId(name), "second")
        return await hub.end(ROOT)

    state = hub.run(main)

    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, OUTPUT)
    assert sorted(trouble.done[-2:]) == ["middle-0-leaf", "middle-1-leaf"]


def test_an_event_does_not_keep_a_rewind_that_broke_off_from_being_completed():
    """Found by simulation: the event made the instance count as running, with nobody to wake it up."""
    hub, trouble = a_hub(partition_count=1)

    async def die(seen, act):
        if seen.method == "put":
            raise TransientStorageError("the client is gone")
        return await act()

    async def main(hub):
        await hub.worker()
        await failed(hub)
        trouble.is_mended = True
        dying = TaskHubClient(intercepted(hub.storage, die), hub.settings, environment=hub.process("dying").environment)
        with pytest.raises(TransientStorageError):
            await dying.rewind(ROOT, "first")
        await hub.client.raise_event(ROOT, "nobody waits for it", "1")
        await hub.until(ROOT, lambda state: state.status is RuntimeStatus.Running)
        await hub.client.rewind(ROOT, "second")
        return await hub.end(ROOT)

    state = hub.run(main)

    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, OUTPUT)


def test_a_child_that_was_terminated_is_started_again():
    hub, trouble = a_hub()

    def waiting(context):
        yield context.wait_for_external_event("never")

    hub.app.orchestrators = {**ORCHESTRATORS, "leaf": waiting}

    async def scenario(hub):
        await hub.worker()
        await hub.start("lone", instance_id="root")
        await hub.until("child", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.terminate(InstanceId("child"), "enough")
        assert (await hub.end(ROOT)).status is RuntimeStatus.Failed
        hub.app.orchestrators = ORCHESTRATORS
        trouble.is_mended = True
        await hub.client.rewind(ROOT, None)
        return await hub.end(ROOT)

    state = hub.run(scenario)

    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, "child")


def test_a_child_that_was_purged_is_started_again():
    hub, trouble = a_hub()

    async def main(hub):
        await hub.worker()
        await failed(hub, "lone")
        await hub.client.purge(InstanceId("child"))
        trouble.is_mended = True
        await hub.client.rewind(ROOT, None)
        return await hub.end(ROOT)

    assert json.loads(hub.run(main).output) == "child"


def test_a_child_that_was_rewound_by_itself_and_completed_answers_its_parent():
    hub, trouble = a_hub()

    async def main(hub):
        await hub.worker()
        await failed(hub, "lone")
        trouble.is_mended = True
        await hub.client.rewind(InstanceId("child"), None)
        await hub.end("child")
        still = (await hub.client.get(ROOT)).status
        done = list(trouble.done)
        await hub.client.rewind(ROOT, None)
        return still, done, await hub.end(ROOT)

    still, done, state = hub.run(main)

    assert still is RuntimeStatus.Failed
    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, "child")
    assert trouble.done == done, "the child must not run again"


def test_two_clients_that_rewind_at_once_do_no_harm():
    hub, trouble = a_hub()

    async def main(hub):
        await hub.worker()
        await failed(hub)
        trouble.is_mended = True
        clients = [hub.process(f"client-{number}") for number in range(2)]
        tasks = [
            process.spawn(
                TaskHubClient(process.storage, hub.settings, environment=process.environment).rewind(
                    ROOT, process.name
                ),
                name="rewind",
            )
            for process in clients
        ]
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert None in ends
        assert all(end is None or isinstance(end, InvalidInstanceState) for end in ends)
        return await hub.end(ROOT)

    state = hub.run(main)

    assert json.loads(state.output) == OUTPUT
    assert sorted(trouble.done[-2:]) == ["middle-0-leaf", "middle-1-leaf"]


def test_only_instances_that_failed_can_be_rewound():
    hub, trouble = a_hub()

    async def main(hub):
        await hub.worker()
        with pytest.raises(InstanceNotFound, match="nobody"):
            await hub.client.rewind(InstanceId("nobody"), None)
        trouble.is_mended = True
        await hub.start("leaf", instance_id="done")
        await hub.end("done")
        with pytest.raises(InvalidInstanceState, match="is Completed"):
            await hub.client.rewind(InstanceId("done"), None)

    hub.run(main)


# ---- more than the reference can rewind


def play(orchestrator, activities, *, before=None, within=3600.0):
    """Let an instance fail, mend what is wrong, rewind it; return its end and how often activities ran."""
    hub = VirtualHub({"it": orchestrator}, activities)

    async def main(hub):
        await hub.worker()
        await hub.start("it", instance_id="root")
        assert (await hub.end(ROOT)).status is RuntimeStatus.Failed
        await hub.sleep(within)
        if before is not None:
            before(hub)
        await hub.client.rewind(ROOT, None)
        return await hub.end(ROOT)

    state = hub.run(main)
    return state, {name: sum(n for (_, each, _), n in hub.app.runs.items() if each == name) for name in activities}


def test_an_exhausted_retry_gets_another_attempt():
    trouble = Trouble()

    def retrying(context):
        yield context.call_activity("fine", "before")
        return (yield context.call_activity_with_retry("work", df.RetryOptions(1000, 3), "x"))

    state, runs = play(
        retrying,
        {"work": trouble.work, "fine": trouble.fine},
        before=lambda hub: setattr(trouble, "is_mended", True),
    )

    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, "x")
    assert runs == {"work": 4, "fine": 1}


def test_a_retry_that_succeeded_before_the_failure_does_not_hinder():
    trouble = Trouble()
    attempts = iter([ValueError("at first"), None])

    def shaky(value):
        error = next(attempts)
        if error is not None:
            raise error
        return value

    def code(context):
        yield context.call_activity_with_retry("shaky", df.RetryOptions(1000, 3), 1)
        return (yield context.call_activity("work", "x"))

    state, runs = play(
        code, {"work": trouble.work, "shaky": shaky}, before=lambda hub: setattr(trouble, "is_mended", True)
    )

    assert json.loads(state.output) == "x"
    assert runs == {"work": 2, "shaky": 2}


def test_siblings_whose_answers_came_after_the_end_are_done_again():
    trouble = Trouble()

    async def slow(value):
        await asyncio.sleep(30)
        return value

    def code(context):
        tasks = [context.call_activity("work", "x"), context.call_activity("slow", "y")]
        deadline = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
        result = yield context.task_all(tasks)
        yield deadline
        return result

    state, runs = play(
        code, {"work": trouble.work, "slow": slow}, before=lambda hub: setattr(trouble, "is_mended", True)
    )

    assert json.loads(state.output) == ["x", "y"]
    assert runs == {"work": 2, "slow": 2}


def test_code_that_was_wrong_goes_on_from_where_it_failed_once_it_is_mended():
    def wrong(context):
        value = yield context.call_activity("fine", 2)
        return value / 0

    def right(context):
        value = yield context.call_activity("fine", 2)
        return value / 1

    state, runs = play(
        wrong, {"fine": lambda value: value}, before=lambda hub: setattr(hub.app, "orchestrators", {"it": right})
    )

    assert json.loads(state.output) == 2.0
    assert runs == {"fine": 1}


def test_an_instance_that_goes_on_while_it_is_rewound_is_no_failed_one():
    """Seed 4101495: its next generation took the place of the one whose large values were being read."""

    def failing(context):
        yield context.call_activity("grow", "x")
        raise ValueError("boom")

    hub, script = VirtualHub({"failing": failing}, {"grow": lambda text: text * 70_000}, partition_count=1), Script()

    async def main(hub):
        await hub.worker()
        await hub.start("failing", instance_id="x")
        await hub.end("x")

        async def be_gone(call, act):
            await hub.storage.blobs.delete_blob(call.target, *call.arguments)
            return await act()

        script.on("get_blob", "largemessages", be_gone)
        process = hub.process("scripted", wrap=script.wrap)
        client = TaskHubClient(process.storage, hub.settings, environment=process.environment)
        with pytest.raises(InvalidInstanceState, match=r"'x' goes on while it is rewound: there is no blob"):
            await client.rewind(InstanceId("x"), "once more")

    hub.run(main)
