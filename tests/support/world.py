"""A small world in virtual time: an event loop that runs one seeded schedule, and an application of plain functions.

One seed is one run, repeated to the byte: the loop draws which ready callback runs next, time jumps to the next timer
when nothing is ready, and clock, ids and randomness of the hub come from the same seed. A process of the world (a
worker, a client) can be killed at any callback: its tasks end where they are, and nothing they still do reaches the
store.
"""

from __future__ import annotations

import asyncio
import contextvars
import heapq
import json
import random
import uuid
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, ClassVar

from azure.durable_functions import Entity
from azure.durable_functions.replay import OrchestrationSession

from taskhub.errors import UnknownFunction
from taskhub.runtime.application import (
    ActivityCall,
    ActivityFailed,
    ActivitySucceeded,
    EntityAnswered,
    EntityCall,
    EntityFailed,
)
from taskhub.runtime.environment import Environment
from taskhub.runtime.instance_ids import refusal_of_instance_id
from taskhub.runtime.live_replay import actions_of
from taskhub.storage.interception import intercepted
from taskhub.storage.memory import MemoryAccount, open_memory

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence

    from taskhub.model.actions import Actions
    from taskhub.runtime.receipts import Receipt
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Storage

    Wrap = Callable[[Storage], Storage]

START = datetime(2026, 1, 1, tzinfo=timezone.utc)

_process: contextvars.ContextVar[Process] = contextvars.ContextVar("process")
"""The process that runs now."""


class EndlessRun(Exception):
    """The world has come to its time limit or its limit of steps."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without a selector: nothing but callbacks and timers, in a drawn order.

    ``draw`` ``None`` keeps the order in which callbacks became ready, as a real loop does.
    """

    # The base class's own; its type stubs leave out what is private.
    _ready: deque[Any]
    _scheduled: list[Any]
    _timer_cancelled_count: int

    def __init__(self, draw: random.Random | None = None, *, max_seconds: float = 1e6, max_steps: int = 5_000_000):
        super().__init__()
        self._draw = draw
        self._time = 0.0
        self._max_seconds = max_seconds
        self._max_steps = max_steps
        self.steps = 0
        self.before_step: Callable[[], None] | None = None

    def time(self) -> float:
        return self._time

    def advance_a_little(self) -> None:
        """Let a moment pass, so that no two looks at the clock see the same time."""
        self._time += 1e-6

    def _run_once(self) -> None:
        while self._scheduled and (self._scheduled[0]._cancelled or self._scheduled[0]._when <= self._time):
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self._ready.append(timer)
            else:
                self._timer_cancelled_count = max(0, self._timer_cancelled_count - 1)
        if not self._ready:
            if not self._scheduled:
                raise EndlessRun("every task waits for another one")
            self._time = self._scheduled[0]._when
            if self._time > self._max_seconds:
                raise EndlessRun(f"the run came to {self._time:.0f} s of virtual time")
            return
        self.steps += 1
        if self.steps > self._max_steps:
            raise EndlessRun(f"the run came to {self.steps} steps")
        if self.before_step is not None:
            self.before_step()
        if self._draw is not None and len(self._ready) > 1:
            index = self._draw.randrange(len(self._ready))
            self._ready[0], self._ready[index] = self._ready[index], self._ready[0]
        handle = self._ready.popleft()
        if handle._cancelled:
            return
        process = handle._context.get(_process, None)
        if process is not None and process.is_paused:
            process.park(handle)
        else:
            handle._run()

    def give_back(self, handles: list[asyncio.Handle]) -> None:
        """Let callbacks be ready that were parked."""
        self._ready.extend(handles)

    def _write_to_self(self) -> None:
        """Nobody is asleep in a selector."""

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end and close the loop."""
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(coro)
        finally:
            asyncio.set_event_loop(None)
            for task in asyncio.all_tasks(self):
                task.cancel()
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process leaves them
            self.run_until_complete(_let_end(self))
            self.close()


async def _let_end(loop: VirtualLoop) -> None:
    current = asyncio.current_task()
    for _ in range(1000):
        others = [task for task in asyncio.all_tasks(loop) if task is not current]
        if not others:
            return
        await asyncio.sleep(0)


class VirtualClock:
    """The loop's time as the hub's clock. ``skew`` moves what :meth:`now` says."""

    def __init__(self, loop: VirtualLoop, *, skew: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self._skew = skew

    def now(self) -> datetime:
        self._loop.advance_a_little()
        return START + timedelta(seconds=self._loop.time()) + self._skew

    def monotonic(self) -> float:
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(max(seconds, 0))


# ---- an application of plain functions


class PlainOrchestration:
    """One execution over the SDK's live shell, in the loop's thread."""

    def __init__(self, session: OrchestrationSession, name: str, app: PlainApplication) -> None:
        self._session = session
        self._name = name
        self._app = app
        self._is_closed = False

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        assert not self._is_closed, "fed after its end"
        await asyncio.sleep(self._app.advance_seconds)
        self._app.fed += len(events)
        return actions_of(self._session.advance(events, replayed=replayed), self._name)

    def close(self) -> None:
        assert not self._is_closed, "closed twice"
        self._is_closed = True
        self._app.open_executions -= 1
        self._session.close()


@dataclass
class PlainApplication:
    """Orchestrators and activities by name. An activity takes the decoded input."""

    orchestration_type: ClassVar[type[PlainOrchestration]] = PlainOrchestration

    orchestrators: Mapping[str, Callable[..., Any]]
    activities: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    entities: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    """Functions of a DurableEntityContext, by name in lower case."""
    runs: Counter[tuple[str, str, int]] = field(default_factory=Counter)
    """How often each activity ran: by instance id, name and task id."""
    batches: list[EntityCall] = field(default_factory=list)
    """What entities were given."""
    fed: int = 0
    """History events given to code."""
    open_executions: int = 0
    advance_seconds: float = 0
    """How long code takes to its next wait."""
    long_timer_limit_seconds: float = 6 * 24 * 3600
    long_timer_leg_seconds: float = 3 * 24 * 3600
    http_poll_seconds: float = 30

    def orchestration(self, name: str, *, instance_id: str, parent_instance_id: str | None) -> PlainOrchestration:
        function = {known.lower(): each for known, each in self.orchestrators.items()}.get(name.lower())
        if function is None:
            known = ", ".join(f"'{each}'" for each in self.orchestrators)
            raise UnknownFunction(
                f"The function '{name}' doesn't exist, is disabled, or is not an orchestrator function. "
                f"Additional info: The following are the known orchestrator functions: {known}."
            )
        self.open_executions += 1
        session = OrchestrationSession(
            function,
            instance_id=instance_id,
            parent_instance_id=parent_instance_id,
            long_timer_limit_seconds=self.long_timer_limit_seconds,
            long_timer_leg_seconds=self.long_timer_leg_seconds,
            http_poll_seconds=self.http_poll_seconds,
            refusal_of_id=refusal_of_instance_id,
        )
        return self.orchestration_type(session, name, self)

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        self.runs[(call.instance_id, call.name, call.task_id)] += 1
        function = self.activities.get(call.name)
        if function is None:
            return ActivityFailed(
                f"Activity function '{call.name}' failed: Activity function '{call.name}' does not exist."
            )
        (wrapped,) = json.loads(call.input) if call.input else (None,)
        value = json.loads(wrapped) if isinstance(wrapped, str) else wrapped
        try:
            result = function(value)
            if asyncio.iscoroutine(result):
                result = await result
            else:
                await asyncio.sleep(0)
        except Exception as error:  # user code, as the host translates it
            return ActivityFailed(
                f"Activity function '{call.name}' failed:  {type(error).__name__}: {error}", "details"
            )
        return ActivitySucceeded(
            None if result is None else json.dumps(result, separators=(",", ":"), ensure_ascii=False)
        )

    def check_entity(self, name: str) -> None:
        if name.lower() not in self.entities:
            known = ", ".join(f"'{each}'" for each in self.entities)
            raise UnknownFunction(
                f"The function '{name}' doesn't exist, is disabled, or is not an entity function. "
                f"Additional info: The following are the known entity functions: {known}."
            )

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        await asyncio.sleep(0)
        function = self.entities.get(call.name)
        if function is None:
            return EntityFailed.because(f"Entity function '{call.name}' does not exist.")
        self.batches.append(call)
        return EntityAnswered(Entity.create(function)(call.payload))


# ---- processes


def _as_it_is(storage: Storage) -> Storage:
    return storage


class Process:
    """One process of the world: its own environment, its own way to the store."""

    def __init__(self, world: World, name: str, *, skew: timedelta, wrap: Wrap) -> None:
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.observer: Callable[[Call], None] | None = None
        """Told of every call to the store that succeeded."""
        self._loop = world.loop
        self._parked: list[asyncio.Handle] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}
        seed = random.Random(f"{world.seed}/{name}/{len(world.processes)}")
        self.environment = Environment(
            clock=VirtualClock(world.loop, skew=skew),
            random=seed,
            new_guid=lambda: uuid.UUID(int=seed.getrandbits(128), version=4),
            spawn=self.spawn,
        )
        store = open_memory(now=world.account.now, account=world.account)
        self.storage = replace(intercepted(wrap(store), self._around), description=f"memory of {name}")
        world.processes.append(self)

    def spawn(self, coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start a task of this process; what it starts in turn belongs to the process too."""
        context = contextvars.copy_context()
        context.run(_process.set, self)
        task: asyncio.Task[Any] = context.run(self._loop.create_task, coro)
        task.set_name(f"{self.name}: {name}")
        self._tasks[task] = None
        task.add_done_callback(lambda ended: self._tasks.pop(ended, None))
        return task

    def kill(self) -> None:
        """End the process where it is."""
        self.is_dead = True
        self.resume()
        for task in list(self._tasks):
            task.cancel()

    def pause(self) -> None:
        """Stop the process, as SIGSTOP does; the world goes on."""
        self.is_paused = True

    def resume(self) -> None:
        """Let a paused process go on; it finds out by its clock alone."""
        self.is_paused = False
        self._loop.give_back(self._parked)
        self._parked = []

    def park(self, handle: asyncio.Handle) -> None:
        """Keep a callback for later."""
        self._parked.append(handle)

    async def _around(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        # A killed process still unwinds; nothing it does then may reach the store.
        if self.is_dead:
            raise asyncio.CancelledError
        result = await act()
        if self.observer is not None:
            self.observer(call)
        return result


class MemoryReceipts:
    """Notes of a worker that outlive its process; what the process still does when it is dead does not count."""

    def __init__(self, process: Process, kept: dict[str, Receipt]) -> None:
        self._process = process
        self._kept = kept
        self._left = tuple(kept.values())

    def left(self) -> tuple[Receipt, ...]:
        return self._left

    def took(self, receipt: Receipt) -> None:
        if not self._process.is_dead:
            self._kept[receipt.message_id] = receipt

    def gone(self, message_id: str) -> None:
        if not self._process.is_dead:
            self._kept.pop(message_id, None)


class World:
    """The store, the time and the processes of one run."""

    def __init__(self, seed: int = 0, *, shuffled: bool = False, max_seconds: float = 1e6, max_steps: int = 5_000_000):
        self.seed = seed
        self.random = random.Random(seed)
        self.loop = VirtualLoop(
            random.Random(f"{seed}/schedule") if shuffled else None, max_seconds=max_seconds, max_steps=max_steps
        )
        ids = random.Random(f"{seed}/store")
        self.clock = VirtualClock(self.loop)
        self.account = MemoryAccount(self.clock.now, lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
        self.processes: list[Process] = []

    def process(self, name: str, *, skew: timedelta = timedelta(0), wrap: Wrap = _as_it_is) -> Process:
        """Start a process; ``wrap`` may put something between it and the store."""
        return Process(self, name, skew=skew, wrap=wrap)

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run the world until ``coro`` ends."""
        return self.loop.run(coro)
