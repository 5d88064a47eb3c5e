"""A host under more than it will usually see: memory stays bounded, and everybody is answered."""

import asyncio
import json
import textwrap

import aiohttp
import pytest

pytestmark = pytest.mark.e2e

APP = """
    import azure.durable_functions as df

    app = df.DFApp()

    @app.orchestration_trigger(context_name="context")
    def waiting(context):
        return (yield context.wait_for_external_event("go"))
"""
INSTANCES, WAITS, CONNECTIONS = 10_000, 1_000, 32
MAX_GROWTH_MB = 150
"""Of resident memory; 95 MB where this was written. Instances that wait are kept warm up to a limit in bytes."""


def resident_mb(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return int(status.read().partition("VmRSS:")[2].split()[0]) // 1024


async def test_ten_thousand_instances_and_a_thousand_open_waits_fit(start_host, tmp_path):
    app = tmp_path / "app"
    app.mkdir()
    (app / "function_app.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    quiet = {"version": "2.0", "logging": {"logLevel": {"default": "Warning"}}}
    (app / "host.json").write_text(json.dumps(quiet), encoding="utf-8")
    host = start_host(app)
    host.wait_until_ready()
    hub = f"{host.url}/runtime/webhooks/durabletask"
    idle = resident_mb(host.process.pid)
    few = asyncio.Semaphore(CONNECTIONS)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:

        async def started(number):
            async with few, http.post(f"{hub}/orchestrators/waiting/i{number}", json=number) as answer:
                return answer.status

        async def waited(number):
            query = "timeout=150&pollingInterval=1"
            async with http.post(f"{hub}/orchestrators/waiting/w{number}?{query}") as answer:
                return answer.status, await answer.text()

        async def told(number):
            async with few, http.post(f"{hub}/instances/w{number}/raiseEvent/go", json=number) as answer:
                return answer.status

        async def running():
            query = f"instanceIdPrefix=w&runtimeStatus=Running&top={WAITS}"
            async with http.get(f"{hub}/instances?{query}") as answer:
                return len(await answer.json())

        for begin in range(0, INSTANCES, 1000):
            statuses = await asyncio.gather(*map(started, range(begin, begin + 1000)))
            assert set(statuses) == {202}
        open_waits = [asyncio.create_task(waited(number)) for number in range(WAITS)]
        while True:
            if await running() == WAITS:
                break
            await asyncio.sleep(0.2)
        async with http.get(f"{host.url}/admin/host/ping", timeout=aiohttp.ClientTimeout(10)) as answer:
            assert answer.status == 200
        busy = resident_mb(host.process.pid)
        assert set(await asyncio.gather(*map(told, range(WAITS)))) == {202}

        assert await asyncio.gather(*open_waits) == [(200, str(number)) for number in range(WAITS)]
    assert max(busy, resident_mb(host.process.pid)) - idle < MAX_GROWTH_MB
