"""Workers as real processes: which there are, and who owns what."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from taskhub.codec.documents import decode_blob_lease
from taskhub.codec.lease_rows import decode_lease
from taskhub.errors import BlobNotFound, TableNotFound
from taskhub.names import HubNames
from taskhub.wiring import open_storage

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from taskhub.storage.port import Storage


def worker_processes(pid: int) -> list[int]:
    """Return the ids of the worker processes that a host started."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            # A process may end while it is looked at.
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid and b"taskhub.host.worker_main" in (folder / "cmdline").read_bytes():
                    found.append(int(folder.name))
    return sorted(found)


class Owners:
    """Reads from storage who owns the partitions of a hub."""

    def __init__(self, storage: Storage, hub: str) -> None:
        self._storage = storage
        self._names = HubNames.of(hub)

    @classmethod
    @contextlib.asynccontextmanager
    async def of(cls, store: Mapping[str, object], hub: str) -> AsyncIterator[Owners]:
        """Look into the store that the options of ``start_host`` name."""
        environment = store.get("environment", {})
        assert isinstance(environment, dict)
        storage = await open_storage(str(store["storage"]), app_settings=environment, app_root=None)
        try:
            yield cls(storage, hub)
        finally:
            await storage.aclose()

    async def shares(self) -> list[int]:
        """Return how many partitions each worker owns, the fewest first."""
        owners = await self._by_table() or await self._by_blobs()
        return sorted(Counter(owner for owner in owners if owner).values())

    async def until(self, *shares: int, within: float) -> float:
        """Wait until the partitions are shared so; return the seconds that it took."""
        begun = time.monotonic()
        while (found := await self.shares()) != list(shares):
            if time.monotonic() - begun > within:
                raise AssertionError(f"shares are {found} and not {shares} after {within} s")
            await asyncio.sleep(0.1)
        return time.monotonic() - begun

    async def _by_table(self) -> list[str | None]:
        try:
            page = await self._storage.tables.query(self._names.partitions_table)
        except TableNotFound:
            return []
        return [decode_lease(row.row_key, row.columns, row.etag).owner for row in page.rows]

    async def _by_blobs(self) -> list[str | None]:
        blobs, container = self._storage.blobs, self._names.leases_container
        owners: list[str | None] = []
        for blob in await blobs.list_blobs(container, ""):
            if blob.name.startswith(("ownership/", "default/")):
                with contextlib.suppress(BlobNotFound):
                    is_leased = (await blobs.lease_state(container, blob.name)).leased
                    document = decode_blob_lease((await blobs.get_blob(container, blob.name)).decode())
                    owners.append(document.owner if is_leased else None)
        return owners
