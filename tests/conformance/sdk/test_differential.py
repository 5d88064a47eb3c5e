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
from typing import TYPE_CHECKING

import pytest

from tests.support.answers import STRICT
from tests.support.contexts import context_text
from tests.support.differential import Comparison, Example, Finding, Trigger, explore, golden_case
from tests.support.mends.all import MENDS
from tests.support.reference import PYTHON, Reference, environment

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
    environment()
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


def test_a_deliberate_difference_is_known_by_name(reference: Reference) -> None:
    comparison = Comparison(reference)
    trigger = Trigger(json.loads(context_text()), is_damaged=False)

    findings = comparison.check(Example([("yield", ("all", []))], (trigger,)))

    assert findings == []
    assert comparison.explained == {("`task_all([])`",): 1}


def test_every_mend_is_told_of() -> None:
    document = (ROOT / "docs" / "reference" / "differences.md").read_text(encoding="utf-8")
    topics = {line.split(" | ")[0].removeprefix("| ") for line in document.splitlines() if line.startswith("| ")}

    assert {mend.name for mend in MENDS} <= topics
