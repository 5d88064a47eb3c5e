"""The storage objects of a hub: made once, found again by everybody.

A hub that exists is followed: its leases stay where they are, and a number of partitions that is not its own is
refused, because both would go wrong in silence.

Source: DurableTask.AzureStorage, AzureStorageOrchestrationService.CreateAsync.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.codec.documents import (
    HUB_INFO_BLOB,
    AppLeaseInfo,
    BlobLease,
    HubInfo,
    decode_hub_info,
    encode_app_lease_info,
    encode_blob_lease,
    encode_hub_info,
)
from taskhub.codec.lease_rows import PARTITION_KEY, decode_lease, encode_lease
from taskhub.core.hub_shape import HubPlaces, check_partition_count, choose_manager, count_partitions
from taskhub.errors import BlobExists, BlobNotFound, HubMismatch, LeaseHeld, MalformedMessage, RowExists
from taskhub.model.ids import PartitionIndex, Utc
from taskhub.model.leases import PartitionLease, PartitionManager
from taskhub.runtime.nursery import run_all
from taskhub.runtime.paging import rows_if_any
from taskhub.storage.port import Comparison, Row, TableWrite, Where, Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.storage.port import Storage

MAX_PARALLEL = 16

LEASE_FOLDERS = {
    PartitionManager.SAFE: ("intent", "ownership"),
    PartitionManager.LEGACY: ("default",),
}
"""Folders of the leases container, each with a blob for every partition."""

MAKING_LOOKS = 5
MAKING_PAUSE_SECONDS = 0.5
"""A hub with fewer partitions than expected may be one that somebody is just making: so often, and so long, we look."""

_logger = logging.getLogger("taskhub.hub")


@dataclass(frozen=True, slots=True)
class _Leases:
    """What a hub has of leases."""

    rows: Sequence[PartitionLease]
    blobs: Sequence[str]
    """All names in the leases container."""

    @property
    def managers(self) -> frozenset[PartitionManager]:
        """Managers under which they may have been made."""
        found = {PartitionManager.TABLE} if self.rows else set()
        kinds = {kind for kind, folders in LEASE_FOLDERS.items() if any(self.within(folder) for folder in folders)}
        return frozenset(found | (kinds or set(LEASE_FOLDERS) if self.blobs else set()))

    def within(self, folder: str) -> list[str]:
        """Return the queues that have a blob in a folder."""
        return [name.partition("/")[2] for name in self.blobs if name.startswith(f"{folder}/")]


class Hub:
    """Creates what is missing; remembers that it did.

    Args:
        storage: where the hub lies.
        names: of its objects.
        environment: of the process.
        partition_count: how many partitions it has, or gets.
        partition_manager: how its leases are kept; ``None`` follows what is there, or else takes the table.
    """

    def __init__(
        self,
        storage: Storage,
        names: HubNames,
        environment: Environment,
        *,
        partition_count: int,
        partition_manager: PartitionManager | None,
    ) -> None:
        self._storage = storage
        self._names = names
        self._environment = environment
        self._partition_count = partition_count
        self._asked = partition_manager
        self._places = HubPlaces(names.hub, names.partitions_table, names.leases_container)
        self._manager: PartitionManager | None = None
        self._is_created = False
        self._creating = asyncio.Lock()

    def __repr__(self) -> str:
        state = "looked at" if self._is_created else "not looked at"
        return f"<Hub {self._names.hub} {state}, {self._partition_count} partitions>"

    @property
    def control_queues(self) -> tuple[str, ...]:
        """Names of the control queues, by partition."""
        return tuple(self._names.control_queue(PartitionIndex(index)) for index in range(self._partition_count))

    @property
    def is_created(self) -> bool:
        """Whether :meth:`create` succeeded."""
        return self._is_created

    @property
    def manager(self) -> PartitionManager:
        """How the partitions are managed; known once :meth:`create` succeeded."""
        if self._manager is None:
            raise ValueError("the hub was not looked at")
        return self._manager

    async def create(self) -> None:
        """Create queues, tables and containers unless they exist; does nothing after the first success.

        Raises:
            HubMismatch: the hub is laid out otherwise than the settings say.
        """
        if self._is_created:
            return
        async with self._creating:
            if not self._is_created:
                await self._create()
                self._is_created = True

    def forget(self) -> None:
        """Look again at the next :meth:`create`: something turned out to be missing."""
        self._is_created = False

    async def _create(self) -> None:
        names, storage = self._names, self._storage
        await storage.blobs.create_container(names.app_lease_container)
        await self._create_app_lease_info()
        await self._create_leases()
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: storage.tables.create_table(names.history_table),
            lambda: storage.tables.create_table(names.instances_table),
            lambda: storage.queues.create_queue(names.work_item_queue),
        ]
        calls += [lambda queue=queue: storage.queues.create_queue(queue) for queue in self.control_queues]  # type: ignore[misc]  # binds
        await run_all(self._environment.spawn, calls, limit=MAX_PARALLEL, name="create hub")

    async def _create_app_lease_info(self) -> None:
        content = encode_app_lease_info(AppLeaseInfo()).encode()
        # Whoever holds the lease has made the blob long ago.
        with contextlib.suppress(BlobExists, LeaseHeld):
            await self._storage.blobs.put_blob(
                self._names.app_lease_container, self._names.app_lease_blob, content, overwrite=False
            )

    # ---- leases

    async def _create_leases(self) -> None:
        leases = await self._look()
        found = leases.managers
        is_doubtful = len(found) > 1 or (self._asked is not None and bool(found - {self._asked}))
        self._manager = choose_manager(
            self._asked,
            found=found,
            at_work=await self._at_work(leases) if is_doubtful else frozenset(),
            places=self._places,
        )
        if self._manager is PartitionManager.TABLE:
            await self._create_rows(leases)
        else:
            await self._create_blobs(leases, self._manager)

    async def _look(self) -> _Leases:
        where = Where("PartitionKey", Comparison.EQ, PARTITION_KEY)
        found = rows_if_any(self._storage.tables, self._names.partitions_table, where)
        rows = [_lease_of(row) async for row in found]
        blobs = await self._storage.blobs.list_blobs(self._names.leases_container, "")
        return _Leases(rows, [blob.name for blob in blobs])

    async def _at_work(self, leases: _Leases) -> frozenset[PartitionManager]:
        """Return the managers under which somebody holds a lease now."""
        now = self._environment.clock.now()
        at_work = set()
        if any(row.owner and row.expires_at and row.expires_at.moment() > now for row in leases.rows):
            at_work.add(PartitionManager.TABLE)
        for manager, folders in LEASE_FOLDERS.items():
            names = [f"{folder}/{queue}" for folder in folders for queue in leases.within(folder)]
            if any([await self._is_leased(name) for name in names]):
                at_work.add(manager)
        return frozenset(at_work)

    async def _is_leased(self, blob: str) -> bool:
        try:
            return (await self._storage.blobs.lease_state(self._names.leases_container, blob)).leased
        except BlobNotFound:
            return False

    # ---- the table

    async def _create_rows(self, leases: _Leases) -> None:
        tables, table = self._storage.tables, self._names.partitions_table
        if not leases.rows:
            await tables.create_table(table)
        for _ in range(MAKING_LOOKS):
            present = {row.queue for row in leases.rows}
            count, is_whole = count_partitions(present, prefix=self._names.control_queue_prefix)
            if count > self._partition_count:
                break
            if is_whole and count == self._partition_count:
                return
            if not (is_whole and count):
                missing = [queue for queue in self.control_queues if queue not in present]
                rows = [Row(PARTITION_KEY, queue, encode_lease(PartitionLease(queue))) for queue in missing]
                # In one transaction, so that nobody sees a hub with too few partitions.
                with contextlib.suppress(RowExists):
                    await tables.batch(table, [TableWrite(Write.INSERT, row) for row in rows])
                    return
            await self._environment.clock.sleep(MAKING_PAUSE_SECONDS)
            leases = await self._look()
        check_partition_count(self._partition_count, count, places=self._places, where=f"table {table}")

    # ---- the blobs

    async def _create_blobs(self, leases: _Leases, manager: PartitionManager) -> None:
        blobs, container = self._storage.blobs, self._names.leases_container
        if not leases.blobs:
            await blobs.create_container(container)
        stored = await self._stored_count(leases)
        check_partition_count(
            self._partition_count, stored, places=self._places, where=f"{HUB_INFO_BLOB} in container {container}"
        )
        present = set(leases.blobs)
        names = [(f"{folder}/{queue}", queue) for folder in LEASE_FOLDERS[manager] for queue in self.control_queues]
        calls = [
            lambda name=name, queue=queue: self._create_blob(name, encode_blob_lease(BlobLease(queue)))
            for name, queue in names
            if name not in present
        ]
        await run_all(self._environment.spawn, calls, limit=MAX_PARALLEL, name="create leases")

    async def _stored_count(self, leases: _Leases) -> int:
        """Return the number of partitions that ``taskhub.json`` tells; write it where it is missing."""
        container = self._names.leases_container
        if HUB_INFO_BLOB not in leases.blobs:
            info = HubInfo(self._names.hub, Utc.of(self._environment.clock.now()), self._partition_count)
            if await self._create_blob(HUB_INFO_BLOB, encode_hub_info(info)):
                return self._partition_count
        try:
            data = await self._storage.blobs.get_blob(container, HUB_INFO_BLOB)
            return decode_hub_info(data.decode()).partition_count
        except (MalformedMessage, UnicodeDecodeError) as error:
            raise HubMismatch(
                f"{HUB_INFO_BLOB} in container {container} cannot be read ({error}), so that the number of partitions "
                f"of task hub '{self._names.hub}' is not known. Delete that blob if it is "
                f"{self._partition_count}, as host.json says."
            ) from error

    async def _create_blob(self, name: str, text: str) -> bool:
        try:
            await self._storage.blobs.put_blob(self._names.leases_container, name, text.encode(), overwrite=False)
        except (BlobExists, LeaseHeld):
            return False
        return True


def _lease_of(row: Row) -> PartitionLease:
    try:
        return decode_lease(row.row_key, row.columns, row.etag)
    except MalformedMessage:
        # The partition exists all the same; whoever owns partitions reports the row.
        return PartitionLease(row.row_key)
