"""A worker dies right before or right after any of its calls to a real store; the next one finishes the work.

Storage.md 6.7 gives the order of the steps and section 10.7 asks for a crash between every two of them, with activities
that return another value each time they run: whoever mixes up answers, or uses one that is not in history, is found.
The embedded store runs in hurried time, at every call (without shortcuts at some); the emulator, which
has a clock of its own, at some.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import pytest
from durabletask import task
from durabletask.entities import DurableEntity, EntityInstanceId

from taskhub import TaskHubClient, TaskHubSettings, Worker
from taskhub.model.history import TaskCompleted
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionManager
from taskhub.names import HubNames
from taskhub.runtime.clock import SystemClock
from taskhub.runtime.environment import Environment
from taskhub.settings import CLASSIC
from taskhub.simulation.process import MemoryReceipts
from taskhub.storage.azure import open_azure
from taskhub.storage.sqlite import open_sqlite
from tests.simulation.checks import Watch, check_at_rest
from tests.support.durabletask_application import DurabletaskApplication
from tests.support.hub_state import read_hub
from tests.support.hurried import HurriedClock, run_hurried
from tests.support.mortal import Mortal
from tests.support.plain_application import PlainApplication

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from taskhub.model.history import HistoryEvent
    from taskhub.runtime.clock import Clock
    from taskhub.storage.port import Storage
    from tests.support.hub_state import HubState

pytestmark = pytest.mark.timeout(600)

SPEED = 10.0
PATIENCE_SECONDS = 1000.0
"""An answer to what was never asked is put back five times, for longer each time, before it is dropped: a minute. A
machine that does much else may need more."""

POINTS_2X = 4
"""The calls are those of other instances; what differs is how code is driven."""

# ---- what is run


def sequence(context):
    told = "a"
    for _ in range(3):
        told = yield context.call_activity("work", told)
    return told


def fan_out(context):
    told = yield context.task_all([context.call_activity("work", letter) for letter in "abc"])
    return (yield context.call_activity("work", "".join(told)))


def family(context):
    children = [context.call_sub_orchestrator("child", "a"), context.call_sub_orchestrator("child", "b", "named")]
    return (yield context.task_all(children))


def child(context):
    return (yield context.call_activity("work", context.get_input()))


def entities(context):
    note = df.EntityId("notes", "n")
    told = yield context.call_activity("work", "a")
    context.signal_entity(note, "add", "first")
    counted = yield context.call_entity(note, "add", told)
    return [told, counted]


def generations(context):
    left, told = context.get_input()
    told = yield context.call_activity("work", told)
    if left > 0:
        context.continue_as_new([left - 1, told])
    return told


def events(context):
    first = yield context.wait_for_external_event("go")
    told = yield context.call_activity("work", first)
    second = yield context.wait_for_external_event("on")
    return [told, second]


def timers(context):
    told = yield context.call_activity("work", "a")
    yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
    return (yield context.call_activity("work", told))


def notes(context):
    kept = [*context.get_state(list), context.get_input()]
    context.set_state(kept)
    context.set_result(len(kept))


# ---- the same for the official SDK 2.x, by the library that it is made of


def sequence_2x(ctx, _):
    told = "a"
    for _ in range(3):
        told = yield ctx.call_activity("work", input=told)
    return told


def fan_out_2x(ctx, _):
    told = yield task.when_all([ctx.call_activity("work", input=letter) for letter in "abc"])
    return (yield ctx.call_activity("work", input="".join(told)))


def family_2x(ctx, _):
    first = ctx.call_sub_orchestrator("child", input="a")
    return (yield task.when_all([first, ctx.call_sub_orchestrator("child", input="b", instance_id="named")]))


def child_2x(ctx, given):
    return (yield ctx.call_activity("work", input=given))


def entities_2x(ctx, _):
    note = EntityInstanceId("notes", "n")
    told = yield ctx.call_activity("work", input="a")
    ctx.signal_entity(note, "add", "first")
    with (yield ctx.lock_entities([note])):
        counted = yield ctx.call_entity(note, "add", told)
    return [told, counted]


def generations_2x(ctx, given):
    left, told = given
    told = yield ctx.call_activity("work", input=told)
    if left > 0:
        ctx.continue_as_new([left - 1, told])
    return told


def events_2x(ctx, _):
    first = yield ctx.wait_for_external_event("go")
    told = yield ctx.call_activity("work", input=first)
    second = yield ctx.wait_for_external_event("on")
    return [told, second]


def timers_2x(ctx, _):
    told = yield ctx.call_activity("work", input="a")
    yield ctx.create_timer(timedelta(seconds=1))
    return (yield ctx.call_activity("work", input=told))


class Notes(DurableEntity):
    def add(self, note):
        kept = [*self.get_state(list, []), note]
        self.set_state(kept)
        return len(kept)


ON_2X = {
    f.__name__.removesuffix("_2x"): f
    for f in (sequence_2x, fan_out_2x, family_2x, child_2x, entities_2x, generations_2x, events_2x, timers_2x)
}
ORCHESTRATORS = {f.__name__: f for f in (sequence, fan_out, family, child, entities, generations, events, timers)}


@dataclass(frozen=True)
class Scenario:
    """One orchestration; every run of an activity adds ``#`` and a number of its own to what it was given."""

    name: str
    expected: Any
    """Its output, without those numbers."""
    input: Any = None
    events: tuple[tuple[str, str], ...] = ()
    """Names and values. Two of one name may change places when a worker dies with the first in hand."""
    notes: tuple[str, ...] = ()
    """What the entity has noted."""


SCENARIOS = (
    Scenario("sequence", "a###"),
    Scenario("fan_out", "a#b#c##"),
    Scenario("family", ["a#", "b#"]),
    Scenario("entities", ["a#", 2], notes=("first", "a#")),
    Scenario("generations", "a##", input=[1, "a"]),
    Scenario("events", ["x#", "y"], events=(("go", "x"), ("on", "y"))),
    Scenario("timers", "a##"),
)


OF_2X = [scenario for scenario in SCENARIOS if scenario.name in ("family", "entities", "generations")]


# ---- where and when


@dataclass
class Place:
    """A store, and the time that goes with it."""

    storage: Storage
    clock: Clock
    prefix: str = field(default_factory=lambda: f"Crash{uuid.uuid4().hex[:8]}")
    """Of the names of hubs: tests share an emulator."""
    at_once: int = 6
    """Runs at a time: they mostly wait."""
    numbers: Iterator[int] = field(default_factory=itertools.count)


class Run:
    """One instance, one worker that dies at a call, and another one that goes on."""

    def __init__(
        self, place: Place, scenario: Scenario, *, from_start: bool = False, on_2x: bool = False, **settings: Any
    ) -> None:
        self._place = place
        self._scenario = scenario
        self._from_start = from_start
        self._settings = TaskHubSettings(
            **{
                "hub_name": f"{place.prefix}x{next(place.numbers)}",
                "partition_count": 1,
                "control_queue_visibility_seconds": 3,
                "work_item_visibility_seconds": 3,
                "max_polling_interval_seconds": 0.3,
                "lease_interval_seconds": 6.0,
                "lease_round_seconds": 1.0,
                "fence_margin_seconds": 0.5,
                **settings,
            }
        )
        self._names = HubNames.of(self._settings.hub_name)
        self._watch = Watch(self._names.history_table)
        self._tokens = itertools.count()
        self._returned: Counter[str] = Counter()
        self._receipts: dict[str, Any] = {}
        self._processes: list[Mortal] = []
        self._on_2x = on_2x
        self._app = (
            DurabletaskApplication(ON_2X, {"work": self._work}, {"notes": Notes})
            if on_2x
            else PlainApplication(ORCHESTRATORS, {"work": self._work}, {"notes": notes})
        )
        self._client = TaskHubClient(place.storage, self._settings, environment=Environment(clock=place.clock))

    def _work(self, given: str) -> str:
        told = f"{given}#{next(self._tokens)}"
        self._returned[told] += 1
        return told

    async def until_the_end(self, strike: tuple[int, str] | None) -> Mortal:
        """Run with a worker that dies at a call of its own; return it. Everything that must hold is checked."""
        try:
            return await self._until_the_end(strike)
        finally:
            for process in self._processes:
                process.die()
                await process.buried()

    async def _until_the_end(self, strike: tuple[int, str] | None) -> Mortal:
        is_ready = asyncio.Event()
        asking = asyncio.create_task(self._ask(is_ready))
        first = self._process()
        try:
            await self._live(first, "worker", is_ready, strike)
            await first.buried()
            is_ready.set()
            await asking
        finally:
            asking.cancel()
        if first.is_dead:
            is_same_name = strike is not None and strike[0] % 2 == 0
            await self._live(self._process(), "worker" if is_same_name else "another", is_ready, None)
        await self._check()
        return first

    def _process(self) -> Mortal:
        process = Mortal(self._place.storage, clock=self._place.clock, observer=self._watch)
        self._processes.append(process)
        return process

    async def _ask(self, is_ready: asyncio.Event) -> None:
        """Be the client."""
        await is_ready.wait()
        given = None if self._scenario.input is None else json.dumps(self._scenario.input)
        if given is not None and not self._on_2x:
            given = json.dumps(given)
        await self._client.start(self._scenario.name, instance_id=InstanceId("i"), input=given)
        for name, value in self._scenario.events:
            await self._client.raise_event(InstanceId("i"), name, json.dumps(value))

    async def _live(self, process: Mortal, name: str, is_ready: asyncio.Event, strike: tuple[int, str] | None) -> None:
        """Let a process work until all is done, and stop it in order; or until it dies."""
        living = asyncio.create_task(self._work_until_done(process, name, is_ready, strike))
        dying = asyncio.create_task(process.death.wait())
        try:
            await asyncio.wait([living, dying], return_when=asyncio.FIRST_COMPLETED)
            if not process.is_dead:
                await living
        finally:
            dying.cancel()
            living.cancel()
            await asyncio.wait([living])

    async def _work_until_done(
        self, process: Mortal, name: str, is_ready: asyncio.Event, strike: tuple[int, str] | None
    ) -> None:
        worker = Worker(
            process.storage,
            self._settings,
            self._app,
            worker_id=WorkerId(name),
            environment=process.environment,
            # A worker of the same name is started when the first one is surely dead, and finds its notes.
            receipts=MemoryReceipts(process, self._receipts) if name == "worker" else None,  # type: ignore[arg-type]  # asked whether it is dead
        )
        if self._from_start:
            process.count(strike)
        owns, stop = asyncio.Event(), asyncio.Event()
        running = process.spawn(worker.run(stop, ready=owns), name="run")
        working = asyncio.create_task(self._until_at_rest(owns, is_ready, process, strike))
        try:
            await asyncio.wait([running, working], return_when=asyncio.FIRST_COMPLETED)
            stop.set()
            await running
            await working
        finally:
            working.cancel()

    async def _until_at_rest(
        self, owns: asyncio.Event, is_ready: asyncio.Event, process: Mortal, strike: tuple[int, str] | None
    ) -> None:
        await owns.wait()
        if not self._from_start:
            process.count(strike)
        is_ready.set()
        deadline = self._place.clock.monotonic() + PATIENCE_SECONDS
        while not await self._has_ended():
            assert self._place.clock.monotonic() < deadline, await self._client.get(InstanceId("i"))
            await asyncio.sleep(0.1)
        process.stop_counting()
        await self._settle()

    async def _has_ended(self) -> bool:
        state = await self._client.get(InstanceId("i"))
        return state is not None and state.status is not None and state.status.is_terminal

    async def _settle(self) -> None:
        """Wait until nothing is in the queues: second copies included."""
        queues = [self._names.work_item_queue, self._names.control_queue(0)]  # type: ignore[arg-type]  # a plain number
        deadline = self._place.clock.monotonic() + PATIENCE_SECONDS
        while any([await self._place.storage.queues.count(queue) for queue in queues]):
            assert self._place.clock.monotonic() < deadline, "messages are left"
            await asyncio.sleep(0.2)

    async def _check(self) -> None:
        left = await read_hub(self._place.storage, self._names, partition_count=1)
        histories = check_at_rest(left, ids_jump=self._on_2x)
        state = await self._client.get(InstanceId("i"))
        assert state is not None
        assert state.status is RuntimeStatus.Completed, state
        output = json.loads(state.output or "null")
        assert _plain(output) == self._scenario.expected
        told = [each for events in histories.values() for each in _results(events)]
        assert set(_texts(output)) <= {
            *told,
            *(value for _, value in self._scenario.events),
            *_from_before(self._scenario, self._returned),
        }
        assert max(self._returned.values()) == 1
        if self._scenario.notes:
            kept = _notes_of(left)
            assert [_plain(each) for each in kept] == list(self._scenario.notes)
            assert kept[1] == output[0]


def _plain(value: Any) -> Any:
    return json.loads(re.sub(r"#\d+", "#", json.dumps(value)))


def _texts(value: Any) -> list[str]:
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _results(events: Sequence[HistoryEvent]) -> list[str]:
    return [json.loads(each.result or "null") for each in events if isinstance(each, TaskCompleted)]


def _from_before(scenario: Scenario, returned: Mapping[str, int]) -> set[str]:
    # The generation in which a child's activity ran may be another one's history; there, any real answer will do.
    return set(returned) if scenario.name == "generations" else set()


def _notes_of(left: HubState) -> list[str]:
    (row,) = [row for row in left.instances if row.partition_key == "@notes@n"]
    kept: list[str] = json.loads(json.loads(str(row.columns["Input"]))["state"])
    return kept


async def crash_everywhere(place: Place, make: Callable[[], Run], *, points: int | None = None, at_least: int) -> None:
    """Let the worker die before and after each call of an undisturbed run, or at so many points spread over it."""
    whole = await make().until_the_end(None)
    all_fates = [(number, when) for number in range(len(whole.calls)) for when in ("before", "after")]
    fates = all_fates if points is None else all_fates[:: max(1, len(all_fates) // points) | 1]
    room = asyncio.Semaphore(place.at_once)
    struck: list[str] = []

    async def one(fate: tuple[int, str]) -> None:
        async with room:
            run = make()
            try:
                mortal = await run.until_the_end(fate)
            except Exception as error:
                name = whole.calls[fate[0]]
                raise AssertionError(
                    f"died {fate[1]} call {fate[0]}, {name} or the like, in {run._names.hub}"
                ) from error
            if mortal.struck is not None:
                struck.append(mortal.struck)

    tasks = [asyncio.create_task(one(fate)) for fate in fates]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
    assert len(struck) >= at_least, struck


SLOW = {**CLASSIC, "commit_before_messages": True, "wake_readers": False}
"""The reference's algorithm, but for the second runs of an operation that it allows."""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "classic"])
def test_the_embedded_store_after_a_death_at_any_call(scenario, fast, tmp_path):
    async def play(loop):
        storage = await open_sqlite(tmp_path / "hub.db", now=loop.now)
        place = Place(storage, HurriedClock(loop))
        try:
            await crash_everywhere(
                place,
                lambda: Run(place, scenario, **({} if fast else SLOW)),
                points=None if fast else 30,
                at_least=15,
            )
        finally:
            await storage.aclose()

    run_hurried(SPEED, play)


@pytest.mark.parametrize("scenario", OF_2X, ids=lambda scenario: scenario.name)
def test_instances_on_the_official_sdk_2_after_a_death_at_some_calls(scenario, tmp_path):
    async def play(loop):
        storage = await open_sqlite(tmp_path / "hub.db", now=loop.now)
        place = Place(storage, HurriedClock(loop))
        try:
            await crash_everywhere(place, lambda: Run(place, scenario, on_2x=True), points=POINTS_2X, at_least=3)
        finally:
            await storage.aclose()

    run_hurried(SPEED, play)


@pytest.mark.parametrize("manager", PartitionManager, ids=lambda manager: manager.value)
def test_the_embedded_store_after_a_death_at_any_call_of_a_start(manager, tmp_path):
    async def play(loop):
        storage = await open_sqlite(tmp_path / "hub.db", now=loop.now)
        place = Place(storage, HurriedClock(loop))
        try:
            await crash_everywhere(
                place, lambda: Run(place, SCENARIOS[0], from_start=True, partition_manager=manager), at_least=60
            )
        finally:
            await storage.aclose()

    run_hurried(SPEED, play)


IN_REAL_TIME = [scenario for scenario in SCENARIOS if scenario.name != "generations"]
"""An answer to a generation that never was is dropped after a minute, which the emulator would have us wait."""


@pytest.mark.azurite
async def test_the_emulator_after_a_death_at_some_calls(azurite):
    await crash_on_azurite(
        azurite, [lambda place, each=each: Run(place, each) for each in IN_REAL_TIME], points=6, at_once=4
    )


@pytest.mark.azurite
async def test_the_emulator_after_a_death_at_some_calls_of_a_start(azurite):
    runs = [
        lambda place, each=each: Run(place, SCENARIOS[0], from_start=True, partition_manager=each)
        for each in PartitionManager
    ]
    await crash_on_azurite(azurite, runs, points=8, at_once=8)


async def crash_on_azurite(azurite: str, runs: Sequence[Callable[[Place], Run]], *, points: int, at_once: int) -> None:
    storage = await open_azure(connection_string=azurite)
    place = Place(storage, SystemClock(), at_once=at_once)
    try:
        await asyncio.gather(
            *(
                crash_everywhere(place, lambda make=make: make(place), points=points, at_least=points // 2)  # type: ignore[misc]  # binds
                for make in runs
            )
        )
    finally:
        await storage.aclose()
