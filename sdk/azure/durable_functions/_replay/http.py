"""HTTP requests that an orchestration asks its host to make."""

from __future__ import annotations

from typing import Any, Protocol, TypedDict


class TokenSourceLike(Protocol):
    """What requests need of a token source."""

    def to_json(self) -> dict[str, Any]: ...


class HttpAnswer(TypedDict):
    """What ``call_http`` gives; ``DurableHttpResponse.from_json`` makes an object of it."""

    statusCode: int
    headers: dict[str, str]
    content: str | None


class DurableHttpRequest:
    """An HTTP request that the host makes for an orchestrator.

    Args:
        method: e.g. ``"GET"``.
        uri: absolute address.
        content: body, sent as it is.
        headers: request headers.
        token_source: where the host gets a bearer token from.
    """

    def __init__(
        self,
        method: str,
        uri: str,
        content: str | None = None,
        headers: dict[str, str] | None = None,
        token_source: TokenSourceLike | None = None,
    ) -> None:
        self._method = method
        self._uri = uri
        self._content = content
        self._headers = headers
        self._token_source = token_source

    @property
    def method(self) -> str:
        """The HTTP method."""
        return self._method

    @property
    def uri(self) -> str:
        """The address."""
        return self._uri

    @property
    def content(self) -> str | None:
        """The body."""
        return self._content

    @property
    def headers(self) -> dict[str, str] | None:
        """The request headers."""
        return self._headers

    @property
    def token_source(self) -> TokenSourceLike | None:
        """Where the host gets a bearer token from."""
        return self._token_source

    def to_json(self) -> dict[str, Any]:
        """Return the object that the host expects: ``method, uri, content, headers`` and, if any, ``tokenSource``."""
        found: dict[str, Any] = {
            "method": self._method,
            "uri": self._uri,
            "content": self._content,
            "headers": self._headers,
        }
        if self._token_source is not None:
            found["tokenSource"] = self._token_source.to_json()
        return found
