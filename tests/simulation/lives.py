"""The life of one instance of the workload: its client starts it, does with it what its fate says, and checks its end.

A client may die too, between the message of a start and its row; another one then does what a user's program does that
finds the instance missing. Storage trouble that a client is told of is tried again, as users are told to.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskhub.errors import InstanceExists, InvalidInstanceState, TransientStorageError
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.simulation.checks import Violation
from tests.simulation.model import shortened
from tests.simulation.programs import draw_start
from tests.simulation.workload import draw_program

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Awaitable, Callable

    from taskhub import TaskHubClient
    from taskhub.model.instance import InstanceState
    from taskhub.simulation.process import Process
    from tests.simulation.model import Reader
    from tests.simulation.programs import Start
    from tests.simulation.workload import Journal, Program

FATES = ("suspend", "terminate", "rewind", "restart", "replace", "purge", "client_death")
"""What clients do besides starting, raising events and looking on. Each is counted by its name."""


@dataclass
class Plan:
    """One instance of the workload."""

    instance_id: str
    start: Start | None = None
    program: Program | None = None
    fate: str = "plain"

    @property
    def name(self) -> str:
        """Of the orchestrator."""
        if self.program is not None:
            return self.program.name
        assert self.start is not None
        return self.start.name


def draw_plan(draw: random.Random, instance_id: str) -> Plan:
    """Draw what an instance does and what becomes of it."""
    if draw.random() < 0.4:
        return Plan(
            instance_id, start=draw_start(draw), fate=draw.choice(["plain", "plain", "suspend", "client_death"])
        )
    fate = draw.choice(["plain"] * 6 + ["suspend", *FATES])
    program = draw_program(
        draw, instance_id, is_moody=fate == "rewind", names_children=fate not in ("replace", "purge", "terminate")
    )
    if fate == "restart":
        program.generations = 1  # what is restarted begins with the input of the last generation
    return Plan(instance_id, program=program, fate=fate)


@dataclass
class Clients:
    """What the life of an instance needs of the simulation."""

    make: Callable[[str], tuple[Process, TaskHubClient]]
    """Starts a client's process."""
    sleep: Callable[[float], Awaitable[None]]
    say: Callable[[str], None]
    count: Counter[str]
    """How often what was done."""
    journal: Journal
    raised: dict[str, set[str]] = field(default_factory=dict)
    """Contents of all events, by their names."""


class Life:
    """See the module."""

    def __init__(self, plan: Plan, clients: Clients, draw: random.Random) -> None:
        self.plan = plan
        self._clients = clients
        self._draw = draw
        self._process, self._client = clients.make(f"client-{plan.instance_id}")
        self._id = InstanceId(plan.instance_id)
        self._number = 0
        self._attempts = 0
        """To start it."""
        self.ends: list[tuple[str, InstanceState]] = []
        """Every end that was seen, with the instance's id."""
        self.is_disturbed = False
        """Whether it may have been run in part, or another time than its ends tell."""
        self.may_be_gone = False
        self.may_be_unstarted = False

    async def run(self) -> None:
        """Live."""
        await self._clients.sleep(self._draw.random() * 5)
        await self._start()
        companions = [self._spawn(self._raise_all(self._id), "events")]
        fate = getattr(self, f"_{self.plan.fate}", None)
        if fate is not None:
            companions.append(self._spawn(fate(), self.plan.fate))
        if self.plan.fate in ("plain", "client_death", "suspend"):
            await self._end(self._id)
        for each in companions:
            await each
        self._say("is over")

    def check(self, reader: Reader) -> None:
        """Check every end that was seen, and count what entities must hold."""
        program, start = self.plan.program, self.plan.start
        if program is not None and self.is_disturbed:
            reader.tally.may_write(program)
        for instance_id, state in self.ends:
            if start is not None:
                self._check_start(start, state)
            elif program is not None:
                self._check_program(program, instance_id, state, reader)

    def _check_start(self, start: Start, state: InstanceState) -> None:
        if state.status is not RuntimeStatus.Completed:
            raise Violation(f"{self._id} {start} ended {shortened(state)}")
        if json.loads(state.output or "null") != start.expected:
            raise Violation(f"{self._id} {start} returned {shortened(state.output)}")

    def _check_program(self, program: Program, instance_id: str, state: InstanceState, reader: Reader) -> None:
        if state.status is RuntimeStatus.Completed:
            reader.completed(program, json.loads(state.output or "null"), instance_id)
        elif state.status is RuntimeStatus.Failed:
            reader.failed(program, state.output or "")
        elif state.status is not RuntimeStatus.Terminated or self.plan.fate != "terminate":
            raise Violation(f"{instance_id} ended {shortened(state)}")

    # ---- steps

    async def _start(self) -> None:
        if self.plan.fate == "client_death":
            await self._start_and_die()
            return
        await self._persist(lambda: self._start_once(self._client))
        self._say(f"({self.plan.fate}) is started: {shortened(self.plan.program or self.plan.start)}")

    async def _start_once(self, client: TaskHubClient) -> None:
        start = self.plan.start
        given = None if start is None or start.input is None else json.dumps(json.dumps(start.input))
        self._attempts += 1
        try:
            await client.start(self.plan.name, instance_id=self._id, input=given)
        except InstanceExists:
            # An attempt before this one has made it, though we were told otherwise.
            self._say("exists already")
        else:
            if self._attempts > 1 and client._services.settings.overridable_running_instances:
                self.is_disturbed = True  # it may have taken the place of what an attempt before it made

    async def _start_and_die(self) -> None:
        process, client = self._clients.make(f"mortal-{self._id}")
        started = process.spawn(self._start_once(client), name="start")
        await self._clients.sleep(self._draw.random() * 0.00005)
        for _ in range(self._draw.randrange(12)):
            await asyncio.sleep(0)
        self._clients.count["client_death"] += not started.done()
        self._say("its client dies")
        process.kill()
        await self._clients.sleep(self._draw.choice([0.0, 1.0, 30.0]))
        while await self._look(self._id) is None:
            await self._persist(lambda: self._start_once(self._client))
            await self._clients.sleep(1)

    async def _raise_all(self, instance_id: InstanceId) -> None:
        start, program = self.plan.start, self.plan.program
        if start is not None and start.event_after is not None:
            await self._clients.sleep(start.event_after)
            # Sent once more it would be another event.
            await self._persist(lambda: self._client.raise_event(instance_id, "approval", "7"))
        for _ in range(start.ticks if start is not None else 0):
            await self._clients.sleep(self._draw.choice([0.0, 0.0, 0.5, 3.0]))
            await self._persist(lambda: self._client.raise_event(instance_id, "tick", "1"))
        if program is None:
            return
        names = [name for name, times in program.events.items() for _ in range(times)]
        self._draw.shuffle(names)
        for name in names:
            await self._clients.sleep(self._draw.choice([0.0, 0.0, 0.5, 3.0, 20.0]))
            await self._raise(instance_id, name)

    async def _raise(self, instance_id: InstanceId, name: str) -> None:
        while True:
            self._number += 1
            content = f"{name}#{self._number}"
            self._clients.raised.setdefault(name, set()).add(content)
            try:
                await self._client.raise_event(instance_id, name, json.dumps(content))
            except TransientStorageError:
                # It may have been raised: the next attempt is another event.
                await self._clients.sleep(1)
            else:
                return

    async def _end(self, instance_id: InstanceId, *, may_be_gone: bool = False) -> InstanceState | None:
        """Return the state of the instance at its end, and note it; ``None`` when it is gone, where that may be."""
        resumes_at = 60
        looks = 0
        while True:
            state = await self._look(instance_id)
            if state is None and may_be_gone:
                return None
            if state is not None and state.status is not None and state.status.is_terminal:
                self._say(f"is {state.status.name}")
                self.ends.append((instance_id, state))
                return state
            looks += 1
            if looks >= resumes_at and state is not None and state.status is RuntimeStatus.Suspended:
                # What resumed it was overtaken by what suspended it.
                await self._persist(lambda: self._client.resume(instance_id, "once more"))
                resumes_at = looks + 60
            await self._clients.sleep(1 if looks < 120 else 10)

    async def _look(self, instance_id: InstanceId) -> InstanceState | None:
        found: list[InstanceState | None] = []

        async def look() -> None:
            found.append(await self._client.get(instance_id))

        await self._persist(look)
        return found[-1]

    async def _persist(self, act: Callable[[], Awaitable[Any]]) -> None:
        """Do something until it is done."""
        while True:
            with contextlib.suppress(TransientStorageError):
                await act()
                return
            await self._clients.sleep(1)

    async def _wait_a_while(self) -> None:
        await self._clients.sleep(self._draw.choice([0.0, 0.1, 1.0, 5.0, 30.0, 90.0]) * self._draw.random())

    # ---- fates

    async def _suspend(self) -> None:
        for _ in range(self._draw.choice([1, 1, 3])):
            await self._wait_a_while()
            await self._persist(lambda: self._client.suspend(self._id, "wait"))
            await self._wait_a_while()
            await self._persist(lambda: self._client.resume(self._id, "go on"))
            self._clients.count["suspend"] += 1

    async def _terminate(self) -> None:
        self.is_disturbed = self.may_be_unstarted = True
        await self._wait_a_while()
        await self._persist(lambda: self._client.terminate(self._id, "enough"))
        self._say("is told to end")
        self._clients.count["terminate"] += 1
        await self._end(self._id)

    async def _rewind(self) -> None:
        state = await self._end(self._id)
        assert state is not None
        if state.status is not RuntimeStatus.Failed:
            return  # what is moody lost a race
        self.ends.pop()
        self._clients.journal.cheered.add(self.plan.instance_id)
        await self._wait_a_while()
        await self._rewind_once()
        self._clients.count["rewind"] += 1
        while True:
            # What was sent before belongs to the failed instance, which takes no events.
            events = self._spawn(self._raise_all(self._id), "events")
            state = await self._end(self._id)
            assert state is not None
            await events
            if state.status is not RuntimeStatus.Failed:
                break
            # It had failed in another place as well, before it was cheered up; or nobody woke it up.
            self.ends.pop()
            await self._clients.sleep(20)
            await self._rewind_once()

    async def _rewind_once(self) -> None:
        try:
            await self._persist(lambda: self._client.rewind(self._id, "once more"))
        except InvalidInstanceState as error:
            self._say(f"is not rewound: {error}")
        else:
            self._say("is rewound")

    async def _restart(self) -> None:
        state = await self._end(self._id)
        assert state is not None
        await self._wait_a_while()
        with_new_id = self._draw.random() < 0.4
        new_id = InstanceId(f"{self._id}-again") if with_new_id else self._id
        before = await self._look(self._id)
        assert before is not None

        async def restart() -> None:
            try:
                await self._client.restart(before, with_new_id=with_new_id, new_id=new_id if with_new_id else None)
            except InstanceExists:
                self._say("is restarted already")

        await self._persist(restart)
        self._say(f"is restarted as {new_id}")
        self._clients.count["restart"] += 1
        events = self._spawn(self._raise_all(new_id), "events")
        await self._end(new_id)
        await events

    async def _replace(self) -> None:
        """Start it anew while it may be running."""
        self.is_disturbed = True
        before = await self._look(self._id)
        await self._wait_a_while()
        await self._persist(lambda: self._start_once(self._client))
        if before is not None:
            await self._until_another(before)
        self._say("is replaced")
        self._clients.count["replace"] += 1
        events = self._spawn(self._raise_all(self._id), "events")
        await self._end(self._id)
        await events

    async def _until_another(self, before: InstanceState) -> None:
        """Wait until another instance has begun: what is sent before that may reach the one that it replaces."""
        while True:
            state = await self._look(self._id)
            is_other = state is not None and (state.generation, state.created) != (before.generation, before.created)
            if is_other and state is not None and state.status is not RuntimeStatus.Pending:
                return
            await self._clients.sleep(0.5)

    async def _purge(self) -> None:
        self.is_disturbed = self.may_be_gone = True
        await self._wait_a_while()
        for _ in range(3):
            with contextlib.suppress(InvalidInstanceState):  # somebody goes on writing it
                await self._persist(lambda: self._client.purge(self._id))
            await self._clients.sleep(1)
        self._say("is purged")
        self._clients.count["purge"] += 1
        await self._end(self._id, may_be_gone=True)

    def _spawn(self, coro: Any, name: str) -> asyncio.Task[Any]:
        return self._process.spawn(coro, name=name)

    def _say(self, text: str) -> None:
        self._clients.say(f"{self._id} {text}")
