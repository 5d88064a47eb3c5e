"""How much memory do instances take that wait, and how fast do they wake up?

``live``: a worker of a real app (benchmarks/app, as the host loads and drives it) on an embedded store starts 100,000
orchestrations that wait for an event each, and keeps them warm: their code stands where it waits. Resident memory of
the process, before and after; then some of them, drawn at random, get their event: milliseconds from sending it until
the client sees the end in the store, one after the other, in percentiles.

``cold``: another process takes over the same store, as after a restart. It has none of them in memory: those that get
their event are loaded, replayed, and go on.

``lru``: a tenth as many, in a worker that may keep half of their events warm (``max_warm_history_events``): how many
stay warm, and how fast those that do and those that do not wake up.

``history``: bytes that a worker keeps for an event of the history of instances that have called 250 activities each and
wait for the last one, by tracemalloc; all that the task hub, the SDK and the code hold.

``estimated`` is what the worker believes that they take, by which it bounds them (``max_warm_mebibytes``).

Usage: ``python -m benchmarks.memory [--quick] [--instances N]``. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import io
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.hosts import APP
from benchmarks.processes import resident_megabytes
from benchmarks.report import Report
from taskhub import TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.names import HubNames
from taskhub.storage.sqlite import open_sqlite
from tests.support.long_history import EVENTS_PER_STEP, steps, write_history
from tests.support.plain_application import PlainApplication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable

    from taskhub.runtime.application import Application
    from taskhub.storage.port import Storage

EVENTS_OF_WAITING = 3
"""Of an instance that waits: its episode began, it was told its input, the episode ended."""
STARTED_AT_ONCE = 32
WOKEN = 200
GIVE_UP_SECONDS = 600
HUB = "Memory"
ROOT = Path(__file__).parents[1]
WARMED_UP = 200
"""Instances after which all is there that is made once."""
STEPS = 250
LONG_INSTANCES = 20


# ---- phases, each in a process of its own


async def live(store: Path, count: int) -> dict[str, Any]:
    """Start so many instances and keep them warm."""
    async with working(store, real_app()) as hub:
        await hub.start(range(WARMED_UP))
        gc.collect()
        before, warm_before = resident_megabytes(os.getpid()), len(hub.warm())
        began = time.perf_counter()
        await hub.start(range(WARMED_UP, WARMED_UP + count))
        took = time.perf_counter() - began
        gc.collect()
        after, warm = resident_megabytes(os.getpid()), hub.warm()
        estimated = hub.warm_bytes / len(warm)
        # The other half is left to the next process.
        woken = await hub.wake(drawn(name for name in map(_name, range(0, count, 2)) if name in warm))
    grown = (after - before) * 2**20 / (len(warm) - warm_before)
    return {
        "bytes": grown,
        "estimated": estimated,
        "megabytes": after,
        "warm": len(warm),
        "per_second": count / took,
        "warm_ms": woken,
    }


async def cold(store: Path, count: int) -> dict[str, Any]:
    """Wake instances that another process has left."""
    async with working(store, real_app()) as hub:
        if hub.warm():
            raise RuntimeError("a process that has just begun has instances in memory")
        return {"cold_ms": await hub.wake(drawn(map(_name, range(1, count, 2))))}


async def lru(store: Path, count: int) -> dict[str, Any]:
    """Start more instances than may be kept warm."""
    limit = EVENTS_OF_WAITING * count // 2
    async with working(store, real_app(), max_warm_history_events=limit) as hub:
        await hub.start(range(count))
        warm = hub.warm()
        # First those that are not: each that is woken ends, and displaces nobody.
        cold_ms = await hub.wake(drawn(name for name in map(_name, range(count)) if name not in warm))
        warm_ms = await hub.wake(drawn(sorted(hub.warm())))
    return {"limit": limit, "warm": len(warm), "warm_ms": warm_ms, "cold_ms": cold_ms}


async def history(store: Path, count: int) -> dict[str, Any]:
    """Load long histories and keep them."""
    names = [InstanceId(f"long{number}") for number in range(count)]
    storage = await open_sqlite(store)
    for name in names:
        await write_history(storage, TaskHubSettings(hub_name=HUB), name, STEPS)
    await storage.aclose()
    async with working(store, PlainApplication({"Steps": steps}, {"Echo": lambda value: value})) as hub:
        await hub.poke(names[:1])  # what is made once is there
        gc.collect()
        tracemalloc.start()
        loaded, estimated = hub.warm_events, hub.warm_bytes
        await hub.poke(names[1:])
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        events, estimated = hub.warm_events - loaded, hub.warm_bytes - estimated
    if events < (count - 1) * STEPS * EVENTS_PER_STEP:
        raise RuntimeError(f"only {events} events are in memory")
    return {"events": events, "bytes_per_event": kept / events, "estimated": estimated / events}


PHASES: dict[str, Callable[[Path, int], Coroutine[Any, Any, dict[str, Any]]]] = {
    "live": live,
    "cold": cold,
    "lru": lru,
    "history": history,
}


# ---- a worker


def real_app() -> Application:
    """Load the app as the host does."""
    from taskhub.host.official_sdk import SdkChoice, use_sdk

    sdk = use_sdk(SdkChoice.OWN)
    from taskhub.host.application import FunctionsApplication
    from taskhub.host.configuration import load_configuration
    from taskhub.host.console import Console
    from taskhub.host.invoker import Invoker
    from taskhub.host.loading import load_functions, orchestrations_of, payloads_of

    console = Console(io.StringIO())
    configuration = load_configuration(APP, os.environ)
    loaded = load_functions(configuration, console)
    invoker = Invoker(console)
    orchestrations = orchestrations_of(sdk, invoker, configuration.durable.hub, lambda properties: "")
    return FunctionsApplication(
        loaded.plans, invoker, orchestrations, client_payload=lambda properties: "", payloads=payloads_of(sdk)
    )


@contextlib.asynccontextmanager
async def working(store: Path, app: Application, **settings: Any) -> AsyncIterator[Hub]:
    """Run a worker on a store."""
    storage = await open_sqlite(store)
    hub_settings = TaskHubSettings(hub_name=HUB, use_app_lease=False, **settings)
    worker = Worker(storage, hub_settings, app, worker_id=WorkerId("worker"))
    stop, ready = asyncio.Event(), asyncio.Event()
    running = asyncio.create_task(worker.run(stop, ready=ready))
    try:
        await ready.wait()
        yield Hub(storage, worker)
    finally:
        stop.set()
        await running
        await storage.aclose()


@dataclass(frozen=True)
class Hub:
    """A hub with the only worker that it has.

    What a worker has in memory is nobody's business but a benchmark's, so there are no public names for it.
    """

    storage: Storage
    worker: Worker

    def warm(self) -> set[InstanceId]:
        """Return which instances are in memory and wait."""
        return set(self.worker._inbox._warm)

    @property
    def warm_events(self) -> int:
        """History events of those."""
        return self.worker._inbox.warm_events

    @property
    def warm_bytes(self) -> int:
        """What the worker believes that they take, by which it bounds them."""
        return self.worker._inbox.warm_bytes

    async def start(self, numbers: range) -> None:
        """Start instances, and wait until all of them wait."""
        left = iter(numbers)

        async def starter() -> None:
            for number in left:
                given = json.dumps({"order": number})
                await self.worker.client.start("approval", instance_id=_name(number), input=given)

        await asyncio.gather(*(starter() for _ in range(STARTED_AT_ONCE)))
        await self._rest()

    async def poke(self, names: list[InstanceId]) -> None:
        """Have instances loaded by an event that they do not wait for."""
        for name in names:
            await self.worker.client.raise_event(name, "poke", "1")
        await self._rest()

    async def wake(self, names: list[InstanceId]) -> list[float]:
        """Give instances the event that they wait for, one by one; return the milliseconds until each has ended."""
        took = []
        for name in names:
            began = time.perf_counter()
            await self.worker.client.raise_event(name, "approval", "true")
            state = await self.worker.client.wait(name, timeout_seconds=GIVE_UP_SECONDS, poll_seconds=0.001)
            took.append((time.perf_counter() - began) * 1000)
            if state is None or state.status is not RuntimeStatus.Completed:
                raise RuntimeError(f"{name} is {state}")
        return took

    async def _rest(self) -> None:
        """Wait until no message is left and nothing is being worked on."""
        queues = await self.storage.queues.list_queues(HubNames.of(HUB).control_queue_prefix)
        ends = time.monotonic() + GIVE_UP_SECONDS
        while any([await self.storage.queues.count(queue) for queue in queues]) or self.worker._inbox._at_work:
            if time.monotonic() > ends:
                raise RuntimeError(f"the worker does not come to rest: {self.worker._inbox!r}")
            await asyncio.sleep(0.02)


def drawn(names: Iterable[InstanceId]) -> list[InstanceId]:
    """Return some of the names, drawn at random."""
    known = list(names)
    return random.Random(1).sample(known, min(WOKEN, len(known)))


def _name(number: int) -> InstanceId:
    return InstanceId(f"order{number:06d}")


# ---- all phases


def in_a_process(phase: str, store: Path, count: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", "--phase", phase, str(store), str(count)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def run(report: Report, count: int, long_instances: int) -> None:
    """Run every phase and report it."""
    with tempfile.TemporaryDirectory() as room:
        found = in_a_process("live", Path(room) / "hub.db", count)
        report.add("live_instances", count, "")
        report.add("live_started_per_second", found["per_second"], "1/s")
        report.add("live_warm_instances", found["warm"], "")
        report.add("live_bytes_per_instance", found["bytes"], "B")
        report.add("live_estimated_bytes_per_instance", found["estimated"], "B")
        report.add("live_resident_mb", found["megabytes"], "MB")
        report.add_spread("live_wake_up_ms", found["warm_ms"], "ms")
        found = in_a_process("cold", Path(room) / "hub.db", count)
        report.add_spread("cold_wake_up_ms", found["cold_ms"], "ms")
    with tempfile.TemporaryDirectory() as room:
        found = in_a_process("lru", Path(room) / "hub.db", count // 10)
        report.add("lru_instances", count // 10, "")
        report.add("lru_limit_events", found["limit"], "")
        report.add("lru_warm_instances", found["warm"], "")
        report.add_spread("lru_warm_wake_up_ms", found["warm_ms"], "ms")
        report.add_spread("lru_cold_wake_up_ms", found["cold_ms"], "ms")
    with tempfile.TemporaryDirectory() as room:
        found = in_a_process("history", Path(room) / "hub.db", long_instances)
        report.add("history_events", found["events"], "")
        report.add("history_bytes_per_event", found["bytes_per_event"], "B", "<= 450")
        report.add("history_estimated_bytes_per_event", found["estimated"], "B")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory")
    parser.add_argument("--quick", action="store_true", help="5,000 instances instead of 100,000")
    parser.add_argument("--instances", type=int, help="that are live")
    parser.add_argument("--phase", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.phase:
        phase, store, count = arguments.phase
        print(json.dumps(asyncio.run(PHASES[phase](Path(store), int(count)))))
        return
    report = Report((__doc__ or "").partition("Usage:")[0])
    instances = arguments.instances or (5_000 if arguments.quick else 100_000)
    run(report, instances, 5 if arguments.quick else LONG_INSTANCES)
    report.close()


if __name__ == "__main__":
    main()
