import pytest

from taskhub.core.timers import Due, Hide, Hold, on_arrival, visible_after
from taskhub.model.history import OrchestrationInstance, TimerFired
from taskhub.model.messages import TaskMessage
from tests.support.builders import NOON, at, raised, started

WEEK = 7 * 24 * 3600


@pytest.mark.parametrize(
    ("due", "seconds"),
    [
        (None, 0),
        (at(-10), 0),
        (at(0), 0),
        (at(0.999), 0),
        (at(1.999), 1),
        (at(2), 2),
        (at(WEEK), WEEK),
        (at(30 * 24 * 3600), WEEK),
    ],
)
def test_a_message_is_hidden_for_whole_seconds_up_to_a_week(due, seconds):
    assert visible_after(due, NOON) == seconds


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (-5, Due()),
        (0, Due()),
        (0.25, Hold(at(0.25))),
        (2, Hold(at(2))),
        (2.5, Hide(2)),
        (3600, Hide(3600)),
        (WEEK + 5, Hide(WEEK)),
    ],
)
def test_what_comes_before_its_time_is_held_or_hidden_again(left, expected):
    timer = TimerFired(timestamp=NOON, timer_id=0, fire_at=at(left))
    start = started(scheduled_start=at(left))

    signal = raised(f"op@{at(left).padded()}")

    assert on_arrival(to("order-42", timer), NOON) == expected
    assert on_arrival(to("order-42", start), NOON) == expected
    assert on_arrival(to("@counter@a", signal), NOON) == expected


LATER = f"op@{at(60).padded()}"


@pytest.mark.parametrize(
    ("target", "event"),
    [
        ("order-42", started()),
        ("order-42", raised()),
        ("order-42", raised(LATER)),
        ("@counter@a", raised("op")),
        ("@counter@a", raised("op@tomorrow")),
    ],
)
def test_what_has_no_time_is_due(target, event):
    assert on_arrival(to(target, event), NOON) == Due()


def to(target, event):
    return TaskMessage(event, target=OrchestrationInstance(target, None))
