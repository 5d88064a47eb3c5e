"""Due times and the visibility of the messages that carry them.

A queue counts visibility in whole seconds and at most seven days. The reference truncates, so that its timers come
up to a second early, and refuses what lies further ahead. A message of ours is put in the same way, so that a .NET
worker can take it, but whoever reads one before its time holds it in memory for the rest of the second, or hides it
again when days are left.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from taskhub.model.entities import is_entity
from taskhub.model.history import EventRaised, ExecutionStarted, TimerFired
from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from taskhub.model.ids import InstanceId
    from taskhub.model.messages import TaskMessage

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
    """Keep the message in memory until its time, which is near."""

    due: Utc


@dataclass(frozen=True, slots=True)
class Hide:
    """Hide the message again for whole seconds."""

    seconds: int


Arrival = Union[Due, Hold, Hide]  # noqa: UP007 (a runtime alias on 3.10)


def on_arrival(message: TaskMessage, now: Utc) -> Arrival:
    """Tell what to do with a message that became visible now."""
    due = due_of(message)
    if due is None:
        return Due()
    left = _seconds_until(due, now)
    if left <= 0:
        return Due()
    if left <= MAX_HELD_SECONDS:
        return Hold(due)
    return Hide(min(int(left), MAX_HIDDEN_SECONDS))


def due_of(message: TaskMessage) -> Utc | None:
    """Return the time before which a message must not take effect."""
    event = message.event
    if isinstance(event, TimerFired):
        return event.fire_at
    if isinstance(event, ExecutionStarted):
        return event.scheduled_start
    if isinstance(event, EventRaised):
        return due_of_event(message.target.instance_id, event.name)
    return None


def due_of_event(target: InstanceId, name: str) -> Utc | None:
    """Return the time in the name of an event for an entity: ``xx@<time>``, with the ``@`` as third character."""
    if not is_entity(target) or name[2:3] != "@":
        return None
    try:
        due = Utc.parse(name[3:])
        due.moment()
    except ValueError:
        return None
    return due


def _seconds_until(due: Utc, now: Utc) -> float:
    return (due.moment() - now.moment()).total_seconds()
