"""The History table: loading an execution, and committing what an episode adds to it.

A commit is a row of transactions of at most 99 events and the sentinel, whose ETag proves that nobody else wrote
since we read. When a transaction is refused, or its answer is lost, the stored rows tell whether it was ours (H9).

Source: DurableTask.AzureStorage, AzureTableTrackingStore.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.codec.history_rows import (
    EVENT_TYPE_COLUMN,
    EXECUTION_ID_COLUMN,
    TIMESTAMP_COLUMN,
    decode_event,
    decode_sentinel,
    encode_event,
    execution_of,
    offloaded_columns,
    rewound_columns,
    sentinel_columns,
)
from taskhub.codec.instance_rows import BlobUrls, blob_urls
from taskhub.codec.keys import SENTINEL, escape_instance_id, row_key
from taskhub.codec.overflow import EncodedRow
from taskhub.errors import RowChanged, RowExists, RowNotFound, StaleCheckpoint, TransientStorageError
from taskhub.model.ids import Utc
from taskhub.runtime.paging import pages_of
from taskhub.storage.port import MAX_BATCH_OPERATIONS, AllOf, AnyOf, Comparison, Row, TableWrite, Where, Write

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from taskhub.core.rewind import Edit
    from taskhub.model.history import HistoryEvent, OrchestrationInstance
    from taskhub.model.ids import ETag, ExecutionId, InstanceId
    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.runtime.large_values import LargeValues
    from taskhub.runtime.outages import StorageHealth
    from taskhub.storage.port import Filter, TableStore

MAX_BATCH_EVENTS = 99
"""The hundredth operation of a transaction is the sentinel."""

MAX_BATCH_BYTES = 3 * 1024 * 1024
"""By the reference's estimate, against the service's limit of 4 MiB."""


_NO_URLS = BlobUrls(None, None)


@dataclass(frozen=True, slots=True)
class StoredHistory:
    """An execution as stored."""

    execution_id: ExecutionId | None
    events: tuple[HistoryEvent, ...]
    etag: ETag | None
    """The sentinel's, ``None`` when there is none. Kept even when the events are another execution's (H7)."""
    is_complete: bool = True
    """Whether the last episode was stored to its end."""
    blobs: tuple[str, ...] = ()
    urls: BlobUrls = _NO_URLS
    """Where a large input and output lie, for the instance's row."""
    taken_requests: str | None = None
    """Ids of messages that an entity knows, or that earlier executions of an orchestration have taken."""


NO_HISTORY = StoredHistory(None, (), None)
"""Of an instance that has not begun."""


class HistoryStore:
    """See the module."""

    def __init__(
        self,
        tables: TableStore,
        names: HubNames,
        large: LargeValues,
        environment: Environment,
        health: StorageHealth,
    ) -> None:
        self._tables = tables
        self._table = names.history_table
        self._large = large
        self._environment = environment
        self._health = health

    async def load(self, instance_id: InstanceId, execution_id: ExecutionId | None = None) -> StoredHistory:
        """Return the history of an instance's current execution, or an empty one if that is not ``execution_id``."""
        loading = _Loading()
        async for rows in self._each_page(_rows_of(instance_id, execution_id)):
            loading.take(rows)
        sentinel = loading.sentinel
        if sentinel is None:
            # Rows without one are what a purge has not deleted yet, or had not when their page was read.
            return NO_HISTORY
        etag, guard, current = sentinel.etag, decode_sentinel(sentinel.columns), execution_of(sentinel.columns)
        if execution_id is not None and current != execution_id:
            return StoredHistory(current, (), etag, taken_requests=guard.taken_requests)
        if current != loading.execution_id:  # the rows are those of another execution
            loading = _Loading()
        blobs = loading.blobs
        events = loading.finish(await self._large.get_all(blobs) if blobs else {})
        return StoredHistory(
            execution_id=current,
            events=events,
            etag=etag,
            is_complete=guard.is_complete,
            blobs=tuple(blobs),
            urls=loading.urls(events, self._large.url_of) if blobs else _NO_URLS,
            taken_requests=guard.taken_requests,
        )

    async def execution_of(self, instance_id: InstanceId) -> ExecutionId | None:
        """Return the execution that an instance's history belongs to."""
        sentinel = await self._read(escape_instance_id(instance_id), SENTINEL)
        return None if sentinel is None else execution_of(sentinel.columns)

    def encode(
        self, instance: OrchestrationInstance, events: Sequence[HistoryEvent], *, first_index: int
    ) -> tuple[EncodedRow, ...]:
        """Return the rows of an episode's events; stores nothing.

        Args:
            instance: whose they are.
            events: in order.
            first_index: row of the first of them.

        Raises:
            PayloadError: an event holds what no row can.
        """
        execution_id = _execution(instance)
        return tuple(
            encode_event(
                event,
                instance_id=instance.instance_id,
                execution_id=execution_id,
                index=first_index + offset,
                is_played=event.is_played,
                new_suffix=lambda: self._environment.random.getrandbits(31),
            )
            for offset, event in enumerate(events)
        )

    async def commit(
        self,
        instance: OrchestrationInstance,
        rows: Sequence[EncodedRow],
        *,
        etag: ETag | None,
        give_up: Callable[[], bool],
        is_complete: bool = True,
        taken_requests: str | None = None,
        clears: int = 0,
    ) -> ETag | None:
        """Store an episode's rows; return the sentinel's new ETag.

        Args:
            instance: whose they are.
            rows: of :meth:`encode`.
            etag: the sentinel's as last seen; ``None`` when there was none.
            give_up: asked when the storage does not answer: whether to stop trying.
            is_complete: whether the episode ends with them.
            taken_requests: as in :class:`StoredHistory`; ``None`` leaves what is stored.
            clears: index after the last row that is stored; those after ours are deleted, as far as they fit into the
                last transaction. (Others are left behind, as the reference leaves all of them, and are never read.)

        Raises:
            StaleCheckpoint: somebody else wrote in between; nothing of ours may be assumed stored.
            TransientStorageError: the storage did not answer until ``give_up``; the events may be stored in part.
        """
        partition_key = escape_instance_id(instance.instance_id)
        batches = list(_batches(rows))
        for number, batch in enumerate(batches, start=1):
            values = [value for row in batch for value in row.offloaded]
            if values:  # no call is no sign of the storage's health
                await self._health.retry(lambda values=values: self._large.put_all(values), give_up=give_up)  # type: ignore[misc]  # binds
            flush = _Flush(
                partition_key,
                _execution(instance),
                batch,
                completes=is_complete and number == len(batches),
                taken_requests=taken_requests,
                drops=_rows_after(batch, clears) if number == len(batches) else (),
            )
            etag = await self._flush(flush, etag, give_up)
        return etag

    async def rewind(self, instance_id: InstanceId, execution_id: ExecutionId, edits: Sequence[Edit]) -> None:
        """Make tombstones of events, in the order given. The sentinel stays as it is.

        Raises:
            StaleCheckpoint: the rows are not, or no longer, those events of that execution.
        """
        partition_key = escape_instance_id(instance_id)
        mine = Where("PartitionKey", Comparison.EQ, partition_key)
        of_execution = Where(EXECUTION_ID_COLUMN, Comparison.EQ, execution_id)
        rows = await self._pages(AllOf((mine, of_execution)), select=(EVENT_TYPE_COLUMN,)) if edits else []
        types = {row.row_key: row for row in rows}
        merges = []
        for edit in edits:
            row = types.get(row_key(edit.index))
            if row is None or row.columns.get(EVENT_TYPE_COLUMN) != edit.type_name:
                raise StaleCheckpoint(f"instance '{instance_id}' was changed by somebody else while it was rewound")
            columns = rewound_columns(edit.type_name, entombs=edit.entombs)
            merges.append(TableWrite(Write.MERGE, Row(partition_key, row.row_key, columns), if_match=row.etag))
        for start in range(0, len(merges), MAX_BATCH_OPERATIONS):
            part = merges[start : start + MAX_BATCH_OPERATIONS]
            try:
                await self._tables.batch(self._table, part)
            except (RowChanged, RowNotFound) as error:
                # A reply may have been lost, and the batch been sent once more.
                if not await self._has_all(AllOf((mine, of_execution)), part):
                    raise StaleCheckpoint(
                        f"instance '{instance_id}' was changed by somebody else while it was rewound"
                    ) from error

    async def _has_all(self, where: AllOf, merges: Sequence[TableWrite]) -> bool:
        """Return whether all rows are as they were to become."""
        wanted = {merge.row.row_key: merge.row.columns for merge in merges}
        names = tuple({name for columns in wanted.values() for name in columns})
        rows = {row.row_key: row.columns for row in await self._pages(where, select=names)}
        return all(columns.items() <= rows.get(key, {}).items() for key, columns in wanted.items())

    async def delete(self, instance_id: InstanceId, *, only: ExecutionId | None = None) -> int:
        """Delete all rows of an instance, of older generations too; return how many there were.

        The sentinel goes first, if it is as it was read. A worker that holds the instance cannot commit from then on,
        and rows of an execution that begins meanwhile have other ETags.

        Args:
            instance_id: which one.
            only: the execution that must be current, ``None`` for any.

        Raises:
            StaleCheckpoint: a worker committed in between; nothing was deleted.
        """
        partition_key = escape_instance_id(instance_id)
        rows = await self._pages(Where("PartitionKey", Comparison.EQ, partition_key), select=(EXECUTION_ID_COLUMN,))
        rows.sort(key=lambda row: row.row_key != SENTINEL)
        if only is not None and rows and execution_of(rows[0].columns) != only:
            raise StaleCheckpoint(f"instance '{instance_id}' is in another execution")
        deletes = [TableWrite(Write.DELETE, Row(partition_key, row.row_key, {}), if_match=row.etag) for row in rows]
        for start in range(0, len(deletes), MAX_BATCH_OPERATIONS):
            batch = deletes[start : start + MAX_BATCH_OPERATIONS]
            try:
                await self._tables.batch(self._table, batch)
            except (RowChanged, RowNotFound) as error:
                if start == 0 and isinstance(error, RowChanged):
                    raise StaleCheckpoint(f"instance '{instance_id}' was written while it was purged") from error
                for delete in batch:
                    with contextlib.suppress(RowChanged, RowNotFound):
                        await self._tables.write(self._table, delete)
        return len(rows)

    async def _flush(self, flush: _Flush, etag: ETag | None, give_up: Callable[[], bool]) -> ETag | None:
        """Write one transaction; return the sentinel's new ETag."""
        attempt = 0
        while True:
            operations = flush.operations(etag, now=Utc.of(self._environment.clock.now()))
            try:
                etags = await self._tables.batch(self._table, operations)
            except (RowChanged, RowExists, RowNotFound) as error:
                return await self._settle(flush, error)
            except TransientStorageError as error:
                self._health.failed(error)
                attempt += 1
                await self._health.pause(attempt, error)
                if give_up():
                    raise
                # Our own success may be what a second attempt would be refused for: that is settled then.
            else:
                return etags[-1]

    async def _settle(self, flush: _Flush, refusal: Exception) -> ETag | None:
        """Return the sentinel's ETag if the refused transaction is stored after all.

        The sentinel is read first: if somebody wrote on top of ours after that, our next write is refused; if before,
        the row after our last one exists.

        Raises:
            StaleCheckpoint: the stored rows are not ours, or not the last.
        """
        stale = StaleCheckpoint(f"history of '{flush.partition_key}' was written by another worker: {refusal}")
        sentinel = await self._read(flush.partition_key, SENTINEL)
        if sentinel is None or execution_of(sentinel.columns) != flush.execution_id:
            raise stale from refusal
        first, last = flush.rows[0], flush.rows[-1]
        ends = (last,) if first is last else (first, last)
        stored = [await self._read(flush.partition_key, row.row_key) for row in ends]
        following = await self._read(flush.partition_key, row_key(int(last.row_key, 16) + 1))
        # The first as well: the last one may tell the time of a message, which another worker has read, too.
        is_ours = all(
            row is not None and all(row.columns.get(name) == ours.columns.get(name) for name in _IDENTITY)
            for row, ours in zip(stored, ends, strict=True)
        )
        is_last = following is None or execution_of(following.columns) != flush.execution_id
        if not is_ours or not is_last:
            raise stale from refusal
        return sentinel.etag

    async def _read(self, partition_key: str, key: str) -> Row | None:
        return await self._tables.read(self._table, partition_key, key)

    async def _pages(self, where: Filter, *, select: Sequence[str] | None = None) -> list[Row]:
        return [row async for rows in self._each_page(where, select=select) for row in rows]

    def _each_page(self, where: Filter, *, select: Sequence[str] | None = None) -> AsyncIterator[Sequence[Row]]:
        return pages_of(self._tables, self._table, where, select=select)


_IDENTITY = (EXECUTION_ID_COLUMN, EVENT_TYPE_COLUMN, TIMESTAMP_COLUMN)
"""Columns by which a row is known to be ours."""


class _Loading:
    """A history on its way into memory: each page is decoded as it comes and then let go.

    So a long history is in memory once, and never holds the event loop for longer than a page takes.
    """

    def __init__(self) -> None:
        self.sentinel: Row | None = None
        self.execution_id: ExecutionId | None = None
        """Of the first row. Rows of longer, older generations may follow those of that execution."""
        self._events: list[HistoryEvent | None] = []
        self._large: dict[int, Row] = {}
        """Rows that need values from blobs, by the index of their event."""
        self._is_over = False

    @property
    def blobs(self) -> list[str]:
        """Names of the blobs of all values."""
        return list({name: "" for row in self._large.values() for name in offloaded_columns(row.columns).values()})

    def take(self, rows: Sequence[Row]) -> None:
        """Take the next rows, in the order of their keys."""
        for row in rows:
            if row.row_key == SENTINEL:
                self.sentinel = row
            elif not self._is_over:
                self._take(row)

    def finish(self, texts: dict[str, str]) -> tuple[HistoryEvent, ...]:
        """Return the events, given the texts of all blobs."""
        for index, row in self._large.items():
            large = {column: texts[name] for column, name in offloaded_columns(row.columns).items()}
            self._events[index] = decode_event(row.columns, large)
        return tuple(event for event in self._events if event is not None)

    def urls(self, events: Sequence[HistoryEvent], url_of: Callable[[str], str]) -> BlobUrls:
        """Return where a large input and output lie."""
        rows = (
            EncodedRow(row_key(index), dict(self._large[index].columns) if index in self._large else {})
            for index in range(len(events))
        )
        return blob_urls(events, rows, url_of)

    def _take(self, row: Row) -> None:
        execution_id = execution_of(row.columns)
        if not self._events:
            self.execution_id = execution_id
        elif execution_id != self.execution_id:
            self._is_over = True
            return
        if offloaded_columns(row.columns):
            self._large[len(self._events)] = row
            self._events.append(None)
        else:
            self._events.append(decode_event(row.columns))


def _rows_of(instance_id: InstanceId, execution_id: ExecutionId | None) -> Filter:
    mine = Where("PartitionKey", Comparison.EQ, escape_instance_id(instance_id))
    if execution_id is None:
        return mine
    is_sentinel = Where("RowKey", Comparison.EQ, SENTINEL)
    of_execution = Where(EXECUTION_ID_COLUMN, Comparison.EQ, execution_id)
    return AllOf((mine, AnyOf((is_sentinel, of_execution))))


@dataclass(frozen=True, slots=True)
class _Flush:
    """One transaction of a commit."""

    partition_key: str
    execution_id: ExecutionId
    rows: tuple[EncodedRow, ...]
    completes: bool
    """Whether the episode ends with it."""
    taken_requests: str | None
    drops: tuple[str, ...] = ()
    """Keys of rows to delete."""

    def operations(self, etag: ETag | None, *, now: Utc) -> list[TableWrite]:
        """Return its operations: the events, what they leave behind, then the sentinel."""
        operations = [
            TableWrite(Write.INSERT_OR_REPLACE, Row(self.partition_key, row.row_key, row.columns)) for row in self.rows
        ]
        operations += [TableWrite(Write.DELETE, Row(self.partition_key, key, {})) for key in self.drops]
        columns = sentinel_columns(
            self.execution_id,
            complete=self.completes,
            completed_at=now if self.completes else None,
            taken_requests=self.taken_requests,
        )
        sentinel = Row(self.partition_key, SENTINEL, columns)
        kind = Write.INSERT if etag is None else Write.MERGE
        operations.append(TableWrite(kind, sentinel, if_match=etag))
        return operations


def _execution(instance: OrchestrationInstance) -> ExecutionId:
    if instance.execution_id is None:
        raise ValueError("a history belongs to an execution")
    return instance.execution_id


def _rows_after(batch: Sequence[EncodedRow], end: int) -> tuple[str, ...]:
    """Return the keys of the rows behind a batch up to an index, as many as one more transaction may delete."""
    first = int(batch[-1].row_key, 16) + 1 if batch else 0
    return tuple(row_key(index) for index in range(first, min(end, first + MAX_BATCH_EVENTS - len(batch))))


def _batches(rows: Sequence[EncodedRow]) -> list[tuple[EncodedRow, ...]]:
    batches: list[tuple[EncodedRow, ...]] = []
    batch: list[EncodedRow] = []
    size = 0
    for row in rows:
        if batch and (len(batch) == MAX_BATCH_EVENTS or size + row.size > MAX_BATCH_BYTES):
            batches.append(tuple(batch))
            batch, size = [], 0
        batch.append(row)
        size += row.size
    batches.append(tuple(batch))
    return batches
