"""Leases in blobs, as older hubs keep them: one (legacy) or two (safe) leased blobs for each partition.

The lease of the blob is what counts. Its text says who holds it and under which lease id, so that another worker can
count, and steal by handing the lease to itself.

*Legacy*: who holds the one blob reads the queue. Who is stolen from learns it when it renews; the thief waits for
that time, so that two do not work on the same instances.

*Safe*: the blob in ``intent/`` is the wish for a partition and is stolen. The one in ``ownership/`` allows to read
the queue, is never stolen, and is taken by the wisher once it is free. Who has lost the wish finishes what it has in
memory and gives the ownership back.

Differs from the reference in three points that others only see as quicker or fewer requests: leases that are our own
are not looked at, ownership is released after draining and not left to lapse, and the legacy thief waits.

Source: DurableTask.AzureStorage, BlobPartitionLeaseManager, SafePartitionManager, LegacyPartitionManager.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.codec.documents import BlobLease, decode_blob_lease, encode_blob_lease
from taskhub.core.blob_leases import Fate, SeenLease, fate_of, plan_taking
from taskhub.errors import BlobNotFound, LeaseHeld, MalformedMessage, StorageError, TransientStorageError
from taskhub.model.leases import PartitionManager
from taskhub.runtime.hub import LEASE_FOLDERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from taskhub.core.balancing import Standing
    from taskhub.model.ids import WorkerId
    from taskhub.runtime.clock import Clock
    from taskhub.runtime.partitions import Estate
    from taskhub.runtime.services import Services
    from taskhub.storage.port import BlobStore

DRAINING_ROUND_SECONDS = 1.0
WAITING_ROUND_SECONDS = 2.0
"""While an ownership that we wait for is not free."""

MIN_LEASE_SECONDS, MAX_LEASE_SECONDS = 15, 60
"""Of a blob, the service's limits."""

NOTICE_SECONDS = 2.0
"""After the next renewal of a worker that was stolen from, until it has surely stopped."""


@dataclass(slots=True)
class _HeldLease:
    """A blob that we lease."""

    token: str
    epoch: int
    until: datetime
    """By our clock, counted from before the request that began or renewed it."""
    renewed_at: float


class LeaseFolder:
    """The lease blobs of one folder, as one worker deals with them."""

    def __init__(self, services: Services, me: WorkerId, folder: str) -> None:
        settings = services.settings
        self._services = services
        self._me = me
        self._folder = folder
        self._container = services.names.leases_container
        self._seconds = int(min(max(settings.lease_interval_seconds, MIN_LEASE_SECONDS), MAX_LEASE_SECONDS))
        # Rounds come at least this often; those that come sooner need not renew again.
        self._renew_seconds = settings.lease_round_seconds * 0.9
        self._held: dict[str, _HeldLease] = {}

    def __repr__(self) -> str:
        return f"<LeaseFolder {self._folder} of {self._me}, {len(self._held)} held>"

    @property
    def held(self) -> Mapping[str, datetime]:
        """The queues whose leases we hold for certain, and until when."""
        now = self._clock.now()
        return {queue: lease.until for queue, lease in sorted(self._held.items()) if lease.until > now}

    async def adopt(self, queues: Iterable[str]) -> None:
        """Go on with leases that a worker of our name held, which has ended: the blob tells the lease id."""
        for queue in queues:
            document = await self._read(queue)
            if document.owner != self._me or document.token is None:
                continue
            lease = self._begin(document.token, document.epoch)
            with contextlib.suppress(LeaseHeld):
                await self._blobs.renew_lease(self._container, self._name(queue), lease_id=document.token)
                self._held[queue] = lease

    async def renew(self) -> list[str]:
        """Renew what is due; return the queues whose leases are lost."""
        lost: list[str] = []
        for queue, lease in list(self._held.items()):
            if self._clock.monotonic() - lease.renewed_at < self._renew_seconds:
                continue
            renewed = self._begin(lease.token, lease.epoch)
            try:
                await self._blobs.renew_lease(self._container, self._name(queue), lease_id=lease.token)
            except (LeaseHeld, BlobNotFound):
                del self._held[queue]
                lost.append(queue)
            except TransientStorageError as error:
                # Nobody else can take it before its time is over, and by then we have let go of the partition.
                self._services.health.failed(error)
            else:
                self._held[queue] = renewed
        return lost

    async def take_share(self, queues: Iterable[str]) -> str | None:
        """Claim free leases up to our share, or steal one; return the queue of a stolen one."""
        others = {queue: await self.look(queue) for queue in queues if queue not in self._held}
        taking = plan_taking([seen for seen, _ in others.values()], self._me, held=len(self._held))
        for queue in taking.claims:
            await self.claim(queue)
        if taking.steal is not None and await self._steal(taking.steal, others[taking.steal][1]):
            return taking.steal
        return None

    async def look(self, queue: str) -> tuple[SeenLease, BlobLease]:
        """See who holds a lease; of a free one nothing is read."""
        state = await self._blobs.lease_state(self._container, self._name(queue))
        if not state.leased:
            return SeenLease(queue, None, is_free=True), BlobLease(queue)
        document = await self._read(queue)
        return SeenLease(queue, document.owner, is_free=False), document

    async def claim(self, queue: str) -> bool:
        """Take a free lease; return whether we have it."""
        lease = self._begin(self._new_token(), 0)
        try:
            await self._blobs.acquire_lease(
                self._container, self._name(queue), lease_id=lease.token, seconds=self._seconds
            )
        except LeaseHeld:
            return False
        try:
            lease.epoch = (await self._read(queue)).epoch + 1
            await self._sign(queue, lease)
        except StorageError:
            # Without our name in it nobody could count or steal it.
            with contextlib.suppress(StorageError):
                await self._blobs.release_lease(self._container, self._name(queue), lease_id=lease.token)
            raise
        return True

    async def _steal(self, queue: str, document: BlobLease) -> bool:
        if document.token is None:
            return False
        lease = self._begin(self._new_token(), document.epoch + 1)
        try:
            await self._blobs.change_lease(
                self._container, self._name(queue), lease_id=document.token, new_lease_id=lease.token
            )
        except LeaseHeld:
            return False
        await self._sign(queue, lease)
        return True

    async def release(self, queue: str) -> None:
        """Give a lease back."""
        lease = self._held[queue]
        with contextlib.suppress(LeaseHeld, BlobNotFound):
            await self._write(queue, BlobLease(queue, epoch=lease.epoch), lease.token)
            await self._blobs.release_lease(self._container, self._name(queue), lease_id=lease.token)
        del self._held[queue]

    async def _sign(self, queue: str, lease: _HeldLease) -> None:
        await self._write(queue, BlobLease(queue, self._me, lease.token, lease.epoch), lease.token)
        self._held[queue] = lease

    async def _read(self, queue: str) -> BlobLease:
        data = await self._blobs.get_blob(self._container, self._name(queue))
        try:
            return decode_blob_lease(data.decode())
        except (MalformedMessage, UnicodeDecodeError):
            # Whoever leases it next writes it anew.
            return BlobLease(queue)

    async def _write(self, queue: str, document: BlobLease, token: str) -> None:
        await self._blobs.put_blob(
            self._container, self._name(queue), encode_blob_lease(document).encode(), lease_id=token
        )

    def _begin(self, token: str, epoch: int) -> _HeldLease:
        """Return a lease as it will be if the next request succeeds."""
        until = self._clock.now() + timedelta(seconds=self._seconds)
        return _HeldLease(token, epoch, until, self._clock.monotonic())

    def _new_token(self) -> str:
        return str(self._services.environment.new_guid())

    def _name(self, queue: str) -> str:
        return f"{self._folder}/{queue}"

    @property
    def _blobs(self) -> BlobStore:
        return self._services.storage.blobs

    @property
    def _clock(self) -> Clock:
        return self._services.environment.clock


class LegacyLeases:
    """The keeper for one blob a partition; see :class:`taskhub.runtime.partitions.LeaseKeeper`."""

    def __init__(self, services: Services, estate: Estate, me: WorkerId) -> None:
        self._services = services
        self._estate = estate
        (folder,) = LEASE_FOLDERS[PartitionManager.LEGACY]
        self._leases = LeaseFolder(services, me, folder)
        self._begins: dict[str, float] = {}
        """When the readers of stolen partitions begin."""
        self._is_first = True

    async def round(self) -> float:
        """Renew, take, and follow."""
        queues = self._services.hub.control_queues
        settings, clock = self._services.settings, self._services.environment.clock
        if self._is_first:
            await self._leases.adopt(queues)
            self._is_first = False
        for queue in await self._leases.renew():
            self._begins.pop(queue, None)
            self._estate.drop(queue)
        standing = self._estate.standing()
        if not standing.is_leaving:
            stolen = await self._leases.take_share(queues)
            if stolen is not None:
                self._estate.note("took", stolen)
                self._estate.tell_others()
                self._begins[stolen] = clock.monotonic() + settings.lease_round_seconds + NOTICE_SECONDS
        pause = settings.lease_round_seconds
        for queue, until in self._leases.held.items():
            wait = self._begins.get(queue, 0.0) - clock.monotonic()
            if wait > 0 and not standing.is_leaving:
                pause = min(pause, wait)
                continue
            self._begins.pop(queue, None)
            fate = await _follow(queue, until, standing, self._leases, self._estate, is_wanted=not standing.is_leaving)
            if fate is Fate.DRAIN:
                pause = min(pause, DRAINING_ROUND_SECONDS)
        return pause


class SafeLeases:
    """The keeper for a wish and an ownership; see :class:`taskhub.runtime.partitions.LeaseKeeper`."""

    def __init__(self, services: Services, estate: Estate, me: WorkerId) -> None:
        self._services = services
        self._estate = estate
        intent, ownership = LEASE_FOLDERS[PartitionManager.SAFE]
        self._wishes = LeaseFolder(services, me, intent)
        self._ownerships = LeaseFolder(services, me, ownership)
        self._is_first = True

    async def round(self) -> float:
        """Renew, wish, take what is free of what is wished for, and follow."""
        queues = self._services.hub.control_queues
        if self._is_first:
            await self._wishes.adopt(queues)
            await self._ownerships.adopt(queues)
            self._is_first = False
        await self._wishes.renew()
        for queue in await self._ownerships.renew():
            self._estate.drop(queue)
        standing = self._estate.standing()
        if standing.is_leaving:
            for queue in self._wishes.held:
                await self._wishes.release(queue)
        else:
            stolen = await self._wishes.take_share(queues)
            if stolen is not None:
                self._estate.note("asked its owner for", stolen)
                self._estate.tell_others()
            await self._claim_ownerships()
        pause = self._services.settings.lease_round_seconds
        if self._wishes.held.keys() - self._ownerships.held.keys():
            pause = min(pause, WAITING_ROUND_SECONDS)
        for queue, until in self._ownerships.held.items():
            is_wanted = queue in self._wishes.held
            fate = await _follow(queue, until, standing, self._ownerships, self._estate, is_wanted=is_wanted)
            if fate is Fate.DRAIN:
                pause = min(pause, DRAINING_ROUND_SECONDS)
        return pause

    async def _claim_ownerships(self) -> None:
        for queue in self._wishes.held:
            if queue in self._ownerships.held:
                continue
            seen, _ = await self._ownerships.look(queue)
            if seen.is_free:
                await self._ownerships.claim(queue)


async def _follow(
    queue: str, until: datetime, standing: Standing, leases: LeaseFolder, estate: Estate, *, is_wanted: bool
) -> Fate:
    """Let the estate follow what we hold; give back what is at rest."""
    fate = fate_of(queue, standing, is_wanted=is_wanted)
    match fate:
        case Fate.OWN:
            estate.own(queue, until)
        case Fate.DRAIN:
            estate.drain(queue, until)
        case Fate.RELEASE:
            await leases.release(queue)
            estate.drop(queue, "released")
            estate.tell_others()
    return fate
