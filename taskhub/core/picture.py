"""PURE: a hub as it was read, for whoever looks what is wrong with it (:mod:`taskhub.core.diagnosis`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from taskhub.core.partitioning import partition_of
from taskhub.core.request_texts import request_id_of
from taskhub.core.runtime_state import RuntimeState, answered_task
from taskhub.model.history import (
    FAKE_TIMER_ID,
    EventSent,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
)
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from taskhub.core.entity_facts import EntityFacts, OpenRequest
    from taskhub.model.history import HistoryEvent
    from taskhub.model.hub import PartitionStatus
    from taskhub.model.ids import ETag, ExecutionId, InstanceId, Utc
    from taskhub.model.messages import TaskMessage


@dataclass(frozen=True, slots=True)
class OpenTask:
    """What an instance has asked for and not got."""

    task_id: int
    event: TaskScheduled | TimerCreated | SubOrchestrationCreated


@dataclass(frozen=True, slots=True)
class ExecutionFacts:
    """What the history of an instance's current execution tells."""

    execution_id: ExecutionId | None
    etag: ETag | None
    """Of the sentinel."""
    status: RuntimeStatus
    is_whole: bool
    events: int
    open_tasks: tuple[OpenTask, ...] = ()
    unanswered: tuple[EventSent, ...] = ()
    """What was sent to entities and has an id that no event answered; signals among them."""
    trouble: str | None = None
    """Why it cannot be read."""

    @classmethod
    def of(
        cls,
        events: Iterable[HistoryEvent],
        *,
        execution_id: ExecutionId | None,
        etag: ETag | None,
        is_complete: bool,
    ) -> ExecutionFacts:
        """Fold a history."""
        state = RuntimeState()
        tasks: dict[int, TaskScheduled | TimerCreated | SubOrchestrationCreated] = {}
        sent: dict[str, EventSent] = {}
        for event in events:
            state.apply(event)
            if isinstance(event, (TaskScheduled, TimerCreated, SubOrchestrationCreated)):
                tasks[event.event_id] = event
            elif isinstance(event, EventSent):
                request_id = request_id_of(event)
                if request_id is not None:
                    sent[request_id] = event
            else:
                done = answered_task(event)
                if done is not None:
                    tasks.pop(done, None)
        tasks.pop(FAKE_TIMER_ID, None)
        is_open = not state.is_terminal
        return cls(
            execution_id,
            etag,
            state.status,
            state.is_whole and is_complete,
            state.event_count,
            tuple(OpenTask(task_id, event) for task_id, event in sorted(tasks.items())) if is_open else (),
            tuple(event for each, event in sent.items() if each not in state.answered) if is_open else (),
        )


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What the row of an instance tells."""

    etag: ETag | None
    status: RuntimeStatus | None
    execution_id: ExecutionId | None
    name: str | None = None
    scheduled_start: Utc | None = None
    locked_by: InstanceId | None = None
    """Of an entity."""
    trouble: str | None = None
    """Why it cannot be read."""


@dataclass(frozen=True, slots=True)
class MessageFacts:
    """A message in a queue."""

    queue: str
    message: TaskMessage | None
    trouble: str = ""
    """Why it cannot be read, when there is no message."""


@dataclass(frozen=True)
class Picture:
    """A hub as it was read."""

    now: Utc
    partition_count: int
    """As configured."""
    partitions: Sequence[PartitionStatus]
    work_items: str
    """Name of that queue."""
    executions: Mapping[InstanceId, ExecutionFacts] = field(default_factory=dict)
    rows: Mapping[InstanceId, RowFacts] = field(default_factory=dict)
    messages: Sequence[MessageFacts] = ()
    requests: Mapping[InstanceId, Sequence[OpenRequest]] = field(default_factory=dict)
    """Of orchestrations to entities, those that were not answered."""
    entities: Mapping[InstanceId, EntityFacts] = field(default_factory=dict)
    """Those that requests concern, as far as they exist."""
    hidden: Mapping[str, int] = field(default_factory=dict)
    """By queue: messages that are there and could not be seen."""
    blobs: Mapping[str, tuple[int, ETag]] = field(default_factory=dict)
    """Size and ETag of each large value."""
    referred: frozenset[str] = frozenset()
    """Names of blobs in rows and messages."""
    folders: frozenset[str] = frozenset()
    """Folders of blobs of all instances that there are; what is in them goes when the instance is purged."""
    dead_letters: int = 0

    @cached_property
    def waiting(self) -> Mapping[InstanceId, Sequence[TaskMessage]]:
        """Messages by whom they are for, work items by who waits for them."""
        found: dict[InstanceId, list[TaskMessage]] = {}
        for each in self.messages:
            if each.message is not None:
                found.setdefault(each.message.target.instance_id, []).append(each.message)
        return found

    @property
    def is_at_work(self) -> bool:
        """Whether workers hold partitions."""
        return any(each.is_held for each in self.partitions)

    def queue_of(self, instance_id: InstanceId) -> str:
        """Return the control queue of an instance."""
        return self.partitions[partition_of(instance_id, len(self.partitions))].queue

    def sees(self, queue: str) -> bool:
        """Return whether what is not seen in a queue is not there: all that lies hidden is explained by timers."""
        return self.hidden.get(queue, 0) <= self._sleepers.get(queue, 0)

    @cached_property
    def _sleepers(self) -> Mapping[str, int]:
        count: dict[str, int] = {}
        for instance_id, execution in self.executions.items():
            for task in execution.open_tasks:
                if isinstance(task.event, TimerCreated) and self.is_ahead(task.event.fire_at):
                    queue = self.queue_of(instance_id)
                    count[queue] = count.get(queue, 0) + 1
        for instance_id, row in self.rows.items():
            if row.status is RuntimeStatus.Pending and self.is_ahead(row.scheduled_start):
                queue = self.queue_of(instance_id)
                count[queue] = count.get(queue, 0) + 1
        return count

    def is_ahead(self, time: Utc | None) -> bool:
        """Return whether a time is still to come."""
        return time is not None and time.padded() > self.now.padded()
