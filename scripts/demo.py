"""Starts the sample app, runs every pattern once over HTTP, and shows what came of it. Called by ``scripts/demo``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
from rich import box
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

APP = Path(__file__).parents[1] / "function_app"
START_SECONDS = 30
PATTERN_SECONDS = 30
WIDE = 120
"""Columns that a terminal needs to show whole ids and outputs."""
ENDED = ("Completed", "Failed", "Terminated", "Canceled")


@dataclass(frozen=True, slots=True)
class Scene:
    """One orchestration of the demo, and how it must end."""

    name: str
    pattern: str
    input: Any
    expected: Any
    answer: dict[str, Any] | None = None
    """A person's answer, posted to the app once the instance waits for it."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a scene ended."""

    instance_id: str
    status: str
    output: Any
    ms: int


SCENES = (
    Scene("chaining", "chaining", {"item": "desk", "quantity": 3}, "3 x desk for 567.00"),
    Scene(
        "fan_out",
        "fan_out",
        None,
        {"texts": {"harbour.txt": 23, "orchard.txt": 26, "station.txt": 29, "workshop.txt": 23}, "words": 101},
    ),
    Scene(
        "approval",
        "approval",
        {"expense": "Train to Turin, 84.00", "timeout_seconds": 60},
        {"expense": "Train to Turin, 84.00", "result": "approved", "by": "Ada"},
        answer={"approved": True, "by": "Ada"},
    ),
    Scene(
        "approval_timeout",
        "approval",
        {"expense": "Flight to Oslo, 310.00", "timeout_seconds": 2},
        {"expense": "Flight to Oslo, 310.00", "result": "escalated", "to": "manager"},
    ),
    Scene("counter", "counter", {"groups": [3, 1, 4]}, {"visitors": 8}),
    Scene(
        "provisioning",
        "provisioning",
        ["lock", "camera"],
        {
            "provisioned": 2,
            "devices": [
                {"device": "lock", "serial": "LO-0425", "firmware": "1.9.0"},
                {"device": "camera", "serial": "CA-0617", "firmware": "2.4.1"},
            ],
        },
    ),
    Scene(
        "compensation",
        "compensation",
        {"city": "Lisbon", "sold_out": ["car"]},
        {"city": "Lisbon", "booked": False, "failed": "car", "cancelled": ["flight", "hotel"]},
    ),
    Scene(
        "monitor",
        "monitor",
        {"build": "nightly", "interval_seconds": 1},
        {"build": "nightly", "state": "succeeded", "checks": 3},
    ),
)


class Host:
    """The host process: ``taskhub start`` on the sample app."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.lines: list[str] = []
        self.is_shown = False
        self._process = process
        self._reader = asyncio.ensure_future(self._read())

    @classmethod
    @contextlib.asynccontextmanager
    async def started(cls, port: int, *options: str) -> AsyncIterator[Host]:
        """Start a host; stop it at the end as Ctrl+C would."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "taskhub.cli", "start", str(APP), "--port", str(port), *options,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,  # Ctrl+C is ours to pass on, once
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        host = cls(process, port)
        try:
            yield host
        finally:
            await host._stop()

    async def is_ready(self, http: aiohttp.ClientSession) -> bool:
        """Wait until the host answers; False if it ended, or says nothing for too long."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self._process.returncode is None:
            with contextlib.suppress(aiohttp.ClientError, asyncio.TimeoutError):  # not listening yet
                async with http.get(f"{self.url}/runtime/webhooks/durabletask/instances?top=1") as answer:
                    if answer.status == 200:
                        return True
            await asyncio.sleep(0.05)
        return False

    async def ended(self) -> None:
        """Return when the host has ended."""
        await self._process.wait()

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self.lines.append(line.decode(errors="replace").rstrip())
            if self.is_shown:
                print(self.lines[-1], flush=True)

    async def _stop(self) -> None:
        if self._process.returncode is None:
            self._process.send_signal(signal.SIGINT)
            try:
                await asyncio.wait_for(self._process.wait(), 10)
            except asyncio.TimeoutError:
                self._process.kill()
        await self._reader


async def play(http: aiohttp.ClientSession, host: Host, scene: Scene) -> Result:
    """Start a scene's orchestration and follow it to its end, as any HTTP client would."""
    began = time.monotonic()
    body = None if scene.input is None else json.dumps(scene.input)
    async with http.post(f"{host.url}/api/orchestrators/{scene.pattern}", data=body) as answer:
        if answer.status != 202:
            return Result("", f"HTTP {answer.status}", await answer.text(), _ms_since(began))
        started = await answer.json()

    answered = False
    status: dict[str, Any] = {"runtimeStatus": "Pending", "output": None}
    while status["runtimeStatus"] not in ENDED and time.monotonic() - began < PATTERN_SECONDS:
        await asyncio.sleep(0.05)
        async with http.get(started["statusQueryGetUri"]) as answer:
            status = await answer.json()
        if scene.answer and not answered and status["customStatus"] == "waiting for approval":
            answered = True
            async with http.post(f"{host.url}/api/approvals/{started['id']}", json=scene.answer) as answer:
                answer.raise_for_status()
    return Result(started["id"], status["runtimeStatus"], status["output"], _ms_since(began))


async def play_all(http: aiohttp.ClientSession, host: Host, console: Console) -> dict[str, Result]:
    """Play all scenes at once; a row appears in the table as each ends."""
    results: dict[str, Result] = {}

    async def play_one(scene: Scene) -> None:
        began = time.monotonic()
        try:
            results[scene.name] = await play(http, host, scene)
        except aiohttp.ClientError as error:
            results[scene.name] = Result("", "no answer", str(error), _ms_since(began))
        live.update(_table(results, console.width))

    with Live(_table(results, console.width), console=console, refresh_per_second=10) as live:
        await asyncio.gather(*(play_one(scene) for scene in SCENES))
    if not console.is_terminal:
        console.print()  # there, Live leaves its last line open
    return results


def complaints(results: dict[str, Result]) -> list[str]:
    """Say of each scene that ended otherwise than it should how it did."""
    found = []
    for scene in SCENES:
        result = results[scene.name]
        if result.status != "Completed" or result.output != scene.expected:
            ended = f"{result.status} with {json.dumps(result.output)}"
            found.append(f"{scene.name} should be Completed with {json.dumps(scene.expected)}, but is {ended}")
    return found


async def main(arguments: argparse.Namespace, console: Console) -> int:
    """Run the demo and return its exit status."""
    task = asyncio.current_task()
    assert task is not None
    for name in (signal.SIGTERM, signal.SIGHUP):  # so that the host is stopped then, too
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    port = _free_port(arguments.port)
    with tempfile.TemporaryDirectory(prefix="taskhub-demo-") as room:
        storage = f"embedded:{room}/hub.db" if arguments.once else "embedded"
        console.print(f"taskhub start function_app --port {port}", style="bold")
        async with Host.started(port, "--storage", storage) as host, aiohttp.ClientSession() as http:
            if not await host.is_ready(http):
                console.print("The host did not start. It said:", style="red")
                print("\n".join(host.lines))
                return 1

            results = await play_all(http, host, console)
            wrong = complaints(results)
            for line in wrong:
                console.print(line, style="red", markup=False)
            if wrong:
                print("\n".join(["The host said:", *host.lines[-60:]]))
            if not arguments.once:
                print(_what_next(port, results["chaining"].instance_id))
                host.is_shown = True
                await _until_interrupted(host)
        if arguments.once:
            ended = {
                name: {"status": each.status, "output": each.output, "ms": each.ms} for name, each in results.items()
            }
            print(json.dumps({scene.name: ended[scene.name] for scene in SCENES}))
        return 1 if wrong else 0


def _table(results: dict[str, Result], width: int) -> Table:
    """Lay out the results; a narrow terminal gets the beginnings of ids and outputs, one line each."""
    is_narrow = width < WIDE
    table = Table(title="orchestrations as they finish", box=box.SIMPLE_HEAD, expand=is_narrow)
    for heading in ("pattern", "instance", "status", "ms"):
        table.add_column(heading, no_wrap=True, justify="right" if heading == "ms" else "left")
    # Where it is narrow, the output gets what the other columns leave.
    table.add_column(
        "output",
        no_wrap=is_narrow,
        overflow="ellipsis" if is_narrow else "fold",
        ratio=1 if is_narrow else None,
    )
    for name, each in results.items():
        colour = "green" if each.status == "Completed" else "red"
        instance = each.instance_id[:8] + "…" if is_narrow and each.instance_id else each.instance_id
        output = escape(json.dumps(each.output))
        table.add_row(name, instance, f"[{colour}]{each.status}[/]", str(each.ms), output)
    return table


def _what_next(port: int, instance_id: str) -> str:
    app = f"http://localhost:{port}/api"
    hub = f"http://localhost:{port}/runtime/webhooks/durabletask"
    return f"""
The host stays up. In another terminal, try:

  curl -X POST {app}/run/fan_out
  curl -X POST {app}/orchestrators/approval -d '{{"expense": "Lunch, 12.00", "timeout_seconds": 300}}'
  curl -X POST {app}/approvals/PUT-ITS-ID-HERE -d '{{"approved": true, "by": "you"}}'
  curl '{hub}/instances/{instance_id}?showHistory=true'
  .venv/bin/taskhub instances list --app function_app

More requests: function_app/requests.http. What is still waiting survives a kill -9 of the host and a new start.
Ctrl+C ends the demo. The host's log follows.
"""


async def _until_interrupted(host: Host) -> None:
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    waiting = {asyncio.ensure_future(host.ended()), asyncio.ensure_future(interrupted.wait())}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for each in waiting:
        each.cancel()


def _ms_since(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise SystemExit("No free port on 127.0.0.1.")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Run every pattern of the sample app once.")
    parser.add_argument("--once", action="store_true", help="end when all have run; one JSON object as the last line")
    parser.add_argument("--port", type=int, default=7071, help="port of the host, any free one if taken (default 7071)")
    try:
        sys.exit(asyncio.run(main(parser.parse_args(), Console(width=None if sys.stdout.isatty() else 160))))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit("stopped before the end")
