"""The app lease: one app at a time works on the control queues of a hub; all its workers hold the lease together.

The lease is on a container, under an id made of the app's name, so that every worker of the app may acquire it. It is
not released at the end: another app has to wait until it lapses.

Source: DurableTask.AzureStorage, AppLeaseManager.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskhub.codec.documents import AppLeaseInfo, decode_app_lease_info, encode_app_lease_info
from taskhub.core.partitioning import app_lease_id
from taskhub.errors import BlobNotFound, ConfigurationError, LeaseHeld, MalformedMessage, StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.runtime.services import Services

LEASE_SECONDS = 60
RENEW_SECONDS = 25.0
ACQUIRE_SECONDS = 300.0
"""Between two attempts while another app holds it."""

_logger = logging.getLogger("taskhub.app_lease")


class AppLease:
    """Keeps the lease as long as possible.

    Args:
        services: of the hub.
        changed: called when the lease is acquired or lost.
    """

    def __init__(self, services: Services, *, changed: Callable[[], None]) -> None:
        self._services = services
        self._changed = changed
        self._id = app_lease_id(services.settings.app_name)
        self._container = services.names.app_lease_container
        self.is_held = not services.settings.use_app_lease
        """Always true when the hub does without the lease."""

    def __repr__(self) -> str:
        return f"<AppLease {'held' if self.is_held else 'not held'}>"

    async def run(self) -> None:
        """Acquire and renew until cancelled; returns at once when the hub does without the lease."""
        if not self._services.settings.use_app_lease:
            return
        while True:
            try:
                await self._acquire()
            except LeaseHeld:
                self._note_foreign()
                await self._services.take_over.wait(ACQUIRE_SECONDS)
                continue
            except StorageError as error:
                await self._trouble(error)
                continue
            self._set_held(True)
            await self._renew_until_lost()
            self._set_held(False)

    async def _acquire(self) -> None:
        blobs = self._services.storage.blobs
        try:
            await blobs.acquire_lease(self._container, None, lease_id=self._id, seconds=LEASE_SECONDS)
        except LeaseHeld:
            info = await read_app_lease(self._services)
            if info.desired_swap_id != self._id or info.owner_id is None:
                raise
            # Somebody asked that this app take over.
            await blobs.change_lease(self._container, None, lease_id=info.owner_id, new_lease_id=self._id)
        info = await read_app_lease(self._services)
        if info.owner_id != self._id or info.desired_swap_id == self._id:
            await _write(self._services, AppLeaseInfo(owner_id=self._id))

    async def _renew_until_lost(self) -> None:
        clock = self._services.environment.clock
        renewed_at = clock.monotonic()
        while True:
            await clock.sleep(RENEW_SECONDS)
            try:
                await self._services.storage.blobs.renew_lease(self._container, None, lease_id=self._id)
            except LeaseHeld:
                _logger.warning("another app took this hub over", extra={"event": "app_lease_lost"})
                return
            except BlobNotFound:
                self._services.hub.forget()
                return
            except StorageError as error:
                # Nobody else can have it before its time is over, and the partitions have leases of their own.
                self._services.health.failed(error)
                if clock.monotonic() - renewed_at > LEASE_SECONDS:
                    return
            else:
                renewed_at = clock.monotonic()

    async def _trouble(self, error: StorageError) -> None:
        self._services.health.failed(error)
        if isinstance(error, BlobNotFound):
            self._services.hub.forget()
        await self._services.health.pause(attempt=4)

    def _note_foreign(self) -> None:
        _logger.warning(
            "another app works on task hub %s; this one runs activities only, and asks again every %d s. Set "
            "extensions.durableTask.useAppLease to false, or give both the same WEBSITE_SITE_NAME, to share the hub",
            self._services.names.hub,
            ACQUIRE_SECONDS,
            extra={"event": "app_lease_held"},
        )

    def _set_held(self, is_held: bool) -> None:
        self.is_held = is_held
        self._changed()


async def read_app_lease(services: Services) -> AppLeaseInfo:
    """Return which app holds the lease of a hub, and which one asks for it; neither when nobody ever did."""
    try:
        data = await services.storage.blobs.get_blob(services.names.app_lease_container, services.names.app_lease_blob)
        return decode_app_lease_info(data.decode())
    except (BlobNotFound, MalformedMessage, UnicodeDecodeError):
        return AppLeaseInfo()


async def ask_for_app_lease(services: Services) -> None:
    """Ask that the app of this process take the lease over from whichever app holds it.

    Its workers do so when they next look: at once in this process, within five minutes elsewhere. The other app's
    workers then stop at their next renewal.

    Raises:
        ConfigurationError: the hub does without the lease.
    """
    if not services.settings.use_app_lease:
        raise ConfigurationError("Cannot make current app primary. This app is not using the AppLease feature.")
    app = app_lease_id(services.settings.app_name)
    info = await read_app_lease(services)
    if info.owner_id != app and info.desired_swap_id != app:
        await _write(services, AppLeaseInfo(owner_id=info.owner_id, desired_swap_id=app))
    services.take_over.set()


async def _write(services: Services, info: AppLeaseInfo) -> None:
    await services.storage.blobs.put_blob(
        services.names.app_lease_container, services.names.app_lease_blob, encode_app_lease_info(info).encode()
    )
