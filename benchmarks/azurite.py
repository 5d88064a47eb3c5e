"""How fast is the storage emulator on this machine?

Bare requests to fresh Azurites in memory, from one process, one after the other (``alone``) and 32 at once
(``at_once_32``): nothing of the task hub but its signing, which both sides of a request need. Latency of a request in
milliseconds, in percentiles, and requests per second. All that the task hub does on Azurite is bounded by this, so the
figures tell a slow machine from a slow task hub.

``put`` adds a message of 0.8 KB, ``get`` takes one, ``delete`` takes it away; ``batch_1`` and ``batch_100`` are
transactions of so many rows, ``read`` is one row. Azurite looks at every stored message for each call of a queue, so
queues are emptied every few hundred messages; ``put_with_2000_stored`` shows what they cost. ``emulator_cpu`` and
``client_cpu`` are the processor time of a request in the emulator and in this process.

Usage: ``python -m benchmarks.azurite [--quick]``. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import re
import time
import uuid
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from benchmarks.hosts import fresh_azurite
from benchmarks.payloads import MESSAGE
from benchmarks.processes import cpu_seconds
from benchmarks.report import Report
from taskhub.storage.azure.connection import parse_connection_string
from taskhub.storage.azure.requests import API_VERSION
from taskhub.storage.azure.signing import AccountKey
from tests.support.azurite import ACCOUNT_KEY, ACCOUNT_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

AT_ONCE = 32
EMPTIED_EVERY = 256
"""Messages after which a queue is emptied, which is not counted."""
STORED = 2_000
QUEUE = "/limits"
PUT = b"<QueueMessage><MessageText>" + MESSAGE.encode() + b"</MessageText></QueueMessage>"
ROW = (
    '{"PartitionKey":"%s","RowKey":"%016X","ExecutionId":"0123456789abcdef0123456789abcdef","EventType":"TaskScheduled",'
    '"EventId":1,"IsPlayed":false,"_Timestamp":"2026-12-01T04:30:05.6789010Z","_Timestamp@odata.type":"Edm.DateTime",'
    '"Name":"say_hello","Version":"","ParentTraceContext":"null","Tags":"null"}'
)
JSON = {"Accept": "application/json;odata=minimalmetadata", "Content-Type": "application/json"}
_RECEIPT = re.compile(rb"<MessageId>(.*?)</MessageId>.*<PopReceipt>(.*?)</PopReceipt>")


class Emulator:
    """Bare requests to one that runs.

    Args:
        connection_string: of it.
        pid: of its process.
    """

    def __init__(self, connection_string: str, pid: int) -> None:
        self._endpoints = parse_connection_string(connection_string).endpoints
        self._keys = {
            service: AccountKey(ACCOUNT_NAME, ACCOUNT_KEY, for_tables=service == "table") for service in self._endpoints
        }
        self._pid = pid
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=AT_ONCE, keepalive_timeout=4),
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        )
        self.receipts: list[tuple[str, str]] = []
        """Of the messages that were put and not deleted."""
        self._numbers = itertools.count()

    async def close(self) -> None:
        await self._session.close()

    @property
    def cpu_seconds(self) -> float:
        """Processor time of the emulator so far."""
        return cpu_seconds(self._pid)

    async def send(
        self, service: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None, wanted: int
    ) -> bytes:
        """Send a signed request and return the answer's body.

        Raises:
            RuntimeError: the answer is another than the one that is wanted.
        """
        parts = urlsplit(self._endpoints[service])
        all_headers = {"x-ms-version": API_VERSION, "x-ms-date": formatdate(time.time(), usegmt=True), **headers}
        length = len(body) if body is not None else 0
        target = await self._keys[service].sign(method, parts.path + path, all_headers, content_length=length)
        url = URL(f"{parts.scheme}://{parts.netloc}{target}", encoded=True)
        async with self._session.request(method, url, headers=all_headers, data=body) as answer:
            found = await answer.read()
            if answer.status != wanted:
                raise RuntimeError(f"{method} {path} answered {answer.status}: {found[:300]!r}")
            return found

    async def create(self) -> None:
        """Create the queue and the table."""
        await self.send("queue", "PUT", QUEUE, {}, None, 201)
        await self.send("table", "POST", "/Tables", JSON, b'{"TableName":"Limits"}', 201)

    async def put(self) -> None:
        headers = {"Content-Type": "application/xml"}
        answer = await self.send("queue", "POST", f"{QUEUE}/messages?messagettl=-1", headers, PUT, 201)
        self.receipts.append(_receipt_of(answer))

    async def get(self) -> None:
        path = f"{QUEUE}/messages?numofmessages=1&visibilitytimeout=60"
        self.receipts.append(_receipt_of(await self.send("queue", "GET", path, {}, None, 200)))

    async def delete(self) -> None:
        message, receipt = self.receipts.pop()
        path = f"{QUEUE}/messages/{message}?popreceipt={quote(receipt, safe='')}"
        await self.send("queue", "DELETE", path, {}, None, 204)

    async def clear(self) -> None:
        """Empty the queue."""
        await self.send("queue", "DELETE", f"{QUEUE}/messages", {}, None, 204)
        self.receipts.clear()

    async def batch(self, size: int) -> None:
        """Store some rows of a partition of their own in one transaction."""
        partition = f"p{next(self._numbers)}"
        batch, changes = f"batch_{uuid.uuid4()}", f"changeset_{uuid.uuid4()}"
        lines = [f"--{batch}", f"Content-Type: multipart/mixed; boundary={changes}", ""]
        for index in range(size):
            url = f"{self._endpoints['table']}/Limits(PartitionKey='{partition}',RowKey='{index:016X}')"
            lines += (f"--{changes}", "Content-Type: application/http", "Content-Transfer-Encoding: binary", "")
            lines += (f"PUT {url} HTTP/1.1", *(f"{name}: {value}" for name, value in JSON.items()), "")
            lines.append(ROW % (partition, index))
        body = "\r\n".join([*lines, f"--{changes}--", "", f"--{batch}--", ""]).encode()
        headers = {"Accept": JSON["Accept"], "Content-Type": f"multipart/mixed; boundary={batch}"}
        await self.send("table", "POST", "/$batch", headers, body, 202)

    async def read(self) -> None:
        """Read the first row that was stored."""
        path = f"/Limits(PartitionKey='p0',RowKey='{0:016X}')"
        await self.send("table", "GET", path, {"Accept": JSON["Accept"]}, None, 200)


def _receipt_of(answer: bytes) -> tuple[str, str]:
    found = _RECEIPT.search(answer)
    if found is None:
        raise RuntimeError(f"the answer has no message: {answer[:300]!r}")
    return found[1].decode(), found[2].decode()


# ---- measuring


class Load:
    """Requests of one kind, and what they took.

    Args:
        call: makes one.
        at_once: how many are under way at a time.
    """

    def __init__(self, call: Callable[[], Awaitable[None]], at_once: int) -> None:
        self._call = call
        self._at_once = at_once
        self.milliseconds: list[float] = []
        self.seconds = 0.0

    async def add(self, count: int) -> None:
        """Make so many requests."""
        left = iter(range(count))

        async def caller() -> None:
            for _ in left:
                began = time.perf_counter()
                await self._call()
                self.milliseconds.append((time.perf_counter() - began) * 1000)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(self._at_once)))
        self.seconds += time.perf_counter() - began

    def tell(self, report: Report, name: str) -> None:
        """Report percentiles and rate."""
        report.add_spread(f"{name}_ms", self.milliseconds, "ms")
        report.add(f"{name}_per_second", len(self.milliseconds) / self.seconds, "1/s")


async def warm_up(emulator: Emulator) -> None:
    """Create the queue and the table, and make some requests: the emulator's code is compiled as it runs."""
    await emulator.create()
    for _ in range(20):
        await emulator.put()
        await emulator.get()
        await emulator.batch(1)
        await emulator.batch(100)
    await emulator.clear()


async def rows(emulator: Emulator, report: Report, suffix: str, at_once: int, count: int) -> None:
    """Store and read rows, a tenth as many transactions of 100."""
    for name, call, some in (
        ("batch_1", lambda: emulator.batch(1), count),
        ("batch_100", lambda: emulator.batch(100), count // 10),
        ("read", emulator.read, count),
    ):
        load = Load(call, at_once)
        emulator_began, began = emulator.cpu_seconds, time.process_time()
        await load.add(some)
        load.tell(report, f"{name}_{suffix}")
        if at_once == AT_ONCE:
            _tell_cpu(report, name, emulator.cpu_seconds - emulator_began, time.process_time() - began, load)


async def filled(emulator: Emulator, report: Report, count: int) -> None:
    """Put messages into a queue that holds many."""
    await Load(emulator.put, AT_ONCE).add(STORED)
    full = Load(emulator.put, 1)
    await full.add(count)
    full.tell(report, f"put_with_{STORED}_stored")


async def messages(emulator: Emulator, report: Report, suffix: str, at_once: int, count: int) -> None:
    """Put, get and delete messages, so many of each, a few hundred at a time."""
    puts, gets, deletes = (Load(call, at_once) for call in (emulator.put, emulator.get, emulator.delete))
    done, emulator_began, began = 0, emulator.cpu_seconds, time.process_time()
    while done < count:
        some = min(EMPTIED_EVERY, count - done)
        await puts.add(some)
        emulator.receipts.clear()
        await gets.add(some)
        await deletes.add(some)
        done += some
    emulator_cpu, client_cpu = emulator.cpu_seconds - emulator_began, time.process_time() - began
    for name, load in (("put", puts), ("get", gets), ("delete", deletes)):
        load.tell(report, f"{name}_{suffix}")
    if at_once == AT_ONCE:
        _tell_cpu(report, "message", emulator_cpu, client_cpu, puts, gets, deletes)


def _tell_cpu(report: Report, name: str, emulator_cpu: float, client_cpu: float, *loads: Load) -> None:
    requests = sum(len(load.milliseconds) for load in loads)
    report.add(f"{name}_emulator_cpu_ms", emulator_cpu / requests * 1000, "ms")
    report.add(f"{name}_client_cpu_ms", client_cpu / requests * 1000, "ms")


async def measure(report: Report, *, quick: bool) -> None:
    """Take all figures, each group on an emulator of its own."""
    for suffix, at_once, count in (
        ("alone", 1, 60 if quick else 500),
        (f"at_once_{AT_ONCE}", AT_ONCE, 200 if quick else 1_500),
    ):
        for part in (messages, rows):
            async with fresh_emulator(f"{part.__name__} {suffix}") as emulator:
                await part(emulator, report, suffix, at_once, count)
    async with fresh_emulator("put_with_stored") as emulator:
        await filled(emulator, report, 30 if quick else 200)


@contextlib.asynccontextmanager
async def fresh_emulator(what: str) -> AsyncIterator[Emulator]:
    """Start an emulator, warm it up, and stop it at the end."""
    with fresh_azurite(what) as running:
        emulator = Emulator(running.connection_string, running.process.pid)
        try:
            await warm_up(emulator)
            yield emulator
        finally:
            await emulator.close()


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.azurite")
    parser.add_argument("--quick", action="store_true", help="fewer requests, for a first look")
    arguments = parser.parse_args()
    report = Report((__doc__ or "").partition("Usage:")[0])
    asyncio.run(measure(report, quick=arguments.quick))
    report.close()


if __name__ == "__main__":
    main()
