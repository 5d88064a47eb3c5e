"""A partition in the hands of this worker, and the fence that keeps old owners from acting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@dataclass(slots=True, eq=False)
class Partition:
    """One unbroken time of owning a partition. When it is lost and claimed again, that is another object."""

    queue: str
    expires_at: datetime
    """As written in the lease row."""
    is_lost: bool = False
    is_draining: bool = False

    @property
    def is_closed(self) -> bool:
        """Whether nothing more is to come in: it is lost or being drained."""
        return self.is_lost or self.is_draining

    def is_read(self, now: datetime, *, margin: timedelta) -> bool:
        """Return whether it is ours, and what comes in is worked on."""
        return not self.is_draining and self.is_ours(now, margin=margin)

    def is_ours(self, now: datetime, *, margin: timedelta) -> bool:
        """Return whether nobody else can own the partition before ``margin`` has passed."""
        return not self.is_lost and now + margin < self.expires_at
