"""Restarting instances: name, input and tags go over, the version is the app's of today."""

import json

import pytest

from taskhub import InstanceExists
from taskhub.client import SOURCE_TAG
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.real_hub import RealHub

LARGE = "x" * 70_000


def quick(context):
    return context.get_input()
    yield


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def parent(context):
    try:
        return (yield context.call_sub_orchestrator("waiting", None, "child"))
    except Exception as error:
        return str(error)


CODE = {"quick": quick, "waiting": waiting}


async def one_that_ended(hub, given, **options):
    await hub.start("quick", given, instance_id="first", **options)
    return await hub.end("first")


@pytest.mark.parametrize("given", [None, {"n": 1}, LARGE], ids=["none", "small", "large"])
async def test_a_new_instance_has_the_input_and_tags_of_the_old_one(any_storage, given):
    hub = RealHub(any_storage, CODE, default_version="2.0")
    async with hub.working():
        first = await one_that_ended(hub, given, tags={"team": "blue"}, version="1.0")
        second = await hub.end(await hub.client.restart(first))

    assert second.instance_id != first.instance_id
    assert (second.name, second.input, second.output) == (first.name, first.input, first.output)
    assert json.loads(second.output or "null") == given
    assert (first.version, second.version) == ("1.0", "2.0")
    assert second.tags == {"team": "blue"}


async def test_the_same_id_begins_a_new_generation(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        first = await one_that_ended(hub, 1)
        await hub.client.restart(first, with_new_id=False)
        second = await hub.until("first", lambda state: state.generation == 1 and state.status.is_terminal)

    assert (second.output, second.execution_id == first.execution_id) == ("1", False)


async def test_an_id_of_the_callers_choice_is_tagged_with_its_source(any_storage):
    hub = RealHub(any_storage, CODE, default_version="3.0")
    async with hub.working():
        first = await one_that_ended(hub, 1, tags={"team": "blue"})
        await hub.client.restart(first, new_id=InstanceId("second"), version="3.0")
        second = await hub.end("second")

    assert second.tags == {"team": "blue", SOURCE_TAG: "first"}
    assert second.version == "3.0"


async def test_a_live_instance_is_not_replaced_but_can_be_started_beside(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        await hub.start("waiting", instance_id="first")
        first = await hub.running("first")
        with pytest.raises(InstanceExists):
            await hub.client.restart(first, with_new_id=False)
        second = await hub.client.restart(first)
        assert (await hub.running(second)).status is RuntimeStatus.Running
        assert (await hub.client.get(InstanceId("first"))).execution_id == first.execution_id


async def test_a_running_instance_is_restarted_where_the_hub_allows_it(any_storage):
    """Its parent hears of it, and late events of the old execution go to nobody."""
    hub = RealHub(any_storage, {**CODE, "parent": parent}, overridable_running_instances=True)
    async with hub.working():
        await hub.start("parent", instance_id="p")
        first = await hub.running("child")
        await hub.client.restart(first, with_new_id=False)
        told = await hub.end("p")
        second = await hub.until("child", lambda state: state.execution_id != first.execution_id)
        await hub.client.raise_event(InstanceId("child"), "go", "7")
        ended = await hub.end("child")

    assert "took its place" in told.output
    assert (ended.execution_id, ended.generation, ended.output) == (second.execution_id, 1, "7")
