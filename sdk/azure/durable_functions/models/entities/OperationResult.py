"""What came of one operation of an entity."""

from __future__ import annotations

from typing import Any

from azure.durable_functions.models.utils.df_serialization import df_dumps


class OperationResult:
    """Result of one operation; encoded at once, so that what happens to the value later changes nothing.

    Args:
        is_error: whether the operation raised.
        duration: how long it ran, in milliseconds.
        execution_start_time_ms: when it began, in milliseconds since 1970.
        result: what it returned; the error's text when it raised.

    Raises:
        TypeError: the result cannot be encoded.
    """

    def __init__(self, is_error: bool, duration: int, execution_start_time_ms: int, result: Any = None) -> None:
        self._is_error = is_error
        self._duration = duration
        self._execution_start_time_ms = execution_start_time_ms
        self._result = result
        self._text = df_dumps(result)

    @property
    def is_error(self) -> bool:
        """Whether the operation raised."""
        return self._is_error

    @property
    def duration(self) -> int:
        """How long the operation ran, in milliseconds."""
        return self._duration

    @property
    def execution_start_time_ms(self) -> int:
        """When the operation began, in milliseconds since 1970."""
        return self._execution_start_time_ms

    @property
    def result(self) -> Any:
        """What the operation returned; the error's text when it raised."""
        return self._result

    def to_json(self) -> dict[str, Any]:
        """Return ``{"isError", "duration", "startTime", "result"}``, the result as JSON text."""
        return {
            "isError": self._is_error,
            "duration": self._duration,
            "startTime": self._execution_start_time_ms,
            "result": self._text,
        }
