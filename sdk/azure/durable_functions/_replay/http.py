"""HTTP requests that an orchestration asks its host to make, and what follows an answer of 202."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol, TypedDict
from urllib.parse import urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from azure.durable_functions._replay.retry import RetryOptions

ACCEPTED = 202
DEFAULT_POLL = timedelta(seconds=30)
"""Source: Durable Task extension, ``httpSettings.defaultAsyncRequestSleepTimeMilliseconds``."""


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
        asynchronous_pattern_enabled: whether the host asks again while the answer is 202.
        timeout: how long the request may take.
        retry_options: how often and how late the host tries again.
    """

    def __init__(
        self,
        method: str,
        uri: str,
        content: str | None = None,
        headers: dict[str, str] | None = None,
        token_source: TokenSourceLike | None = None,
        *,
        asynchronous_pattern_enabled: bool = False,
        timeout: timedelta | None = None,
        retry_options: RetryOptions | None = None,
    ) -> None:
        self._method = method
        self._uri = uri
        self._content = content
        self._headers = headers
        self._token_source = token_source
        self._asynchronous_pattern_enabled = asynchronous_pattern_enabled
        self._timeout = timeout
        self.retry_options = retry_options
        """How often and how late the host tries again."""

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

    @property
    def asynchronous_pattern_enabled(self) -> bool:
        """Whether the host asks again while the answer is 202."""
        return self._asynchronous_pattern_enabled

    @property
    def timeout(self) -> timedelta | None:
        """How long the request may take; ``None`` for the host's own limit."""
        return self._timeout

    def to_json(self) -> dict[str, Any]:
        """Return the object that the host expects.

        ``method, uri, content, headers``, and what was given of ``tokenSource``, ``asynchronousPatternEnabled``,
        ``timeout`` and ``retryOptions``.
        """
        found: dict[str, Any] = {
            "method": self._method,
            "uri": self._uri,
            "content": self._content,
            "headers": self._headers,
        }
        if self._token_source is not None:
            found["tokenSource"] = self._token_source.to_json()
        if self._asynchronous_pattern_enabled:
            found["asynchronousPatternEnabled"] = True
        if self._timeout is not None:
            found["timeout"] = span_text(self._timeout)
        if self.retry_options is not None:
            found["retryOptions"] = _retry_json(self.retry_options)
        return found

    def _poll_at(self, location: str, asked: str) -> DurableHttpRequest:
        """Return the request that asks how far the work behind an answer of 202 is.

        What opens the door of one origin stays there: another one gets neither ``Authorization`` and ``Cookie`` nor a
        token. A function key opens one function, never the one that tells the state.

        Args:
            location: where the answer says to ask, absolute or relative.
            asked: the address that gave the answer.
        """
        uri = urljoin(asked, location)
        is_same_origin = _origin(uri) == _origin(self._uri)
        dropped = {"x-functions-key"} if is_same_origin else {"x-functions-key", "authorization", "cookie"}
        return DurableHttpRequest(
            "GET",
            uri,
            None,
            {name: value for name, value in (self._headers or {}).items() if name.lower() not in dropped},
            self._token_source if is_same_origin else None,
            asynchronous_pattern_enabled=True,
            timeout=self._timeout,
        )


def header_of(response: Mapping[str, Any], name: str) -> str | None:
    """Return a header of an answer, the first value when it has several."""
    for key, value in (response.get("headers") or {}).items():
        if key.lower() == name.lower():
            first = value[0] if isinstance(value, list) and value else value
            return first if isinstance(first, str) else None
    return None


def poll_delay(response: Mapping[str, Any], now: datetime, default: timedelta) -> timedelta:
    """Return how long to wait before asking again: ``Retry-After`` as seconds or as a date, else the default."""
    wanted = (header_of(response, "Retry-After") or "").strip()
    if wanted.isascii() and wanted.isdigit():
        # A server that says a million years: as long as a time can tell.
        return min(timedelta(seconds=min(int(wanted[:13]), 10**12)), datetime.max.replace(tzinfo=timezone.utc) - now)
    try:
        when = parsedate_to_datetime(wanted)
    except (TypeError, ValueError, IndexError):
        return default
    if when.tzinfo is None:
        when = when.replace(tzinfo=timezone.utc)
    return max(when - now, timedelta(0))


def retry_wire_json(options: RetryOptions, kind: str) -> dict[str, Any]:
    """Return retry options in the input of the built-in activity: all of them, in the extension's spelling."""
    timeout = options.retry_timeout_in_milliseconds
    return {
        "$type": kind,
        "FirstRetryInterval": span_text(options._interval),
        "MaxRetryInterval": span_text(options._longest_interval),
        "BackoffCoefficient": float(options.backoff_coefficient),
        "RetryTimeout": _FOR_EVER if timeout is None else span_text(timedelta(milliseconds=timeout)),
        "MaxNumberOfAttempts": options.max_number_of_attempts,
        "StatusCodesToRetry": _codes(options),
    }


_FOR_EVER = "10675199.02:48:05.4775807"
"""The longest span of .NET."""


def _retry_json(options: RetryOptions) -> dict[str, Any]:
    found: dict[str, Any] = {
        "firstRetryInterval": span_text(options._interval),
        "maxNumberOfAttempts": options.max_number_of_attempts,
    }
    if options.backoff_coefficient != 1:
        found["backoffCoefficient"] = options.backoff_coefficient
    if options.max_retry_interval_in_milliseconds is not None:
        found["maxRetryInterval"] = span_text(options._longest_interval)
    if options.retry_timeout_in_milliseconds is not None:
        found["retryTimeout"] = span_text(timedelta(milliseconds=options.retry_timeout_in_milliseconds))
    codes = _codes(options)
    if codes:
        found["statusCodesToRetry"] = codes
    return found


def _codes(options: RetryOptions) -> list[int]:
    return list(getattr(options, "status_codes_to_retry", ()))


def span_text(span: timedelta) -> str:
    """Return a span as .NET writes it: ``[d.]hh:mm:ss[.fffffff]``."""
    days, seconds = span.days, span.seconds
    text = f"{f'{days}.' if days else ''}{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return f"{text}.{span.microseconds:06}0" if span.microseconds else text


def _origin(uri: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(uri)
    try:
        port = parts.port
    except ValueError:  # no number: nobody's origin
        port = -1
    return parts.scheme, parts.hostname, port or {"http": 80, "https": 443}.get(parts.scheme)
