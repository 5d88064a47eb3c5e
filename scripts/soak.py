"""Loads a hub that is struck all the time, and counts what came of it. Called by ``scripts/soak``.

One host with several worker processes runs ``tests/apps/soak``. A fixed number of orchestrations is in progress at any
time: sequences, fan-outs, timers, events, sub-orchestrations, generations. Every few seconds something strikes:

- ``kill``: a worker is killed with -9; it is started again;
- ``stop``: a worker is stopped (SIGSTOP) for longer than its leases last, and goes on;
- ``store``: Azurite is stopped and started again some seconds later, with what it has on its disk. It writes that every
  five seconds only, so kill -9 would make it forget what it had acknowledged, which no worker can make good: it is told
  to stop (SIGTERM);
- ``disk``: the disk of the embedded store, a tmpfs, is full for some seconds. Mounting it needs root.

After the given time nothing is started or struck any more, and what is in progress has time to end. Then every history
is read, and what is left in the queues is counted:

- *lost*: has not ended, though it had time for every visibility timeout;
- *wrong*: ended otherwise than its input says;
- *twice*: completed twice, or one of its tasks was answered twice, or its result changed after it had ended;
- *left*: messages that nobody has taken.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import aiohttp

from taskhub import TaskHubClient, TaskHubSettings
from taskhub.core.runtime_state import answered_task
from taskhub.model.history import ExecutionCompleted
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.wiring import open_storage
from tests.support.azurite import start_azurite
from tests.support.workers import worker_processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from taskhub.model.history import HistoryEvent

APP = Path(__file__).parents[1] / "tests/apps/soak"
HUB = "SoakHub"
"""Of that app's host.json."""
END_SECONDS = 240
"""For what is in progress at the end: a visibility timeout of a minute, twice, and growing delays of early answers."""
STRIKES = {"embedded": ("kill", "stop", "disk"), "azurite": ("kill", "stop", "store")}
"""What may strike which store."""
STOPPED_SECONDS = (35.0, 50.0)
"""Leases last for 30."""
AWAY_SECONDS = (2.0, 15.0)
"""How long a store is away, or its disk full."""
DISK_BYTES = 2**30
QUEUE_SECONDS = 120
"""For what was answered too early, and comes back ever later, to be dropped."""
TELL_SECONDS = 10.0
ENDED = ("Completed", "Failed", "Terminated", "Canceled")


def squares(count: int) -> int:
    """Return what a sequence or a fan-out of so many activities returns."""
    return sum(number * number for number in range(count))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of orchestration: how inputs are drawn, and what they come to."""

    name: str
    draw: Callable[[random.Random], Any]
    expected: Callable[[Any], Any]


KINDS = (
    Kind("sequence", lambda draw: draw.randrange(1, 8), squares),
    Kind("fan_out", lambda draw: draw.randrange(1, 25), squares),
    Kind("timers", lambda draw: draw.randrange(1, 4), squares),
    Kind("events", lambda draw: draw.randrange(10), lambda given: given * given + 1000),
    Kind("family", lambda draw: draw.randrange(1, 5), lambda given: sum(squares(n) for n in range(given))),
    Kind("generations", lambda draw: [draw.randrange(6), 0], lambda given: squares(given[0] + 1)),
)


@dataclass(slots=True)
class Instance:
    """One orchestration of the load."""

    id: str
    kind: Kind
    given: Any
    started: float
    took: float | None = None
    output: Any = None


@dataclass
class Tally:
    """What came of it."""

    started: int = 0
    completed: int = 0
    lost: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    left: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    durations: list[float] = field(default_factory=list)


class Hub:
    """The management API of a host that may be away for a while."""

    def __init__(self, http: aiohttp.ClientSession, port: int) -> None:
        self._http = http
        self._base = f"http://127.0.0.1:{port}/runtime/webhooks/durabletask/"

    async def start(self, instance: Instance) -> None:
        """Start an instance; a second attempt may find it started."""
        path = f"orchestrators/{instance.kind.name}/{instance.id}"
        status, text = await self._ask("POST", path, instance.given)
        if status not in (202, 409):
            raise RuntimeError(f"{path} was answered {status}: {text}")

    async def raise_event(self, instance: Instance) -> None:
        """Give an instance what it waits for."""
        await self._ask("POST", f"instances/{instance.id}/raiseEvent/go", 1000)

    async def status(self, instance_id: str) -> dict[str, Any] | None:
        """Return the status of an instance, ``None`` when there is none."""
        status, text = await self._ask("GET", f"instances/{instance_id}")
        return json.loads(text) if status in (200, 202) else None

    async def _ask(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        while True:
            try:
                async with self._http.request(
                    method, self._base + path, json=body, timeout=aiohttp.ClientTimeout(60)
                ) as answer:
                    text = await answer.text()
                    if answer.status < 500:
                        return answer.status, text
            except (aiohttp.ClientError, asyncio.TimeoutError):
                pass  # the host is being started again, or its storage is slow
            await asyncio.sleep(0.5)


class Soak:
    """One run."""

    def __init__(
        self, options: argparse.Namespace, workers: Workers, store: Store, hub: Hub, client: TaskHubClient
    ) -> None:
        self._options = options
        self._workers = workers
        self._store = store
        self._hub = hub
        self._client = client
        self._draw = random.Random(options.seed)
        self._tally = Tally()
        self._instances: list[Instance] = []
        self._is_over = False

    async def run(self) -> Tally:
        """Load, strike, wait, check."""
        ends = time.monotonic() + self._options.seconds
        lanes = [asyncio.create_task(self._lane(ends)) for _ in range(self._options.in_progress)]
        striking = asyncio.create_task(self._strike_until(ends))
        telling = asyncio.create_task(self._tell())
        await asyncio.wait(lanes, timeout=self._options.seconds + END_SECONDS)
        await striking
        for task in (*lanes, telling):
            task.cancel()
        self._say("waiting for empty queues")
        self._tally.left = await self._left()
        self._say("reading every history")
        for instance in self._instances:
            await self._check(instance)
        self._tally.started = len(self._instances)
        return self._tally

    async def _lane(self, ends: float) -> None:
        while time.monotonic() < ends:
            kind = self._draw.choice(KINDS)
            name = f"{kind.name}-{len(self._instances)}"
            instance = Instance(name, kind, kind.draw(self._draw), time.monotonic())
            self._instances.append(instance)
            await self._hub.start(instance)
            if kind.name == "events":
                await asyncio.sleep(self._draw.uniform(0, 3))
                await self._hub.raise_event(instance)
            pause = 0.1
            while (status := await self._hub.status(instance.id)) is None or status["runtimeStatus"] not in ENDED:
                await asyncio.sleep(pause)
                pause = min(pause * 1.5, 2.0)
            instance.took = time.monotonic() - instance.started
            instance.output = status["output"]

    async def _strike_until(self, ends: float) -> None:
        """Strike until the time is over; then all that was stopped goes on."""
        async with contextlib.AsyncExitStack() as stack:
            while time.monotonic() < ends:
                await asyncio.sleep(self._draw.uniform(0.5, 1.5) * self._options.every)
                kind = self._draw.choice(self._options.strikes)
                if kind == "kill":
                    has_struck = self._workers.kill_one(self._draw)
                elif kind == "stop":
                    has_struck = await self._workers.stop_one(self._draw, stack)
                else:
                    has_struck = await self._away(ends)
                self._tally.struck[kind] += has_struck

    async def _away(self, ends: float) -> bool:
        await asyncio.to_thread(self._store.leave)
        try:
            await asyncio.sleep(max(min(self._draw.uniform(*AWAY_SECONDS), ends - time.monotonic()), 0.0))
        finally:
            await asyncio.to_thread(self._store.come_back)
        return True

    async def _left(self) -> int:
        deadline = time.monotonic() + QUEUE_SECONDS
        while True:
            status = await self._client.hub_status(count_instances=False)
            left = sum(partition.messages for partition in status.partitions) + status.work_items
            if not left or time.monotonic() > deadline:
                return left
            await asyncio.sleep(1)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            ended = sum(each.took is not None for each in self._instances)
            text = f"{len(self._instances)} started, {ended} ended, {dict(self._tally.struck)}"
            for each in self._instances:
                if each.took is None:
                    text += f"; {each.id} is at it for {time.monotonic() - each.started:.0f} s"
                    break
            self._say(text)

    async def _check(self, instance: Instance) -> None:
        state = await self._client.get(InstanceId(instance.id))
        if state is None or state.status is None or not state.status.is_terminal:
            self._tally.lost.append(f"{instance.id}: {state}")
            return
        self._tally.completed += 1
        if instance.took is not None:
            self._tally.durations.append(instance.took)
        expected = instance.kind.expected(instance.given)
        output = json.loads(state.output or "null")
        if (state.status, output) != (RuntimeStatus.Completed, expected):
            self._tally.wrong.append(f"{instance.id}: {state.status.name} {state.output}, not {expected}")
        history = await self._client.history(InstanceId(instance.id))
        if _is_twice(history) or (instance.took is not None and instance.output != output):
            self._tally.twice.append(instance.id)

    def _say(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def _is_twice(history: Sequence[HistoryEvent]) -> bool:
    """Return whether an execution ended twice, or was told twice how one of its tasks ended."""
    ends = sum(isinstance(event, ExecutionCompleted) for event in history)
    answered = Counter(answered_task(event) for event in history)
    del answered[None]
    return ends != 1 or any(count > 1 for count in answered.values())


# ---- processes


class Workers:
    """The host and its workers."""

    def __init__(self, options: argparse.Namespace, port: int, storage: str, environment: dict[str, str]) -> None:
        self._count = options.workers
        self._environment = environment
        self._command = [sys.executable, "-m", "taskhub.cli", "start", str(APP), "--port", str(port)]
        self._command += ["--storage", storage, "--workers", str(self._count)]
        self._host = self._start()
        self._stopped: set[int] = set()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, stdin=subprocess.DEVNULL)

    def kill_one(self, draw: random.Random) -> bool:
        """Kill a worker. A host that is its only worker is started again here; others see to that themselves.

        Returns:
            Whether there was one.
        """
        if self._count == 1:
            self._host.kill()
            self._host.wait()
            self._host = self._start()
            return True
        found = worker_processes(self._host.pid)
        return bool(found) and _send(draw.choice(found), signal.SIGKILL)

    async def stop_one(self, draw: random.Random, stack: contextlib.AsyncExitStack) -> bool:
        """Stop a worker, and let it go on when its leases have ended, or when the stack is closed.

        One worker at a time: others must be there to take over.
        """
        found = [pid for pid in worker_processes(self._host.pid) or [self._host.pid] if pid not in self._stopped]
        if self._stopped or not found:
            return False
        pid = draw.choice(found)
        if not _send(pid, signal.SIGSTOP):
            return False
        self._stopped.add(pid)

        async def go_on() -> None:
            try:
                await asyncio.sleep(draw.uniform(*STOPPED_SECONDS))
            finally:
                self._stopped.discard(pid)
                _send(pid, signal.SIGCONT)

        going_on = asyncio.create_task(go_on())
        stack.push_async_callback(_let_end, going_on)
        return True

    def stop(self) -> None:
        """Stop the host."""
        self._host.terminate()
        try:
            self._host.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._host.kill()


def _send(pid: int, number: int) -> bool:
    """Send a signal to a process, which may have ended by itself meanwhile; return whether it was there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


async def _let_end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


# ---- stores


class Store(Protocol):
    """An empty store that can be away for a while."""

    option: str
    """Of ``taskhub start``."""
    environment: dict[str, str]
    """For it."""

    def leave(self) -> None:
        """Answer no more, or write no more."""

    def come_back(self) -> None:
        """Go on with all that was stored."""


class AzuriteOnDisk:
    """An emulator that keeps what it has in a folder, and comes back on the same ports."""

    def __init__(self, room: Path) -> None:
        self._room = room
        self._emulator = start_azurite(room)
        self._ports = (self._emulator.blob_port, self._emulator.queue_port, self._emulator.table_port)
        self.option = "SoakStorage"
        self.environment = {**os.environ, "SoakStorage": self._emulator.connection_string}

    def leave(self) -> None:
        """Stop in order."""
        self._emulator.stop()

    def come_back(self) -> None:
        """Start again."""
        self._emulator = start_azurite(self._room, ports=self._ports)

    def end(self) -> None:
        """End for good."""
        self._emulator.end()


class SqliteFile:
    """A file of the embedded store."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.option = f"embedded:{folder}/hub.db"
        self.environment = dict(os.environ)

    def leave(self) -> None:
        """Let the disk be full: no larger than what is on it."""
        for _ in range(100):
            disk = os.statvfs(self._folder)
            # What is written meanwhile makes it refuse to be smaller than that.
            if self._resize((disk.f_blocks - disk.f_bfree) * disk.f_frsize):
                return
        raise RuntimeError(f"the disk {self._folder} could not be made full")

    def come_back(self) -> None:
        """Give it room again."""
        if not self._resize(DISK_BYTES):
            raise RuntimeError(f"the disk {self._folder} stays full")

    def mount(self) -> None:
        """Lay a disk of its own under the file.

        Raises:
            SystemExit: that needs root.
        """
        command = ("mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(self._folder))
        if subprocess.run(command, check=False).returncode:
            raise SystemExit("no small disk could be mounted: run as root, or leave disk out of --strikes")

    def unmount(self) -> None:
        """Take it away."""
        subprocess.run(("umount", "--lazy", str(self._folder)), check=True)

    def _resize(self, size: int) -> bool:
        command = ("mount", "-o", f"remount,size={size}", str(self._folder))
        return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


@contextlib.contextmanager
def store(kind: str, strikes: Sequence[str]) -> Iterator[Store]:
    """Give an empty store."""
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        if kind == "azurite":
            emulator = AzuriteOnDisk(Path(folder))
            try:
                yield emulator
            finally:
                emulator.end()
            return
        file = SqliteFile(Path(folder))
        if "disk" not in strikes:
            yield file
            return
        file.mount()
        try:
            yield file
        finally:
            file.unmount()


@contextlib.asynccontextmanager
async def running(options: argparse.Namespace) -> AsyncIterator[tuple[Workers, Store, Hub, TaskHubClient]]:
    """Run a host with workers on a store of its own; give also a client that reads the store itself."""
    with store(options.storage, options.strikes) as place:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        workers = Workers(options, port, place.option, place.environment)
        try:
            async with aiohttp.ClientSession() as http:
                opened = await open_storage(place.option, app_settings=place.environment, app_root=None)
                yield workers, place, Hub(http, port), TaskHubClient(opened, TaskHubSettings(hub_name=HUB))
                await opened.aclose()
        finally:
            workers.stop()


async def soak(options: argparse.Namespace) -> bool:
    """Run, print the result, and return whether all is well."""
    async with running(options) as (workers, place, hub, client):
        tally = await Soak(options, workers, place, hub, client).run()
    for title, found in (("lost", tally.lost), ("wrong", tally.wrong), ("twice", tally.twice)):
        for each in found:
            print(f"{title}: {each}")
    took = sorted(tally.durations) or [0.0]
    result = {
        "storage": options.storage,
        "workers": options.workers,
        "seconds": options.seconds,
        "every": options.every,
        "struck": {kind: tally.struck[kind] for kind in options.strikes},
        "started": tally.started,
        "completed": tally.completed,
        "lost": len(tally.lost),
        "wrong": len(tally.wrong),
        "twice": len(tally.twice),
        "left": tally.left,
        "median_s": round(statistics.median(took), 2),
        "p99_s": round(took[int(len(took) * 0.99)], 2),
        "longest_s": round(took[-1], 2),
    }
    print(json.dumps(result))
    return not (tally.lost or tally.wrong or tally.twice or tally.left)


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long to load and strike")
    parser.add_argument("--storage", choices=("embedded", "azurite"), default="embedded")
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 1: the host itself is killed")
    parser.add_argument(
        "--strikes", default="kill", help="what strikes, comma-separated: kill, stop, store (Azurite), disk (embedded)"
    )
    parser.add_argument("--every", type=float, default=4.0, help="seconds from one strike to the next, on average")
    parser.add_argument("--in-progress", type=int, default=20, help="orchestrations in progress at any time")
    parser.add_argument("--seed", type=int, default=None, help="of the load; drawn by default")
    options = parser.parse_args()
    options.strikes = options.strikes.split(",")
    if unknown := [each for each in options.strikes if each not in STRIKES[options.storage]]:
        parser.error(
            f"{', '.join(unknown)} cannot strike {options.storage}; choose of {', '.join(STRIKES[options.storage])}"
        )
    if options.workers == 1 and "stop" in options.strikes:
        parser.error("nobody takes over from the only worker: stop needs --workers 2 or more")
    if options.seed is None:
        options.seed = random.randrange(10**6)
    print(f"seed {options.seed}")
    return 0 if asyncio.run(soak(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
