"""Runs many seeds, on several processes."""

from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing
import traceback
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.simulation.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

SEEDS_PER_TASK = 4
"""Few, so that the end is told soon and no process waits for another one for long."""


@dataclass(frozen=True)
class Run:
    """What came of one seed."""

    seed: int
    injected: Counter[str] = field(default_factory=Counter)
    """How often each thing befell it; empty for a run that failed."""
    steps: int = 0
    failure: str | None = None
    """Why it failed, with the traceback."""


def run_seed(seed: int, options: dict[str, Any]) -> Run:
    """Run one seed.

    Args:
        seed: which one.
        options: of :func:`~tests.simulation.simulate.simulate`.
    """
    try:
        report = simulate(seed, **options)
    except Exception:  # whatever a run ends with, the others go on
        return Run(seed, failure=traceback.format_exc())
    return Run(seed, report.injected, report.steps)


def run_seeds(seeds: Sequence[int], *, jobs: int, options: dict[str, Any]) -> Iterator[Run]:
    """Yield what came of seeds, each as soon as it is known.

    Args:
        seeds: which ones.
        jobs: processes; 1 runs them in this one.
        options: of :func:`~tests.simulation.simulate.simulate`.
    """
    if jobs == 1:
        yield from (run_seed(seed, options) for seed in seeds)
        return
    parts = [seeds[start : start + SEEDS_PER_TASK] for start in range(0, len(seeds), SEEDS_PER_TASK)]
    for runs in on_processes(_run_part, [(part, options) for part in parts], jobs=jobs):
        yield from runs


def on_processes(function: Callable[..., Any], calls: Iterable[Sequence[Any]], *, jobs: int) -> Iterator[Any]:
    """Yield the results of calls that are made on several processes, each as soon as it is known."""
    context = multiprocessing.get_context("fork")
    with concurrent.futures.ProcessPoolExecutor(jobs, mp_context=context, initializer=be_quiet) as pool:
        futures = [pool.submit(function, *arguments) for arguments in calls]
        try:
            for future in concurrent.futures.as_completed(futures):
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def be_quiet() -> None:
    """Leave out what workers log; a trace tells it."""
    logging.disable(logging.CRITICAL)


def _run_part(seeds: Sequence[int], options: dict[str, Any]) -> list[Run]:
    return [run_seed(seed, options) for seed in seeds]
