"""Random programs for the simulation: drawn from a seed, run by the real SDK, and known to the model.

A program is data, of the type that ``tests/support/programs.py`` describes and turns into Python, drawn here so that
the model (``model.py``) can tell what it may produce. An orchestrator runs its program once per generation and carries
what it saw along; its output is the list of what each generation saw.

Activities answer another value each time that they run, so that a value tells which run it comes from: see
:class:`Journal`. Entities keep every entry that they were told to add.
"""

from __future__ import annotations

import asyncio
import contextvars
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.support.plain_application import PlainApplication
from tests.support.programs import orchestrator

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

    from taskhub.runtime.application import ActivityCall, ActivityFailed, ActivitySucceeded

KEYS = ("k1", "k2", "k3")
"""Of the entities that programs write to."""

_SECONDS = {"slow": (5.0, 40.0, 100.0)}
"""How long activities run."""

LARGE = 47_000
"""Characters that fit neither a queue message nor a column."""


@dataclass
class Program:
    """What one orchestrator does."""

    name: str
    """Of the orchestrator."""
    statements: list[Any]
    generations: int = 1
    """How often it runs, each time but the first by continuing as new."""
    children: dict[str, Program] = field(default_factory=dict)
    """Programs of the orchestrators that it calls, by name."""
    events: dict[str, int] = field(default_factory=dict)
    """How often it waits for each event at most."""

    def all(self) -> Iterator[Program]:
        """Yield it and all below it."""
        yield self
        for child in self.children.values():
            yield from child.all()

    def names(self) -> Iterator[str]:
        """Yield the names of all activities that retry."""
        for program in self.all():
            for task in tasks_of(program.statements):
                if task[0] == "retry":
                    yield task[1]

    def entries_in_order(self) -> list[int]:
        """Return the numbers of entries that it writes itself, once each and in this order; none where it repeats."""
        if self.generations > 1:
            return []
        certain = [each for each in self.statements if each[0] not in ("repeat", "make", "choose")]
        return list(_entry_numbers(certain))

    def orchestrators(self) -> dict[str, Any]:
        """Return the functions of it and all below it, by name."""
        return {program.name: _main(program) for program in self.all()}


def tasks_of(part: Any) -> Iterator[Any]:
    """Yield all tasks below a statement, a task or a list of them."""
    if isinstance(part, tuple) and part[0] in TASKS:
        yield part
    if isinstance(part, (tuple, list)):
        for each in part:
            yield from tasks_of(each)


def _entry_numbers(part: Any) -> Iterator[int]:
    if isinstance(part, tuple) and part[0] in ("signal", "entity"):
        yield part[-1]["by"][1]
    elif isinstance(part, (tuple, list)):
        for each in part:
            yield from _entry_numbers(each)


TASKS = {"activity", "retry", "child", "child_retry", "timer", "event", "entity", "all", "any"}


def _main(program: Program) -> Any:
    flow = orchestrator(program.statements)

    def main(context):
        given = context.get_input()
        number, before = given if isinstance(given, list) else (1, [])
        seen = yield from flow(context)
        if number < program.generations:
            context.continue_as_new([number + 1, [*before, seen]], preserve_unprocessed_events=True)
            return None
        return [*before, seen]

    return main


# ---- drawing


@dataclass
class Taste:
    """What programs of a run are made of."""

    draw: random.Random
    label: str
    """Of the instance; names of its orchestrators, events and entries begin with it."""
    can_fail: bool = True
    names_children: bool = True
    left_behind: int = 0
    """How many of the sub-orchestrations that are being drawn, one below the other, may run on when nobody waits."""
    count: int = 0

    def number(self) -> int:
        """Return another number each time."""
        self.count += 1
        return self.count


def draw_program(draw: random.Random, label: str, *, is_moody: bool = False, names_children: bool = True) -> Program:
    """Draw the program of an instance with all below it.

    Args:
        draw: where it comes from.
        label: of the instance.
        is_moody: whether it fails until it is cheered up.
        names_children: whether sub-orchestrations may have ids of their own, which only one execution can use.
    """
    taste = Taste(draw, label, can_fail=not is_moody, names_children=names_children)
    program = _program(taste, depth=0)
    if is_moody:
        host = draw.choice(list(program.all()))
        host.statements.insert(draw.randrange(len(host.statements) + 1), ("yield", ("activity", "moody", label)))
    return program


def _program(taste: Taste, *, depth: int, may_write: bool = True) -> Program:
    draw = taste.draw
    generations = draw.choice([1, 1, 1, 2, 3])
    program = Program(f"{taste.label}.{taste.number()}", [], generations)
    size = draw.randrange(1, 6 if depth == 0 else 4)
    for _ in range(size):
        program.statements.append(_statement(taste, program, depth, generations, may_write=may_write))
    return program


def _statement(taste: Taste, program: Program, depth: int, times: int, *, may_write: bool, nested: bool = False) -> Any:
    draw = taste.draw

    def task(*, is_awaited: bool = True) -> Any:
        return _task(taste, program, depth, times, may_write=may_write, is_awaited=is_awaited)

    kind = draw.choices(
        ["yield", "try", "race", "choose", "both", "make", "follow", "signal", "status", "repeat", "raise"],
        [6, 5, 3, 0 if nested else 3, 2, 1, 3, 4, 1, 0 if nested else 2, 0.3 if taste.can_fail else 0],
    )[0]
    if kind in ("yield", "try"):
        return (kind, task())
    if kind == "race":
        return ("race", task(is_awaited=False), draw.choice([0, 1, 5, 60]))
    if kind == "choose":
        # What is asked for next, under the same ids, depends on what came first.
        branches = [
            [_statement(taste, program, depth, times, may_write=may_write, nested=True) for _ in range(count)]
            for count in (draw.randrange(1, 3), draw.randrange(1, 3))
        ]
        return ("choose", task(is_awaited=False), draw.choice([0, 1, 5]), *branches)
    if kind == "both":
        return ("both", task(), task())
    if kind == "make":
        return ("make", task(is_awaited=False))
    if kind == "follow":
        return ("follow", taste.number(), draw.choice([2, 3, 5]))
    if kind == "signal" and may_write:
        return ("signal", draw.choice(KEYS), {"by": [taste.label, taste.number()]})
    if kind == "repeat":
        count = draw.choice([2, 3])
        inner = [
            _statement(taste, program, depth, times * count, may_write=may_write, nested=True)
            for _ in range(draw.randrange(1, 3))
        ]
        return ("repeat", count, inner)
    if kind == "raise":
        return ("raise", f"boom-{taste.number()}")
    return ("status", draw.choice([None, 0, "é", {"step": [1, 2]}]))


def _task(taste: Taste, program: Program, depth: int, times: int, *, may_write: bool, is_awaited: bool = True) -> Any:
    draw = taste.draw
    kind = draw.choices(
        ["activity", "retry", "child", "child_retry", "timer", "event", "entity", "all", "any"],
        [7, 1, 3 if depth < 2 else 0, 1 if depth < 2 else 0, 2, 3 if depth == 0 else 0, 3 if may_write else 0, 3, 2],
    )[0]
    if kind in ("child", "child_retry"):
        taste.left_behind += not is_awaited
        child = _program(taste, depth=depth + 1, may_write=may_write and kind == "child")
        taste.left_behind -= not is_awaited
        program.children[child.name] = child
    if kind == "child":
        own_id = None
        if is_awaited and taste.names_children and draw.random() < 0.5:
            number = taste.number()
            # Two at once with one id would take each other's place.
            own_id = None if taste.left_behind else f"{taste.label}-child-{number}"
        return ("child", child.name, own_id)
    if kind == "child_retry":
        return ("child_retry", child.name, draw.choice([1, 5]), draw.choice([1, 2]))
    if kind == "all":
        count = draw.choice([1, 2, 3, 4]) if draw.random() < 0.93 else draw.choice([32, 101])
        return ("all", [_leaf(taste, program, depth, times, may_write=may_write and count < 9) for _ in range(count)])
    if kind == "any":
        leaves = [_leaf(taste, program, depth, times, may_write=False, may_fail=False) for _ in range(2)]
        return ("any", [*leaves, ("timer", draw.choice([1, 5, 30]))])
    return _leaf(taste, program, depth, times, may_write=may_write, kind=kind)


def _leaf(
    taste: Taste,
    program: Program,
    depth: int,
    times: int,
    *,
    may_write: bool,
    may_fail: bool = True,
    kind: str | None = None,
) -> Any:
    draw = taste.draw
    kind = (
        kind
        or draw.choices(
            ["activity", "timer", "event", "entity"], [6, 1, 1 if depth == 0 else 0, 2 if may_write else 0]
        )[0]
    )
    if kind == "retry":
        return ("retry", f"flaky-{draw.choice([0, 1, 2])}-{taste.number()}", draw.choice([1, 30]), draw.choice([1, 3]))
    if kind == "timer":
        return ("timer", draw.choice([0, 1, 3, 30]))
    if kind == "event":
        name = f"ev-{taste.label}-{taste.number()}"
        program.events[name] = times
        return ("event", name)
    if kind == "entity":
        return ("entity", draw.choice(KEYS), "add", {"by": [taste.label, taste.number()]})
    names = ["ok", "ok", "ok", "ok", "slow", "big"]
    if may_fail and taste.can_fail:
        names.append("bad")
    given: Any = taste.number()
    if draw.random() < 0.05:
        given = [given, "y" * LARGE]
    return ("activity", draw.choice(names), given)


# ---- what runs


@dataclass(frozen=True)
class Run:
    """One run of an activity."""

    instance_id: str
    execution_id: str | None
    task_id: int
    name: str
    given: Any
    has_failed: bool


ACTIVITY_NAMES = ("ok", "slow", "big", "bad", "moody")

_call: contextvars.ContextVar[ActivityCall] = contextvars.ContextVar("call")


@dataclass
class Journal:
    """Every run of an activity, by its number, which its answer names."""

    draw: random.Random
    runs: dict[int, Run] = field(default_factory=dict)
    flaky: Counter[tuple[str, str | None, str]] = field(default_factory=Counter)
    cheered: set[str] = field(default_factory=set)
    """Labels of instances whose moody activities do not fail any more."""

    def activity(self, name: str) -> Any:
        """Return the function of an activity."""

        async def run(given: Any) -> Any:
            call = _call.get()
            seconds = self.draw.choice(_SECONDS.get(name, (0.0, 0.0, 0.2, 3.0)))
            await asyncio.sleep(seconds)
            number = len(self.runs) + 1
            has_failed = self._fails(call, given)
            self.runs[number] = Run(call.instance_id, call.execution_id, call.task_id, name, given, has_failed)
            if has_failed:
                raise ValueError(f"bad-run-{number}")
            return {"run": number, "pad": "x" * LARGE} if name == "big" else {"run": number}

        return run

    def _fails(self, call: ActivityCall, given: Any) -> bool:
        name = call.name
        if name == "bad":
            return True
        if name == "moody":
            return given not in self.cheered
        if name.startswith("flaky-"):
            self.flaky[call.instance_id, call.execution_id, name] += 1
            return self.flaky[call.instance_id, call.execution_id, name] <= int(name.split("-")[1])
        return False


@dataclass
class SimulatedApplication(PlainApplication):
    """An application whose activities write a journal and take their time."""

    journal: Journal | None = None
    running: int = 0
    """Activities that run now; they will still answer, also if somebody else has done so meanwhile."""

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        _call.set(call)
        self.running += 1
        try:
            return await super().run_activity(call)
        finally:
            self.running -= 1


def failures_in(text: str) -> list[tuple[str, int]]:
    """Return which failures a text tells of: ``("run", number)`` of an activity's, ``("boom", number)`` of a raise."""
    return [("run" if kind == "bad-run" else "boom", int(number)) for kind, number in _FAILURE.findall(text)]


_FAILURE = re.compile(r"(bad-run|boom)-(\d+)")


def counter(context):
    """Keep entries in the order in which they came."""
    entries = context.get_state(list)
    entries.append(context.get_input()["by"])
    context.set_state(entries)
    context.set_result(len(entries))
