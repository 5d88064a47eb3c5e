"""A process that uses an embedded store, for tests with several of them: ``python -m tests.support.sqlite_process``.

Each role prints what the store has confirmed, a line at once after each confirmation.
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
from pathlib import Path

from taskhub.errors import RowChanged, TransientStorageError
from taskhub.storage.port import Comparison, Row, Storage, TableWrite, Where, Write
from taskhub.storage.sqlite import open_sqlite


async def take(storage: Storage, name: str) -> None:
    """Take messages until there are none; record each one in a row of its own, delete it, print its text."""
    while messages := await storage.queues.get("work", limit=8, invisible_for=600):
        for message in messages:
            await storage.tables.write(
                "Taken",
                TableWrite(Write.INSERT, Row("taken", message.text, {"By": name, "Count": message.dequeue_count})),
            )
            await storage.queues.delete("work", message.id, message.receipt)
            print(message.text, flush=True)


async def count(storage: Storage, name: str) -> None:
    """Add one to a shared row a hundred times, each time on condition that nobody else did meanwhile."""
    for _ in range(100):
        while True:
            row = await storage.tables.read("Counts", "p", "shared")
            assert row is not None
            number = row.columns["N"]
            assert isinstance(number, int)
            write = TableWrite(Write.MERGE, Row("p", "shared", {"N": number + 1}), row.etag)
            try:
                await storage.tables.write("Counts", write)
                break
            except RowChanged:
                await asyncio.sleep(0)
    print(name, flush=True)


async def append(storage: Storage, name: str) -> None:
    """Append rows for ever, each in one batch with a sentinel that names it; print the number of each one stored."""
    await storage.tables.create_table("History")
    await storage.queues.create_queue("sent")
    sentinel = await storage.tables.read("History", name, "sentinel")
    number = -1 if sentinel is None else int(str(sentinel.columns["Last"]))
    while True:
        number += 1
        await storage.queues.put("sent", str(number))
        await storage.tables.batch(
            "History",
            [
                TableWrite(Write.INSERT_OR_REPLACE, Row(name, f"{number:016X}", {"Text": "x" * 500})),
                TableWrite(Write.INSERT_OR_MERGE, Row(name, "sentinel", {"Last": str(number)})),
            ],
        )
        print(number, flush=True)


async def check(storage: Storage, name: str) -> None:
    """Print how many rows ``append`` has left; fail unless they are whole."""
    rows: list[Row] = []
    token: str | None = None
    while True:
        page = await storage.tables.query("History", Where("PartitionKey", Comparison.EQ, name), token=token)
        rows.extend(page.rows)
        token = page.token
        if token is None:
            break
    *events, sentinel = rows
    assert [row.row_key for row in events] == [f"{number:016X}" for number in range(len(events))]
    assert sentinel.columns["Last"] == str(len(events) - 1)
    print(len(events), flush=True)


async def fill(storage: Storage, name: str) -> None:
    """Write until the disk takes no more; print why, how many rows there are, and whether it goes on with more room."""
    await storage.tables.create_table("T")
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, resource.RLIM_INFINITY))
    number = 0
    try:
        while True:
            row = Row("p", f"{number:06}", {"A": "x" * 30_000})
            await storage.tables.write("T", TableWrite(Write.INSERT, row))
            number += 1
    except TransientStorageError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    rows = (await storage.tables.query("T")).rows
    print(number, len(rows))
    await storage.tables.write("T", TableWrite(Write.INSERT, Row("p", f"{number:06}", {})))
    print("went on")


ROLES = {"take": take, "count": count, "append": append, "check": check, "fill": fill}


async def _main(path: str, role: str, name: str) -> None:
    if role == "open without rights":
        await asyncio.to_thread(int)  # what is imported late cannot be read any more
        os.setuid(65534)
    storage = await open_sqlite(Path(path))
    try:
        await ROLES[role](storage, name)
    finally:
        await storage.aclose()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
