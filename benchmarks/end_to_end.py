"""How long do orchestrations take for somebody who starts them over HTTP?

Every figure is taken on a host process of its own (``taskhub start benchmarks/app``) with a store of its own, after
one hello that shows that it is up; through an HTTP trigger of the app and the management API; from just before the
request that starts the work to the moment when this client has seen that it is done:

- fan-out: one orchestration that starts N activities at once and ends when all have answered;
- sequence: one orchestration that calls N activities one after the other;
- hello: N orchestrations of three activities each, started by 32 connections at once, until all are completed; and the
  processor time of the host for one of them;
- idle hello: one such orchestration on a hub that has had nothing to do for a third of a second, polled every 5 ms;
- idle memory: resident memory of the host and its children after the idle hellos;
- idle hello from elsewhere: the same hello, started by a client in another process (this one) after five seconds in
  which nothing happened, until that client sees its end in the store.

The activities return a greeting; nothing but the task hub, the host and HTTP takes time. The same loads are done in
three ways:

- shortcuts on: as the host comes; these figures have no prefix;
- ``classic``: all shortcuts off (``taskhub.settings.CLASSIC``), the algorithm of DurableTask.AzureStorage;
- ``skeleton``: no host, only the storage calls that a lean worker cannot do without, made by this process on the same
  kind of store (benchmarks/skeleton.py): what is physically possible here.

Usage: ``python -m benchmarks.end_to_end [--storage embedded|azurite] [--sdk own|own-json|official] [--quick]
[--ways shortcuts classic skeleton]``. The same app runs on our SDK (live, or by its JSON shell) or on
azure-functions-durable, which is installed beside where it is missing, then with shortcuts only; the goals are those of
our live SDK. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.hosts import CONNECTIONS, GIVE_UP_SECONDS, HUB, Host, HostOptions, fresh_store, running_host
from benchmarks.processes import cpu_seconds, resident_megabytes
from benchmarks.report import Report
from benchmarks.skeleton import Skeleton
from taskhub import TaskHubClient, TaskHubSettings
from taskhub.hints import HintSender
from taskhub.model.instance import RuntimeStatus
from taskhub.settings import CLASSIC

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

WAYS = ("shortcuts", "classic", "skeleton")
GOALS = {
    "embedded": {"fan_out_1000_s": "<= 0.5", "sequence_100_s": "<= 0.15", "hello_1000_s": "<= 2"},
    "azurite": {
        "fan_out_1000_s": "<= 1.2",
        "sequence_100_s": "<= 0.4",
        "hello_200_s": "<= 2",
        "hello_1000_s": "<= 9",
        "hello_200_cpu_ms": "<= 8",
        "idle_hello_ms_p50": "<= 15",
        "idle_hello_ms_max": "<= 50",
        "idle_hello_from_elsewhere_ms_p95": "<= 1000",
        "idle_rss_mb": "<= 90",
    },
}
"""Of shortcuts on, our live SDK, whole loads."""


@dataclass(frozen=True, slots=True)
class Loads:
    """How much is done."""

    fan_out: int = 1000
    sequence: int = 100
    hellos: tuple[int, ...] = (200, 1000)
    idle_hellos: int = 100
    from_elsewhere: int = 4


QUICK = Loads(fan_out=100, sequence=20, hellos=(50,), idle_hellos=10, from_elsewhere=3)
WHOLE = Loads()
CLASSIC_LOADS = Loads(hellos=(200,), idle_hellos=10, from_elsewhere=0)
"""The rest would take too long, and says no more."""
IDLE_SECONDS = 0.3


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


async def hellos(host: Host, size: int) -> tuple[float, float]:
    """Return the seconds that ``size`` parallel hello sequences take, and the host's processor time in ms for each."""
    turns = asyncio.Semaphore(CONNECTIONS)

    async def start() -> None:
        async with turns:
            await host.start("hello", None)

    greeted, completed = await host.greeted(), await host.count("Completed")
    began, cpu = time.perf_counter(), cpu_seconds(host.pid)
    await asyncio.gather(*(start() for _ in range(size)))
    # Lists of a thousand instances are expensive on Azurite, so they are asked for only near the end.
    while await host.greeted() < greeted + 3 * size:
        _check_time(began)
        await asyncio.sleep(0.05)
    while await host.count("Completed") < completed + size:
        _check_time(began)
        await asyncio.sleep(0.05)
    took, cpu = time.perf_counter() - began, cpu_seconds(host.pid) - cpu
    _expect(await host.count("Completed"), completed + size)
    return took, cpu / size * 1000


async def idle_hellos(host: Host, times: int) -> list[float]:
    """Return the milliseconds that hellos on an idle hub take."""
    took = []
    for _ in range(times):
        await asyncio.sleep(IDLE_SECONDS)
        began = time.perf_counter()
        await host.finished(await host.start("hello", None), poll_seconds=0.005)
        took.append((time.perf_counter() - began) * 1000)
    return took


async def hellos_from_elsewhere(host: Host, times: int) -> list[float]:
    """Return the milliseconds that hellos on an idle hub take that a client in this process starts."""
    storage = await host.store.open()
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
    return took


async def take_from_hosts(storage: str, options: HostOptions, report: Report, loads: Loads, prefix: str) -> None:
    """Take all figures of a host, each on a fresh one and its store."""
    goals = GOALS[storage] if options == HostOptions() and loads is WHOLE else {}

    @contextlib.asynccontextmanager
    async def fresh_host(what: str) -> AsyncIterator[Host]:
        with fresh_store(storage, prefix + what) as store:
            async with running_host(store, options) as host:
                yield host

    async with fresh_host("fan_out") as host:
        name = f"fan_out_{loads.fan_out}_s"
        report.add(prefix + name, await fan_out(host, loads.fan_out), "s", goals.get(name, ""))
    async with fresh_host("sequence") as host:
        name = f"sequence_{loads.sequence}_s"
        report.add(prefix + name, await sequence(host, loads.sequence), "s", goals.get(name, ""))
    for size in loads.hellos:
        async with fresh_host(f"hello_{size}") as host:
            seconds, cpu = await hellos(host, size)
        name = f"hello_{size}"
        report.add(f"{prefix}{name}_s", seconds, "s", goals.get(f"{name}_s", ""))
        report.add(f"{prefix}{name}_cpu_ms", cpu, "ms", goals.get(f"{name}_cpu_ms", ""))
    async with fresh_host("idle_hello") as host:
        took = await idle_hellos(host, loads.idle_hellos)
        await asyncio.sleep(1)
        memory = resident_megabytes(host.pid)
    report.add_spread(f"{prefix}idle_hello_ms", took, "ms", _goals_of("idle_hello_ms", goals))
    report.add(f"{prefix}idle_rss_mb", memory, "MB", goals.get("idle_rss_mb", ""))
    if loads.from_elsewhere:
        async with fresh_host("idle_hello_from_elsewhere") as host:
            took = await hellos_from_elsewhere(host, loads.from_elsewhere)
        name = "idle_hello_from_elsewhere_ms"
        report.add_spread(prefix + name, took, "ms", _goals_of(name, goals))


def _goals_of(name: str, goals: dict[str, str]) -> dict[str, str]:
    return {key.removeprefix(f"{name}_"): goal for key, goal in goals.items() if key.startswith(f"{name}_")}


async def take_from_skeleton(storage: str, report: Report, loads: Loads) -> None:
    """Take the same figures of the storage calls alone."""

    async def timed(what: str, work: Callable[[Skeleton], Awaitable[None]]) -> tuple[float, float]:
        with fresh_store(storage, f"skeleton_{what}") as store:
            opened = await store.open()
            skeleton = Skeleton(opened, HUB)
            await skeleton.create()
            await skeleton.hello()  # connections and the emulator's code are warm, as they are under a host
            await skeleton.settle()
            began, cpu = time.perf_counter(), time.process_time()
            await work(skeleton)
            took = time.perf_counter() - began, time.process_time() - cpu
            await skeleton.settle()
            await opened.aclose()
        return took

    seconds, _ = await timed("fan_out", lambda skeleton: skeleton.fan_out(loads.fan_out))
    report.add(f"skeleton_fan_out_{loads.fan_out}_s", seconds, "s")
    seconds, _ = await timed("sequence", lambda skeleton: skeleton.sequence(loads.sequence))
    report.add(f"skeleton_sequence_{loads.sequence}_s", seconds, "s")
    for size in loads.hellos:
        work = functools.partial(Skeleton.hellos, size=size, parallel=CONNECTIONS)
        seconds, cpu = await timed(f"hello_{size}", work)
        report.add(f"skeleton_hello_{size}_s", seconds, "s")
        report.add(f"skeleton_hello_{size}_cpu_ms", cpu / size * 1000, "ms")
    took: list[float] = []

    async def idle(skeleton: Skeleton) -> None:
        for _ in range(loads.idle_hellos):
            await skeleton.settle()
            began = time.perf_counter()
            await skeleton.hello()
            took.append((time.perf_counter() - began) * 1000)

    await timed("idle_hello", idle)
    report.add_spread("skeleton_idle_hello_ms", took, "ms")


async def run(storage: str, sdk: str, ways: Sequence[str], report: Report, *, quick: bool) -> None:
    """Take all figures."""
    if "shortcuts" in ways:
        await take_from_hosts(storage, HostOptions(sdk), report, QUICK if quick else WHOLE, "")
    if "classic" in ways:
        loads = QUICK if quick else CLASSIC_LOADS
        await take_from_hosts(storage, HostOptions(sdk, settings=CLASSIC), report, loads, "classic_")
    if "skeleton" in ways:
        await take_from_skeleton(storage, report, QUICK if quick else WHOLE)


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
    parser.add_argument("--ways", nargs="+", choices=WAYS, help="all with our live SDK, else shortcuts")
    arguments = parser.parse_args()
    ways = arguments.ways or (WAYS if arguments.sdk == "own" else WAYS[:1])
    report = Report(f"{(__doc__ or '').partition('Usage:')[0]}Store: {arguments.storage}. SDK: {arguments.sdk}.")
    asyncio.run(run(arguments.storage, arguments.sdk, ways, report, quick=arguments.quick))
    report.close()


if __name__ == "__main__":
    main()
