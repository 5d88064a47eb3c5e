"""What activities and entities of an app receive and answer, which depends on the SDK that it uses: the JSON forms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskhub.host.activity_values import compact, failure_details, failure_reason, unwrap_input
from taskhub.runtime.application import ActivityFailed, EntityAnswered

if TYPE_CHECKING:
    from taskhub.host.invoker import InvocationFailed
    from taskhub.runtime.application import EntityCall, EntityFailed


class DurablePayloads(Protocol):
    """Between what the task hub has and what functions receive and answer."""

    def activity_input(self, text: str | None) -> str | None:
        """Return the text that an activity receives for that of a work item; ``None``: it gets no input."""

    def activity_failed(self, name: str, error: InvocationFailed) -> ActivityFailed:
        """Return what an orchestration hears of an activity that raised."""

    def entity_request(self, call: EntityCall) -> str:
        """Return the text that an entity function receives."""

    def entity_answer(self, call: EntityCall, answer: object) -> EntityAnswered | EntityFailed:
        """Return what an entity function answered."""


class JsonPayloads:
    """Those of our SDK and of the official one up to 1.x."""

    def activity_input(self, text: str | None) -> str | None:
        """Return what the array that travels holds."""
        return unwrap_input(text)

    def activity_failed(self, name: str, error: InvocationFailed) -> ActivityFailed:
        """Return the extension's texts."""
        return ActivityFailed(failure_reason(name, error.message), failure_details(error.message, error.stack))

    def entity_request(self, call: EntityCall) -> str:
        """Return the text as it is."""
        return call.payload

    def entity_answer(self, call: EntityCall, answer: object) -> EntityAnswered | EntityFailed:
        """Return the text as it is."""
        return EntityAnswered(answer if isinstance(answer, str) else compact(answer))
