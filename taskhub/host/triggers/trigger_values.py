"""PURE: what binding expressions can name of what started a function.

Source: Azure WebJobs SDK, binding data of HTTP, queue, blob and Event Grid triggers; Durable Task extension, of
activities.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from taskhub.host.functions import ACTIVITY_TRIGGER, EVENT_GRID_TRIGGER, HTTP_TRIGGER, QUEUE_TRIGGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.functions.meta import Datum


def values_of(kind: str, trigger: Datum, metadata: Mapping[str, Datum]) -> dict[str, Any]:
    """Return the values that expressions of a function can name, besides those made up.

    Args:
        kind: type of the trigger in lower case.
        trigger: what it received.
        metadata: of the trigger.
    """
    values = {name: _plain(datum) for name, datum in metadata.items()}
    if kind == HTTP_TRIGGER:
        values.update(_of_request(trigger.value))
    elif kind == QUEUE_TRIGGER:
        values.update(_properties(_text_of(trigger.value)))
    elif kind == EVENT_GRID_TRIGGER:
        values["data"] = _properties(_text_of(trigger.value)).get("data")
    elif kind == ACTIVITY_TRIGGER:
        values["data"] = _parsed(trigger.value)
    return values


def _of_request(request: Mapping[str, Any]) -> dict[str, Any]:
    headers, query, route = (
        {name: datum.value for name, datum in request[part].items()} for part in ("headers", "query", "params")
    )
    return {"headers": headers, "query": query, **_properties(_text_of(request["body"].value)), **query, **route}


def _plain(datum: Datum) -> Any:
    return _parsed(datum.value) if datum.type == "json" else datum.value


def _properties(text: str | None) -> dict[str, Any]:
    """Return the properties of a JSON object, none of anything else."""
    value = _parsed(text) if text is not None and text.lstrip().startswith("{") else None
    return value if isinstance(value, dict) else {}


def _text_of(value: str | bytes) -> str | None:
    if isinstance(value, str):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return None


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError):
        return text
