"""Terminate, suspend, resume and events in every state that an instance can be in, and for ids that nobody has."""

import asyncio
import json
from datetime import datetime, timedelta, timezone

import pytest

from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from tests.support.hub_state import read_hub
from tests.support.real_hub import RealHub

IT = InstanceId("it")


def waiting(context):
    first = yield context.wait_for_external_event("go")
    second = yield context.wait_for_external_event("go")
    return [first, second]


def quick(context):
    return context.get_input()
    yield


def failing(context):
    raise ValueError("no")
    yield


CODE = {"waiting": waiting, "quick": quick, "failing": failing}


async def unknown(hub):
    await hub.client.create_hub()


async def running(hub):
    await hub.start("waiting", instance_id=IT)
    await hub.running(IT)


async def suspended(hub):
    await running(hub)
    await hub.client.suspend(IT, "hold")
    await hub.until(IT, lambda state: state.status is RuntimeStatus.Suspended)


async def completed(hub):
    await hub.start("quick", 1, instance_id=IT)
    await hub.end(IT)


async def failed(hub):
    await hub.start("failing", instance_id=IT)
    await hub.end(IT)


async def terminated(hub):
    await running(hub)
    await hub.client.terminate(IT, "first")
    await hub.end(IT)


async def settled(hub):
    """Wait until every message was used up."""
    for _ in range(1500):
        counts = [await hub.storage.queues.count(hub.names.control_queue(index)) for index in range(4)]
        if not any(counts):
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"messages are left: {counts}")


# What an operation makes of an instance: status and output; None: nothing at all.
FAILURE = "Orchestrator function 'failing' failed: no"
OUTCOMES = {
    (unknown, "terminate"): None,
    (unknown, "suspend"): None,
    (unknown, "resume"): None,
    (running, "terminate"): ("Terminated", "why"),
    (running, "suspend"): ("Suspended", "why"),
    (running, "resume"): ("Running", "why"),
    (suspended, "terminate"): ("Terminated", "why"),
    (suspended, "suspend"): ("Suspended", "why"),
    (suspended, "resume"): ("Running", "why"),
    (completed, "terminate"): ("Completed", "1"),
    (completed, "suspend"): ("Completed", "1"),
    (completed, "resume"): ("Completed", "1"),
    (failed, "terminate"): ("Failed", FAILURE),
    (failed, "suspend"): ("Failed", FAILURE),
    (failed, "resume"): ("Failed", FAILURE),
    (terminated, "terminate"): ("Terminated", "first"),
    (terminated, "suspend"): ("Terminated", "first"),
    (terminated, "resume"): ("Terminated", "first"),
}


@pytest.mark.parametrize(
    ("prepare", "operation"), list(OUTCOMES), ids=[f"{state.__name__}-{act}" for state, act in OUTCOMES]
)
async def test_an_operation_does_what_the_state_allows_and_its_message_is_used_up(any_storage, prepare, operation):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        await prepare(hub)
        await getattr(hub.client, operation)(IT, "why")
        await settled(hub)
        state = await hub.client.get(IT)

    expected = OUTCOMES[prepare, operation]
    if expected is None:
        assert state is None
        left = await read_hub(any_storage, hub.names, partition_count=4)
        assert (list(left.history), list(left.instances)) == ([], [])
    else:
        assert (state.status.name, state.output) == expected


async def test_an_instance_that_was_suspended_while_suspended_needs_one_resumption(any_storage):
    hub = RealHub(any_storage, CODE)
    async with hub.working():
        await suspended(hub)
        await hub.client.suspend(IT, "again")
        await hub.client.raise_event(IT, "go", "1")
        await hub.client.raise_event(IT, "go", "2")
        await settled(hub)
        assert (await hub.client.get(IT)).status is RuntimeStatus.Suspended
        await hub.client.resume(IT, None)
        state = await hub.end(IT)

    assert sorted(json.loads(state.output)) == [1, 2]


@pytest.mark.parametrize("operation", ["terminate", "suspend"])
async def test_an_instance_can_be_stopped_before_it_starts(any_storage, operation):
    hub = RealHub(any_storage, CODE)
    when = Utc.of(datetime.now(timezone.utc) + timedelta(seconds=2))
    async with hub.working():
        await hub.start("waiting", instance_id=IT, scheduled_start=when)
        await getattr(hub.client, operation)(IT, "too early")
        await settled(hub)
        state = await hub.client.get(IT)

    # Unlike the reference, which starts what was terminated.
    wanted = RuntimeStatus.Terminated if operation == "terminate" else RuntimeStatus.Suspended
    assert (state.status, state.output) == (wanted, "too early")
    assert bool(await hub.client.history(IT)) is (operation == "suspend")


async def test_an_id_that_was_terminated_before_its_start_can_be_used_again(any_storage):
    hub = RealHub(any_storage, CODE)
    when = Utc.of(datetime.now(timezone.utc) + timedelta(seconds=1))
    async with hub.working():
        await hub.start("waiting", instance_id=IT, scheduled_start=when)
        await hub.client.terminate(IT, None)
        await hub.until(IT, lambda state: state.status is RuntimeStatus.Terminated)
        await hub.start("quick", 5, instance_id=IT)
        state = await hub.until(IT, lambda state: state.status is RuntimeStatus.Completed)
        await settled(hub)
        after = await hub.client.get(IT)

    assert (state.output, after.output, after.generation) == ("5", "5", 1)
