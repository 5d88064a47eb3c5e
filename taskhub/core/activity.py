"""Outcome of an activity → the message that answers its orchestration."""

from __future__ import annotations

import uuid
from hashlib import blake2b
from typing import TYPE_CHECKING

from taskhub.model.history import TaskCompleted, TaskFailed, TaskScheduled
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from taskhub.model.history import FailureDetails
    from taskhub.model.ids import ExecutionId, Utc
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


def question_id(execution_id: ExecutionId | None, task_id: int, asked: Utc) -> str:
    """Return the activity id of a work item, which its answer repeats, so that its reader knows which one it answers.

    An episode that put its messages and was not stored may decide otherwise when it is run again, and ask for another
    activity under the same task id. Answers tell only that id. But for every message the reference draws a GUID, by
    which logs can be joined and nobody looks for anything: those of our work items are made from the question. Their
    version is 8, which the reference never draws.

    Args:
        execution_id: of the orchestration.
        task_id: under which it asked.
        asked: the time of the question, in its message as in the history.
    """
    question = f"{execution_id}:{task_id}:{asked.padded()}"
    raw = bytearray(blake2b(question.encode("utf-8", "surrogatepass"), digest_size=16).digest())
    raw[6] = raw[6] & 0x0F | _VERSION << 4
    raw[8] = raw[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(raw)))


def is_question_id(activity_id: str) -> bool:
    """Return whether an activity id is one of :func:`question_id`."""
    try:
        return uuid.UUID(activity_id).bytes[6] >> 4 == _VERSION
    except ValueError:
        return False


_VERSION = 8
"""Of UUIDs that are made in whatever way their maker likes (RFC 9562)."""
