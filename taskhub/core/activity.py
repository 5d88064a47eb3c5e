"""Outcome of an activity → the message that answers its orchestration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.model.history import TaskCompleted, TaskFailed, TaskScheduled
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from taskhub.model.history import FailureDetails
    from taskhub.model.ids import Utc
    from taskhub.model.messages import Envelope

NO_EPISODE = -1
"""What an answer says when its work item did not tell its episode."""


def succeeded(work_item: Envelope, task: TaskScheduled, result: str | None, *, now: Utc) -> TaskMessage:
    """Return the answer of an activity that returned."""
    event = TaskCompleted(timestamp=now, task_scheduled_id=task.event_id, result=result)
    return TaskMessage(event, target=work_item.message.target)


def failed(
    work_item: Envelope,
    task: TaskScheduled,
    reason: str,
    details: str | None,
    failure: FailureDetails | None = None,
    *,
    now: Utc,
) -> TaskMessage:
    """Return the answer of an activity that raised, or cannot be run."""
    event = TaskFailed(timestamp=now, task_scheduled_id=task.event_id, reason=reason, details=details, failure=failure)
    return TaskMessage(event, target=work_item.message.target)


def answer_episode(work_item: Envelope) -> int:
    """Return the episode that the answer of a work item echoes."""
    return NO_EPISODE if work_item.episode is None else work_item.episode
