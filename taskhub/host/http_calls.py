"""PURE: the built-in HTTP activity of ``call_http``, but for the sending: what to send, where to go on, what to answer.

A request travels as the one-element array of an activity's input, an answer as the activity's result; both are the
extension's JSON, because a worker of the other kind may be at the other end. What an answer shows of its headers is
what .NET calls response headers: those that describe the body (``Content-Type``, ``Last-Modified`` …) are left out.

Polling and retries are not here: the orchestration decides about them, in durable timers of its own.

Source: Durable Task extension, TaskHttpActivityShim; ``golden/extension/call_http``.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from taskhub.host.activity_values import compact
from taskhub.host.durable_options import time_span

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

HTTP_ACTIVITY = "BuiltIn::HttpActivity"

DEFAULT_TIMEOUT_SECONDS = 240.0
"""The extension's, for a request that names none."""

MAX_RESPONSE_BYTES = 100 * 1024 * 1024
"""Bodies are held in memory, several times, and stored in the history. The reference has no limit."""

MAX_REDIRECTS = 50
"""As .NET's client: the answer that would be the next one is given as it is."""

_MULTIPART = "Multipart content is not supported with CallHttpAsync."
_SCOPES = ("https://management.core.windows.net", "https://graph.microsoft.com")
"""Resources that need ``/.default`` behind them; all others are scopes as they stand. Source: the extension."""

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")

_CONTENT_HEADERS = frozenset(
    {
        "allow",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-md5",
        "content-range",
        "content-type",
        "expires",
        "last-modified",
    }
)
_CANONICAL = {
    name.lower(): name
    for name in (
        "Accept-Ranges",
        "Age",
        "Cache-Control",
        "Connection",
        "Date",
        "ETag",
        "Location",
        "Pragma",
        "Proxy-Authenticate",
        "Retry-After",
        "Server",
        "Set-Cookie",
        "Strict-Transport-Security",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Vary",
        "Via",
        "Warning",
        "WWW-Authenticate",
    )
}
"""Names that are written so, whatever the server's spelling: code looks them up by it."""
_LISTS = frozenset(
    {"accept-ranges", "connection", "pragma", "trailer", "transfer-encoding", "upgrade", "vary", "via", "warning"}
)
"""Headers whose values are lists, of which each item is a value."""

_STATUS_NAMES = {
    203: "NonAuthoritativeInformation",
    226: "IMUsed",
    413: "RequestEntityTooLarge",
    414: "RequestUriTooLong",
    416: "RequestedRangeNotSatisfiable",
    418: "418",
    422: "UnprocessableEntity",
}
"""Where .NET's name is not Python's in another spelling."""


class HttpCallFailed(Exception):
    """The activity fails.

    Attributes:
        reason: what the orchestration sees.
        kind: .NET's type of it, which code may tell failures by: ``HttpRequestException``.
        cause: a second error below it, ``None`` when there is none.
    """

    def __init__(self, reason: str, kind: str, cause: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.kind = kind
        self.cause = cause

    def details(self) -> str:
        """Return the serialised exception that is stored beside the reason."""
        return compact(_exception(self.kind, self.reason, None if self.cause is None else (_SOCKET, self.cause)))


REQUEST = "System.Net.Http.HttpRequestException, System.Net.Http"
TIMEOUT = "System.TimeoutException, System.Private.CoreLib"
CANCELED = "System.Threading.Tasks.TaskCanceledException, System.Private.CoreLib"
FUNCTION = (
    "Microsoft.Azure.WebJobs.Extensions.DurableTask.FunctionFailedException, "
    "Microsoft.Azure.WebJobs.Extensions.DurableTask"
)
UNSUPPORTED = "System.NotSupportedException, System.Private.CoreLib"
INVALID = "System.InvalidOperationException, System.Private.CoreLib"
FORMAT = "System.FormatException, System.Private.CoreLib"
_SOCKET = "System.Net.Sockets.SocketException, System.Net.Primitives"


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The bearer token that a request needs."""

    scope: str
    authority: str | None = None
    tenant: str | None = None


@dataclass(frozen=True, slots=True)
class HttpCall:
    """A request, ready to be sent."""

    method: str
    url: str
    """Absolute, http or https, without characters that need an escape."""
    headers: tuple[tuple[str, str], ...]
    body: bytes | None
    token: TokenRequest | None = None
    timeout_seconds: float | None = None
    """``None``: the default; infinite for none at all."""
    retried: frozenset[int] | None = None
    """Statuses that are failures, so that the orchestration tries again: none given means every one that is no
    success. ``None``: no retries, every status is an answer."""

    def described(self) -> str:
        """Return the request for a log: no user, no query, which may hold keys."""
        parts = urlsplit(self.url)
        return f"{self.method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def read_call(payload: str | None) -> HttpCall:
    """Return the request in the input of an activity.

    Raises:
        HttpCallFailed: it is none, or one that cannot be sent.
    """
    asked = _object(payload)
    headers, content_type = _headers(asked.get("headers"))
    content = asked.get("content")
    if content is not None and not isinstance(content, str):
        content = compact(content)
    body = None
    if content is not None:
        body = content.encode("utf-8", "replace")
        headers = (*headers, ("Content-Type", _sent_type(content_type)))
    retry_options = _lowered(asked.get("retryoptions"))
    return HttpCall(
        method=_method(asked.get("method")),
        url=_url(asked.get("uri")),
        headers=headers,
        body=body,
        token=_token(asked.get("tokensource")),
        timeout_seconds=_timeout(asked.get("timeout")),
        retried=None if retry_options is None else _retried(retry_options.get("statuscodestoretry")),
    )


def redirected(call: HttpCall, status: int, location: str | None) -> HttpCall | None:
    """Return the request that a redirection asks for; ``None`` when the answer stands as it is.

    As .NET's client: another method than HEAD becomes GET after 303, POST after 300 to 302; nothing leads from https to
    http; ``Authorization`` is left behind.
    """
    if status not in (300, 301, 302, 303, 307, 308) or not location:
        return None
    url = urljoin(call.url, location)
    was, becomes = urlsplit(call.url), urlsplit(url)
    if becomes.scheme not in ("http", "https") or (was.scheme == "https" and becomes.scheme == "http"):
        return None
    forgets_body = (status == 303 and call.method != "HEAD") or (status in (300, 301, 302) and call.method == "POST")
    dropped = {"authorization", "content-type"} if forgets_body else {"authorization"}
    if (was.scheme, was.netloc.lower()) != (becomes.scheme, becomes.netloc.lower()):
        # .NET would carry its jar's cookies only; this header is the app's own, and meant for the first host.
        dropped |= {"cookie", "host", "x-functions-key"}
    return replace(
        call,
        url=_url(url),
        method="GET" if forgets_body else call.method,
        headers=tuple((name, value) for name, value in call.headers if name.lower() not in dropped),
        body=None if forgets_body else call.body,
        token=None,
    )


def answer(call: HttpCall, status: int, headers: Iterable[tuple[str, str]], body: bytes, charset: str | None) -> str:
    """Return the result of the activity.

    Args:
        call: the request.
        status: of the response.
        headers: of the response, as they arrived.
        body: of the response.
        charset: that its ``Content-Type`` names.

    Raises:
        HttpCallFailed: the status is one to try again after, or the body cannot be read as text.
    """
    if call.retried is not None and (status in call.retried if call.retried else not 200 <= status < 300):
        raise HttpCallFailed(f"Status code {_status_name(status)} received, retry requested.", REQUEST)
    return compact({"statusCode": status, "headers": _shown(headers), "content": _text(body, charset)})


# ---- reading


def _object(payload: str | None) -> Mapping[str, Any]:
    try:
        value = json.loads(payload or "")
    except ValueError:
        value = None
    if isinstance(value, list):
        value = value[0] if value else None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            value = None
    found = _lowered(value)
    if found is None:
        raise HttpCallFailed("The input of the HTTP activity is no request: it must be a JSON object.", FORMAT)
    return found


def _lowered(value: Any) -> Mapping[str, Any] | None:
    return {name.lower(): each for name, each in value.items()} if isinstance(value, dict) else None


def _method(value: Any) -> str:
    method = "GET" if value is None else str(value)
    if not _TOKEN.fullmatch(method):
        raise HttpCallFailed(f"The format of the HTTP method '{method}' is invalid.", FORMAT)
    return method.upper()


def _url(value: Any) -> str:
    url = value if isinstance(value, str) else ""
    try:
        parts = urlsplit(url.strip())
        is_absolute = bool(parts.scheme and parts.hostname)
        parts.port  # noqa: B018 (a number that is none raises)
    except ValueError:
        raise HttpCallFailed(f"Invalid URI: '{url}' cannot be read.", FORMAT) from None
    if parts.scheme and parts.scheme not in ("http", "https"):
        raise HttpCallFailed(f"The '{parts.scheme}' scheme is not supported.", UNSUPPORTED)
    if not is_absolute:
        raise HttpCallFailed("An invalid request URI was provided. The request URI must be an absolute URI.", INVALID)
    # What is escaped stays as it is: signatures in queries are over these very characters.
    host, escaped = (
        parts.netloc,
        quote(parts._replace(scheme="", netloc="", fragment="").geturl(), "%/:?#[]@!$&'()*+,;=~"),
    )
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise HttpCallFailed(f"Invalid URI: the host name '{host}' cannot be read.", FORMAT) from None
    return f"{parts.scheme}://{host}{escaped or '/'}"


def _headers(value: Any) -> tuple[tuple[tuple[str, str], ...], str | None]:
    """Return the headers to send, and the type of the content, which goes with the content only."""
    content_type = None
    sent = []
    for name, given in (value or {}).items() if isinstance(value, dict) else ():
        values = [str(each) for each in (given if isinstance(given, list) else [given]) if each is not None]
        if any("\r" in each or "\n" in each for each in values) or not _TOKEN.fullmatch(name):
            raise HttpCallFailed(f"The format of header '{name}' is invalid.", FORMAT)
        if name.lower() == "content-type":
            if any("multipart" in each.lower() for each in values):
                raise HttpCallFailed(_MULTIPART, FUNCTION)
            content_type = values[-1] if values else None
        elif name.lower() not in ("content-length", "transfer-encoding") and values:
            sent.append((name, ", ".join(values)))
    return tuple(sent), content_type


def _sent_type(content_type: str | None) -> str:
    if content_type == "application/x-www-form-urlencoded":
        return content_type + "; charset=utf-8"
    return content_type or "text/plain"


def _token(value: Any) -> TokenRequest | None:
    source = _lowered(value)
    if source is None:
        return None
    if source.get("kind") != "AzureManagedIdentity":
        raise HttpCallFailed(f"The token source kind '{source.get('kind')}' is not supported.", UNSUPPORTED)
    resource = str(source.get("resource") or "")
    options = _lowered(source.get("options")) or {}
    scope = f"{resource.rstrip('/')}/.default" if resource.rstrip("/") in _SCOPES else resource
    return TokenRequest(scope, options.get("authorityhost") or None, options.get("tenantid") or None)


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    text = str(value).strip()
    if text.startswith("-"):
        return float("inf")  # -1 ms is .NET's way to say for ever
    try:
        return time_span(text)
    except ValueError:
        raise HttpCallFailed(f"The timeout '{value}' is no time span \"hh:mm:ss\".", FORMAT) from None


def _retried(value: Any) -> frozenset[int]:
    codes = value if isinstance(value, list) else []
    return frozenset(int(code) for code in codes if isinstance(code, int))


# ---- answering


def _shown(headers: Iterable[tuple[str, str]]) -> dict[str, str | list[str]]:
    found: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key not in _CONTENT_HEADERS:
            found.setdefault(names.setdefault(key, _CANONICAL.get(key, name)), []).extend(_values(key, value))
    return {name: values[0] if len(values) == 1 else values for name, values in found.items()}


def _values(name: str, value: str) -> list[str]:
    if name == "server":
        # Product tokens, each a value; a comment stays whole.
        return re.findall(r"\([^)]*\)|[^\s()]+", value) or [value]
    if name in _LISTS:
        return [each.strip() for each in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', value) if each.strip()] or [value]
    return [value]


_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before the next one, which it begins with
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
"""What the first bytes tell of an encoding that no header names."""


def _text(body: bytes, charset: str | None) -> str:
    """Return a body as text; what is none becomes replacement characters, as with .NET."""
    for mark, encoding in _MARKS:
        if body.startswith(mark) and charset is None:
            return body[len(mark) :].decode(encoding, "replace")
    name = (charset or "utf-8").strip("\"' ")
    try:
        text = body.decode(name, "replace")
    except LookupError:
        raise HttpCallFailed(
            f"The character set '{name}' in ContentType is invalid. Cannot read content as string using an invalid "
            "character set.",
            INVALID,
        ) from None
    return text.removeprefix("\ufeff")


def _status_name(status: int) -> str:
    name = _STATUS_NAMES.get(status)
    if name is not None:
        return name
    try:
        return "OK" if status == HTTPStatus.OK else HTTPStatus(status).name.title().replace("_", "")
    except ValueError:
        return str(status)


def _exception(kind: str, message: str, inner: tuple[str, str] | None = None) -> dict[str, Any]:
    return {
        "$type": kind,
        "ClassName": kind.partition(",")[0],
        "Message": message,
        "Data": None,
        "InnerException": None if inner is None else _exception(*inner),
        "HelpLink": None,
        "Source": "taskhub",
        "HResult": -2146233088,
        "StackTrace": None,
    }


# ---- failures of the network


def network_failure(message: str, host: str, port: int | None) -> HttpCallFailed:
    """Return the failure of a connection that could not be made: ``Connection refused (127.0.0.1:9)``."""
    where = f"[{host}]" if ":" in host else host
    return HttpCallFailed(f"{message} ({where}:{port})", REQUEST, cause=message)


def timed_out(timeout_seconds: float | None) -> HttpCallFailed:
    """Return the failure of a request that took too long; ``None`` for the default time."""
    if timeout_seconds is None:
        limit = f"{DEFAULT_TIMEOUT_SECONDS:g}"
        text = f"The request was canceled due to the configured HttpClient.Timeout of {limit} seconds elapsing."
        return HttpCallFailed(text, CANCELED)
    return HttpCallFailed(f"Reached user specified timeout: {_span(timeout_seconds)}.", TIMEOUT)


def _span(seconds: float) -> str:
    whole = timedelta(seconds=int(seconds))
    days, rest = whole.days, whole.seconds
    text = f"{f'{days}.' if days else ''}{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"
    ticks = round((seconds - int(seconds)) * 10_000_000)
    return f"{text}.{ticks:07}" if ticks else text
