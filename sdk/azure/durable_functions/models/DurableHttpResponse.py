"""What came back from a durable HTTP call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


class DurableHttpResponse:
    """Answer to a durable HTTP call.

    ``call_http`` gives it as a dictionary; ``DurableHttpResponse.from_json(response)`` makes it an object.

    Args:
        status_code: HTTP status.
        headers: response headers.
        content: body text.
    """

    def __init__(self, status_code: int, headers: dict[str, str] | None = None, content: str | None = None) -> None:
        self._status_code = status_code
        self._headers = headers
        self._content = content

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> DurableHttpResponse:
        """Read what ``call_http`` gives, ``{"statusCode", "headers", "content"}``.

        Raises:
            KeyError: there is no ``statusCode``.
        """
        return cls(value["statusCode"], value.get("headers"), value.get("content"))

    @property
    def status_code(self) -> int:
        """HTTP status."""
        return self._status_code

    @property
    def headers(self) -> dict[str, str] | None:
        """Response headers."""
        return self._headers

    @property
    def content(self) -> str | None:
        """Body text."""
        return self._content

    def to_json(self) -> dict[str, Any]:
        """Return ``{"statusCode", "headers", "content"}``."""
        return {"statusCode": self._status_code, "headers": self._headers, "content": self._content}
