"""Scenarios of the .NET provider, run again by our worker: they must leave what the recordings left."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from taskhub import InstanceExists, TaskHubClient, TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.names import HubNames
from taskhub.runtime.environment import Environment
from taskhub.storage.interception import intercepted
from tests.support.dotnet_programs import ACTIVITIES, ORCHESTRATORS, DotnetApplication
from tests.support.golden_state import recorded_state, stored_state
from tests.support.recordings import GOLDEN

# ---- what was done


class Run:
    """A worker at work on one hub, and the calls that scenarios make."""

    def __init__(self, storage, settings, client=None):
        self.client = client
        self._storage = storage
        self._settings = settings

    async def __aenter__(self):
        self._stop, ready = asyncio.Event(), asyncio.Event()
        worker = Worker(
            self._storage,
            self._settings,
            DotnetApplication(ORCHESTRATORS, ACTIVITIES),
            worker_id="worker-a",
            environment=Environment(),
        )
        self.client = self.client or worker.client
        self._running = asyncio.create_task(worker.run(self._stop, ready=ready))
        await ready.wait()
        return self

    async def __aexit__(self, *_):
        self._stop.set()
        await self._running

    async def start(self, name, instance_id, given=None, **options):
        await self.client.start(name, instance_id=InstanceId(instance_id), input=given, **options)

    async def until(self, instance_id, is_reached):
        for _ in range(1500):
            state = await self.client.get(InstanceId(instance_id))
            if state is not None and is_reached(state):
                return state
            await asyncio.sleep(0.02)
        raise AssertionError(f"{instance_id} is still {state}")

    async def ended(self, instance_id, expected=RuntimeStatus.Completed):
        state = await self.until(instance_id, lambda state: state.status.is_terminal)
        assert state.status is expected, state

    async def quiet(self):
        """Wait until no message is left, hidden ones included."""
        names = HubNames.of(self._settings.hub_name)
        for _ in range(300):
            if not any([await self._storage.queues.count(names.control_queue(n)) for n in range(4)]):
                return
            await asyncio.sleep(0.1)

    async def running(self, instance_id, wanted=RuntimeStatus.Running):
        await self.until(instance_id, lambda state: state.status is wanted)


async def play_hello_sequence(run):
    await run.start("HelloSequence", "hello-1")
    await run.ended("hello-1")


async def play_fan_out_10(run):
    await run.start("FanOut", "fan-10", "10")
    await run.ended("fan-10")


async def play_timer(run):
    await run.start("Timer", "timer-1", "2")
    await run.ended("timer-1")


async def play_timer_cancelled(run):
    await run.start("TimerOrEvent", "timer-2", "6")
    await run.running("timer-2")
    await run.client.raise_event(InstanceId("timer-2"), "go", '{"n":1}')
    await run.ended("timer-2")
    await run.quiet()


async def play_sub_orchestration(run):
    await run.start("Parent", "parent-1", '"x"')
    await run.ended("parent-1")


async def play_sub_orchestration_default_id(run):
    await run.start("DefaultChild", "parent-2", '"x"')
    await run.ended("parent-2")


async def play_external_event_before(run):
    await run.start("SlowThenEvent", "event-1", "1500")
    await run.running("event-1")
    await run.client.raise_event(InstanceId("event-1"), "go", '{"n":1}')
    await run.ended("event-1")


async def play_external_event_while_waiting(run):
    await run.start("WaitEvent", "event-2")
    await run.running("event-2")
    await run.client.raise_event(InstanceId("event-2"), "go", '{"n":1}')
    await run.ended("event-2")


async def play_custom_status(run):
    await run.start("Status", "status-1")
    await run.ended("status-1")


async def play_terminate(run):
    await run.start("WaitEvent", "term-1")
    await run.running("term-1")
    await run.client.terminate(InstanceId("term-1"), "operator stop")
    await run.ended("term-1", RuntimeStatus.Terminated)


async def play_delayed_start(run):
    when = Utc.of(Environment().clock.now()).plus(timedelta(seconds=3))
    await run.start("Child", "delayed-1", '"x"', scheduled_start=when)
    await run.ended("delayed-1")


async def play_suspend_resume(run):
    instance_id = InstanceId("suspend-1")
    await run.start("WaitEvent", instance_id)
    await run.running(instance_id)
    await run.client.suspend(instance_id, "hold")
    await run.running(instance_id, RuntimeStatus.Suspended)
    await run.client.raise_event(instance_id, "go", '{"n":1}')
    await asyncio.sleep(0.5)
    await run.client.resume(instance_id, "go on")
    await run.ended(instance_id)


async def play_duplicate_start(run):
    await run.start("WaitEvent", "dup-1", '"first"')
    await run.running("dup-1")
    with pytest.raises(InstanceExists):
        await run.start("Child", "dup-1", '"second"')
    await run.client.raise_event(InstanceId("dup-1"), "go", "1")
    await run.ended("dup-1")
    await run.start("Child", "dup-1", '"again"')
    await run.until("dup-1", lambda state: state.generation == 1 and state.status is RuntimeStatus.Completed)


async def play_duplicate_start_replaces(run):
    await run.start("WaitEvent", "dup-2", "1")
    await run.running("dup-2")
    await run.start("WaitEvent", "dup-2", "2")
    await run.until("dup-2", lambda state: state.generation == 1 and state.status is RuntimeStatus.Running)
    await run.client.raise_event(InstanceId("dup-2"), "go", "1")
    await run.ended("dup-2")


SCENARIOS = {name.removeprefix("play_"): play for name, play in globals().copy().items() if name.startswith("play_")}


# What the classic algorithm does otherwise than warm sessions shows in these.
CLASSIC = ("hello_sequence", "fan_out_10", "sub_orchestration", "external_event_before", "suspend_resume")
RUNS = [(scenario, True) for scenario in SCENARIOS] + [(scenario, False) for scenario in CLASSIC]


@pytest.mark.parametrize(
    ("scenario", "warm"), RUNS, ids=[f"{name}-{'warm' if warm else 'classic'}" for name, warm in RUNS]
)
async def test_a_scenario_leaves_what_the_reference_left(any_storage, scenario, warm):
    exact = scenario != "fan_out_10"
    recorded = recorded_state(scenario, exact_episodes=exact)
    hub = next(row["TaskHubName"] for _, _, row in recorded["rows"]["Instances"])
    # A new name for each run on the emulator that all tests share; the rows must show the recorded one.
    settings = TaskHubSettings(
        hub_name=f"{hub}{'W' if warm else 'C'}",
        app_name="interop",
        default_version="",
        warm_sessions=warm,
        wake_readers=warm,
        max_polling_interval_seconds=1.0,
        overridable_running_instances=scenario == "duplicate_start_replaces",
    )

    async with Run(any_storage, settings) as run:
        await SCENARIOS[scenario](run)
    stored = await stored_state(any_storage, HubNames.of(settings.hub_name), exact_episodes=exact)

    for _, _, row in stored["rows"]["Instances"]:
        assert row.pop("TaskHubName") == settings.hub_name
    for _, _, row in recorded["rows"]["Instances"]:
        del row["TaskHubName"]
    for part in ("rows", "blobs", "queues"):
        assert stored[part] == recorded[part]


BASE64 = {  # scenario: instance, whether the client and the worker write base64
    "hello_base64": ("hello-1", True, True),
    "base64_worker_reads_text": ("mixed-1", False, True),
    "text_worker_reads_base64": ("mixed-2", True, False),
}


@pytest.mark.parametrize("scenario", BASE64)
async def test_messages_are_encoded_as_recorded(any_storage, scenario):
    instance_id, client_base64, worker_base64 = BASE64[scenario]
    recorded = recorded_state(scenario)
    put = json.loads((GOLDEN / "storage" / scenario / "messages.json").read_text(encoding="utf-8"))
    settings = TaskHubSettings(
        hub_name=f"H{uuid4().hex[:12]}",
        app_name="interop",
        default_version="",
        base64_messages=worker_base64,
        max_polling_interval_seconds=0.2,
    )
    texts = []

    async def noting(call, act):
        if call.service == "queue" and call.method == "put":
            texts.append((call.target, call.arguments[0]))
        return await act()

    noted = intercepted(any_storage, noting)
    client = TaskHubClient(noted, replace(settings, base64_messages=client_base64))
    async with Run(noted, settings, client) as run:
        name, given = ("HelloSequence", None) if scenario == "hello_base64" else ("Child", '"x"')
        await run.start(name, instance_id, given)
        await run.ended(instance_id)
        await run.quiet()
    stored = await stored_state(any_storage, HubNames.of(settings.hub_name))

    assert [kind_of(queue) for queue, _ in texts] == [kind_of(message["queue"]) for message in put]
    assert ["text" if text.startswith("{") else "base64" for _, text in texts] == [each["encoding"] for each in put]
    for state in (stored, recorded):
        for _, _, row in state["rows"]["Instances"]:
            del row["TaskHubName"]
    assert stored["rows"]["History"] == recorded["rows"]["History"]
    assert stored["rows"]["Instances"] == recorded["rows"]["Instances"]
    assert stored["queues"] == recorded["queues"]


def kind_of(queue):
    return queue.partition("-")[2]
