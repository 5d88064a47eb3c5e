"""How a benchmark shows its figures: in words, as a table, and as one line of JSON that programs read."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
import statistics
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PERCENTILES = {"p50": 50, "p95": 95, "p99": 99}
_PACKAGES = ("durable-taskhub", "aiohttp", "azure-storage-queue", "azure-storage-blob", "azure-data-tables")
_NODE_PACKAGES = Path(__file__).parents[1] / "tests/support/node/package-lock.json"

_notes: list[str] = []


@dataclass
class Report:
    """Figures of one benchmark, printed as they come.

    Args:
        question: what is measured, and how, in words.
    """

    question: str
    figures: dict[str, float | None] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)
    goals: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._machine = machine()
        print(self.question.strip())
        print(f"\n{in_words(self._machine)}\n")
        print(f"{'figure':44} {'value':>12}  {'unit':6} goal")

    def add(self, name: str, value: float | None, unit: str, goal: str = "") -> None:
        """Show a figure and keep it; ``None`` for one that could not be measured here."""
        self._keep(name, value, unit, goal)
        shown = "-" if value is None else f"{value:,.2f}"
        print(f"{name:44} {shown:>12}  {unit:6} {goal}", flush=True)

    def add_spread(self, name: str, values: Sequence[float], unit: str, goals: Mapping[str, str] | None = None) -> None:
        """Show many values of one thing: their percentiles and the worst, kept as ``NAME_p50`` … ``NAME_max``.

        Args:
            name: of the thing.
            values: at least one.
            unit: of the values.
            goals: by suffix, say ``{"p50": "<= 15"}``.
        """
        goals = goals or {}
        found = spread(values)
        for suffix, value in found.items():
            self._keep(f"{name}_{suffix}", value, unit, goals.get(suffix, ""))
        others = "  ".join(f"{suffix} {value:,.2f}" for suffix, value in found.items() if suffix != "p50")
        wanted = ", ".join(f"{suffix} {goal}" for suffix, goal in goals.items())
        print(f"{name:44} {found['p50']:>12,.2f}  {unit:6} {wanted}{' ' if wanted else ''}({others})", flush=True)

    def close(self) -> None:
        """Print the line for programs: the figures by name, and ``about`` with all that tells what they are."""
        about = {**self._machine, "units": self.units, "goals": self.goals, "notes": _notes}
        print()
        print(json.dumps({**self.figures, "about": about}))

    def _keep(self, name: str, value: float | None, unit: str, goal: str) -> None:
        self.figures[name] = None if value is None else float(f"{value:.4g}")
        self.units[name] = unit
        if goal:
            self.goals[name] = goal


def note(text: str) -> None:
    """Say what is to be known of figures of this process; it is kept in the last line."""
    _notes.append(text)
    print(f"    ({text})", flush=True)


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return percentiles of some values, and the largest of them as ``max``."""
    if len(values) < 2:
        return {**dict.fromkeys(PERCENTILES, values[0]), "max": values[0]}
    hundredths = statistics.quantiles(values, n=100, method="inclusive")
    return {**{name: hundredths[share - 1] for name, share in PERCENTILES.items()}, "max": max(values)}


def machine() -> dict[str, Any]:
    """Return where this runs: processor, cores, memory, load, and the versions of what is measured."""
    return {
        "processor": _first_line("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(int(_first_line("/proc/meminfo", "MemTotal").split()[0] or 0) / 1e6, 1),
        "system": platform.platform(terse=True),
        "load": round(os.getloadavg()[0], 2),
        "versions": {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, **_versions()},
    }


def in_words(about: Mapping[str, Any]) -> str:
    """Return a machine as two lines for people."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"{about['processor']}, {about['cores']} cores, {about['memory_gb']} GB, {about['system']}; "
        f"load before: {about['load']}\n{versions}"
    )


def _first_line(path: str, name: str) -> str:
    """Return what a file of the kernel says of something; ``0`` where there is no such file."""
    if not Path(path).exists():
        return "0"
    lines = Path(path).read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "0")


def _versions() -> dict[str, str]:
    installed = {each.metadata["Name"].lower(): each.version for each in metadata.distributions()}
    azurite = json.loads(_NODE_PACKAGES.read_text())["packages"]["node_modules/azurite"]
    return {**{name: installed[name] for name in _PACKAGES if name in installed}, "azurite": azurite["version"]}
