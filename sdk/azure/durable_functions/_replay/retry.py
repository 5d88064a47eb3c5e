"""How often and how late a failed call is tried again."""

from __future__ import annotations

from datetime import timedelta


class RetryOptions:
    """Retry policy of an activity or a sub-orchestration.

    Args:
        first_retry_interval_in_milliseconds: wait before each further attempt; greater than 0.
        max_number_of_attempts: attempts in all, the first one included.

    Raises:
        ValueError: the interval is not greater than 0.
    """

    __slots__ = ("__dict__", "_first_retry_interval_in_milliseconds", "_max_number_of_attempts")

    def __init__(self, first_retry_interval_in_milliseconds: int, max_number_of_attempts: int) -> None:
        if first_retry_interval_in_milliseconds <= 0:
            # The reference's text, down to the missing blank: apps compare it.
            raise ValueError("first_retry_interval_in_milliseconds valuemust be greater than 0.")
        self._first_retry_interval_in_milliseconds = first_retry_interval_in_milliseconds
        self._max_number_of_attempts = max_number_of_attempts

    @property
    def first_retry_interval_in_milliseconds(self) -> int:
        """Wait before each further attempt."""
        return self._first_retry_interval_in_milliseconds

    @property
    def max_number_of_attempts(self) -> int:
        """Attempts in all, the first one included."""
        return self._max_number_of_attempts

    @property
    def interval(self) -> timedelta:
        """Wait before each further attempt, as a span."""
        return timedelta(milliseconds=self._first_retry_interval_in_milliseconds)

    def to_json(self) -> dict[str, int | str]:
        """Return the form that the host reads."""
        return {
            "firstRetryIntervalInMilliseconds": self._first_retry_interval_in_milliseconds,
            "maxNumberOfAttempts": self._max_number_of_attempts,
        }
