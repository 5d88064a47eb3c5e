"""The scenarios of ``golden/storage``, played again: the calls that were made there, with workers and clients of ours.

A play ends when what the recording shows at its end is there. What it noted on the way (messages that were put, answers
to the client) is compared with the recording by ``tests/azurite/test_golden_storage.py``.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub import InstanceExists, TaskHubClient, Worker
from taskhub.errors import InvalidInstanceState
from taskhub.model.ids import InstanceId, Utc, WorkerId
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from taskhub.model.leases import PartitionManager
from taskhub.names import HubNames
from taskhub.runtime.environment import Environment
from taskhub.storage.interception import intercepted
from tests.support.dotnet_programs import ACTIVITIES, ORCHESTRATORS, DotnetApplication, slow

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from taskhub import TaskHubSettings
    from taskhub.model.instance import InstanceState
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Storage

_T = TypeVar("_T")

PATIENCE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class PutMessage:
    """A message as it was put."""

    queue: str
    text: str
    hidden: int
    """Seconds until it is visible."""


class Run:
    """One hub: a client, and workers that come and go."""

    def __init__(self, storage: Storage, settings: TaskHubSettings, client_settings: Mapping[str, Any]) -> None:
        self.settings = settings
        self.names = HubNames.of(settings.hub_name)
        self.messages: list[PutMessage] = []
        self.renewals: Counter[str] = Counter()
        """How often messages were hidden anew, by queue."""
        self.answers: dict[str, Any] = {}
        """What the client was answered, by the names that the recording gives."""
        self.storage = intercepted(storage, self._note)
        self.client = TaskHubClient(self.storage, replace(settings, **client_settings))
        self.activities: Mapping[str, Callable[..., Any]] = ACTIVITIES

    async def _note(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        if (call.service, call.method) == ("queue", "put"):
            self.messages.append(PutMessage(call.target, call.arguments[0], call.options.get("visible_after", 0)))
        if (call.service, call.method) == ("queue", "update"):
            self.renewals[call.target] += 1
        return await act()

    @asynccontextmanager
    async def worker(self, worker_id: str = "worker-a") -> AsyncIterator[None]:
        """Let a worker work while the block runs."""
        stop, ready = asyncio.Event(), asyncio.Event()
        worker = Worker(
            self.storage,
            self.settings,
            DotnetApplication(ORCHESTRATORS, self.activities),
            worker_id=WorkerId(worker_id),
        )
        running = asyncio.create_task(worker.run(stop, ready=ready))
        await ready.wait()
        try:
            yield
        finally:
            stop.set()
            await running

    async def start(self, name: str, instance_id: str, given: str | None = None, **options: Any) -> None:
        """Start an instance."""
        await self.client.start(name, instance_id=InstanceId(instance_id), input=given, **options)

    async def until(self, instance_id: str, is_reached: Callable[[InstanceState], bool]) -> InstanceState:
        """Wait until an instance is as wanted."""
        state = await _until(
            lambda: self.client.get(InstanceId(instance_id)), lambda state: state is not None and is_reached(state)
        )
        assert state is not None
        return state

    async def ended(self, instance_id: str, expected: RuntimeStatus = RuntimeStatus.Completed) -> None:
        """Wait until an instance has ended."""
        state = await self.until(instance_id, lambda state: state.status is not None and state.status.is_terminal)
        assert state.status is expected, state
        self.answers[f"final status of {instance_id}"] = {"status": expected.name}

    async def running(self, instance_id: str, wanted: RuntimeStatus = RuntimeStatus.Running) -> None:
        """Wait until an instance runs."""
        await self.until(instance_id, lambda state: state.status is wanted)

    async def raise_event(self, instance_id: str, data: str | None) -> None:
        """Send the event that all programs wait for."""
        await self.client.raise_event(InstanceId(instance_id), "go", data)

    async def quiet(self, queues: int = 5) -> None:
        """Wait until the first so many queues hold no message, hidden ones included."""
        control = [self.names.control_queue(number) for number in range(4)]  # type: ignore[arg-type]  # plain numbers
        for queue in [*control, self.names.work_item_queue][:queues]:
            await _until(partial(self.storage.queues.count, queue), lambda count: count == 0)

    async def shared(self, **shares: int) -> None:
        """Wait until the workers, named without ``worker-``, hold so many partitions each."""
        wanted = {f"worker-{name}": count for name, count in shares.items()}

        async def found() -> Counter[str]:
            status = await self.client.hub_status()
            return Counter(each.owner for each in status.partitions if each.owner and not each.next_owner)

        await _until(found, lambda shares: shares == wanted)


async def _until(look: Callable[[], Awaitable[_T]], is_reached: Callable[[_T], bool]) -> _T:
    """Look until it is as wanted."""
    ends = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not is_reached(seen := await look()):
        assert asyncio.get_running_loop().time() < ends, f"still {seen}"
        await asyncio.sleep(0.02)
    return seen


@dataclass(frozen=True)
class Play:
    """How to play a scenario again."""

    calls: Callable[[Run], Awaitable[None]]
    settings: Mapping[str, Any] = field(default_factory=dict)
    client_settings: Mapping[str, Any] = field(default_factory=dict)
    has_worker: bool = True
    """Whether one worker works all the time."""
    is_exact: bool = True
    """Whether the recording tells how messages are grouped."""

    async def perform(self, run: Run) -> None:
        """Play it."""
        async with AsyncExitStack() as stack:
            if self.has_worker:
                await stack.enter_async_context(run.worker())
            await self.calls(run)


# ---- orchestrations


async def _one(
    run: Run, name: str, instance_id: str, given: str | None = None, ends: RuntimeStatus = RuntimeStatus.Completed
) -> None:
    await run.start(name, instance_id, given)
    await run.ended(instance_id, ends)
    await run.quiet()


def _plain(name: str, instance_id: str, given: str | None = None) -> Callable[[Run], Awaitable[None]]:
    return partial(_one, name=name, instance_id=instance_id, given=given)


async def _timer_cancelled(run: Run) -> None:
    await run.start("TimerOrEvent", "timer-2", "6")
    await run.running("timer-2")
    await run.raise_event("timer-2", '{"n":1}')
    await run.ended("timer-2")
    await run.quiet()


async def _event(run: Run, name: str, instance_id: str, given: str | None = None) -> None:
    await run.start(name, instance_id, given)
    await run.running(instance_id)
    await run.raise_event(instance_id, '{"n":1}')
    await run.ended(instance_id)
    await run.quiet()


async def _long_activity(run: Run) -> None:
    async def shortened(request: Mapping[str, Any]) -> Any:
        return await slow({**request, "ms": request["ms"] / 25})

    run.activities = {**ACTIVITIES, "Slow": shortened}
    # Before there is a worker: it took both at once when this was recorded.
    await run.start("SlowThenEvent", "long-1", "75000")
    await run.raise_event("long-1", "1")
    async with run.worker():
        await run.ended("long-1")
        await run.quiet()
    assert run.renewals[run.names.work_item_queue] > 0


async def _terminate(run: Run) -> None:
    await run.start("WaitEvent", "term-1")
    await run.running("term-1")
    await run.client.terminate(InstanceId("term-1"), "operator stop")
    await run.ended("term-1", RuntimeStatus.Terminated)
    await run.raise_event("term-1", "1")
    await run.quiet()


async def _terminate_pending(run: Run) -> None:
    await run.start("HelloSequence", "term-2", scheduled_start=_in(timedelta(seconds=5)))
    await run.client.terminate(InstanceId("term-2"), "not needed")
    await run.ended("term-2", RuntimeStatus.Terminated)
    await run.quiet()


async def _delayed_start(run: Run) -> None:
    await run.start("Child", "delayed-1", '"x"', scheduled_start=_in(timedelta(seconds=3)))
    await run.ended("delayed-1")
    await run.quiet()


def _in(span: timedelta) -> Utc:
    return Utc.of(Environment().clock.now()).plus(span)


async def _suspend_resume(run: Run) -> None:
    instance_id = InstanceId("suspend-1")
    await run.start("WaitEvent", instance_id)
    await run.running(instance_id)
    await run.client.suspend(instance_id, "hold")
    await run.running(instance_id, RuntimeStatus.Suspended)
    await run.raise_event(instance_id, '{"n":1}')
    await _until(lambda: run.client.history(instance_id), lambda events: len(events) == 9)  # the event is stored
    await run.client.resume(instance_id, "go on")
    await run.ended(instance_id)
    await run.quiet()


async def _send_event(run: Run) -> None:
    await run.start("WaitEvent", "receiver-1")
    await run.running("receiver-1")
    await run.start("SendEvent", "sender-1", '"receiver-1"')
    await run.ended("sender-1")
    await run.ended("receiver-1")
    await run.quiet()


async def _duplicate_start(run: Run) -> None:
    await run.start("WaitEvent", "dup-1")
    await run.running("dup-1")
    run.answers["start while running"] = await _refusal(run.start("Child", "dup-1", '"second"'))
    await run.raise_event("dup-1", "1")
    await run.ended("dup-1")
    await run.start("Child", "dup-1", '"again"')
    await run.until("dup-1", lambda state: state.generation == 1 and state.status is RuntimeStatus.Completed)
    await run.quiet()


async def _duplicate_start_replaces(run: Run) -> None:
    await run.start("WaitEvent", "dup-2")
    await run.running("dup-2")
    await run.start("WaitEvent", "dup-2", "2")
    await run.until("dup-2", lambda state: state.generation == 1 and state.status is RuntimeStatus.Running)
    await run.raise_event("dup-2", "1")
    await run.ended("dup-2")
    await run.quiet()


async def _refusal(call: Awaitable[None]) -> str:
    try:
        await call
    except InstanceExists as error:
        return f"An Orchestration instance with the status {error.status.name} already exists."
    except InvalidInstanceState:
        return "refused"
    return "done"


# ---- what cannot be done


async def _unknown_instance(run: Run) -> None:
    await run.raise_event("nobody-1", "1")
    await run.client.suspend(InstanceId("nobody-2"), "hold")
    await run.client.terminate(InstanceId("nobody-3"), "stop")
    await run.quiet()


async def _unknown_names(run: Run) -> None:
    await run.start("NoSuchOrchestration", "unknown-1")
    await run.start("CallMissing", "unknown-2")
    await run.ended("unknown-1", RuntimeStatus.Failed)
    await run.ended("unknown-2", RuntimeStatus.Failed)
    await run.quiet()


async def _garbage_messages(run: Run) -> None:
    nonsense = json.dumps(
        {
            "$type": "DurableTask.AzureStorage.MessageData",
            "TaskMessage": {
                "$type": "DurableTask.Core.TaskMessage",
                "Event": {"$type": "DurableTask.Core.History.NoSuchEvent"},
            },
        },
        separators=(",", ":"),
    )
    queues = run.names.control_queue(0), run.names.work_item_queue  # type: ignore[arg-type]  # a plain number
    for queue in queues:
        for text in ("{not json", nonsense):
            await run.storage.queues.put(queue, text, visible_after=0)

    async def put_back() -> int:
        return min(run.renewals[queue] for queue in queues)

    await _until(put_back, lambda count: count >= 2)  # both of each


# ---- many instances, and the end of them


async def _purge_one(run: Run) -> None:
    for instance_id in ("purge-1", "stay-1"):
        await run.start("HelloSequence", instance_id)
    for instance_id in ("purge-1", "stay-1"):
        await run.ended(instance_id)
    await run.quiet()
    run.answers["purge"] = {"InstancesDeleted": await run.client.purge(InstanceId("purge-1"))}
    run.answers["purge of an unknown id"] = {"InstancesDeleted": await run.client.purge(InstanceId("nobody"))}


async def _purge_large_neighbour(run: Run) -> None:
    given = json.dumps({"text": "i" * 102_400, "size": 10}, separators=(",", ":"))
    for instance_id in ("order-4", "order-42"):
        await run.start("LargePayload", instance_id, given)
    for instance_id in ("order-4", "order-42"):
        await run.ended(instance_id)
    await run.quiet()
    run.answers["purge"] = {"InstancesDeleted": await run.client.purge(InstanceId("order-4"))}


async def _purge_filter(run: Run) -> None:
    await run.start("Child", "done-1", '"x"')
    await run.start("Child", "done-2", '"x"')
    await run.start("FailOnce", "failed-1", '"boom"')
    await run.start("WaitEvent", "running-1")
    await run.ended("done-1")
    await run.ended("done-2")
    await run.ended("failed-1", RuntimeStatus.Failed)
    await run.running("running-1")
    await run.quiet()
    ended = InstanceFilter(statuses=frozenset({RuntimeStatus.Completed, RuntimeStatus.Failed}))
    purged = await run.client.purge_ended(ended)
    run.answers["purge"] = {"InstancesDeleted": purged.instances, "RowsDeleted": purged.rows}


async def _query_many(run: Run) -> None:
    for number in range(7):
        await run.start("Child", f"q-done-{number}", f'"n{number}"')
    for instance_id in ("q-failed-0", "z-failed-1"):
        await run.start("FailOnce", instance_id, '"boom"')
    await run.start("WaitEvent", "q-running-0")
    await run.start("WaitEvent", "it's/odd #1", "1")
    await run.start("Child", "q-pending-0", '"later"', scheduled_start=_in(timedelta(minutes=10)))
    for number in range(7):
        await run.ended(f"q-done-{number}")
    for instance_id in ("q-failed-0", "z-failed-1"):
        await run.ended(instance_id, RuntimeStatus.Failed)
    for instance_id in ("q-running-0", "it's/odd #1"):
        await run.running(instance_id)
    await run.quiet(queues=3)  # the last control queue holds the one that is pending
    # How they are read is in tests/conformance/client/test_recorded_hubs.py.


async def _client_calls(run: Run) -> None:
    client, instance_id = run.client, InstanceId("call-1")
    large = json.dumps("i" * 102_400)

    async def note(name: str, call: Awaitable[None]) -> None:
        run.answers[name] = await _refusal(call)

    await note("create-again", client.create_hub())
    await note("create-second-process", TaskHubClient(run.storage, run.settings).create_hub())
    await note("start", run.start("HelloSequence", "call-1", '{"a":1}'))
    await note("start-again-refused", run.start("HelloSequence", "call-1"))
    replacing = TaskHubClient(run.storage, replace(run.settings, overridable_running_instances=True))
    await replacing.start("HelloSequence", instance_id=instance_id)
    await note("start-at", run.start("HelloSequence", "call-2", scheduled_start=_in(timedelta(days=1))))
    await note("start-large", run.start("HelloSequence", "call-3", large))
    await note("start-at-too-far", run.start("HelloSequence", "call-4", scheduled_start=_in(timedelta(days=8))))
    state, large_state = await client.get(instance_id), await client.get(InstanceId("call-3"))
    assert state is not None
    assert state.status is not None
    assert large_state is not None
    run.answers["status"] = state.status.name
    run.answers["status-large"] = len(large_state.input or "")
    await note("raise", run.raise_event("call-1", '{"n":1}'))
    await note("raise-null", run.raise_event("call-1", None))
    await note("raise-large", run.raise_event("call-1", json.dumps("e" * 102_400)))
    await note("suspend", client.suspend(instance_id, "hold"))
    await note("resume", client.resume(instance_id, "go on"))
    await note("terminate", client.terminate(instance_id, "stop"))
    await note("rewind", client.rewind(instance_id, "again"))
    run.answers["history"] = json.dumps(list(await client.history(instance_id)))
    run.answers["purge"] = {"InstancesDeleted": await client.purge(InstanceId("call-3"))}


# ---- workers


async def _two_workers(run: Run) -> None:
    async with run.worker("worker-a"):
        async with run.worker("worker-b"):
            await run.shared(a=2, b=2)
            for number in range(8):
                await run.start("HelloSequence", f"two-{number}")
            for number in range(8):
                await run.ended(f"two-{number}")
            await run.quiet()
        await run.shared(a=4)


async def _handover(run: Run) -> None:
    async with AsyncExitStack() as second:
        async with run.worker("worker-a"):
            await run.shared(a=4)
            await second.enter_async_context(run.worker("worker-b"))
            await run.shared(a=2, b=2)
        await run.shared(b=4)


async def _idle(run: Run) -> None:
    async with run.worker():
        await run.shared(a=4)


QUICK_LEASES = {"lease_round_seconds": 0.3, "lease_interval_seconds": 15.0}


def _kept_by(manager: PartitionManager) -> dict[str, Any]:
    return {"partition_manager": manager, **QUICK_LEASES}


PLAYS = {
    "activity_failure": Play(
        partial(_one, name="FailOnce", instance_id="fail-1", given='"boom"', ends=RuntimeStatus.Failed)
    ),
    "activity_failure_caught": Play(_plain("FailCaught", "fail-2", '"boom"')),
    "base64_worker_reads_text": Play(
        _plain("Child", "mixed-1", '"x"'), {"base64_messages": True}, {"base64_messages": False}
    ),
    "client_calls": Play(_client_calls, has_worker=False),
    "custom_status": Play(_plain("Status", "status-1")),
    "delayed_start": Play(_delayed_start),
    "duplicate_start": Play(_duplicate_start),
    "duplicate_start_replaces": Play(_duplicate_start_replaces, {"overridable_running_instances": True}),
    "external_event_before": Play(partial(_event, name="SlowThenEvent", instance_id="event-1", given="1500")),
    "external_event_while_waiting": Play(partial(_event, name="WaitEvent", instance_id="event-2")),
    "fan_out_10": Play(_plain("FanOut", "fan-10", "10"), is_exact=False),
    "fan_out_100": Play(_plain("FanOut", "fan-100", "100"), is_exact=False),
    "garbage_messages": Play(_garbage_messages),
    "hello_base64": Play(_plain("HelloSequence", "hello-1"), {"base64_messages": True}),
    "hello_sequence": Play(_plain("HelloSequence", "hello-1")),
    "idle_60s": Play(_idle, _kept_by(PartitionManager.TABLE), has_worker=False),
    "idle_60s_legacy": Play(_idle, _kept_by(PartitionManager.LEGACY), has_worker=False),
    "idle_60s_safe": Play(_idle, _kept_by(PartitionManager.SAFE), has_worker=False),
    "large_input_40k": Play(
        _plain("LargePayload", "large-2", json.dumps({"text": "i" * 40_960, "size": 10}, separators=(",", ":")))
    ),
    "large_payload": Play(
        _plain("LargePayload", "large-1", json.dumps({"text": "i" * 102_400, "size": 102_400}, separators=(",", ":")))
    ),
    "lease_legacy": Play(_handover, _kept_by(PartitionManager.LEGACY), has_worker=False),
    "lease_safe": Play(_handover, _kept_by(PartitionManager.SAFE), has_worker=False),
    "lease_table": Play(_handover, _kept_by(PartitionManager.TABLE), has_worker=False),
    "long_activity": Play(_long_activity, {"work_item_visibility_seconds": 2}, has_worker=False),
    "purge_filter": Play(_purge_filter),
    "purge_large_neighbour": Play(_purge_large_neighbour),
    "purge_one": Play(_purge_one),
    "query_many": Play(_query_many),
    "retry": Play(_plain("Retry", "retry-1", "2")),
    "send_event": Play(_send_event),
    "sub_orchestration": Play(_plain("Parent", "parent-1", '"x"')),
    "sub_orchestration_default_id": Play(_plain("DefaultChild", "parent-2", '"x"')),
    "suspend_resume": Play(_suspend_resume),
    "terminate": Play(_terminate),
    "terminate_pending": Play(_terminate_pending),
    "text_worker_reads_base64": Play(
        _plain("Child", "mixed-2", '"x"'), {"base64_messages": False}, {"base64_messages": True}
    ),
    "timer": Play(_plain("Timer", "timer-1", "2")),
    "timer_cancelled": Play(_timer_cancelled),
    "two_workers": Play(_two_workers, QUICK_LEASES, has_worker=False),
    "unknown_instance": Play(_unknown_instance),
    "unknown_names": Play(_unknown_names),
}
