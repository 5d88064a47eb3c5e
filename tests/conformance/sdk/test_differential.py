"""Random orchestrations, entities and histories: this package against the official one, which runs beside it.

A short run of ``scripts/differential``. What it finds goes to ``cases`` once it is mended here, or becomes a mend
(``tests/support/mends``) with a line in ``docs/reference/differences.md``.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.answers import STRICT
from tests.support.differential import Comparison, Example, Finding, Trigger, explore, golden_case
from tests.support.mends.all import MENDS
from tests.support.reference import PYTHON, Reference

if TYPE_CHECKING:
    from collections.abc import Iterator

SEED = 20_240_305
EXAMPLES = 150

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Leave the mode of the process as it is, and keep what is logged of random programs out of the report."""
    monkeypatch.setenv(STRICT, "0")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    if not PYTHON.exists():
        pytest.skip("needs the official package: scripts/reference-env puts it into .venv-reference")
    ours = importlib.metadata.version("azure-functions")
    code = (
        "import importlib.metadata as m, sys; print(sys.version_info[:2] == {}, m.version('azure-functions') == {!r})"
    )
    told = subprocess.check_output([PYTHON, "-c", code.format(sys.version_info[:2], ours)], text=True).split()
    if told != ["True", "True"]:
        pytest.skip("the official package is beside another Python or azure-functions, whose texts differ")
    with Reference() as running:
        yield running


def told(findings: list[Finding]) -> str:
    return "\n".join(
        f"--- {file}\n{text}"
        for finding in findings
        for file, text in {**golden_case(finding, "found"), "ours": json.dumps(finding.ours, indent=2)}.items()
    )


def test_no_difference_is_new(reference: Reference) -> None:
    comparison = Comparison(reference)

    findings = list(explore(comparison, seed=SEED, examples=EXAMPLES))

    assert not findings, told(findings)
    assert comparison.cases > 3 * EXAMPLES
    assert comparison.agreed > comparison.cases // 4  # else the mends would hide what is to be compared


def context(*events: dict[str, Any]) -> dict[str, Any]:
    start = [event(12), event(0, Name="Flow", Version=None, Input=None)]
    return {
        "history": [*start, *events],
        "input": None,
        "instanceId": "i-1",
        "isReplaying": False,
        "parentInstanceId": None,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": 2,
    }


def event(kind: int, event_id: int = -1, **properties: Any) -> dict[str, Any]:
    return {
        "EventType": kind,
        **properties,
        "EventId": event_id,
        "IsPlayed": False,
        "Timestamp": "2024-03-05T10:00:00Z",
    }


def test_a_deliberate_difference_is_known_by_name(reference: Reference) -> None:
    comparison = Comparison(reference)
    program = [("yield", ("all", []))]

    findings = comparison.check(Example(program, (Trigger(context(), is_damaged=False),)))

    assert findings == []
    assert comparison.explained == {("task_all([]) gives [] (Q10)",): 1}


def test_any_other_difference_is_found_and_reduced_to_a_case(
    reference: Reference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "azure.durable_functions._replay.actions.CallActivityAction.action_type", property(lambda self: 77)
    )
    monkeypatch.setattr(
        "azure.durable_functions._replay.actions.CallActivityAction.to_json",
        lambda self: {"actionType": 77, "functionName": self.function_name, "input": self.input_},
    )
    comparison = Comparison(reference)
    program = [
        ("ids",),
        ("try", ("event", "go")),
        ("repeat", 2, [("status", 1), ("yield", ("all", [("timer", 5), ("activity", "A", {"k": [1]})]))]),
    ]
    history = [event(15, Name="go", Input="1"), event(15, Name="other", Input="1"), event(13)]

    [found] = comparison.check(Example(program, (Trigger(context(*history), is_damaged=False),)))
    smallest = comparison.reduce(found)
    files = golden_case(smallest, "broken")

    assert smallest.example.program == [["yield", ("activity", "A", None)]] or len(str(smallest.example.program)) < 50
    assert files["orchestrator.py"].count("context.") == 1
    assert '"functionName": "A"' in files["state.json"]
    assert len(smallest.example.triggers[0].content["history"]) == 2


def test_every_mend_is_told_of() -> None:
    document = (ROOT / "docs" / "reference" / "differences.md").read_text(encoding="utf-8")

    missing = [mend.name for mend in MENDS if mend.name not in document]

    assert not missing
