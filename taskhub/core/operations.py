"""Operations that code asked for → the history event that records each and the message that carries it out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.core.timers import due_of_event
from taskhub.core.tracing import own_span_of, question_span, traced_request
from taskhub.model.actions import CreateTimer, Operation, ScheduleActivity, SendEvent, StartSubOrchestration
from taskhub.model.entities import RELEASE_EVENT, is_entity
from taskhub.model.history import (
    EventRaised,
    EventSent,
    ExecutionStarted,
    HistoryEvent,
    OrchestrationInstance,
    ParentInstance,
    SubOrchestrationCreated,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import ExecutionId, InstanceId, Utc
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

FIRE_AND_FORGET_TAG = "FireAndForget"
"""Tag of a child that does not answer its parent; not inherited."""

_CHILD_EXECUTIONS = uuid.UUID("5b0d8a6e-6f0e-5a3c-9d0e-3c1f3a9f7a51")
"""Name space of the execution ids of children."""


@dataclass(frozen=True, slots=True)
class EpisodeRules:
    """Settings that episodes depend on."""

    default_version: str | None = None
    store_inputs: bool = False
    max_custom_status_kilobytes: int = 16
    max_actions: int = 100_000
    """Operations of one execution."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to send, and when its reader should see it (``None``: at once)."""

    message: TaskMessage
    due: Utc | None = None


def carry_out(
    operation: Operation, parent: ExecutionStarted, *, now: Utc, rules: EpisodeRules, rewound: Mapping[int, int]
) -> tuple[HistoryEvent, Outgoing]:
    """Return the history event and the message of one operation of the execution that ``parent`` started.

    Args:
        operation: what the code asked for.
        parent: the start of its execution.
        now: the time.
        rules: settings.
        rewound: how often rewinds took back each task of the execution.
    """
    match operation:
        case ScheduleActivity():
            return _activity(operation, parent, now, rules)
        case CreateTimer():
            return _timer(operation, parent, now)
        case StartSubOrchestration():
            return _sub_orchestration(operation, parent, now, rules, rewound.get(operation.task_id, 0))
        case SendEvent():
            return _event(operation, parent, now)


def child_execution_id(
    parent: ExecutionId | None, operation: StartSubOrchestration, times_rewound: int = 0
) -> ExecutionId:
    """Return the execution id of a sub-orchestration.

    The same for the same question: when a parent dies between putting the start and storing its history, it puts the
    start again, and the child must know that it is the same one. (The reference draws a new id, and the child begins
    anew while its first run may still be going on.) After a rewind it is another question; and so it is when the parent
    decides otherwise the second time and asks for another child under the same task id.
    """
    question = (
        f"{parent}:{operation.task_id}:{times_rewound}:{operation.name}:{operation.instance_id}:{operation.input}"
    )
    return ExecutionId(uuid.uuid5(_CHILD_EXECUTIONS, question).hex)


def _activity(
    operation: ScheduleActivity, parent: ExecutionStarted, now: Utc, rules: EpisodeRules
) -> tuple[HistoryEvent, Outgoing]:
    span = question_span(parent, operation.task_id, now)
    trace = None if span is None else span.carried()

    def event(content: str | None) -> TaskScheduled:
        return TaskScheduled(
            event_id=operation.task_id,
            timestamp=now,
            name=operation.name,
            version="",
            input=content,
            parent_trace=trace,
        )

    message = TaskMessage(event(operation.input), target=parent.instance, context_tags=parent.tags or {})
    return event(operation.input if rules.store_inputs else None), Outgoing(message)


def _timer(operation: CreateTimer, parent: ExecutionStarted, now: Utc) -> tuple[HistoryEvent, Outgoing]:
    created = TimerCreated(event_id=operation.task_id, timestamp=now, fire_at=operation.fire_at)
    fired = TimerFired(timestamp=now, timer_id=operation.task_id, fire_at=operation.fire_at)
    return created, Outgoing(TaskMessage(fired, target=parent.instance), due=operation.fire_at)


def _sub_orchestration(
    operation: StartSubOrchestration, parent: ExecutionStarted, now: Utc, rules: EpisodeRules, times_rewound: int
) -> tuple[HistoryEvent, Outgoing]:
    execution_id = parent.instance.execution_id
    instance_id = operation.instance_id or InstanceId(f"{execution_id}:{operation.task_id}")
    version = operation.version if operation.version is not None else rules.default_version
    inherited = {name: value for name, value in (parent.tags or {}).items() if name != FIRE_AND_FORGET_TAG}
    child = OrchestrationInstance(instance_id, child_execution_id(execution_id, operation, times_rewound))
    span = question_span(parent, operation.task_id, now)
    created = SubOrchestrationCreated(
        event_id=operation.task_id,
        timestamp=now,
        name=operation.name,
        version=version,
        instance_id=instance_id,
        input=operation.input if rules.store_inputs else None,
        client_span_id=None if span is None else span.span_id,
    )
    start = ExecutionStarted(
        timestamp=now,
        instance=child,
        parent=ParentInstance(parent.name, parent.instance, operation.task_id, parent.version),
        name=operation.name,
        version=version,
        input=operation.input,
        tags=inherited or None,
        parent_trace=None if span is None else span.carried(),
    )
    return created, Outgoing(TaskMessage(start, target=child, context_tags=parent.tags or {}))


def _event(operation: SendEvent, parent: ExecutionStarted, now: Utc) -> tuple[HistoryEvent, Outgoing]:
    content, trace = operation.input, None
    span = own_span_of(parent)
    if span is not None and is_entity(operation.instance_id) and operation.name != RELEASE_EVENT and content:
        content, trace = traced_request(content, parent, operation.task_id, now), span.carried()
    sent = EventSent(
        event_id=operation.task_id,
        timestamp=now,
        instance_id=operation.instance_id,
        name=operation.name,
        input=content,
    )
    raised = EventRaised(timestamp=now, name=operation.name, input=content, parent_trace=trace)
    target = OrchestrationInstance(operation.instance_id, None)
    return sent, Outgoing(TaskMessage(raised, target=target), due=due_of_event(operation.instance_id, operation.name))
