"""The parts of ``docs/design/simulation.md`` that are made from code."""

from __future__ import annotations

import re
from pathlib import Path

from tests.simulation.mutants.catalogue import MUTANTS, UNSHOWN
from tests.simulation.unreached import UNREACHED

PAGE = Path(__file__).parents[2] / "docs/design/simulation.md"


def page_with_tables(text: str) -> str:
    """Return the page with its tables as the code has them."""
    mutants = [("mutant", "what it breaks", "see", "found within")]
    mutants += [(f"`{each.name}`", each.breaks, each.hazard, f"{each.seeds} seeds") for each in MUTANTS]
    unreached = [("where", "why"), *((f"`{name}`", why) for name, why in UNREACHED.items())]
    unshown = [("mutant", "why it is not shown"), *((f"`{name}`", why) for name, why in UNSHOWN.items())]
    for name, rows in (("mutants", mutants), ("unshown", unshown), ("unreached", unreached)):
        text = _with(text, name, rows)
    return text


def _with(text: str, name: str, rows: list[tuple[str, ...]]) -> str:
    """Put a table between its marks."""
    head, *rest = (f"| {' | '.join(row)} |" for row in rows)
    table = "\n".join([head, "|" + "---|" * len(rows[0]), *rest])
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    changed, count = re.subn(f"{begin}.*?{end}", lambda _: f"{begin}\n{table}\n{end}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"{PAGE.name} has no place for {name}")
    return changed
