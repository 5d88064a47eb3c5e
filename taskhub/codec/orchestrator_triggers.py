"""What an orchestrator of the JSON protocol gets: the text of its whole history, and of what it should know.

Source: Durable Task extension, RemoteOrchestratorContext.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_UPPER_SCHEMA = 3
"""V4, the newest that the host understands."""


@dataclass(frozen=True, slots=True)
class TriggerFacts:
    """What stands in every trigger of a hub."""

    long_timer_limit: timedelta
    long_timer_leg: timedelta
    http_poll: timedelta


def event_text(raw: Mapping[str, Any]) -> str:
    """Return an event as it stands in a trigger."""
    return "    " + _indented(raw, "    ")


def trigger_text(
    events: Sequence[str],
    facts: TriggerFacts,
    *,
    instance_id: str,
    parent_instance_id: str | None,
    input_text: str | None,
    is_replaying: bool,
) -> str:
    """Return what an orchestrator gets.

    Args:
        events: all of the execution, texts of :func:`event_text`.
        facts: of the hub.
        instance_id: of the execution.
        parent_instance_id: of a sub-orchestration's parent.
        input_text: JSON text; what is none is handed over as a string.
        is_replaying: whether an earlier episode saw the start.
    """
    rest = {
        "input": _input_value(input_text),
        "instanceId": instance_id,
        "isReplaying": is_replaying,
        "parentInstanceId": parent_instance_id,
        "upperSchemaVersion": 1,
        "upperSchemaVersionNew": _UPPER_SCHEMA,
        "longRunningTimerIntervalDuration": _span_text(facts.long_timer_leg),
        "maximumShortTimerDuration": _span_text(facts.long_timer_limit),
        # Spelled so.
        "defaultHttpAsyncRequestSleepTimeMillseconds": round(facts.http_poll / timedelta(milliseconds=1)),
    }
    history = "[\n" + ",\n".join(events) + "\n  ]" if events else "[]"
    return f'{{\n  "history": {history},' + _indented(rest, "")[1:]


def _input_value(text: str | None) -> object:
    if text is None:
        return None
    try:
        value: object = json.loads(text)
    except ValueError:
        return text  # another program's start
    return value


def _indented(value: object, indent: str) -> str:
    """Return JSON, two blanks a level. (``json.dumps`` does it too, but not in C.)."""
    deeper = indent + "  "
    if isinstance(value, dict) and value:
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_indented(each, deeper)}" for key, each in value.items()]
        return "{\n" + ",\n".join(deeper + item for item in items) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(deeper + _indented(each, deeper) for each in value) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def _span_text(span: timedelta) -> str:
    seconds, microseconds = span.seconds, span.microseconds
    text = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    text = f"{span.days}.{text}" if span.days else text
    return f"{text}.{microseconds:06}0" if microseconds else text
