"""HTTP requests that an orchestration asks its host to make."""

from __future__ import annotations

from typing import Any, Protocol


class TokenSourceLike(Protocol):
    """What requests need of a token source."""

    def to_json(self) -> dict[str, Any]: ...


class DurableHttpRequest:
    """One request, in the form of the JSON protocol."""

    __slots__ = ("content", "headers", "method", "token_source", "uri")

    def __init__(
        self,
        method: str,
        uri: str,
        content: str | None,
        headers: dict[str, str] | None,
        token_source: TokenSourceLike | None,
    ) -> None:
        self.method = method
        self.uri = uri
        self.content = content
        self.headers = headers
        self.token_source = token_source

    def to_json(self) -> dict[str, Any]:
        """Return the form that the host reads."""
        request: dict[str, Any] = {
            "method": self.method,
            "uri": self.uri,
            "content": self.content,
            "headers": self.headers,
        }
        if self.token_source is not None:
            request["tokenSource"] = self.token_source.to_json()
        return request
