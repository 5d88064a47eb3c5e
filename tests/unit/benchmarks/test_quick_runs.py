"""Benchmarks whose quick runs take a few seconds, from the command line to the last line."""

import asyncio
import json
import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

from benchmarks import azurite, client, memory, processes, scale
from benchmarks.report import Report
from taskhub.codec.lease_rows import PARTITION_KEY, encode_lease
from taskhub.model.ids import WorkerId
from taskhub.model.leases import PartitionLease
from taskhub.names import HubNames
from taskhub.storage.memory import open_memory
from taskhub.storage.port import Row, TableWrite, Write

ROOT = Path(__file__).parents[3]


def figures_of(*command):
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_client_measures_every_kind_of_call_on_a_store_without_a_network():
    figures = figures_of("benchmarks.client", "--quick", "--storage", "memory")

    kinds = ("queue_put", "queue_get", "queue_update", "queue_delete", "table_insert", "table_merge", "table_query")
    for kind in (*kinds, "batch_100", "blob_put", "blob_get"):
        assert 0 < figures[f"{kind}_ours_cpu_p50"] <= figures[f"{kind}_ours_cpu_max"]
    assert figures["about"]["units"]["queue_put_ours_wall_p95"] == "us"


def test_client_says_which_official_client_is_missing(monkeypatch):
    monkeypatch.setattr(client, "OFFICIAL_PACKAGES", ("azure.storage.queue.aio", "azure.storage.none", "no.such"))

    assert client.missing_packages() == ["azure.storage.none", "no.such"]


async def test_load_makes_as_many_requests_as_asked_for_and_no_more_at_a_time(capsys):
    under_way, most = 0, 0

    async def call():
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    load = azurite.Load(call, 4)
    await load.add(10)
    await load.add(3)
    report = Report("How many?")
    load.tell(report, "calls")

    assert len(load.milliseconds) == 13
    assert most == 4
    assert report.figures["calls_per_second"] > 0


def test_processor_time_is_the_process_s():
    before, cpu = processes.cpu_seconds(os.getpid()), time.process_time()
    while time.process_time() < cpu + 0.2:
        pass

    assert 0.15 < processes.cpu_seconds(os.getpid()) - before < 0.5


def test_memory_keeps_what_may_be_warm_and_wakes_both(tmp_path):
    found = memory.in_a_process("lru", tmp_path / "hub.db", 20)

    assert found["limit"] == 30
    assert found["warm"] == 10
    assert len(found["warm_ms"]) == len(found["cold_ms"]) == 10
    assert min(found["warm_ms"] + found["cold_ms"]) > 0


async def test_scale_counts_the_partitions_of_each_worker():
    storage = open_memory(now=lambda: datetime.now(timezone.utc))
    table = HubNames.of(scale.HUB).partitions_table
    await storage.tables.create_table(table)
    leases = [
        PartitionLease("q-00", owner=WorkerId("a")),
        PartitionLease("q-01", owner=WorkerId("a")),
        PartitionLease("q-02", owner=WorkerId("a"), next_owner=WorkerId("b")),
        PartitionLease("q-03", owner=WorkerId("b")),
    ]
    for lease in leases:
        row = Row(PARTITION_KEY, lease.queue, encode_lease(lease))
        await storage.tables.write(table, TableWrite(Write.INSERT, row))

    assert await scale.owners(storage) == {"a": 2, "b": 1, "": 1}
