"""Requests to entities as histories hold them: texts, which an app or a client may have written as it liked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from taskhub.model.entities import RELEASE_EVENT, is_entity

if TYPE_CHECKING:
    from taskhub.model.history import EventSent


def request_properties(text: str | None) -> dict[str, object]:
    """Return the properties of a request or a release, none when its text is no JSON object."""
    try:
        value = json.loads(text or "null")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def request_id_of(event: EventSent) -> str | None:
    """Return the id of a request to an entity, ``None`` for what is sent to others, and for releases of locks."""
    if not is_entity(event.instance_id) or event.name == RELEASE_EVENT:
        return None
    found = request_properties(event.input).get("id")
    return found if isinstance(found, str) else None
