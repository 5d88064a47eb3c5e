"""Looks for the seed at which the simulation sees a mutant."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.simulation.checks import Violation
from tests.simulation.mutants.catalogue import BY_NAME, MUTANTS
from tests.simulation.runs import on_processes
from tests.simulation.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from tests.simulation.mutants.mutant import Mutant

KNOWN = Path(__file__).with_name("known.json")
"""The seed at which each mutant was found last. A workload that changes makes other runs of all seeds; then
``scripts/simulate --mutants --refresh`` writes it anew."""


@dataclass(frozen=True)
class Found:
    """A mutant that was seen."""

    seed: int
    tried: int
    """Seeds that were run, this one included."""
    violation: str


def hunt(mutant: Mutant, seeds: Iterable[int]) -> Found | None:
    """Return where a mutant is seen first: a run fails with it that does not fail without.

    Args:
        mutant: which one.
        seeds: what to try, in order.

    Raises:
        Exception: the mutated code does not run: the mutant is no mistake that somebody could make unseen.
    """
    for tried, seed in enumerate(seeds, start=1):
        with mutant.applied():
            violation = _violation_of(mutant, seed)
        if violation is not None and _violation_of(mutant, seed) is None:
            return Found(seed, tried, violation)
    return None


def _violation_of(mutant: Mutant, seed: int) -> str | None:
    try:
        fates = None if mutant.schedule is None else mutant.schedule(seed)
        simulate(seed, faults=mutant.faults, workload=mutant.workload, fates=fates, **mutant.settings)
    except Violation as violation:
        return str(violation).split("\n")[0]
    return None


def known_seeds() -> Mapping[str, int]:
    """Return the seed at which each mutant was found last."""
    seeds: dict[str, int] = json.loads(KNOWN.read_text())
    return seeds


def run_catalogue(*, jobs: int, refresh: bool, only: str | None) -> int:
    """Look for all mutants from seed 0 on; print a table of what was found.

    Args:
        jobs: processes.
        refresh: whether to write down the seeds at which they were found.
        only: one mutant.

    Returns:
        0 if all were found within the seeds that they state.
    """
    names = [only] if only else [mutant.name for mutant in MUTANTS]
    known = dict(known_seeds())
    missed = []
    for name, found, seconds in on_processes(_hunt_one, [(name,) for name in names], jobs=jobs):
        if isinstance(found, Found):
            known[name] = found.seed
            print(f"{name:48} seed {found.seed:4}  {seconds:5.0f} s  {shortened(found.violation)}", flush=True)
        else:
            missed.append(name)
            print(f"{name:48} {found or f'not found within {BY_NAME[name].seeds} seeds'}", flush=True)
    if refresh:
        ordered = {mutant.name: known[mutant.name] for mutant in MUTANTS if mutant.name in known}
        KNOWN.write_text(json.dumps(ordered, indent=2) + "\n")
    print(
        f"{len(names) - len(missed)} of {len(names)} mutants found" + (f"; not: {', '.join(missed)}" if missed else "")
    )
    return 1 if missed else 0


def _hunt_one(name: str) -> tuple[str, Found | str | None, float]:
    began = time.monotonic()
    mutant = BY_NAME[name]
    try:
        found: Found | str | None = hunt(mutant, range(mutant.seeds))
    except Exception as error:  # told in the table
        found = f"does not run: {type(error).__name__}: {error}"
    return name, found, time.monotonic() - began


def shortened(text: str) -> str:
    """Return the beginning of a text."""
    return text if len(text) <= 90 else f"{text[:89]}…"
