"""Several workers in real processes: started by one host or by several, joining, leaving, killed, stopped, woken."""

import asyncio
import os
import signal
import time
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub_http import HubHttp
from tests.support.workers import Owners, worker_processes

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

APP = Path(__file__).parents[1] / "apps/kill"
RECOVERY_SECONDS = 120


def hub_of(store):
    return store.get("hub") or "KillHub"


def traces(job):
    file = Path(job["file"])
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []


async def until(is_reached, *, within=30.0):
    deadline = time.monotonic() + within
    while not is_reached():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


async def run_jobs(host, tmp_path, *, count=3, size=20, seconds=0.1):
    """Start fan-outs over a host; return their ids and what the activities leave."""
    jobs = {}
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        for number in range(count):
            job = {"size": size, "seconds": seconds, "file": str(tmp_path / f"traces-{number}")}
            jobs[await hub.start_directly("fan_out", job)] = job
    return jobs


async def assert_all_end(host, jobs, *, seconds=RECOVERY_SECONDS):
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        for instance_id, job in jobs.items():
            status = await hub.ended(instance_id, seconds=seconds)
            numbers = list(range(job["size"]))
            assert (status["runtimeStatus"], status["output"]) == ("Completed", sum(numbers))
            assert sorted(set(traces(job))) == numbers


# ---- started by one host


async def test_the_workers_of_a_host_share_partitions_and_work(start_host, store):
    host = start_host(APP, "--workers", "2", **store)
    host.wait_until_ready()
    async with Owners.of(store, hub_of(store)) as owners:
        # Told by the thief, the owner does not wait for its next round.
        await owners.until(2, 2, within=8)
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        instance_id = await hub.start_directly("spread", {"size": 40, "seconds": 0.3})
        status = await hub.ended(instance_id, seconds=60)

    assert sorted(status["output"]) == worker_processes(host.process.pid)


async def test_a_killed_worker_is_started_again_and_what_it_had_is_done_once(start_host, store, tmp_path):
    host = start_host(APP, "--workers", "2", **store)
    host.wait_until_ready()
    jobs = await run_jobs(host, tmp_path, size=30, seconds=0.2)
    await until(lambda: all(traces(job) for job in jobs.values()))
    before = worker_processes(host.process.pid)

    os.kill(before[0], signal.SIGKILL)

    host.wait_for(rf"worker process \d \(pid {before[0]}\) ended with signal 9; it is started again")
    await assert_all_end(host, jobs)
    assert len(worker_processes(host.process.pid)) == 2
    assert before[0] not in worker_processes(host.process.pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_workers_end_with_their_host(start_host, store, number, tmp_path):
    host = start_host(APP, "--workers", "3", **store)
    host.wait_until_ready()
    await run_jobs(host, tmp_path, size=10)
    pids = worker_processes(host.process.pid)
    assert len(pids) == 3

    begun = time.monotonic()
    code = host.stop(number)

    assert code == 0
    assert time.monotonic() - begun < 12
    assert not [pid for pid in pids if is_alive(pid)]
    async with Owners.of(store, hub_of(store)) as owners:
        assert await owners.shares() == []


async def test_workers_do_not_outlive_a_host_that_is_killed(start_host, store):
    host = start_host(APP, "--workers", "2", **store)
    host.wait_until_ready()
    pids = worker_processes(host.process.pid)

    host.process.kill()

    await until(lambda: not any(is_alive(pid) for pid in pids), within=15)


def is_alive(pid):
    """A process that has ended may still be listed until somebody asks for its exit code."""
    status = Path(f"/proc/{pid}/status")
    return status.exists() and "State:\tZ" not in status.read_text()


async def test_the_number_of_workers_may_be_a_setting(start_host, store):
    environment = {**store.get("environment", {}), "FUNCTIONS_WORKER_PROCESS_COUNT": "2"}
    host = start_host(APP, **{**store, "environment": environment})
    host.wait_until_ready()

    await until(lambda: len(worker_processes(host.process.pid)) == 2)


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_a_hub_with_other_partitions_ends_the_start_with_the_way_out(start_host, store, workers):
    start_host(APP, **store).wait_until_ready()
    count = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__partitionCount"
    environment = {**store.get("environment", {}), count: "7"}

    host = start_host(APP, "--workers", workers, **{**store, "environment": environment}, wait=False)

    assert host.wait() == 1
    assert "has 4 partitions" in host.output()
    assert "set extensions.durableTask.storageProvider.partitionCount to 4" in host.output()
    assert "Traceback" not in host.output()


# ---- started one by one


MANAGERS = {
    "table": {},
    "safe": {"useTablePartitionManagement": "false"},
    "legacy": {"useTablePartitionManagement": "false", "useLegacyPartitionManagement": "true"},
}


# Each takes a minute of leases. test_partition_managers.py has every manager in virtual time; all stores do the same.
@pytest.mark.parametrize(
    ("store", "manager"),
    [
        ("embedded", "table"),
        pytest.param("azurite", "table", marks=pytest.mark.azurite),
        pytest.param("azurite", "safe", marks=pytest.mark.azurite),
        ("embedded", "legacy"),
    ],
    indirect=["store"],
)
async def test_hosts_join_and_leave_and_die(start_host, store, manager, tmp_path):
    """Work goes on through it all. The seconds are printed (pytest -s)."""
    prefix = "AzureFunctionsJobHost__extensions__durableTask__storageProvider__"
    environment = {
        **store.get("environment", {}),
        **{prefix + name: value for name, value in MANAGERS[manager].items()},
    }
    options = {**store, "environment": environment}
    first = start_host(APP, **options)
    first.wait_until_ready()
    async with Owners.of(options, hub_of(store)) as owners:
        await owners.until(4, within=15)
        jobs = await run_jobs(first, tmp_path, count=4, size=60, seconds=0.5)
        took = {}
        second = start_host(APP, **options)
        took["joined"] = await owners.until(2, 2, within=60)
        third = start_host(APP, **options)
        took["third joined"] = await owners.until(1, 1, 2, within=60)
        third.stop()
        took["left"] = await owners.until(2, 2, within=60)
        second.kill()
        took["killed"] = await owners.until(4, within=60)
        await assert_all_end(first, jobs)
    print(manager, {name: round(seconds, 1) for name, seconds in took.items()})


async def test_a_worker_that_was_stopped_beyond_its_lease_does_no_harm(start_host, store, tmp_path):
    """SIGSTOP in the middle of the work, SIGCONT when others have long taken over."""
    first = start_host(APP, **store)
    first.wait_until_ready()
    jobs = await run_jobs(first, tmp_path, count=4, size=20, seconds=0.3)
    await until(lambda: sum(len(traces(job)) for job in jobs.values()) > 10)

    os.kill(first.process.pid, signal.SIGSTOP)
    second = start_host(APP, **store)
    async with Owners.of(store, hub_of(store)) as owners:
        await owners.until(4, within=60)
        await assert_all_end(second, jobs)
        os.kill(first.process.pid, signal.SIGCONT)
        await owners.until(2, 2, within=60)

    later = tmp_path / "later"
    later.mkdir()
    await assert_all_end(first, {**jobs, **await run_jobs(first, later)})
    await assert_histories_are_whole(second, jobs)


async def assert_histories_are_whole(host, jobs):
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        for instance_id, job in jobs.items():
            status = await hub.status(instance_id, showHistory="true", showHistoryOutput="true")
            kinds = [event["EventType"] for event in status["historyEvents"]]
            assert (kinds.count("TaskCompleted"), kinds.count("ExecutionCompleted")) == (job["size"], 1)
