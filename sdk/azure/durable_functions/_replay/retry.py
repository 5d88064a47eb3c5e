"""How often, how late and after which failures a call is tried again."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Union

from azure.durable_functions.errors import ErrorType, TaskFailedError

_LARGEST = 2**31 - 1
"""Spans travel as 32-bit numbers of milliseconds. Source: Durable Task extension."""

_DEFAULT_LONGEST_WAIT = timedelta(days=6)
"""Source: Durable Task extension, ``RetryOptions``."""

RetryFilter = Union[ErrorType, Iterable[ErrorType], Callable[[TaskFailedError], bool]]  # noqa: UP007 (a runtime alias)


class RetryOptions:
    """Retry policy of an activity or a sub-orchestration.

    The wait after the n-th attempt is ``first_retry_interval * backoff_coefficient ** (n - 1)``, at most
    ``max_retry_interval``. The host makes waits and attempts by itself.

    Args:
        first_retry_interval_in_milliseconds: wait after the first attempt; greater than 0.
        max_number_of_attempts: attempts in all, the first one included; at least 1.
        backoff_coefficient: by what each wait is longer than the one before; at least 1.
        max_retry_interval_in_milliseconds: longest wait; six days by default.
        retry_timeout_in_milliseconds: no attempt begins later than this after the first began; no limit by default.
        handle: after which failures there is another attempt: an exception class or its name, several of them, or a
            function of the :class:`TaskFailedError` that says whether to try again.
            It is asked again on each replay, so it must depend on nothing but the error. Whatever it refuses fails the
            call at once. See :meth:`TaskFailedError.is_caused_by` for classes.

    Raises:
        ValueError: a number is too small, or too large for the host.
        TypeError: ``handle`` is something else.
    """

    __slots__ = (
        "__dict__",
        "_backoff_coefficient",
        "_filter",
        "_first_retry_interval_in_milliseconds",
        "_max_number_of_attempts",
        "_max_retry_interval_in_milliseconds",
        "_retry_timeout_in_milliseconds",
    )

    def __init__(
        self,
        first_retry_interval_in_milliseconds: int,
        max_number_of_attempts: int,
        *,
        backoff_coefficient: float = 1,
        max_retry_interval_in_milliseconds: int | None = None,
        retry_timeout_in_milliseconds: int | None = None,
        handle: RetryFilter | None = None,
    ) -> None:
        if first_retry_interval_in_milliseconds <= 0:
            # The reference's text, down to the missing blank: apps compare it.
            raise ValueError("first_retry_interval_in_milliseconds valuemust be greater than 0.")
        if not isinstance(max_number_of_attempts, int) or max_number_of_attempts < 1:
            # The host would make no attempt at all, and the instance would wait for one for ever.
            raise ValueError(
                f"max_number_of_attempts must be a whole number of at least 1, not {max_number_of_attempts!r}."
            )
        if not (math.isfinite(backoff_coefficient) and backoff_coefficient >= 1):
            raise ValueError(f"backoff_coefficient must be a number of at least 1, not {backoff_coefficient!r}.")
        self._first_retry_interval_in_milliseconds = first_retry_interval_in_milliseconds
        self._max_number_of_attempts = max_number_of_attempts
        self._backoff_coefficient = backoff_coefficient
        self._max_retry_interval_in_milliseconds = _milliseconds(
            "max_retry_interval_in_milliseconds", max_retry_interval_in_milliseconds
        )
        self._retry_timeout_in_milliseconds = _milliseconds(
            "retry_timeout_in_milliseconds", retry_timeout_in_milliseconds
        )
        self._filter = None if handle is None else _as_function(handle)

    @property
    def first_retry_interval_in_milliseconds(self) -> int:
        """Wait after the first attempt."""
        return self._first_retry_interval_in_milliseconds

    @property
    def max_number_of_attempts(self) -> int:
        """Attempts in all, the first one included."""
        return self._max_number_of_attempts

    @property
    def backoff_coefficient(self) -> float:
        """By what each wait is longer than the one before."""
        return self._backoff_coefficient

    @property
    def max_retry_interval_in_milliseconds(self) -> int | None:
        """Longest wait; ``None`` for the host's default, six days."""
        return self._max_retry_interval_in_milliseconds

    @property
    def retry_timeout_in_milliseconds(self) -> int | None:
        """No attempt begins later than this after the first began; ``None`` for no limit."""
        return self._retry_timeout_in_milliseconds

    @property
    def _interval(self) -> timedelta:
        """Wait after the first attempt, as a span."""
        return timedelta(milliseconds=self._first_retry_interval_in_milliseconds)

    @property
    def _longest_interval(self) -> timedelta:
        """Longest wait, as a span."""
        given = self._max_retry_interval_in_milliseconds
        return _DEFAULT_LONGEST_WAIT if given is None else timedelta(milliseconds=given)

    def _wait_after(self, attempt: int) -> timedelta:
        """Return how long to wait after the attempt with the number ``attempt``, the first being 1."""
        longest = self._longest_interval
        try:
            wait = self._interval * float(self._backoff_coefficient) ** (attempt - 1)
        except OverflowError:
            return longest
        return min(wait, longest)

    def _accepts(self, error: TaskFailedError) -> bool:
        """Return whether there may be another attempt after ``error``, as far as ``handle`` is concerned."""
        return self._filter is None or bool(self._filter(error))

    def _limited_to(self, attempts: int) -> RetryOptions:
        """Return the same policy with ``attempts`` as the number of attempts."""
        twin = copy.copy(self)
        twin._max_number_of_attempts = attempts
        return twin

    def to_json(self) -> dict[str, int | str]:
        """Return the form that the host reads; options that were not given are left out."""
        found: dict[str, Any] = {
            "firstRetryIntervalInMilliseconds": self._first_retry_interval_in_milliseconds,
            "maxNumberOfAttempts": self._max_number_of_attempts,
        }
        if self._backoff_coefficient != 1:
            found["backoffCoefficient"] = self._backoff_coefficient
        if self._max_retry_interval_in_milliseconds is not None:
            found["maxRetryIntervalInMilliseconds"] = self._max_retry_interval_in_milliseconds
        if self._retry_timeout_in_milliseconds is not None:
            found["retryTimeoutInMilliseconds"] = self._retry_timeout_in_milliseconds
        return found


class RetryPolicy(RetryOptions):
    """A retry policy in spans, as the 2.x preview has it.

    Args:
        first_retry_interval: wait after the first attempt.
        max_number_of_attempts: attempts in all, the first one included.
        backoff_coefficient: by what each wait is longer than the one before.
        max_retry_interval: longest wait.
        retry_timeout: no attempt begins later than this after the first began.
        handle: see :class:`RetryOptions`.

    Raises:
        ValueError: as :class:`RetryOptions`.
    """

    __slots__ = ()

    def __init__(
        self,
        first_retry_interval: timedelta,
        max_number_of_attempts: int,
        backoff_coefficient: float | None = 1.0,
        max_retry_interval: timedelta | None = None,
        retry_timeout: timedelta | None = None,
        *,
        handle: RetryFilter | None = None,
    ) -> None:
        super().__init__(
            _in_milliseconds(first_retry_interval),
            max_number_of_attempts,
            backoff_coefficient=1 if backoff_coefficient is None else backoff_coefficient,
            max_retry_interval_in_milliseconds=None
            if max_retry_interval is None
            else _in_milliseconds(max_retry_interval),
            retry_timeout_in_milliseconds=None if retry_timeout is None else _in_milliseconds(retry_timeout),
            handle=handle,
        )

    @property
    def first_retry_interval(self) -> timedelta:
        """Wait after the first attempt."""
        return self._interval

    @property
    def max_retry_interval(self) -> timedelta | None:
        """Longest wait; ``None`` for the host's default, six days."""
        return _as_span(self._max_retry_interval_in_milliseconds)

    @property
    def retry_timeout(self) -> timedelta | None:
        """No attempt begins later than this after the first began; ``None`` for no limit."""
        return _as_span(self._retry_timeout_in_milliseconds)


def _as_span(milliseconds: int | None) -> timedelta | None:
    return None if milliseconds is None else timedelta(milliseconds=milliseconds)


class HttpRetryOptions(RetryOptions):
    """Retry policy of ``call_http``.

    Args:
        first_retry_interval_in_milliseconds: wait after the first attempt.
        max_number_of_attempts: attempts in all, the first one included.
        status_codes_to_retry: answers after which there is another attempt; none given: all that are no success.
            Failures of the network are always tried again.
        backoff_coefficient: by what each wait is longer than the one before.
        max_retry_interval_in_milliseconds: longest wait.
        retry_timeout_in_milliseconds: no attempt begins later than this after the first began.
        handle: see :class:`RetryOptions`.

    Raises:
        ValueError: a status is none; else as :class:`RetryOptions`.
    """

    __slots__ = ("_status_codes_to_retry",)

    def __init__(
        self,
        first_retry_interval_in_milliseconds: int,
        max_number_of_attempts: int,
        *,
        status_codes_to_retry: Iterable[int] = (),
        backoff_coefficient: float = 1,
        max_retry_interval_in_milliseconds: int | None = None,
        retry_timeout_in_milliseconds: int | None = None,
        handle: RetryFilter | None = None,
    ) -> None:
        super().__init__(
            first_retry_interval_in_milliseconds,
            max_number_of_attempts,
            backoff_coefficient=backoff_coefficient,
            max_retry_interval_in_milliseconds=max_retry_interval_in_milliseconds,
            retry_timeout_in_milliseconds=retry_timeout_in_milliseconds,
            handle=handle,
        )
        self._status_codes_to_retry = tuple(int(code) for code in status_codes_to_retry)
        wrong = [code for code in self._status_codes_to_retry if not 100 <= code <= 599]
        if wrong:
            raise ValueError(f"status_codes_to_retry must be HTTP statuses from 100 to 599, not {wrong[0]}.")

    @property
    def status_codes_to_retry(self) -> tuple[int, ...]:
        """Answers after which there is another attempt; empty for all that are no success."""
        return self._status_codes_to_retry


def _in_milliseconds(span: timedelta) -> int:
    return span // timedelta(milliseconds=1)


def _milliseconds(name: str, value: int | None) -> int | None:
    if value is not None and not (0 < value <= _LARGEST and value == int(value)):
        raise ValueError(f"{name} must be a whole number from 1 to {_LARGEST}, not {value!r}.")
    return None if value is None else int(value)


def _as_function(handle: Any) -> Callable[[TaskFailedError], bool]:
    if _is_error_type(handle):
        return lambda error: error.is_caused_by(handle)
    if callable(handle) and not isinstance(handle, type):
        return handle  # type: ignore[no-any-return]  # a user's function
    if isinstance(handle, Iterable) and not isinstance(handle, (str, type)):
        types = tuple(handle)
        if all(_is_error_type(each) for each in types):
            return lambda error: any(error.is_caused_by(each) for each in types)
    raise TypeError(
        f"handle must be an exception class, the name of one, several of them, or a function of the error that "
        f"returns whether to try again; not {handle!r}."
    )


def _is_error_type(value: Any) -> bool:
    return (isinstance(value, type) and issubclass(value, BaseException)) or (isinstance(value, str) and bool(value))
