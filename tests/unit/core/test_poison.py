"""Which messages are poisoned, and what is told of them."""

import pytest

from taskhub.core.poison import (
    Verdict,
    address_of,
    is_over_limit,
    judge,
    told_failure,
)
from taskhub.model.dead_letters import Address
from taskhub.model.history import (
    EventRaised,
    ExecutionStarted,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationFailed,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from taskhub.model.ids import Utc
from taskhub.model.messages import TaskMessage

NOW = Utc("2026-01-05T12:00:00Z")
ORDER = OrchestrationInstance("order-42", "run-1")
SHIP = OrchestrationInstance("ship", "run-2")


@pytest.mark.parametrize(
    ("dequeue_count", "put_backs", "limit", "verdict"),
    [
        (1, 0, 0, Verdict.WORK),
        (10_000, 0, 0, Verdict.WORK),
        (1, 0, 3, Verdict.WORK),
        (2, 0, 3, Verdict.WORK),
        (3, 0, 3, Verdict.LAST_CHANCE),
        (4, 0, 3, Verdict.POISONED),
        # Put back on purpose is no failure.
        (300, 299, 3, Verdict.WORK),
        (300, 297, 3, Verdict.LAST_CHANCE),
        (300, 296, 3, Verdict.POISONED),
        # Read by workers that do not count.
        (5, 0, 3, Verdict.UNCOUNTED),
        (5, 1, 3, Verdict.POISONED),
        # The first reading of all is not yet the last chance.
        (1, 0, 1, Verdict.WORK),
        (2, 0, 1, Verdict.POISONED),
    ],
)
def test_only_readings_that_failed_count(dequeue_count, put_backs, limit, verdict):
    assert judge(dequeue_count, put_backs, limit=limit) is verdict


def test_what_cannot_be_read_has_no_notes_so_every_reading_counts():
    assert [is_over_limit(count, limit=3) for count in (1, 3, 4, 100)] == [False, False, True, True]
    assert not is_over_limit(100, limit=0)


def work_item():
    return TaskMessage(TaskScheduled(event_id=3, timestamp=NOW, name="charge", input="[1]"), target=ORDER)


def start(*, parent=None, tags=None):
    event = ExecutionStarted(timestamp=NOW, instance=SHIP, parent=parent, name="ship", input="1", tags=tags)
    return TaskMessage(event, target=SHIP)


PARENT = ParentInstance("order", ORDER, 7)


def test_the_orchestration_that_waits_for_an_activity_is_told():
    told = told_failure(work_item(), "read 4 times", now=NOW)

    assert told.target == ORDER
    assert isinstance(told.event, TaskFailed)
    assert told.event.task_scheduled_id == 3
    assert told.event.reason == "Activity function 'charge' failed: PoisonedMessageError: read 4 times"
    assert (told.event.failure.error_type, told.event.failure.error_message) == ("PoisonedMessageError", "read 4 times")


def test_the_parent_of_a_sub_orchestration_is_told():
    told = told_failure(start(parent=PARENT), "read 4 times", now=NOW)

    assert told.target == ORDER
    assert isinstance(told.event, SubOrchestrationFailed)
    assert told.event.task_scheduled_id == 7
    assert told.event.failure.error_type == "PoisonedMessageError"


@pytest.mark.parametrize(
    "message",
    [
        start(),
        start(parent=PARENT, tags={"FireAndForget": ""}),
        TaskMessage(TaskCompleted(timestamp=NOW, task_scheduled_id=3, result="1"), target=ORDER),
        TaskMessage(EventRaised(timestamp=NOW, name="go", input=None), target=ORDER),
    ],
)
def test_of_other_messages_nobody_is_told(message):
    assert told_failure(message, "read 4 times", now=NOW) is None


def test_a_message_tells_whom_it_is_for_and_what_it_brings():
    answer = TaskMessage(TaskCompleted(timestamp=NOW, task_scheduled_id=5, result="1"), target=ORDER)

    assert address_of(work_item()) == Address("order-42", "run-1", "TaskScheduled", "charge", 3)
    assert address_of(start()) == Address("ship", "run-2", "ExecutionStarted", "ship", None)
    assert address_of(answer) == Address("order-42", "run-1", "TaskCompleted", None, 5)
