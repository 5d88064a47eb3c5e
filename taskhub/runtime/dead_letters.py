"""Parked messages: a container of the hub that holds what nobody could work on.

A letter is stored before its message is deleted, and its message is put before the letter is deleted: whatever breaks
off in between leaves one of them too many, and a message that comes twice is recognised.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from taskhub.codec.dead_letters import (
    CONTENT_SUFFIX,
    LETTER_SUFFIX,
    decode_letter,
    encode_letter,
    folder_of,
    letter_stem,
)
from taskhub.errors import BlobNotFound, DeadLetterNotFound, MalformedMessage
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.model.dead_letters import DeadLetter
    from taskhub.model.ids import InstanceId
    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.storage.port import BlobStore

MAX_PARALLEL = 16

_logger = logging.getLogger("taskhub.dead_letters")


class DeadLetters:
    """The dead letters of one hub."""

    def __init__(self, blobs: BlobStore, names: HubNames, environment: Environment) -> None:
        self._blobs = blobs
        self._container = names.dead_letters_container
        self._environment = environment

    async def park(self, letter: DeadLetter, content: bytes | None) -> None:
        """Store a letter, over one of the same message.

        Args:
            letter: what to store.
            content: of the blob in which the message itself lay.
        """
        stem = letter_stem(letter)
        # Made each time: letters are rare.
        await self._blobs.create_container(self._container)
        if content is not None:
            await self._blobs.put_blob(self._container, stem + CONTENT_SUFFIX, content)
        await self._blobs.put_blob(self._container, stem + LETTER_SUFFIX, encode_letter(letter).encode())

    async def count(self) -> int:
        """Return how many letters there are: one call."""
        return len(await self._names())

    async def list(self) -> Sequence[DeadLetter]:
        """Return all letters, the oldest messages first: one call, and one for each letter.

        One that cannot be read is reported and left out.
        """
        found = await run_all(
            self._environment.spawn,
            [lambda name=name: self._read(name) for name in await self._names()],  # type: ignore[misc]  # binds the name
            limit=MAX_PARALLEL,
            name="read dead letter",
        )
        return sorted((each for each in found if each is not None), key=lambda each: (each.inserted.padded(), each.id))

    async def find(self, letter_id: str) -> DeadLetter:
        """Return a letter.

        Raises:
            DeadLetterNotFound: there is none of this id, or it cannot be read.
        """
        for name in await self._names():
            if name.endswith(f"/{letter_id}{LETTER_SUFFIX}"):
                letter = await self._read(name)
                if letter is not None:
                    return letter
        raise DeadLetterNotFound(f"there is no dead letter '{letter_id}'")

    async def content(self, letter: DeadLetter) -> bytes | None:
        """Return the content of the blob in which the message itself lay, if it was kept."""
        if not letter.has_content:
            return None
        with contextlib.suppress(BlobNotFound):
            return await self._blobs.get_blob(self._container, letter_stem(letter) + CONTENT_SUFFIX)
        return None

    async def drop(self, letter: DeadLetter) -> None:
        """Delete a letter; one that is gone is no error."""
        stem = letter_stem(letter)
        if letter.has_content:
            await self._blobs.delete_blob(self._container, stem + CONTENT_SUFFIX)
        await self._blobs.delete_blob(self._container, stem + LETTER_SUFFIX)

    async def drop_of(self, instance_ids: Iterable[InstanceId]) -> None:
        """Delete the letters of some instances: one call, and one for each blob."""
        names = [item.name for item in await self._blobs.list_blobs(self._container, "")]
        folders = {folder_of(each) for each in instance_ids} if names else set()
        for name in names:
            if name.partition("/")[0] in folders:
                await self._blobs.delete_blob(self._container, name)

    async def _names(self) -> Sequence[str]:
        items = await self._blobs.list_blobs(self._container, "")
        return [item.name for item in items if item.name.endswith(LETTER_SUFFIX)]

    async def _read(self, name: str) -> DeadLetter | None:
        try:
            return decode_letter((await self._blobs.get_blob(self._container, name)).decode())
        except BlobNotFound:
            return None  # dropped by somebody else
        except (MalformedMessage, UnicodeDecodeError) as error:
            _logger.error(
                "dead letter %s in container %s cannot be read: %s",
                name,
                self._container,
                error,
                extra={"event": "dead_letter_unreadable", "blob": name, "error": str(error)},
            )
            return None
