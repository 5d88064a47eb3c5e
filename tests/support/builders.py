"""Values with defaults, so that a test names only what it is about."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub.core.admission import Arrival
from taskhub.model.history import (
    EventRaised,
    ExecutionStarted,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    ParentInstance,
    TaskCompleted,
    TaskScheduled,
)
from taskhub.model.ids import ETag, ExecutionId, InstanceId, Utc, WorkerId
from taskhub.model.leases import PartitionLease
from taskhub.model.messages import CLIENT, Envelope, TaskMessage

if TYPE_CHECKING:
    from taskhub.model.history import HistoryEvent

NOON = Utc("2026-01-05T12:00:00Z")
INSTANCE = OrchestrationInstance(InstanceId("order-42"), ExecutionId("e1"))
PARENT = ParentInstance("Parent", OrchestrationInstance(InstanceId("parent-1"), ExecutionId("p1")), 3, "1.0")


def at(seconds: float) -> Utc:
    """Return a time so many seconds after noon."""
    return NOON.plus(timedelta(seconds=seconds))


def started(**changes: Any) -> ExecutionStarted:
    return ExecutionStarted(**{"timestamp": NOON, "instance": INSTANCE, "name": "Order", **changes})


def scheduled(task_id: int = 0, name: str = "Charge") -> TaskScheduled:
    return TaskScheduled(event_id=task_id, timestamp=NOON, name=name, version="")


def completed(task_id: int = 0, result: str | None = '"ok"', **changes: Any) -> TaskCompleted:
    return TaskCompleted(**{"timestamp": NOON, "task_scheduled_id": task_id, "result": result, **changes})


def raised(name: str = "go", data: str | None = "1", **changes: Any) -> EventRaised:
    return EventRaised(**{"timestamp": NOON, "name": name, "input": data, **changes})


def first_episode(*decided: HistoryEvent) -> list[HistoryEvent]:
    """Return the history after a first episode that decided something."""
    return [OrchestratorStarted(timestamp=NOON), started(), *decided, OrchestratorCompleted(timestamp=NOON)]


def arrival(
    event: HistoryEvent,
    *,
    execution_id: str | None = "e1",
    sender: OrchestrationInstance = CLIENT,
    dequeue_count: int = 1,
) -> Arrival:
    """Return a message to ``order-42`` that was read from its queue."""
    target = OrchestrationInstance(INSTANCE.instance_id, ExecutionId(execution_id) if execution_id else None)
    envelope = Envelope(TaskMessage(event, target), activity_id="a", sequence_number=1, sender=sender)
    return Arrival(envelope, dequeue_count)


def lease(
    number: int,
    owner: str | None = None,
    *,
    next_owner: str | None = None,
    expires_in: float = 20,
    is_draining: bool = False,
) -> PartitionLease:
    """Return a row of the Partitions table as it is read at noon."""
    return PartitionLease(
        queue=f"hub-control-{number:02}",
        owner=WorkerId(owner) if owner else None,
        next_owner=WorkerId(next_owner) if next_owner else None,
        owned_since=at(-100) if owner else None,
        last_renewal=at(expires_in - 30) if owner else None,
        expires_at=at(expires_in) if owner or next_owner else None,
        is_draining=is_draining,
        etag=ETag(f"etag-{number}"),
    )
