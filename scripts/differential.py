"""Runs the comparison with the official package for a while. Called by ``scripts/differential``."""

from __future__ import annotations

import argparse
import json
import logging
import random
import sys
import time
from collections import Counter
from pathlib import Path

from tests.support.differential import Comparison, Finding, entities, explore, golden_case, orchestrations
from tests.support.reference import Reference

KINDS = {"orchestrations": (orchestrations(),), "entities": (entities(),), "both": None}


def main() -> int:
    """Compare, report, and return the status."""
    arguments = parse(sys.argv[1:])
    logging.disable(logging.CRITICAL)  # both packages log mismatches of types; the answers are what is compared
    seed = arguments.seed if arguments.seed is not None else random.randrange(2**31)
    print(f"seed {seed}", flush=True)
    found = 0
    began = time.monotonic()
    with Reference() as reference:
        comparison = Comparison(reference)
        kinds = KINDS[arguments.only]
        for finding in explore(comparison, seed=seed, seconds=arguments.seconds, kinds=kinds):
            found += 1
            report(finding, f"found_{seed}_{found}", arguments.into)
    summarise(comparison, found, time.monotonic() - began)
    return 1 if found else 0


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/differential", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30, help="how long to go on")
    parser.add_argument("--seed", type=int, help="of all that is random; another one each time by default")
    parser.add_argument("--only", choices=KINDS, default="both", help="what to write")
    parser.add_argument("--into", type=Path, help="folder to write cases to")
    return parser.parse_args(arguments)


def report(finding: Finding, name: str, into: Path | None) -> None:
    """Print a finding as a case, with our answer beside it, and write it if there is somewhere to."""
    files = golden_case(finding, name)
    print(f"\n=== {name}: a new difference" + (" (in strict mode)" if finding.example.strict else ""))
    for file, text in files.items():
        print(f"--- {file}\n{text}", end="")
    print(f"--- our answer\n{json.dumps(finding.ours, indent=2)}", flush=True)
    if into is not None:
        folder = into / name
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")


def summarise(comparison: Comparison, found: int, seconds: float) -> None:
    """Print the figures."""
    cases = comparison.cases
    print(f"\n{cases} cases in {seconds:.0f} s ({cases / seconds:.0f} a second)")
    print(f"{comparison.agreed:8} agree, warnings of events that come early apart")
    print(f"{comparison.explained.total():8} differ as they should:")
    by_mend: Counter[str] = Counter()
    for names, count in comparison.explained.items():
        by_mend.update(dict.fromkeys(names, count))
    for name, count in by_mend.most_common():
        print(f"{count:16} {name}")
    print(f"{found:8} new differences")


if __name__ == "__main__":
    sys.exit(main())
