"""A task hub in a simulated world with an app at work on it: what tests of apps drive.

Time stands still but where :meth:`SimulatedHub.skip` lets it pass, and where what has begun needs some to come to rest:
after a worker died, or while a message is late. At rest, everything stored waits for a later time or for the outside.
"""

from __future__ import annotations

import asyncio
import functools
import random
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.client import TaskHubClient
from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.core.timers import due_of
from taskhub.errors import MalformedMessage
from taskhub.model.history import TaskScheduled
from taskhub.model.ids import PartitionIndex
from taskhub.names import HubNames
from taskhub.simulation.app import SimulatedApp
from taskhub.simulation.fates import Fate, FatedFaults, Fates
from taskhub.simulation.invoker import SimulatedInvoker
from taskhub.simulation.loop import START
from taskhub.simulation.workers import Workers
from taskhub.simulation.world import World
from taskhub.storage.faults import NO_FAULTS, FaultRates

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
    from datetime import datetime

    from taskhub.host.call_plan import CallPlan
    from taskhub.settings import TaskHubSettings
    from taskhub.storage.port import StoredMessage

_T = TypeVar("_T")

SLACK = timedelta(seconds=1)
"""What is due within it counts as due: messages are hidden for whole seconds."""
REST_SECONDS = 3600.0
"""How long a hub may take to come to rest."""

_CALM = {
    "partition_count": 1,
    "partition_manager": None,
    "use_app_lease": False,
    # Every step replays the whole history: code that decides otherwise the second time fails at once.
    "warm_sessions": False,
    # As little to do as can be while days pass.
    "lease_interval_seconds": 600.0,
    "lease_round_seconds": 300.0,
    "max_polling_interval_seconds": 24 * 3600.0,
    "control_queue_visibility_seconds": 3600,
    "work_item_visibility_seconds": 24 * 3600,
}
_QUICK = {
    "use_app_lease": False,
    "partition_manager": None,
    "lease_interval_seconds": 30.0,
    "lease_round_seconds": 10.0,
    "max_polling_interval_seconds": 5.0,
    "control_queue_visibility_seconds": 60,
    "work_item_visibility_seconds": 60,
}


@dataclass(frozen=True, slots=True)
class Risks:
    """What may befall a hub."""

    kills: bool = False
    """A worker dies at any of its steps, and another one takes its place."""
    duplicates: bool = False
    """What is sent arrives twice, and answers of the store are lost, so that what was done is done again."""
    delays: bool = False
    """Workers stand still beyond their leases, messages are late."""
    reordering: bool = False
    """What is ready at one time runs in a drawn order; sessions, workers and partitions are as drawn."""

    def __bool__(self) -> bool:
        return self.kills or self.duplicates or self.delays or self.reordering


class SimulatedHub:
    """See the module.

    Args:
        plans: the functions of the app.
        settings: of the app's host.json; what makes them unhurried or quick is put over them.
        client_payload: what durable client bindings are given.
        seed: of all that is drawn.
        risks: what is drawn.
        fates: draws it, or plays it again.
        steps: how many steps of the loop to expect: what befalls the hub is spread over them.
    """

    def __init__(
        self,
        plans: Sequence[CallPlan],
        settings: TaskHubSettings,
        *,
        client_payload: Callable[[Mapping[str, Any]], str],
        seed: int = 0,
        risks: Risks | None = None,
        fates: Fates | None = None,
        steps: int = 1000,
    ) -> None:
        self.risks = risks or Risks()
        self.fates = fates or Fates()
        self.story: list[tuple[float, str]] = []
        """What happened, and when in virtual seconds."""
        self.is_exposed = False
        """Whether something may befall it now."""
        self.exposed_steps = 0
        """Steps of the loop while it was."""
        self._draw = random.Random(f"{seed}/hub")
        self._draw_fates = random.Random(f"{seed}/fates")
        self.world = World(seed, shuffled=self.risks.reordering, max_seconds=float("inf"), max_steps=10_000_000)
        self.settings = replace(settings, **self._overrides())
        self._names = HubNames.of(self.settings.hub_name)
        self.app = SimulatedApp(
            plans,
            SimulatedInvoker(self.world.loop),
            self.settings,
            client_payload=client_payload,
            now=self.now,
            tell=self.tell,
        )
        self._faults = FatedFaults(
            self.fates, NO_FAULTS, random.Random(f"{seed}/faults"), self.world.clock.sleep, self.tell
        )
        self.workers = Workers(
            self.world,
            self.settings,
            self.app,
            count=self._draw.choice([1, 2]) if self.risks else 1,
            wrap=self._faults.wrap if self.risks.duplicates or self.risks.delays else None,
            tell=self.tell,
        )
        self._client_process = self.world.process("test")
        self.storage = self._client_process.storage
        self.client = TaskHubClient(
            self.storage, self.settings, environment=self._client_process.environment, wake=self.workers.wake
        )
        self._kills_left = self._draw.choice([1, 1, 2, 3]) if self.risks.kills else 0
        self._pauses_left = self._draw.choice([0, 1, 2]) if self.risks.delays else 0
        self._rate = self._draw.choice([1.0, 3.0, 10.0]) / max(steps, 1)
        self.world.loop.before_step = self._strike
        self._is_started = False

    def __repr__(self) -> str:
        return f"<SimulatedHub of {self.app!r} at {self.now().isoformat()}>"

    def _overrides(self) -> dict[str, Any]:
        if not self.risks:
            return _CALM
        draw = self._draw
        return {
            **_QUICK,
            "partition_count": draw.choice([1, 2, 4]),
            "warm_sessions": draw.random() < 0.5,
            "wake_readers": draw.random() < 0.8,
        }

    def now(self) -> datetime:
        """Return the world's time, aware UTC."""
        return START + timedelta(seconds=self.world.loop.time())

    def tell(self, text: str) -> None:
        """Add a line to the story."""
        self.story.append((self.world.loop.time(), text))

    # ---- driving it

    def play(self, coro: Coroutine[Any, Any, _T]) -> _T:
        """Run the world until something is done, and what follows from it has come to rest."""
        return self._run(self._play(coro))

    async def _play(self, coro: Coroutine[Any, Any, _T]) -> _T:
        if not self._is_started:
            self._is_started = True
            await self.client.create_hub()
            await self.workers.start()
        self._expose(True)
        try:
            result = await coro
            await self.rest()
        finally:
            self._expose(False)
        return result

    def look(self, coro: Coroutine[Any, Any, _T]) -> _T:
        """Run the world until something is read; nothing befalls it meanwhile."""
        return self._run(coro)

    def _run(self, coro: Coroutine[Any, Any, _T]) -> _T:
        run: Callable[[], _T] = functools.partial(self.world.loop.run_until_complete, coro)
        if asyncio._get_running_loop() is None:
            return run()
        # An asynchronous test: its own loop stands still meanwhile, but a thread can run only one.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(run).result()

    async def skip(self, seconds: float) -> None:
        """Let time pass."""
        self.tell(f"{timedelta(seconds=seconds)} pass")
        await self.world.clock.sleep(seconds)

    async def kill_all(self) -> None:
        """Kill every worker; others come at once."""
        for place in self.workers.places:
            self.workers.kill(place, back_after_seconds=0.0)

    async def rest(self) -> None:
        """Wait until everything that is stored waits for a later time, or for the outside."""
        loop = self.world.loop
        limit = loop.time() + REST_SECONDS
        await loop.idle()
        while not await self._is_at_rest() and loop.time() < limit:
            await loop.idle(after_jumps=1)

    def close(self) -> None:
        """End the world."""
        self.world.loop.before_step = None
        self.world.loop.end()

    # ---- being at rest

    async def _is_at_rest(self) -> bool:
        if any(process.is_paused for process in self.world.processes if not process.is_dead):
            return False
        queues = [self._names.work_item_queue]
        queues += [self._names.control_queue(PartitionIndex(n)) for n in range(self.settings.partition_count)]
        for queue in queues:
            if any(not self._waits(message) for message in await self.storage.queues.snapshot(queue) or ()):
                return False
        return True

    def _waits(self, message: StoredMessage) -> bool:
        """Return whether a message is for later, or of an activity that takes its time."""
        try:
            envelope = decode_envelope(message.text)
        except MalformedMessage:
            return True  # nobody can do anything about it
        if isinstance(envelope, BlobPointer):
            return False
        event = envelope.message.event
        if isinstance(event, TaskScheduled):
            return self.app.is_running(envelope.message.target.instance_id, event.event_id)
        due = due_of(envelope.message)
        return due is not None and due.moment() > self.now() + SLACK

    # ---- what befalls it

    def _expose(self, is_exposed: bool) -> None:
        self.is_exposed = is_exposed
        rates = FaultRates(
            act_twice=0.02 if self.risks.duplicates else 0.0,
            lose_reply=0.02 if self.risks.duplicates else 0.0,
            delay=0.02 if self.risks.delays else 0.0,
        )
        self._faults.rates = rates if is_exposed else NO_FAULTS

    def _strike(self) -> None:
        if not self.is_exposed:
            return
        self.exposed_steps += 1
        for fate in self.fates.at("step", self.exposed_steps, self._draw_strike):
            place = next(place for place in self.workers.places if place.name == fate.who)
            if fate.kind == "pause":
                self.workers.pause(place, seconds=fate.seconds)
            else:
                self.workers.kill(place, back_after_seconds=fate.seconds)

    def _draw_strike(self) -> Iterator[Fate]:
        draw, step = self._draw_fates, self.exposed_steps
        if self._pauses_left > 0 and draw.random() < self._rate:
            place = draw.choice(self.workers.places)
            if place.is_up and place.process is not None and not place.process.is_paused:
                self._pauses_left -= 1
                yield Fate("step", step, "pause", place.name, draw.choice([1.0, 20.0, 45.0, 100.0]))
        if self._kills_left > 0 and draw.random() < self._rate:
            place = draw.choice(self.workers.places)
            if place.is_up:
                self._kills_left -= 1
                yield Fate("step", step, "kill", place.name, draw.choice([0.0, 0.5, 10.0]))
