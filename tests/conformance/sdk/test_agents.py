"""Orchestrators with agents against what the reference answers (``record_agents.py``)."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("agents", reason="durable-taskhub[openai-agents] is not installed")

from tests.conformance.sdk import record_agents

RECORDED: dict[str, Any] = json.loads(Path(__file__).with_name("agents-1.7.0.json").read_text(encoding="utf-8"))

SETTINGS_OF_THE_LIBRARY = ("reasoning", "verbosity")
"""What the library sets by itself for models that it knows. The reference drops it."""

MENDED = {
    "plain_no_answer": "pydantic words the same complaint otherwise",
    "caught_done": "after a caught failure the reference loses the result, and the orchestration ends with none",
}


@pytest.fixture(autouse=True)
def _quiet(caplog):
    caplog.set_level(logging.CRITICAL)  # of histories that no code has written


def test_every_case_was_recorded():
    assert record_agents.CASES.keys() == RECORDED.keys()


@pytest.mark.parametrize("name", sorted(RECORDED.keys() - MENDED.keys()))
def test_an_orchestrator_answers_as_the_reference(name):
    assert without_settings_of_the_library(record_agents.run(name)) == RECORDED[name]


@pytest.mark.parametrize("name", MENDED)
def test_a_listed_difference_is_one(name):
    assert without_settings_of_the_library(record_agents.run(name)) != RECORDED[name]


def test_a_result_after_a_caught_failure_arrives():
    assert record_agents.run("caught_done")["state"]["output"] == "sorry"


def without_settings_of_the_library(value):
    if isinstance(value, list):
        return [without_settings_of_the_library(each) for each in value]
    if not isinstance(value, dict):
        return value
    kept = {key: each for key, each in value.items() if key not in SETTINGS_OF_THE_LIBRARY}
    return {key: without_settings_of_the_library(each) for key, each in kept.items()}
