"""Histories that disagree with what programs saw are noticed."""

import json
import random
from dataclasses import replace

import pytest

from taskhub.model.history import (
    ExecutionCompleted,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
)
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.simulation.answers import check_answers
from tests.simulation.checks import Violation
from tests.simulation.workload import Journal, Run
from tests.support.builders import INSTANCE, NOON, completed, first_episode, scheduled, started

CHILD = OrchestrationInstance(InstanceId("child"), ExecutionId("e-child"))


def journal(**changes):
    run = Run(INSTANCE.instance_id, INSTANCE.execution_id, 0, "ok", None, has_failed=False)
    return Journal(random.Random(0), runs={1: replace(run, **changes)})


def answered(*task_ids, run=1):
    answers = [replace(completed(task_id), result=json.dumps({"run": run})) for task_id in task_ids]
    return [*first_episode(scheduled(0), scheduled(1)), *answers]


def parent_and_child(told, came_to):
    created = SubOrchestrationCreated(timestamp=NOON, event_id=0, name="c", instance_id=CHILD.instance_id)
    start = replace(started(), instance=CHILD, parent=ParentInstance("p", INSTANCE, 0))
    end = ExecutionCompleted(timestamp=NOON, event_id=0, status=RuntimeStatus.Completed, result=came_to)
    answer = SubOrchestrationCompleted(timestamp=NOON, task_scheduled_id=0, result=told)
    return [[*first_episode(created), answer], [start, end]]


def test_histories_that_hold_what_was_seen_are_right():
    check_answers([answered(0)], journal(), [1])
    check_answers([answered(0)], journal(), [])
    check_answers(parent_and_child("7", "7"), journal(), [])
    check_answers(parent_and_child("7", "8"), journal(), [], may_differ=True)


@pytest.mark.parametrize(
    ("histories", "runs", "told"),
    [
        ([answered()], journal(), "not in its history"),
        ([answered(0, 0)], journal(), "twice"),
        ([answered(1)], journal(), "that is of"),
        ([answered(0)], journal(execution_id="another"), "that is of"),
        ([answered(0)], journal(has_failed=True), "that is of"),
        (parent_and_child("7", "8"), Journal(random.Random(0)), "was told"),
    ],
    ids=["lost", "twice", "of another task", "of another execution", "of a failure", "of a child"],
)
def test_histories_that_disagree_are_noticed(histories, runs, told):
    with pytest.raises(Violation, match=told):
        check_answers(histories, runs, list(runs.runs))
