"""When a reader looks at its queue: polling is the truth, waking a hint (F5)."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

from taskhub.core.polling import JITTER, Backoff
from taskhub.runtime.clock import Signal

if TYPE_CHECKING:
    from taskhub.runtime.environment import Environment
    from taskhub.settings import TaskHubSettings

MAX_NOTED_TIMES = 10_000
"""Due messages that a reader remembers; it polls for the rest."""

VISIBILITY_LAG_SECONDS = 0.02
"""A message becomes visible a moment after its time; a look at that very time would find nothing."""


MAX_REST_SECONDS = 0.1
"""Longest rest of a reader that is woken again at once."""


class Poller:
    """Pace of one reader of one queue.

    The reader tells what each read :meth:`found` and then waits; anybody in the process may wake it, now or for the
    time at which a message that was put hidden becomes visible.

    After a read it rests for as long as the read took, whoever wakes it. That is nothing while the store is at ease;
    when the store is busy, what is put meanwhile is found by one read instead of several, which would keep it busier.

    Args:
        environment: of the process.
        floor_seconds: shortest pause after a look that found nothing.
        ceiling_seconds: longest.
        is_eager: look again at once after messages, because nobody wakes readers.
    """

    def __init__(
        self, environment: Environment, *, floor_seconds: float, ceiling_seconds: float, is_eager: bool = False
    ) -> None:
        self._environment = environment
        self._backoff = Backoff(floor_seconds, ceiling_seconds, is_eager=is_eager)
        self._delay = 0.0
        self._is_woken = False
        self._looked_at: float | None = None
        self._rested_at = 0.0
        self._changed = Signal()
        self._due: list[float] = []

    @classmethod
    def of(cls, environment: Environment, settings: TaskHubSettings) -> Poller:
        """Return the pace of a reader of a hub's queue."""
        return cls(
            environment,
            floor_seconds=settings.min_polling_interval_seconds,
            ceiling_seconds=settings.max_polling_interval_seconds,
            is_eager=not settings.wake_readers,
        )

    def __repr__(self) -> str:
        return f"<Poller waiting {self._delay:.2f} s, {len(self._due)} due>"

    def wake(self, after_seconds: float = 0.0) -> None:
        """Say that a message is visible, or will be after some seconds."""
        if after_seconds <= 0:
            self._is_woken = True
            self._changed.set()
        elif len(self._due) < MAX_NOTED_TIMES:
            due = self._environment.clock.monotonic() + after_seconds + VISIBILITY_LAG_SECONDS
            heapq.heappush(self._due, due)
            if self._due[0] == due:
                self._changed.set()

    def found(self, messages: int, *, limit: int) -> None:
        """Note what a read of up to ``limit`` messages found."""
        if self._looked_at is not None:
            now = self._environment.clock.monotonic()
            self._rested_at = now + min(now - self._looked_at, MAX_REST_SECONDS)
        if messages:
            self._backoff, self._delay = self._backoff.after_messages(more_likely=messages == limit)
        else:
            jitter = self._environment.random.uniform(*JITTER)
            self._backoff, self._delay = self._backoff.after_nothing(jitter)

    def failed(self, *, pause_seconds: float) -> None:
        """Note that a read failed: look again as after one that found nothing, or after a pause that is asked for."""
        self.found(0, limit=1)
        self._delay = max(self._delay, pause_seconds)

    async def wait(self) -> None:
        """Return when it is time to look."""
        clock = self._environment.clock
        deadline = clock.monotonic() + self._delay
        while not self._is_woken:
            now = clock.monotonic()
            if self._due and self._due[0] <= now:
                self._is_woken = True
            elif deadline <= now:
                self._looked_at = now
                return
            else:
                await self._changed.wait(min(deadline, *self._due[:1]) - now if self._due else deadline - now)
        if self._delay > 0 and (rest := self._rested_at - clock.monotonic()) > 0:  # not after a full read
            await clock.sleep(rest)
        self._is_woken = False
        self._backoff = self._backoff.after_waking()
        self._looked_at = now = clock.monotonic()
        while self._due and self._due[0] <= now:
            heapq.heappop(self._due)


class Wakeups:
    """The readers of this process, by queue."""

    def __init__(self) -> None:
        self._pollers: dict[str, Poller] = {}

    def register(self, queue: str, poller: Poller) -> None:
        """Let ``poller`` be woken for ``queue`` from now on."""
        self._pollers[queue] = poller

    def forget(self, queue: str, poller: Poller) -> None:
        """Wake ``poller`` for ``queue`` no more; a newer reader of the queue stays."""
        if self._pollers.get(queue) is poller:
            del self._pollers[queue]

    def wake(self, queue: str, after_seconds: float = 0.0) -> bool:
        """Wake the reader of ``queue``; return whether this process has one."""
        poller = self._pollers.get(queue)
        if poller is not None:
            poller.wake(after_seconds)
        return poller is not None
