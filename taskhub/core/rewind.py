"""What rewinding makes of a failed execution: what led to its failure become tombstones, and replay does it again.

::

    … kept …  request 4   kept answers   failure of 4   request 5   answer 5   the end
                 ✝                            ✝             ✝           ✝          ✝

A failed activity goes together with its request: replay asks anew, under the same task id. A failed sub-orchestration
goes too, but its request stays: the child is rewound as well and answers again. The end of the execution goes, which
makes it a live one. Whatever the code asked for after the failure (the timer after the last attempt of a retry, say)
goes as well, because the code may ask for something else now; and so does what was asked for and never answered,
because an ended execution gets no answers any more. Failures that the code dealt with stay, and so does what completed.

Between the tombstones and the wake-up an execution is *asleep*: live, with nothing on its way to it. A rewind that
broke off leaves it so, and the next one goes on from there.

Source: DurableTask.AzureStorage, AzureTableTrackingStore.RewindHistoryAsync, which makes tombstones of all failures
and of nothing else. Where nothing was asked for after the first failure that is the same. Elsewhere its replay meets
requests that the code has not come to, and the instance fails for good.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

from taskhub.core.runtime_state import answered_task
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionSuspended,
    GenericEvent,
    OrchestratorCompleted,
    OrchestratorStarted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskFailed,
    TaskScheduled,
    TimerCreated,
)
from taskhub.model.instance import RuntimeStatus

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.model.history import HistoryEvent
    from taskhub.model.ids import InstanceId


@dataclass(frozen=True, slots=True)
class Edit:
    """One row to change."""

    index: int
    """Of the event in its history."""
    type_name: str
    """What the event is now."""
    entombs: bool = True
    """Whether it becomes a tombstone; else it is only marked, and stays what it is."""


@dataclass(frozen=True, slots=True)
class Child:
    """A sub-orchestration that the execution waits for once it lives again."""

    task_id: int
    instance_id: InstanceId
    request: Edit
    """Of the request, if the child shall not answer but be started again."""
    has_failed: bool
    """The execution has heard of a failure; else it has heard nothing."""


@dataclass(frozen=True, slots=True)
class RewindPlan:
    """How to rewind one execution."""

    edits: tuple[Edit, ...]
    """In an order that may break off anywhere: requests before their answers, failures late, the end last."""
    children: tuple[Child, ...]


def plan_rewind(history: Sequence[HistoryEvent]) -> RewindPlan | None:
    """Return how to rewind an execution, ``None`` when it has neither failed nor is asleep."""
    end = next((event for event in reversed(history) if isinstance(event, ExecutionCompleted)), None)
    if end is None:
        tasks, _ = _tasks_of(history)
        return RewindPlan((), _children(tasks, len(history))) if _is_asleep(history) else None
    if end.status is not RuntimeStatus.Failed:
        return None
    tasks, orphans = _tasks_of(history)
    first = _first_to_undo(history, end)
    kept = [task for task in tasks if task.request < first]
    rows = [
        *orphans,
        *(row for task in tasks if task.request > first for row in task.rows),
        *(task.request for task in kept if not task.answers and isinstance(task.event, (TaskScheduled, TimerCreated))),
        *(
            row
            for task in kept
            if task.fails_from(first) and isinstance(task.event, TaskScheduled)
            for row in task.rows
        ),
    ]
    edits = [Edit(row, history[row].type_name) for row in rows]
    for task in kept:
        if task.fails_from(first) and isinstance(task.event, SubOrchestrationCreated):
            edits.append(Edit(task.request, task.event.type_name, entombs=False))
            edits += (Edit(row, history[row].type_name) for row in task.answers)
    edits += (Edit(row, event.type_name) for row, event in enumerate(history) if isinstance(event, ExecutionCompleted))
    return RewindPlan(tuple(edits), _children(kept, first))


@dataclass(slots=True)
class _Task:
    """Something that the code asked for, with all that was answered."""

    id: int
    event: _Request
    request: int
    """Row of the request."""
    answers: list[int]
    """Rows of the answers; all but the first are second copies."""
    has_failed: bool = False

    @property
    def rows(self) -> list[int]:
        return [self.request, *self.answers]

    def fails_from(self, row: int) -> bool:
        """Return whether the task was answered with a failure, in ``row`` or later."""
        return self.has_failed and self.answers[0] >= row


def _tasks_of(history: Sequence[HistoryEvent]) -> tuple[list[_Task], list[int]]:
    """Return what the code asked for, and rows of answers without a request, which a rewind that broke off left."""
    tasks: list[_Task] = []
    current: dict[int, _Task] = {}
    orphans: list[int] = []
    for row, event in enumerate(history):
        if isinstance(event, _REQUESTS):
            task = current[event.event_id] = _Task(event.event_id, event, row, [])
            tasks.append(task)
            continue
        task_id = answered_task(event)
        if task_id is None:
            continue
        if task_id not in current:
            orphans.append(row)
            continue
        task = current[task_id]
        if not task.answers:
            task.has_failed = isinstance(event, _FAILURES)
        task.answers.append(row)
    return tasks, orphans


def _first_to_undo(history: Sequence[HistoryEvent], end: ExecutionCompleted) -> int:
    """Return the row of the first failure that ended the execution; behind the last row when its own code did.

    That is the last failure after which the code asked for nothing, or which the end names, and those right before it.
    """
    text = f"{end.result} {end.failure.error_message if end.failure else ''}"
    found: int | None = None
    has_gone_on = False
    for row in range(len(history) - 1, -1, -1):
        event = history[row]
        if isinstance(event, _FAILURES):
            if found is not None or not has_gone_on or (event.reason and event.reason in text):
                found = row
        elif isinstance(event, _REQUESTS):
            if found is not None:
                break
            has_gone_on = has_gone_on or not _is_due_at_once(event)
    return len(history) if found is None else found


def _is_due_at_once(event: HistoryEvent) -> bool:
    """Return whether an event is a timer like the one that follows the last attempt of a retry."""
    return isinstance(event, TimerCreated) and event.fire_at.padded() <= event.timestamp.padded()


def _children(tasks: Iterable[_Task], first: int) -> tuple[Child, ...]:
    return tuple(
        Child(
            task.id,
            task.event.instance_id,
            Edit(task.request, task.event.type_name),
            has_failed=task.has_failed,
        )
        for task in tasks
        if isinstance(task.event, SubOrchestrationCreated) and (not task.answers or task.fails_from(first))
    )


def _is_asleep(history: Sequence[HistoryEvent]) -> bool:
    """Return whether nothing came after the tombstone of the execution's end but messages that led to nothing."""
    row = len(history) - 1
    while row > 0 and isinstance(history[row], _LEADING_TO_NOTHING):
        row -= 1
    is_end = row + 1 < len(history) and isinstance(history[row + 1], OrchestratorCompleted)
    # A wake-up is a GenericEvent too; what a tombstone stands for had an id.
    return is_end and isinstance(history[row], GenericEvent) and history[row].event_id >= 0


_Request = Union[TaskScheduled, TimerCreated, SubOrchestrationCreated, EventSent]  # noqa: UP007 (a runtime alias on 3.10)
_REQUESTS = (TaskScheduled, TimerCreated, SubOrchestrationCreated, EventSent)
_FAILURES = (TaskFailed, SubOrchestrationFailed)
_LEADING_TO_NOTHING = (OrchestratorStarted, OrchestratorCompleted, EventRaised, ExecutionSuspended, ExecutionResumed)
