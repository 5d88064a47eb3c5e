"""Cases in which this package once answered otherwise than the official one; ``scripts/differential`` found them.

They are in ``cases``, in the form of ``tests/golden/outofproc`` and recorded from the official package as those are.
"""

from pathlib import Path

import pytest

from tests.support.modules import load_module

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in (HERE / "cases").glob("*/context.json"))


check = load_module(HERE.parents[1] / "golden" / "outofproc" / "check.py", "golden_outofproc_check_for_cases")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_gives_the_official_state(case: Path) -> None:
    state, raised = check.run(case)

    assert state == check.read(case / "state.json")
    assert raised == check.read(case / "raised.json")
