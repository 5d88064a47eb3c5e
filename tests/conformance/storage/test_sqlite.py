"""What only the embedded store has: a file, other processes, a disk."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

import pytest

from taskhub.errors import ConfigurationError, MessageGone, RowExists, StorageRefused, TransientStorageError
from taskhub.storage import sqlite
from taskhub.storage.port import Comparison, Row, TableWrite, Where, Write
from taskhub.storage.sqlite import open_sqlite

ROOT = Path(__file__).parents[3]


def start(path, role, name="p", **options):
    command = [sys.executable, "-m", "tests.support.sqlite_process", str(path), role, name]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, **options)


def results_of(processes):
    outputs = [process.communicate()[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return outputs


@pytest.fixture
async def store(tmp_path):
    storage = await open_sqlite(tmp_path / "hub.db")
    yield storage
    await storage.aclose()


def desk_of(storage):
    return storage.queues._desk


# ---- the file


async def test_the_file_is_made_with_its_folder_and_keeps_everything(tmp_path):
    path = tmp_path / "a" / "b" / "hub.db"
    lease_id = str(uuid.uuid4())
    first = await open_sqlite(path)
    await first.queues.create_queue("q")
    put = await first.queues.put("q", "text", visible_after=600)
    await first.tables.create_table("T")
    etag = await first.tables.write("T", TableWrite(Write.INSERT, Row("p", "r", {"A": 1})))
    await first.blobs.create_container("c")
    await first.blobs.put_blob("c", "b", b"data")
    await first.blobs.acquire_lease("c", "b", lease_id=lease_id, seconds=60)
    await first.aclose()

    second = await open_sqlite(path)

    assert str(path) in second.description
    await second.queues.delete("q", put.id, put.receipt)
    assert await second.tables.read("t", "p", "r") == Row("p", "r", {"A": 1}, etag)
    assert await second.blobs.get_blob("c", "b") == b"data"
    assert (await second.blobs.lease_state("c", "b")).leased
    await second.blobs.renew_lease("c", "b", lease_id=lease_id)
    await second.aclose()
    assert [file.name for file in path.parent.iterdir()] == ["hub.db"]


async def test_a_file_that_is_no_database_is_named_and_left_alone(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("my notes, long enough to be taken for a page of something" * 20)

    with pytest.raises(ConfigurationError, match=r"notes\.txt is not a SQLite database: choose another file"):
        await open_sqlite(path)

    assert path.read_text().startswith("my notes")


async def test_another_programs_database_is_named_and_left_alone(tmp_path):
    path = tmp_path / "other.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE customers (name TEXT)")
    other.close()

    with pytest.raises(ConfigurationError, match=r"other\.db is a SQLite database of another program"):
        await open_sqlite(path)

    other = sqlite3.connect(path)
    assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("customers",)]
    other.close()


async def test_a_file_of_a_newer_layout_is_refused(tmp_path):
    path = tmp_path / "hub.db"
    await (await open_sqlite(path)).aclose()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()

    with pytest.raises(ConfigurationError, match="layout 99"):
        await open_sqlite(path)


async def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        await open_sqlite(tmp_path)


async def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(ConfigurationError, match="cannot be made"):
        await open_sqlite(tmp_path / "file" / "hub.db")


async def test_a_damaged_file_is_said_to_be_damaged(tmp_path):
    path = tmp_path / "hub.db"
    storage = await open_sqlite(path)
    await storage.tables.create_table("T")
    for number in range(20):
        row = Row("p", f"{number}", {"A": "x" * 1000})
        await storage.tables.write("T", TableWrite(Write.INSERT, row))
    await storage.aclose()
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)

    storage = await open_sqlite(path)
    with pytest.raises(StorageRefused, match=r"hub\.db is damaged: restore a copy"):
        await storage.tables.query("T")
    await storage.aclose()


@pytest.mark.skipif(os.geteuid() != 0, reason="gives its rights up, so must have them")
async def test_a_file_that_may_not_be_written_is_said_to_be_read_only():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # TMPDIR, and pytest's own, may be closed to other users
        path = Path(folder) / "hub.db"
        await (await open_sqlite(path)).aclose()
        path.chmod(0o444)
        path.parent.chmod(0o777)

        process = start(path, "open without rights", stderr=subprocess.PIPE)
        _, complaint = process.communicate()

    assert f"ConfigurationError: the embedded store {path} is read-only: make the file and its folder" in complaint


def test_a_disk_that_takes_no_more_is_transient_and_what_was_confirmed_is_there(tmp_path):
    path = tmp_path / "hub.db"

    output, _ = start(path, "fill").communicate()

    complaint, counts, end = output.splitlines()
    confirmed, stored = map(int, counts.split())
    assert str(path) in complaint
    assert confirmed == stored > 10
    assert end == "went on"


async def test_a_full_disk_is_said_to_be_full(store):
    await store.tables.create_table("T")
    await desk_of(store).read(lambda db: db.execute("PRAGMA max_page_count = 1").fetchall())

    row = Row("p", "r", dict.fromkeys("ABCDEFGHIJ", "x" * 30000))
    with pytest.raises(TransientStorageError, match=r"no space left for the embedded store .*hub\.db"):
        await store.tables.write("T", TableWrite(Write.INSERT, row))

    assert await store.tables.read("T", "p", "r") is None


# ---- groups


@pytest.fixture
async def statements(store):
    """What the store tells SQLite, from now on."""
    told = []
    await store.queues.create_queue("q")
    await store.tables.create_table("T")
    desk_of(store)._connection.set_trace_callback(told.append)
    yield told
    desk_of(store)._connection.set_trace_callback(None)


async def test_calls_that_come_together_share_a_transaction(store, statements):
    await asyncio.gather(*(store.queues.put("q", str(number)) for number in range(50)))

    assert statements.count("COMMIT") == 1
    assert await store.queues.count("q") == 50


async def test_looking_into_an_empty_queue_takes_no_transaction(store, statements):
    assert await store.queues.get("q", limit=32, invisible_for=60) == []
    await store.queues.put("q", "hidden", visible_after=60)
    del statements[:]
    assert await store.queues.get("q", limit=32, invisible_for=60) == []

    assert not [statement for statement in statements if statement.startswith(("BEGIN", "UPDATE"))]


async def test_a_refused_call_leaves_the_others_of_its_group_alone(store):
    await store.queues.create_queue("q")
    await store.tables.create_table("T")
    await store.tables.write("T", TableWrite(Write.INSERT, Row("p", "r", {})))

    outcomes = await asyncio.gather(
        store.queues.put("q", "good"),
        store.queues.delete("q", "17", "1"),
        store.tables.batch(
            "T", [TableWrite(Write.INSERT, Row("p", "new", {})), TableWrite(Write.INSERT, Row("p", "r", {}))]
        ),
        store.tables.write("T", TableWrite(Write.INSERT, Row("p", "good", {}))),
        return_exceptions=True,
    )

    assert [type(outcome) for outcome in outcomes[1:3]] == [MessageGone, RowExists]
    assert await store.queues.count("q") == 1
    assert [row.row_key for row in (await store.tables.query("T")).rows] == ["good", "r"]


async def test_a_call_that_breaks_leaves_the_others_of_its_group_alone(store):
    await store.queues.create_queue("q")
    await store.blobs.create_container("c")

    put, broken, other = await asyncio.gather(
        store.queues.put("q", "one"),
        store.blobs.put_blob("c", "b", 17j),
        store.queues.put("q", "two"),
        return_exceptions=True,
    )

    assert isinstance(broken, TypeError | sqlite3.Error)
    assert put.id != other.id
    messages = await store.queues.get("q", limit=32, invisible_for=60)
    assert [message.text for message in messages] == ["one", "two"]


async def test_a_call_that_is_cancelled_while_it_waits_is_not_carried_out(store):
    await store.queues.create_queue("q")
    call = asyncio.ensure_future(store.queues.put("q", "x"))
    asyncio.get_running_loop().call_soon(call.cancel)

    with pytest.raises(asyncio.CancelledError):
        await call

    assert await store.queues.count("q") == 0


async def test_the_log_is_copied_back_while_calls_go_on(tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "CHECKPOINT_CHANGES", 50)
    storage = await open_sqlite(tmp_path / "hub.db")
    await storage.tables.create_table("T")

    async def write(partition):
        for number in range(100):
            row = Row(partition, f"{number:03}", {"A": "x" * 2_000})
            await storage.tables.write("T", TableWrite(Write.INSERT, row))

    await asyncio.gather(*(write(f"p{number}") for number in range(5)))

    log_size = (tmp_path / "hub.db-wal").stat().st_size
    page = await storage.tables.query("T", Where("PartitionKey", Comparison.EQ, "p4"))
    await storage.aclose()
    assert len(page.rows) == 100
    assert log_size < 1_000_000  # of five megabytes that were written


async def test_a_store_that_closes_finishes_the_calls_that_wait(tmp_path):
    storage = await open_sqlite(tmp_path / "hub.db")
    await storage.queues.create_queue("q")
    calls = [asyncio.ensure_future(storage.queues.put("q", str(number))) for number in range(200)]
    await asyncio.sleep(0)

    await storage.aclose()
    await storage.aclose()

    assert all(call.done() and call.exception() is None for call in calls)
    with pytest.raises(RuntimeError, match=r"hub\.db was closed"):
        await storage.queues.count("q")
    again = await open_sqlite(tmp_path / "hub.db")
    assert await again.queues.count("q") == 200
    await again.aclose()


async def test_a_scan_that_finds_little_comes_in_short_pages(store, monkeypatch):
    monkeypatch.setattr(sqlite, "MAX_SCANNED_ROWS", 10)
    await store.tables.create_table("T")
    for number in range(25):
        row = Row("p", f"{number:02}", {"Last": number == 24})
        await store.tables.write("T", TableWrite(Write.INSERT, row))

    pages = [await store.tables.query("T", Where("Last", Comparison.EQ, True))]
    while pages[-1].token:
        pages.append(await store.tables.query("T", Where("Last", Comparison.EQ, True), token=pages[-1].token))

    assert [len(page.rows) for page in pages] == [0, 0, 1]


# ---- other processes


async def test_a_call_waits_for_another_process_without_keeping_the_event_loop(store, tmp_path):
    await store.queues.create_queue("q")
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    call = asyncio.ensure_future(store.queues.put("q", "x"))
    for _ in range(20):  # the loop turns, the call waits, reads are answered
        await asyncio.sleep(0.002)
        assert await store.queues.count("q") == 0
    waited = not call.done()
    other.execute("COMMIT")
    other.close()
    await call

    assert waited
    assert await store.queues.count("q") == 1


async def test_a_call_that_waits_too_long_for_another_process_fails_as_transient(store, tmp_path, monkeypatch):
    monkeypatch.setattr(sqlite, "BUSY_SECONDS", 0.05)
    await store.queues.create_queue("q")
    other = sqlite3.connect(tmp_path / "hub.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")

    with pytest.raises(TransientStorageError, match=r"hub\.db was kept busy by other processes"):
        await store.queues.put("q", "x")

    other.execute("COMMIT")
    other.close()
    await store.queues.put("q", "y")
    assert await store.queues.count("q") == 1


async def test_four_processes_make_one_file_and_take_each_message_once(tmp_path):
    path = tmp_path / "new" / "hub.db"
    storage = await open_sqlite(path)
    await storage.queues.create_queue("work")
    await storage.tables.create_table("Taken")
    await asyncio.gather(*(storage.queues.put("work", f"{number:03}") for number in range(300)))

    outputs = results_of([start(path, "take", f"worker-{number}") for number in range(4)])

    taken = sorted(text for output in outputs for text in output)
    rows = (await storage.tables.query("Taken")).rows
    assert taken == [f"{number:03}" for number in range(300)]
    assert [row.row_key for row in rows] == taken
    assert {row.columns["Count"] for row in rows} == {1}
    assert await storage.queues.count("work") == 0
    await storage.aclose()


async def test_processes_that_start_at_once_agree_on_who_makes_the_file(tmp_path):
    path = tmp_path / "new" / "hub.db"
    writers = [start(path, "append", f"p{number}") for number in range(3)]

    firsts = [writer.stdout.readline() for writer in writers]
    for writer in writers:
        writer.send_signal(signal.SIGKILL)
        writer.communicate()

    assert firsts == ["0\n"] * 3
    for number in range(3):
        results_of([start(path, "check", f"p{number}")])


async def test_of_writes_by_four_processes_on_one_condition_none_is_lost(tmp_path):
    path = tmp_path / "hub.db"
    storage = await open_sqlite(path)
    await storage.tables.create_table("Counts")
    await storage.tables.write("Counts", TableWrite(Write.INSERT, Row("p", "shared", {"N": 0})))

    results_of([start(path, "count", f"worker-{number}") for number in range(4)])

    row = await storage.tables.read("Counts", "p", "shared")
    await storage.aclose()
    assert row.columns == {"N": 400}


async def test_what_was_confirmed_survives_a_kill_at_any_moment(tmp_path):
    path = tmp_path / "hub.db"
    confirmed = 0

    for kills in (1, 3, 10, 30, 100, 300):
        writer = start(path, "append")
        for _ in range(kills):
            confirmed = int(writer.stdout.readline()) + 1
        writer.kill()
        rest = writer.communicate()[0].split()
        confirmed = int(rest[-1]) + 1 if rest else confirmed

        [[stored]] = results_of([start(path, "check")])
        checker = sqlite3.connect(path)
        assert checker.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        checker.close()
        assert confirmed <= int(stored) <= confirmed + 1
