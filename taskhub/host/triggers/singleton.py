"""A lease on a blob that makes sure that one host only does a thing: fire a timer, scan a container.

::

    waiting ──acquired──► held ──renewed─┐
       ▲                   ▲  └──────────┘
       └──── lost ◄────────┘  another took it, or it could not be renewed in time

The lease id follows from who we are, so that a host that is started again after a crash has it back at once.

Source: Azure WebJobs SDK, SingletonManager; the blob's name is the original's.
"""

from __future__ import annotations

import logging
import uuid
from typing import TYPE_CHECKING

from taskhub.errors import BlobExists, BlobNotFound, LeaseHeld, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.host.triggers.connections import Connection
    from taskhub.runtime.environment import Environment

HOSTS_CONTAINER = "azure-webjobs-hosts"
LEASE_SECONDS = 30
RENEW_SECONDS = 10.0
WAIT_SECONDS = 10.0
"""Between two attempts while another host holds it."""
_MARGIN_SECONDS = 2.0
"""Before the end of the lease from which on it counts as lost: what begins then might come after it."""

_NAMESPACE = uuid.UUID("5d8a5c3c-5d52-4a3f-8f0e-3c3d1b8a6f10")

logger = logging.getLogger(__name__)


class Singleton:
    """One such lease. :meth:`run` takes and keeps it; others look at :attr:`is_held`.

    Args:
        connection: where the blob is.
        environment: of the process.
        name: of the blob.
        holder: who we are, unique among living processes.
        changed: called when the lease was gained or lost.
    """

    def __init__(
        self, connection: Connection, environment: Environment, *, name: str, holder: str, changed: Callable[[], None]
    ) -> None:
        self._blobs = connection.storage.blobs
        self._health = connection.health
        self._clock = environment.clock
        self._name = name
        self._lease_id = str(uuid.uuid5(_NAMESPACE, f"{holder}\n{name}"))
        self._changed = changed
        self._until: float | None = None
        self._is_made = False

    def __repr__(self) -> str:
        return f"<Singleton {self._name} {'held' if self.is_held else 'waiting'}>"

    @property
    def is_held(self) -> bool:
        """Whether we hold the lease for certain."""
        return self._until is not None and self._clock.monotonic() < self._until - _MARGIN_SECONDS

    async def run(self) -> None:
        """Take the lease when it is free, and keep it."""
        while True:
            await self._round()
            await self._clock.sleep(RENEW_SECONDS if self._until is not None else WAIT_SECONDS)

    async def release(self) -> None:
        """Give the lease back, so that the next host need not wait for its end."""
        if self._until is None:
            return
        self._until = None
        try:
            await self._blobs.release_lease(HOSTS_CONTAINER, self._name, lease_id=self._lease_id)
        except StorageError as error:
            logger.debug("the lease %s was not released: %s", self._name, error)

    async def _round(self) -> None:
        began, was_held = self._clock.monotonic(), self.is_held
        try:
            if self._until is None:
                await self._acquire()
            else:
                await self._blobs.renew_lease(HOSTS_CONTAINER, self._name, lease_id=self._lease_id)
        except (LeaseHeld, BlobNotFound):
            self._until = None
        except StorageError as error:
            self._health.failed(error)
            if not self.is_held:
                self._until = None
        else:
            self._until = began + LEASE_SECONDS
        if was_held != self.is_held:
            self._changed()

    async def _acquire(self) -> None:
        if not self._is_made:
            await self._make()
        try:
            await self._take()
        except BlobNotFound:  # somebody deleted it
            await self._make()
            await self._take()

    async def _take(self) -> None:
        await self._blobs.acquire_lease(HOSTS_CONTAINER, self._name, lease_id=self._lease_id, seconds=LEASE_SECONDS)

    async def _make(self) -> None:
        await self._blobs.create_container(HOSTS_CONTAINER)
        if await self._blobs.blob_item(HOSTS_CONTAINER, self._name) is None:
            try:
                await self._blobs.put_blob(HOSTS_CONTAINER, self._name, b"", overwrite=False)
            except (BlobExists, LeaseHeld):
                logger.debug("another host made the blob %s", self._name)
        self._is_made = True
