"""The HTTP request in an action list, as text.

Source: Durable Task extension, OutOfProcOrchestrationShim, DurableHttpRequest, HttpRetryOptions.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub.model.action_list import CallHttp, RetryOptions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.action_list import ListedAction

_EXTENSION = "Microsoft.Azure.WebJobs.Extensions.DurableTask"
_LONGEST_RETRY_INTERVAL = "6.00:00:00"
_FOR_EVER = "10675199.02:48:05.4775807"
"""The longest span of .NET."""


def read_http_call(written: Mapping[str, Any], path: str) -> ListedAction:
    """Return the request as the built-in activity gets it: all eight keys, nulls included."""
    asked = {str(name).lower(): value for name, value in written["httpRequest"].items()}
    options = asked.get("retryoptions")
    if options is not None:
        options = {str(name).lower(): value for name, value in options.items()}
    request = {
        "$type": f"{_EXTENSION}.DurableHttpRequest, {_EXTENSION}",
        "method": asked.get("method") or "GET",
        "uri": asked["uri"],
        "headers": asked.get("headers") or {},
        "content": asked.get("content"),
        "tokenSource": asked.get("tokensource"),
        # What does not say so does not poll; no release of the official SDK does.
        "asynchronousPatternEnabled": asked.get("asynchronouspatternenabled") is True,
        "retryOptions": None if options is None else _retry_json(options),
        "timeout": asked.get("timeout"),
    }
    retry = None if options is None else _retry(options)
    return CallHttp(request, retry, polls=request["asynchronousPatternEnabled"] is True)


def _retry_json(options: Mapping[str, Any]) -> dict[str, object]:
    """Return retry options in the input of the built-in activity: all of them, in the extension's spelling."""
    codes = options.get("statuscodestoretry")
    return {
        "$type": f"{_EXTENSION}.HttpRetryOptions, {_EXTENSION}",
        "FirstRetryInterval": options["firstretryinterval"],
        "MaxRetryInterval": options.get("maxretryinterval") or _LONGEST_RETRY_INTERVAL,
        "BackoffCoefficient": float(options.get("backoffcoefficient") or 1),
        "RetryTimeout": options.get("retrytimeout") or _FOR_EVER,
        "MaxNumberOfAttempts": options["maxnumberofattempts"],
        "StatusCodesToRetry": list(codes or ()),
    }


def _retry(options: Mapping[str, Any]) -> RetryOptions:
    longest, timeout = options.get("maxretryinterval"), options.get("retrytimeout")
    return RetryOptions(
        first_interval=_span(options["firstretryinterval"]),
        max_attempts=int(options["maxnumberofattempts"]),
        backoff=float(options.get("backoffcoefficient") or 1.0),
        max_interval=None if longest is None else _span(longest),
        timeout=None if timeout is None else _span(timeout),
    )


def _span(text: str) -> timedelta:
    head, _, rest = text.rpartition(":")
    days, dot, hours_minutes = head.rpartition(".")
    hours, minutes = hours_minutes.split(":")
    return timedelta(days=int(days) if dot else 0, hours=int(hours), minutes=int(minutes), seconds=float(rest))
