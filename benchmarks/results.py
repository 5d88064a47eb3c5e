"""Runs all benchmarks, keeps their figures, and writes docs/benchmarks.md anew.

Usage: ``python -m benchmarks.results [--quick] [--note TEXT] [--only NAME ...]``, best on a machine that does nothing
else: a whole run takes about ten minutes. The figures go to ``benchmarks/results/DATE.json`` (``DATE-quick.json``): one
object with the machine, the load before, and for each benchmark its command, how long it took, and its last line. A
benchmark that fails is said to have failed there, and the command fails at its end.

``--only`` takes some of the names that ``--list`` shows, and puts them into the run of the day, which stays what it is
in all else.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from benchmarks.report import machine

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results"
TIMEOUT_SECONDS = 900
BUSY_SHARE = 0.3
"""Of the cores: a load above it is noted."""


@dataclass(frozen=True, slots=True)
class Run:
    """One command.

    Args:
        name: of its figures.
        module: to run.
        options: in every run.
        quick: besides, in a quick run.
        whole: besides, in a whole run.
    """

    name: str
    module: str
    options: tuple[str, ...] = ()
    quick: tuple[str, ...] = ("--quick",)
    whole: tuple[str, ...] = ()

    def command(self, *, is_quick: bool) -> list[str]:
        """Return the words after ``python``."""
        return ["-m", f"benchmarks.{self.module}", *self.options, *(self.quick if is_quick else self.whole)]


RUNS = (
    Run("azurite", "azurite"),
    Run("client", "client"),
    Run("calls", "calls", quick=()),
    Run("end_to_end-azurite", "end_to_end", ("--storage", "azurite")),
    Run("end_to_end-embedded", "end_to_end", ("--storage", "embedded")),
    Run("scale-azurite", "scale", ("--storage", "azurite")),
    Run("scale-embedded", "scale", ("--storage", "embedded")),
    Run("memory", "memory", whole=("--instances", "50000")),  # twice as many take four minutes more
    Run("long_history", "long_history"),
    Run("replay", "replay"),
    Run("http_front", "http_front", whole=("--quick",)),
    Run("imports", "imports", quick=("--rounds", "3"), whole=("--rounds", "5")),
)


def run_all(runs: list[Run], *, is_quick: bool) -> dict[str, dict[str, Any]]:
    """Run benchmarks one after the other; return what came of each, by name."""
    found = {}
    for run in runs:
        print(f"\n==== {run.name}: python {' '.join(run.command(is_quick=is_quick))}\n", flush=True)
        began = time.monotonic()
        last, failure = _last_line(run.command(is_quick=is_quick))
        took = round(time.monotonic() - began, 1)
        about = last.pop("about", {})
        found[run.name] = {
            "command": f"python {' '.join(run.command(is_quick=is_quick))}",
            "seconds": took,
            "load": about.get("load"),
            "figures": last,
            "units": about.get("units", {}),
            "goals": about.get("goals", {}),
            "notes": about.get("notes", []),
            **({"failed": failure} if failure else {}),
        }
        print(f"({run.name} took {took} s)", flush=True)
    return found


def _last_line(command: list[str]) -> tuple[dict[str, Any], str]:
    """Run a benchmark, showing what it says; return its last line, and why there is none."""
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    last, ends = "", time.monotonic() + TIMEOUT_SECONDS
    with process:
        for line in process.stdout:
            last = line.strip() or last
            if not line.startswith("{"):
                print(line, end="", flush=True)
            if time.monotonic() > ends:
                process.kill()
    if process.returncode:
        return {}, f"it ended with {process.returncode}, after: {last[:200]}"
    try:
        figures: dict[str, Any] = json.loads(last)
    except ValueError:
        return {}, f"its last line is no JSON: {last[:200]}"
    return figures, ""


def written(runs: list[Run], note: str, *, is_quick: bool) -> Path:
    """Run benchmarks and write their figures; return where they are."""
    now = datetime.now(timezone.utc)
    path = RESULTS / f"{now:%Y-%m-%d}{'-quick' if is_quick else ''}.json"
    about = machine()
    before = json.loads(path.read_text()) if path.exists() and len(runs) < len(RUNS) else {"benchmarks": {}}
    benchmarks = {**before["benchmarks"], **run_all(runs, is_quick=is_quick)}
    result = {
        "taken": f"{now:%Y-%m-%dT%H:%M:%SZ}",
        "commit": _commit(),
        "quick": is_quick,
        "note": note or before.get("note") or _busy(about),
        "machine": about,
        **{key: before[key] for key in ("taken", "commit", "machine") if key in before},
        "benchmarks": {run.name: benchmarks[run.name] for run in RUNS if run.name in benchmarks},
    }
    path.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    minutes = sum(each["seconds"] for each in benchmarks.values()) / 60
    print(f"\nwritten: {os.path.relpath(path)}; {minutes:.1f} minutes")
    return path


def _busy(about: dict[str, Any]) -> str:
    """Return what is to be noted of a machine that did something else when the run began."""
    if about["load"] <= about["cores"] * BUSY_SHARE:
        return ""
    note = f"under load: {about['load']} before the run, on {about['cores']} cores; times and CPU say little"
    print(note)
    return note


def _commit() -> str:
    asked = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(asked, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    return done.stdout.strip() or "unknown"


def main() -> None:
    """Parse the command line, run, write."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results")
    parser.add_argument("--quick", action="store_true", help="smaller loads, for a first look")
    parser.add_argument("--note", default="", help="what else is to be known of the run")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=[run.name for run in RUNS])
    parser.add_argument("--list", action="store_true", help="show names and commands, and run nothing")
    arguments = parser.parse_args()
    if arguments.list:
        for run in RUNS:
            print(f"{run.name:20} python {' '.join(run.command(is_quick=arguments.quick))}")
        return
    runs = [run for run in RUNS if not arguments.only or run.name in arguments.only]
    path = written(runs, arguments.note, is_quick=arguments.quick)
    failed = [name for name, each in json.loads(path.read_text())["benchmarks"].items() if "failed" in each]
    drawn = subprocess.run([sys.executable, "-m", "benchmarks.plots"], cwd=ROOT, check=False).returncode
    if failed or drawn:
        sys.exit(f"failed: {', '.join([*failed, *(['plots'] if drawn else [])])}")


if __name__ == "__main__":
    main()
