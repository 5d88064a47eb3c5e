"""Storage that is throttled or away: wait, try again, say so once and say when it is over.

Every loop and every step of a checkpoint goes through one :class:`StorageHealth`, so that an outage of an hour is two
lines in the log, not one for each call.
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

_logger = logging.getLogger("taskhub.storage")


class StorageHealth:
    """Whether the storage answers, as the calls of one process see it."""

    def __init__(self, environment: Environment, description: str) -> None:
        self._environment = environment
        self._description = description
        self._failing_since: float | None = None

    def __repr__(self) -> str:
        return f"<StorageHealth {'failing' if self.is_failing else 'well'}>"

    @property
    def is_failing(self) -> bool:
        """Whether the last call that ended failed."""
        return self._failing_since is not None

    def succeeded(self) -> None:
        """Note that a call was answered."""
        if self._failing_since is None:
            return
        seconds = self._environment.clock.monotonic() - self._failing_since
        self._failing_since = None
        _logger.warning(
            "storage answers again after %.1f s: %s",
            seconds,
            self._description,
            extra={"event": "storage_back", "seconds": seconds},
        )

    def failed(self, error: Exception) -> None:
        """Note that a call failed; the first failure of an outage is logged."""
        if self._failing_since is not None:
            return
        self._failing_since = self._environment.clock.monotonic()
        _logger.warning(
            "storage does not answer, trying again until it does: %s: %s",
            self._description,
            error,
            extra={"event": "storage_trouble", "error": str(error)},
        )

    async def pause(self, attempt: int) -> None:
        """Wait before the next attempt, longer each time (``attempt`` counts from 1)."""
        jitter = self._environment.random.uniform(*JITTER)
        await self._environment.clock.sleep(retry_delay(attempt, jitter))

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
                result = await call()
            except TransientStorageError as error:
                self.failed(error)
                attempt += 1
                await self.pause(attempt)
                if give_up():
                    raise
            else:
                self.succeeded()
                return result
