"""Host processes under load: stores, processes, and a client's session with each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.report import note
from taskhub.storage.azure import open_azure
from taskhub.storage.sqlite import open_sqlite
from tests.support import reference
from tests.support.azurite import running_azurite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping

    from taskhub.storage.port import Storage
    from tests.support.azurite import Azurite

APP = Path(__file__).parent / "app"
HUB = "Benchmark"
"""Of that app's host.json."""
CONNECTIONS = 32
"""Of a client with a host."""
GIVE_UP_SECONDS = 300
AZURITE_COLLECTS_SECONDS = 58
"""Every 60 s from its start, Azurite's queue service looks for messages that have expired or were deleted."""


@dataclass(frozen=True, slots=True)
class Store:
    """Where hubs lie that were not there before.

    Args:
        room: an empty folder.
        connection_string: of an emulator; ``None``: the embedded store.
        emulator_pid: of its process.
    """

    room: Path
    connection_string: str | None = None
    emulator_pid: int | None = None

    @property
    def options(self) -> list[str]:
        """Return what ``taskhub start`` is told."""
        return ["--storage", f"embedded:{self._path}" if self.connection_string is None else "AzureWebJobsStorage"]

    @property
    def environment(self) -> Mapping[str, str]:
        """Return the variables that go with it."""
        return {} if self.connection_string is None else {"AzureWebJobsStorage": self.connection_string}

    async def open(self) -> Storage:
        """Open it in this process."""
        if self.connection_string is None:
            return await open_sqlite(self._path)
        return await open_azure(connection_string=self.connection_string)

    @property
    def _path(self) -> Path:
        return self.room / "hub.db"


@contextlib.contextmanager
def fresh_azurite(what: str) -> Iterator[Azurite]:
    """Give an emulator that has nothing yet; note when it ran for so long that its queue collector stopped it.

    Args:
        what: is measured on it, for the note.
    """
    with running_azurite() as emulator:
        born = time.monotonic()
        yield emulator
        if time.monotonic() - born > AZURITE_COLLECTS_SECONDS:
            note(f"{what}: Azurite's queue collector ran meanwhile, which stops it for seconds; not comparable")


@contextlib.contextmanager
def fresh_store(kind: str, what: str) -> Iterator[Store]:
    """Give an empty store, whose emulator has nothing else.

    Args:
        kind: ``embedded`` or ``azurite``.
        what: is measured on it.
    """
    with tempfile.TemporaryDirectory(prefix="taskhub-benchmark-") as room:
        if kind == "embedded":
            yield Store(Path(room))
            return
        with fresh_azurite(what) as emulator:
            yield Store(Path(room), emulator.connection_string, emulator.process.pid)


@dataclass(frozen=True, slots=True)
class Host:
    """A running host and a client's session with it."""

    http: aiohttp.ClientSession
    url: str
    pid: int
    store: Store

    async def start(self, name: str, data: Any) -> str:
        """Start an orchestration through the app's HTTP trigger and return the URL of its status."""
        async with self.http.post(f"{self.url}/api/start/{name}", json=data) as answer:
            if answer.status != 202:
                raise RuntimeError(f"starting {name} answered {answer.status}: {await answer.text()}")
            return str((await answer.json())["statusQueryGetUri"])

    async def finished(self, status_url: str, *, poll_seconds: float) -> Any:
        """Wait for an instance's end and return its output."""
        deadline = time.monotonic() + GIVE_UP_SECONDS
        while time.monotonic() < deadline:
            async with self.http.get(status_url, params={"showInput": "false"}) as answer:
                status = await answer.json()
            if status["runtimeStatus"] == "Completed":
                return status["output"]
            if status["runtimeStatus"] not in ("Pending", "Running"):
                raise RuntimeError(f"an orchestration ended as {status['runtimeStatus']}: {status['output']}")
            await asyncio.sleep(poll_seconds)
        raise RuntimeError(f"{status_url} was not done after {GIVE_UP_SECONDS} s")

    async def greeted(self) -> int:
        """Return how many activities have run."""
        async with self.http.get(f"{self.url}/api/greeted") as answer:
            return int(await answer.text())

    async def count(self, *statuses: str) -> int:
        """Count the instances that have one of these statuses."""
        query = {"runtimeStatus": ",".join(statuses), "showInput": "false"}
        found, token = 0, ""
        while True:
            headers = {"x-ms-continuation-token": token} if token else {}
            url = f"{self.url}/runtime/webhooks/durabletask/instances"
            async with self.http.get(url, params=query, headers=headers) as answer:
                if answer.status != 200:
                    raise RuntimeError(f"the list of instances answered {answer.status}: {await answer.text()}")
                found += len(await answer.json())
                token = answer.headers.get("x-ms-continuation-token", "")
            if not token:
                return found


@dataclass(frozen=True)
class HostOptions:
    """How a host is started."""

    sdk: str = "own"
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Of the task hub, besides those of the app's ``host.json``."""


@contextlib.asynccontextmanager
async def running_host(store: Store, options: HostOptions | None = None) -> AsyncIterator[Host]:
    """Start a host on a store, wait until it has run one hello, and stop it at the end."""
    options = options or HostOptions()
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    environment.update(store.environment)
    if options.sdk == "official":
        environment["VIRTUAL_ENV"] = str(reference.environment())
    port = _free_port()
    command = [sys.executable, "-m", "taskhub.cli"]
    if options.settings:
        command = [sys.executable, "-m", "benchmarks.tuned_host", json.dumps(options.settings)]
    command += ["start", str(APP), *store.options, "--sdk", options.sdk, "--port", str(port)]
    log = store.room / f"log-{port}"
    with _process(command, environment, log) as process:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:
            host = Host(http, f"http://127.0.0.1:{port}", process.pid, store)
            await _until_ready(host, process, log)
            yield host


@contextlib.contextmanager
def _process(command: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def _until_ready(host: Host, process: subprocess.Popen[bytes], log: Path) -> None:
    """Wait for one hello, which proves that storage is there and partitions are owned."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(aiohttp.ClientConnectionError):  # not listening yet
            await host.finished(await host.start("hello", None), poll_seconds=0.02)
            return
        await asyncio.sleep(0.1)
    said = log.read_text(errors="replace")  # noqa: ASYNC240  # the last thing that happens
    raise RuntimeError(f"the host did not start. It said:\n{said}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
