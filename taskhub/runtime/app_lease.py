"""The app lease: one app at a time works on the control queues of a hub; all its workers hold the lease together.

The lease is on a container, under an id made of the app's name, so that every worker of the app may acquire it. It is
not released at the end: another app has to wait until it lapses, or be told to take over (:func:`ask_for_lease`). That
goes by a blob beside the lease, which whoever waits reads now and then.

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

NO_APP_LEASE = "Cannot make current app primary. This app is not using the AppLease feature."
"""The extension's text."""

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
                await self._wait_for_turn()
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
            await blobs.acquire_lease(
                self._container, None, lease_id=self._id, seconds=self._services.settings.app_lease_seconds
            )
        except LeaseHeld:
            info = await read_app_lease(self._services)
            if info.desired_swap_id != self._id or info.owner_id is None:
                raise
            # Somebody asked that this app take over.
            await blobs.change_lease(self._container, None, lease_id=info.owner_id, new_lease_id=self._id)
        info = await read_app_lease(self._services)
        if info.owner_id != self._id or info.desired_swap_id == self._id:
            await _write_info(self._services, AppLeaseInfo(owner_id=self._id))

    async def _wait_for_turn(self) -> None:
        """Return when it is time for another attempt, or when this app was told to take over."""
        clock, settings = self._services.environment.clock, self._services.settings
        deadline = clock.monotonic() + settings.app_lease_acquire_seconds
        while (left := deadline - clock.monotonic()) > 0:
            if await self._services.lease_wanted.wait(min(settings.app_lease_renew_seconds, left)):
                return
            try:
                info = await read_app_lease(self._services)
            except StorageError as error:
                self._services.health.failed(error)
            else:
                # Our own as owner: another worker of this app has just taken over.
                if self._id in (info.desired_swap_id, info.owner_id):
                    return

    async def _renew_until_lost(self) -> None:
        clock = self._services.environment.clock
        renewed_at = clock.monotonic()
        while True:
            await clock.sleep(self._services.settings.app_lease_renew_seconds)
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
                if clock.monotonic() - renewed_at > self._services.settings.app_lease_seconds:
                    return
            else:
                renewed_at = clock.monotonic()

    async def _trouble(self, error: StorageError) -> None:
        self._services.health.failed(error)
        if isinstance(error, BlobNotFound):
            self._services.hub.forget()
        await self._services.health.pause(4, error)

    def _note_foreign(self) -> None:
        _logger.warning(
            "another app works on task hub %s; this one runs activities only, and asks again every %d s. Set "
            "extensions.durableTask.useAppLease to false, or give both the same WEBSITE_SITE_NAME, to share the hub",
            self._services.names.hub,
            self._services.settings.app_lease_acquire_seconds,
            extra={"event": "app_lease_held"},
        )

    def _set_held(self, is_held: bool) -> None:
        self.is_held = is_held
        self._changed()


async def ask_for_lease(services: Services) -> None:
    """Ask that this process's app hold the lease instead of whichever does; its workers take over soon after.

    Raises:
        ConfigurationError: the hub does without the lease.
    """
    if not services.settings.use_app_lease:
        raise ConfigurationError(NO_APP_LEASE)
    await services.hub.create()
    mine = app_lease_id(services.settings.app_name)
    info = await read_app_lease(services)
    if info.owner_id != mine:
        await _write_info(services, AppLeaseInfo(info.owner_id, desired_swap_id=mine))
    services.lease_wanted.set()


async def read_app_lease(services: Services) -> AppLeaseInfo:
    """Return which app holds the lease of a hub, and which one asks for it; neither when nobody ever did."""
    try:
        data = await services.storage.blobs.get_blob(services.names.app_lease_container, services.names.app_lease_blob)
        return decode_app_lease_info(data.decode())
    except (BlobNotFound, MalformedMessage, UnicodeDecodeError):
        return AppLeaseInfo()


async def _write_info(services: Services, info: AppLeaseInfo) -> None:
    content = encode_app_lease_info(info).encode()
    await services.storage.blobs.put_blob(services.names.app_lease_container, services.names.app_lease_blob, content)
