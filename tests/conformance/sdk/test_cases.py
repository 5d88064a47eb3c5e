"""Cases in which this package once answered otherwise than the official one; ``scripts/differential`` found them.

They are in ``cases``, in the form of ``tests/golden/outofproc`` and recorded from the official package as those are.
"""

import importlib.util
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
CASES = sorted(path.parent for path in (HERE / "cases").glob("*/context.json"))


def load_check() -> Any:
    golden = HERE.parents[1] / "golden" / "outofproc" / "check.py"
    spec = importlib.util.spec_from_file_location("golden_outofproc_check_for_cases", golden)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check = load_check()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case_gives_the_official_state(case: Path) -> None:
    state, raised = check.run(case)

    assert state == check.read(case / "state.json")
    assert raised == check.read(case / "raised.json")
