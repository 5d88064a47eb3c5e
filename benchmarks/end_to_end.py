"""How long do orchestrations take for somebody who starts them over HTTP?

Every figure is taken on a host process of its own (``taskhub start benchmarks/app``) with a store of its own, after
one hello that shows that it is up; through an HTTP trigger of the app and the management API; from just before the
request that starts the work to the moment when this client has seen that it is done:

- fan-out: one orchestration that starts N activities at once and ends when all have answered;
- sequence: one orchestration that calls N activities one after the other;
- hello: N orchestrations of three activities each, started by 32 connections at once, until all are completed;
- idle hello: one such orchestration on a hub that has had nothing to do for a second, polled every 5 ms;
- idle memory: resident memory of the host and its children after the idle hellos;
- idle hello from elsewhere: the same hello, started by a client in another process (this one) after five seconds in
  which nothing happened, until that client sees its end in the store.

The activities return a greeting; nothing but the task hub, the host and HTTP takes time.

Usage: ``python -m benchmarks.end_to_end [--storage embedded|azurite] [--sdk own|own-json|official] [--quick]``. The
same app runs on our SDK (live, or by its JSON shell) or on azure-functions-durable, which is installed beside where it
is missing; the goals are those of our live SDK. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import os
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from benchmarks.report import Report
from taskhub import TaskHubClient, TaskHubSettings
from taskhub.hints import HintSender
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.azure import open_azure
from taskhub.storage.sqlite import open_sqlite
from tests.support import reference
from tests.support.azurite import running_azurite

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

APP = Path(__file__).parent / "app"
HUB = "Benchmark"
"""Of that app's host.json."""
CONNECTIONS = 32
GOALS = {
    "embedded": {"fan_out_1000_s": "<= 4", "sequence_100_s": "<= 1.5", "idle_hello_p50_ms": "<= 60"},
    "azurite": {
        "fan_out_1000_s": "<= 8",
        "sequence_100_s": "<= 2",
        "hello_200_s": "<= 6",
        "idle_hello_p95_ms": "<= 200",
        "idle_hello_from_elsewhere_max_ms": "<= 1000",
    },
}
GIVE_UP_SECONDS = 300
AZURITE_COLLECTS_SECONDS = 55
"""Every 60 s from its start; a little earlier, since the host takes time to start."""


@dataclass(frozen=True, slots=True)
class Host:
    """A running host and a client's session with it."""

    http: aiohttp.ClientSession
    url: str
    pid: int
    store: str
    """A connection string, or the path of the embedded store."""

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


async def fan_out(host: Host, size: int) -> float:
    """Return the seconds that a fan-out of ``size`` takes."""
    began = time.perf_counter()
    output = await host.finished(await host.start("fan_out", size), poll_seconds=0.02)
    _expect(output, size)
    return time.perf_counter() - began


async def sequence(host: Host, size: int) -> float:
    """Return the seconds that a sequence of ``size`` takes."""
    began = time.perf_counter()
    output = await host.finished(await host.start("sequence", size), poll_seconds=0.02)
    _expect(output, size)
    return time.perf_counter() - began


async def hellos(host: Host, size: int) -> float:
    """Return the seconds that ``size`` parallel hello sequences take."""
    turns = asyncio.Semaphore(CONNECTIONS)

    async def start() -> None:
        async with turns:
            await host.start("hello", None)

    greeted, completed = await host.greeted(), await host.count("Completed")
    began = time.perf_counter()
    await asyncio.gather(*(start() for _ in range(size)))
    # Lists of a thousand instances are expensive on Azurite, so they are asked for only near the end.
    while await host.greeted() < greeted + 3 * size:
        _check_time(began)
        await asyncio.sleep(0.05)
    while await host.count("Completed") < completed + size:
        _check_time(began)
        await asyncio.sleep(0.05)
    took = time.perf_counter() - began
    _expect(await host.count("Completed"), completed + size)
    return took


async def idle_hellos(host: Host, times: int) -> tuple[float, float, float]:
    """Return median and 95th percentile of a hello on an idle hub in ms, and the idle host's memory in MB."""
    took = []
    for _ in range(times):
        await asyncio.sleep(1)
        began = time.perf_counter()
        await host.finished(await host.start("hello", None), poll_seconds=0.005)
        took.append((time.perf_counter() - began) * 1000)
    await asyncio.sleep(1)
    return statistics.median(took), statistics.quantiles(took, n=20)[-1], resident_megabytes(host.pid)


async def hellos_from_elsewhere(host: Host, times: int) -> tuple[float, float]:
    """Return median and longest time in ms of a hello on an idle hub that a client in this process starts."""
    is_account = "AccountName=" in host.store
    storage = await (open_azure(connection_string=host.store) if is_account else open_sqlite(Path(host.store)))
    sender = HintSender(storage.description, HUB)
    client = TaskHubClient(storage, TaskHubSettings(hub_name=HUB), wake=sender.hint)
    took = []
    for _ in range(times):
        await asyncio.sleep(5)
        began = time.perf_counter()
        state = await client.wait(await client.start("hello"), timeout_seconds=GIVE_UP_SECONDS, poll_seconds=0.005)
        _expect(state is not None and state.status, RuntimeStatus.Completed)
        took.append((time.perf_counter() - began) * 1000)
    sender.close()
    await storage.aclose()
    return statistics.median(took), max(took)


async def run(storage: str, sdk: str, report: Report, *, quick: bool) -> None:
    """Take all figures, each on a fresh host and store."""
    goals = {} if quick or sdk != "own" else GOALS[storage]

    async def take(name: str, measure: Callable[[Host], Awaitable[float]]) -> None:
        async with running_host(storage, sdk) as host:
            born = time.perf_counter()
            report.add(name, await measure(host), "s", goals.get(name, ""))
            if storage == "azurite" and time.perf_counter() - born > AZURITE_COLLECTS_SECONDS:
                print("    (Azurite's queue collector ran meanwhile, which stops it for seconds: not comparable)")

    many, steps = (100, 20) if quick else (1000, 100)
    await take(f"fan_out_{many}_s", lambda host: fan_out(host, many))
    await take(f"sequence_{steps}_s", lambda host: sequence(host, steps))
    for size in (50,) if quick else (200, 1000) if storage == "azurite" else (1000,):
        await take(f"hello_{size}_s", functools.partial(hellos, size=size))
    async with running_host(storage, sdk) as host:
        p50, p95, memory = await idle_hellos(host, 10 if quick else 40)
    report.add("idle_hello_p50_ms", p50, "ms", goals.get("idle_hello_p50_ms", ""))
    report.add("idle_hello_p95_ms", p95, "ms", goals.get("idle_hello_p95_ms", ""))
    report.add("idle_rss_mb", memory, "MB")
    async with running_host(storage, sdk) as host:
        median, longest = await hellos_from_elsewhere(host, 3 if quick else 12)
    report.add("idle_hello_from_elsewhere_p50_ms", median, "ms")
    report.add("idle_hello_from_elsewhere_max_ms", longest, "ms", goals.get("idle_hello_from_elsewhere_max_ms", ""))


@contextlib.asynccontextmanager
async def running_host(storage: str, sdk: str) -> AsyncIterator[Host]:
    """Start a host on a fresh store, and stop both at the end."""
    with contextlib.ExitStack() as stack:
        room = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="taskhub-benchmark-")))
        environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
        if sdk == "official":
            environment["VIRTUAL_ENV"] = str(reference.environment())
        store = f"{room}/hub.db"
        options = ["--storage", f"embedded:{store}"]
        if storage == "azurite":
            environment["AzureWebJobsStorage"] = store = stack.enter_context(running_azurite()).connection_string
            options = ["--storage", "AzureWebJobsStorage"]
        port = _free_port()
        process = stack.enter_context(
            _process([*options, "--sdk", sdk, "--port", str(port)], environment, room / "log")
        )
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=CONNECTIONS)) as http:
            host = Host(http, f"http://127.0.0.1:{port}", process.pid, store)
            await _until_ready(host, process, room / "log")
            yield host


@contextlib.contextmanager
def _process(options: list[str], environment: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "taskhub.cli", "start", str(APP), *options]
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


def resident_megabytes(pid: int) -> float:
    """Return the resident memory of a process and its children (Linux)."""
    kilobytes = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            kilobytes = int(line.split()[1])
    children = Path(f"/proc/{pid}/task/{pid}/children")
    below = children.read_text().split() if children.exists() else []
    return kilobytes / 1024 + sum(resident_megabytes(int(child)) for child in below)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _check_time(began: float) -> None:
    if time.perf_counter() - began > GIVE_UP_SECONDS:
        raise RuntimeError(f"not done after {GIVE_UP_SECONDS} s")


def _expect(found: object, wanted: object) -> None:
    if found != wanted:
        raise RuntimeError(f"the work came out wrong: {found!r} instead of {wanted!r}")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end")
    parser.add_argument("--storage", choices=("embedded", "azurite"), default="embedded")
    parser.add_argument("--sdk", choices=("own", "own-json", "official"), default="own")
    parser.add_argument("--quick", action="store_true", help="smaller loads, for a first look")
    arguments = parser.parse_args()
    report = Report(f"{(__doc__ or '').partition('Usage:')[0]}Store: {arguments.storage}. SDK: {arguments.sdk}.")
    asyncio.run(run(arguments.storage, arguments.sdk, report, quick=arguments.quick))
    report.close()


if __name__ == "__main__":
    main()
