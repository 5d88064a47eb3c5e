"""What does a request cost, and how soon is the first one answered?

On a host process with one worker (``taskhub start``), the embedded store and the app in benchmarks/http_app, its
console going to a file as under a supervisor. The client is a process of its own that keeps connections alive and does
nothing but wait for answers:

- CPU of a request: processor time of the host, in its kernel too, by requests; for a plain function, a coroutine
  function, a plain one that needs a key, and a ping that reaches no function;
- requests a second: the same by wall clock. Only a machine with nothing else to do shows what a host can do;
- start: from the start of the process to the first answer of the sample app's management API, and what it went through
  on the way, and when the worker owned a partition. The best of several, CPU beside it;
- idle memory: resident, some seconds after that first answer; the most of several.

Usage: ``python -m benchmarks.http_front [--quick]``. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp

from benchmarks.processes import cpu_seconds, resident_megabytes
from benchmarks.report import Report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ROOT = Path(__file__).parents[1]
APP = Path(__file__).parent / "http_app"
SAMPLE_APP = ROOT / "function_app"
CONNECTIONS = 32
GIVE_UP_SECONDS = 60
IDLE_SECONDS = 3.0
MILESTONES = {
    "modules imported": "Task Hub for Durable Functions",
    "app loaded": "Worker process started and initialized",
    "doors open": "Now listening on",
    "first partition owned": "Host lock lease acquired",
}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.asynccontextmanager
async def running_host(app: Path, *options: str) -> AsyncIterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Start a host on a fresh store; yields it at once, with its port and the file that its console goes to."""
    with tempfile.TemporaryDirectory(prefix="taskhub-benchmark-") as room:
        port, log = free_port(), Path(room) / "log"
        command = [sys.executable, "-m", "taskhub.cli", "start", str(app), "--port", str(port)]
        command += ["--storage", f"embedded:{room}/hub.db", *options]
        environment = {**os.environ, "TASKHUB_SECRETS": f"{room}/secrets"}
        with log.open("wb") as output:
            process = subprocess.Popen(  # noqa: ASYNC220  # nothing else runs meanwhile
                command, stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        try:
            yield process, port, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(GIVE_UP_SECONDS)


async def answered(http: aiohttp.ClientSession, url: str) -> None:
    """Wait for the first answer."""
    ends = time.monotonic() + GIVE_UP_SECONDS
    while True:
        with contextlib.suppress(aiohttp.ClientConnectionError):
            async with http.get(url) as answer:
                if answer.status == 200:
                    return
        if time.monotonic() > ends:
            raise RuntimeError(f"{url} was not answered with 200 within {GIVE_UP_SECONDS} s")
        await asyncio.sleep(0.002)


# ---- requests


async def ask(port: int, path: str, headers: str, times: int) -> None:
    """Ask for the same thing on one connection, again and again."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n".encode()
    for _ in range(times):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: (\d+)", head)
        if not head.startswith(b"HTTP/1.1 200") or length is None:
            raise RuntimeError(f"{path} was answered {head!r}")
        await reader.readexactly(int(length[1]))
    writer.close()


def load(port: int, path: str, headers: str, requests: int) -> None:
    """Be the client process: ask on all connections at once."""

    async def all_of_them() -> None:
        share = requests // CONNECTIONS
        await asyncio.gather(*(ask(port, path, headers, share) for _ in range(CONNECTIONS)))

    asyncio.run(all_of_them())


async def measure(pid: int, port: int, path: str, headers: str, requests: int) -> tuple[float, float]:
    """Return the microseconds of CPU of a request, and requests a second."""
    own = [sys.executable, "-m", "benchmarks.http_front", "--client", str(port), path, headers]
    await run_client([*own, str(CONNECTIONS * 20)])
    cpu, began = cpu_seconds(pid), time.perf_counter()
    await run_client([*own, str(requests)])
    took = time.perf_counter() - began
    return (cpu_seconds(pid) - cpu) / requests * 1e6, requests / took


async def run_client(command: list[str]) -> None:
    """Run a client process to its end."""
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT)
    if await process.wait():
        raise RuntimeError("the client process failed")


async def requests(report: Report, count: int) -> None:
    """Take the figures of requests."""
    async with aiohttp.ClientSession() as http:
        for name, path, needs_key in (
            ("hello_plain", "/api/hello", False),
            ("hello_coroutine", "/api/hello_async", False),
            ("hello_with_key", "/api/guarded", True),
            ("ping", "/admin/host/ping", False),
        ):
            options = ["--enable-auth"] if needs_key else []
            async with running_host(APP, *options) as (process, port, log):
                await answered(http, f"http://127.0.0.1:{port}/admin/host/ping")
                headers = f"x-functions-key: {function_key(log.parent)}\r\n" if needs_key else ""
                cpu, rate = await measure(process.pid, port, path, headers, count)
            report.add(f"{name}_cpu_us", cpu, "us", "<= 667" if name == "hello_plain" else "")
            report.add(f"{name}_per_s", rate, "1/s", ">= 1500" if name == "hello_plain" else "")


def function_key(room: Path) -> str:
    """Return the key that opens all functions of the host that lives there."""
    stored = json.loads((room / "secrets" / "host.json").read_text(encoding="utf-8"))
    return str(stored["functionKeys"][0]["value"])


# ---- start


async def one_start(http: aiohttp.ClientSession) -> tuple[dict[str, float], float, float]:
    """Return when each milestone was reached, in seconds, the CPU until the first answer, and the idle memory."""
    reached: dict[str, float] = {}
    began = time.perf_counter()
    async with running_host(SAMPLE_APP) as (process, port, log):
        url = f"http://127.0.0.1:{port}/runtime/webhooks/durabletask/instances"
        asking = asyncio.create_task(answered(http, url))
        cpu = 0.0
        while len(reached) < len(MILESTONES) + 1:
            written = log.read_text(errors="replace")  # a small file in memory
            now = time.perf_counter() - began
            for name, text in MILESTONES.items():
                if text in written:
                    reached.setdefault(name, now)
            if asking.done() and "first answer" not in reached:
                reached["first answer"], cpu = now, cpu_seconds(process.pid)
            if now > GIVE_UP_SECONDS:
                raise RuntimeError(f"the start came no further than {list(reached)}:\n{written}")
            await asyncio.sleep(0.002)
        await asking
        await asyncio.sleep(IDLE_SECONDS)
        memory = resident_megabytes(process.pid)
    return reached, cpu, memory


async def starts(report: Report, times: int) -> None:
    """Take the figures of the start: the best of several."""
    async with aiohttp.ClientSession() as http:
        taken = [await one_start(http) for _ in range(times)]
    reached, _, _ = min(taken, key=lambda each: each[0]["first answer"])
    before = 0.0
    for name, at in sorted(reached.items(), key=lambda each: each[1]):
        report.add(
            f"start: {name}", at * 1000, "ms", "<= 1000" if name == "first answer" else f"+ {(at - before) * 1000:.0f}"
        )
        before = at
    report.add("start_cpu_ms", min(cpu for _, cpu, _ in taken) * 1000, "ms")
    report.add("idle_rss_mb", max(memory for _, _, memory in taken), "MB", "<= 90")


async def run(report: Report, *, quick: bool) -> None:
    """Take all figures."""
    await requests(report, 3_200 if quick else 20_000 // CONNECTIONS * CONNECTIONS)
    await starts(report, 2 if quick else 5)


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.http_front")
    parser.add_argument("--quick", action="store_true", help="fewer requests, for a first look")
    parser.add_argument("--client", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.client:
        port, path, headers, count = arguments.client
        load(int(port), path, headers, int(count))
        return
    report = Report((__doc__ or "").partition("Usage:")[0])
    asyncio.run(run(report, quick=arguments.quick))
    report.close()


if __name__ == "__main__":
    main()
