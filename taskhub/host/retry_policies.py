"""PURE: retry policies, of ``function.json`` and of the decorator.

Source: Azure Functions, function-level retry policies.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from taskhub.host.bindings import BindingError
from taskhub.host.durable_options import time_span
from taskhub.host.functions import RetryPolicy

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIXED, _EXPONENTIAL = "fixeddelay", "exponentialbackoff"
_DEFAULT_LEAST_SECONDS, _DEFAULT_MOST_SECONDS = 4.0, 120.0


def read_retry_policy(written: Mapping[str, Any] | None) -> RetryPolicy | None:
    """Return the policy of a function, ``None`` for none.

    Args:
        written: the object of ``function.json``, or the settings of the decorator, which are texts.

    Raises:
        BindingError: a value makes no sense.
    """
    if not written:
        return None
    values = {_bare(key): value for key, value in written.items() if value is not None}
    strategy = _bare(str(values.get("strategy", "")))
    if strategy not in (_FIXED, _EXPONENTIAL):
        raise BindingError(
            f"the strategy of its retry policy is '{values.get('strategy')}'; it must be fixedDelay or "
            "exponentialBackoff."
        )
    count = _whole(values.get("maxretrycount"))
    if strategy == _FIXED:
        seconds = _seconds(values, "delayinterval", None)
        return RetryPolicy(count, seconds, seconds)
    least = _seconds(values, "minimuminterval", _DEFAULT_LEAST_SECONDS)
    most = _seconds(values, "maximuminterval", _DEFAULT_MOST_SECONDS)
    if least > most:
        raise BindingError("the minimumInterval of its retry policy is longer than the maximumInterval.")
    return RetryPolicy(count, least, most)


def _bare(name: str) -> str:
    return name.replace("_", "").lower()


def _whole(value: Any) -> int:
    try:
        count = int(value)
    except (TypeError, ValueError):
        count = -2
    if count < -1:
        raise BindingError(
            f"the maxRetryCount of its retry policy is {value!r}; it must be a number from -1 (for ever)."
        )
    return count


def _seconds(values: Mapping[str, Any], name: str, default: float | None) -> float:
    value = values.get(name)
    if value is None and default is not None:
        return default
    try:
        return time_span(value)
    except ValueError as error:
        raise BindingError(f'{value!r} in its retry policy is no time span; write "hh:mm:ss".') from error
