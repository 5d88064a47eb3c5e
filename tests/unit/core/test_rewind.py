"""Which rows of a failed execution a rewind takes back, and whom it waits for afterwards."""

import pytest

from taskhub.core.rewind import Child, Edit, plan_rewind
from taskhub.model.history import (
    ExecutionCompleted,
    GenericEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskFailed,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.builders import NOON, at, completed, first_episode, raised, scheduled

FAILED = ExecutionCompleted(timestamp=NOON, event_id=9, status=RuntimeStatus.Failed, result="boom")
STONE = GenericEvent(timestamp=NOON, data=None, event_id=9)
WAKE_UP = GenericEvent(timestamp=NOON, data=None)
FIRST = len(first_episode()) - 1
"""Index of the first thing decided in the first episode."""


def task_failed(task_id):
    return TaskFailed(timestamp=NOON, task_scheduled_id=task_id, reason="boom")


def child(task_id, instance_id="c"):
    return SubOrchestrationCreated(timestamp=NOON, event_id=task_id, name="Child", instance_id=InstanceId(instance_id))


def child_failed(task_id):
    return SubOrchestrationFailed(timestamp=NOON, task_scheduled_id=task_id, reason="boom")


def episode(*events):
    return [OrchestratorStarted(timestamp=NOON), *events, OrchestratorCompleted(timestamp=NOON)]


def edits_of(history):
    return [(edit.index, edit.type_name, edit.entombs) for edit in plan_rewind(history).edits]


def test_a_failed_activity_goes_with_its_request_and_the_end():
    history = [
        *first_episode(scheduled(0), scheduled(1)),
        *episode(completed(0), task_failed(1), FAILED),
    ]

    assert edits_of(history) == [
        (FIRST + 1, "TaskScheduled", True),
        (FIRST + 5, "TaskFailed", True),
        (FIRST + 6, "ExecutionCompleted", True),
    ]
    assert plan_rewind(history).children == ()


def test_a_failed_child_is_waited_for_again():
    history = [*first_episode(child(0)), *episode(child_failed(0), FAILED)]

    assert edits_of(history) == [
        (FIRST, "SubOrchestrationInstanceCreated", False),
        (FIRST + 3, "SubOrchestrationInstanceFailed", True),
        (FIRST + 4, "ExecutionCompleted", True),
    ]
    request = Edit(FIRST, "SubOrchestrationInstanceCreated")
    assert plan_rewind(history).children == (Child(0, InstanceId("c"), request, has_failed=True),)


def test_a_child_that_has_not_answered_is_looked_at_and_one_that_completed_is_not():
    answer = SubOrchestrationCompleted(timestamp=NOON, task_scheduled_id=0, result="1")
    history = [*first_episode(child(0, "done"), child(1, "open")), *episode(answer, FAILED)]

    assert [(each.instance_id, each.has_failed) for each in plan_rewind(history).children] == [("open", False)]


def test_only_the_last_request_of_a_task_that_was_rewound_before_goes():
    history = [
        *first_episode(STONE),
        *episode(STONE, STONE),
        *episode(GenericEvent(timestamp=NOON, data="again"), scheduled(0)),
        *episode(task_failed(0), FAILED),
    ]

    assert [index for index, _, _ in edits_of(history)] == [10, 13, 14]


def test_a_failure_whose_request_is_a_tombstone_already_goes_alone():
    history = [*first_episode(STONE), *episode(task_failed(0), FAILED)]

    assert [name for _, name, _ in edits_of(history)] == ["TaskFailed", "ExecutionCompleted"]


def test_requests_come_before_their_failures_and_the_end_comes_last():
    # However far a rewind comes, the next one must find what is left to do.
    history = [
        *first_episode(*(scheduled(number) for number in range(60))),
        *episode(*(task_failed(number) for number in reversed(range(60))), FAILED),
    ]

    names = [name for _, name, _ in edits_of(history)]

    assert names == ["TaskScheduled", "TaskFailed"] * 60 + ["ExecutionCompleted"]


@pytest.mark.parametrize(
    ("history", "can_be"),
    [
        ([], False),
        (first_episode(scheduled()), False),
        ([*first_episode(scheduled()), *episode(completed(), FAILED)], True),
        (
            [
                *first_episode(),
                *episode(ExecutionCompleted(timestamp=NOON, event_id=0, status=RuntimeStatus.Completed)),
            ],
            False,
        ),
        (
            [
                *first_episode(),
                *episode(ExecutionCompleted(timestamp=NOON, event_id=0, status=RuntimeStatus.Terminated)),
            ],
            False,
        ),
        ([*first_episode(STONE), *episode(STONE, STONE)], True),
        ([*first_episode(STONE), *episode(STONE, STONE), *episode(raised("e")), *episode()], True),
        ([*first_episode(STONE), *episode(STONE, STONE), *episode(raised("e"), scheduled())], False),
        ([*first_episode(STONE), *episode(STONE, STONE), *episode(WAKE_UP)], False),
        ([*first_episode(STONE), *episode(STONE, STONE), *episode(WAKE_UP, scheduled())], False),
    ],
    ids=[
        "no history",
        "running",
        "failed",
        "completed",
        "terminated",
        "asleep",
        "asleep, though events came",
        "woken by an event",
        "woken to no effect",
        "woken",
    ],
)
def test_failed_and_sleeping_executions_can_be_rewound(history, can_be):
    assert (plan_rewind(history) is not None) is can_be


def test_a_sleeping_execution_has_nothing_left_to_bury_but_children_to_look_at():
    plan = plan_rewind([*first_episode(child(0)), *episode(STONE, STONE)])

    assert plan.edits == ()
    assert [each.task_id for each in plan.children] == [0]


# ---- failures that the code dealt with, and what it asked for afterwards


def timer(task_id, *, seconds=60):
    return TimerCreated(timestamp=NOON, event_id=task_id, fire_at=at(seconds))


def fired(task_id):
    return TimerFired(timestamp=NOON, timer_id=task_id, fire_at=NOON)


def names_of(history):
    return [(name, index) for index, name, _ in edits_of(history)]


def ended(result="boom"):
    return ExecutionCompleted(timestamp=NOON, event_id=9, status=RuntimeStatus.Failed, result=result)


def test_a_failure_that_was_retried_with_success_stays():
    history = [
        *first_episode(scheduled(0)),
        *episode(task_failed(0), timer(1)),
        *episode(fired(1), scheduled(2)),
        *episode(completed(2), scheduled(3)),
        *episode(task_failed(3), FAILED),
    ]

    assert names_of(history) == [("TaskScheduled", 14), ("TaskFailed", 17), ("ExecutionCompleted", 18)]


def test_of_an_exhausted_retry_the_last_attempt_is_made_again():
    history = [
        *first_episode(scheduled(0)),
        *episode(task_failed(0), timer(1)),
        *episode(fired(1), scheduled(2)),
        *episode(task_failed(2), timer(3, seconds=0)),
        *episode(fired(3), FAILED),
    ]

    assert names_of(history) == [
        ("TimerCreated", 14),
        ("TimerFired", 17),
        ("TaskScheduled", 10),
        ("TaskFailed", 13),
        ("ExecutionCompleted", 18),
    ]


def test_what_was_asked_for_after_the_failure_that_the_end_names_goes_too():
    # try: A; except: B, then raise the failure of A
    reason = TaskFailed(timestamp=NOON, task_scheduled_id=0, reason="A failed")
    history = [
        *first_episode(scheduled(0)),
        *episode(reason, scheduled(1)),
        *episode(completed(1), ended("Orchestrator function 'f' failed: A failed")),
    ]

    assert names_of(history) == [
        ("TaskScheduled", 6),
        ("TaskCompleted", 9),
        ("TaskScheduled", 2),
        ("TaskFailed", 5),
        ("ExecutionCompleted", 10),
    ]


def test_only_the_end_goes_when_the_code_failed_by_itself():
    history = [
        *first_episode(scheduled(0)),
        *episode(task_failed(0), scheduled(1)),
        *episode(completed(1), ended("Orchestrator function 'f' failed: division by zero")),
    ]

    assert names_of(history) == [("ExecutionCompleted", 10)]


def test_several_failures_with_nothing_asked_for_in_between_go_together():
    # A .NET worker waits for all siblings before it goes on.
    history = [
        *first_episode(scheduled(0), scheduled(1), scheduled(2)),
        *episode(task_failed(1)),
        *episode(completed(2)),
        *episode(task_failed(0), FAILED),
    ]

    assert {index for index, _, _ in edits_of(history)} == {2, 3, 7, 13, 14}


def test_what_was_never_answered_is_asked_for_again():
    # The execution ended at once; answers that came later were dropped.
    history = [
        *first_episode(scheduled(0), scheduled(1), timer(2), child(3)),
        *episode(task_failed(0), FAILED),
    ]

    assert names_of(history)[:2] == [("TaskScheduled", 3), ("TimerCreated", 4)]
    assert [each.task_id for each in plan_rewind(history).children] == [3]


def test_answers_whose_requests_are_tombstones_go():
    history = [*first_episode(STONE), *episode(completed(0)), *episode(FAILED)]

    assert names_of(history) == [("TaskCompleted", 5), ("ExecutionCompleted", 8)]


def test_children_asked_for_after_the_failure_are_started_again_and_not_rewound():
    history = [
        *first_episode(scheduled(0)),
        *episode(task_failed(0), child(1)),
        *episode(child_failed(1), ended("boom")),
    ]
    # The end names the first failure too; the later one decides.
    assert [each.task_id for each in plan_rewind(history).children] == [1]

    again = [
        *first_episode(scheduled(0)),
        *episode(TaskFailed(timestamp=NOON, task_scheduled_id=0, reason="A failed"), child(1)),
        *episode(SubOrchestrationCompleted(timestamp=NOON, task_scheduled_id=1), ended("A failed")),
    ]
    assert plan_rewind(again).children == ()
    assert ("SubOrchestrationInstanceCreated", 6) in names_of(again)
