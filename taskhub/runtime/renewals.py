"""Keeps the messages of work in progress hidden: one loop for all of them.

The work registers its messages and is the only one to delete them; it waits for a renewal that is under way, because
every update changes the receipt that the delete needs.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from taskhub.runtime.environment import Environment
    from taskhub.runtime.mailbox import Held, Mailbox

LOOKS_PER_PERIOD = 4
"""A message is renewed when half of its time is over; looking four times a period finds it well before the end."""


@dataclass(slots=True, eq=False)
class _Work:
    messages: Sequence[Held]
    renewed_at: float
    hide_seconds: int
    is_quiet: asyncio.Event = field(default_factory=asyncio.Event)


class Renewals:
    """All work in progress on the messages of a mailbox.

    Args:
        mailbox: where they are.
        environment: of the process.
        hide_seconds: the shortest time for which any of them is hidden.
    """

    def __init__(self, mailbox: Mailbox, environment: Environment, *, hide_seconds: int) -> None:
        self._mailbox = mailbox
        self._environment = environment
        self._hide_seconds = hide_seconds
        self._work: dict[int, _Work] = {}

    def __repr__(self) -> str:
        return f"<Renewals {len(self._work)} in progress>"

    async def run(self) -> None:
        """Renew until cancelled."""
        clock = self._environment.clock
        while True:
            await clock.sleep(self._hide_seconds / LOOKS_PER_PERIOD)
            for work in list(self._work.values()):
                if id(work) in self._work and clock.monotonic() - work.renewed_at >= work.hide_seconds / 2:
                    await self._renew(work)

    @contextlib.asynccontextmanager
    async def hold(self, messages: Sequence[Held]) -> AsyncIterator[None]:
        """Keep messages hidden while the block runs; they were hidden a moment ago."""
        hidden_for = min((held.hide_seconds for held in messages), default=self._hide_seconds)
        work = _Work(messages, self._environment.clock.monotonic(), hidden_for)
        work.is_quiet.set()
        self._work[id(work)] = work
        try:
            yield
        finally:
            del self._work[id(work)]
            await work.is_quiet.wait()

    async def _renew(self, work: _Work) -> None:
        work.is_quiet.clear()
        try:
            await self._mailbox.renew(work.messages)
            work.renewed_at = self._environment.clock.monotonic()
        finally:
            work.is_quiet.set()
