"""With every deliberate difference taken back, this package answers as the official one, quirks and all.

That is what the differential comparison rests on, so it is held against the recordings of the official package too.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import azure.durable_functions as df
import pytest

from tests.support.mends.all import MENDS, Mend, taken_back
from tests.support.modules import load_module

GOLDEN = Path(__file__).parents[2] / "golden"


outofproc = load_module(GOLDEN / "outofproc" / "check.py", "golden_outofproc_check_for_mends")
extension = load_module(GOLDEN / "extension" / "check.py", "golden_extension_check_for_mends")

CASES = sorted(path.parent for path in (GOLDEN / "outofproc").glob("*/context.json"))

MENDED_TRIGGERS = {
    "entity_counter": [2],
    "event_other_case": [2, 3],
    "external_event": [4, 5, 9],
    "http_start": [32, 33],
    "overridable_any_state": [4],
}
"""Recorded triggers that this package answers otherwise; ``test_extension_triggers.py`` says why."""


@pytest.fixture
def as_official() -> Iterator[None]:
    with taken_back(MENDS):
        yield


@pytest.mark.usefixtures("as_official")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_worked_pairs_are_answered_as_recorded(case: Path) -> None:
    state, raised = outofproc.run(case)

    assert state == outofproc.read(case / "state.json")
    assert raised == outofproc.read(case / "raised.json")


@pytest.mark.usefixtures("as_official")
@pytest.mark.parametrize(
    ("folder", "number"), [(folder, number) for folder, numbers in MENDED_TRIGGERS.items() for number in numbers]
)
def test_recorded_triggers_are_answered_as_recorded(folder: str, number: int) -> None:
    scenario = extension.load(GOLDEN / "extension" / folder)
    lines = (GOLDEN / "extension" / folder / "triggers.jsonl").read_text(encoding="utf-8").splitlines()
    row = next(row for row in map(json.loads, lines) if row["n"] == number)
    make, functions = (
        (df.Entity.create, scenario.ENTITIES)
        if row["kind"] == "entity"
        else (df.Orchestrator.create, scenario.ORCHESTRATORS)
    )

    answer = extension.run(make(functions[row["name"]]), row["trigger"])

    if "answer" in row:
        assert answer == {"state": extension.state(row["answer"])}
    else:
        assert answer == {"error": extension.split(row["error"]["message"])}


@pytest.mark.parametrize("mend", MENDS, ids=lambda mend: mend.name)
def test_nothing_stays_taken_back(mend: Mend) -> None:
    owner, name, substitute = mend.take_back[0]

    with taken_back([mend]):
        within = written(owner, name)
    after = written(owner, name)

    assert within is substitute
    assert after is not substitute


def written(owner: Any, name: Any) -> Any:
    return owner.get(name) if isinstance(owner, dict) else vars(owner).get(name, getattr(owner, name))
