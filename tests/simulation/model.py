"""What a program may produce: its output is read beside it, and every value must be one that was really answered.

Timing decides who wins a race and in which order events are given out, so the model does not predict an output: it
accepts or refuses one. What it knows for certain is counted: which run of an activity a value comes from, and that no
other value comes from it; which event; how often each entry was written to an entity.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.checks import Violation
from tests.simulation.workload import LARGE, failures_in, tasks_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tests.simulation.workload import Journal, Program

Entry = tuple[str, str, int]
"""Key of the entity, label, number."""


@dataclass
class Tally:
    """Entries that entities must hold, and those that they may hold: whoever writes them may not have come so far."""

    certain: Counter[Entry] = field(default_factory=Counter)
    possible: set[Entry] = field(default_factory=set)

    def may_write(self, program: Program) -> None:
        """Note that a program and all below it may have been run in part, or more than once."""
        for each in program.all():
            self.possible.update(entry for _, entry in _entries(each.statements))

    def check(self, stored: Counter[Entry]) -> None:
        """Check what all entities hold together."""
        for entry in {*stored, *self.certain}:
            if entry in self.possible:
                if stored[entry] < self.certain[entry]:
                    raise Violation(f"entry {entry} is there {stored[entry]} times, not {self.certain[entry]} or more")
            elif stored[entry] != self.certain[entry]:
                raise Violation(f"entry {entry} is there {stored[entry]} times, not {self.certain[entry]}")


def _entries(part: Any) -> Iterator[tuple[str, Entry]]:
    if isinstance(part, tuple) and part[0] in ("signal", "entity"):
        yield part[0], (part[1], *part[-1]["by"])
    elif isinstance(part, (tuple, list)):
        for each in part:
            yield from _entries(each)


class Reader:
    """Reads the outputs of one run.

    Args:
        journal: the runs of all activities.
        raised: what was raised: contents by name of the event.
    """

    def __init__(self, journal: Journal, raised: dict[str, set[str]]) -> None:
        self._journal = journal
        self._raised = raised
        self.used_runs: set[int] = set()
        """Numbers of the runs that outputs are made of."""
        self._used_events: set[str] = set()
        self.tally = Tally()

    def completed(self, program: Program, output: Any, instance_id: str | None) -> list[int]:
        """Check the output of an instance that completed; return which runs the last generation's values come from.

        Args:
            program: what it did.
            output: decoded.
            instance_id: its id, ``None`` where the hub has made one.
        """
        if not isinstance(output, list) or len(output) != program.generations:
            raise Violation(f"{program.name} returned {shortened(output)} after {program.generations} generations")
        runs: list[int] = []
        for seen in output:
            reading = _Generation(self, program, instance_id, seen)
            runs = reading.read()
        return runs

    def failed(self, program: Program, text: str) -> None:
        """Check why an instance failed."""
        self.tally.may_write(program)
        self.failure(program.statements, program, text)

    def failure(self, part: Any, program: Program, text: str) -> None:
        """Check that a text tells of failures that a part of a program can have."""
        told = failures_in(text)
        if not told:
            raise Violation(f"{program.name}, {shortened(part)}: nobody raised {text[:400]!r}")
        booms, activities = _can_raise(part, program)
        for kind, number in told:
            if kind == "boom":
                if number not in booms:
                    raise Violation(f"{program.name}, {shortened(part)}: boom-{number} was raised elsewhere")
                continue
            run = self._journal.runs.get(number)
            if run is None or not run.has_failed or (run.name, repr(run.given)) not in activities:
                raise Violation(f"{program.name}, {shortened(part)}: told of failure {number}, which is of {run}")

    def use_run(self, number: Any, name: str, given: Any) -> Any:
        """Check that a value comes from a run of this activity, and is the only one; return the run."""
        run = self._journal.runs.get(number) if isinstance(number, int) else None
        if run is None or run.has_failed or (run.name, run.given) != (name, given):
            raise Violation(f"the answer of {name}({shortened(given)}) is run {number}, which is {shortened(run)}")
        if number in self.used_runs:
            raise Violation(f"run {number} answered twice: {shortened(run)}")
        self.used_runs.add(number)
        return run

    def use_event(self, name: str, content: Any) -> None:
        """Check that a value is an event of this name that nobody got before."""
        if not isinstance(content, str) or content not in self._raised.get(name, ()):
            raise Violation(f"event {name} brought {shortened(content)}, which nobody raised")
        if content in self._used_events:
            raise Violation(f"event {content} was given out twice")
        self._used_events.add(content)


def _can_raise(part: Any, program: Program) -> tuple[set[int], set[tuple[str, str]]]:
    booms = {int(text.partition("-")[2]) for text in _raises(part)}
    activities: set[tuple[str, str]] = set()
    for task in tasks_of(part):
        if task[0] == "activity":
            activities.add((task[1], repr(task[2])))
        elif task[0] == "retry":
            activities.add((task[1], repr("again")))
        elif task[0] in ("child", "child_retry"):
            child = program.children[task[1]]
            more_booms, more = _can_raise(child.statements, child)
            booms |= more_booms
            activities |= more
    return booms, activities


def _raises(part: Any) -> Iterator[str]:
    if isinstance(part, tuple) and part[0] == "raise":
        yield part[1]
    elif isinstance(part, (tuple, list)):
        for each in part:
            yield from _raises(each)


class _Generation:
    """Reads what one generation of one instance saw."""

    def __init__(self, reader: Reader, program: Program, instance_id: str | None, seen: Any) -> None:
        self._reader = reader
        self._program = program
        self._instance_id = instance_id
        self._seen = seen if isinstance(seen, list) else [seen]
        self._next = 0
        self._execution: tuple[str, str | None] | None = None
        self._runs: list[int] = []

    def read(self) -> list[int]:
        self._statements(self._program.statements)
        if self._next != len(self._seen):
            raise Violation(f"{self._program.name} saw more than it can: {shortened(self._seen[self._next :])}")
        return self._runs

    def _statements(self, statements: Sequence[Any]) -> None:
        for statement in statements:
            kind = statement[0]
            # What is made and never waited for is not even asked for: so the SDK does it.
            asked = [] if kind in ("repeat", "make") else statement[:3] if kind == "choose" else statement
            for _, entry in _entries(asked):
                self._reader.tally.certain[entry] += 1
            if kind == "yield":
                self._value(statement[1], self._take(statement))
            elif kind == "try":
                self._tried(statement[1], self._take(statement))
            elif kind == "race":
                self._raced(statement[1], self._take(statement))
            elif kind == "choose":
                value = self._take(statement)
                self._raced(statement[1], value)
                taken, other = (4, 3) if value == "late" else (3, 4)
                self._statements(statement[taken])
                # Begun by an episode that was not stored, and that decided otherwise when it was run again.
                self._unknown(statement[other])
            elif kind == "both":
                for task in statement[1:]:
                    self._value(task, self._take(statement))
            elif kind == "follow":
                self._chain(statement)
            elif kind == "repeat":
                for _ in range(statement[1]):
                    self._statements(statement[2])
            elif kind == "raise":
                raise Violation(f"{self._program.name} went on after {statement}")

    def _chain(self, statement: Any) -> None:
        """Read a chain of activities, each of which was given what the one before answered (H14)."""
        _, given, count = statement
        for _ in range(count):
            value = self._take(statement)
            self._answer("ok", given, value)
            given = ["after", value["run"]]

    def _take(self, statement: Any) -> Any:
        if self._next >= len(self._seen):
            raise Violation(f"{self._program.name} saw nothing for {shortened(statement)}")
        self._next += 1
        return self._seen[self._next - 1]

    def _tried(self, task: Any, value: Any) -> None:
        if isinstance(value, list) and value[:1] == ["caught"]:
            self._failed(task, value[1])
        else:
            self._value(task, value)

    def _raced(self, task: Any, value: Any) -> None:
        if value == "late":
            self._unknown(task)
        elif isinstance(value, list) and len(value) == 2 and value[0] == "won":
            self._won(task, value[1])
        else:
            raise self._refusal(task, value)

    def _won(self, task: Any, value: Any) -> None:
        if isinstance(value, list) and value[:1] == ["error"]:
            self._failed(task, str(value[-1]))
        else:
            self._value(task, value)

    def _failed(self, task: Any, text: str) -> None:
        self._unknown(task)
        self._reader.failure(task, self._program, text)

    def _unknown(self, task: Any) -> None:
        """Take into account that nobody waited for a task to its end."""
        for each in tasks_of(task):
            if each[0] in ("child", "child_retry"):
                self._reader.tally.may_write(self._program.children[each[1]])

    def _value(self, task: Any, value: Any) -> None:
        kind = task[0]
        if kind in ("activity", "retry"):
            self._answer(task[1], task[2] if kind == "activity" else "again", value)
        elif kind == "timer":
            if value is not None:
                raise self._refusal(task, value)
        elif kind == "event":
            self._reader.use_event(task[1], value)
        elif kind == "entity":
            if not isinstance(value, int) or value < 1:
                raise self._refusal(task, value)
        elif kind in ("child", "child_retry"):
            own_id = task[2] if kind == "child" else None
            self._reader.completed(self._program.children[task[1]], value, own_id)
        elif kind == "all":
            if not isinstance(value, list) or len(value) != len(task[1]):
                raise self._refusal(task, value)
            for each, part in zip(task[1], value, strict=True):
                self._value(each, part)
        else:
            self._first(task, value)

    def _first(self, task: Any, value: Any) -> None:
        if not isinstance(value, list) or value[:1] != ["task"]:
            raise self._refusal(task, value)
        refusals = []
        for each in task[1]:
            refusal = self._refusal_of(each, value[1])
            if refusal is None:
                return
            refusals.append(refusal)
        raise Violation(f"nobody can have won: {[str(refusal) for refusal in refusals]}")

    def _refusal_of(self, task: Any, value: Any) -> Violation | None:
        try:
            self._value(task, value)
        except Violation as refusal:
            return refusal
        return None

    def _answer(self, name: str, given: Any, value: Any) -> None:
        number = value.get("run") if isinstance(value, dict) else None
        run = self._reader.use_run(number, name, given)
        if name == "big" and len(value.get("pad", "")) != LARGE:
            raise self._refusal(name, value)
        execution = (run.instance_id, run.execution_id)
        if self._execution is None:
            self._execution = execution
        if execution != self._execution or self._instance_id not in (None, run.instance_id):
            raise Violation(f"{self._program.name} ({self._instance_id}) got the answer of another execution: {run}")
        self._runs.append(number)

    def _refusal(self, task: Any, value: Any) -> Violation:
        return Violation(f"{self._program.name}: {shortened(task)} cannot come to {shortened(value)}")


def shortened(what: object) -> str:
    """Return a value's text, without the middle of a long one."""
    text = repr(what)
    return text if len(text) < 600 else f"{text[:400]} … {text[-150:]}"
