"""Blobs and leases, through the official client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from azure.storage.blob.aio import BlobClient, BlobLeaseClient, BlobServiceClient, ContainerClient

from taskhub.errors import BlobNotFound, StorageRefused
from taskhub.model.ids import ETag
from taskhub.storage import rules
from taskhub.storage.azure.errors import code_of, mapped
from taskhub.storage.port import BlobItem, BlobLease

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.storage.blob import BlobProperties


class AzureBlobs:
    """See :class:`~taskhub.storage.port.BlobStore`."""

    def __init__(self, service: BlobServiceClient, endpoint: str) -> None:
        self._service = service
        self._endpoint = endpoint

    async def create_container(self, container: str) -> bool:
        """Create a container unless it exists."""
        try:
            with mapped(f"create container {container}"):
                await self._container(container).create_container()
        except StorageRefused as error:
            if code_of(error) != "ContainerAlreadyExists":
                raise
            return False
        return True

    async def delete_container(self, container: str, *, lease_id: str | None = None) -> bool:
        """Delete a container with its blobs."""
        options: dict[str, Any] = {} if lease_id is None else {"lease": lease_id}
        try:
            with mapped(f"delete container {container}"):
                await self._container(container).delete_container(**options)
        except BlobNotFound:
            return False
        return True

    async def container_exists(self, container: str) -> bool:
        """Return whether the container exists."""
        with mapped(f"look for container {container}"):
            return await self._container(container).exists()

    async def put_blob(
        self, container: str, name: str, data: bytes, *, overwrite: bool = True, lease_id: str | None = None
    ) -> ETag:
        """Store a blob."""
        options: dict[str, Any] = {} if lease_id is None else {"lease": lease_id}
        with mapped(f"put blob {container}/{name}"):
            done = await self._blob(container, name).upload_blob(data, overwrite=overwrite, **options)
        return ETag(done["etag"])

    async def get_blob(self, container: str, name: str) -> bytes:
        """Return a blob's content."""
        with mapped(f"get blob {container}/{name}"):
            download = await self._blob(container, name).download_blob()
            return await download.readall()

    async def blob_item(self, container: str, name: str) -> BlobItem | None:
        """Return what a listing says of one blob."""
        try:
            with mapped(f"look at blob {container}/{name}"):
                return _item(await self._blob(container, name).get_blob_properties())
        except BlobNotFound:
            return None

    async def delete_blob(self, container: str, name: str) -> bool:
        """Delete a blob."""
        try:
            with mapped(f"delete blob {container}/{name}"):
                await self._blob(container, name).delete_blob()
        except BlobNotFound:
            return False
        return True

    async def list_blobs(self, container: str, prefix: str) -> Sequence[BlobItem]:
        """Return the blobs whose name begins with ``prefix``."""
        try:
            with mapped(f"list blobs {container}/{prefix}"):
                found = self._container(container).list_blobs(name_starts_with=prefix, include=["metadata"])
                items = [_item(blob) async for blob in found]
        except BlobNotFound:
            return []
        return sorted(items, key=lambda item: item.name)

    async def lease_state(self, container: str, name: str | None = None) -> BlobLease:
        """Return whether a blob or container is leased."""
        with mapped(f"look at {_what(container, name)}"):
            if name is None:
                holder = await self._container(container).get_container_properties()
                return BlobLease(holder.lease.status == "locked", ETag(holder.etag))
            blob = await self._blob(container, name).get_blob_properties()
            return BlobLease(blob.lease.status == "locked", ETag(str(blob.etag)))

    async def acquire_lease(self, container: str, name: str | None, *, lease_id: str, seconds: int) -> None:
        """Lease a blob or container."""
        rules.check_lease_seconds(seconds)
        with mapped(f"lease {_what(container, name)}"):
            await self._lease(container, name, lease_id).acquire(lease_duration=seconds)

    async def renew_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Start the time of a lease anew."""
        with mapped(f"renew the lease of {_what(container, name)}"):
            await self._lease(container, name, lease_id).renew()

    async def change_lease(self, container: str, name: str | None, *, lease_id: str, new_lease_id: str) -> None:
        """Hand a lease to another id."""
        new_lease_id = rules.lease_guid(new_lease_id)
        with mapped(f"change the lease of {_what(container, name)}"):
            await self._lease(container, name, lease_id).change(new_lease_id)

    async def release_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Give a lease back."""
        with mapped(f"release the lease of {_what(container, name)}"):
            await self._lease(container, name, lease_id).release()

    def url_of(self, container: str, name: str) -> str:
        """Return the blob's absolute URL."""
        return f"{self._endpoint}/{container}/{quote(name)}"

    def _container(self, container: str) -> ContainerClient:
        return self._service.get_container_client(container)

    def _blob(self, container: str, name: str) -> BlobClient:
        return self._service.get_blob_client(container, name)

    def _lease(self, container: str, name: str | None, lease_id: str) -> BlobLeaseClient:
        holder = self._container(container) if name is None else self._blob(container, name)
        return BlobLeaseClient(holder, rules.lease_guid(lease_id))


def _item(blob: BlobProperties) -> BlobItem:
    # Listings leave out the quotes that other answers have around an ETag.
    etag = f'"{str(blob.etag).strip(chr(34))}"'
    return BlobItem(blob.name, blob.size, ETag(etag), dict(blob.metadata or {}))


def _what(container: str, name: str | None) -> str:
    return f"container {container}" if name is None else f"blob {container}/{name}"
