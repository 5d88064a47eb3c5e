"""Messages that were taken out of their queues because nobody could work on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.model.ids import ExecutionId, InstanceId, Utc

POISONED = "PoisonedMessageError"
"""Type of the failure that whoever waits for a poisoned message gets."""


@dataclass(frozen=True, slots=True)
class Address:
    """What a readable message says of itself."""

    instance_id: InstanceId
    """Whom it was for; of an activity's work item the orchestration that waits for it."""
    execution_id: ExecutionId | None
    event_type: str
    """What it brought: ``TaskScheduled``, ``ExecutionStarted``, ``EventRaised`` …"""
    name: str | None = None
    """Of the activity, the orchestrator or the event."""
    task_id: int | None = None
    """Of the task that it asked for or answered."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message as it was parked, and why."""

    id: str
    """Made of the message's own id, which an embedded store counts, and so may use again elsewhere."""
    message_id: str
    queue: str
    """Without the hub's name: ``workitems`` or ``control-02``."""
    reason: str
    dequeue_count: int
    inserted: Utc
    """When it came into its queue."""
    parked: Utc
    text: str
    """As it lay in the queue: JSON, base64 of it, or whatever it was."""
    address: Address | None = None
    """``None`` for a message that cannot be read."""
    blob_name: str | None = None
    """Where the message itself lay, if the queue held only a pointer."""
    has_content: bool = False
    """Whether that blob was there, so that a copy of it was kept."""
    told: InstanceId | None = None
    """Who waited for it and was told of a failure; of a start that nobody waits for the instance itself."""
