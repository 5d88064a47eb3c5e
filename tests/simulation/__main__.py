"""Simulates a hub: ``python -m tests.simulation [--seed N] [--seeds N] [--trace]``."""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback

from tests.simulation.simulate import Report, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--trace", action="store_true", help="tell the run as a story")
    options = parser.parse_args()
    if options.trace:
        logging.basicConfig(level=logging.DEBUG, format="%(message)s", stream=sys.stdout)
    failed = []
    kills = 0
    began = time.perf_counter()
    for seed in range(options.seed, options.seed + options.seeds):
        report = try_seed(seed, trace=options.trace)
        if report is None:
            failed.append(seed)
        else:
            kills += report.kills
            if options.seeds == 1:
                print(
                    f"{report.seconds:.1f} s of virtual time, {report.steps} steps, {report.activity_runs} activities"
                )
    print(f"{options.seeds} seeds in {time.perf_counter() - began:.1f} s, {kills} kills, failed: {failed}")
    return 1 if failed else 0


def try_seed(seed: int, *, trace: bool) -> Report | None:
    """Run one seed; print what went wrong, and how to see it again."""
    try:
        return simulate(seed, tell=print if trace else lambda _: None)
    except Exception:
        print(f"seed {seed} failed; replay it with: python -m tests.simulation --seed {seed} --trace")
        traceback.print_exc()
        return None


sys.exit(main())
