"""Activities for tests."""

from __future__ import annotations

import asyncio
from typing import Any


class Runs:
    """An activity that counts its runs, and takes as long as it is told.

    Args:
        seconds: how long; may be set anew between runs.
    """

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.given: list[Any] = []
        """What it was called with, in order."""

    async def __call__(self, value: Any) -> Any:
        self.given.append(value)
        await asyncio.sleep(self.seconds)
        return value
