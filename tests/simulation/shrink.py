"""Makes a failing run smaller: fewer instances, workers and fates, plainer settings and programs.

A :class:`Case` is a run with everything that is drawn before it begins given. Each try leaves something out and runs
what is left: first with what befell it as it was, then, because a smaller run takes other turns, with fates of the same
kinds, no more of them, at other places or drawn anew a few times. Whatever still fails in the same way is gone on with.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from taskhub.simulation.fates import Fate, Fates
from tests.simulation.checks import Violation
from tests.simulation.settings import PLAIN
from tests.simulation.simulate import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DRAWS = 6
"""Times that fates are drawn anew for one try."""

FEW = 2
"""So few fates are also tried at other places."""

PLACES = 25
"""How many."""


@dataclass(frozen=True)
class Case:
    """A run, given whole."""

    seed: int
    """Of the schedule, and of what else is drawn on the way."""
    faults: str
    workload: Mapping[str, Any]
    workers: int
    settings: Mapping[str, Any]
    fates: tuple[Fate, ...]
    failure: str = ""
    """The violation."""

    @property
    def size(self) -> tuple[int, ...]:
        """What is made smaller, the most important first."""
        return len(self.workload), self.workers, len(self.fates)

    def simulation(self, fates: Fates | None = None) -> Simulation:
        """Return the run, with its own fates or others."""
        return Simulation(
            self.seed,
            workload=self.workload,
            workers=self.workers,
            faults=self.faults,
            fates=fates or Fates(self.fates),
            **self.settings,
        )

    def as_test(self) -> str:
        """Return the source of a test."""
        fates = "".join(f"\n                {fate!r}," for fate in self.fates)
        workload = "".join(f"\n            {key!r}: {value!r}," for key, value in self.workload.items())
        settings = "".join(f"\n        {name}={_literal(value)}," for name, value in self.settings.items())
        return (
            "def test_shrunk():\n"
            f"    # {self.failure}\n"
            "    Simulation(\n"
            f"        {self.seed},\n"
            f"        workload={{{workload}\n        }},\n"
            f"        workers={self.workers},\n"
            f"        faults={self.faults!r},\n"
            f"        fates=Fates(\n            [{fates}\n            ]\n        ),{settings}\n"
            "    ).run()\n"
        )


def failing_case(seed: int, *, faults: str, **options: Any) -> Case | None:
    """Return the run of a seed as a case, ``None`` when it does not fail.

    Args:
        seed: which one.
        faults: the profile.
        options: others of :class:`~tests.simulation.simulate.Simulation`.
    """
    run = Simulation(seed, faults=faults, **options)
    failure = failure_of(run)
    if failure is None:
        return None
    settings = {name: getattr(run.settings, name) for name in PLAIN}
    return Case(seed, faults, run.workload, len(run.slots), settings, tuple(run.fates.happened), failure)


def failure_of(run: Simulation) -> str | None:
    """Make a run; return why it fails, ``None`` if it does not."""
    try:
        run.run()
    except Violation as violation:
        return str(violation)
    except Exception as error:  # the simulation itself, or a client, broke
        return f"{type(error).__name__}: {error}"
    return None


class Shrinker:
    """Makes one case smaller.

    Args:
        case: it fails.
        tell: called with each step.
        max_runs: then it is small enough.
    """

    def __init__(self, case: Case, *, tell: Callable[[str], None] = lambda _: None, max_runs: int = 600) -> None:
        self.case = case
        self.runs = 0
        self._tell = tell
        self._max_runs = max_runs
        self._kind = kind_of(case.failure)

    def shrink(self) -> Case:
        """Return the smallest case that was found."""
        while True:
            before = self.case
            for step in (self._fates, self._instances, self._workers, self._programs, self._settings):
                step()
            if self.case == before or self.runs >= self._max_runs:
                return self.case

    # ---- what is left out

    def _instances(self) -> None:
        for instance_id in list(self.case.workload):
            if len(self.case.workload) > 1:
                rest = {key: value for key, value in self.case.workload.items() if key != instance_id}
                self._try(replace(self.case, workload=rest), f"without {instance_id}")

    def _workers(self) -> None:
        while self.case.workers > 1:
            workers = self.case.workers - 1
            fates = tuple(fate for fate in self.case.fates if fate.where != "step" or int(fate.who) < workers)
            if not self._try(replace(self.case, workers=workers, fates=fates), f"{workers} workers"):
                return

    def _fates(self) -> None:
        """Leave out half of what befalls the run, then quarters, and so on to single ones."""
        part = max(1, len(self.case.fates) // 2)
        while self.case.fates:
            start = 0
            while start < len(self.case.fates):
                rest = self.case.fates[:start] + self.case.fates[start + part :]
                kinds = Counter(fate.kind for fate in self.case.fates[start : start + part])
                told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
                # What came before goes as it went: no other turns need be tried.
                if not self._try(replace(self.case, fates=rest), f"without {told}", anew=False):
                    start += part
            if part == 1:
                return
            part = max(1, part // 2)

    def _programs(self) -> None:
        for instance_id in list(self.case.workload):
            is_smaller = True
            while is_smaller:
                is_smaller = any(
                    self._try(
                        replace(self.case, workload={**self.case.workload, instance_id: entry}),
                        f"{instance_id} plainer",
                    )
                    for entry in plainer(self.case.workload[instance_id])
                )

    def _settings(self) -> None:
        for name, plain in PLAIN.items():
            if name in self.case.settings and self.case.settings[name] != plain:
                self._try(replace(self.case, settings={**self.case.settings, name: plain}), f"{name}={plain}")

    # ---- trying

    def _try(self, case: Case, what: str, *, anew: bool = True) -> bool:
        """Go on with a case, or if ``anew`` with one like it, if it fails as the first one did."""
        for candidate, fates in self._variants(case) if anew else [(case, Fates(case.fates))]:
            if self.runs >= self._max_runs:
                return False
            self.runs += 1
            run = candidate.simulation(fates)
            failure = failure_of(run)
            happened = tuple(run.fates.happened)
            if failure is not None and kind_of(failure) == self._kind and len(happened) <= len(case.fates):
                self.case = replace(candidate, fates=happened, failure=failure)
                self._tell(f"{what}: {self.case.size[0]} instances, {self.case.workers} workers, {len(happened)} fates")
                return True
        return False

    def _variants(self, case: Case) -> Iterator[tuple[Case, Fates]]:
        yield case, Fates(case.fates)
        if len(case.fates) <= FEW:
            yield from ((case, Fates(fates)) for fates in _earlier(case.fates))
        kinds = {fate.kind for fate in case.fates}
        for number in range(1, DRAWS + 1 if kinds else 2):
            again = replace(case, seed=case.seed + 1_000_003 * number)
            yield again, Fates(kinds=kinds, most=len(case.fates)) if kinds else Fates([])


def _earlier(fates: tuple[Fate, ...]) -> Iterator[list[Fate]]:
    """Yield fates of which one comes earlier, as it does in a run with less to do."""
    for index, fate in enumerate(fates):
        for number in range(1, fate.number, max(1, fate.number // PLACES)):
            yield [*fates[:index], replace(fate, number=number), *fates[index + 1 :]]


def kind_of(failure: str) -> str:
    """Return what a failure has in common with others of its kind: its words, without names and numbers."""
    words = re.findall(r"(?<![\w@'\-.:])[a-z]{2,}(?![\w\-.:'(\[])", failure.split("\n")[0])
    return " ".join(words[:6])


def plainer(entry: Any) -> Iterator[Any]:
    """Yield an instance of the workload with less to do, in several ways."""
    program = getattr(entry, "program", None)
    if getattr(entry, "fate", "plain") != "plain":
        yield replace(entry, fate="plain")
    if program is None:
        return
    if program.generations > 1:
        yield replace(entry, program=replace(program, generations=program.generations - 1))
    for index in range(len(program.statements)):
        rest = [*program.statements[:index], *program.statements[index + 1 :]]
        yield replace(entry, program=replace(program, statements=rest))


def _literal(value: Any) -> str:
    return str(value) if hasattr(value, "name") else repr(value)
