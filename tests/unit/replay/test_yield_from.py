"""``yield from task``: what ``yield task`` is, with a type."""

from __future__ import annotations

import ast
import logging
from typing import TYPE_CHECKING, Any

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import OrchestrationSession, Raised, Returned
from azure.durable_functions.testing import orchestrator_generator_wrapper
from hypothesis import given, settings

from tests.support.answers import STRICT, answers
from tests.support.contexts import START, event, run, run_failing
from tests.support.differential import Example, orchestrations

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator


class YieldFrom(ast.NodeTransformer):
    """Writes ``yield from x`` for every ``yield x``, where ``x`` is a task."""

    def visit_Yield(self, node: ast.Yield) -> ast.AST:
        self.generic_visit(node)
        if node.value is None:
            return node
        text = f"(yield from it) if isinstance((it := {ast.unparse(node.value)}), df.models.TaskBase) else (yield it)"
        return ast.parse(text, mode="eval").body


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv(STRICT, "0")
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("quiet")
@settings(max_examples=150, deadline=None)
@given(example=orchestrations())
def test_a_program_with_it_answers_as_with_a_plain_yield(example: Example) -> None:
    plain = ast.parse(example.source)
    typed = YieldFrom().visit(ast.parse(example.source))
    triggers = [trigger.text for trigger in example.triggers]

    assert answers(ast.unparse(typed), triggers) == answers(ast.unparse(plain), triggers)


def flow(context: df.DurableOrchestrationContext) -> Generator[df.Task, Any, list[Any]]:
    first = yield from context.call_activity("A")
    both = yield from context.task_all([context.call_activity("B"), context.call_activity("C")])
    timer = context.create_timer(context.current_utc_datetime)
    winner = yield from context.task_any([timer, context.wait_for_external_event("go")])
    try:
        yield from context.call_activity("D")
    except df.TaskFailedError as error:
        return [first, both, winner is timer, error.reason]
    return []


def test_it_runs_step_by_step_through_the_live_shell() -> None:
    session = OrchestrationSession(flow, instance_id="i-1")
    session.advance([event(12), event(0, Name="Flow", Version=None, Input=None)])
    for number, answer in enumerate(('"a"', '"b"', '"c"')):
        session.advance([event(12), event(5, TaskScheduledId=number, Result=answer)])
    session.advance([event(12), event(11, TimerId=3, FireAt=START)])

    decisions = session.advance([event(12), event(6, TaskScheduledId=4, Reason="no D", Details=None)])

    assert decisions.outcome == Returned('["a",["b","c"],true,"no D"]')


def test_a_task_that_is_complete_already_gives_its_result_again() -> None:
    def twice(context: Any) -> Any:
        task = context.call_activity("A")
        first = yield from task
        return [first, (yield from task)]

    assert run(twice, event(5, TaskScheduledId=0, Result="7"))["output"] == [7, 7]


def test_history_of_other_code_is_reported_at_the_users_line() -> None:
    history = [
        event(12),
        event(0, Name="Flow", Version=None, Input=None),
        event(4, 0, Name="Other", Version=""),
        event(13),
        event(12),
    ]

    outcome = OrchestrationSession(flow, instance_id="i-1").advance(history, replayed=4).outcome

    assert isinstance(outcome, Raised)
    line = flow.__code__.co_firstlineno + 1
    assert f'test_yield_from.py, line {line}: first = yield from context.call_activity("A")' in outcome.error


def test_a_loop_over_a_task_whose_yield_was_forgotten_fails() -> None:
    def forgetful(context: Any) -> Any:
        for _city in context.call_activity("Cities"):
            pass
        yield

    assert "<AtomicTask not started running> was iterated over" in str(run_failing(forgetful))


@pytest.mark.parametrize("compound", ["task_all", "task_any"])
def test_a_compound_of_one_task_that_is_in_no_list_is_refused(compound: str) -> None:
    def flow(context: Any) -> Any:
        yield getattr(context, compound)(context.call_activity("A"))

    assert "A compound is made of a list of tasks, not of one task: <AtomicTask" in str(run_failing(flow))


def test_the_wrapper_for_tests_of_apps_drives_it() -> None:
    task = df.TaskBase(None, [])
    task.set_value(False, "Oslo")

    def hello() -> Generator[df.Task, Any, str]:
        city = yield from task
        return f"Hello {city}"

    assert list(orchestrator_generator_wrapper(hello())) == [task, "Hello Oslo"]
