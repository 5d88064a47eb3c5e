"""What the host handed over and no replay can get past: errors that say where and what.

A replay reads a few keys of each event and trusts them. These functions are for when that went wrong.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from azure.durable_functions._replay.history import HistoryEventType
from azure.durable_functions.errors import CorruptHistoryError, MalformedContextError

if TYPE_CHECKING:
    from collections.abc import Sequence

_KEYS = ("EventType", "EventId", "IsPlayed", "Timestamp")
_TELLING_KEYS = ("EventId", "TaskScheduledId", "TimerId", "Name")


def corrupt_event(index: int, event: Any, error: Exception) -> CorruptHistoryError:
    """Return the error for an event at which a replay stumbled.

    Args:
        index: its position in what was handed over.
        event: the event.
        error: what the replay stumbled over.
    """
    if not isinstance(event, Mapping):
        return CorruptHistoryError(
            f"Event {index} of the history is no object but {type(event).__name__}: {event!r}", index=index
        )
    key = next((key for key in _KEYS if key not in event), None)
    if key is None and isinstance(error, KeyError):
        key = str(error.args[0])
    if key is not None:
        return CorruptHistoryError(
            f"Event {index} of the history, {_described(event)}, has no {key!r}.", index=index, event=event, key=key
        )
    return CorruptHistoryError(
        f"Event {index} of the history, {_described(event)}, cannot be replayed: {type(error).__name__}: {error}",
        index=index,
        event=event,
    )


def check_history(history: Any) -> None:
    """Check what every replay needs of a history; called when something else has failed.

    Raises:
        CorruptHistoryError: an event lacks a key that all have, or an execution never begins.
    """
    if not isinstance(history, (list, tuple)):
        raise CorruptHistoryError(f"The history is no list of events but {type(history).__name__}.")
    for index, event in enumerate(history):
        if not isinstance(event, Mapping) or any(key not in event for key in _KEYS):
            raise corrupt_event(index, event, ValueError("malformed"))
    for kind in (HistoryEventType.ORCHESTRATOR_STARTED, HistoryEventType.EXECUTION_STARTED):
        if all(event["EventType"] != kind for event in history):
            name = "".join(part.capitalize() for part in kind.name.split("_"))
            raise CorruptHistoryError(f"The history holds no {name} event.")


def _described(event: Mapping[str, Any]) -> str:
    kind = event.get("EventType")
    name = next((member.name for member in HistoryEventType if member == kind), f"of type {kind!r}")
    about = ", ".join(f"{key} {event[key]!r}" for key in _TELLING_KEYS if event.get(key) is not None)
    return f"{name} ({about})" if about else name


def read_object(text: Any, what: str, required: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object that the host handed over.

    Args:
        text: JSON.
        what: what it is, for the error: ``orchestration trigger``.
        required: keys that it must have.

    Raises:
        json.JSONDecodeError: not JSON.
        MalformedContextError: no object, or keys are missing.
    """
    found = json.loads(text)
    if not isinstance(found, dict):
        raise MalformedContextError(f"The {what} is no JSON object but {type(found).__name__}.")
    missing = [key for key in required if key not in found]
    if missing:
        keys = ", ".join(map(repr, missing))
        raise MalformedContextError(f"The {what} has no {keys}.", key=missing[0])
    return found
