"""How many HTTP functions run and wait at a time: ``maxConcurrentRequests`` and ``maxOutstandingRequests``."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class TooManyRequests(Exception):
    """As many requests as allowed are running or waiting."""


class Admission:
    """Lets requests in.

    Args:
        max_concurrent: that run at a time; ``None``: no limit.
        max_outstanding: that run or wait at a time; ``None``: no limit.
    """

    def __init__(self, max_concurrent: int | None = None, max_outstanding: int | None = None) -> None:
        self._max_outstanding = max_outstanding
        self._slots = None if max_concurrent is None else asyncio.Semaphore(max_concurrent)
        self._outstanding = 0

    def __repr__(self) -> str:
        return f"<Admission, {self._outstanding} of {self._max_outstanding or 'any number'}>"

    @contextlib.asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Take part in the count, and wait for a turn.

        Raises:
            TooManyRequests: there is no room to wait in.
        """
        if self._max_outstanding is not None and self._outstanding >= self._max_outstanding:
            raise TooManyRequests
        self._outstanding += 1
        try:
            if self._slots is None:
                yield
            else:
                async with self._slots:
                    yield
        finally:
            self._outstanding -= 1
