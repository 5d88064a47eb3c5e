"""Finds out for what an orchestration waits, by replaying its history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.actions import (
    CallActivityAction,
    CallEntityAction,
    CallHttpAction,
    CallSubOrchestratorAction,
    CreateTimerAction,
    WaitForExternalEventAction,
)
from azure.durable_functions._replay.nondeterminism import position
from azure.durable_functions._replay.tasks import CompoundTask
from azure.durable_functions.replay import OrchestrationSession

from taskhub.codec.messages import raw_event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from azure.durable_functions._replay.executor import Executor
    from azure.durable_functions._replay.tasks import TaskBase

    from taskhub.model.history import HistoryEvent


@dataclass(frozen=True, slots=True)
class Waits:
    """For what code waits, and at which of its lines."""

    tasks: tuple[str, ...] = ()
    where: str | None = None


def waits_of(function: Callable[..., Any] | None, instance_id: str, events: Sequence[HistoryEvent]) -> Waits:
    """Return for what an instance waits; nothing for one that has ended or not begun.

    Args:
        function: its orchestrator.
        instance_id: its id.
        events: its history.
    """
    if function is None or not events:
        return Waits()
    session = OrchestrationSession(function, instance_id=instance_id)
    try:
        session.advance([raw_event(event) for event in events], replayed=len(events))
        return waits_of_session(session)
    finally:
        session.close()


def waits_of_session(session: OrchestrationSession) -> Waits:
    """Return for what the code of a session waits."""
    executor = session._executor
    if executor.has_ended:
        return Waits()
    return Waits(tuple(_described(task) for task in _awaited(executor._current)), where(executor))


def where(executor: Executor) -> str | None:
    """Return at which line the code of an executor stands; ``None`` when it has ended."""
    file, line, source = position(executor._code)
    return None if file is None else f"{file}, line {line}: {source or ''}".removesuffix(": ")


def _awaited(task: TaskBase) -> Iterator[TaskBase]:
    """Yield what has to happen for a task to complete."""
    if task.is_completed:
        return
    if isinstance(task, CompoundTask):
        for child in task.children:
            yield from _awaited(child)
    else:
        yield task


def _described(task: TaskBase) -> str:
    match task.action_repr:
        case CallHttpAction() as action:
            return f"the answer to an HTTP request to {action.http_request.to_json()['uri']}"
        case CallActivityAction() as action:
            return f"activity '{action.function_name}'"
        case CallSubOrchestratorAction() as action:
            return f"sub-orchestration '{action.function_name}'"
        case CreateTimerAction() as action:
            return f"timer until {action.fire_at.isoformat()}"
        case WaitForExternalEventAction() as action:
            return f"external event '{action.external_event_name}'"
        case CallEntityAction() as action:
            return f"entity '{action.entity_id}' to run '{action.operation}'"
        case action:
            return f"a {type(action).__name__.removesuffix('Action')}"
