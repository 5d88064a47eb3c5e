"""Behind the Functions host as its custom handler, and in a container that is laid out as Azure's images are.

The Functions host is played by a proxy that does what it documents: it waits until the handler answers, forwards a
request with its full path, and keeps ``/admin`` and ``/runtime`` for itself.
"""

import asyncio
import json
import shutil
import socket
import time
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

pytestmark = pytest.mark.e2e

SITE = "my-site.azurewebsites.net"
APP = Path(__file__).parents[1] / "apps" / "greeting"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def app(tmp_path):
    root = shutil.copytree(APP, tmp_path / "app")
    (root / "host.json").write_text('{"version": "2.0", "customHandler": {"description": {}}}')
    return root


@asynccontextmanager
async def functions_host(handler_port):
    """Forward requests to a custom handler; yield the URL at which the site is reached."""
    async with aiohttp.ClientSession() as client:

        async def forward(request):
            if request.path.startswith(("/admin", "/runtime")):
                return web.Response(status=404, text="the Functions host's own")
            async with client.request(
                request.method,
                f"http://127.0.0.1:{handler_port}{request.raw_path}",
                headers={**{k: v for k, v in request.headers.items() if k != "Host"}, "X-Forwarded-Host": SITE},
                data=await request.read(),
                allow_redirects=False,
            ) as answer:
                return web.Response(status=answer.status, headers=answer.headers, body=await answer.read())

        server = web.Application()
        server.router.add_route("*", "/{path:.*}", forward)
        runner = web.AppRunner(server)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()


async def ended(client, status_url):
    deadline = time.monotonic() + 30
    while True:
        async with client.get(status_url) as answer:
            status = await answer.json()
        if status["runtimeStatus"] not in ("Pending", "Running"):
            return status
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.05)


def keys_of(app):
    stored = json.loads((app / ".taskhub/secrets/host.json").read_text())
    return {key["name"]: key["value"] for key in stored["functionKeys"]}["default"]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_orchestrations_are_started_and_followed_through_the_functions_host(app, tmp_path, start_host, workers):
    port = free_port()
    start_host(
        app,
        "--workers",
        workers,
        storage=f"embedded:{tmp_path / 'hub.db'}",
        port=None,
        environment={"FUNCTIONS_CUSTOMHANDLER_PORT": str(port), "WEBSITE_HOSTNAME": SITE},
    )

    async with functions_host(port) as site, aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/") as ready:
            assert ready.status == 200
        async with client.get(f"{site}/api/start") as refused:
            assert refused.status == 401
        async with client.get(f"{site}/api/start", headers={"x-functions-key": keys_of(app)}) as started:
            urls = await started.json()
        status_url = urls["statusQueryGetUri"]
        assert status_url.startswith(f"https://{SITE}/api/durabletask/instances/")
        assert started.headers["Location"].startswith(f"https://{SITE}/api/durabletask/instances/")
        status = await ended(client, status_url.replace(f"https://{SITE}", site))
        async with client.get(f"{site}/api/durabletask/instances") as without_key:
            assert without_key.status == 401

    assert status["output"].partition("?")[0] == f"https://{SITE}/api/durabletask/instances/x"


async def test_a_timer_of_the_functions_host_keeps_the_handler_awake(app, tmp_path, start_host):
    port = free_port()
    start_host(
        app,
        "--no-auth",
        storage=f"embedded:{tmp_path / 'hub.db'}",
        port=None,
        environment={"FUNCTIONS_CUSTOMHANDLER_PORT": str(port)},
    )

    async with aiohttp.ClientSession() as client:
        call = {"X-Azure-Functions-InvocationId": "9d1f"}
        body = {"Data": {"timer": {}}, "Metadata": {}}
        async with client.post(f"http://127.0.0.1:{port}/heartbeat", json=body, headers=call) as beat:
            answer = await beat.json()
        async with client.post(f"http://127.0.0.1:{port}/heartbeat", json=body) as stranger:
            assert stranger.status == 404

    assert answer == {"Outputs": {}, "ReturnValue": None, "Logs": []}


async def test_a_container_listens_where_the_image_says_and_asks_for_keys(app, tmp_path, start_host):
    port = free_port()
    host = start_host(
        None,
        storage=f"embedded:{tmp_path / 'hub.db'}",
        port=None,
        environment={"AzureWebJobsScriptRoot": str(app), "PORT": str(port)},
    )

    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/admin/host/ping") as ping:
            assert ping.status == 200
        async with client.get(f"http://127.0.0.1:{port}/api/start") as refused:
            assert refused.status == 401

    assert host.port == port


def test_a_port_that_is_none_stops_the_start(app, start_host):
    host = start_host(app, port=None, environment={"FUNCTIONS_CUSTOMHANDLER_PORT": "many"}, wait=False)

    assert host.wait() == 1
    assert "FUNCTIONS_CUSTOMHANDLER_PORT is 'many', but must be a port" in host.output()
