"""Arguments that the reference refuses (``record_refusals.py``): refused here too, in its words or better."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.sdk import record_refusals

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("refusals-1.7.0.json").read_text(encoding="utf-8"))
CASES = dict(record_refusals.cases())

BETTER_TEXT = {
    "create_timer": "fireAt: Expected valid datetime object but got",
    "task_all([": "A compound holds tasks that the context made; got",
    "EntityId.get_entity_id": "has no attribute 'split'",
    "without history": "The orchestration trigger has no 'history'",
    "history=": "istory",
    "upperSchemaVersion=": "'upperSchemaVersion' of the orchestration trigger",
    "maximumShortTimerDuration=": "'maximumShortTimerDuration' of the orchestration trigger",
}
"""How our texts begin, or what they say, where they differ."""

REFUSED_ONLY_HERE = {
    "call_activity_with_retry(A, ": "retry_options must be RetryOptions, not ",
    "RetryOptions(1, ": "max_number_of_attempts must be a whole number of at least 1",
}


def listed(table: dict[str, str], name: str) -> str | None:
    return next((text for start, text in table.items() if name.startswith(start)), None)


def test_the_same_calls_are_made() -> None:
    assert CASES.keys() == RECORDED.keys()


@pytest.mark.parametrize("name", sorted(name for name, found in RECORDED.items() if found is not None))
def test_what_the_reference_refuses_is_refused_in_its_words_or_better(name: str) -> None:
    found = record_refusals.outcome(CASES[name])

    assert found is not None
    if found["text"] != RECORDED[name]["text"]:
        better = listed(BETTER_TEXT, name)
        assert better is not None
        assert better in found["text"]


@pytest.mark.parametrize("start", BETTER_TEXT)
def test_a_better_text_is_another_one(start: str) -> None:
    names = [name for name in CASES if name.startswith(start) and RECORDED[name] is not None]

    assert any((record_refusals.outcome(CASES[name]) or {})["text"] != RECORDED[name]["text"] for name in names)


@pytest.mark.parametrize("name", sorted(name for name, found in RECORDED.items() if found is None))
def test_what_the_reference_accepts_is_accepted_unless_it_never_works(name: str) -> None:
    found = record_refusals.outcome(CASES[name])

    only_here = listed(REFUSED_ONLY_HERE, name)
    if only_here is None:
        assert found is None
    elif found is not None:
        assert only_here in found["text"]
