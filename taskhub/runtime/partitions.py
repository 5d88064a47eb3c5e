"""Owns partitions: looks every round at how the hub's leases stand, and reads the queues of those that it owns.

How leases are kept depends on the hub: in its table (:mod:`taskhub.runtime.table_leases`) or in blobs
(:mod:`taskhub.runtime.blob_leases`). A :class:`LeaseKeeper` makes the rounds and tells the :class:`Partitions` what
came of them; here stands what follows for a partition, whatever the keeper.

A partition that is given up is drained first: its control queue is read no more, what is in memory is finished. One
that is lost is dropped at once; what its episodes still try fails at the fence or at an ETag.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from taskhub.core.balancing import Standing
from taskhub.errors import BlobNotFound, QueueNotFound, StorageError, TableNotFound
from taskhub.runtime.clock import Signal
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.ownership import Partition

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable
    from datetime import datetime

    from taskhub.model.ids import WorkerId
    from taskhub.model.leases import PartitionManager
    from taskhub.runtime.control_queue import ControlQueue
    from taskhub.runtime.inbox import Inbox
    from taskhub.runtime.mailbox import Mailbox
    from taskhub.runtime.services import Services

MAX_DRAIN_SECONDS = 60.0
"""Then a partition is given away although work on it goes on; the fence and the ETags hold."""

_logger = logging.getLogger("taskhub.partitions")


class Estate(Protocol):
    """The partitions of a worker, as a keeper sees them."""

    def standing(self) -> Standing:
        """Return what the worker has in hand."""

    def own(self, queue: str, until: datetime) -> None:
        """Read a partition, or go on reading it: nobody else can own it before ``until``."""

    def drain(self, queue: str, until: datetime | None = None) -> None:
        """Read a partition no more and finish what is in memory; it is ours until ``until``."""

    def drop(self, queue: str, change: str = "lost") -> None:
        """Let go of a partition at once; does nothing when it is not in hand."""

    def look(self) -> None:
        """Begin the next round now."""

    def note(self, change: str, queue: str) -> None:
        """Tell the log what happened to a partition."""

    def tell_others(self) -> None:
        """Let other workers that can be reached look at the leases now: a partition is wanted, or free."""


class LeaseKeeper(Protocol):
    """The leases of a hub in one of the places where hubs keep them."""

    async def round(self) -> float:
        """Claim, renew, steal and give back; return the seconds until the next round.

        When the worker is leaving (:class:`~taskhub.core.balancing.Standing`) everything is drained and given back.

        Raises:
            StorageError: the round ended early; what was told the estate holds.
        """


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
        keep: makes the keeper for the manager of the hub.
        read: makes the reader of a partition.
        may_own: whether this worker may own partitions now; asked every round.
        first_owned: called when the worker owns a partition for the first time.
        tell_others: called when other workers should look at the leases.
    """

    def __init__(
        self,
        services: Services,
        *,
        worker_id: WorkerId,
        inbox: Inbox,
        mailbox: Mailbox,
        keep: Callable[[PartitionManager, Estate], LeaseKeeper],
        read: Callable[[Partition], ControlQueue],
        may_own: Callable[[], bool],
        first_owned: Callable[[], None],
        tell_others: Callable[[], None],
    ) -> None:
        self._services = services
        self._worker_id = worker_id
        self._inbox = inbox
        self._mailbox = mailbox
        self._keep = keep
        self._read = read
        self._may_own = may_own
        self._first_owned = first_owned
        self._tell_others = tell_others
        self._manager: PartitionManager | None = None
        self._keeper: LeaseKeeper | None = None
        self._owned: dict[str, _Owned] = {}
        self._look = Signal()
        self._is_leaving = False
        self._is_hasty = False
        self.has_left = False
        """Whether everything was given back, after :meth:`leave`."""
        self._nursery = Nursery(services.environment.spawn)

    def __repr__(self) -> str:
        draining = sum(owned.partition.is_draining for owned in self._owned.values())
        return f"<Partitions of {self._worker_id}: {len(self._owned)} owned, {draining} draining>"

    @property
    def owned(self) -> tuple[str, ...]:
        """Queues of the partitions that this worker owns."""
        return tuple(sorted(self._owned))

    def partition_of(self, queue: str) -> Partition | None:
        """Return the partition of a queue that is in hand."""
        owned = self._owned.get(queue)
        return None if owned is None else owned.partition

    def look(self) -> None:
        """Begin a round now."""
        self._look.set()

    def leave(self) -> None:
        """Read control queues no more, and release each partition when its instances are at rest.

        What is in memory is still worked on. :meth:`run` returns when nothing is owned.
        """
        self._is_leaving = True
        for queue in self._owned:
            self.drain(queue)
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
                    seconds = await self._round()
                except StorageError as error:
                    self._trouble(error)
                    failures += 1
                    await self._services.health.pause(failures)
                    continue
                failures = 0
                if self._is_leaving and not self._owned:
                    self.has_left = True
                    return
                await self._look.wait(seconds)

    async def _round(self) -> float:
        """Let the keeper make a round; return the seconds until the next one."""
        self._drop_expired()
        hub = self._services.hub
        await hub.create()
        if self._keeper is None or self._manager is not hub.manager:
            for queue in list(self._owned):
                self.drop(queue)
            self._manager, self._keeper = hub.manager, self._keep(hub.manager, self)
        if not self._owned and not self._may_own():
            return self._services.settings.lease_round_seconds
        return await self._keeper.round()

    # ---- what the keeper tells (Estate)

    def standing(self) -> Standing:
        """Return what the worker has in hand; without the app lease it gives everything back."""
        return Standing(
            me=self._worker_id,
            reading=frozenset(self._owned),
            drained=frozenset(queue for queue, owned in self._owned.items() if self._is_drained(owned)),
            is_leaving=self._is_leaving or not self._may_own(),
        )

    def own(self, queue: str, until: datetime) -> None:
        """Read a partition, or go on reading it."""
        owned = self._owned.get(queue)
        if owned is not None and not owned.partition.is_draining:
            owned.partition.expires_at = until
            return
        # Drained for somebody who is gone: it is ours again.
        self.drop(queue)
        partition = Partition(queue, until)
        reader = self._read(partition)
        task = self._nursery.start(reader.run(), name=f"read {queue}")
        self._owned[queue] = _Owned(partition, reader, task)
        self.note("owns", queue)
        self._first_owned()

    def drain(self, queue: str, until: datetime | None = None) -> None:
        """Read a partition no more and finish what is in memory."""
        owned = self._owned[queue]
        if until is not None:
            owned.partition.expires_at = until
        if owned.draining_since is None:
            owned.partition.is_draining = True
            owned.draining_since = self._services.environment.clock.monotonic()
            owned.reader.stop()
            self.note("drains", queue)

    def drop(self, queue: str, change: str = "lost") -> None:
        """Let go of a partition at once."""
        owned = self._owned.pop(queue, None)
        if owned is None:
            return
        self.note(change, queue)
        owned.partition.is_lost = True
        owned.reader.stop()
        waiting = self._inbox.drop(owned.partition)
        if waiting:
            # So that the next owner sees them now, and not when their time is over.
            self._nursery.start(self._mailbox.give_back(waiting), name=f"give back {queue}")

    def note(self, change: str, queue: str) -> None:
        """Tell the log what happened to a partition."""
        _logger.info(
            "worker %s %s %s",
            self._worker_id,
            change,
            queue,
            extra={"event": "partition", "worker": self._worker_id, "change": change, "queue": queue},
        )

    def tell_others(self) -> None:
        """Let other workers look at the leases now."""
        self._tell_others()

    # ---- the rest

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
                self.drop(queue)

    def _trouble(self, error: StorageError) -> None:
        if isinstance(error, (TableNotFound, QueueNotFound, BlobNotFound)):
            self._services.hub.forget()
        self._services.health.failed(error)
