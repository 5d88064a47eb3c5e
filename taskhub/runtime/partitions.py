"""Owns partitions: reads the lease table every round, does what ``core.balancing`` plans, reads what it owns.

A partition that is given up is drained first: its control queue is read no more, what is in memory is finished. One
that is lost is dropped at once; what its episodes still try fails at the fence or at an ETag.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskhub.codec.lease_rows import PARTITION_KEY, decode_lease, encode_lease
from taskhub.core.balancing import Change, LeaseWrite, Standing, plan_round
from taskhub.errors import MalformedMessage, QueueNotFound, RowChanged, RowNotFound, StorageError, TableNotFound
from taskhub.model.ids import Utc
from taskhub.runtime.clock import Signal
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.ownership import Partition
from taskhub.storage.port import Comparison, Row, TableWrite, Where, Write

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from taskhub.core.balancing import Round
    from taskhub.model.ids import ETag, WorkerId
    from taskhub.model.leases import PartitionLease
    from taskhub.runtime.control_queue import ControlQueue
    from taskhub.runtime.inbox import Inbox
    from taskhub.runtime.mailbox import Mailbox
    from taskhub.runtime.services import Services

URGENT_ROUND_SECONDS = 1.0
MAX_DRAIN_SECONDS = 60.0
"""Then a partition is given away although work on it goes on; the fence and the ETags hold."""

_logger = logging.getLogger("taskhub.partitions")


class _Owned:
    """A partition and its reader."""

    def __init__(self, partition: Partition, reader: ControlQueue, task: asyncio.Task[None]) -> None:
        self.partition = partition
        self.reader = reader
        self.task = task
        self.draining_since: float | None = None


class Partitions:
    """The partitions of one worker.

    Args:
        services: of the hub.
        worker_id: under which the leases are held.
        inbox: where messages wait.
        mailbox: messages in hand.
        read: makes the reader of a partition.
        may_own: whether this worker may own partitions now; asked every round.
        first_owned: called when the worker owns a partition for the first time.
    """

    def __init__(
        self,
        services: Services,
        *,
        worker_id: WorkerId,
        inbox: Inbox,
        mailbox: Mailbox,
        read: Callable[[Partition], ControlQueue],
        may_own: Callable[[], bool],
        first_owned: Callable[[], None],
    ) -> None:
        self._services = services
        self._worker_id = worker_id
        self._inbox = inbox
        self._mailbox = mailbox
        self._read = read
        self._may_own = may_own
        self._first_owned = first_owned
        self._table = services.names.partitions_table
        self._owned: dict[str, _Owned] = {}
        self._unreadable: dict[str, ETag | None] = {}
        self._look = Signal()
        self._is_leaving = False
        self._is_hasty = False
        self._nursery = Nursery(services.environment.spawn)

    def __repr__(self) -> str:
        draining = sum(owned.partition.is_draining for owned in self._owned.values())
        return f"<Partitions of {self._worker_id}: {len(self._owned)} owned, {draining} draining>"

    @property
    def owned(self) -> tuple[str, ...]:
        """Queues of the partitions that this worker owns."""
        return tuple(sorted(self._owned))

    def look(self) -> None:
        """Begin a round now."""
        self._look.set()

    def leave(self) -> None:
        """Read control queues no more, and release each partition when its instances are at rest.

        What is in memory is still worked on. :meth:`run` returns when nothing is owned.
        """
        self._is_leaving = True
        for owned in self._owned.values():
            self._drain(owned)
        self._look.set()

    @property
    def is_drained(self) -> bool:
        """Whether nothing is left in memory of partitions whose queues are read no more."""
        return all(self._is_drained(owned) for owned in self._owned.values())

    def hurry(self) -> None:
        """Release without waiting for the work in memory; the fence stops what still runs when it commits."""
        self._is_hasty = True
        self._look.set()

    async def run(self) -> None:
        """Hold partitions until :meth:`leave`."""
        async with self._nursery:
            failures = 0
            while True:
                try:
                    is_urgent = await self._round()
                except StorageError as error:
                    self._trouble(error)
                    failures += 1
                    await self._services.health.pause(failures)
                    continue
                failures = 0
                if self._is_leaving and not self._owned:
                    return
                seconds = URGENT_ROUND_SECONDS if is_urgent else self._services.settings.lease_round_seconds
                await self._look.wait(seconds)

    # ---- a round

    async def _round(self) -> bool:
        """Read the table and act; return whether the next round is urgent."""
        self._drop_expired()
        await self._services.hub.create()
        if not self._may_own() and not self._is_leaving:
            self._drop_all()
            return False
        asked_at = self._now()
        leases = await self._leases()
        plan = plan_round(
            leases, self._standing(), now=asked_at, lease_seconds=self._services.settings.lease_interval_seconds
        )
        for queue in sorted(plan.lost):
            self._drop(queue)
        await self._write(plan)
        self._services.health.succeeded()
        return plan.is_urgent

    async def _leases(self) -> list[PartitionLease]:
        page = await self._services.storage.tables.query(
            self._table, Where("PartitionKey", Comparison.EQ, PARTITION_KEY)
        )
        ours = set(self._services.hub.control_queues)
        read = [self._lease(row) for row in page.rows if row.row_key in ours]
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

    async def _write(self, plan: Round) -> None:
        """Write the planned rows in one transaction (F8); when one of them was changed by somebody, one by one."""
        if not plan.writes:
            return
        tables = self._services.storage.tables
        try:
            await tables.batch(self._table, [_replace(write) for write in plan.writes])
        except (RowChanged, RowNotFound):
            for write in plan.writes:
                await self._write_one(write)
        else:
            for write in plan.writes:
                self._apply(write)

    async def _write_one(self, write: LeaseWrite) -> None:
        try:
            await self._services.storage.tables.write(self._table, _replace(write))
        except (RowChanged, RowNotFound):
            # Another worker was quicker; the next round sees what it did.
            self._look.set()
        else:
            self._apply(write)

    def _apply(self, write: LeaseWrite) -> None:
        """Follow a row that was written."""
        lease = write.lease
        match write.change:
            case Change.CLAIM | Change.RENEW:
                self._own(lease)
            case Change.DRAIN:
                self._extend(lease)
                self._drain(self._owned[lease.queue])
            case Change.RELEASE:
                self._log("released", lease.queue)
                self._drop(lease.queue)
            case Change.STEAL:
                self._log("asked its owner for", lease.queue)

    # ---- what we own

    def _own(self, lease: PartitionLease) -> None:
        owned = self._owned.get(lease.queue)
        if owned is not None and not owned.partition.is_draining:
            self._extend(lease)
            return
        if owned is not None:
            # Asked back while we drained it for somebody who is gone.
            self._drop(lease.queue)
        if lease.expires_at is None:
            raise ValueError("a lease that is owned has an end")
        partition = Partition(lease.queue, lease.expires_at.moment())
        reader = self._read(partition)
        task = self._nursery.start(reader.run(), name=f"read {lease.queue}")
        self._owned[lease.queue] = _Owned(partition, reader, task)
        self._log("owns", lease.queue)
        self._first_owned()

    def _extend(self, lease: PartitionLease) -> None:
        owned = self._owned.get(lease.queue)
        if owned is not None and lease.expires_at is not None:
            owned.partition.expires_at = lease.expires_at.moment()

    def _drain(self, owned: _Owned) -> None:
        if owned.draining_since is None:
            owned.partition.is_draining = True
            owned.draining_since = self._services.environment.clock.monotonic()
            owned.reader.stop()
            self._log("drains", owned.partition.queue)

    def _standing(self) -> Standing:
        return Standing(
            me=self._worker_id,
            reading=frozenset(self._owned),
            drained=frozenset(queue for queue, owned in self._owned.items() if self._is_drained(owned)),
            is_leaving=self._is_leaving,
        )

    def _is_drained(self, owned: _Owned) -> bool:
        if owned.draining_since is None:
            return False
        if self._is_hasty:
            return True
        if self._services.environment.clock.monotonic() - owned.draining_since > MAX_DRAIN_SECONDS:
            return True
        return owned.task.done() and self._inbox.busy(owned.partition) == 0

    def _drop_expired(self) -> None:
        # Nobody need have claimed them, but nobody is kept from it either. The row tells in this very round.
        now = self._services.environment.clock.now()
        for queue, owned in list(self._owned.items()):
            if owned.partition.expires_at <= now:
                self._drop(queue)

    def _drop_all(self) -> None:
        for queue in list(self._owned):
            self._drop(queue)

    def _drop(self, queue: str) -> None:
        owned = self._owned.pop(queue, None)
        if owned is None:
            return
        if not owned.partition.is_draining:
            self._log("lost", queue)
        owned.partition.is_lost = True
        owned.reader.stop()
        waiting = self._inbox.drop(owned.partition)
        if waiting:
            # So that the next owner sees them now, and not when their time is over.
            self._nursery.start(self._mailbox.give_back(waiting), name=f"give back {queue}")

    def _trouble(self, error: StorageError) -> None:
        if isinstance(error, (TableNotFound, QueueNotFound)):
            self._services.hub.forget()
        self._services.health.failed(error)

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())

    def _log(self, what: str, queue: str) -> None:
        _logger.info(
            "worker %s %s %s",
            self._worker_id,
            what,
            queue,
            extra={"event": "partition", "worker": self._worker_id, "change": what, "queue": queue},
        )


def _replace(write: LeaseWrite) -> TableWrite:
    lease = write.lease
    return TableWrite(Write.REPLACE, Row(PARTITION_KEY, lease.queue, encode_lease(lease)), if_match=lease.etag)
