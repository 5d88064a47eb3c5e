"""One simulated run: a whole hub with workers and clients, from one seed."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub import TaskHubClient, TaskHubSettings, Worker
from taskhub.codec.keys import unescape_instance_id
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.names import HubNames
from taskhub.simulation.fates import Fate, FatedFaults, Fates
from taskhub.simulation.loop import EndlessRun
from taskhub.simulation.process import MemoryReceipts, Process
from taskhub.simulation.world import World
from taskhub.storage.faults import FAULTS, NO_FAULTS
from taskhub.storage.interception import intercepted
from tests.simulation.agreement import Agreement
from tests.simulation.answers import check_answers
from tests.simulation.checks import (
    LeaseWatch,
    Violation,
    Watch,
    check_at_rest,
    check_entities,
    check_nothing_is_left,
    check_order,
    entries_of,
)
from tests.simulation.lives import FATES, Clients, Life, Plan, draw_plan
from tests.simulation.model import Reader
from tests.simulation.profiles import PROFILES
from tests.simulation.programs import ACTIVITIES, ENTITIES, ORCHESTRATORS, Start
from tests.simulation.progress import Progress
from tests.simulation.settings import draw_settings
from tests.simulation.workload import ACTIVITY_NAMES, Journal, Program, SimulatedApplication, counter
from tests.support.hub_state import read_hub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping

    from taskhub.runtime.receipts import Receipt
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Storage

HUB = "SimHub"
MAX_SECONDS = 8 * 3600.0
"""Of virtual time: two hundred slow activities, one at a time, in each of three generations, take three hours."""
MAX_STEPS = 1_500_000


STRIKES = ("kill", "pause", "move")
"""What befalls workers."""

KINDS = (*FAULTS, *STRIKES, *FATES)
"""Everything that befalls runs. One that never does, over many runs, is a fault of the harness."""


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
    moves: int = 0
    faults: int = 0
    """Storage faults of all kinds."""
    injected: Counter[str] = field(default_factory=Counter)
    """How often everything that may befall a run did, by the names in :data:`KINDS`."""
    activity_runs: int = 0
    calls: int = 0
    """To the store."""
    digest: str = ""
    """Of all calls to the store that succeeded, in order, with their time and caller: the same for the same run."""
    told: list[str] = field(default_factory=list)


@dataclass
class Slot:
    """A place where a worker runs, is killed, and is started again."""

    number: int
    process: Process | None = None
    running: asyncio.Task[Any] | None = None
    stop: asyncio.Event | None = None
    starts: int = 0
    receipts: dict[str, Receipt] = field(default_factory=dict)


_CHAINS = 0.25
"""Of so many runs one instance is a long chain of activities, each given what the one before answered."""


class Simulation:
    """Draws a workload and a fate from a seed, and lets it happen."""

    def __init__(
        self,
        seed: int,
        *,
        workload: Mapping[str, Plan | Start] | None = None,
        workers: int | None = None,
        faults: str = "default",
        shortcuts: str = "drawn",
        fates: Fates | None = None,
        max_seconds: float = MAX_SECONDS,
        max_steps: int = MAX_STEPS,
        tell: Callable[[str], None] = lambda _: None,
        **overrides: Any,
    ) -> None:
        """What is not given is drawn: the workload by instance id, what befalls the run, the settings.

        Args:
            seed: of everything that is drawn.
            workload: by instance id.
            workers: how many.
            faults: name of the :data:`PROFILES` that tells how hard the run is.
            shortcuts: whether all are ``on``, or ``off``, or each as it is ``drawn``.
            fates: what befalls it.
            max_seconds: virtual ones, after which it counts as endless.
            max_steps: callbacks, after which it does.
            tell: hears the story.
            overrides: settings of the hub.
        """
        draw = random.Random(f"{seed}/settings")
        self._seed = seed
        self._profile = profile = PROFILES[faults]
        self._world = World(seed, shuffled=True, max_seconds=max_seconds, max_steps=max_steps)
        names = HubNames.of(HUB)
        self._watch = Watch(names.history_table)
        self._tell = tell
        self._report = Report(seed)
        settings = draw_settings(seed, shortcuts)
        if workload is None:
            chosen = random.Random(f"{seed}/workload")
            workload = {
                f"i-{number}": draw_plan(random.Random(f"{seed}/workload/{number}"), f"i-{number}")
                for number in range(chosen.randrange(1, profile.most_instances + 1))
            }
            if random.Random(f"{seed}/chain").random() < _CHAINS:
                instance_id = f"i-{len(workload)}"
                workload[instance_id] = Plan(instance_id, program=Program(f"{instance_id}.1", [("follow", 1, 12)]))
        self.workload: dict[str, Plan | Start] = dict(workload)
        self._plans = {
            instance_id: Plan(instance_id, start=each) if isinstance(each, Start) else each
            for instance_id, each in workload.items()
        }
        if not any(plan.fate == "replace" for plan in self._plans.values()):
            settings["overridable_running_instances"] = False
        self.settings = TaskHubSettings(**{"hub_name": HUB, **settings, **overrides})
        self._leases = LeaseWatch(names, self._world.clock.now, self.settings.partition_count)
        self._journal = Journal(random.Random(f"{seed}/journal"))
        self._app = self._application()
        drawn_workers = draw.choice(profile.workers)
        self.slots = [Slot(number) for number in range(drawn_workers if workers is None else workers)]
        self.fates = fates or Fates()
        self._kills_left = draw.choice(profile.kills)
        self._pauses_left = draw.choice(profile.pauses)
        self._moves_left = draw.choice(profile.moves)
        self._strike_rate = draw.choice(profile.strike_rates)
        has_faults = draw.random() < profile.faulty
        self._faults = FatedFaults(
            self.fates,
            profile.rates if has_faults else NO_FAULTS,
            random.Random(f"{seed}/faults"),
            self._world.clock.sleep,
            tell=lambda text: None,
        )
        # Of its own: a run is the same when what befell it is given.
        self._draw_fates = random.Random(f"{seed}/fates")
        self._world.loop.before_step = self._strike
        self._is_over = False
        self._digest = hashlib.blake2b(digest_size=16)
        self._raised: dict[str, set[str]] = {}
        self._progress = Progress(names)
        self._agreement = Agreement(names)
        self._violation: Exception | None = None
        """What was seen first of what must never be."""

    def _application(self) -> SimulatedApplication:
        programs = [plan.program for plan in self._plans.values() if plan.program is not None]
        orchestrators = {name: each for program in programs for name, each in program.orchestrators().items()}
        names = [*ACTIVITY_NAMES, *(name for program in programs for name in program.names())]
        return SimulatedApplication(
            {**ORCHESTRATORS, **orchestrators},
            {**ACTIVITIES, **{name: self._journal.activity(name) for name in names}},
            {**ENTITIES, "counter": counter},
            journal=self._journal,
        )

    def run(self) -> Report:
        """Run to the end and check everything."""
        self._say(f"settings {self.settings}")
        try:
            self._world.run(self._main())
        except EndlessRun as error:
            raise Violation(f"never ends: {error}") from error
        self._report.seconds = self._world.loop.time()
        self._report.steps = self._world.loop.steps
        injected = self._faults.injected
        self._report.faults = sum(count for name, count in injected.items() if name != "none")
        self._report.injected.update({name: count for name, count in injected.items() if name != "none"})
        self._report.injected.update(kill=self._report.kills, pause=self._report.pauses, move=self._report.moves)
        self._report.injected = +self._report.injected
        self._report.activity_runs = sum(self._app.runs.values())
        self._report.digest = self._digest.hexdigest()
        return self._report

    async def _main(self) -> None:
        process, client = self._client("looker-on", is_safe=True)
        for slot in self.slots:
            self._start(slot)
        self._report.instances = len(self._plans)
        clients = Clients(
            make=self._client,
            sleep=self._world.clock.sleep,
            say=self._say,
            count=self._report.injected,
            journal=self._journal,
            raised=self._raised,
        )
        lives = [
            Life(plan, clients, random.Random(f"{self._seed}/life/{instance_id}"))
            for instance_id, plan in self._plans.items()
        ]
        living = [process.spawn(life.run(), name=life.plan.instance_id) for life in lives]
        for each in living:
            await each
        await self._settle(process)
        self._is_over = True
        await self._stop_all()
        await self._check(process, client, lives)

    async def _check(self, process: Process, client: TaskHubClient, lives: list[Life]) -> None:
        names = HubNames.of(HUB)
        hub = await read_hub(process.storage, names, partition_count=self.settings.partition_count)
        unstarted = [life.plan.instance_id for life in lives if life.may_be_unstarted]
        begun = {row.partition_key for row in hub.history}
        histories = check_at_rest(hub, never_begun=[each for each in unstarted if each not in begun])
        starts = {plan.instance_id: plan.start for plan in self._plans.values() if plan.start is not None}
        check_entities(hub, starts)
        reader = Reader(self._journal, self._raised)
        for life in lives:
            life.check(reader)
        reader.tally.check(entries_of(hub))
        check_answers(histories.values(), self._journal, reader.used_runs, may_differ=bool(self.fates.happened))
        for life in lives:
            if life.plan.program is not None and life.plan.fate in ("plain", "suspend", "client_death"):
                check_order(hub, life.plan.instance_id, life.plan.program.entries_in_order())
        for instance_id, start in starts.items():
            self._check_activities(instance_id, start)
        for row in hub.instances:
            await client.purge(InstanceId(unescape_instance_id(row.partition_key)))
        check_nothing_is_left(await read_hub(process.storage, names, partition_count=self.settings.partition_count))

    async def _settle(self, process: Process) -> None:
        """Let everybody go on, and wait until nothing is in the queues: second copies and late answers included."""
        self._faults.rates = NO_FAULTS
        self._pauses_left = self._kills_left = self._moves_left = 0
        for each in self._world.processes:
            if each.is_paused:
                self._resume(each)
        names = HubNames.of(HUB)
        queues = [names.work_item_queue, *(names.control_queue(n) for n in range(self.settings.partition_count))]  # type: ignore[arg-type]
        looks = 0
        while looks < 3:
            await self._world.clock.sleep(5 if looks else 20)
            is_empty = not any([await process.storage.queues.count(queue) for queue in queues])
            looks = looks + 1 if is_empty and not self._app.running else 0

    def _check_activities(self, instance_id: InstanceId, start: Start) -> None:
        own = {key for key in self._app.runs if instance_id in key[0] or ":" in key[0]}
        if len(own) < start.activities:
            raise Violation(f"{instance_id} {start} ran only {sorted(own)}")

    # ---- workers and their fate

    def _process(self, name: str, *, is_safe: bool = False) -> Process:
        skew = random.Random(f"{self._seed}/skew/{name}").uniform(-1, 1) * self._profile.skew_seconds

        async def observe(call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
            answer = await act()
            self._see(name, call)
            return answer

        def wrap(storage: Storage) -> Storage:
            # What the store has done is seen, whether or not its reply is lost.
            watched = intercepted(storage, observe)
            return watched if is_safe else self._faults.wrap(watched)

        return self._world.process(name, wrap=wrap, skew=timedelta(seconds=0 if is_safe else skew))

    def _see(self, name: str, call: Call) -> None:
        self._report.calls += 1
        told = f"{self._world.loop.time():.6f} {name} {call.method} {call.target} {call.arguments}"
        self._digest.update(told.encode("utf-8", "surrogatepass"))
        try:
            self._watch(call)
            self._leases.see(name, call)
            self._progress.see(call, self._world.loop.time())
            self._agreement.see(call)
        except Exception as violation:
            # Or a check that broke. Whoever made the call would take it for a failure of its own, and try again.
            self._violation = self._violation or violation

    def _client(self, name: str, *, is_safe: bool = False) -> tuple[Process, TaskHubClient]:
        process = self._process(name, is_safe=is_safe)
        return process, TaskHubClient(process.storage, self.settings, environment=process.environment)

    def _start(self, slot: Slot) -> None:
        slot.starts += 1
        name = f"worker-{slot.number}.{slot.starts}"
        slot.process = self._process(name)
        slot.stop = asyncio.Event()
        has_old_name = random.Random(f"{self._seed}/name/{name}").random() < 0.5
        worker_id = WorkerId(f"worker-{slot.number}" if has_old_name else name)
        worker = Worker(
            slot.process.storage,
            self.settings,
            self._app,
            worker_id=worker_id,
            environment=slot.process.environment,
            receipts=MemoryReceipts(slot.process, slot.receipts) if has_old_name else None,
        )
        self._leases.know(name, worker_id)
        slot.running = slot.process.spawn(worker.run(slot.stop), name="run")
        self._say(f"{name} is started")

    def _strike(self) -> None:
        if self._violation is not None:
            self._world.loop.before_step = None
            raise self._violation
        if self._is_over:
            return
        for fate in self.fates.at("step", self._world.loop.steps, self._draw_strike):
            slot = next(each for each in self.slots if fate.who == str(each.number))
            if fate.kind == "pause":
                self._pause(slot, fate.seconds)
            elif fate.kind == "move":
                self._move(slot, fate.seconds)
            else:
                self._kill(slot, fate.seconds)

    def _draw_strike(self) -> Iterator[Fate]:
        draw, step = self._draw_fates, self._world.loop.steps
        if self._pauses_left > 0 and draw.random() < self._strike_rate:
            slot = draw.choice(self.slots)
            if slot.process is not None and not slot.process.is_dead and not slot.process.is_paused:
                self._pauses_left -= 1
                yield Fate("step", step, "pause", str(slot.number), draw.choice(self._profile.pause_seconds))
        if self._kills_left > 0 and draw.random() < self._strike_rate:
            slot = draw.choice(self.slots)
            if slot.process is not None and not slot.process.is_dead:
                self._kills_left -= 1
                yield Fate("step", step, "kill", str(slot.number), draw.choice([0.0, 0.5, 10.0, 50.0]))

        if self._moves_left > 0 and draw.random() < self._strike_rate:
            slot = draw.choice(self.slots)
            if slot.process is not None and not slot.process.is_dead and not slot.process.is_paused:
                self._moves_left -= 1
                yield Fate("step", step, "move", str(slot.number), draw.choice([0.0, 20.0]))

    def _move(self, slot: Slot, seconds: float) -> None:
        """Stop a worker as Ctrl+C does, so that its partitions go to others, and start it again some time later."""
        if slot.process is None or slot.process.is_dead or slot.stop is None or slot.stop.is_set():
            return
        self._report.moves += 1
        self._say(f"{slot.process.name} is told to stop")
        slot.stop.set()
        assert slot.running is not None
        process = slot.process

        def start_again(ended: asyncio.Task[Any]) -> None:
            if not process.is_dead:
                self._say(f"{process.name} has stopped")
                process.kill()
                self._world.loop.call_later(seconds, self._restart, slot)

        slot.running.add_done_callback(start_again)

    def _pause(self, slot: Slot, seconds: float) -> None:
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
            self._leases.resumed(process.name)
            process.resume()

    def _kill(self, slot: Slot, seconds: float) -> None:
        if slot.process is None or slot.process.is_dead:
            return
        self._report.kills += 1
        self._say(f"{slot.process.name} is killed")
        slot.process.kill()
        self._world.loop.call_later(seconds, self._restart, slot)

    def _restart(self, slot: Slot) -> None:
        if not self._is_over:
            self._report.restarts += 1
            self._start(slot)

    async def _stop_all(self) -> None:
        for slot in self.slots:
            if slot.process is not None and not slot.process.is_dead and slot.stop is not None:
                slot.process.resume()
                slot.stop.set()
        for slot in self.slots:
            if slot.running is not None and slot.process is not None and not slot.process.is_dead:
                await slot.running

    def _say(self, text: str) -> None:
        line = f"{self._world.loop.time():10.3f}  {text}"
        self._report.told.append(line)
        self._tell(line)


def simulate(seed: int, *, tell: Callable[[str], None] = lambda _: None, **overrides: Any) -> Report:
    """Run the simulation of a seed; raises :class:`~tests.simulation.checks.Violation` if anything is wrong."""
    return Simulation(seed, tell=tell, **overrides).run()
