"""PURE: how the HTTP front is set up: ``extensions.http`` of ``host.json``, and ``Host`` of ``local.settings.json``.

Source: Azure Functions host, host.json reference; Azure Functions Core Tools, ``func start``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host.durable_options import time_span
from taskhub.host.http_cors import Cors

if TYPE_CHECKING:
    from collections.abc import Mapping

_HEADER_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_DAY_SECONDS = 86_400

HOP_BY_HOP = frozenset({"transfer-encoding", "connection", "keep-alive"})
"""Headers, in lower case, that are the server's own affair."""
BODILESS = frozenset({204, 304})
"""Statuses of answers that have no body."""


@dataclass(frozen=True, slots=True)
class HttpOptions:
    """What ``extensions.http`` says."""

    route_prefix: str = "api"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Added to every answer."""
    strict_transport: str | None = None
    """Value of ``Strict-Transport-Security`` for requests that came over HTTPS; ``None``: not sent."""
    max_concurrent_requests: int | None = None
    """HTTP functions that run at a time; others wait. ``None``: no limit."""
    max_outstanding_requests: int | None = None
    """HTTP requests that run or wait at a time; others are refused. ``None``: no limit."""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LocalHost:
    """What ``Host`` of ``local.settings.json`` says."""

    port: int | None = None
    address: str | None = None
    cors: Cors | None = None
    warnings: tuple[str, ...] = ()


def is_header(name: str, value: str) -> bool:
    """Return whether a header can be sent as it is: nothing in it ends the line, or the name."""
    return bool(_HEADER_NAME.fullmatch(name) and _HEADER_VALUE.fullmatch(value))


def read_http_options(section: Mapping[str, Any]) -> HttpOptions:
    """Read ``extensions.http``.

    Raises:
        ConfigurationError: a value is wrong; the message names key, value and range.
    """
    values = {key.lower(): value for key, value in section.items()}
    warnings = []
    if _is_true(values.get("dynamicthrottlesenabled"), "dynamicThrottlesEnabled"):
        warnings.append(
            "host.json: extensions.http.dynamicThrottlesEnabled has no effect here. Set maxOutstandingRequests to the "
            "number of requests beyond which others are refused."
        )
    return HttpOptions(
        route_prefix=_route_prefix(values.get("routeprefix", "api")),
        headers=_headers(values.get("customheaders") or {}),
        strict_transport=_strict_transport(values.get("hsts") or {}),
        max_concurrent_requests=_limit(values.get("maxconcurrentrequests"), "maxConcurrentRequests"),
        max_outstanding_requests=_limit(values.get("maxoutstandingrequests"), "maxOutstandingRequests"),
        warnings=tuple(warnings),
    )


def read_local_host(section: Mapping[str, Any]) -> LocalHost:
    """Read ``Host``; what is wrong gives a warning and counts as absent."""
    warnings = []
    port = section.get("LocalHttpPort")
    if port is not None and not (isinstance(port, int) and 0 <= port <= 65535):
        warnings.append(
            f"local.settings.json: Host.LocalHttpPort is {port!r}; it must be a number from 0 to 65535. Ignored."
        )
        port = None
    address = section.get("LocalHttpAddress")
    if address is not None and not isinstance(address, str):
        warnings.append(f"local.settings.json: Host.LocalHttpAddress is {address!r}; it must be a text. Ignored.")
        address = None
    origins = section.get("CORS")
    if origins is not None and not isinstance(origins, str):
        warnings.append(f"local.settings.json: Host.CORS is {origins!r}; it must be a text with commas. Ignored.")
        origins = None
    cors = Cors.of(origins, allow_credentials=section.get("CORSCredentials") is True) if origins else None
    return LocalHost(port, address or None, cors, tuple(warnings))


def _route_prefix(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigurationError(f'host.json: extensions.http.routePrefix is {value!r}; it must be a text, as "api".')
    return value.strip("/")


def _headers(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise ConfigurationError(f"host.json: extensions.http.customHeaders is {value!r}; it must be an object.")
    headers = {str(name): str(text) for name, text in value.items()}
    for name, text in headers.items():
        if not is_header(name, text):
            raise ConfigurationError(
                f"host.json: extensions.http.customHeaders has {name!r}: {text!r}, which cannot be sent as a header."
            )
    return headers


def _strict_transport(value: object) -> str | None:
    if not isinstance(value, dict):
        raise ConfigurationError(f"host.json: extensions.http.hsts is {value!r}; it must be an object.")
    values = {str(key).lower(): each for key, each in value.items()}
    if not _is_true(values.get("isenabled"), "hsts.isEnabled"):
        return None
    age = values.get("maxage", "30")
    try:
        # A bare number counts days, as in every time span of .NET.
        seconds = float(age) * _DAY_SECONDS if re.fullmatch(r"\d+", str(age)) else time_span(age)
    except ValueError as error:
        raise ConfigurationError(
            f'host.json: extensions.http.hsts.maxAge is {age!r}; it must be a number of days or "hh:mm:ss".'
        ) from error
    parts = [f"max-age={seconds:.0f}"]
    parts += ["includeSubDomains"] if _is_true(values.get("includesubdomains"), "hsts.includeSubDomains") else []
    parts += ["preload"] if _is_true(values.get("preload"), "hsts.preload") else []
    return "; ".join(parts)


def _is_true(value: object, name: str) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    if str(value).lower() in ("true", "false"):
        return str(value).lower() == "true"
    raise ConfigurationError(f"host.json: extensions.http.{name} is {value!r}; it must be true or false.")


def _limit(value: object, name: str) -> int | None:
    """Return a limit; -1 is none."""
    if value is None:
        return None
    if re.fullmatch(r"-1|[1-9]\d{0,8}", str(value)) is None:
        raise ConfigurationError(
            f"host.json: extensions.http.{name} is {value!r}; it must be a number from 1, or -1 for no limit."
        )
    return None if str(value) == "-1" else int(str(value))
