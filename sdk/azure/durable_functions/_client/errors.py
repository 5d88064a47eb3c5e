"""What the durable client raises when the host does not do what it was asked."""

from __future__ import annotations

from typing import Any


class DurableClientError(Exception):
    """The host refused a request, or answered in a way that the client does not know.

    Args:
        message: what was asked, and what the host says.
        status: see the attribute.
        body: see the attribute.

    Attributes:
        status: HTTP status of the answer; ``None`` when there was no answer.
        body: the answer's decoded body.
    """

    def __init__(self, message: str, *, status: int | None = None, body: Any = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = body
