"""Every trigger that the real extension handed to a function, against the answer of the official SDK.

The recordings, and how to read them, are in ``tests/golden/extension``; ``check.py`` there does the same by hand.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from tests.support.modules import load_module

GOLDEN = Path(__file__).parents[2] / "golden" / "extension"

EVENTS = "each event is consumed once, first come first served, ignoring case (Q17 to Q19)"
INPUT = "an input that the HTTP API stored as it came, not as JSON text, is the input (Q6)"
MENDED = {
    "entity_counter:2": "an operation does not repeat the result of the one before (Q26)",
    "event_other_case:2": EVENTS,
    "event_other_case:3": EVENTS,
    "external_event:4": EVENTS,
    "external_event:5": EVENTS,
    "external_event:9": EVENTS,
    "http_start:32": INPUT,
    "http_start:33": INPUT,
    "overridable_any_state:4": INPUT,
}


check = load_module(GOLDEN / "check.py", "golden_extension_check")


def handles(scenario: Any) -> dict[tuple[str, str], Any]:
    """Return what the worker would call, but for functions whose answers were written by hand."""
    raw = {*getattr(scenario, "RAW", {}), *getattr(scenario, "RAW_ENTITIES", {})}
    made = {
        ("orchestrator", name): df.Orchestrator.create(f) for name, f in getattr(scenario, "ORCHESTRATORS", {}).items()
    }
    made |= {("entity", name): df.Entity.create(f) for name, f in getattr(scenario, "ENTITIES", {}).items()}
    return {key: handle for key, handle in made.items() if key[1] not in raw}


def recorded() -> Iterator[tuple[str, Any, dict[str, Any]]]:
    for folder in sorted(path.parent for path in GOLDEN.glob("*/triggers.jsonl")):
        known = handles(check.load(folder))
        for line in (folder / "triggers.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            handle = known.get((row.get("kind"), row.get("name")))
            if handle is not None and "«" not in line:  # long fillers are masked
                yield f"{folder.name}:{row['n']}", handle, row


CASES = {name: (handle, row) for name, handle, row in recorded()}


def answers(name: str) -> tuple[Any, Any]:
    """Return our answer and the recorded one."""
    handle, row = CASES[name]
    if "answer" in row:
        return check.run(handle, row["trigger"]), {"state": check.state(row["answer"])}
    return check.run(handle, row["trigger"]), {"error": check.split(row["error"]["message"])}


def test_all_recorded_triggers_are_tried():
    assert len(CASES) == 340
    assert MENDED.keys() < CASES.keys()


@pytest.mark.parametrize("name", sorted(CASES.keys() - MENDED.keys()))
def test_answer_is_the_official_one(name):
    ours, official = answers(name)

    assert ours == official


@pytest.mark.parametrize("name", sorted(MENDED))
def test_listed_difference_is_one(name):
    ours, official = answers(name)

    assert ours != official, f"{name} agrees with the official answer: take it off the list"
