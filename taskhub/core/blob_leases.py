"""Lease blobs as they are seen → which of them a worker takes, by the rules of the blob-based partition managers.

Each partition has a blob that its owner leases and writes its name into. What nobody leases is free. A worker that
has less than its share takes free ones, and where there are none it steals one: it hands the lease of another
worker to itself, with the lease id that the blob tells everybody.

Source: DurableTask.AzureStorage, LeaseManagement (the balancer of the legacy and the safe partition manager).
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.core.balancing import Standing
    from taskhub.model.ids import WorkerId


@dataclass(frozen=True, slots=True)
class SeenLease:
    """A lease blob at the time of a look at it."""

    queue: str
    owner: WorkerId | None
    """``None``: nobody leases it, or whoever does has not yet written a name into it."""
    is_free: bool


@dataclass(frozen=True, slots=True)
class Taking:
    """What a worker goes for now."""

    claims: tuple[str, ...] = ()
    """Queues whose leases are free."""
    steal: str | None = None
    """A queue to take from another worker: one a round, so that two thieves do not take everything."""


def plan_taking(others: Sequence[SeenLease], me: WorkerId, *, held: int) -> Taking:
    """Decide what to take.

    Args:
        others: the leases that this worker does not hold.
        me: the worker, which counts itself in though it holds nothing.
        held: how many leases it holds.
    """
    owned = Counter(lease.owner for lease in others if not lease.is_free and lease.owner not in (None, me))
    share = math.ceil((held + len(others)) / (len(owned) + 1))
    missing = share - held
    if missing <= 0:
        return Taking()
    free = [lease.queue for lease in others if lease.is_free]
    if free:
        return Taking(claims=tuple(free[:missing]))
    if not owned:
        return Taking()
    richest, count = min(owned.items(), key=lambda item: (-item[1], str(item[0])))
    if count <= (share if missing == 1 else share - 1):
        return Taking()
    return Taking(steal=next(lease.queue for lease in others if lease.owner == richest and not lease.is_free))


class Fate(enum.Enum):
    """What becomes of a partition whose lease a worker holds."""

    OWN = "own"
    DRAIN = "drain"
    """Keep the lease, read no more, finish what is in memory."""
    RELEASE = "release"


def fate_of(queue: str, standing: Standing, *, is_wanted: bool) -> Fate:
    """Tell what to do with a partition.

    Args:
        queue: of the partition, whose lease we hold.
        standing: what the worker has in hand.
        is_wanted: whether it should stay with this worker.
    """
    if is_wanted:
        return Fate.OWN
    if queue in standing.drained or queue not in standing.reading:
        return Fate.RELEASE
    return Fate.DRAIN
