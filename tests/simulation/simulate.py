"""One simulated run: a whole hub with two workers and a client, from one seed."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub import TaskHubClient, TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionManager
from taskhub.names import HubNames
from taskhub.storage.faults import NO_FAULT, NO_FAULTS, Fault, FaultInjector, FaultRates
from tests.simulation.checks import Violation, Watch, check_at_rest, check_entities
from tests.simulation.fates import Fate, Fates
from tests.simulation.programs import ACTIVITIES, ENTITIES, ORCHESTRATORS, Start, draw_start
from tests.support.hub_state import read_hub
from tests.support.world import EndlessRun, MemoryReceipts, PlainApplication, Process, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from taskhub.runtime.receipts import Receipt
    from taskhub.storage.interception import Call

HUB = "SimHub"
FAULTS = FaultRates(fail_before=0.01, lose_reply=0.01, act_twice=0.01, delay=0.02, throttle=0.005)
MAX_SECONDS = 7200.0
MAX_STEPS = 2_000_000


@dataclass
class Report:
    """What a run came to."""

    seed: int
    seconds: float = 0.0
    steps: int = 0
    instances: int = 0
    kills: int = 0
    restarts: int = 0
    pauses: int = 0
    faults: int = 0
    activity_runs: int = 0
    fates: Counter[str] = field(default_factory=Counter)
    """How often each thing befell it, by :attr:`~tests.simulation.fates.Fate.kind`."""
    told: list[str] = field(default_factory=list)


@dataclass
class _Slot:
    """A place where a worker runs, is killed, and is started again."""

    number: int
    process: Process | None = None
    running: asyncio.Task[Any] | None = None
    stop: asyncio.Event | None = None
    starts: int = 0
    receipts: dict[str, Receipt] = field(default_factory=dict)


class _Faults(FaultInjector):
    """Faults of which some befall the run."""

    def __init__(self, fates: Fates, rates: FaultRates, random: random.Random, world: World) -> None:
        super().__init__(rates, random, world.clock.sleep)
        self._fates = fates
        self._calls = 0

    def draw(self, call: Call) -> Fault:
        self._calls += 1
        for fate in self._fates.at("call", self._calls, lambda: self._drawn(call)):
            return Fault(fate.kind, fate.seconds)
        return NO_FAULT

    def _drawn(self, call: Call) -> Iterator[Fate]:
        fault = super().draw(call)
        if fault is not NO_FAULT:
            yield Fate("call", self._calls, fault.name, f"{call.service} {call.method} on {call.target}", fault.seconds)


class Simulation:
    """Draws a workload and a fate from a seed, and lets it happen."""

    def __init__(
        self,
        seed: int,
        *,
        workload: Mapping[str, Start] | None = None,
        workers: int = 2,
        fates: Fates | None = None,
        tell: Callable[[str], None] = lambda _: None,
        **overrides: Any,
    ) -> None:
        """What is not given is drawn: the workload by instance id, what befalls the run, the settings."""
        self._draw = random.Random(f"{seed}/workload")
        self._world = World(seed, shuffled=True, max_seconds=MAX_SECONDS, max_steps=MAX_STEPS)
        self._watch = Watch(HubNames.of(HUB).history_table)
        self._tell = tell
        self._report = Report(seed)
        self._app = PlainApplication(ORCHESTRATORS, ACTIVITIES, ENTITIES)
        settings = {
            "hub_name": HUB,
            "partition_count": self._draw.choice([1, 2, 4]),
            "max_concurrent_activities": self._draw.choice([1, 3, 20]),
            "max_concurrent_orchestrations": self._draw.choice([1, 3, 20]),
            "max_concurrent_entities": self._draw.choice([1, 3, 20]),
            "max_entity_batch": self._draw.choice([1, 3, 5000]),
            "control_queue_buffer_threshold": self._draw.choice([4, 64, 256]),
            "warm_sessions": self._draw.random() < 0.7,
            "max_warm_history_events": self._draw.choice([20, 500_000]),
            "wake_readers": self._draw.random() < 0.7,
            "max_polling_interval_seconds": self._draw.choice([0.5, 5.0]),
            "partition_manager": self._draw.choice([None, None, *PartitionManager]),
            # More often than workers die here: nothing may be parked.
            "max_dequeue_count": self._draw.choice([0, 0, 8]),
        }
        self.settings = TaskHubSettings(**{**settings, **overrides})
        self.workload = workload or {f"i-{n}": draw_start(self._draw) for n in range(self._draw.randrange(1, 6))}
        self._slots = [_Slot(number) for number in range(workers)]
        self.fates = fates or Fates()
        self._kills_left = self._draw.choice([0, 1, 2, 3, 5])
        self._kill_rate = self._draw.choice([0.001, 0.005, 0.02])
        self._pauses_left = self._draw.choice([0, 0, 1, 3])
        has_faults = self._draw.random() < 0.4
        self._faults = _Faults(
            self.fates, FAULTS if has_faults else NO_FAULTS, random.Random(f"{seed}/faults"), self._world
        )
        # Of its own: a run is the same when what befell it is given.
        self._draw_fates = random.Random(f"{seed}/fates")
        self._world.loop.before_step = self._strike
        self._is_over = False

    def run(self) -> Report:
        """Run to the end and check everything."""
        self._say(f"settings {self.settings}")
        try:
            self._world.run(self._main())
        except EndlessRun as error:
            raise Violation(f"never ends: {error}") from error
        self._report.seconds = self._world.loop.time()
        self._report.steps = self._world.loop.steps
        self._report.faults = sum(count for name, count in self._faults.injected.items() if name != "none")
        self._report.fates = self.fates.counts
        self._report.activity_runs = sum(self._app.runs.values())
        return self._report

    async def _main(self) -> None:
        client_process = self._process("client")
        client = TaskHubClient(client_process.storage, self.settings, environment=client_process.environment)
        for slot in self._slots:
            self._start(slot)
        self._report.instances = len(self.workload)
        fates = [
            client_process.spawn(self._one(client, InstanceId(instance_id), start), name=instance_id)
            for instance_id, start in self.workload.items()
        ]
        for fate in fates:
            await fate
        await self._settle(client_process)
        self._is_over = True
        await self._stop_all()
        hub = await read_hub(client_process.storage, HubNames.of(HUB), partition_count=self.settings.partition_count)
        check_at_rest(hub)
        check_entities(hub, self.workload)
        for instance_id, start in self.workload.items():
            self._check_activities(instance_id, start)

    async def _one(self, client: TaskHubClient, instance_id: InstanceId, start: Start) -> None:
        clock = self._world.clock
        await clock.sleep(self._draw.random() * 5)
        given = None if start.input is None else json.dumps(json.dumps(start.input))
        await client.start(start.name, instance_id=instance_id, input=given)
        self._say(f"{instance_id} {start.name}({start.input}) is started")
        if start.event_after is not None:
            await clock.sleep(start.event_after)
            await client.raise_event(instance_id, "approval", "7")
        while True:
            state = await client.get(instance_id)
            if state is not None and state.status is not None and state.status.is_terminal:
                break
            await clock.sleep(1)
        if state.status is not RuntimeStatus.Completed:
            raise Violation(f"{instance_id} {start} ended {state}")
        if json.loads(state.output or "null") != start.expected:
            raise Violation(f"{instance_id} {start} returned {state.output}")
        self._say(f"{instance_id} is completed")

    async def _settle(self, process: Process) -> None:
        """Let everybody go on, and wait until nothing is in the queues: second copies and late answers included."""
        self._faults.rates = NO_FAULTS
        self._pauses_left = 0
        for each in self._world.processes:
            if each.is_paused:
                each.resume()
        names = HubNames.of(HUB)
        queues = [names.work_item_queue, *(names.control_queue(n) for n in range(self.settings.partition_count))]  # type: ignore[arg-type]
        looks = 0
        while looks < 3:
            await self._world.clock.sleep(5)
            is_empty = not any([await process.storage.queues.count(queue) for queue in queues])
            looks = looks + 1 if is_empty else 0

    def _check_activities(self, instance_id: InstanceId, start: Start) -> None:
        own = {key for key in self._app.runs if instance_id in key[0] or ":" in key[0]}
        if len(own) < start.activities:
            raise Violation(f"{instance_id} {start} ran only {sorted(own)}")

    # ---- workers and their fate

    def _process(self, name: str) -> Process:
        # The client's own calls do not fail: what it then may do is its user's choice.
        wrap = (lambda storage: storage) if name == "client" else self._faults.wrap
        skew = timedelta(0) if name == "client" else timedelta(seconds=self._draw.uniform(-1, 1))
        process = self._world.process(name, wrap=wrap, skew=skew)
        process.observer = self._watch
        return process

    def _start(self, slot: _Slot) -> None:
        slot.starts += 1
        name = f"worker-{slot.number}.{slot.starts}"
        slot.process = self._process(name)
        slot.stop = asyncio.Event()
        has_old_name = self._draw.random() < 0.5
        worker = Worker(
            slot.process.storage,
            self.settings,
            self._app,
            worker_id=WorkerId(f"worker-{slot.number}" if has_old_name else name),
            environment=slot.process.environment,
            receipts=MemoryReceipts(slot.process, slot.receipts) if has_old_name else None,
        )
        slot.running = slot.process.spawn(worker.run(slot.stop), name="run")
        self._say(f"{name} is started")

    def _strike(self) -> None:
        if self._is_over:
            return
        for fate in self.fates.at("step", self._world.loop.steps, self._draw_strike):
            slot = next(each for each in self._slots if fate.who == str(each.number))
            if fate.kind == "pause":
                self._pause(slot, fate.seconds)
            else:
                self._kill(slot, fate.seconds)

    def _draw_strike(self) -> Iterator[Fate]:
        draw, step = self._draw_fates, self._world.loop.steps
        if self._pauses_left > 0 and draw.random() < self._kill_rate:
            slot = draw.choice(self._slots)
            if slot.process is not None and not slot.process.is_dead and not slot.process.is_paused:
                self._pauses_left -= 1
                yield Fate("step", step, "pause", str(slot.number), draw.choice([1.0, 20.0, 45.0, 100.0]))
        if self._kills_left > 0 and draw.random() < self._kill_rate:
            slot = draw.choice(self._slots)
            if slot.process is not None and not slot.process.is_dead:
                self._kills_left -= 1
                yield Fate("step", step, "kill", str(slot.number), draw.choice([0.0, 0.5, 10.0, 50.0]))

    def _pause(self, slot: _Slot, seconds: float) -> None:
        process = slot.process
        if process is None or process.is_dead or process.is_paused:
            return
        self._report.pauses += 1
        self._say(f"{process.name} is paused for {seconds} s")
        process.pause()
        self._world.loop.call_later(seconds, self._resume, process)

    def _resume(self, process: Process) -> None:
        if not process.is_dead:
            self._say(f"{process.name} goes on")
            process.resume()

    def _kill(self, slot: _Slot, seconds: float) -> None:
        if slot.process is None or slot.process.is_dead:
            return
        self._report.kills += 1
        self._say(f"{slot.process.name} is killed")
        slot.process.kill()
        self._world.loop.call_later(seconds, self._restart, slot)

    def _restart(self, slot: _Slot) -> None:
        if not self._is_over:
            self._report.restarts += 1
            self._start(slot)

    async def _stop_all(self) -> None:
        for slot in self._slots:
            if slot.process is not None and not slot.process.is_dead and slot.stop is not None:
                slot.process.resume()
                slot.stop.set()
        for slot in self._slots:
            if slot.running is not None and slot.process is not None and not slot.process.is_dead:
                await slot.running

    def _say(self, text: str) -> None:
        line = f"{self._world.loop.time():10.3f}  {text}"
        self._report.told.append(line)
        self._tell(line)


def simulate(seed: int, *, tell: Callable[[str], None] = lambda _: None, **overrides: Any) -> Report:
    """Run the simulation of a seed; raises :class:`~tests.simulation.checks.Violation` if anything is wrong."""
    return Simulation(seed, tell=tell, **overrides).run()
