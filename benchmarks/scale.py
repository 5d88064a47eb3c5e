"""Does a hub get more done with more hosts, and at least no less?

One, two and four host processes (``taskhub start benchmarks/app``) share a hub of four partitions on a fresh store.
Once each owns its share of the partitions, clients in this process start hellos of three activities through all hosts
in turn, 32 connections with each at most and 32 hellos on their way, until all are completed; then a fan-out.

- ``hello_per_second``: hellos completed, from before the first start until this client has seen the last end;
- ``activities_per_second``: of the fan-out;
- ``share_least`` and ``share_most``: percent of the activities that the least and the most busy host ran; the fan-out
  is one orchestration, whose host runs what it has slots for and leaves the rest to all;
- ``cores_busy``: processor time of all hosts, the emulator and this client by the time that passed: where it comes near
  the number of cores, more processes cannot do more here;
- ``by_one``: throughput by that of one host; below 0.5 would be a collapse.

Leases are looked at every second, so that partitions are shared soon.

Usage: ``python -m benchmarks.scale [--storage embedded|azurite] [--quick]``; ``sqlite`` is another word for the
embedded store. The last line is one JSON object of named figures.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.hosts import CONNECTIONS, HUB, Host, HostOptions, fresh_store, running_host
from benchmarks.processes import cpu_seconds
from benchmarks.report import Report
from benchmarks.skeleton import at_once
from taskhub.codec.lease_rows import decode_lease
from taskhub.names import HubNames

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from benchmarks.hosts import Store
    from taskhub.storage.port import Storage

HOSTS = (1, 2, 4)
SETTINGS = {"lease_round_seconds": 1.0, "long_lease_rounds": False}
SHARE_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Work:
    """What was done."""

    seconds: float
    cores_busy: float
    by_host: Sequence[int]
    """Activities that each host ran."""


async def hellos(hosts: Sequence[Host], size: int) -> None:
    """Start hellos through all hosts in turn; return when all have ended."""

    async def one(number: int) -> None:
        host = hosts[number % len(hosts)]
        await host.finished(await host.start("hello", None), poll_seconds=0.1)

    await at_once([one(number) for number in range(size)], CONNECTIONS)


async def fan_out(hosts: Sequence[Host], size: int) -> None:
    """Run one orchestration that calls many activities at once."""
    found = await hosts[0].finished(await hosts[0].start("fan_out", size), poll_seconds=0.05)
    if found != size:
        raise RuntimeError(f"the work came out wrong: {found!r} instead of {size!r}")


async def measured(store: Store, hosts: Sequence[Host], activities: int, work: Callable[[], Awaitable[None]]) -> Work:
    """Do some work and return what it took.

    Raises:
        RuntimeError: another number of activities ran than expected.
    """
    pids = [host.pid for host in hosts] + ([store.emulator_pid] if store.emulator_pid is not None else [])
    greeted = [await host.greeted() for host in hosts]
    began, cpu, own = time.perf_counter(), sum(map(cpu_seconds, pids)), time.process_time()
    await work()
    took = time.perf_counter() - began
    busy = (sum(map(cpu_seconds, pids)) - cpu + time.process_time() - own) / took
    by_host = [await host.greeted() - before for host, before in zip(hosts, greeted, strict=True)]
    if sum(by_host) != activities:
        raise RuntimeError(f"{sum(by_host)} activities ran instead of {activities}")
    return Work(took, busy, by_host)


async def shared(storage: Storage, workers: int) -> None:
    """Wait until every worker owns as many partitions as the others."""
    ends = time.monotonic() + SHARE_SECONDS
    while True:
        owned = await owners(storage)
        if len(owned) == workers and max(owned.values()) - min(owned.values()) == 0:
            return
        if time.monotonic() > ends:
            raise RuntimeError(f"the partitions are not shared by {workers} workers, but so: {dict(owned)}")
        await asyncio.sleep(0.2)


async def owners(storage: Storage) -> Mapping[str, int]:
    """Return how many partitions each worker owns; one that changes hands is nobody's."""
    page = await storage.tables.query(HubNames.of(HUB).partitions_table)
    leases = [decode_lease(row.row_key, row.columns, row.etag) for row in page.rows]
    return Counter(
        "" if lease.owner is None or lease.next_owner is not None or lease.is_draining else lease.owner
        for lease in leases
    )


async def run(kind: str, report: Report, *, quick: bool) -> None:
    """Take all figures, each number of hosts on a fresh store."""
    hello_count, width = (60, 200) if quick else (400, 1000)
    one: dict[str, float] = {}
    for count in HOSTS:
        with fresh_store(kind, f"hosts_{count}") as store:
            async with contextlib.AsyncExitStack() as stack:
                hosts = [
                    await stack.enter_async_context(running_host(store, HostOptions(settings=SETTINGS)))
                    for _ in range(count)
                ]
                storage = await store.open()
                stack.push_async_callback(storage.aclose)
                await shared(storage, count)
                greetings = await measured(store, hosts, 3 * hello_count, lambda: hellos(hosts, hello_count))  # noqa: B023
                fanned = await measured(store, hosts, width, lambda: fan_out(hosts, width))  # noqa: B023
        rates = {"hello": hello_count / greetings.seconds, "activities": width / fanned.seconds}
        one = one or rates
        for name, work in (("hello", greetings), ("activities", fanned)):
            prefix = f"hosts_{count}_{name}"
            report.add(f"{prefix}_per_second", rates[name], "1/s")
            report.add(f"{prefix}_by_one", rates[name] / one[name], "x", ">= 0.5" if count > 1 else "")
            report.add(f"{prefix}_share_least", min(work.by_host) / sum(work.by_host) * 100, "%")
            report.add(f"{prefix}_share_most", max(work.by_host) / sum(work.by_host) * 100, "%")
            report.add(f"{prefix}_cores_busy", work.cores_busy, "")


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale")
    parser.add_argument("--storage", choices=("embedded", "sqlite", "azurite"), default="embedded")
    parser.add_argument("--quick", action="store_true", help="smaller loads, for a first look")
    arguments = parser.parse_args()
    storage = "embedded" if arguments.storage == "sqlite" else arguments.storage
    report = Report(f"{(__doc__ or '').partition('Usage:')[0]}Store: {storage}.")
    asyncio.run(run(storage, report, quick=arguments.quick))
    report.close()


if __name__ == "__main__":
    main()
