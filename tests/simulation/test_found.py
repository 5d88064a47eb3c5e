"""Runs that have found mistakes of ours whose schedules are too long to be written down by hand."""

import pytest

from tests.simulation.runs import run_seed


@pytest.mark.parametrize(
    ("seed", "shortcuts"),
    [
        pytest.param(11_000_365, "on", id="a first episode was stored, its row never said that the instance runs"),
        pytest.param(11_001_582, "on", id="a history was read in pages, and purged in between"),
        pytest.param(10_202_146, "drawn", id="a rewind was sent twice, and broke off half done"),
        pytest.param(10_205_318, "drawn", id="the row tells of an end that a purge deleted"),
    ],
)
def test_it_is_not_found_any_more(seed, shortcuts):
    run = run_seed(seed, {"faults": "heavy", "shortcuts": shortcuts})

    assert run.failure is None, run.failure
