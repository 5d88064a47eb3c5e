"""What the comparison with the official package rests on: programs that run, findings that are cut down to a case."""

from __future__ import annotations

import ast
import json
import logging
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.answers import STRICT, answers
from tests.support.contexts import context_text, event
from tests.support.differential import QUIET, Comparison, Example, Trigger, entities, golden_case, orchestrations
from tests.support.mends.all import Mend, taken_back
from tests.support.mends.values import MENDS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.reference import Reference


class OtherPackage:
    """Stands in for the official package: answers as ours without some mends, but calls HTTP in a way of its own."""

    def __init__(self, *mends: Mend) -> None:
        self.mends = (*QUIET, *mends)

    def ask(self, source: str, triggers: list[str], *, strict: bool = False) -> None:
        with taken_back(self.mends):
            self.found = answers(source, triggers, strict=strict)

    def told(self) -> list[dict[str, Any]]:
        text = json.dumps(self.found).replace('"actionType": 8', '"actionType": 88')
        return cast("list[dict[str, Any]]", json.loads(text))


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(STRICT, "0")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=60, deadline=None)
@given(example=st.one_of(orchestrations(), entities()))
def test_every_program_is_python_with_a_handle(example: Example) -> None:
    module = ast.parse(example.source)

    assigned = [node.targets[0] for node in module.body if isinstance(node, ast.Assign)]
    assert [target.id for target in assigned if isinstance(target, ast.Name)][-1] == "main"
    assert all(json.loads(trigger.text) == trigger.content for trigger in example.triggers)


def test_a_program_reads_as_one_would_write_it() -> None:
    example = Example([("try", ("all", [("activity", "A", {"k": 1}), ("event", "go")])), ("return", "done")], ())

    assert example.source.partition("def flow")[2].splitlines() == [
        "(context):",
        "    seen = []",
        '    task_1 = context.call_activity("A", {"k": 1})',
        '    task_2 = context.wait_for_external_event("go")',
        "    task_3 = context.task_all([task_1, task_2])",
        "    try:",
        "        seen.append(plain((yield task_3)))",
        "    except Exception as error:",
        '        seen.append(["caught", str(error)])',
        '    return "done"',
        "    return seen",
        "",
        "",
        "main = df.Orchestrator.create(flow)",
    ]


def test_a_difference_is_cut_down_to_a_case() -> None:
    program = [
        ("ids",),
        ("try", ("event", "go")),
        ("repeat", 2, [("status", 1), ("yield", ("all", [("timer", 5), ("http", "x", {"k": [1]})]))]),
    ]
    history = [event(15, Name="go", Input="1"), event(15, Name="other", Input="1"), event(13)]
    trigger = Trigger(json.loads(context_text(*history)), is_damaged=False)
    comparison = Comparison(cast("Reference", OtherPackage()))

    [found] = comparison.check(Example(program, (trigger,)))
    files = golden_case(comparison.reduce(found), "told")

    assert files.keys() == {"context.json", "orchestrator.py", "state.json"}
    assert files["orchestrator.py"].count("context.call") == 1
    assert "wait_for_external_event" not in files["orchestrator.py"]
    assert len(json.loads(files["context.json"])["history"]) == 2
    [[action]] = json.loads(files["state.json"])["actions"]
    assert action["actionType"] == 88


def test_what_agrees_is_no_finding() -> None:
    comparison = Comparison(cast("Reference", OtherPackage()))
    trigger = Trigger(json.loads(context_text()), is_damaged=False)

    assert comparison.check(Example([("yield", ("activity", "A", None))], (trigger,))) == []
    assert (comparison.cases, comparison.agreed) == (1, 1)


def test_a_mend_taken_back_is_an_explanation_and_no_finding() -> None:
    [mend] = [mend for mend in MENDS if "another zone" in mend.name]
    trigger = Trigger(json.loads(context_text()), is_damaged=False)
    comparison = Comparison(cast("Reference", OtherPackage(mend)))

    assert comparison.check(Example([("yield", ("timer", 60, "east"))], (trigger,))) == []
    assert comparison.explained == {(mend.name,): 1}
