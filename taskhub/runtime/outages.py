"""Storage that is throttled or away: wait, try again, say so once and say when it is over.

Every loop and every step of a checkpoint goes through one :class:`StorageHealth`, so that an outage of an hour is two
lines in the log, not one for each call, and a call that fails now and then is none. Queues, tables and blobs of an
account are throttled and fail one by one: that tables answer says nothing of queues. But when all are away, whoever
reads the log need not be told of each: services that join an outage, and leave it before its end, are details.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.core.polling import JITTER, retry_delay
from taskhub.errors import StorageError, StorageRefused, TransientStorageError
from taskhub.storage.interception import intercepted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskhub.runtime.environment import Environment
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Storage

_T = TypeVar("_T")

FAILURES_OF_AN_OUTAGE = 3
"""Failures in a row that make an outage; one is enough where no call ever succeeded."""

TOGETHER_SECONDS = 300.0
"""A service that begins to fail so soon after a failure of another one joins its outage; some are asked rarely."""

BRIEF_ATTEMPTS = 4
"""As often as the clients of Azure try."""

MAX_BRIEF_PAUSE_SECONDS = 5.0
"""Whoever waits is told of the failure rather than to wait for longer."""

MAX_ASKED_SECONDS = 30.0
"""Longest pause that a service may ask for; it would be seconds."""

ASKED_JITTER = (1.0, 1.2)
"""Not everybody comes back at once, and nobody before the time."""

_logger = logging.getLogger("taskhub.storage")


@dataclass(slots=True)
class _Service:
    """What is known of one service."""

    failures: int = 0
    """In a row."""
    failing_since: float = 0.0
    failed_last: float = 0.0
    was_well: bool = False
    is_announced: bool = False


class StorageHealth:
    """Whether the storage answers, as the calls of one process see it: each service for itself.

    A store is used as :meth:`watching` returns it. Then every answer is noted; a failure is when whoever made the call
    says so (:meth:`failed`), because who gives up at once has no outage to tell of.
    """

    def __init__(self, environment: Environment, description: str) -> None:
        self._environment = environment
        self._description = description
        self._services: dict[str | None, _Service] = {}
        self._outage: dict[str | None, float] = {}
        """Services that were announced to fail, until the end of that is, with the times at which it began."""

    def __repr__(self) -> str:
        failing = ", ".join(
            f"{service or 'storage'}: {state.failures} failures in a row"
            for service, state in self._services.items()
            if state.failures
        )
        return f"<StorageHealth {failing or 'well'}>"

    def watching(self, storage: Storage) -> Storage:
        """Return a store whose answers are noted here, and whose errors say of which service they are."""

        async def around(call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
            service = None if storage.fails_as_one else call.service
            asked = self._environment.clock.monotonic()
            try:
                result = await act()
            except StorageError as error:
                error.service = service
                if not isinstance(error, (TransientStorageError, StorageRefused)):
                    self._answered(service, asked)
                raise
            self._answered(service, asked)
            return result

        return intercepted(storage, around)

    def failed(self, error: Exception) -> None:
        """Note that a call failed; an outage of its service is logged once."""
        service = error.service if isinstance(error, StorageError) else None
        state = self._of(service)
        now = self._environment.clock.monotonic()
        if state.failures == 0:
            state.failing_since = now
        state.failures += 1
        state.failed_last = now
        fields = {"service": service or "all", "error": str(error)}
        if state.is_announced or (state.was_well and state.failures < FAILURES_OF_AN_OUTAGE):
            _logger.debug("storage call failed: %s", error, extra={"event": "storage_failure", **fields})
            return
        level = logging.INFO if self._others_fail(service) else logging.WARNING
        state.is_announced = True
        self._outage[service] = state.failing_since
        _logger.log(
            level,
            "storage does not answer, trying again until it does: %s: %s",
            self._place(service),
            error,
            extra={"event": "storage_trouble", **fields},
        )

    def _answered(self, service: str | None, asked: float) -> None:
        """Note that a call was answered that was made at a time; one made before the trouble began is no end of it."""
        state = self._of(service)
        state.was_well = True
        if state.is_announced:
            if asked <= state.failing_since:
                return
            state.is_announced = False
            self._came_back(service, state)
        state.failures = 0

    def _came_back(self, service: str | None, state: _Service) -> None:
        """Log that a service answers again, or that the outage is over, when it was the last one."""
        is_over = not self._others_fail(service)
        began = {service: state.failing_since}
        if is_over:
            began = {each: since for each, since in self._outage.items() if not self._of(each).is_announced}
            self._outage = {each: since for each, since in self._outage.items() if each not in began}
        seconds = self._environment.clock.monotonic() - min(began.values())
        names = ", ".join(sorted(each or "all" for each in began))
        _logger.log(
            logging.WARNING if is_over else logging.INFO,
            "storage answers again after %.1f s: %s",
            seconds,
            self._place(None if None in began else names),
            extra={"event": "storage_back", "service": names, "seconds": seconds},
        )

    def _others_fail(self, service: str | None) -> bool:
        """Return whether another service is away as well; one that nobody has asked for long may be back."""
        now = self._environment.clock.monotonic()
        return any(
            state.is_announced and now - state.failed_last <= TOGETHER_SECONDS
            for each, state in self._services.items()
            if each != service
        )

    def _of(self, service: str | None) -> _Service:
        state = self._services.get(service)
        if state is None:
            state = self._services[service] = _Service()
        return state

    def _place(self, service: str | None) -> str:
        return self._description if service is None else f"{service} service of {self._description}"

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
        """Make one storage call, and take note if it fails.

        Raises:
            TransientStorageError: the storage does not answer.
        """
        try:
            return await call()
        except TransientStorageError as error:
            self.failed(error)
            raise

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
