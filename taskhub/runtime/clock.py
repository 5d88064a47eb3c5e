"""Time, as an argument: the only place that looks at the system's clock."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Protocol


class Clock(Protocol):
    """What the runtime knows of time."""

    def now(self) -> datetime:
        """Return the current time, aware UTC."""

    def monotonic(self) -> float:
        """Return seconds on a clock that is never set back; only differences mean something."""

    async def sleep(self, seconds: float) -> None:
        """Return after ``seconds``; at once (but after other tasks) when not positive."""


class SystemClock:
    """The machine's clock, at microsecond precision."""

    def now(self) -> datetime:
        """Return the current time, aware UTC."""
        return datetime.now(timezone.utc)

    def monotonic(self) -> float:
        """Return the running event loop's time in seconds."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the running event loop."""
        await asyncio.sleep(max(seconds, 0))


class Signal:
    """A flag that one task waits for, for a while; seeing it set takes it down again.

    Its timeouts are the running event loop's, which a simulation replaces.
    """

    def __init__(self) -> None:
        self._is_set = False
        self._waiter: asyncio.Future[None] | None = None

    def set(self) -> None:
        """Raise the flag; the waiting task goes on."""
        self._is_set = True
        self._wake()

    async def wait(self, seconds: float | None = None) -> bool:
        """Wait until the flag is up, or for ``seconds``; return whether it was up, and take it down."""
        if not self._is_set and (seconds is None or seconds > 0):
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            timer = None if seconds is None else loop.call_later(seconds, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if timer is not None:
                    timer.cancel()
        was_set, self._is_set = self._is_set, False
        return was_set

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
