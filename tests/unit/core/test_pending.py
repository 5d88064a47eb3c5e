"""What an execution has put into queues for later, as its history tells."""

import pytest

from taskhub.core.pending import pending_messages
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    OrchestrationInstance,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.builders import INSTANCE, NOON, at, first_episode

ENTITY = InstanceId("@counter@a")
END = ExecutionCompleted(timestamp=NOON, event_id=9, status=RuntimeStatus.Completed)


def timer(task_id, due):
    return TimerCreated(timestamp=NOON, event_id=task_id, fire_at=due)


def fired(task_id, due):
    return TimerFired(timestamp=NOON, timer_id=task_id, fire_at=due)


def signal(name):
    return EventSent(timestamp=NOON, event_id=5, instance_id=ENTITY, name=name, input="{}")


TIMER = (fired(1, at(60)), INSTANCE, at(60))
SIGNAL = (
    EventRaised(timestamp=NOON, name=f"op@{at(60)}", input="{}"),
    OrchestrationInstance(ENTITY, None),
    at(60),
)


@pytest.mark.parametrize(
    ("decided", "expected"),
    [
        ([], []),
        ([timer(1, at(60))], [TIMER]),
        ([timer(1, at(60)), timer(2, at(-1))], [TIMER]),
        ([timer(1, at(60)), fired(1, at(60))], []),
        ([timer(1, at(60)), END], []),
        ([signal(f"op@{at(60)}")], [SIGNAL]),
        ([signal(f"op@{at(60)}"), END], [SIGNAL]),
        ([signal(f"op@{at(-1)}")], []),
        ([signal("op")], []),
    ],
    ids=["nothing", "timer", "past timer", "fired", "ended", "signal", "signal of an ended one", "past", "at once"],
)
def test_timers_of_live_executions_and_scheduled_signals_are_pending(decided, expected):
    found = pending_messages(first_episode(*decided), after=NOON)

    assert [(message.event, message.target, due) for message, due in found] == expected


def test_nothing_is_pending_without_a_start():
    assert list(pending_messages([], after=NOON)) == []
