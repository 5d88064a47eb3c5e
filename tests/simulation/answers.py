"""Compares what programs saw with the answers that their stored histories hold, and those with who gave them.

A program that goes on in memory is fed what is stored, and a program that is replayed is fed it again: both must have
seen the same. So each value that an output is made of stands in the history of its execution, once, as the answer to
the very question that was asked; and a child whose parent was told of its end has ended.

That may differ where an episode was run again: its messages are put before it is stored, so that a parent may hear of
an end that its child did not come to, because it was told more the second time.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from taskhub.model.history import (
    ExecutionCompleted,
    ExecutionStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    TaskCompleted,
)
from tests.simulation.checks import Violation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from taskhub.model.history import HistoryEvent, OrchestrationInstance
    from tests.simulation.workload import Journal


def check_answers(
    histories: Iterable[Sequence[HistoryEvent]], journal: Journal, seen: Collection[int], *, may_differ: bool = False
) -> None:
    """Check the histories of a hub at rest.

    Args:
        histories: of all instances, each of its last execution.
        journal: the runs of all activities.
        seen: numbers of the runs that outputs of programs are made of.
        may_differ: whether episodes may have been run again, and come to other ends.
    """
    by_execution = {_key(_start_of(history).instance): history for history in histories}
    answers: dict[int, HistoryEvent] = {}
    for key, history in by_execution.items():
        for event in history:
            if isinstance(event, TaskCompleted):
                _take(answers, key, event, journal)
        _check_children(history, by_execution, may_differ=may_differ)
    for number in seen:
        run = journal.runs[number]
        if (run.instance_id, run.execution_id) in by_execution and number not in answers:
            raise Violation(f"{run.instance_id} saw the answer of run {number}, which is not in its history: {run}")


def _take(
    answers: dict[int, HistoryEvent], key: tuple[str, str | None], event: TaskCompleted, journal: Journal
) -> None:
    value = json.loads(event.result or "null")
    number = value.get("run") if isinstance(value, dict) else None
    if number is None:
        return  # of an activity that keeps no journal
    run = journal.runs.get(number)
    if (
        run is None
        or run.has_failed
        or (run.instance_id, run.execution_id, run.task_id)
        != (
            *key,
            event.task_scheduled_id,
        )
    ):
        raise Violation(f"the history of {key} holds an answer to task {event.task_scheduled_id} that is of {run}")
    if number in answers:
        raise Violation(f"the history of {key} holds the answer of run {number} twice")
    answers[number] = event


def _check_children(
    history: Sequence[HistoryEvent],
    by_execution: Mapping[tuple[str, str | None], Sequence[HistoryEvent]],
    *,
    may_differ: bool,
) -> None:
    """Check that children came to what their parent was told, as far as they are the last ones under their ids."""
    parent = _start_of(history).instance
    children = {event.event_id: event.instance_id for event in history if isinstance(event, SubOrchestrationCreated)}
    told = {event.task_scheduled_id: event for event in history if isinstance(event, SubOrchestrationCompleted)}
    for (instance_id, _), child in by_execution.items():
        asked_by = _start_of(child).parent
        if asked_by is None or asked_by.instance != parent or children.get(asked_by.task_schedule_id) != instance_id:
            continue
        answer = told.get(asked_by.task_schedule_id)
        end = next((event for event in child if isinstance(event, ExecutionCompleted)), None)
        if answer is not None and (end is None or (end.result != answer.result and not may_differ)):
            raise Violation(f"{parent} was told {answer} by {instance_id}, which came to {end}")


def _start_of(history: Iterable[HistoryEvent]) -> ExecutionStarted:
    return next(event for event in history if isinstance(event, ExecutionStarted))


def _key(instance: OrchestrationInstance) -> tuple[str, str | None]:
    return instance.instance_id, instance.execution_id
