"""What can be seen of a task hub as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.ids import Utc
    from taskhub.model.instance import RuntimeStatus


@dataclass(frozen=True, slots=True)
class PartitionStatus:
    """A partition and who works on it."""

    queue: str
    messages: int
    """About how many, hidden ones included."""
    owner: str | None = None
    expires_at: Utc | None = None
    """Of the owner's lease; ``None`` where the lease does not tell (blob leases)."""
    next_owner: str | None = None
    """Who is taking it over."""
    is_held: bool = False
    """Whether the owner's lease had not ended."""


@dataclass(frozen=True, slots=True)
class HubStatus:
    """A look at a hub."""

    hub: str
    storage: str
    """Where it lies, for people."""
    partitions: tuple[PartitionStatus, ...]
    """None when the hub does not exist."""
    work_items: int
    """Activities that wait or run, about."""
    instances: Mapping[RuntimeStatus | None, int]
    """Orchestrations by status; ``None`` is a status that no known version writes."""
    entities: int
    dead_letters: int = 0
    """Messages that were parked because nobody could work on them."""

    @property
    def exists(self) -> bool:
        """Whether anybody has made the hub."""
        return bool(self.partitions)

    @property
    def workers(self) -> tuple[str, ...]:
        """Workers that hold partitions."""
        return tuple(sorted({each.owner for each in self.partitions if each.is_held and each.owner}))


@dataclass(frozen=True, slots=True)
class HubContents:
    """How much a hub holds, or a dump of one."""

    blobs: int = 0
    rows: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class DumpSummary:
    """What a dump holds."""

    contents: HubContents
    unread: int
    """Messages that are about in the queues but could be neither read nor inferred; of ended instances, mostly."""
