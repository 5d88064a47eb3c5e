"""What does a storage call cost, by our own requests and by the official clients?

Each kind of call is made many times, one after the other, on a fresh Azurite; ours and the official one in turns, so
that whatever else the machine does meets both. CPU is that of this process, for the whole call: the answer read and
parsed; the emulator has a process of its own. Wall time is what the caller waits. Microseconds, in percentiles; the
ratio is the official client's median CPU by ours.

Ours is what the task hub uses (taskhub/storage/azure): messages and rows by thin signed requests
(docs/adr/0013-thin-requests.md), blobs by the official client, tuned. The official ones are azure-storage-queue,
azure-data-tables and azure-storage-blob (aio) as they come, but for the API version, which the emulator must know. A
message has 0.8 KB, a row nine columns, a blob 4 KB; ``batch_100`` is a transaction of 100 rows, ``table_query`` reads
100 rows, ``queue_get`` one message.

With ``--storage embedded`` or ``memory`` only our calls are made, on that store: what a call costs without a network.

Usage: ``python -m benchmarks.client [--storage azurite|embedded|memory] [--quick]``. The last line is one JSON object
of named figures.
"""

from __future__ import annotations

import abc
import argparse
import asyncio
import contextlib
import importlib.util
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.hosts import fresh_azurite
from benchmarks.payloads import MESSAGE, history_row
from benchmarks.report import Report
from taskhub.model.ids import ETag, Utc
from taskhub.storage.azure import open_azure
from taskhub.storage.azure.requests import API_VERSION
from taskhub.storage.memory import open_memory
from taskhub.storage.port import Comparison, Row, TableWrite, Where, Write
from taskhub.storage.sqlite import open_sqlite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    from taskhub.storage.port import Storage

QUEUE, ROWS, BATCHES, CONTAINER = "calls", "Rows", "Batches", "calls"
OFFICIAL_PACKAGES = ("azure.storage.queue.aio", "azure.data.tables.aio", "azure.storage.blob.aio")
BLOB = bytes(range(256)) * 16
BATCH = [TableWrite(Write.INSERT_OR_REPLACE, history_row("batched", index)) for index in range(100)]
WARM_UP_ROUNDS = 5


class Calls(abc.ABC):
    """One call of each kind. Those of a round follow one another: the row that is inserted is merged, and so on."""

    name: str

    @abc.abstractmethod
    async def prepare(self) -> None:
        """Create the places."""

    def kinds(self) -> Mapping[str, Callable[[], Awaitable[None]]]:
        """Return the calls of a round, in order."""
        return {
            "queue_put": self._put,
            "queue_get": self._get,
            "queue_update": self._update,
            "queue_delete": self._delete,
            "table_insert": self._insert,
            "table_merge": self._merge,
            "batch_100": self._batch,
            "table_query": self._query,
            "blob_put": self._put_blob,
            "blob_get": self._get_blob,
        }

    @abc.abstractmethod
    async def close(self) -> None:
        """Close connections."""

    @abc.abstractmethod
    async def _put(self) -> None: ...

    @abc.abstractmethod
    async def _get(self) -> None: ...

    @abc.abstractmethod
    async def _update(self) -> None: ...

    @abc.abstractmethod
    async def _delete(self) -> None: ...

    @abc.abstractmethod
    async def _insert(self) -> None: ...

    @abc.abstractmethod
    async def _merge(self) -> None: ...

    @abc.abstractmethod
    async def _batch(self) -> None: ...

    @abc.abstractmethod
    async def _query(self) -> None: ...

    @abc.abstractmethod
    async def _put_blob(self) -> None: ...

    @abc.abstractmethod
    async def _get_blob(self) -> None: ...


class Ours(Calls):
    """By the storage port."""

    name = "ours"

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._message: Any = None
        self._index = 0
        self._etag: ETag | None = None

    async def prepare(self) -> None:
        await self._storage.queues.create_queue(QUEUE)
        await self._storage.tables.create_table(ROWS)
        await self._storage.tables.create_table(BATCHES)
        await self._storage.blobs.create_container(CONTAINER)

    async def close(self) -> None:
        await self._storage.aclose()

    async def _put(self) -> None:
        await self._storage.queues.put(QUEUE, MESSAGE)

    async def _get(self) -> None:
        [self._message] = await self._storage.queues.get(QUEUE, limit=1, invisible_for=60)

    async def _update(self) -> None:
        message = self._message
        self._message = await self._storage.queues.update(QUEUE, message.id, message.receipt, visible_after=60)

    async def _delete(self) -> None:
        await self._storage.queues.delete(QUEUE, self._message.id, self._message.receipt)

    async def _insert(self) -> None:
        self._index += 1
        row = history_row(self.name, self._index)
        self._etag = await self._storage.tables.write(ROWS, TableWrite(Write.INSERT, row))

    async def _merge(self) -> None:
        row = Row(self.name, f"{self._index:016X}", {"IsPlayed": True})
        await self._storage.tables.write(ROWS, TableWrite(Write.MERGE, row, self._etag))

    async def _batch(self) -> None:
        await self._storage.tables.batch(BATCHES, BATCH)

    async def _query(self) -> None:
        page = await self._storage.tables.query(BATCHES, Where("PartitionKey", Comparison.EQ, "batched"))
        _expect(len(page.rows), len(BATCH))

    async def _put_blob(self) -> None:
        await self._storage.blobs.put_blob(CONTAINER, "blob", BLOB)

    async def _get_blob(self) -> None:
        _expect(len(await self._storage.blobs.get_blob(CONTAINER, "blob")), len(BLOB))


class Official(Calls):
    """By the official asynchronous clients, as they come."""

    name = "official"

    def __init__(self, connection_string: str) -> None:
        from azure.data.tables import UpdateMode
        from azure.data.tables.aio import TableServiceClient
        from azure.storage.blob.aio import BlobServiceClient
        from azure.storage.queue.aio import QueueServiceClient

        self._merging = UpdateMode.MERGE
        replacing = {"mode": UpdateMode.REPLACE}
        self._operations = [("upsert", _entity(operation.row), replacing) for operation in BATCH]
        self._services: list[Any] = [
            QueueServiceClient.from_connection_string(connection_string, api_version=API_VERSION),
            TableServiceClient.from_connection_string(connection_string),
            BlobServiceClient.from_connection_string(connection_string, api_version=API_VERSION),
        ]
        queues, tables, blobs = self._services
        self._queue = queues.get_queue_client(QUEUE)
        self._rows, self._batches = tables.get_table_client(ROWS), tables.get_table_client(BATCHES)
        self._blob = blobs.get_blob_client(CONTAINER, "official")
        self._message: Any = None
        self._index = 0

    async def prepare(self) -> None:
        """Nothing: :class:`Ours` has created the places."""

    async def close(self) -> None:
        for service in self._services:
            await service.close()

    async def _put(self) -> None:
        await self._queue.send_message(MESSAGE, time_to_live=-1)

    async def _get(self) -> None:
        self._message = await self._queue.receive_message(visibility_timeout=60)
        _expect(self._message.content, MESSAGE)

    async def _update(self) -> None:
        self._message = await self._queue.update_message(self._message, visibility_timeout=60)

    async def _delete(self) -> None:
        await self._queue.delete_message(self._message)

    async def _insert(self) -> None:
        self._index += 1
        await self._rows.create_entity(_entity(history_row(self.name, self._index)))

    async def _merge(self) -> None:
        row = Row(self.name, f"{self._index:016X}", {"IsPlayed": True})
        await self._rows.update_entity(_entity(row), mode=self._merging)

    async def _batch(self) -> None:
        await self._batches.submit_transaction(self._operations)

    async def _query(self) -> None:
        rows = [row async for row in self._batches.query_entities("PartitionKey eq 'batched'")]
        _expect(len(rows), len(BATCH))

    async def _put_blob(self) -> None:
        await self._blob.upload_blob(BLOB, overwrite=True)

    async def _get_blob(self) -> None:
        _expect(len(await (await self._blob.download_blob()).readall()), len(BLOB))


def _entity(row: Row) -> dict[str, Any]:
    """Return a row as the official client takes it."""
    columns = {name: value.moment() if isinstance(value, Utc) else value for name, value in row.columns.items()}
    return {"PartitionKey": row.partition_key, "RowKey": row.row_key, **columns}


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise RuntimeError(f"a call came out wrong: {found!r} instead of {wanted!r}")


# ---- measuring


@dataclass
class Costs:
    """Of one kind of call: microseconds of each."""

    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)


async def measure(clients: list[Calls], rounds: int) -> dict[tuple[str, str], Costs]:
    """Return the costs by kind and client."""
    found: dict[tuple[str, str], Costs] = defaultdict(Costs)
    for client in clients:
        await client.prepare()
    for number in range(WARM_UP_ROUNDS + rounds):
        for client in clients:
            for kind, call in client.kinds().items():
                began, cpu = time.perf_counter(), time.process_time()
                await call()
                cpu, took = time.process_time() - cpu, time.perf_counter() - began
                if number >= WARM_UP_ROUNDS:
                    found[kind, client.name].cpu.append(cpu * 1e6)
                    found[kind, client.name].wall.append(took * 1e6)
    return found


@contextlib.asynccontextmanager
async def opened(kind: str) -> AsyncIterator[list[Calls]]:
    """Give the clients of a fresh store."""
    async with contextlib.AsyncExitStack() as stack:
        clients: list[Calls] = []
        if kind == "azurite":
            text = stack.enter_context(fresh_azurite("all figures")).connection_string
            clients.append(Ours(await open_azure(connection_string=text)))
            if missing := missing_packages():
                print(f"(the official clients are not measured: {', '.join(missing)} cannot be imported)")
            else:
                clients.append(Official(text))
        elif kind == "embedded":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            clients.append(Ours(await open_sqlite(Path(folder) / "hub.db")))
        else:
            clients.append(Ours(open_memory(now=lambda: datetime.now(timezone.utc))))
        for client in clients:
            stack.push_async_callback(client.close)
        yield clients


def missing_packages() -> list[str]:
    """Return which of the official clients are not there."""
    return [name for name in OFFICIAL_PACKAGES if not _is_there(name)]


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # not even its parent
        return False


async def run(storage: str, report: Report, rounds: int) -> None:
    """Measure, and report kind by kind."""
    async with opened(storage) as clients:
        costs = await measure(clients, rounds)
        for kind in clients[0].kinds():
            for client in clients:
                report.add_spread(f"{kind}_{client.name}_cpu", costs[kind, client.name].cpu, "us")
                report.add_spread(f"{kind}_{client.name}_wall", costs[kind, client.name].wall, "us")
            official = costs.get((kind, Official.name))
            if official is not None:
                ours = statistics.median(costs[kind, Ours.name].cpu)
                report.add(f"{kind}_cpu_ratio", statistics.median(official.cpu) / ours, "x")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.client")
    parser.add_argument("--storage", choices=("azurite", "embedded", "memory"), default="azurite")
    parser.add_argument("--quick", action="store_true", help="fewer calls, for a first look")
    arguments = parser.parse_args()
    report = Report(f"{(__doc__ or '').partition('Usage:')[0]}Store: {arguments.storage}.")
    asyncio.run(run(arguments.storage, report, 30 if arguments.quick else 100))
    report.close()


if __name__ == "__main__":
    main()
