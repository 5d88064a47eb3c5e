"""The storage objects of a hub: made once, found again by everybody.

Source: DurableTask.AzureStorage, AzureStorageOrchestrationService.CreateAsync.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from taskhub.codec.documents import AppLeaseInfo, encode_app_lease_info
from taskhub.codec.lease_rows import PARTITION_KEY, encode_lease
from taskhub.errors import BlobExists, LeaseHeld, RowExists
from taskhub.model.ids import PartitionIndex
from taskhub.model.leases import PartitionLease
from taskhub.runtime.nursery import run_all
from taskhub.storage.port import Row, TableWrite, Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.storage.port import Storage

MAX_PARALLEL = 16


class Hub:
    """Creates what is missing; remembers that it did."""

    def __init__(self, storage: Storage, names: HubNames, environment: Environment, *, partition_count: int) -> None:
        self._storage = storage
        self._names = names
        self._environment = environment
        self._partition_count = partition_count
        self._is_created = False
        self._creating = asyncio.Lock()

    @property
    def control_queues(self) -> tuple[str, ...]:
        """Names of the control queues, by partition."""
        return tuple(self._names.control_queue(PartitionIndex(index)) for index in range(self._partition_count))

    @property
    def is_created(self) -> bool:
        """Whether :meth:`create` succeeded."""
        return self._is_created

    async def create(self) -> None:
        """Create queues, tables and containers unless they exist; does nothing after the first success."""
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
        await storage.tables.create_table(names.partitions_table)
        calls: list[Callable[[], Awaitable[object]]] = [
            lambda: storage.tables.create_table(names.history_table),
            lambda: storage.tables.create_table(names.instances_table),
            lambda: storage.queues.create_queue(names.work_item_queue),
        ]
        calls += [lambda queue=queue: self._create_partition(queue) for queue in self.control_queues]  # type: ignore[misc]  # binds
        await run_all(self._environment.spawn, calls, limit=MAX_PARALLEL, name="create hub")

    async def _create_app_lease_info(self) -> None:
        content = encode_app_lease_info(AppLeaseInfo()).encode()
        # Whoever holds the lease has made the blob long ago.
        with contextlib.suppress(BlobExists, LeaseHeld):
            await self._storage.blobs.put_blob(
                self._names.app_lease_container, self._names.app_lease_blob, content, overwrite=False
            )

    async def _create_partition(self, queue: str) -> None:
        await self._storage.queues.create_queue(queue)
        row = Row(PARTITION_KEY, queue, encode_lease(PartitionLease(queue)))
        with contextlib.suppress(RowExists):
            await self._storage.tables.write(self._names.partitions_table, TableWrite(Write.INSERT, row))
