"""Errors for values that cannot be decoded: which value it is, and what is wrong with it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.history import HistoryEventType
from azure.durable_functions.errors import PayloadDecodeError

if TYPE_CHECKING:
    from azure.durable_functions._replay.tasks import TaskBase

_SHOWN = 200
_NOUNS = {
    HistoryEventType.TASK_SCHEDULED: "activity",
    HistoryEventType.SUB_ORCHESTRATION_INSTANCE_CREATED: "sub-orchestration",
}


def undecodable(field: str, text: Any, expected: Any, error: Exception) -> PayloadDecodeError:
    """Return the error for a value that cannot be decoded.

    Args:
        field: which value: ``result of activity 'Quote' (task 3)``.
        text: the JSON text.
        expected: the type that was expected; ``None`` for none.
        error: what decoding raised.
    """
    name = None if expected is None else _name_of(expected)
    path, inner = "", name
    if isinstance(error, PayloadDecodeError):
        path, inner = error.path, error.expected
    problem = f"it is no JSON ({error})" if isinstance(error, json.JSONDecodeError) else str(error)
    wanted = "" if name is None else f" as {name}"
    shown = text if isinstance(text, str) else repr(text)
    found = PayloadDecodeError(
        f"The {field} cannot be decoded{wanted}: {problem}",
        field=field,
        path=path,
        expected=inner,
        text=shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}...",
    )
    found.__cause__ = error
    return found


def _name_of(expected: Any) -> str:
    from azure.durable_functions._conversion import type_name  # seldom needed

    return type_name(expected)


def result_of(task: TaskBase) -> str:
    """Return how to speak of a task's result."""
    action = task.action_repr
    noun = _NOUNS.get(action._recorded_as, "task")
    return f"result of {noun} {action._recorded_name!r} (task {task.id})"
