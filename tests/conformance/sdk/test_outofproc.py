"""Every worked pair of the JSON protocol: the host's text in, the state out, as recorded from the official SDK.

The cases, and how to read them, are in ``tests/golden/outofproc``; ``check.py`` there does the same by hand.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.support.modules import load_module

GOLDEN = Path(__file__).parents[2] / "golden" / "outofproc"
CASES = sorted(path.parent.name for path in GOLDEN.glob("*/context.json"))

QUIRKS = set((GOLDEN / "quirks.txt").read_text(encoding="utf-8").split())
"""Cases that pin what we mend on purpose; ``MENDED`` says what they give instead."""


check = load_module(GOLDEN / "check.py", "golden_outofproc_check")


def test_all_recorded_cases_are_tried() -> None:
    assert len(CASES) == 77
    assert set(CASES) > QUIRKS


@pytest.mark.parametrize("name", [name for name in CASES if name not in QUIRKS])
def test_case_gives_the_recorded_state(name: str) -> None:
    case = GOLDEN / name

    state, raised = check.run(case)

    assert state == check.read(case / "state.json")
    assert raised == check.read(case / "raised.json")


def state_of(name: str) -> Any:
    state, raised = check.run(GOLDEN / name)
    assert raised is None
    return state


def test_an_early_event_is_taken_by_one_wait_only() -> None:
    state = state_of("event_arrived_early")

    assert state["isDone"] is False
    assert "output" not in state


def test_waits_of_one_name_get_its_events_in_order() -> None:
    assert state_of("event_same_name_pair")["output"] == ["x", "y"]


def test_names_of_events_ignore_case() -> None:
    recorded = check.read(GOLDEN / "event_other_case_ignored" / "state.json")

    state = state_of("event_other_case_ignored")

    assert len(state["actions"][0]) == len(recorded["actions"][0]) + 1  # the code has got past the first wait


def test_waiting_for_no_task_at_all_gives_an_empty_list() -> None:
    assert state_of("fan_out_empty")["output"] == []
