"""Loads a hub whose workers are killed all the time, and counts what came of it. Called by ``scripts/soak``.

One host with several worker processes runs ``tests/apps/soak``. A fixed number of orchestrations is in progress at any
time: sequences, fan-outs, timers, events, sub-orchestrations, generations. Every few seconds one worker is killed with
-9; it is started again. After the given time nothing is started or killed any more, and what is in progress has time to
end. Then every history is read:

- *lost*: has not ended, though it had time for every visibility timeout;
- *wrong*: ended otherwise than its input says;
- *twice*: completed twice, or one of its tasks was answered twice, or its result changed after it had ended.
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
from typing import TYPE_CHECKING, Any

import aiohttp

from taskhub import TaskHubClient, TaskHubSettings
from taskhub.core.runtime_state import answered_task
from taskhub.model.history import ExecutionCompleted
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.wiring import open_storage
from tests.support.azurite import running_azurite
from tests.support.workers import worker_processes

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Sequence

    from taskhub.model.history import HistoryEvent

APP = Path(__file__).parents[1] / "tests/apps/soak"
HUB = "SoakHub"
"""Of that app's host.json."""
END_SECONDS = 240
"""For what is in progress at the end: a visibility timeout of a minute, twice, and growing delays of early answers."""
KILL_PAUSE_SECONDS = (2.0, 6.0)
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
    kills: int = 0
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

    def __init__(self, options: argparse.Namespace, workers: Workers, hub: Hub, client: TaskHubClient) -> None:
        self._options = options
        self._workers = workers
        self._hub = hub
        self._client = client
        self._draw = random.Random(options.seed)
        self._tally = Tally()
        self._instances: list[Instance] = []
        self._is_over = False

    async def run(self) -> Tally:
        """Load, kill, wait, check."""
        ends = time.monotonic() + self._options.seconds
        lanes = [asyncio.create_task(self._lane(ends)) for _ in range(self._options.in_progress)]
        killing = asyncio.create_task(self._kill(ends))
        telling = asyncio.create_task(self._tell())
        await asyncio.wait(lanes, timeout=self._options.seconds + END_SECONDS)
        for task in (*lanes, killing, telling):
            task.cancel()
        self._say("reading every history")
        for instance in self._instances:
            await self._check(instance)
        self._tally.started = len(self._instances)
        self._tally.kills = self._workers.kills
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

    async def _kill(self, ends: float) -> None:
        while True:
            await asyncio.sleep(self._draw.uniform(*KILL_PAUSE_SECONDS))
            if time.monotonic() >= ends:
                return
            self._workers.kill_one(self._draw)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            ended = sum(each.took is not None for each in self._instances)
            text = f"{len(self._instances)} started, {ended} ended, {self._workers.kills} kills"
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
        self.kills = 0

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, stdin=subprocess.DEVNULL)

    def kill_one(self, draw: random.Random) -> None:
        """Kill a worker. A host that is its only worker is started again here; others see to that themselves."""
        if self._count == 1:
            self._host.kill()
            self._host.wait()
            self._host = self._start()
        else:
            found = worker_processes(self._host.pid)
            if not found:
                return
            # It may have ended by itself meanwhile.
            with contextlib.suppress(ProcessLookupError):
                os.kill(draw.choice(found), signal.SIGKILL)
        self.kills += 1

    def stop(self) -> None:
        """Stop the host."""
        self._host.terminate()
        try:
            self._host.wait(timeout=40)
        except subprocess.TimeoutExpired:
            self._host.kill()


@contextlib.contextmanager
def store(kind: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Give an empty store: the option of ``taskhub start``, and the environment for it."""
    if kind == "azurite":
        with running_azurite() as emulator:
            yield "SoakStorage", {**os.environ, "SoakStorage": emulator.connection_string}
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        yield f"embedded:{folder}/hub.db", dict(os.environ)


@contextlib.asynccontextmanager
async def running(options: argparse.Namespace) -> AsyncIterator[tuple[Workers, Hub, TaskHubClient]]:
    """Run a host with workers on a store of its own; give also a client that reads the store itself."""
    with store(options.storage) as (storage, environment):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        workers = Workers(options, port, storage, environment)
        try:
            async with aiohttp.ClientSession() as http:
                opened = await open_storage(storage, app_settings=environment, app_root=None)
                yield workers, Hub(http, port), TaskHubClient(opened, TaskHubSettings(hub_name=HUB))
                await opened.aclose()
        finally:
            workers.stop()


async def soak(options: argparse.Namespace) -> bool:
    """Run, print the result, and return whether all is well."""
    async with running(options) as (workers, hub, client):
        tally = await Soak(options, workers, hub, client).run()
    for title, found in (("lost", tally.lost), ("wrong", tally.wrong), ("twice", tally.twice)):
        for each in found:
            print(f"{title}: {each}")
    took = sorted(tally.durations) or [0.0]
    result = {
        "storage": options.storage,
        "workers": options.workers,
        "seconds": options.seconds,
        "kills": tally.kills,
        "started": tally.started,
        "completed": tally.completed,
        "lost": len(tally.lost),
        "wrong": len(tally.wrong),
        "twice": len(tally.twice),
        "median_s": round(statistics.median(took), 2),
        "p99_s": round(took[int(len(took) * 0.99)], 2),
        "longest_s": round(took[-1], 2),
    }
    print(json.dumps(result))
    return not (tally.lost or tally.wrong or tally.twice)


def main() -> int:
    """Read the options and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60, help="how long to load and kill")
    parser.add_argument("--storage", choices=("embedded", "azurite"), default="embedded")
    parser.add_argument("--workers", type=int, default=2, help="worker processes; 1: the host itself is killed")
    parser.add_argument("--in-progress", type=int, default=20, help="orchestrations in progress at any time")
    parser.add_argument("--seed", type=int, default=None, help="of the load; drawn by default")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(10**6)
    print(f"seed {options.seed}")
    return 0 if asyncio.run(soak(options)) else 1


if __name__ == "__main__":
    sys.exit(main())
