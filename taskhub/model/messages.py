"""What a queue carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.model.history import OrchestrationInstance
from taskhub.model.ids import ExecutionId, InstanceId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.history import HistoryEvent

CLIENT = OrchestrationInstance(InstanceId(""), ExecutionId(""))
"""Sender of every message that no orchestration sent: both ids empty, never null (.NET reads them unchecked)."""


@dataclass(frozen=True, slots=True)
class TaskMessage:
    """An event on its way to an instance, or an activity's work item."""

    event: HistoryEvent
    target: OrchestrationInstance
    """Whom it is for; of an activity's work item the orchestration that waits for it."""
    context_tags: Mapping[str, str] | None = None
    """Tags of the parent, on TaskScheduled and on starts of sub-orchestrations (empty there when it has none);
    ``None`` on all others."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as put on a queue. Source: DurableTask.AzureStorage.MessageData."""

    message: TaskMessage
    activity_id: str
    """A new GUID for each put, lower-case with dashes; names the blob of a large message."""
    sequence_number: int
    """Counter of the sending process, from 1; orders messages of one second."""
    episode: int | None = None
    """OrchestratorStarted events in the sender's history, its current episode included; answers of activities echo
    the work item's; ``None`` from clients."""
    sender: OrchestrationInstance = CLIENT
