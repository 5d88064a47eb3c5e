"""Storage that is throttled or away: wait, try again, say so once and say when it is over.

Every loop and every step of a checkpoint goes through one :class:`StorageHealth`, so that an outage of an hour is two
lines in the log, not one for each call, and a call that fails now and then is none.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from taskhub.core.polling import JITTER, retry_delay
from taskhub.errors import TransientStorageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskhub.runtime.environment import Environment

_T = TypeVar("_T")

FAILURES_OF_AN_OUTAGE = 3
"""Failures in a row that make an outage; one is enough where no call ever succeeded."""

BRIEF_ATTEMPTS = 4
"""As often as the clients of Azure try."""

MAX_BRIEF_PAUSE_SECONDS = 5.0
"""Whoever waits is told of the failure rather than to wait for longer."""

MAX_ASKED_SECONDS = 30.0
"""Longest pause that a service may ask for; it would be seconds."""

ASKED_JITTER = (1.0, 1.2)
"""Not everybody comes back at once, and nobody before the time."""

_logger = logging.getLogger("taskhub.storage")


class StorageHealth:
    """Whether the storage answers, as the calls of one process see it."""

    def __init__(self, environment: Environment, description: str) -> None:
        self._environment = environment
        self._description = description
        self._failures = 0
        self._failing_since = 0.0
        self._was_well = False
        self._is_announced = False

    def __repr__(self) -> str:
        return f"<StorageHealth {f'{self._failures} failures in a row' if self._failures else 'well'}>"

    def asks(self) -> float:
        """Return what :meth:`succeeded` needs to know of a call that is about to be made."""
        return self._environment.clock.monotonic()

    def succeeded(self, asked: float) -> None:
        """Note that a call was answered.

        Args:
            asked: of :meth:`asks`. The answer to a call that was made before the trouble began is no end of it.
        """
        self._was_well = True
        if self._is_announced and asked <= self._failing_since:
            return
        self._failures = 0
        if not self._is_announced:
            return
        self._is_announced = False
        seconds = self._environment.clock.monotonic() - self._failing_since
        _logger.warning(
            "storage answers again after %.1f s: %s",
            seconds,
            self._description,
            extra={"event": "storage_back", "seconds": seconds},
        )

    def failed(self, error: Exception) -> None:
        """Note that a call failed; an outage is logged once."""
        if self._failures == 0:
            self._failing_since = self._environment.clock.monotonic()
        self._failures += 1
        if self._is_announced or (self._was_well and self._failures < FAILURES_OF_AN_OUTAGE):
            _logger.debug("storage call failed: %s", error, extra={"event": "storage_failure", "error": str(error)})
            return
        self._is_announced = True
        _logger.warning(
            "storage does not answer, trying again until it does: %s: %s",
            self._description,
            error,
            extra={"event": "storage_trouble", "error": str(error)},
        )

    async def pause(self, attempt: int, error: Exception | None = None) -> None:
        """Wait before the next attempt, longer each time, and for as long as the service asked for.

        Args:
            attempt: which one failed, from 1.
            error: how.
        """
        jitter = self._environment.random.uniform(*JITTER)
        await self._environment.clock.sleep(max(retry_delay(attempt, jitter), self.asked_pause(error)))

    def asked_pause(self, error: Exception | None) -> float:
        """Return for how many seconds a service that refused a call is to be left alone; 0 when it does not ask."""
        return _asked_seconds(error) * self._environment.random.uniform(*ASKED_JITTER)

    async def retry(self, call: Callable[[], Awaitable[_T]], *, give_up: Callable[[], bool] = lambda: False) -> _T:
        """Call until the storage answers, with growing pauses.

        Args:
            call: one storage call that may safely be made again.
            give_up: asked after every pause; when true the failure is raised.

        Raises:
            TransientStorageError: the last failure, once ``give_up`` says so.
        """
        attempt = 0
        while True:
            try:
                return await self.noted(call)
            except TransientStorageError as error:
                attempt += 1
                await self.pause(attempt, error)
                if give_up():
                    raise

    async def noted(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Make one storage call, and take note of how it went.

        Raises:
            TransientStorageError: the storage does not answer.
        """
        asked = self.asks()
        try:
            result = await call()
        except TransientStorageError as error:
            self.failed(error)
            raise
        self.succeeded(asked)
        return result

    async def retry_briefly(self, call: Callable[[], Awaitable[_T]]) -> _T:
        """Call until the storage answers, but only for some seconds: somebody waits.

        Args:
            call: one storage call that may safely be made again.

        Raises:
            TransientStorageError: the last failure.
        """
        for attempt in range(1, BRIEF_ATTEMPTS):
            try:
                return await call()
            except TransientStorageError as error:
                if _asked_seconds(error) > MAX_BRIEF_PAUSE_SECONDS:
                    raise
                await self.pause(attempt, error)
        return await call()


def _asked_seconds(error: Exception | None) -> float:
    asked = error.retry_after_seconds if isinstance(error, TransientStorageError) else None
    return min(max(asked or 0.0, 0.0), MAX_ASKED_SECONDS)
