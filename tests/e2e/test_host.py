"""The host as a process: starting, answering, stopping, and apps that are not as they should be."""

import asyncio
import contextlib
import json
import re
import signal
import socket
import textwrap
import time
from uuid import uuid4

import aiohttp
import pytest

from taskhub.hints import HintSender
from tests.support.hosts import READY

pytestmark = pytest.mark.e2e

HELLO = """
    import azure.functions as func
    import azure.durable_functions as df

    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="orchestrators/{name}", methods=["POST"])
    @app.durable_client_input(client_name="client")
    async def http_start(req: func.HttpRequest, client: df.DurableOrchestrationClient):
        body = req.get_body()
        instance_id = await client.start_new(req.route_params["name"], client_input=json.loads(body) if body else None)
        return client.create_check_status_response(req, instance_id)

    @app.route(route="ping")
    def ping(req: func.HttpRequest) -> str:
        return "pong"

    @app.orchestration_trigger(context_name="context")
    def hello(context):
        result = yield context.call_activity("greet", context.get_input())
        return result

    @app.activity_trigger(input_name="name")
    def greet(name: str) -> str:
        return f"Hello {name}"
"""
SLOW = (
    HELLO
    + """
    import time

    @app.route(route="slow")
    def slow(req: func.HttpRequest) -> str:
        time.sleep(float(req.params["seconds"]))
        return "done"
"""
)


def write(folder, source=HELLO, **files):
    folder.mkdir(exist_ok=True)
    (folder / "function_app.py").write_text("import json\n" + textwrap.dedent(source), encoding="utf-8")
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def fetch(http, url):
    async with http.get(url) as answer:
        return answer.status, await answer.text()


async def ended(http, url, *, seconds=20):
    deadline = time.monotonic() + seconds
    while True:
        body = json.loads((await fetch(http, url))[1])
        if body["runtimeStatus"] not in ("Pending", "Running"):
            return body
        assert time.monotonic() < deadline, body
        await asyncio.sleep(0.05)


async def start(http, host, name, data=None):
    async with http.post(f"{host.url}/api/orchestrators/{name}", json=data) as answer:
        assert answer.status == 202, await answer.text()
        return await answer.json()


# ---- the main job


async def test_an_orchestration_is_started_and_followed_over_http(start_host, store, tmp_path, http):
    host = start_host(write(tmp_path / "app"), **store)

    urls = await start(http, host, "hello", "Ada")
    status = await ended(http, urls["statusQueryGetUri"])

    assert (status["runtimeStatus"], status["output"]) == ("Completed", "Hello Ada")
    assert urls["statusQueryGetUri"].startswith(f"{host.url}/runtime/webhooks/durabletask/instances/{urls['id']}?")
    assert host.stop() == 0


async def test_the_console_lists_functions_and_tells_invocations(start_host, tmp_path, http):
    host = start_host(write(tmp_path / "app"))

    urls = await start(http, host, "hello", "Ada")
    await ended(http, urls["statusQueryGetUri"])

    listing = (
        "\nFunctions:\n\n"
        f"\thttp_start: [POST] http://localhost:{host.port}/api/orchestrators/{{name}}\n\n"
        f"\tping:  http://localhost:{host.port}/api/ping\n\n"
        "\tgreet: activityTrigger\n\n"
        "\thello: orchestrationTrigger\n"
    )
    assert listing in host.output()
    assert "Worker process started and initialized." in host.output()
    stamp = r"\[\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\] "
    host.wait_for(stamp + r"Executing 'Functions\.greet' \(Reason='\(null\)', Id=[0-9a-f-]{36}\)")
    host.wait_for(stamp + r"Executed 'Functions\.greet' \(Succeeded, Id=[0-9a-f-]{36}, Duration=\d+ms\)")
    host.wait_for("Functions.http_start' .Reason='This function was programmatically called via the host APIs.'")
    assert "\x1b[" not in host.output()


async def test_with_nothing_configured_the_store_lies_in_the_app_and_outlives_the_host(start_host, tmp_path, http):
    app = write(tmp_path / "app")
    first = start_host(app)
    urls = await start(http, first, "hello", "Ada")
    await ended(http, urls["statusQueryGetUri"])
    assert first.stop() == 0

    second = start_host(app)

    _, text = await fetch(http, f"{second.url}/runtime/webhooks/durabletask/instances/{urls['id']}")
    assert json.loads(text)["output"] == "Hello Ada"
    store = f"embedded store {app / '.taskhub' / 'hub.db'}, because AzureWebJobsStorage is not set"
    assert f"Task hub 'TestHubName' is kept in {store}" in second.output()
    with contextlib.closing(HintSender(store.partition(",")[0], "TestHubName")) as other_process:
        assert other_process.hint("testhubname-control-00") == 1  # the host that stands, not the one before


async def test_user_code_that_blocks_stalls_neither_http_nor_orchestrations(start_host, tmp_path, http):
    source = (
        HELLO
        + """
    import time

    @app.route(route="block")
    async def block(req: func.HttpRequest) -> str:
        time.sleep(3)
        return "blocked"

    @app.activity_trigger(input_name="seconds")
    def doze(seconds: float) -> str:
        time.sleep(seconds)
        return "awake"

    @app.orchestration_trigger(context_name="context")
    def sleeper(context):
        return (yield context.call_activity("doze", context.get_input()))
    """
    )
    host = start_host(write(tmp_path / "app", source))
    began = time.monotonic()

    asleep = await start(http, host, "sleeper", 3)
    await asyncio.to_thread(host.wait_for, "Executing 'Functions.doze'")
    blocking = asyncio.create_task(fetch(http, f"{host.url}/api/block"))
    await asyncio.to_thread(host.wait_for, "Executing 'Functions.block'")
    assert await fetch(http, f"{host.url}/api/ping") == (200, "pong")
    hub = f"{host.url}/runtime/webhooks/durabletask"
    async with http.post(f"{hub}/orchestrators/hello?timeout=2&pollingInterval=0.05", json="Ada") as answer:
        assert await answer.json() == "Hello Ada"

    assert time.monotonic() - began < 3
    assert await blocking == (200, "blocked")
    assert (await ended(http, asleep["statusQueryGetUri"]))["output"] == "awake"


async def test_logs_and_prints_of_user_code_appear_with_time(start_host, tmp_path, http):
    source = """
    import logging, sys
    import azure.functions as func

    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="talk")
    def talk(req: func.HttpRequest) -> str:
        print("printed")
        print("an error", file=sys.stderr)
        logging.info("logged %s", 1)
        logging.getLogger("mine").warning("warned")
        logging.debug("too quiet")
        return "x"
    """
    host = start_host(write(tmp_path / "app", source))

    assert await fetch(http, f"{host.url}/api/talk") == (200, "x")

    for text in ("printed", "an error", "logged 1", "warned"):
        host.wait_for(rf"Z\] {text}")
    assert "too quiet" not in host.output()
    assert not READY.search(host.output()), "an app without durable functions needs no partitions"


# ---- stopping


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_host_once_running_requests_are_answered(start_host, tmp_path, http, number):
    host = start_host(write(tmp_path / "app", SLOW))
    host.wait_until_ready()
    request = asyncio.create_task(fetch(http, f"{host.url}/api/slow?seconds=1"))
    await asyncio.to_thread(host.wait_for, "Executing 'Functions.slow'")

    code = await asyncio.to_thread(host.stop, number)

    assert await request == (200, "done")
    assert code == 0
    assert "Unclosed" not in host.output()
    assert "Traceback" not in host.output()


async def test_a_second_signal_ends_the_host_at_once(start_host, tmp_path, http):
    host = start_host(write(tmp_path / "app", SLOW))
    request = asyncio.create_task(fetch(http, f"{host.url}/api/slow?seconds=60"))
    await asyncio.to_thread(host.wait_for, "Executing 'Functions.slow'")

    host.process.send_signal(signal.SIGINT)
    await asyncio.to_thread(host.wait_for, "Stopping host")
    code = await asyncio.to_thread(host.stop, signal.SIGINT)

    assert code == 128 + signal.SIGINT
    with pytest.raises(aiohttp.ClientError):
        await request


async def test_functions_that_run_on_are_left_behind_after_the_grace_period(start_host, tmp_path, http):
    host = start_host(write(tmp_path / "app", SLOW))
    request = asyncio.create_task(fetch(http, f"{host.url}/api/slow?seconds=60"))
    await asyncio.to_thread(host.wait_for, "Executing 'Functions.slow'")
    began = time.monotonic()

    code = await asyncio.to_thread(host.stop, signal.SIGINT)

    assert code == 0
    assert 4 < time.monotonic() - began < 15
    with pytest.raises(aiohttp.ClientError):
        await request


# ---- bad input


async def test_a_port_in_use_ends_the_start_with_the_way_out(start_host, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        host = start_host(write(tmp_path / "app"), port=port, wait=False)

        assert host.wait() == 1
    assert f"Port {port} is unavailable." in host.output()
    assert "--port" in host.output()


def durable(**options):
    return json.dumps({"version": "2.0", "extensions": {"durableTask": options}})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{ oops", r"host\.json is not valid JSON: line 1, column 3"),
        (durable(hubName="1st"), "Task hub name '1st' should contain only alphanumeric characters"),
        (
            durable(storageProvider={"partitionCount": 99}),
            "partitionCount is 99; it must be a whole number from 1 to 16",
        ),
    ],
)
async def test_a_broken_configuration_ends_the_start(start_host, tmp_path, text, message):
    host = start_host(write(tmp_path / "app", host__json=text), wait=False)

    assert host.wait() == 1
    host.wait_for(message)
    assert "Traceback" not in host.output()


async def test_a_hub_name_that_azure_would_refuse_is_refused(start_host, tmp_path):
    host = start_host(write(tmp_path / "app"), hub="my-hub", wait=False)

    assert host.wait() == 1
    assert "Task hub name 'my-hub' should contain only alphanumeric characters" in host.output()


async def test_a_folder_that_does_not_exist_is_named(start_host, tmp_path):
    host = start_host(tmp_path / "nowhere", wait=False)

    assert host.wait() == 1
    assert f"{tmp_path / 'nowhere'} is not a folder" in host.output()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("import nowhere_to_be_found", "No module named 'nowhere_to_be_found'"),
        ("def broken(:\n    pass", "SyntaxError"),
        (
            "import azure.functions as func\na = func.FunctionApp()\nb = func.FunctionApp()",
            "More than one top level function app instance",
        ),
        (
            "import azure.functions as func\napp = func.FunctionApp()\n@app.function_name('Idle')\ndef f(x): pass",
            "Function Idle does not have a trigger",
        ),
    ],
)
async def test_a_broken_app_is_told_and_leaves_the_host_running(start_host, tmp_path, http, source, message):
    host = start_host(write(tmp_path / "app", source))

    assert message in host.output()
    assert "No job functions found." in host.output()
    status, text = await fetch(http, f"{host.url}/admin/host/status")
    body = json.loads(text)
    assert (status, body["state"]) == (200, "Error")
    assert message in body["errors"][0]


async def test_one_bad_function_leaves_the_others_running(start_host, tmp_path, http):
    source = (
        HELLO
        + """
    @app.service_bus_queue_trigger(arg_name="message", queue_name="orders", connection="Bus")
    def tick(message): pass

    @app.route(route="a/{b")
    def odd(req: func.HttpRequest): pass
    """
    )
    host = start_host(write(tmp_path / "app", source))

    assert (
        "The 'tick' function is in error: binding type 'serviceBusTrigger' is not supported by this host."
        in host.output()
    )
    assert "The 'odd' function is in error: route 'api/a/{b' has a '{' without '}'." in host.output()
    assert await fetch(http, f"{host.url}/api/ping") == (200, "pong")
    assert json.loads((await fetch(http, f"{host.url}/admin/host/status"))[1])["state"] == "Running"


@pytest.mark.parametrize("workers", [1, 2])
async def test_only_the_functions_that_are_named_are_loaded(start_host, tmp_path, http, workers):
    app = write(tmp_path / "app", HELLO, host__json='{"version": "2.0", "functions": ["greet"]}')
    host = start_host(app, "--functions", "HTTP_start", "hello", "nobody", "--workers", str(workers), "--verbose")

    async with http.post(f"{host.url}/api/orchestrators/hello", data='"Ada"') as answer:
        url = (await answer.json())["statusQueryGetUri"]
    failed = await ended(http, url)

    assert (await fetch(http, f"{host.url}/api/ping"))[0] == 404
    assert "\thttp_start:" in host.output()
    assert "\thello: orchestrationTrigger" in host.output()
    assert "\tgreet:" not in host.output()
    assert "There is no function 'nobody' in the app" in host.output()
    assert "Activity function 'greet' does not exist" in failed["output"]


async def test_bad_requests_to_the_management_api_are_answered_and_stop_nothing(start_host, tmp_path, http):
    host = start_host(write(tmp_path / "app"))
    hub = f"{host.url}/runtime/webhooks/durabletask"

    async def ask(method, path, **more):
        async with http.request(method, f"{hub}/{path}", **more) as answer:
            return answer.status, await answer.text()

    status, text = await ask("POST", "orchestrators/nowhere")
    assert (status, "known orchestrator functions: 'hello'" in text) == (400, True)
    status, text = await ask("POST", "orchestrators/hello", data="{oops")
    assert (status, json.loads(text)["Message"]) == (400, "Invalid JSON content")
    assert await ask("GET", "instances/nobody") == (404, "")
    assert await ask("POST", "instances/nobody/raiseEvent/x", json=1) == (404, "")
    assert (await ask("POST", "orchestrators/hello/twice", json="Ada"))[0] == 202
    await ended(http, f"{hub}/instances/twice")
    assert await ask("POST", "instances/twice/terminate") == (410, "")
    assert (await ask("POST", "orchestrators/hello/twice", json="Bob"))[0] == 202
    assert (await ended(http, f"{hub}/instances/twice"))["output"] == "Hello Bob"
    assert await ask("GET", "entities") == (200, "[]")
    assert await ask("DELETE", "instances/twice") == (200, '{"instancesDeleted":1}')
    assert await ask("GET", "instances") == (200, "[]")


async def test_a_payload_that_cannot_be_encoded_fails_its_instance_with_the_reason(start_host, tmp_path, http):
    source = (
        HELLO
        + """
    @app.activity_trigger(input_name="x")
    def opaque(x):
        return object()

    @app.orchestration_trigger(context_name="context")
    def asks_for_it(context):
        return (yield context.call_activity("opaque", None))
    """
    )
    host = start_host(write(tmp_path / "app", source))

    urls = await start(http, host, "asks_for_it")
    status = await ended(http, urls["statusQueryGetUri"])

    assert status["runtimeStatus"] == "Failed"
    assert "Activity function 'opaque' failed:" in status["output"]
    assert "json serializable" in status["output"]


# ---- storage


async def test_storage_that_is_away_leaves_http_functions_running(start_host, tmp_path, http):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    endpoints = ";".join(f"{kind}Endpoint=http://127.0.0.1:{port}/a" for kind in ("Blob", "Queue", "Table"))
    connection = f"DefaultEndpointsProtocol=http;AccountName=a;AccountKey=a2V5;{endpoints}"
    host = start_host(write(tmp_path / "app"), environment={"AzureWebJobsStorage": connection})

    assert await fetch(http, f"{host.url}/api/ping") == (200, "pong")
    await asyncio.to_thread(host.wait_for, "storage does not answer")
    status, text = await fetch(http, f"{host.url}/runtime/webhooks/durabletask/instances")

    assert (status, "ExceptionMessage" in json.loads(text)) == (500, True)
    assert "a2V5" not in host.output()
    assert host.process.poll() is None
    assert host.stop() == 0


@pytest.mark.azurite
async def test_storage_that_comes_late_is_used_as_soon_as_it_is_there(start_host, tmp_path, http, azurite):
    with contextlib.ExitStack() as doors:
        # Addresses that refuse until somebody forwards them to the emulator.
        late = azurite
        ports = {}
        for target in re.findall(r"127\.0\.0\.1:(\d+)", azurite):
            reserved = doors.enter_context(socket.socket())
            reserved.bind(("127.0.0.1", 0))
            ports[target] = reserved
            late = late.replace(f":{target}/", f":{reserved.getsockname()[1]}/")
        host = start_host(
            write(tmp_path / "app"), environment={"AzureWebJobsStorage": late}, hub=f"e2e{uuid4().hex[:9]}"
        )
        await asyncio.to_thread(host.wait_for, "storage does not answer")

        async with contextlib.AsyncExitStack() as forwarders:
            for target, reserved in ports.items():
                await forwarders.enter_async_context(await forwarder(reserved, int(target)))
            await asyncio.to_thread(host.wait_until_ready)
            urls = await start(http, host, "hello", "Ada")
            assert (await ended(http, urls["statusQueryGetUri"]))["output"] == "Hello Ada"
            assert "storage answers again" in host.output()
            assert await asyncio.to_thread(host.stop) == 0


async def forwarder(listening, target):
    async def pump(reader, writer):
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def serve(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("127.0.0.1", target)
        await asyncio.gather(pump(reader, there_writer), pump(there_reader, writer))

    return await asyncio.start_server(serve, sock=listening)


async def test_a_connection_string_that_cannot_be_read_ends_the_start_without_showing_it(start_host, tmp_path):
    host = start_host(write(tmp_path / "app"), environment={"AzureWebJobsStorage": "AccountKey=c2VjcmV0"}, wait=False)

    assert host.wait() == 1
    assert "c2VjcmV0" not in host.output()
    assert "Traceback" not in host.output()
