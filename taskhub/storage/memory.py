"""Storage in memory: the readable specification of the port, and what simulations run on.

An account lives in plain dictionaries. Every call yields to the event loop exactly once, then acts at once
and completely: other tasks run between two calls, never inside one. Time, message ids and nothing else come
from outside, so that one seed gives one run, repeated to the byte.
"""

from __future__ import annotations

import asyncio
import heapq
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.errors import BlobExists, BlobNotFound, MessageGone, QueueNotFound, TableNotFound
from taskhub.model.ids import ETag
from taskhub.storage import rules
from taskhub.storage.port import (
    BlobItem,
    BlobLease,
    Page,
    PutReceipt,
    QueueMessage,
    Row,
    Storage,
    StoredMessage,
    TableValue,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from taskhub.storage.port import Filter, TableWrite


def open_memory(
    *,
    now: Callable[[], datetime],
    new_guid: Callable[[], uuid.UUID] = uuid.uuid4,
    account: MemoryAccount | None = None,
) -> Storage:
    """Open a memory store.

    Args:
        now: the account's clock, aware UTC.
        new_guid: where message ids come from.
        account: opened before, to be shared: each simulated process has its own ``Storage`` over one account.
            Then ``now`` and ``new_guid`` are the account's own.
    """
    account = account or MemoryAccount(now, new_guid)

    async def close() -> None:
        """Nothing is held: the account is the caller's."""

    return Storage(
        queues=MemoryQueues(account),
        tables=MemoryTables(account),
        blobs=MemoryBlobs(account),
        description="memory",
        closing=close,
    )


@dataclass(slots=True)
class MemoryAccount:
    """Everything that is stored, and the clock it is judged by."""

    now: Callable[[], datetime]
    new_guid: Callable[[], uuid.UUID] = uuid.uuid4
    queues: dict[str, _Queue] = field(default_factory=dict)
    tables: dict[str, _Table] = field(default_factory=dict)
    """By lower-case name."""
    containers: dict[str, _Container] = field(default_factory=dict)
    last_number: int = 0

    def number(self) -> int:
        """Return a new number, greater than all before: receipts and ETags are made of them."""
        self.last_number += 1
        return self.last_number


# ---- queues


@dataclass(slots=True)
class _Message:
    id: str
    text: str
    inserted: datetime
    version: int = 0
    """Number of the put, get or update that came last; the receipt. 0 when the message was deleted."""
    visible_at: datetime | None = None
    dequeue_count: int = 0


@dataclass(slots=True)
class _Queue:
    messages: dict[str, _Message] = field(default_factory=dict)
    due: list[tuple[datetime, int, _Message]] = field(default_factory=list)
    """Heap of when each message becomes visible. An entry whose number is not the message's version is void."""


class MemoryQueues:
    """See :class:`~taskhub.storage.port.QueueStore`."""

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account

    async def create_queue(self, queue: str) -> bool:
        """Create a queue unless it exists."""
        await asyncio.sleep(0)
        if queue in self._account.queues:
            return False
        self._account.queues[queue] = _Queue()
        return True

    async def delete_queue(self, queue: str) -> bool:
        """Delete a queue with its messages."""
        await asyncio.sleep(0)
        return self._account.queues.pop(queue, None) is not None

    async def list_queues(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with ``prefix``."""
        await asyncio.sleep(0)
        return sorted(name for name in self._account.queues if name.startswith(prefix))

    async def put(self, queue: str, text: str, *, visible_after: int = 0) -> PutReceipt:
        """Add a message."""
        rules.check_message_text(text)
        rules.check_visible_after(visible_after)
        await asyncio.sleep(0)
        found = self._queue(queue)
        now = self._account.now()
        message = _Message(id=str(self._account.new_guid()), text=text, inserted=now)
        found.messages[message.id] = message
        return self._hide(found, message, now, visible_after)

    async def get(self, queue: str, *, limit: int, invisible_for: int) -> Sequence[QueueMessage]:
        """Take visible messages, in the order in which they became visible."""
        rules.check_get(limit, invisible_for)
        await asyncio.sleep(0)
        found = self._queue(queue)
        now = self._account.now()
        taken: list[QueueMessage] = []
        while found.due and len(taken) < limit and found.due[0][0] <= now:
            _, version, message = heapq.heappop(found.due)
            if version != message.version:
                continue
            message.dequeue_count += 1
            receipt = self._hide(found, message, now, invisible_for)
            taken.append(
                QueueMessage(
                    id=message.id,
                    receipt=receipt.receipt,
                    text=message.text,
                    dequeue_count=message.dequeue_count,
                    inserted=message.inserted,
                    next_visible=receipt.next_visible,
                )
            )
        return taken

    async def update(
        self, queue: str, message_id: str, receipt: str, *, visible_after: int, text: str | None = None
    ) -> PutReceipt:
        """Change when a message becomes visible, and its text."""
        if text is not None:
            rules.check_message_text(text)
        rules.check_visible_after(visible_after)
        await asyncio.sleep(0)
        found = self._queue(queue)
        message = self._held(found, queue, message_id, receipt)
        if text is not None:
            message.text = text
        return self._hide(found, message, self._account.now(), visible_after)

    async def delete(self, queue: str, message_id: str, receipt: str) -> None:
        """Delete a message."""
        await asyncio.sleep(0)
        found = self._queue(queue)
        message = self._held(found, queue, message_id, receipt)
        message.version = 0
        del found.messages[message_id]

    async def count(self, queue: str) -> int:
        """Return how many messages the queue holds."""
        await asyncio.sleep(0)
        return len(self._queue(queue).messages)

    async def snapshot(self, queue: str) -> Sequence[StoredMessage]:
        """Return all messages without taking them."""
        await asyncio.sleep(0)
        messages = self._queue(queue).messages.values()
        stored = [
            StoredMessage(each.text, each.dequeue_count, each.inserted, each.visible_at or each.inserted)
            for each in messages
        ]
        return sorted(stored, key=lambda message: message.next_visible)

    def _queue(self, queue: str) -> _Queue:
        try:
            return self._account.queues[queue]
        except KeyError:
            raise QueueNotFound(f"there is no queue {queue}") from None

    def _held(self, found: _Queue, queue: str, message_id: str, receipt: str) -> _Message:
        message = found.messages.get(message_id)
        if message is None:
            raise MessageGone(f"message {message_id} of queue {queue} was deleted")
        if receipt != str(message.version):
            raise MessageGone(f"message {message_id} of queue {queue} was read or updated by somebody else since")
        return message

    def _hide(self, found: _Queue, message: _Message, now: datetime, seconds: int) -> PutReceipt:
        message.version = self._account.number()
        message.visible_at = now + timedelta(seconds=seconds)
        heapq.heappush(found.due, (message.visible_at, message.version, message))
        return PutReceipt(id=message.id, receipt=str(message.version), next_visible=message.visible_at)


# ---- tables


@dataclass(frozen=True, slots=True)
class _StoredRow:
    columns: Mapping[str, TableValue]
    etag: ETag


@dataclass(slots=True)
class _Table:
    partitions: dict[str, dict[str, _StoredRow]] = field(default_factory=dict)

    def rows_from(self, keys: rules.KeyRange, start: tuple[str, str] | None) -> Iterator[tuple[str, str, _StoredRow]]:
        """Yield the rows of some partitions in order, from the row ``start`` on."""
        first = (rules.order_key(start[0]), rules.order_key(start[1])) if start else (b"", b"")
        partitions = sorted((rules.order_key(key), key) for key in self._keys_in(keys))
        for order, partition_key in partitions:
            if order < first[0]:
                continue
            rows = self.partitions[partition_key]
            for row_order, row_key in sorted((rules.order_key(key), key) for key in rows):
                if order > first[0] or row_order >= first[1]:
                    yield partition_key, row_key, rows[row_key]

    def _keys_in(self, keys: rules.KeyRange) -> Sequence[str]:
        if keys.low is not None and keys.low == keys.high:
            only = rules.text_of_order_key(keys.low)
            return [only] if only in self.partitions else []
        low, high = keys.low or b"", keys.high
        return [k for k in self.partitions if low <= (o := rules.order_key(k)) and (high is None or o <= high)]


class MemoryTables:
    """See :class:`~taskhub.storage.port.TableStore`."""

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account

    async def create_table(self, table: str) -> bool:
        """Create a table unless it exists."""
        await asyncio.sleep(0)
        if table.lower() in self._account.tables:
            return False
        self._account.tables[table.lower()] = _Table()
        return True

    async def delete_table(self, table: str) -> bool:
        """Delete a table with its rows."""
        await asyncio.sleep(0)
        return self._account.tables.pop(table.lower(), None) is not None

    async def table_exists(self, table: str) -> bool:
        """Return whether the table exists."""
        await asyncio.sleep(0)
        return table.lower() in self._account.tables

    async def read(self, table: str, partition_key: str, row_key: str) -> Row | None:
        """Return one row."""
        await asyncio.sleep(0)
        stored = self._table(table).partitions.get(partition_key, {}).get(row_key)
        return None if stored is None else Row(partition_key, row_key, dict(stored.columns), stored.etag)

    async def query(
        self,
        table: str,
        where: Filter | None = None,
        *,
        select: Sequence[str] | None = None,
        top: int | None = None,
        token: str | None = None,
    ) -> Page:
        """Return one page; it is full while rows remain."""
        rules.check_page(top)
        start = rules.keys_of_token(token) if token is not None else None
        await asyncio.sleep(0)
        limit = top or rules.MAX_PAGE_ROWS
        passes = rules.predicate(where)
        rows: list[Row] = []
        for partition_key, row_key, stored in self._table(table).rows_from(rules.partition_range(where), start):
            if not passes(partition_key, row_key, stored.columns):
                continue
            if len(rows) == limit:
                return Page(rows, rules.token_of(partition_key, row_key))
            rows.append(Row(partition_key, row_key, rules.selected(stored.columns, select), stored.etag))
        return Page(rows, None)

    async def write(self, table: str, operation: TableWrite) -> ETag | None:
        """Carry out one row operation."""
        rules.check_row(operation.row)
        await asyncio.sleep(0)
        return self._apply(table, [operation])[0]

    async def batch(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        """Carry out operations on one partition, all or none."""
        rules.check_batch(operations)
        await asyncio.sleep(0)
        return self._apply(table, operations)

    def _apply(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        found = self._table(table)
        partition_key = operations[0].row.partition_key
        rows = found.partitions.get(partition_key, {})
        results: list[_StoredRow | None] = []
        for operation in operations:  # all are decided before the first is carried out
            stored = rows.get(operation.row.row_key)
            columns = rules.columns_after(
                operation, None if stored is None else stored.columns, None if stored is None else stored.etag
            )
            etag = ETag(f'W/"{self._account.number()}"')
            results.append(None if columns is None else _StoredRow(columns, etag))
        for operation, result in zip(operations, results, strict=True):
            if result is None:
                del rows[operation.row.row_key]
            else:
                rows[operation.row.row_key] = result
        if rows:
            found.partitions[partition_key] = rows
        else:
            found.partitions.pop(partition_key, None)
        return [None if result is None else result.etag for result in results]

    def _table(self, table: str) -> _Table:
        try:
            return self._account.tables[table.lower()]
        except KeyError:
            raise TableNotFound(f"there is no table {table}") from None


# ---- blobs


@dataclass(slots=True)
class _Blob:
    etag: ETag
    data: bytes
    lease: rules.Lease | None = None


@dataclass(slots=True)
class _Container:
    etag: ETag
    blobs: dict[str, _Blob] = field(default_factory=dict)
    lease: rules.Lease | None = None


class MemoryBlobs:
    """See :class:`~taskhub.storage.port.BlobStore`."""

    def __init__(self, account: MemoryAccount) -> None:
        self._account = account

    async def create_container(self, container: str) -> bool:
        """Create a container unless it exists."""
        await asyncio.sleep(0)
        if container in self._account.containers:
            return False
        self._account.containers[container] = _Container(self._new_etag())
        return True

    async def delete_container(self, container: str, *, lease_id: str | None = None) -> bool:
        """Delete a container with its blobs."""
        await asyncio.sleep(0)
        found = self._account.containers.get(container)
        if found is None:
            return False
        rules.check_leased_write(found.lease, self._account.now(), lease_id, f"container {container}")
        del self._account.containers[container]
        return True

    async def container_exists(self, container: str) -> bool:
        """Return whether the container exists."""
        await asyncio.sleep(0)
        return container in self._account.containers

    async def put_blob(
        self, container: str, name: str, data: bytes, *, overwrite: bool = True, lease_id: str | None = None
    ) -> ETag:
        """Store a blob."""
        await asyncio.sleep(0)
        blobs = self._container(container).blobs
        blob = blobs.get(name)
        if blob is not None and not overwrite:
            raise BlobExists(f"there is a blob {container}/{name} already")
        now = self._account.now()
        rules.check_leased_write(blob.lease if blob else None, now, lease_id, f"blob {container}/{name}")
        # A lease that ran out cannot be renewed after the blob was written.
        lease = blob.lease if blob and blob.lease and blob.lease.is_active(now) else None
        etag = self._new_etag()
        blobs[name] = _Blob(etag, bytes(data), lease)
        return etag

    async def get_blob(self, container: str, name: str) -> bytes:
        """Return a blob's content."""
        await asyncio.sleep(0)
        return self._blob(container, name).data

    async def blob_item(self, container: str, name: str) -> BlobItem | None:
        """Return what a listing says of one blob."""
        await asyncio.sleep(0)
        found = self._account.containers.get(container)
        blob = found.blobs.get(name) if found else None
        return None if blob is None else _item(name, blob)

    async def delete_blob(self, container: str, name: str) -> bool:
        """Delete a blob."""
        await asyncio.sleep(0)
        found = self._account.containers.get(container)
        blob = found.blobs.get(name) if found else None
        if found is None or blob is None:
            return False
        rules.check_leased_write(blob.lease, self._account.now(), None, f"blob {container}/{name}")
        del found.blobs[name]
        return True

    async def list_blobs(self, container: str, prefix: str) -> Sequence[BlobItem]:
        """Return the blobs whose name begins with ``prefix``."""
        await asyncio.sleep(0)
        found = self._account.containers.get(container)
        if found is None:
            return []
        names = sorted(name for name in found.blobs if name.startswith(prefix))
        return [_item(name, found.blobs[name]) for name in names]

    async def lease_state(self, container: str, name: str | None = None) -> BlobLease:
        """Return whether a blob or container is leased."""
        await asyncio.sleep(0)
        leased = self._leasable(container, name)
        return BlobLease(leased.lease is not None and leased.lease.is_active(self._account.now()), leased.etag)

    async def acquire_lease(self, container: str, name: str | None, *, lease_id: str, seconds: int) -> None:
        """Lease a blob or container."""
        await asyncio.sleep(0)
        leased, what = self._leasable(container, name), _what(container, name)
        leased.lease = rules.acquired(leased.lease, self._account.now(), lease_id, seconds, what)

    async def renew_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Start the time of a lease anew."""
        await asyncio.sleep(0)
        leased, what = self._leasable(container, name), _what(container, name)
        leased.lease = rules.renewed(leased.lease, self._account.now(), lease_id, what)

    async def change_lease(self, container: str, name: str | None, *, lease_id: str, new_lease_id: str) -> None:
        """Hand a lease to another id."""
        await asyncio.sleep(0)
        leased, what = self._leasable(container, name), _what(container, name)
        leased.lease = rules.changed(leased.lease, self._account.now(), lease_id, new_lease_id, what)

    async def release_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Give a lease back."""
        await asyncio.sleep(0)
        leased = self._leasable(container, name)
        rules.check_release(leased.lease, lease_id, _what(container, name))
        leased.lease = None

    def url_of(self, container: str, name: str) -> str:
        """Return an absolute URL that nothing answers to."""
        return rules.local_url(container, name)

    def _new_etag(self) -> ETag:
        return ETag(f'"0x{self._account.number():016X}"')

    def _container(self, container: str) -> _Container:
        try:
            return self._account.containers[container]
        except KeyError:
            raise BlobNotFound(f"there is no container {container}") from None

    def _blob(self, container: str, name: str) -> _Blob:
        try:
            return self._container(container).blobs[name]
        except KeyError:
            raise BlobNotFound(f"there is no blob {container}/{name}") from None

    def _leasable(self, container: str, name: str | None) -> _Container | _Blob:
        return self._container(container) if name is None else self._blob(container, name)


def _item(name: str, blob: _Blob) -> BlobItem:
    return BlobItem(name, len(blob.data), blob.etag)


def _what(container: str, name: str | None) -> str:
    return f"container {container}" if name is None else f"blob {container}/{name}"
