"""The lease table and the time → what a worker does about its partitions.

Every worker reads all rows once a round and changes some of them, each guarded by its ETag. A partition changes
hands in four steps, each in a round of its own::

    thief: steal (next = thief) → owner: drain (stops reading, finishes) → owner: release (no owner) → thief: claim

A row whose ``expires_at`` has passed may be claimed by anybody: its owner is gone, or paused and will notice.

Source: DurableTask.AzureStorage, TablePartitionManager.
"""

from __future__ import annotations

import enum
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence, Set

    from taskhub.model.ids import Utc, WorkerId
    from taskhub.model.leases import PartitionLease


class Change(enum.Enum):
    """What a round does to one row."""

    CLAIM = "claim"
    RENEW = "renew"
    DRAIN = "drain"
    """Renew, and say that the partition is being emptied for its next owner."""
    RELEASE = "release"
    STEAL = "steal"


@dataclass(frozen=True, slots=True)
class LeaseWrite:
    """One row to replace; ``lease.etag`` is the condition."""

    change: Change
    lease: PartitionLease


@dataclass(frozen=True, slots=True)
class Round:
    """What a worker does after it read the table."""

    lost: frozenset[str]
    """Queues that it still reads but another worker owns: stop at once."""
    writes: tuple[LeaseWrite, ...]
    is_urgent: bool
    """A partition is changing hands: come back in a second."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a worker knows of itself when it plans."""

    me: WorkerId
    reading: Set[str] = frozenset()
    """Queues that it reads or drains."""
    drained: Set[str] = frozenset()
    """Queues that it has stopped reading and whose instances are at rest."""
    is_leaving: bool = False
    """It gives everything back."""


def plan_round(leases: Sequence[PartitionLease], standing: Standing, *, now: Utc, lease_seconds: float) -> Round:
    """Decide what to do with the rows as read.

    Args:
        leases: all rows of the table.
        standing: the worker's own view.
        now: the time at which the rows were asked for, so that a lease never lasts longer than its row says.
        lease_seconds: how long a lease lasts.
    """
    me = standing.me
    until = now.plus(timedelta(seconds=lease_seconds))
    writes: list[LeaseWrite] = []
    owned: dict[WorkerId, list[PartitionLease]] = defaultdict(list)
    waiting = False
    for lease in leases:
        if _is_free(lease, me, now) and not standing.is_leaving:
            change = Change.RENEW if lease.owner == me and lease.queue in standing.reading else Change.CLAIM
            mine = replace(
                lease,
                owner=me,
                next_owner=None,
                owned_since=lease.owned_since if change is Change.RENEW else now,
                last_renewal=now,
                expires_at=until,
                is_draining=False,
            )
            writes.append(LeaseWrite(change, mine))
            owned[me].append(mine)
        elif lease.owner == me:
            write = _keep_or_give(lease, standing, now, until)
            writes.append(write)
            if write.change is Change.RENEW:
                owned[me].append(lease)
            elif lease.next_owner is not None:
                owned[lease.next_owner].append(lease)
        elif lease.next_owner is not None:
            owned[lease.next_owner].append(lease)
            waiting = waiting or lease.next_owner == me
        elif lease.is_draining and not standing.is_leaving:
            writes.append(LeaseWrite(Change.STEAL, replace(lease, next_owner=me)))
            owned[me].append(lease)
        elif lease.owner is not None:
            owned[lease.owner].append(lease)
    if not standing.is_leaving:
        writes.extend(_steals(owned, me, len(leases)))
    return Round(
        lost=frozenset(lease.queue for lease in leases if lease.queue in standing.reading and lease.owner != me),
        writes=tuple(writes),
        is_urgent=waiting or any(write.change not in (Change.RENEW, Change.CLAIM) for write in writes),
    )


def is_alone(leases: Sequence[PartitionLease], me: WorkerId, *, now: Utc) -> bool:
    """Return whether no other living worker shows in the rows, as an owner or as one that wants a partition."""
    return all(
        lease.next_owner in (None, me) and (lease.owner in (None, me) or _is_free(lease, me, now)) for lease in leases
    )


def _is_free(lease: PartitionLease, me: WorkerId, now: Utc) -> bool:
    if lease.owner is None and (lease.next_owner is None or lease.next_owner == me):
        return True
    return lease.expires_at is None or now.moment() >= lease.expires_at.moment()


def _keep_or_give(lease: PartitionLease, standing: Standing, now: Utc, until: Utc) -> LeaseWrite:
    """Return the change of a row that we own and that has not expired."""
    is_wanted = lease.next_owner not in (None, standing.me)
    if not is_wanted and not standing.is_leaving:
        kept = replace(lease, next_owner=None, last_renewal=now, expires_at=until, is_draining=False)
        return LeaseWrite(Change.RENEW, kept)
    if lease.queue in standing.drained or lease.queue not in standing.reading:
        return LeaseWrite(Change.RELEASE, replace(lease, owner=None, is_draining=False))
    return LeaseWrite(Change.DRAIN, replace(lease, last_renewal=now, expires_at=until, is_draining=True))


def _steals(owned: dict[WorkerId, list[PartitionLease]], me: WorkerId, partitions: int) -> list[LeaseWrite]:
    """Return the rows to take from workers that own more than their share.

    A worker without a row is invisible to the others, so a new one counts itself in and steals first.
    """
    others = {owner: rows for owner, rows in owned.items() if owner != me and rows}
    ours = len(owned[me])
    share = partitions // (len(others) + 1)
    steals: list[LeaseWrite] = []
    if not others or ours > share:
        return steals
    for owner, rows in others.items():
        excess = len(rows) - share
        if excess <= 0:
            continue
        need = share - ours
        if need == 0 and excess > 1:
            need = 1
        stealable = [row for row in rows if row.owner == owner and row.next_owner is None and not row.is_draining]
        taken = stealable[: max(0, min(need, excess))]
        steals.extend(LeaseWrite(Change.STEAL, replace(row, next_owner=me)) for row in taken)
        ours += len(taken)
    return steals
