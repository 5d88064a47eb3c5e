"""How a benchmark shows its figures: in words, as a table, and as one line of JSON that programs read."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass, field


@dataclass
class Report:
    """Figures of one benchmark, printed as they come.

    Args:
        question: what is measured, and how, in words.
    """

    question: str
    figures: dict[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        print(self.question.strip())
        print(f"\nPython {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores\n")
        print(f"{'figure':44} {'value':>12}  {'unit':6} goal")

    def add(self, name: str, value: float | None, unit: str, goal: str = "") -> None:
        """Show a figure and keep it; ``None`` for one that could not be measured here."""
        self.figures[name] = None if value is None else float(f"{value:.4g}")
        shown = "-" if value is None else f"{value:,.2f}"
        print(f"{name:44} {shown:>12}  {unit:6} {goal}", flush=True)

    def close(self) -> None:
        """Print the line for programs."""
        print()
        print(json.dumps(self.figures))
