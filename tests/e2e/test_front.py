"""The HTTP front of a host process: keys, probes, and apps that are ASGI or WSGI."""

import asyncio
import json
import socket
import textwrap
from pathlib import Path

import aiohttp
import pytest

pytestmark = pytest.mark.e2e

DURABLE = Path(__file__).parents[1] / "apps/greeting/function_app.py"
ASGI = """
    import azure.functions as func

    async def asgi(scope, receive, send):
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        else:
            body = (await receive())["body"].decode()
            headers = [(b"content-type", b"text/plain"), (b"set-cookie", b"a=1")]
            await send({"type": "http.response.start", "status": 201, "headers": headers})
            await send({"type": "http.response.body", "body": f"{scope['method']} {scope['path']} {body}".encode()})

    app = func.AsgiFunctionApp(app=asgi, http_auth_level=func.AuthLevel.ANONYMOUS)
"""
WSGI = """
    import azure.functions as func

    def wsgi(environ, start_response):
        body = environ["wsgi.input"].read().decode()
        start_response("201 Created", [("Content-Type", "text/plain"), ("Set-Cookie", "a=1")])
        return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']} {body}".encode()]

    app = func.WsgiFunctionApp(app=wsgi, http_auth_level=func.AuthLevel.ANONYMOUS)
"""


def write(folder, source, **host_json):
    folder.mkdir()
    text = source.read_text(encoding="utf-8") if isinstance(source, Path) else textwrap.dedent(source)
    (folder / "function_app.py").write_text(text, encoding="utf-8")
    (folder / "host.json").write_text(json.dumps({"version": "2.0", **host_json}), encoding="utf-8")
    return folder


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(http, url, **more):
    async with http.get(url, **more) as answer:
        return answer.status, await answer.text()


@pytest.mark.parametrize("arguments", [("--address", "0.0.0.0"), ("--enable-auth", "--workers", "2")])
async def test_where_keys_are_asked_for_everything_works_with_them_only(start_host, tmp_path, http, arguments):
    app = write(tmp_path / "app", DURABLE)
    host = start_host(app, *arguments, "--verbose")
    await asyncio.to_thread(host.wait_until_ready)
    stored = json.loads((app / ".taskhub/secrets/host.json").read_text(encoding="utf-8"))
    keys = [stored[kind][0]["value"] for kind in ("functionKeys", "systemKeys")] + [stored["masterKey"]["value"]]
    function_key, system_key, master_key = keys

    hub = f"{host.url}/runtime/webhooks/durabletask"
    for closed in (f"{host.url}/api/start", f"{hub}/instances", f"{host.url}/admin/host/status"):
        assert await ask(http, closed) == (401, "")
    assert (await ask(http, f"{host.url}/admin/host/ready"))[0] == 200
    assert (await ask(http, f"{host.url}/admin/host/status?code={master_key}"))[0] == 200
    status, text = await ask(http, f"{host.url}/api/start", headers={"x-functions-key": function_key})
    assert status == 202
    url = json.loads(text)["statusQueryGetUri"]
    assert url.endswith(f"&code={system_key}")
    while True:
        body = json.loads((await ask(http, url))[1])
        if body["runtimeStatus"] not in ("Pending", "Running"):
            break
        await asyncio.sleep(0.05)

    # Where the activity ran, too, the client knows the key.
    assert body["output"].endswith(f"&code={system_key}")
    assert host.stop() == 0
    assert [key for key in keys if key in host.output()] == []


async def test_a_host_whose_storage_is_away_lives_but_is_not_ready(start_host, tmp_path, http):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoints = ";".join(f"{kind}Endpoint=http://127.0.0.1:{port}/a" for kind in ("Blob", "Queue", "Table"))
    connection = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;{endpoints}"
    host = start_host(write(tmp_path / "app", DURABLE), environment={"AzureWebJobsStorage": connection})

    assert (await ask(http, f"{host.url}/admin/host/ping"))[0] == 200
    status, text = await ask(http, f"{host.url}/admin/host/ready")

    assert (status, json.loads(text)["reason"]) == (503, "No worker owns a partition of the task hub yet.")
    assert json.loads((await ask(http, f"{host.url}/admin/host/status"))[1])["state"] == "Running"


async def test_a_host_that_could_load_nothing_lives_but_is_not_ready(start_host, tmp_path, http):
    host = start_host(write(tmp_path / "app", "import nothing_of_this_name"))

    assert (await ask(http, f"{host.url}/admin/host/ping"))[0] == 200
    status, text = await ask(http, f"{host.url}/admin/host/ready")

    assert (status, json.loads(text)["reason"]) == (503, "No function of the app could be loaded.")


@pytest.mark.parametrize("source", [ASGI, WSGI], ids=["asgi", "wsgi"])
async def test_apps_of_other_frameworks_answer_at_their_own_paths(start_host, tmp_path, http, source):
    host = start_host(write(tmp_path / "app", source, extensions={"http": {"routePrefix": ""}}))

    async with http.post(f"{host.url}/a/b?c=1", data=b"body") as answer:
        assert (answer.status, await answer.text()) == (201, "POST /a/b body")
        assert answer.cookies["a"].value == "1"
    assert (await ask(http, f"{host.url}/"))[0] == 201
    assert (await ask(http, f"{host.url}/admin/host/ping"))[0] == 200
