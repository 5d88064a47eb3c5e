"""The storage port: exactly what the task hub needs of queues, tables and blobs.

An adapter implements the three protocols over one account (Azure, Azurite), one file (SQLite) or one
dictionary (memory), and passes the conformance suite in ``tests/conformance/storage``. The vocabulary
is Azure Storage's, because what we store must be readable there; semantics that differ between services
are fixed here, and ``memory`` is the readable specification of them.

Common rules:

* Every call raises :class:`~taskhub.errors.TransientStorageError` when the store is throttled or cannot
  be reached. Then the call may have acted, fully or not at all; a batch never acts in part.
* Cancellation leaves the same doubt: the call may have acted.
* Names are used as given; callers have validated them (``taskhub.names``).
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Union

from taskhub.model.ids import ETag, Utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

MAX_BATCH_OPERATIONS = 100
"""Operations in one table transaction, the service's limit."""

MAX_MESSAGES_PER_GET = 32
"""Messages that one queue read may take, the service's limit."""

MAX_MESSAGE_BYTES = 65_536
"""Size of a queue message text in UTF-8, the service's limit."""

MAX_INVISIBLE_SECONDS = 7 * 24 * 3600
"""Longest visibility timeout of a message, the service's limit."""


# ---- queues


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message that was read, hidden from other readers until ``next_visible``."""

    id: str
    receipt: str
    text: str
    dequeue_count: int
    """Reads so far, this one included; 1 at the first."""
    inserted: datetime
    """Aware UTC, whole seconds on Azure."""
    next_visible: datetime
    expires: datetime | None = None
    """``None``: never, as all that this port puts; messages of others may."""


@dataclass(frozen=True, slots=True)
class PutReceipt:
    """What a put or an update returns: enough to update or delete the message without reading it."""

    id: str
    receipt: str
    next_visible: datetime


@dataclass(frozen=True, slots=True)
class StoredMessage:
    """A message as a queue holds it, looked at without being taken."""

    text: str
    dequeue_count: int
    """Reads so far."""
    inserted: datetime
    next_visible: datetime
    """Past for a message that is visible."""


class QueueStore(Protocol):
    """Queues with visibility timeouts. Delivery is at least once and in no guaranteed order."""

    async def create_queue(self, queue: str) -> bool:
        """Create a queue unless it exists; return whether it was created."""

    async def delete_queue(self, queue: str) -> bool:
        """Delete a queue with its messages; return whether there was one."""

    async def list_queues(self, prefix: str) -> Sequence[str]:
        """Return the names of the queues that begin with ``prefix``, sorted."""

    async def put(self, queue: str, text: str, *, visible_after: int = 0) -> PutReceipt:
        """Add a message that never expires.

        Args:
            queue: an existing queue.
            text: any Unicode text that XML can carry (no control characters but tab and LF, as XML turns CR into LF;
                no lone surrogates; no U+FFFE, U+FFFF), at most ``MAX_MESSAGE_BYTES`` of UTF-8.
            visible_after: whole seconds until readers see it, 0 to ``MAX_INVISIBLE_SECONDS``.

        Raises:
            QueueNotFound: the queue does not exist.
            ContentRefused: the text is too large or holds characters that the service cannot carry, or
                ``visible_after`` is out of range.
        """

    async def get(self, queue: str, *, limit: int, invisible_for: int) -> Sequence[QueueMessage]:
        """Take up to ``limit`` visible messages and hide them from other readers.

        The receipt in each message is valid until somebody reads or updates the message again.

        Args:
            queue: an existing queue.
            limit: 1 to ``MAX_MESSAGES_PER_GET``.
            invisible_for: whole seconds, 1 to ``MAX_INVISIBLE_SECONDS``.

        Returns:
            The messages, oldest first as far as the service keeps order; empty when none is visible.
            Never waits for one.

        Raises:
            QueueNotFound: the queue does not exist.

        Cancellation: a message taken but not returned becomes visible again by itself.
        """

    async def update(
        self, queue: str, message_id: str, receipt: str, *, visible_after: int, text: str | None = None
    ) -> PutReceipt:
        """Change when a message becomes visible (0: now), and its text if one is given; the receipt is renewed.

        Raises:
            MessageGone: deleted, or read or updated by somebody else since.
            QueueNotFound: the queue does not exist.
        """

    async def delete(self, queue: str, message_id: str, receipt: str) -> None:
        """Delete a message.

        Raises:
            MessageGone: deleted already, or read or updated by somebody else since.
            QueueNotFound: the queue does not exist.
        """

    async def count(self, queue: str) -> int:
        """Return about how many messages the queue holds, hidden ones included.

        Raises:
            QueueNotFound: the queue does not exist.
        """

    async def snapshot(self, queue: str) -> Sequence[StoredMessage] | None:
        """Return all messages, hidden ones too, without taking them; the next to become visible first.

        ``None`` where the service shows no hidden messages, which is Azure's way: there one can only take what is
        visible.

        Raises:
            QueueNotFound: the queue does not exist; not where the answer is ``None`` anyway.
        """


# ---- tables

TableValue = Union[str, bool, int, float, Utc]  # noqa: UP007 (a runtime alias on 3.10)
"""A column's value: ``str`` is Edm.String, :class:`Utc` Edm.DateTime, ``bool`` Edm.Boolean, ``float`` Edm.Double,
``int`` Edm.Int32, or Edm.Int64 beyond 32 bits. An absent column is null; ``None`` is never stored."""


@dataclass(frozen=True, slots=True)
class Row:
    """A table entity: keys, columns, and when read its ETag."""

    partition_key: str
    row_key: str
    columns: Mapping[str, TableValue]
    """Without PartitionKey, RowKey and Timestamp."""
    etag: ETag | None = None
    """As read; writers ignore it (conditions are given with the operation)."""


class Comparison(enum.Enum):
    """How a column is compared in a query."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"


@dataclass(frozen=True, slots=True)
class Where:
    """``column op value``; columns include ``PartitionKey`` and ``RowKey``. Strings compare by code unit."""

    column: str
    op: Comparison
    value: TableValue


@dataclass(frozen=True, slots=True)
class AllOf:
    """True when every part is."""

    parts: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True when one part is."""

    parts: tuple[Filter, ...]


Filter = Union[Where, AllOf, AnyOf]  # noqa: UP007 (recursive alias on 3.10)
"""A row without the column matches no ``Where`` on it, whatever the comparison."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a query."""

    rows: Sequence[Row]
    token: str | None
    """Where the next page starts, ``None`` at the end. The text is the service's pair of continuation headers:
    next partition key, one blank, next row key (the second may be missing), as the reference hands it to users."""


class Write(enum.Enum):
    """What a table operation does, and the HTTP verb it becomes."""

    INSERT = "insert"
    """Fails with RowExists (POST)."""
    REPLACE = "replace"
    """Needs the row; columns not given disappear (PUT with If-Match)."""
    MERGE = "merge"
    """Needs the row; columns not given stay (PATCH with If-Match)."""
    INSERT_OR_REPLACE = "insert_or_replace"
    """PUT without condition."""
    INSERT_OR_MERGE = "insert_or_merge"
    """PATCH without condition."""
    DELETE = "delete"
    """Needs the row (DELETE with If-Match)."""


@dataclass(frozen=True, slots=True)
class TableWrite:
    """One row operation."""

    kind: Write
    row: Row
    if_match: ETag | None = None
    """For REPLACE, MERGE and DELETE: the ETag the row must have; ``None`` means any (``*``)."""


class TableStore(Protocol):
    """Tables of rows under a partition key and a row key, with ETags and transactions per partition key."""

    async def create_table(self, table: str) -> bool:
        """Create a table unless it exists (names compare ignoring case); return whether it was created."""

    async def delete_table(self, table: str) -> bool:
        """Delete a table with its rows; return whether there was one."""

    async def table_exists(self, table: str) -> bool:
        """Return whether the table exists, ignoring case."""

    async def read(self, table: str, partition_key: str, row_key: str) -> Row | None:
        """Return one row, or ``None`` when there is none.

        Raises:
            TableNotFound: the table does not exist.
        """

    async def query(
        self,
        table: str,
        where: Filter | None = None,
        *,
        select: Sequence[str] | None = None,
        top: int | None = None,
        token: str | None = None,
    ) -> Page:
        """Return one page of rows in order of partition key, then row key (by code unit).

        A page may be short, or empty, and still carry a token: go on until it is ``None``.

        Args:
            table: an existing table.
            where: condition; ``None`` takes every row.
            select: columns to return besides the keys; ``None`` takes all.
            top: most rows of a page, 1 to 1,000 (the default).
            token: from the page before.

        Raises:
            TableNotFound: the table does not exist.
        """

    async def write(self, table: str, operation: TableWrite) -> ETag | None:
        """Carry out one row operation; return the row's new ETag, ``None`` after a delete.

        Raises:
            TableNotFound: the table does not exist.
            RowExists: INSERT of a row that exists.
            RowNotFound: REPLACE, MERGE or DELETE of a row that does not exist.
            RowChanged: the ETag differs.
            ContentRefused: a key exceeds 1 KiB (512 UTF-16 units) or holds a character that no key may, a column
                exceeds 64 KiB (32,768 units), or the row 1 MiB.
        """

    async def batch(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        """Carry out 1 to ``MAX_BATCH_OPERATIONS`` operations on rows of one partition key: all or none.

        Returns:
            The new ETags in the order of the operations.

        Raises:
            The errors of :meth:`write`, for the first operation that fails; then nothing was stored.
        """


# ---- blobs


@dataclass(frozen=True, slots=True)
class BlobLease:
    """Whether a blob or container is leased at this moment."""

    leased: bool
    etag: ETag


@dataclass(frozen=True, slots=True)
class BlobItem:
    """One blob of a listing."""

    name: str
    size: int
    etag: ETag
    """Another one after each write, as :meth:`BlobStore.put_blob` returned it."""
    metadata: Mapping[str, str] = field(default_factory=dict)


class BlobStore(Protocol):
    """Blobs in containers, with leases. A lease names its holder by an id (a GUID text)."""

    async def create_container(self, container: str) -> bool:
        """Create a container unless it exists; return whether it was created."""

    async def delete_container(self, container: str, *, lease_id: str | None = None) -> bool:
        """Delete a container with its blobs; return whether there was one.

        Raises:
            LeaseHeld: it is leased under another id than ``lease_id``.
        """

    async def container_exists(self, container: str) -> bool:
        """Return whether the container exists."""

    async def put_blob(
        self, container: str, name: str, data: bytes, *, overwrite: bool = True, lease_id: str | None = None
    ) -> ETag:
        """Store a blob in one piece.

        Raises:
            BlobNotFound: the container does not exist.
            BlobExists: ``overwrite`` is false and the blob exists.
            LeaseHeld: the blob is leased under another id than ``lease_id``.
        """

    async def get_blob(self, container: str, name: str) -> bytes:
        """Return a blob's content.

        Raises:
            BlobNotFound: the blob or the container does not exist.
        """

    async def blob_item(self, container: str, name: str) -> BlobItem | None:
        """Return what a listing says of one blob; ``None`` when there is none, or no container."""

    async def delete_blob(self, container: str, name: str) -> bool:
        """Delete a blob; return whether there was one.

        Raises:
            LeaseHeld: the blob is leased.
        """

    async def list_blobs(self, container: str, prefix: str) -> Sequence[BlobItem]:
        """Return all blobs whose name begins with ``prefix``, sorted by name; none when there is no container."""

    async def lease_state(self, container: str, name: str | None = None) -> BlobLease:
        """Return whether a blob (or with ``name`` ``None`` the container) is leased now.

        Raises:
            BlobNotFound: the blob or the container does not exist.
        """

    async def acquire_lease(self, container: str, name: str | None, *, lease_id: str, seconds: int) -> None:
        """Lease a blob (or the container) for 15 to 60 seconds under ``lease_id``.

        Acquiring again under the same id succeeds and starts the time anew.

        Raises:
            LeaseHeld: somebody else holds it.
            BlobNotFound: the blob or the container does not exist.
        """

    async def renew_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Start the time of a lease anew; works after its end too as long as nobody else took it.

        Raises:
            LeaseHeld: the lease is another's, was released or broken.
            BlobNotFound: the blob or the container does not exist.
        """

    async def change_lease(self, container: str, name: str | None, *, lease_id: str, new_lease_id: str) -> None:
        """Hand a held lease to another id.

        Raises:
            LeaseHeld: it is not held under ``lease_id`` (nor already under ``new_lease_id``).
            BlobNotFound: the blob or the container does not exist.
        """

    async def release_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Give a lease back.

        Raises:
            LeaseHeld: it is not held under ``lease_id``.
            BlobNotFound: the blob or the container does not exist.
        """

    def url_of(self, container: str, name: str) -> str:
        """Return the blob's absolute URL, each path segment percent-encoded, ``/`` kept."""


@dataclass(frozen=True, slots=True)
class Storage:
    """One account: its three services, and how to let go of it."""

    queues: QueueStore
    tables: TableStore
    blobs: BlobStore
    description: str
    """For people: ``embedded store /path/hub.db``, ``Azurite at http://127.0.0.1:10000`` … never a key."""
    closing: Closer
    fails_as_one: bool = False
    """Whether what befalls one service befalls all: they are one file."""

    async def aclose(self) -> None:
        """Close connections and files; the store must not be used afterwards."""
        await self.closing()


class Closer(Protocol):
    """Releases what an adapter holds."""

    async def __call__(self) -> None:
        """Release it; calling twice is harmless."""
