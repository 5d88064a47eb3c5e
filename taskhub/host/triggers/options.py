"""PURE: ``extensions.queues`` and ``extensions.blobs`` of ``host.json``."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host.durable_options import time_span

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

MAX_BATCH = 32
_MAX_COUNT = 2**31 - 1
_WEEK = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class QueueOptions:
    """How queues are read that functions of an app wait for."""

    batch_size: int = 16
    """Messages taken at a time."""
    new_batch_threshold: int = 8
    """No more are taken while so many are in progress."""
    max_polling_seconds: float = 60.0
    visibility_seconds: int = 0
    """How long a message stays hidden whose function failed."""
    max_dequeue_count: int = 5
    """After which a message goes to the poison queue."""
    is_base64: bool = True


@dataclass(frozen=True, slots=True)
class BlobOptions:
    """How blobs are dealt with that start functions."""

    max_parallel: int = field(default_factory=lambda: 8 * _cpus())
    poison_threshold: int = 5
    scan_seconds: float = 10.0
    """Between two looks at a container."""


def read_queue_options(section: Mapping[str, Any], *, is_development: bool) -> QueueOptions:
    """Read ``extensions.queues``.

    Args:
        section: of ``host.json``.
        is_development: polls more often, where nobody says how often.

    Raises:
        ConfigurationError: a value is out of its range.
    """
    values = {key.lower(): value for key, value in section.items()}

    def read(name: str, default: Any, reader: Callable[[str, Any], Any]) -> Any:
        value = values.get(name.lower())
        return default if value is None else reader(f"extensions.queues.{name}", value)

    batch = read("batchSize", 16, _whole(1, MAX_BATCH))
    return QueueOptions(
        batch_size=batch,
        new_batch_threshold=read("newBatchThreshold", batch // 2 * _cpus(), _whole(0, _MAX_COUNT)),
        max_polling_seconds=read("maxPollingInterval", 2.0 if is_development else 60.0, _span(0.1, 24 * 3600.0)),
        visibility_seconds=int(read("visibilityTimeout", 0, _span(0.0, _WEEK))),
        max_dequeue_count=read("maxDequeueCount", 5, _whole(1, _MAX_COUNT)),
        is_base64=read("messageEncoding", True, _is_base64),
    )


def read_blob_options(section: Mapping[str, Any], *, is_development: bool) -> BlobOptions:
    """Read ``extensions.blobs``; see :func:`read_queue_options`."""
    values = {key.lower(): value for key, value in section.items()}
    parallel, threshold = values.get("maxdegreeofparallelism"), values.get("poisonblobthreshold")
    whole = _whole(1, _MAX_COUNT)
    return BlobOptions(
        max_parallel=8 * _cpus() if parallel is None else whole("extensions.blobs.maxDegreeOfParallelism", parallel),
        poison_threshold=5 if threshold is None else whole("extensions.blobs.poisonBlobThreshold", threshold),
        scan_seconds=2.0 if is_development else 10.0,
    )


def _cpus() -> int:
    return os.cpu_count() or 1


def _whole(low: int, high: int) -> Callable[[str, Any], int]:
    def read(name: str, value: Any) -> int:
        # Overrides from the environment are texts.
        number = int(value) if isinstance(value, str) and value.strip().isdigit() else value
        if isinstance(number, bool) or not isinstance(number, int) or not low <= number <= high:
            to = f" to {high}" if high < _MAX_COUNT else " up"
            raise ConfigurationError(f"host.json: {name} is {value!r}; it must be a whole number from {low}{to}.")
        return number

    return read


def _span(low: float, high: float) -> Callable[[str, Any], float]:
    def read(name: str, value: Any) -> float:
        try:
            seconds = time_span(value)
        except ValueError:
            seconds = -1.0
        if not low <= seconds <= high:
            raise ConfigurationError(
                f'host.json: {name} is {value!r}; it must be a time span "hh:mm:ss" of {low:g} to {high:g} seconds.'
            )
        return seconds

    return read


def _is_base64(name: str, value: Any) -> bool:
    if not isinstance(value, str) or value.lower() not in ("base64", "none"):
        raise ConfigurationError(f"host.json: {name} is {value!r}; it must be base64 or none.")
    return value.lower() == "base64"
