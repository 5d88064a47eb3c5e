"""Due times and the visibility of the messages that carry them.

A queue counts visibility in whole seconds and at most seven days. The reference truncates, so that its timers come
up to a second early, and refuses what lies further ahead. A message of ours is put in the same way, so that a .NET
worker can take it, but whoever reads one before its time holds it in memory for the rest of the second, or hides it
again when days are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from taskhub.model.history import ExecutionStarted, HistoryEvent, TimerFired

if TYPE_CHECKING:
    from taskhub.model.ids import Utc

MAX_HIDDEN_SECONDS = 7 * 24 * 3600
"""The service's limit of a visibility timeout."""

MAX_HELD_SECONDS = 2.0
"""What lies this near is held in memory; more than the second that truncation can cost."""


def visible_after(due: Utc | None, now: Utc) -> int:
    """Return the whole seconds for which the message of something due at ``due`` is put hidden."""
    if due is None:
        return 0
    return max(0, min(int(_seconds_until(due, now)), MAX_HIDDEN_SECONDS))


@dataclass(frozen=True, slots=True)
class Due:
    """It is time."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Keep the message in memory for some seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Hide:
    """Hide the message again for whole seconds."""

    seconds: int


Arrival = Union[Due, Hold, Hide]  # noqa: UP007 (a runtime alias on 3.10)


def on_arrival(event: HistoryEvent, now: Utc) -> Arrival:
    """Tell what to do with a message that became visible now."""
    due = due_of(event)
    if due is None:
        return Due()
    left = _seconds_until(due, now)
    if left <= 0:
        return Due()
    if left <= MAX_HELD_SECONDS:
        return Hold(left)
    return Hide(min(int(left), MAX_HIDDEN_SECONDS))


def due_of(event: HistoryEvent) -> Utc | None:
    """Return the time before which an event must not take effect."""
    if isinstance(event, TimerFired):
        return event.fire_at
    if isinstance(event, ExecutionStarted):
        return event.scheduled_start
    return None


def _seconds_until(due: Utc, now: Utc) -> float:
    return (due.moment() - now.moment()).total_seconds()
