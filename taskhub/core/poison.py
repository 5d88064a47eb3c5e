"""Which messages are poisoned, and what whoever waits for one is told.

A queue counts how often a message was read, whatever came of it. Many readings are nobody's failure: an answer that
came before its question was stored, an instance of another version, a timer that is hidden again, a worker that stops.
Whoever puts a message back on purpose notes it on the message; what is left are the readings after which a worker died
or failed.

A worker that dies takes all that it has in hand with it, and the innocent messages are counted like the guilty one.
So a message that may be read once more has its *last chance*, and in one process only one message at a time has it: the
guilty one is then found out alone.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from taskhub.core.operations import FIRE_AND_FORGET_TAG
from taskhub.core.runtime_state import answered_task
from taskhub.model.dead_letters import POISONED, Address
from taskhub.model.history import (
    EventRaised,
    ExecutionStarted,
    FailureDetails,
    SubOrchestrationFailed,
    TaskFailed,
    TaskScheduled,
)
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from taskhub.model.ids import Utc


class Verdict(enum.Enum):
    """What to do with a message that was read."""

    WORK = "work"
    LAST_CHANCE = "last chance"
    """Work on it, but not beside another one that has its last chance."""
    POISONED = "poisoned"
    """Park it."""
    UNCOUNTED = "uncounted"
    """It was read more often than whoever counts lets a message be read: begin to count now, and work on it."""


def judge(dequeue_count: int, put_backs: int, *, limit: int) -> Verdict:
    """Judge a message.

    Args:
        dequeue_count: how often it was read, this time included.
        put_backs: how many of these readings ended with the message put back on purpose.
        limit: readings after which it is poisoned; 0 for no limit.
    """
    if limit == 0:
        return Verdict.WORK
    failures = dequeue_count - put_backs
    if failures > limit:
        # Where readings are counted nothing is read twice beyond the limit. Without a note, workers that do not count
        # have had it, and what they put back on purpose is not known.
        return Verdict.UNCOUNTED if dequeue_count > limit + 1 and not put_backs else Verdict.POISONED
    return Verdict.LAST_CHANCE if failures == limit and failures > 1 else Verdict.WORK


def is_over_limit(dequeue_count: int, *, limit: int) -> bool:
    """Return whether a message that cannot be read, and so has no notes on it, was read too often."""
    return 0 < limit < dequeue_count


def address_of(message: TaskMessage) -> Address:
    """Return what a message says of itself."""
    event = message.event
    task_id = event.event_id if isinstance(event, TaskScheduled) else answered_task(event)
    name = event.name if isinstance(event, (TaskScheduled, ExecutionStarted, EventRaised)) else None
    return Address(message.target.instance_id, message.target.execution_id, event.type_name, name, task_id)


def told_failure(message: TaskMessage, error: str, *, now: Utc) -> TaskMessage | None:
    """Return what the orchestration that waits for a poisoned message is told; ``None`` when none waits.

    Args:
        message: an activity's work item, the start of a sub-orchestration, or something else that nobody waits for.
        error: what is the matter with it.
        now: the time.
    """
    event = message.event
    failure = FailureDetails(POISONED, error)
    if isinstance(event, TaskScheduled):
        reason = f"Activity function '{event.name}' failed: {POISONED}: {error}"
        failed = TaskFailed(timestamp=now, task_scheduled_id=event.event_id, reason=reason, failure=failure)
        return TaskMessage(failed, target=message.target)
    if not isinstance(event, ExecutionStarted) or event.parent is None or FIRE_AND_FORGET_TAG in (event.tags or {}):
        return None
    child_failed = SubOrchestrationFailed(
        timestamp=now,
        task_scheduled_id=event.parent.task_schedule_id,
        reason=start_failure(event, error),
        failure=failure,
    )
    return TaskMessage(child_failed, target=event.parent.instance)


def start_failure(started: ExecutionStarted, error: str) -> str:
    """Return what is said of an instance whose start is poisoned."""
    return f"Orchestrator function '{started.name}' failed: {POISONED}: {error}"
