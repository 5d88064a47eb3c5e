"""Tasks and compounds on their own: states, order, parents."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.durable_functions.models.actions import CallActivityAction, CreateTimerAction
from azure.durable_functions.models.ReplaySchema import ReplaySchema
from azure.durable_functions.models.Task import (
    AtomicTask,
    TaskBase,
    TaskState,
    TimerTask,
    WhenAllTask,
    WhenAnyTask,
)

GOOD, BAD = TaskState.SUCCEEDED, TaskState.FAILED
ERROR = Exception("bad")


def atomic(number: int = 0) -> AtomicTask:
    return AtomicTask(number, CallActivityAction("A"))


def end(task: TaskBase, state: TaskState) -> None:
    task._complete(state, ERROR if state is BAD else f"value {task.id}", True)


@pytest.mark.parametrize(
    ("ends", "state", "result"),
    [
        ([], TaskState.RUNNING, None),
        ([(0, GOOD)], TaskState.RUNNING, None),
        ([(1, GOOD), (0, GOOD)], GOOD, ["value 0", "value 1"]),
        ([(1, BAD)], BAD, ERROR),
        ([(0, GOOD), (1, BAD)], BAD, ERROR),
        ([(1, BAD), (0, GOOD)], BAD, ERROR),
    ],
)
@pytest.mark.parametrize("complete_before", [True, False])
def test_all_waits_for_all_or_the_first_failure(
    ends: list[tuple[int, TaskState]], state: TaskState, result: Any, complete_before: bool
) -> None:
    children = [atomic(0), atomic(1)]
    if complete_before:
        for index, how in ends:
            end(children[index], how)
    task = WhenAllTask(children, ReplaySchema.V3)
    if not complete_before:
        for index, how in ends:
            end(children[index], how)

    assert (task.state, task.result) == (state, result)


@pytest.mark.parametrize(("ends", "winner"), [([(1, GOOD), (0, GOOD)], 1), ([(1, BAD)], 1), ([(0, BAD), (1, GOOD)], 0)])
def test_any_takes_the_first_however_it_ended(ends: list[tuple[int, TaskState]], winner: int) -> None:
    children = [atomic(0), atomic(1)]
    task = WhenAnyTask(children, ReplaySchema.V3)
    for index, how in ends:
        end(children[index], how)

    assert task.state is GOOD
    assert task.result is children[winner]


def test_any_of_several_that_are_complete_is_the_leftmost() -> None:
    children = [atomic(0), atomic(1), atomic(2)]
    end(children[2], GOOD)
    end(children[1], GOOD)

    assert WhenAnyTask(children, ReplaySchema.V3).result is children[1]


@pytest.mark.parametrize(("compound", "result"), [(WhenAllTask, []), (WhenAnyTask, None)])
def test_a_compound_of_nothing_is_complete(compound: Any, result: Any) -> None:
    task = compound([], ReplaySchema.V3)

    assert (task.state, task.result) == (GOOD, result)


def test_a_task_completes_once() -> None:
    task = atomic()
    end(task, GOOD)
    end(task, BAD)

    assert (task.state, task.result) == (GOOD, "value 0")


def test_a_task_tells_all_compounds_that_hold_it() -> None:
    shared = atomic()
    compounds = [WhenAnyTask([shared, atomic()], ReplaySchema.V3) for _ in range(3)]
    end(shared, GOOD)

    assert all(compound.is_completed for compound in compounds)
    assert shared.parent is compounds[-1]


def test_a_task_forgets_compounds_that_are_over() -> None:
    shared = atomic()
    for _ in range(100):
        other = atomic()
        WhenAnyTask([shared, other], ReplaySchema.V3)
        end(other, GOOD)

    assert len(shared._parents) == 1


def test_a_compound_takes_only_tasks() -> None:
    with pytest.raises(TypeError, match="got int: 1"):
        WhenAllTask([1], ReplaySchema.V3)  # type: ignore[list-item]


def test_a_timer_can_be_cancelled_until_it_has_fired() -> None:
    timer = TimerTask(0, CreateTimerAction(datetime(2024, 3, 5, tzinfo=timezone.utc)))
    assert not timer.is_cancelled
    timer.cancel()
    assert timer.is_cancelled

    end(timer, GOOD)
    with pytest.raises(ValueError, match="Cannot cancel a completed task"):
        timer.cancel()


def test_tasks_take_attributes_of_the_app() -> None:
    task = atomic()
    task.purpose = "mine"  # type: ignore[attr-defined]

    assert task.purpose == "mine"  # type: ignore[attr-defined]
    assert repr(task) == "<AtomicTask 0 running>"


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (datetime(2024, 3, 5, 10), "2024-03-05T10:00:00.000000Z"),
        (datetime(2024, 3, 5, 10, tzinfo=timezone.utc), "2024-03-05T10:00:00.000000Z"),
        (datetime(2024, 3, 5, 10, tzinfo=timezone(timedelta(hours=2))), "2024-03-05T08:00:00.000000Z"),
    ],
)
def test_timers_go_out_in_utc(when: datetime, text: str) -> None:
    assert CreateTimerAction(when).to_json()["fireAt"] == text


def test_a_timer_needs_a_time() -> None:
    with pytest.raises(ValueError, match="Expected valid datetime object") as caught:
        CreateTimerAction("soon")  # type: ignore[arg-type]

    assert caught.value.args == ("fireAt: Expected valid datetime object but got ", "soon")
