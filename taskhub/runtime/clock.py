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
