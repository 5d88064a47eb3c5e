"""Storage in one SQLite file: the embedded store, for one machine and any number of its processes.

How it works:

* Everything is in the file: messages with their receipts and times, rows with their ETags, leases. A process
  keeps nothing that another must know, so processes need no other contact, and one that is killed at any
  instruction leaves a consistent file behind (write-ahead log).
* A process has one connection, and its *desk* works it on the event loop, in groups: first the reads of all
  calls that wait, then their writes in one transaction. A call returns after its commit, so many calls share
  the price of one. No thread: each statement would fight the loop for Python's lock.
* Each write decides first and writes then: what it raises (a changed row, a lost receipt) is its caller's
  answer and leaves no trace in the group's transaction. An error of the file itself fails the whole group.
* Nothing here waits on the loop: when another process is writing, the desk tries again a moment later; copying
  the log back into the file (a checkpoint, the one thing that syncs to disk) is done by a thread, between groups.
* Times are whole microseconds since 1970 from the given clock; processes of one machine share it.

The reasons, and what would change our mind: docs/adr/0002-sqlite-layout.md. The rules of the service are in
:mod:`taskhub.storage.rules`, shared with ``memory``.
"""

from __future__ import annotations

import asyncio
import json
import logging
import random
import sqlite3
import threading
from collections import deque
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from taskhub.errors import (
    BlobExists,
    BlobNotFound,
    ConfigurationError,
    MessageGone,
    QueueNotFound,
    StorageError,
    StorageRefused,
    TableNotFound,
    TransientStorageError,
)
from taskhub.model.ids import ETag, Utc
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
    Write,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from taskhub.storage.port import Filter, TableWrite

_log = logging.getLogger(__name__)

APPLICATION_ID = 0x7461736B
"""In the file's header: "task". Tells our files from other programs' SQLite files."""

SCHEMA_VERSION = 1

BUSY_SECONDS = 10
"""How long a call waits for other processes before it fails as transient."""

RETRY_SECONDS = (0.0005, 0.003)
"""When a call looks again whether another process has finished; drawn between these. A transaction takes 0.1 ms."""

MAX_GROUP = 64
"""Calls in one transaction: bounds how long they keep the event loop, about 2 ms."""

CHECKPOINT_CHANGES = 2_000
"""Rows that this process changes before it copies the log back; some ten megabytes of log."""

MAX_SCANNED_ROWS = 2_000
"""Rows that one page of a query looks at: bounds how long a scan keeps other calls waiting."""

_SCHEMA = (
    "CREATE TABLE queues (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
    # The id is a message's id and never used again; the version is its receipt.
    """CREATE TABLE messages (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue INTEGER NOT NULL,
        visible_at INTEGER NOT NULL,
        version INTEGER NOT NULL DEFAULT 1,
        dequeue_count INTEGER NOT NULL DEFAULT 0,
        inserted INTEGER NOT NULL,
        text TEXT NOT NULL
    )""",
    "CREATE INDEX messages_by_time ON messages (queue, visible_at)",
    "CREATE TABLE tables (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE)",
    # Keys are rules.order_key, so that the index has the service's order; columns are JSON, a time is {"t": ...}.
    """CREATE TABLE rows (
        tbl INTEGER NOT NULL,
        partition_key BLOB NOT NULL,
        row_key BLOB NOT NULL,
        etag INTEGER NOT NULL,
        columns TEXT NOT NULL,
        PRIMARY KEY (tbl, partition_key, row_key)
    ) WITHOUT ROWID""",
    """CREATE TABLE containers (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        etag INTEGER NOT NULL,
        lease_id TEXT,
        lease_seconds INTEGER,
        lease_expires INTEGER
    )""",
    """CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        container INTEGER NOT NULL,
        name TEXT NOT NULL,
        etag INTEGER NOT NULL,
        lease_id TEXT,
        lease_seconds INTEGER,
        lease_expires INTEGER,
        data BLOB NOT NULL,
        UNIQUE (container, name)
    )""",
)


def _system_now() -> datetime:
    return datetime.now(timezone.utc)


async def open_sqlite(path: Path, *, now: Callable[[], datetime] = _system_now) -> Storage:
    """Open the embedded store in a file, which is made with its folder when there is none.

    Args:
        path: the file; two more appear beside it while it is in use (``-wal``, ``-shm``).
        now: the clock, aware UTC.

    Raises:
        ConfigurationError: the file is no store of ours, or cannot be written; the message has the path and the fix.
        TransientStorageError: the disk is full, or other processes kept the file busy.
    """
    desk = _Desk(path, now, await asyncio.to_thread(_connect, path))
    return Storage(
        queues=SqliteQueues(desk),
        tables=SqliteTables(desk),
        blobs=SqliteBlobs(desk),
        description=f"embedded store {path}",
        closing=desk.close,
        fails_as_one=True,
    )


# ---- the desk: one connection, groups of calls

T = TypeVar("T")


class _NeedsTransaction(Exception):
    """A call that began as a read found something to write."""


class _Busy(Exception):
    """Another process is writing; the cause is SQLite's word for it."""


class _Job(Generic[T]):
    """A call that waits for the desk: what to do outside of a transaction, what within one."""

    __slots__ = ("future", "read", "write")

    def __init__(
        self,
        future: asyncio.Future[T],
        read: Callable[[sqlite3.Connection], T] | None,
        write: Callable[[sqlite3.Connection], T] | None,
    ) -> None:
        self.future = future
        self.read = read
        self.write = write

    def answer(self, answer: object) -> None:
        """Hand the result, or the exception, to the task that waits for it."""
        if self.future.done():  # cancelled
            return
        if isinstance(answer, Exception):
            self.future.set_exception(answer)
        else:
            self.future.set_result(answer)  # type: ignore[arg-type]  # a job's own result


class _Desk:
    """Owns the connection; does everything that is done with it."""

    def __init__(self, path: Path, now: Callable[[], datetime], connection: sqlite3.Connection) -> None:
        self.path = path
        self._now = now
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._random = random.Random()
        self._jobs: deque[_Job[Any]] = deque()
        self._scheduled = False
        self._busy_since: float | None = None
        self._changes_at_checkpoint = connection.total_changes
        self._checkpoint: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        state = "closed" if self._closing is not None else "open"
        return f"<sqlite {self.path} {state}, {len(self._jobs)} calls waiting>"

    def micros(self) -> int:
        """Return the time in microseconds since 1970."""
        return (self._now() - _EPOCH) // _MICROSECOND

    def etag(self) -> int:
        """Return a number that no row or blob had before: a row that is deleted and made again has another."""
        return self._random.getrandbits(63)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something that changes nothing."""
        return await self._do(work, None)

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something within a transaction; return after its commit."""
        return await self._do(None, work)

    async def read_or_write(
        self, look: Callable[[sqlite3.Connection], T], work: Callable[[sqlite3.Connection], T]
    ) -> T:
        """Do ``look`` without a transaction, and ``work`` within one if it raised ``_NeedsTransaction``."""
        return await self._do(look, work)

    async def close(self) -> None:
        """Finish the calls that wait, then let go of the file."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close(), name=f"close {self.path}")
        await asyncio.shield(self._closing)

    async def _do(
        self, read: Callable[[sqlite3.Connection], T] | None, write: Callable[[sqlite3.Connection], T] | None
    ) -> T:
        if self._closing is not None:
            raise RuntimeError(f"the store {self.path} was closed")
        if asyncio.get_running_loop() is not self._loop:
            raise RuntimeError(f"the store {self.path} was opened by another event loop")
        job: _Job[T] = _Job(self._loop.create_future(), read, write)
        self._jobs.append(job)
        self._idle.clear()
        self._schedule()
        return await job.future

    async def _close(self) -> None:
        await self._idle.wait()
        if self._checkpoint is not None:
            await self._checkpoint
        # The last process to close copies the log back and removes it.
        await asyncio.to_thread(self._connection.close)

    def _schedule(self) -> None:
        """See to it that the desk looks at its calls after the tasks that are ready now: their calls join the group."""
        if self._jobs and not self._scheduled and self._checkpoint is None:
            self._scheduled = True
            self._loop.call_soon(self._serve)

    def _serve(self) -> None:
        self._scheduled = False
        group = [self._jobs.popleft() for _ in range(min(len(self._jobs), MAX_GROUP))]
        undone = [job for job in group if not job.future.cancelled()]
        try:
            undone = self._do_reads(undone)
            if undone:
                self._do_writes(undone)
            self._busy_since = None
        except _Busy as busy:
            self._try_again(undone, busy)
            return
        except Exception as error:  # our own mistake: the callers' to see, the desk goes on
            for job in undone:
                job.answer(error)
        if self._connection.total_changes - self._changes_at_checkpoint > CHECKPOINT_CHANGES:
            self._checkpoint = self._loop.create_task(self._copy_log_back(), name=f"checkpoint {self.path}")
        if not self._jobs:
            self._idle.set()
        self._schedule()

    def _do_reads(self, jobs: Sequence[_Job[Any]]) -> list[_Job[Any]]:
        """Answer the calls that need no transaction; return the others."""
        writes: list[_Job[Any]] = []
        for job in jobs:
            if job.read is None:
                writes.append(job)
                continue
            try:
                job.answer(job.read(self._connection))
            except _NeedsTransaction:
                writes.append(job)
            except Exception as error:  # the port's errors, the file's, our own mistakes: this caller's to see
                if isinstance(error, sqlite3.Error):
                    if _is_busy(error):
                        raise _Busy from error
                    if str(error) in _FAILURES:
                        error = _storage_error(error, self.path)
                job.answer(error)
        return writes

    def _do_writes(self, jobs: Sequence[_Job[Any]]) -> None:
        """Carry out calls in one transaction, then answer them."""
        answers: list[object] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job in jobs:
                assert job.write is not None
                try:
                    answers.append(job.write(self._connection))
                except StorageError as error:  # decided before anything was written
                    answers.append(error)
            self._connection.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            if isinstance(error, sqlite3.Error) and str(error) in _FAILURES:  # the file's trouble, hence everybody's
                if _is_busy(error):
                    raise _Busy from error
                answers = [_storage_error(error, self.path) for _ in jobs]
            elif len(jobs) > 1:  # our own mistake in one call: the others shall not suffer
                for job in jobs:
                    self._do_writes([job])
                return
            else:
                answers = [error]
        for job, answer in zip(jobs, answers, strict=True):
            job.answer(answer)

    def _roll_back(self) -> None:
        if self._connection.in_transaction:  # SQLite may have done it already, as when the disk is full
            self._connection.execute("ROLLBACK")

    def _try_again(self, jobs: Sequence[_Job[Any]], busy: _Busy) -> None:
        """Come back to calls in a moment, or fail them when other processes have kept the file for too long."""
        now = self._loop.time()
        if self._busy_since is None:
            self._busy_since = now
        if now - self._busy_since > BUSY_SECONDS:
            self._busy_since = None
            for job in jobs:
                job.answer(_storage_error(busy.__cause__, self.path))
        else:
            # In front, but for those that were answered; not at once, and not when everybody else comes back.
            self._jobs.extendleft(job for job in reversed(jobs) if not job.future.done())
        self._scheduled = True
        self._loop.call_later(self._random.uniform(*RETRY_SECONDS), self._serve)

    async def _copy_log_back(self) -> None:
        """Copy the log into the file, in a thread, while calls wait: so the log is empty then and starts anew."""

        def checkpoint() -> None:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

        try:
            await asyncio.to_thread(checkpoint)
        except sqlite3.Error as error:
            # Nothing is lost, the log grows; the next call will meet whatever is wrong with the disk.
            _log.warning("checkpoint of the embedded store %s failed: %s", self.path, error)
        finally:
            self._changes_at_checkpoint = self._connection.total_changes
            self._checkpoint = None
            self._schedule()


# ---- the file

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def _moment(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _connect(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"the folder of the embedded store {path} cannot be made ({error.strerror}): choose another place"
        ) from error
    try:
        connection = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256, check_same_thread=False
        )
    except sqlite3.Error as error:
        raise _opening_error(error, path) from error
    try:
        _prepare(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise _opening_error(error, path) from error
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    # Who is first: asking for the log mode may fail as busy without waiting, so it stands within no race.
    if _pragma(connection, "application_id") != APPLICATION_ID:
        connection.execute("BEGIN IMMEDIATE")
        if _pragma(connection, "application_id") != APPLICATION_ID:
            if connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
                raise ConfigurationError(
                    f"{path} is a SQLite database of another program: choose another file for the embedded store"
                )
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("COMMIT")
    version = _pragma(connection, "user_version")
    if version != SCHEMA_VERSION:
        raise ConfigurationError(
            f"the embedded store {path} has layout {version}, this version of taskhub knows {SCHEMA_VERSION}: "
            "use the taskhub that made it, or another file"
        )
    _use_write_ahead_log(connection)
    # A write that changes nothing: a file that this user may only read shows itself here, not at the first message.
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
    # NORMAL: what was committed survives the process whenever it dies; a power cut may take the last commits,
    # never the file's consistency.
    connection.execute("PRAGMA synchronous = NORMAL")
    # Checkpoints are the desk's business; this is for a process that writes much in few rows.
    connection.execute(f"PRAGMA wal_autocheckpoint = {8 * CHECKPOINT_CHANGES}")
    # From here on the event loop must never wait for another process.
    connection.execute("PRAGMA busy_timeout = 0")


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switch the file to the write-ahead log; a property of the file, so usually it is set already."""
    patience = threading.Event()
    for _ in range(BUSY_SECONDS * 100):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            # SQLite does not wait here as it does elsewhere.
            if not _is_busy(error):
                raise
        patience.wait(0.01)
    raise sqlite3.OperationalError(_LOCKED)


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value


def _opening_error(error: sqlite3.Error, path: Path) -> ConfigurationError | StorageError:
    """Return what to raise when the file cannot be opened."""
    mapped = _storage_error(error, path)
    return ConfigurationError(str(mapped)) if isinstance(mapped, StorageRefused) else mapped


_LOCKED = "database is locked"


def _is_busy(error: sqlite3.Error) -> bool:
    return str(error) == _LOCKED


# SQLite's texts are the same in all versions; its codes reach Python only from 3.11 on.
_FAILURES: Mapping[str, tuple[type[StorageError], str]] = {
    _LOCKED: (
        TransientStorageError,
        f"the embedded store {{path}} was kept busy by other processes for {BUSY_SECONDS} s",
    ),
    "database or disk is full": (
        TransientStorageError,
        "no space left for the embedded store {path}: make room on its disk",
    ),
    "disk I/O error": (TransientStorageError, "the disk failed to read or write the embedded store {path}"),
    "file is not a database": (
        StorageRefused,
        "{path} is not a SQLite database: choose another file for the embedded store, or remove it",
    ),
    "database disk image is malformed": (
        StorageRefused,
        "the embedded store {path} is damaged: restore a copy, or remove it to start anew",
    ),
    "attempt to write a readonly database": (
        StorageRefused,
        "the embedded store {path} is read-only: make the file and its folder writable for this user",
    ),
    "unable to open database file": (
        StorageRefused,
        "the embedded store {path} cannot be opened: check that it is a file and that this user may write its folder",
    ),
}


def _storage_error(error: BaseException | None, path: Path) -> StorageError:
    """Return the port's error for one of SQLite's."""
    kind, text = _FAILURES.get(str(error), (None, ""))
    if kind is None:
        kind, text = StorageRefused, "the embedded store {path} failed: {error}"
    mapped = kind(text.format(path=path, error=error))
    mapped.__cause__ = error
    return mapped


# ---- queues


class SqliteQueues:
    """See :class:`~taskhub.storage.port.QueueStore`."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    async def create_queue(self, queue: str) -> bool:
        """Create a queue unless it exists."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("INSERT INTO queues (name) VALUES (?) ON CONFLICT DO NOTHING", (queue,)).rowcount > 0

        return await self._desk.write(work)

    async def delete_queue(self, queue: str) -> bool:
        """Delete a queue with its messages."""

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM messages WHERE queue = (SELECT id FROM queues WHERE name = ?)", (queue,))
            return db.execute("DELETE FROM queues WHERE name = ?", (queue,)).rowcount > 0

        return await self._desk.write(work)

    async def list_queues(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with ``prefix``."""

        def work(db: sqlite3.Connection) -> Sequence[str]:
            names = db.execute("SELECT name FROM queues WHERE name >= ? ORDER BY name", (prefix,))
            return [name for (name,) in names if name.startswith(prefix)]

        return await self._desk.read(work)

    async def put(self, queue: str, text: str, *, visible_after: int = 0) -> PutReceipt:
        """Add a message."""
        rules.check_message_text(text)
        rules.check_visible_after(visible_after)

        def work(db: sqlite3.Connection) -> PutReceipt:
            now = self._desk.micros()
            visible_at = now + visible_after * 1_000_000
            cursor = db.execute(
                "INSERT INTO messages (queue, visible_at, inserted, text) "
                "SELECT id, ?, ?, ? FROM queues WHERE name = ?",
                (visible_at, now, text, queue),
            )
            if cursor.rowcount == 0:
                raise _no_queue(queue)
            return PutReceipt(str(cursor.lastrowid), "1", _moment(visible_at))

        return await self._desk.write(work)

    async def get(self, queue: str, *, limit: int, invisible_for: int) -> Sequence[QueueMessage]:
        """Take visible messages, in the order in which they became visible."""
        rules.check_get(limit, invisible_for)

        def look(db: sqlite3.Connection) -> Sequence[QueueMessage]:
            # Looking into an empty queue, the commonest call of an idle hub, takes no lock and writes nothing.
            found = db.execute(
                "SELECT 1 FROM messages WHERE queue = ? AND visible_at <= ? LIMIT 1",
                (_queue_id(db, queue), self._desk.micros()),
            )
            if found.fetchone() is not None:
                raise _NeedsTransaction
            return []

        def work(db: sqlite3.Connection) -> Sequence[QueueMessage]:
            now = self._desk.micros()
            visible_at = now + invisible_for * 1_000_000
            found = db.execute(
                "SELECT id, version, dequeue_count, inserted, text FROM messages "
                "WHERE queue = ? AND visible_at <= ? ORDER BY visible_at, id LIMIT ?",
                (_queue_id(db, queue), now, limit),
            ).fetchall()
            db.executemany(
                "UPDATE messages SET visible_at = ?, version = version + 1, dequeue_count = dequeue_count + 1 "
                "WHERE id = ?",
                [(visible_at, message[0]) for message in found],
            )
            return [
                QueueMessage(
                    id=str(number),
                    receipt=str(version + 1),
                    text=text,
                    dequeue_count=dequeue_count + 1,
                    inserted=_moment(inserted),
                    next_visible=_moment(visible_at),
                )
                for number, version, dequeue_count, inserted, text in found
            ]

        return await self._desk.read_or_write(look, work)

    async def update(
        self, queue: str, message_id: str, receipt: str, *, visible_after: int, text: str | None = None
    ) -> PutReceipt:
        """Change when a message becomes visible, and its text."""
        if text is not None:
            rules.check_message_text(text)
        rules.check_visible_after(visible_after)

        def work(db: sqlite3.Connection) -> PutReceipt:
            number, version = self._held(db, queue, message_id, receipt)
            visible_at = self._desk.micros() + visible_after * 1_000_000
            db.execute(
                "UPDATE messages SET visible_at = ?, version = ?, text = coalesce(?, text) WHERE id = ?",
                (visible_at, version + 1, text, number),
            )
            return PutReceipt(message_id, str(version + 1), _moment(visible_at))

        return await self._desk.write(work)

    async def delete(self, queue: str, message_id: str, receipt: str) -> None:
        """Delete a message."""

        def work(db: sqlite3.Connection) -> None:
            number, _ = self._held(db, queue, message_id, receipt)
            db.execute("DELETE FROM messages WHERE id = ?", (number,))

        await self._desk.write(work)

    async def count(self, queue: str) -> int:
        """Return how many messages the queue holds."""

        def work(db: sqlite3.Connection) -> int:
            found = db.execute("SELECT count(*) FROM messages WHERE queue = ?", (_queue_id(db, queue),))
            number: int = found.fetchone()[0]
            return number

        return await self._desk.read(work)

    async def snapshot(self, queue: str) -> Sequence[StoredMessage]:
        """Return all messages without taking them."""

        def work(db: sqlite3.Connection) -> Sequence[StoredMessage]:
            found = db.execute(
                "SELECT text, dequeue_count, inserted, visible_at FROM messages WHERE queue = ? "
                "ORDER BY visible_at, id",
                (_queue_id(db, queue),),
            )
            return [
                StoredMessage(text, dequeue_count, _moment(inserted), _moment(visible_at))
                for text, dequeue_count, inserted, visible_at in found
            ]

        return await self._desk.read(work)

    def _held(self, db: sqlite3.Connection, queue: str, message_id: str, receipt: str) -> tuple[int, int]:
        """Return a message's number and version; raise unless the receipt is its newest."""
        found = db.execute(
            "SELECT id, version FROM messages WHERE id = ? AND queue = ?", (message_id, _queue_id(db, queue))
        ).fetchone()
        if found is None:
            raise MessageGone(f"message {message_id} of queue {queue} was deleted")
        if receipt != str(found[1]):
            raise MessageGone(f"message {message_id} of queue {queue} was read or updated by somebody else since")
        return found[0], found[1]


def _no_queue(queue: str) -> QueueNotFound:
    return QueueNotFound(f"there is no queue {queue}")


def _queue_id(db: sqlite3.Connection, queue: str) -> int:
    found = db.execute("SELECT id FROM queues WHERE name = ?", (queue,)).fetchone()
    if found is None:
        raise _no_queue(queue)
    number: int = found[0]
    return number


# ---- tables

_encode_json = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=(",", ":")).encode

_AFTER_ALL_KEYS = b"\xff"


def _encode_columns(columns: Mapping[str, TableValue]) -> str:
    return _encode_json({name: {"t": value} if isinstance(value, Utc) else value for name, value in columns.items()})


def _decode_columns(text: str) -> dict[str, TableValue]:
    columns: dict[str, Any] = json.loads(text)
    for name, value in columns.items():
        if type(value) is dict:
            columns[name] = Utc(value["t"])
    return columns


def _etag_text(number: int) -> ETag:
    return ETag(f'W/"{number:016x}"')


class SqliteTables:
    """See :class:`~taskhub.storage.port.TableStore`."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    async def create_table(self, table: str) -> bool:
        """Create a table unless it exists."""

        def work(db: sqlite3.Connection) -> bool:
            inserted = db.execute("INSERT INTO tables (name) VALUES (?) ON CONFLICT DO NOTHING", (table.lower(),))
            return inserted.rowcount > 0

        return await self._desk.write(work)

    async def delete_table(self, table: str) -> bool:
        """Delete a table with its rows."""

        def work(db: sqlite3.Connection) -> bool:
            db.execute("DELETE FROM rows WHERE tbl = (SELECT id FROM tables WHERE name = ?)", (table.lower(),))
            return db.execute("DELETE FROM tables WHERE name = ?", (table.lower(),)).rowcount > 0

        return await self._desk.write(work)

    async def table_exists(self, table: str) -> bool:
        """Return whether the table exists."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("SELECT 1 FROM tables WHERE name = ?", (table.lower(),)).fetchone() is not None

        return await self._desk.read(work)

    async def read(self, table: str, partition_key: str, row_key: str) -> Row | None:
        """Return one row."""

        def work(db: sqlite3.Connection) -> Row | None:
            found = _stored_row(db, _table_id(db, table), partition_key, row_key)
            return found and Row(partition_key, row_key, _decode_columns(found[1]), _etag_text(found[0]))

        return await self._desk.read(work)

    async def query(
        self,
        table: str,
        where: Filter | None = None,
        *,
        select: Sequence[str] | None = None,
        top: int | None = None,
        token: str | None = None,
    ) -> Page:
        """Return one page. It is short when few of many rows pass the filter."""
        rules.check_page(top)
        limit = top or rules.MAX_PAGE_ROWS
        passes = rules.predicate(where)
        keys = rules.partition_range(where)
        start = (keys.low or b"", b"")
        if token is not None:
            first, second = rules.keys_of_token(token)
            start = max(start, (rules.order_key(first), rules.order_key(second)))

        def work(db: sqlite3.Connection) -> Page:
            found = db.execute(
                "SELECT partition_key, row_key, etag, columns FROM rows "
                "WHERE tbl = ? AND (partition_key, row_key) >= (?, ?) AND partition_key <= ? "
                "ORDER BY partition_key, row_key",
                (_table_id(db, table), *start, _AFTER_ALL_KEYS if keys.high is None else keys.high),
            )
            rows: list[Row] = []
            for looked_at, (first, second, etag, text) in enumerate(found):
                partition_key, row_key = rules.text_of_order_key(first), rules.text_of_order_key(second)
                if len(rows) == limit or looked_at == MAX_SCANNED_ROWS:
                    return Page(rows, rules.token_of(partition_key, row_key))
                columns = _decode_columns(text)
                if passes(partition_key, row_key, columns):
                    shown = columns if select is None else rules.selected(columns, select)
                    rows.append(Row(partition_key, row_key, shown, _etag_text(etag)))
            return Page(rows, None)

        return await self._desk.read(work)

    async def write(self, table: str, operation: TableWrite) -> ETag | None:
        """Carry out one row operation."""
        rules.check_row(operation.row)
        return (await self._apply(table, [operation]))[0]

    async def batch(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        """Carry out operations on one partition, all or none."""
        rules.check_batch(operations)
        return await self._apply(table, operations)

    async def _apply(self, table: str, operations: Sequence[TableWrite]) -> Sequence[ETag | None]:
        # The common case, rows that replace whatever was there, is encoded on this side of the desk.
        encoded = [
            _encode_columns(operation.row.columns) if operation.kind is Write.INSERT_OR_REPLACE else None
            for operation in operations
        ]

        def work(db: sqlite3.Connection) -> Sequence[ETag | None]:
            table_id = _table_id(db, table)
            results: list[tuple[int, str] | None] = []
            for operation, text in zip(operations, encoded, strict=True):  # all are decided before the first is done
                columns = text if text is not None else _columns_after(db, table_id, operation)
                results.append(None if columns is None else (self._desk.etag(), columns))
            for operation, result in zip(operations, results, strict=True):
                keys = (table_id, rules.order_key(operation.row.partition_key), rules.order_key(operation.row.row_key))
                if result is None:
                    db.execute("DELETE FROM rows WHERE tbl = ? AND partition_key = ? AND row_key = ?", keys)
                else:
                    db.execute("INSERT OR REPLACE INTO rows VALUES (?, ?, ?, ?, ?)", (*keys, *result))
            return [None if result is None else _etag_text(result[0]) for result in results]

        return await self._desk.write(work)


def _columns_after(db: sqlite3.Connection, table_id: int, operation: TableWrite) -> str | None:
    stored = _stored_row(db, table_id, operation.row.partition_key, operation.row.row_key)
    if stored is None:
        columns = rules.columns_after(operation, None, None)
    else:
        columns = rules.columns_after(operation, _decode_columns(stored[1]), _etag_text(stored[0]))
    return None if columns is None else _encode_columns(columns)


def _stored_row(db: sqlite3.Connection, table_id: int, partition_key: str, row_key: str) -> tuple[int, str] | None:
    found: tuple[int, str] | None = db.execute(
        "SELECT etag, columns FROM rows WHERE tbl = ? AND partition_key = ? AND row_key = ?",
        (table_id, rules.order_key(partition_key), rules.order_key(row_key)),
    ).fetchone()
    return found


def _table_id(db: sqlite3.Connection, table: str) -> int:
    found = db.execute("SELECT id FROM tables WHERE name = ?", (table.lower(),)).fetchone()
    if found is None:
        raise TableNotFound(f"there is no table {table}")
    number: int = found[0]
    return number


# ---- blobs


class _Leasable:
    """A container or blob as its lease is concerned: where it is stored, and what to call it."""

    __slots__ = ("etag", "id", "lease", "table", "what")

    def __init__(self, db: sqlite3.Connection, container: str, name: str | None) -> None:
        self.table = "containers" if name is None else "blobs"
        self.what = f"container {container}" if name is None else f"blob {container}/{name}"
        found = db.execute(
            "SELECT id, etag, lease_id, lease_seconds, lease_expires FROM containers WHERE name = ?", (container,)
        ).fetchone()
        if found is None:
            raise BlobNotFound(f"there is no container {container}")
        if name is not None:
            found = db.execute(
                "SELECT id, etag, lease_id, lease_seconds, lease_expires FROM blobs WHERE container = ? AND name = ?",
                (found[0], name),
            ).fetchone()
        if found is None:
            raise BlobNotFound(f"there is no {self.what}")
        self.id: int = found[0]
        self.etag: int = found[1]
        self.lease = None if found[2] is None else rules.Lease(found[2], found[3], _moment(found[4]))

    def store(self, db: sqlite3.Connection, lease: rules.Lease | None) -> None:
        values: tuple[str, int, int] | tuple[None, None, None] = (None, None, None)
        if lease is not None:
            values = (lease.id, lease.seconds, (lease.expires - _EPOCH) // _MICROSECOND)
        db.execute(
            f"UPDATE {self.table} SET lease_id = ?, lease_seconds = ?, lease_expires = ? WHERE id = ?",
            (*values, self.id),
        )


def _blob_etag(number: int) -> ETag:
    return ETag(f'"0x{number:016X}"')


class SqliteBlobs:
    """See :class:`~taskhub.storage.port.BlobStore`."""

    def __init__(self, desk: _Desk) -> None:
        self._desk = desk

    async def create_container(self, container: str) -> bool:
        """Create a container unless it exists."""

        def work(db: sqlite3.Connection) -> bool:
            statement = "INSERT INTO containers (name, etag) VALUES (?, ?) ON CONFLICT DO NOTHING"
            return db.execute(statement, (container, self._desk.etag())).rowcount > 0

        return await self._desk.write(work)

    async def delete_container(self, container: str, *, lease_id: str | None = None) -> bool:
        """Delete a container with its blobs."""

        def work(db: sqlite3.Connection) -> bool:
            try:
                found = _Leasable(db, container, None)
            except BlobNotFound:
                return False
            rules.check_leased_write(found.lease, self._moment(), lease_id, found.what)
            db.execute("DELETE FROM blobs WHERE container = ?", (found.id,))
            db.execute("DELETE FROM containers WHERE id = ?", (found.id,))
            return True

        return await self._desk.write(work)

    async def container_exists(self, container: str) -> bool:
        """Return whether the container exists."""

        def work(db: sqlite3.Connection) -> bool:
            return db.execute("SELECT 1 FROM containers WHERE name = ?", (container,)).fetchone() is not None

        return await self._desk.read(work)

    async def put_blob(
        self, container: str, name: str, data: bytes, *, overwrite: bool = True, lease_id: str | None = None
    ) -> ETag:
        """Store a blob."""

        def work(db: sqlite3.Connection) -> ETag:
            holder = _Leasable(db, container, None)
            etag = self._desk.etag()
            try:
                blob = _Leasable(db, container, name)
            except BlobNotFound:
                rules.check_leased_write(None, self._moment(), lease_id, f"blob {container}/{name}")
                db.execute(
                    "INSERT INTO blobs (container, name, etag, data) VALUES (?, ?, ?, ?)", (holder.id, name, etag, data)
                )
                return _blob_etag(etag)
            if not overwrite:
                raise BlobExists(f"there is a blob {container}/{name} already")
            now = self._moment()
            rules.check_leased_write(blob.lease, now, lease_id, blob.what)
            if blob.lease is not None and not blob.lease.is_active(now):
                blob.store(db, None)  # a lease that ran out cannot be renewed after the blob was written
            db.execute("UPDATE blobs SET etag = ?, data = ? WHERE id = ?", (etag, data, blob.id))
            return _blob_etag(etag)

        return await self._desk.write(work)

    async def get_blob(self, container: str, name: str) -> bytes:
        """Return a blob's content."""

        def work(db: sqlite3.Connection) -> bytes:
            blob = _Leasable(db, container, name)
            data: bytes = db.execute("SELECT data FROM blobs WHERE id = ?", (blob.id,)).fetchone()[0]
            return data

        return await self._desk.read(work)

    async def blob_item(self, container: str, name: str) -> BlobItem | None:
        """Return what a listing says of one blob."""

        def work(db: sqlite3.Connection) -> BlobItem | None:
            found = db.execute(
                "SELECT length(data), etag FROM blobs "
                "WHERE container = (SELECT id FROM containers WHERE name = ?) AND name = ?",
                (container, name),
            ).fetchone()
            return None if found is None else BlobItem(name, found[0], _blob_etag(found[1]))

        return await self._desk.read(work)

    async def delete_blob(self, container: str, name: str) -> bool:
        """Delete a blob."""

        def work(db: sqlite3.Connection) -> bool:
            try:
                blob = _Leasable(db, container, name)
            except BlobNotFound:
                return False
            rules.check_leased_write(blob.lease, self._moment(), None, blob.what)
            db.execute("DELETE FROM blobs WHERE id = ?", (blob.id,))
            return True

        return await self._desk.write(work)

    async def list_blobs(self, container: str, prefix: str) -> Sequence[BlobItem]:
        """Return the blobs whose name begins with ``prefix``."""

        def work(db: sqlite3.Connection) -> Sequence[BlobItem]:
            items: list[BlobItem] = []
            for name, size, etag in db.execute(
                "SELECT name, length(data), etag FROM blobs "
                "WHERE container = (SELECT id FROM containers WHERE name = ?) AND name >= ? ORDER BY name",
                (container, prefix),
            ):
                if not name.startswith(prefix):
                    break
                items.append(BlobItem(name, size, _blob_etag(etag)))
            return items

        return await self._desk.read(work)

    async def lease_state(self, container: str, name: str | None = None) -> BlobLease:
        """Return whether a blob or container is leased."""

        def work(db: sqlite3.Connection) -> BlobLease:
            found = _Leasable(db, container, name)
            return BlobLease(found.lease is not None and found.lease.is_active(self._moment()), _blob_etag(found.etag))

        return await self._desk.read(work)

    async def acquire_lease(self, container: str, name: str | None, *, lease_id: str, seconds: int) -> None:
        """Lease a blob or container."""

        def work(db: sqlite3.Connection) -> None:
            found = _Leasable(db, container, name)
            found.store(db, rules.acquired(found.lease, self._moment(), lease_id, seconds, found.what))

        await self._desk.write(work)

    async def renew_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Start the time of a lease anew."""

        def work(db: sqlite3.Connection) -> None:
            found = _Leasable(db, container, name)
            found.store(db, rules.renewed(found.lease, self._moment(), lease_id, found.what))

        await self._desk.write(work)

    async def change_lease(self, container: str, name: str | None, *, lease_id: str, new_lease_id: str) -> None:
        """Hand a lease to another id."""

        def work(db: sqlite3.Connection) -> None:
            found = _Leasable(db, container, name)
            found.store(db, rules.changed(found.lease, self._moment(), lease_id, new_lease_id, found.what))

        await self._desk.write(work)

    async def release_lease(self, container: str, name: str | None, *, lease_id: str) -> None:
        """Give a lease back."""

        def work(db: sqlite3.Connection) -> None:
            found = _Leasable(db, container, name)
            rules.check_release(found.lease, lease_id, found.what)
            found.store(db, None)

        await self._desk.write(work)

    def url_of(self, container: str, name: str) -> str:
        """Return an absolute URL that nothing answers to."""
        return rules.local_url(container, name)

    def _moment(self) -> datetime:
        return _moment(self._desk.micros())
