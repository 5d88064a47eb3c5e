"""Leases in the Partitions table: one row for each partition, replaced under its ETag.

A round reads all rows, asks :mod:`taskhub.core.balancing` what to do, and writes what changes in one transaction.

Where ``long_lease_rounds`` is set, a worker that has been alone on the hub for a while makes rounds and leases
:data:`STRETCH` times as long (8.4 I). Each round begins with a look at all rows, so whoever comes is seen after one
long round at the latest, or at once where workers can tell each other; from then on rounds and leases are ordinary.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskhub.codec.lease_rows import PARTITION_KEY, decode_lease, encode_lease
from taskhub.core.balancing import Change, LeaseWrite, is_alone, plan_round
from taskhub.errors import MalformedMessage, RowChanged, RowNotFound
from taskhub.model.ids import Utc
from taskhub.runtime.paging import pages_of
from taskhub.storage.port import Comparison, Row, TableWrite, Where, Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from taskhub.core.balancing import Standing
    from taskhub.model.ids import ETag
    from taskhub.model.leases import PartitionLease
    from taskhub.runtime.partitions import Estate
    from taskhub.runtime.services import Services

URGENT_ROUND_SECONDS = 1.0
"""While a partition changes hands."""

STRETCH = 3
"""Times as long as ordinary ones are the rounds and leases of a worker that is alone."""
ROUNDS_ALONE = 3
"""Ordinary rounds for which a worker must have been alone: when a hub's workers are started they come together."""

_logger = logging.getLogger("taskhub.partitions")


class TableLeases:
    """The keeper for the table; see :class:`taskhub.runtime.partitions.LeaseKeeper`."""

    def __init__(self, services: Services, estate: Estate) -> None:
        self._services = services
        self._estate = estate
        self._table = services.names.partitions_table
        self._unreadable: dict[str, ETag | None] = {}
        self._alone_since: float | None = None
        """When this worker began to see no other one, on the monotonic clock."""

    async def round(self) -> float:
        """Read the table and act."""
        settings = self._services.settings
        asked_at = Utc.of(self._services.environment.clock.now())
        leases = await self._read()
        standing = self._estate.standing()
        stretch = STRETCH if self._may_stretch(leases, standing, asked_at) else 1
        plan = plan_round(leases, standing, now=asked_at, lease_seconds=settings.lease_interval_seconds * stretch)
        for queue in sorted(plan.lost):
            self._estate.drop(queue)
        await self._write(plan.writes)
        return URGENT_ROUND_SECONDS if plan.is_urgent else settings.lease_round_seconds * stretch

    def _may_stretch(self, leases: Sequence[PartitionLease], standing: Standing, now: Utc) -> bool:
        """Return whether rounds and leases may be long: nobody has shown for a while who would wait for us.

        Of a single partition a second worker has no share to ask for: it would show nowhere, and wait for our end.
        """
        settings = self._services.settings
        partitions = len(self._services.hub.control_queues)
        shows_others = partitions > 1 and len(leases) == partitions
        is_steady = settings.long_lease_rounds and shows_others and not standing.is_leaving
        if not is_steady or not is_alone(leases, standing.me, now=now):
            self._alone_since = None
            return False
        clock = self._services.environment.clock.monotonic()
        if self._alone_since is None:
            self._alone_since = clock
        return clock - self._alone_since >= ROUNDS_ALONE * settings.lease_round_seconds

    async def _read(self) -> list[PartitionLease]:
        where = Where("PartitionKey", Comparison.EQ, PARTITION_KEY)
        ours = set(self._services.hub.control_queues)
        read = [
            self._lease(row)
            async for page in pages_of(self._services.storage.tables, self._table, where)
            for row in page
            if row.row_key in ours
        ]
        return [lease for lease in read if lease is not None]

    def _lease(self, row: Row) -> PartitionLease | None:
        """Return the lease of a row; one that cannot be read is left alone and reported once for each version."""
        try:
            return decode_lease(row.row_key, row.columns, row.etag)
        except MalformedMessage as error:
            if self._unreadable.get(row.row_key) != row.etag:
                self._unreadable[row.row_key] = row.etag
                _logger.error(
                    "partition %s has no owner until its lease row is repaired: %s",
                    row.row_key,
                    error,
                    extra={"event": "lease_unreadable", "queue": row.row_key, "error": str(error)},
                )
            return None

    async def _write(self, writes: tuple[LeaseWrite, ...]) -> None:
        """Write the planned rows in one transaction (F8); when one of them was changed by somebody, one by one."""
        if not writes:
            return
        tables = self._services.storage.tables
        try:
            await tables.batch(self._table, [_replace(write) for write in writes])
        except (RowChanged, RowNotFound):
            for write in writes:
                await self._write_one(write)
        else:
            for write in writes:
                self._apply(write)

    async def _write_one(self, write: LeaseWrite) -> None:
        try:
            await self._services.storage.tables.write(self._table, _replace(write))
        except (RowChanged, RowNotFound):
            # Another worker was quicker; the next round, which is now, sees what it did.
            self._estate.look()
        else:
            self._apply(write)

    def _apply(self, write: LeaseWrite) -> None:
        """Follow a row that was written."""
        queue = write.lease.queue
        match write.change:
            case Change.CLAIM | Change.RENEW:
                self._estate.own(queue, _end(write.lease))
            case Change.DRAIN:
                self._estate.drain(queue, _end(write.lease))
            case Change.RELEASE:
                self._estate.drop(queue, "released")
                self._estate.tell_others()
            case Change.STEAL:
                self._estate.note("asked its owner for", queue)
                self._estate.tell_others()


def _replace(write: LeaseWrite) -> TableWrite:
    lease = write.lease
    return TableWrite(Write.REPLACE, Row(PARTITION_KEY, lease.queue, encode_lease(lease)), if_match=lease.etag)


def _end(lease: PartitionLease) -> datetime:
    if lease.expires_at is None:
        raise ValueError("a lease that is owned has an end")
    return lease.expires_at.moment()
