"""Runs an orchestrator through the JSON shell, as the official extension would, over events that a test writes."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from typing import Any

import azure.durable_functions as df
import pytest

START = datetime(2024, 3, 5, 10, 0, tzinfo=timezone.utc)
MARKER = "\n\n$OutOfProcData$:"


def event(kind: int, event_id: int = -1, *, at: datetime = START, **properties: Any) -> dict[str, Any]:
    """Return a raw event of the history."""
    time = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {"EventType": kind, **properties, "EventId": event_id, "IsPlayed": False, "Timestamp": time}


def context_text(*events: dict[str, Any], **keys: Any) -> str:
    """Return what the extension hands over: an execution that has started, then ``events``."""
    history = [event(12), event(0, Name="Flow", Version=None, Input=None), *events]
    return json.dumps(
        {
            "history": history,
            "input": None,
            "instanceId": "i-1",
            "isReplaying": False,
            "parentInstanceId": None,
            "upperSchemaVersion": 1,
            "upperSchemaVersionNew": 2,
            "longRunningTimerIntervalDuration": "3.00:00:00",
            "maximumShortTimerDuration": "6.00:00:00",
            **keys,
        }
    )


def run(function: Any, *events: dict[str, Any], **keys: Any) -> dict[str, Any]:
    """Replay a function over a history; return the state."""
    state: dict[str, Any] = json.loads(df.Orchestrator.create(function)(context_text(*events, **keys)))
    return state


def run_failing(function: Any, *events: dict[str, Any], **keys: Any) -> Exception:
    """Replay a function that fails through the marker; return what the worker gets."""
    with pytest.raises(Exception, match=re.escape(MARKER)) as caught:
        run(function, *events, **keys)
    return caught.value
