"""kill -9 in the middle of the work: after a restart on the same store everything ends, and once."""

import asyncio
import json
import time
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub_http import HubHttp

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

APP = Path(__file__).parents[1] / "apps/kill"
RECOVERY_SECONDS = 120
"""What the host had in hand comes back after its visibility timeout, a minute at least by host.json's limits."""


@pytest.mark.parametrize(("name", "size", "seconds"), [("fan_out", 50, 0.4), ("sequence", 12, 0.2)])
async def test_what_a_killed_host_had_in_hand_is_done_by_the_next_one_once(
    start_host, store, tmp_path, name, size, seconds
):
    job = {"size": size, "seconds": seconds, "file": str(tmp_path / "traces")}
    numbers = list(range(size))

    first = start_host(APP, **store)
    async with aiohttp.ClientSession() as http:
        instance_id = await HubHttp(http, first.url).start_directly(name, job)
        await _in_the_middle(job)
    first.kill()
    assert len(_traces(job)) < size, "killed too late: nothing was left to do"

    second = start_host(APP, **store)
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, second.url)
        status = await hub.ended(instance_id, seconds=RECOVERY_SECONDS)
        history = (await hub.status(instance_id, showHistory="true", showHistoryOutput="true"))["historyEvents"]

    assert (status["runtimeStatus"], status["output"]) == ("Completed", sum(numbers))
    assert sorted(set(_traces(job))) == numbers
    assert [each["EventType"] for each in history].count("ExecutionCompleted") == 1
    assert sorted(each["Result"] for each in history if each["EventType"] == "TaskCompleted") == numbers


async def _in_the_middle(job: dict) -> None:
    deadline = time.monotonic() + 30
    while len(_traces(job)) < job["size"] // 4:
        assert time.monotonic() < deadline, f"only {len(_traces(job))} of {json.dumps(job)} after 30 s"
        await asyncio.sleep(0.02)


def _traces(job: dict) -> list[int]:
    file = Path(job["file"])
    return [int(line) for line in file.read_text().splitlines()] if file.exists() else []
