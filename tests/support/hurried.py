"""An event loop whose time goes faster than the machine's: real threads and files, but nobody waits out a lease.

Every timer of the loop comes sooner by the same factor, and :meth:`HurriedLoop.now` is the clock that goes with it. A
service that has a clock of its own cannot be hurried; for the embedded store, give it ``now``.
"""

from __future__ import annotations

import asyncio
import selectors
import time
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

_T = TypeVar("_T")


class _Selector(selectors.DefaultSelector):
    """Waits for a fraction of the time that it is asked to wait."""

    speed = 1.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / self.speed)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return super().get_map()


class HurriedLoop(asyncio.SelectorEventLoop):
    """A selector loop in which a second of the machine's is ``speed`` seconds."""

    def __init__(self, speed: float) -> None:
        selector = _Selector()
        selector.speed = speed
        self._speed = speed
        self._began = datetime.now(timezone.utc)
        self._zero = time.monotonic()
        super().__init__(selector)

    def time(self) -> float:
        """Return the hurried monotonic time."""
        return (time.monotonic() - self._zero) * self._speed

    def now(self) -> datetime:
        """Return the hurried time of day, in any thread."""
        return self._began + timedelta(seconds=self.time())


class HurriedClock:
    """The clock of a process in such a loop."""

    def __init__(self, loop: HurriedLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        """Return the loop's time of day."""
        return self._loop.now()

    def monotonic(self) -> float:
        """Return the loop's time."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Sleep on the loop."""
        await asyncio.sleep(max(seconds, 0))


def run_hurried(speed: float, play: Callable[[HurriedLoop], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine in a hurried loop of its own."""
    loop = HurriedLoop(speed)
    asyncio.set_event_loop(loop)
    try:
        return loop.run_until_complete(play(loop))
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
