"""How long a reader of a queue waits before it looks again.

Polling is the truth, waking (``runtime.wakeups``) a hint that makes it quick and cheap: a reader that is woken
looks at once, and one that nobody wakes looks ever more rarely.

Differs from the reference, which reads a queue at least twice more after every message it got: that finds what
arrived meanwhile, at two empty reads each. Our own sends wake the reader, and a full read says that there is more.
Only where nobody wakes readers do they look again at once.

Source: DurableTask.AzureStorage, BackoffPollingHelper.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

JITTER = (0.8, 1.2)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Where a reader stands between ``floor`` and ``ceiling`` seconds; the exponent counts empty reads in a row."""

    floor_seconds: float
    ceiling_seconds: float
    exponent: int = 0
    is_eager: bool = False
    """Look again at once after messages: nobody will say when there are more."""

    def after_messages(self, *, more_likely: bool) -> tuple[Backoff, float]:
        """Return the state and the delay in seconds after a read that found messages.

        Args:
            more_likely: the read was full, so that there may be more.
        """
        return replace(self, exponent=0), 0.0 if more_likely or self.is_eager else self.floor_seconds

    def after_nothing(self, jitter: float) -> tuple[Backoff, float]:
        """Return the state and the delay in seconds after an empty read.

        The delay doubles: floor x (1 + 2^n) up to the ceiling, where it stays.

        Args:
            jitter: a random number from ``JITTER``, so that readers do not march in step.
        """
        if self.exponent == 0:
            return replace(self, exponent=1), self.floor_seconds
        growth = min(2 ** min(self.exponent - 1, 40) * jitter, self.ceiling_seconds / self.floor_seconds)
        delay = min(self.floor_seconds * (1 + growth), self.ceiling_seconds)
        return replace(self, exponent=self.exponent + 1), delay

    def after_waking(self) -> Backoff:
        """Return the state after somebody said that there is a message: as after one."""
        return replace(self, exponent=0)


def retry_delay(attempt: int, jitter: float, *, floor_seconds: float = 0.2, ceiling_seconds: float = 30.0) -> float:
    """Return how long to wait after the ``attempt``-th failure in a row (from 1) of a storage call."""
    return min(floor_seconds * float(2 ** min(attempt - 1, 30)), ceiling_seconds) * jitter


def abandon_seconds(dequeue_count: int) -> int:
    """Return how long a message that cannot be handled now stays hidden: 2, 4, 8 … up to 600 seconds.

    Source: DurableTask.AzureStorage, AbandonMessageAsync.
    """
    return 600 if dequeue_count > 30 else min(2 ** max(dequeue_count, 1), 600)
