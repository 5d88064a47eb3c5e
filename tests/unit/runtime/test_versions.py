"""Orchestrations of other versions than the app's: put back, failed, terminated."""

import pytest

from taskhub.model.history import ExecutionCompleted, ExecutionStarted, SubOrchestrationFailed
from taskhub.model.instance import RuntimeStatus
from taskhub.model.versions import VersionFailure, VersionMatch
from tests.support.virtual_hub import VirtualHub


def show(context):
    return context.version
    yield


def parent(context):
    return (yield context.call_sub_orchestrator("show", instance_id="child", version="1.5"))


def hub_of(**settings):
    return VirtualHub({"show": show, "parent": parent}, **settings)


def test_an_instance_of_another_version_is_failed_as_the_extension_does():
    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("show", version="2.1")
        state = await hub.end(instance_id)
        return state, await hub.client.history(instance_id)

    state, history = hub_of(default_version="2.0", version_failure=VersionFailure.FAIL).run(play)

    text = "Orchestration version did not comply with Worker Versioning"
    assert (state.status, state.output) == (RuntimeStatus.Failed, f"VersionMismatch: {text}")
    (end,) = [event for event in history if isinstance(event, ExecutionCompleted)]
    assert (end.result, end.failure.error_type, end.failure.error_message, end.failure.is_non_retriable) == (
        None,
        "VersionMismatch",
        text,
        True,
    )
    assert [event.is_played for event in history if isinstance(event, ExecutionStarted)] == [False]


def test_a_parent_hears_of_a_child_of_another_version_that_was_failed():
    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("parent")
        state = await hub.end(instance_id)
        return state, await hub.client.history(instance_id)

    state, history = hub_of(version_failure=VersionFailure.FAIL).run(play)

    assert state.status is RuntimeStatus.Failed
    (answer,) = [event for event in history if isinstance(event, SubOrchestrationFailed)]
    assert answer.failure.error_type == "VersionMismatch"


def test_a_rejected_instance_waits_for_a_worker_of_its_version():
    async def play(hub):
        first = await hub.worker("old")
        instance_id = await hub.start("show", version="1.5")
        await hub.sleep(5)
        waiting = await hub.client.get(instance_id)
        await first.stop()
        await hub.worker("new", default_version="1.5")
        return waiting, await hub.end(instance_id, within=30)

    waiting, ended = hub_of().run(play)

    assert waiting.status is RuntimeStatus.Pending
    assert (ended.status, ended.output) == (RuntimeStatus.Completed, '"1.5"')


def test_a_running_instance_stays_as_it_is_when_the_app_goes_back_a_version():
    def wait(context):
        return (yield context.wait_for_external_event("go"))

    async def play(hub):
        first = await hub.worker("new", default_version="2.0")
        instance_id = await hub.start("wait", version="2.0")
        await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)
        await first.stop()
        second = await hub.worker("old", default_version="1.0")
        await hub.client.raise_event(instance_id, "go", "1")
        await hub.sleep(10)
        waiting = await hub.client.get(instance_id)
        await second.stop()
        await hub.worker("new", default_version="2.0")
        return waiting, await hub.end(instance_id, within=60)

    waiting, ended = VirtualHub({"wait": wait}).run(play)

    assert waiting.status is RuntimeStatus.Running
    assert ended.output == "1"


def test_a_rejected_instance_can_be_terminated():
    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("show", version="1.5")
        await hub.sleep(5)
        await hub.client.terminate(instance_id, "enough")
        return await hub.end(instance_id, within=120)

    assert hub_of().run(play).status is RuntimeStatus.Terminated


@pytest.mark.parametrize("match", [VersionMatch.NONE, VersionMatch.CURRENT_OR_OLDER])
def test_instances_without_a_version_run_in_every_app(match):
    async def play(hub):
        await hub.worker()
        return await hub.end(await hub.start("show", version=""))

    assert hub_of(default_version="3.0", version_match=match).run(play).output == '""'


def test_what_an_app_starts_has_its_version():
    async def play(hub):
        await hub.worker()
        return await hub.end(await hub.start("show"))

    assert hub_of(default_version="3.0").run(play).output == '"3.0"'
