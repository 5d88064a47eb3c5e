"""Values that fit neither a message nor a column: compressed blobs in the hub's large-messages container."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from taskhub.codec.keys import blob_folder, escape_instance_id
from taskhub.codec.overflow import compress, decompress
from taskhub.errors import BlobExists, BlobNotFound, StorageError
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.codec.overflow import Offloaded
    from taskhub.model.ids import InstanceId
    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.runtime.outages import StorageHealth
    from taskhub.storage.port import BlobStore

MAX_PARALLEL = 16

_OF_WORK_ITEMS = "-TaskScheduled.json.gz"
"""How names of blobs end that hold the messages of work items."""


class LargeValues:
    """Texts in blobs. The container is made before the first write of a process.

    Where there are several, each is tried again by itself: of a hundred one would fail each time that all of them are
    asked for, with a storage of which only a few calls in a hundred fail.
    """

    def __init__(self, blobs: BlobStore, names: HubNames, environment: Environment, health: StorageHealth) -> None:
        self._blobs = blobs
        self._container = names.large_messages_container
        self._environment = environment
        self._health = health
        self._is_created = False

    async def put(self, blob_name: str, text: str) -> None:
        """Store a text, over an older one of the same name."""
        if not self._is_created:
            await self._blobs.create_container(self._container)
            self._is_created = True
        try:
            await self._blobs.put_blob(self._container, blob_name, compress(text))
        except BlobNotFound:
            # Deleted behind our back: the next attempt makes it again.
            self._is_created = False
            raise

    async def raw(self, blob_name: str) -> bytes | None:
        """Return the content of a blob as it is stored, ``None`` when it is gone."""
        try:
            return await self._blobs.get_blob(self._container, blob_name)
        except BlobNotFound:
            return None

    async def restore(self, blob_name: str, data: bytes) -> None:
        """Store what :meth:`raw` returned, unless there is a blob of that name."""
        await self._blobs.create_container(self._container)
        with contextlib.suppress(BlobExists):
            await self._blobs.put_blob(self._container, blob_name, data, overwrite=False)

    async def put_all(self, values: Sequence[Offloaded]) -> None:
        """Store several texts."""
        if values:
            await self._in_parallel([(value.blob_name, value.text) for value in values])

    async def get(self, blob_name: str) -> str:
        """Return a text.

        Raises:
            BlobNotFound: it was purged.
            MalformedMessage: the blob holds no compressed text.
        """
        return decompress(await self._blobs.get_blob(self._container, blob_name))

    async def get_all(self, blob_names: Sequence[str]) -> dict[str, str]:
        """Return several texts by blob name."""
        texts = await run_all(
            self._environment.spawn,
            [lambda name=name: self._health.retry_briefly(lambda: self.get(name)) for name in blob_names],  # type: ignore[misc]  # binds the name
            limit=MAX_PARALLEL,
            name="get blob",
        )
        return dict(zip(blob_names, texts, strict=True))

    async def delete_all(self, blob_names: Iterable[str]) -> None:
        """Delete texts; those that are gone already are no error."""
        for name in blob_names:
            await self._health.retry_briefly(lambda name=name: self._blobs.delete_blob(self._container, name))  # type: ignore[misc]  # binds

    async def discard(self, blob_name: str) -> None:
        """Delete a text that nobody will ask for, if it is there and the storage answers."""
        try:
            await self._blobs.delete_blob(self._container, blob_name)
        except StorageError as error:
            self._health.failed(error)

    async def of_instance(self, instance_id: InstanceId) -> list[str]:
        """Return the names of an instance's texts, and no neighbour's: not those of ``a/b`` for ``a``, for example.

        Messages lie in the folder of the id, history values in that of the escaped id, and one instance's id may be
        what another's is escaped to.
        """
        of_messages, of_history = blob_folder(instance_id), blob_folder(escape_instance_id(instance_id))
        names = [name for folder in dict.fromkeys((of_messages, of_history)) for name in await self.names_in(folder)]
        own = (f"{of_messages}/message-", f"{of_history}/history-")
        return [name for name in names if name.startswith(own)]

    async def of_episodes(self, instance_id: InstanceId) -> list[str]:
        """Return the names of the texts that an instance's worker writes with episodes: history, and work items."""
        of_history = f"{blob_folder(escape_instance_id(instance_id))}/history-"
        names = await self.of_instance(instance_id)
        return [name for name in names if name.startswith(of_history) or name.endswith(_OF_WORK_ITEMS)]

    async def names_in(self, folder: str) -> list[str]:
        """Return the names of the texts in a folder, but not of those in folders below it."""
        items = await self._blobs.list_blobs(self._container, f"{folder}/")
        return [item.name for item in items if "/" not in item.name[len(folder) + 1 :]]

    def url_of(self, blob_name: str) -> str:
        """Return the URL that an instance's row shows in place of a text."""
        return self._blobs.url_of(self._container, blob_name)

    async def _in_parallel(self, values: Sequence[tuple[str, str]]) -> None:
        await run_all(
            self._environment.spawn,
            [
                lambda name=name, text=text: self._health.retry_briefly(lambda: self.put(name, text))  # type: ignore[misc]  # binds
                for name, text in values
            ],
            limit=MAX_PARALLEL,
            name="put blob",
        )
