"""What goes wrong in a simulated world."""

from __future__ import annotations

from typing import Any


class DurableWorldError(Exception):
    """The test asks for something that cannot be; the message says what can."""


class UnexpectedState(AssertionError):
    """An instance is not in the state that the test counts on; the message says in which, and why."""


class HistoryMismatch(AssertionError):
    """Today's code does not agree with a recorded history; the message says at which event, where and why.

    Attributes:
        index: of the event, from 0.
        event: the event, as it was recorded.
        actual: what the code does instead; ``None`` for nothing.
        place: file and line at which the code stands; ``None`` when it has ended.
    """

    def __init__(
        self,
        message: str,
        *,
        index: int | None = None,
        event: dict[str, Any] | None = None,
        actual: str | None = None,
        place: str | None = None,
    ) -> None:
        super().__init__(message)
        self.index = index
        self.event = event
        self.actual = actual
        self.place = place
