"""Which requests an entity has taken, so that second copies of messages do nothing.

Messages arrive at least once. Those of orchestrations and entities carry labels by which the sorter drops second
copies; what clients send, what comes late on purpose and locks that are handed on carry none, and a sender that dies
before it has stored what it sent may send it again under a new label. So an entity also remembers ids: the newest few
hundred, for an hour.

Releases of locks are remembered too. A lock that comes after its release was already granted and given back: an entity
that died between handing the lock on and storing it gets the request again when all is over, and must not close.

The reference has none of this; it may run a client's signal twice and keep a lock for ever after a crash.
"""

from __future__ import annotations

import uuid
from base64 import b64encode
from hashlib import blake2b
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MAX_REMEMBERED = 512
"""Twice what a worker has in hand at once (``control_queue_buffer_threshold``), and so comes back when it dies."""

MAX_MINUTES = 60
"""Older ones go when a newer one is noted."""

Remembered = dict[str, int]
"""Keys of requests and releases, oldest first, with the minute (since 1970) in which each was noted."""


class RequestMemory:
    """What one entity has taken.

    Args:
        remembered: what was remembered before.
    """

    def __init__(self, remembered: Mapping[str, int] | None = None) -> None:
        self._minutes: Remembered = dict(remembered or {})
        self.has_changed = False
        """Whether anything was noted since it was stored."""

    def __repr__(self) -> str:
        return f"<RequestMemory {len(self._minutes)} ids>"

    def has_taken(self, request_id: str) -> bool:
        """Return whether a request was taken before."""
        return _key(request_id) in self._minutes

    def take(self, request_id: str, now: datetime) -> None:
        """Note that a request was taken."""
        self._note(_key(request_id), now)

    def has_released(self, lock_id: str) -> bool:
        """Return whether the lock of a request was given back before."""
        return _release_key(lock_id) in self._minutes

    def release(self, lock_id: str, now: datetime) -> None:
        """Note that a lock was given back."""
        self._note(_release_key(lock_id), now)

    def remembered(self) -> Remembered:
        """Return what is to be remembered."""
        return dict(self._minutes)

    @staticmethod
    def key(text: str) -> str:
        """Return the key of an id: 16 bytes in 22 characters; ids are GUIDs, but nobody makes sure of it."""
        return _key(text)

    def _note(self, key: str, now: datetime) -> None:
        self.has_changed = True
        minute = int(now.timestamp() // 60)
        self._minutes.pop(key, None)
        self._minutes[key] = minute
        while len(self._minutes) > MAX_REMEMBERED or next(iter(self._minutes.values())) < minute - MAX_MINUTES:
            del self._minutes[next(iter(self._minutes))]


def _key(text: str) -> str:
    try:
        raw = uuid.UUID(text).bytes
    except ValueError:
        raw = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return b64encode(raw).decode()[:22]


def _release_key(lock_id: str) -> str:
    return _key(f"release {lock_id}")
