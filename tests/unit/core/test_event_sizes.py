from dataclasses import fields

import pytest

from taskhub.core.event_sizes import EVENT_BYTES, estimated_bytes
from taskhub.core.runtime_state import RuntimeState
from taskhub.model import history
from taskhub.model.history import (
    EventRaised,
    ExecutionCompleted,
    FailureDetails,
    HistoryEventBase,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
    TimerFired,
)
from taskhub.model.instance import RuntimeStatus
from tests.support.builders import NOON

DETAILS = FailureDetails("E", "m" * 5, "s" * 7)
KINDS = [
    kind
    for kind in vars(history).values()
    if isinstance(kind, type) and issubclass(kind, HistoryEventBase) and kind is not HistoryEventBase
]


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (TimerFired(timestamp=NOON, timer_id=0, fire_at=NOON), 0),
        (TaskCompleted(timestamp=NOON, task_scheduled_id=0, result="x" * 100), 100),
        (TaskCompleted(timestamp=NOON, task_scheduled_id=0), 0),
        (TaskScheduled(timestamp=NOON, event_id=0, name="work", input="x" * 20), 24),
        (EventRaised(timestamp=NOON, name="go", input="[]"), 4),
        (TaskFailed(timestamp=NOON, task_scheduled_id=0, reason="r" * 3, details="d" * 4, failure=DETAILS), 19),
        (ExecutionCompleted(timestamp=NOON, event_id=1, status=RuntimeStatus.Failed, failure=DETAILS), 12),
    ],
)
def test_an_event_takes_a_fixed_figure_and_its_texts(event, texts):
    assert estimated_bytes(event) == EVENT_BYTES + texts


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.type_name)
def test_every_large_field_of_every_event_counts(kind):
    large = {field.name for field in fields(kind)} & {"input", "result", "reason", "details", "data"}
    others = {field.name for field in fields(kind)} - large

    event = object.__new__(kind)
    for name in others:
        object.__setattr__(event, name, None)
    for name in large:
        object.__setattr__(event, name, "x" * 1_000)

    assert estimated_bytes(event) == EVENT_BYTES + 1_000 * len(large)


def test_a_state_counts_what_it_is_given():
    events = [TaskCompleted(timestamp=NOON, task_scheduled_id=n, result="x" * n) for n in range(10)]

    assert RuntimeState.of(events).size_bytes == 10 * EVENT_BYTES + 45
