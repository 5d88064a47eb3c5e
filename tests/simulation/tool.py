"""Simulates whole hubs in virtual time, one run for each seed, and checks that nothing is lost, wrong or done twice.

    scripts/simulate --seeds 1000 --faults heavy --jobs 2   many runs; the last line is one JSON object
    scripts/simulate --seeds 1000 --shortcuts off           every hub without shortcuts, or with all (on)
    scripts/simulate --seed 62 --trace                      one run, told as a story in virtual time
    scripts/simulate --seed 62 --shrink                     the smallest run that fails in the same way, as a test
    scripts/simulate --coverage --seeds 200                 lines of runtime and core that no run reached
    scripts/simulate --mutants                              looks for each known mistake from seed 0, and prints a table

See docs/design/simulation.md.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
import traceback
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.simulation import page, reached
from tests.simulation.mutants import hunt
from tests.simulation.mutants.catalogue import BY_NAME
from tests.simulation.profiles import PROFILES
from tests.simulation.runs import be_quiet, run_seeds
from tests.simulation.settings import SHORTCUTS, SHORTCUTS_ON
from tests.simulation.shrink import Shrinker, failing_case
from tests.simulation.simulate import KINDS
from tests.simulation.story import tell_run

if TYPE_CHECKING:
    from collections.abc import Sequence

ENOUGH_SEEDS = 200
"""Over so many runs, everything that may befall one does."""

TELL_SECONDS = 10.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit status."""
    options = _parser().parse_args(arguments)
    if options.refresh:
        page.PAGE.write_text(page.page_with_tables(page.PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    if options.mutants:
        return hunt.run_catalogue(jobs=options.jobs, refresh=options.refresh, only=options.mutant)
    seeds = range(options.start, options.start + options.seeds)
    of_runs = {"faults": options.faults, "workers": options.workers, "shortcuts": options.shortcuts}
    with BY_NAME[options.mutant].applied() if options.mutant else contextlib.nullcontext():
        if options.coverage:
            return reached.report(seeds, jobs=options.jobs, options=of_runs)
        if options.trace:
            return trace(options.start, of_runs)
        if options.shrink:
            return shrink(options.start, of_runs)
        return run_many(seeds, jobs=options.jobs, options=of_runs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="scripts/simulate", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=100, metavar="N", help="how many runs; 100 by default")
    parser.add_argument("--start", "--seed", type=int, default=0, metavar="S", help="the first seed, or the only one")
    parser.add_argument("--workers", type=int, metavar="W", help="workers of each hub; drawn by default")
    parser.add_argument("--faults", choices=list(PROFILES), default="default", help="how much befalls a run")
    parser.add_argument(
        "--shortcuts", choices=list(SHORTCUTS_ON), default="drawn", help=f"of each hub: {', '.join(SHORTCUTS)}"
    )
    parser.add_argument("--jobs", type=int, default=1, metavar="J", help="processes; 1 by default")
    parser.add_argument("--trace", action="store_true", help="tell the run of --seed as a story")
    parser.add_argument("--shrink", action="store_true", help="make the failing run of --seed smaller")
    parser.add_argument("--coverage", action="store_true", help="tell which lines no run reached")
    parser.add_argument("--mutants", action="store_true", help="look for all known mistakes")
    parser.add_argument(
        "--refresh",
        action="store_true",
        help="write the tables of the docs anew, and with --mutants where they were found",
    )
    parser.add_argument("--mutant", choices=sorted(BY_NAME), metavar="NAME", help="make a known mistake meanwhile")
    return parser


# ---- many runs


def run_many(seeds: Sequence[int], *, jobs: int, options: dict[str, Any]) -> int:
    """Run seeds; tell how it goes, what failed, and at last everything as one JSON object."""
    be_quiet()
    began = told = time.monotonic()
    injected: Counter[str] = Counter(dict.fromkeys(KINDS, 0))
    failed: list[int] = []
    steps = 0
    for done, run in enumerate(run_seeds(seeds, jobs=jobs, options=options), start=1):
        injected.update(run.injected)
        steps += run.steps
        if run.failure is not None:
            failed.append(run.seed)
            print(run.failure, end="")
            print(f"seed {run.seed} failed; see it with: scripts/simulate --seed {run.seed}{_more(options)} --trace")
        if time.monotonic() - told >= TELL_SECONDS:
            told = time.monotonic()
            pace = done / (told - began) * 60
            print(f"{done} of {len(seeds)} seeds, {pace:.0f} a minute, {len(failed)} failed", flush=True)
    never = [kind for kind, count in injected.items() if not count] if len(seeds) >= ENOUGH_SEEDS else []
    if never:
        print(f"never happened in {len(seeds)} runs, which is a failure of the simulation: {', '.join(never)}")
    seconds = time.monotonic() - began
    result = {
        "seeds": len(seeds),
        "failed": sorted(failed),
        "seconds": round(seconds, 1),
        "seeds_per_minute": round(len(seeds) / seconds * 60) if seconds else 0,
        "steps": steps,
        "injected": dict(sorted(injected.items())),
    }
    print(json.dumps(result))
    return 1 if failed or never else 0


def _more(options: dict[str, Any]) -> str:
    usual = {"faults": "default", "workers": None, "shortcuts": "drawn"}
    return "".join(f" --{name} {value}" for name, value in options.items() if value != usual[name])


# ---- one run


def trace(seed: int, options: dict[str, Any]) -> int:
    """Tell the run of a seed."""
    try:
        report = tell_run(seed, print, **options)
    except Exception:  # whatever a run ends with is told
        traceback.print_exc(file=sys.stdout)
        return 1
    print(f"{report.seconds:.1f} s of virtual time, {report.steps} steps, {report.activity_runs} runs of activities")
    return 0


def shrink(seed: int, options: dict[str, Any]) -> int:
    """Make the run of a seed smaller, and print the test that it comes to."""
    be_quiet()
    case = failing_case(seed, **options)
    if case is None:
        print(f"seed {seed} does not fail; there is nothing to shrink")
        return 1
    print(f"{case.failure}\n{case.size[0]} instances, {case.workers} workers, {len(case.fates)} fates")
    shrinker = Shrinker(case, tell=lambda line: print(line, flush=True))
    smallest = shrinker.shrink()
    print(f"\nthe smallest after {shrinker.runs} runs; put it into a test of tests/simulation:\n")
    print(smallest.as_test())
    return 0
