"""Messages that must lie hidden in a queue, as the history of their sender tells.

Where a queue does not show what is hidden, a dump of it would lack timers and scheduled signals. They can be made
again: whatever was scheduled and has not come yet. One that has come, or was put twice, is recognised by its reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.core.timers import due_of_event
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionStarted,
    OrchestrationInstance,
    TimerCreated,
    TimerFired,
)
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import Utc
    from taskhub.model.instance import InstanceState


def pending_messages(history: Sequence[HistoryEvent], *, after: Utc) -> Iterator[tuple[TaskMessage, Utc]]:
    """Yield what an execution has scheduled for later than ``after``, with the time at which it is due."""
    started = next((event for event in history if isinstance(event, ExecutionStarted)), None)
    if started is None:
        return
    has_ended = any(isinstance(event, ExecutionCompleted) for event in history)
    fired = {event.timer_id for event in history if isinstance(event, TimerFired)}
    for event in history:
        if isinstance(event, TimerCreated) and not has_ended and event.event_id not in fired:
            timer = TimerFired(timestamp=event.timestamp, timer_id=event.event_id, fire_at=event.fire_at)
            if event.fire_at.padded() > after.padded():
                yield TaskMessage(timer, target=started.instance), event.fire_at
        elif isinstance(event, EventSent):
            due = due_of_event(event.instance_id, event.name)
            if due is not None and due.padded() > after.padded():
                raised = EventRaised(timestamp=event.timestamp, name=event.name, input=event.input)
                yield TaskMessage(raised, target=OrchestrationInstance(event.instance_id, None)), due


def start_of_row(row: InstanceState) -> ExecutionStarted | None:
    """Return the start of an instance that has not begun, as its row tells it; ``None`` when it does not.

    Args:
        row: as read with its input.
    """
    if row.name is None or row.created is None:
        return None
    return ExecutionStarted(
        timestamp=row.created,
        instance=OrchestrationInstance(row.instance_id, row.execution_id),
        name=row.name,
        version=row.version,
        input=row.input,
        tags=row.tags,
        scheduled_start=row.scheduled_start,
        generation=row.generation,
    )
