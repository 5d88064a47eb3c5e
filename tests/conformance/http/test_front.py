"""What the main port does with requests before and after functions: keys, origins, throttles, probes, and abuse."""

import asyncio
import json
import logging
import threading

import aiohttp
import azure.functions as func
import pytest

from taskhub.host.http_admin import HostStatus, State
from taskhub.host.http_cors import Cors
from taskhub.host.http_keys import KeyStore
from taskhub.host.http_options import HttpOptions, read_http_options
from taskhub.host.server_limits import Limits
from tests.support.front import http_function, running_front

HOST = b"Host: localhost\r\n"
MANAGEMENT = "runtime/webhooks/durabletask/instances"


def hello(req):
    return f"{req.method} {req.url.partition('/api/')[2]} {len(req.get_body())}"


def route(req):
    return json.dumps({"route": dict(req.route_params)})


# ---- keys


@pytest.fixture
def keys(tmp_path):
    return KeyStore(tmp_path / "secrets")


async def test_without_authorization_everything_is_open():
    async with running_front(http_function(hello, authLevel="admin")) as front:
        assert await front.code("GET", "api/hello") == 200
        assert await front.code("GET", "admin/host/status") == 200
        assert await front.code("GET", MANAGEMENT) == 200


@pytest.mark.parametrize(
    ("path", "opened_by"),
    [
        ("api/open", {"none", "wrong", "own", "other's", "host", "system", "master"}),
        ("api/level", {"own", "host", "master"}),
        ("api/closed", {"master"}),
        (MANAGEMENT, {"system", "master"}),
        ("admin/host/status", {"master"}),
        ("admin/functions", {"master"}),
        ("admin/host/keys", {"master"}),
        ("admin/host/ping", {"none", "wrong", "own", "other's", "host", "system", "master"}),
        ("admin/host/ready", {"none", "wrong", "own", "other's", "host", "system", "master"}),
    ],
)
async def test_a_door_is_opened_by_its_keys_only(keys, path, opened_by):
    keys.save_function("level", {"mine": "own-key"})
    keys.save_function("other", {"mine": "other-key"})
    host = keys.host()
    presented = {
        "none": None,
        "wrong": "x" * len(host.master),
        "own": "own-key",
        "other's": "other-key",
        "host": host.functions["default"],
        "system": host.system["durabletask_extension"],
        "master": host.master,
    }
    functions = [
        http_function(hello, name="open", authLevel="anonymous"),
        http_function(hello, name="level"),
        http_function(hello, name="closed", authLevel="admin"),
    ]

    async with running_front(*functions, keys=keys) as front:
        in_header = {
            name: await front.ask("GET", path, headers={"x-functions-key": key} if key else {})
            for name, key in presented.items()
        }
        in_query = {
            name: await front.ask("GET", path + (f"?CODE={key}" if key else "")) for name, key in presented.items()
        }

    for answers in (in_header, in_query):
        assert {name for name, (status, _, _) in answers.items() if status == 200} == opened_by
        refused = [(status, text) for status, _, text in answers.values() if status != 200]
        assert refused == [(401, "")] * len(refused)


async def test_a_key_in_the_header_wins_over_the_query(keys):
    good = keys.host().functions["default"]

    async with running_front(http_function(hello), keys=keys) as front:
        assert await front.code("GET", "api/hello?code=bad", headers={"x-functions-key": good}) == 200
        assert await front.code("GET", f"api/hello?code={good}", headers={"x-functions-key": "bad"}) == 401


async def test_dots_and_letters_of_a_path_lead_around_no_key(keys):
    async with running_front(http_function(hello, authLevel="anonymous", route="{*all}"), keys=keys) as front:
        for path in (
            "api/x/../../admin/host/status",
            "api/%2e%2e/admin/host/status",
            "ADMIN/Host/Status",
            "admin/host/ping/../status",
            f"api/../{MANAGEMENT}",
            MANAGEMENT.upper(),
        ):
            assert (path, await front.code("GET", path)) == (path, 401)


async def test_keys_are_managed_with_the_master_key(keys):
    master = {"x-functions-key": keys.host().master}

    async with running_front(http_function(hello), keys=keys) as front:
        path = "admin/functions/hello/keys"
        made = await front.ask("POST", f"{path}/mine", headers=master)
        own = json.loads(made[2])["value"]
        assert (made[0], await front.code("GET", f"api/hello?code={own}")) == (201, 200)
        renewed = await front.ask("POST", f"{path}/mine", headers=master)
        assert (renewed[0], await front.code("GET", f"api/hello?code={own}")) == (200, 401)
        assert await front.code("PUT", f"{path}/two", headers=master, json={"name": "two", "value": "s"}) == 201
        listed = json.loads((await front.ask("GET", path, headers=master))[2])
        assert [each["name"] for each in listed["keys"]] == ["mine", "two"]
        assert await front.code("DELETE", f"{path}/two", headers=master) == 204
        assert await front.code("GET", "api/hello?code=s") == 401
        assert await front.code("GET", f"{path}/two", headers=master) == 404

        assert await front.code("DELETE", "admin/host/systemkeys/durabletask_extension", headers=master) == 409
        assert await front.code("GET", "admin/functions/..%2fhost/keys", headers=master) == 404
        assert await front.code("PUT", f"{path}/..%2fx", headers=master, json={"value": "v"}) == 400
        assert await front.code("PUT", f"{path}/x", headers=master, data=b"{broken") == 400
        new_master = json.loads((await front.ask("POST", "admin/host/systemkeys/_master", headers=master))[2])["value"]
        assert await front.code("GET", path, headers=master) == 401
        assert await front.code("GET", path, headers={"x-functions-key": new_master}) == 200


async def test_a_host_without_authorization_has_no_keys_to_show():
    async with running_front(http_function(hello)) as front:
        assert await front.code("GET", "admin/host/keys") == 409


async def test_no_key_gets_into_a_log(keys, caplog):
    caplog.set_level(logging.DEBUG)
    host = keys.host()
    secrets = [host.master, host.functions["default"], host.system["durabletask_extension"]]

    def breaks(req):
        raise ValueError("as asked")

    async with running_front(http_function(breaks), keys=keys) as front:
        for secret in secrets:
            await front.ask("GET", f"api/breaks?code={secret}")
            await front.ask("GET", f"{MANAGEMENT}?code={secret}")
            await front.raw(b"GET /" + b"a" * 20_000 + f"?code={secret} HTTP/1.1\r\n".encode() + HOST + b"\r\n")
            await front.raw(f"BAD\x01 /?code={secret} HTTP/1.1\r\nx-functions-key : {secret}\r\n\r\n".encode())
        written = caplog.text + front.console.getvalue()

    assert "ValueError: as asked" in written
    assert [secret for secret in secrets if secret in written] == []


# ---- origins


async def test_pages_of_named_origins_may_read_answers():
    cors = Cors.of("https://a.example, https://b.example/", allow_credentials=True)

    async with running_front(http_function(hello, methods=["POST"]), cors=cors) as front:
        asks = {"Origin": "https://b.example", "Access-Control-Request-Method": "POST"}
        preflight = await front.ask("OPTIONS", "api/hello", headers={**asks, "Access-Control-Request-Headers": "x-a"})
        strange = await front.ask("OPTIONS", "api/hello", headers={**asks, "Origin": "https://c.example"})
        answer = await front.ask("POST", "api/hello", headers={"Origin": "https://a.example"})
        plain = await front.ask("POST", "api/hello")

    def of_cors(headers):
        return {name.removeprefix("access-control-"): text for name, text in headers.items() if "control-a" in name}

    allowed = {"allow-origin": "https://b.example", "allow-credentials": "true"}
    assert preflight[0] == strange[0] == 204
    assert of_cors(preflight[1]) == {**allowed, "allow-methods": "POST", "allow-headers": "x-a"}
    assert of_cors(answer[1]) == {**allowed, "allow-origin": "https://a.example"}
    assert (answer[0], answer[1]["vary"]) == (200, "Origin")
    assert of_cors(strange[1]) == of_cors(plain[1]) == {}


async def test_without_cors_a_preflight_is_a_request_like_others():
    headers = {"Origin": "https://a.example", "Access-Control-Request-Method": "GET"}

    async with running_front(http_function(hello, methods=["GET"])) as front:
        assert await front.code("OPTIONS", "api/hello", headers=headers) == 404


# ---- headers of host.json, throttles


async def test_headers_of_host_json_are_on_every_answer_that_does_not_have_them():
    def own(req):
        return func.HttpResponse("x", headers={"X-Frame-Options": "SAMEORIGIN"})

    section = {"customHeaders": {"X-Frame-Options": "DENY"}, "hsts": {"isEnabled": True, "maxAge": "10"}}
    async with running_front(http_function(own), http=read_http_options(section)) as front:
        for path, expected in (("api/own", "SAMEORIGIN"), ("nowhere", "DENY"), ("admin/host/ping", "DENY")):
            assert (await front.ask("GET", path))[1]["x-frame-options"] == expected
        over_https = await front.ask("GET", "", headers={"X-Forwarded-Proto": "https"})
        over_http = await front.ask("GET", "")

    assert over_https[1]["strict-transport-security"] == "max-age=864000"
    assert "strict-transport-security" not in over_http[1]


async def test_requests_beyond_the_limit_are_refused_and_those_below_it_wait():
    gate, running, most = threading.Event(), [], []

    def slow(req):
        running.append(1)
        most.append(len(running))
        gate.wait(10)
        running.pop()
        return "x"

    options = HttpOptions(max_concurrent_requests=2, max_outstanding_requests=3)
    async with running_front(http_function(slow), http=options) as front:
        asked = [asyncio.create_task(front.code("GET", "api/slow")) for _ in range(5)]
        await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert await front.code("GET", "admin/host/ping") == 200
        gate.set()

        assert sorted(await asyncio.gather(*asked)) == [200, 200, 200, 429, 429]
    assert max(most) <= 2


# ---- the host itself


@pytest.mark.parametrize(
    ("status", "code", "body"),
    [
        (HostStatus(State.RUNNING, None, {}), 200, {"state": "Running"}),
        (HostStatus(State.RUNNING, "No partition.", {}), 503, {"state": "Running", "reason": "No partition."}),
        (HostStatus(State.STOPPING, "It stops.", {}), 503, {"state": "Stopping", "reason": "It stops."}),
    ],
)
async def test_readiness_follows_the_host(status, code, body):
    async with running_front() as front:
        front.status = status

        answer = await front.ask("GET", "admin/host/ready")

        assert (answer[0], json.loads(answer[2])) == (code, body)
        assert await front.code("GET", "admin/host/ping") == 200


async def test_functions_are_described():
    errors = ("The 'bad' function is in error: no trigger.",)

    async with running_front(http_function(hello, authLevel="anonymous"), errors=errors) as front:
        listed = json.loads((await front.ask("GET", "admin/functions"))[2])
        one = json.loads((await front.ask("GET", "admin/functions/HELLO"))[2])
        bad = json.loads((await front.ask("GET", "admin/functions/bad/status"))[2])
        assert await front.code("GET", "admin/functions/nobody") == 404
        assert await front.code("GET", "admin/functions/nobody/status") == 404
        assert (await front.ask("GET", "admin/functions/hello/status"))[2] == "{}"

    assert listed == [one]
    assert one["invoke_url_template"] == f"http://localhost:{front.port}/api/hello"
    trigger = {"name": "req", "type": "httpTrigger", "direction": "in", "authLevel": "anonymous"}
    assert one["config"]["bindings"][0] == trigger
    assert bad == {"errors": list(errors)}


async def test_a_function_is_run_by_hand_while_its_caller_goes_on():
    got, done = [], threading.Event()

    def by_hand(req):
        got.append((req.method, req.get_json()))
        done.set()
        return "x"

    async with running_front(http_function(by_hand, name="hand")) as front:
        path = "admin/functions/hand"
        assert await front.code("POST", path, json={"input": '{"a": 1}'}) == 202
        assert await asyncio.to_thread(done.wait, 10)
        assert await front.code("POST", path, data=b"") == 400
        assert await front.code("POST", path, json=[1]) == 400
        assert await front.code("POST", "admin/functions/nobody", json={"input": ""}) == 404

    assert got == [("POST", {"a": 1})]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "shop/orders/7", 200),
        ("GET", "SHOP/Orders/7/", 200),
        ("GET", "shop/orders/7?x=", 200),
        ("GET", "shop/orders", 200),
        ("GET", "shop/rest/a/b/c", 200),
        ("POST", "shop/orders/7", 404),
        ("HEAD", "shop/orders/7", 404),
        ("GET", "shop/orders/seven", 404),
        ("GET", "shop/orders/7/8", 404),
        ("GET", "api/orders/7", 404),
        ("GET", "orders/7", 404),
        ("GET", "shop", 404),
        ("GET", "robots933456.txt", 404),
    ],
)
async def test_what_no_route_takes_is_an_empty_404(method, path, code):
    functions = [
        http_function(route, name="orders", route="orders/{id:int?}", methods=["get"], authLevel="anonymous"),
        http_function(route, name="rest", route="/rest/{*path}", authLevel="anonymous"),
    ]
    async with running_front(*functions, http=HttpOptions(route_prefix="shop")) as front:
        status, _, text = await front.ask(method, path)

    assert (status, bool(text)) == (code, code == 200)


@pytest.mark.parametrize(("landing_page", "code"), [(True, 200), (False, 204)])
async def test_the_root_says_that_the_host_is_up(landing_page, code):
    async with running_front(landing_page=landing_page) as front:
        answer = await front.ask("GET", "")

    assert (answer[0], "up and running" in answer[2]) == (code, landing_page)


# ---- bodies


@pytest.mark.parametrize("size", [0, 1, 300_000])
async def test_a_body_in_chunks_arrives_whole(size):
    async def chunks():
        for begin in range(0, size, 65_536):
            yield b"x" * min(65_536, size - begin)

    async with running_front(http_function(hello)) as front:
        assert (await front.ask("POST", "api/hello", data=chunks()))[2] == f"POST hello {size}"


async def test_forms_and_files_arrive():
    def form(req):
        files = {}
        for name, file in req.files.items():
            with file.stream as stream:
                files[name] = (file.filename, stream.read().decode())
        return json.dumps([dict(req.form), files])

    data = aiohttp.FormData()
    data.add_field("a", "1")
    data.add_field("f", b"text", filename="f.txt")
    async with running_front(http_function(form)) as front:
        assert json.loads((await front.ask("POST", "api/form", data=data))[2]) == [{"a": "1"}, {"f": ["f.txt", "text"]}]


async def test_large_answers_and_bytes_go_out_as_they_are():
    content = bytes(range(256)) * 80_000

    def large(req):
        return func.HttpResponse(content, mimetype="application/octet-stream")

    async with (
        running_front(http_function(large)) as front,
        front.http.get(f"http://localhost:{front.port}/api/large") as answer,
    ):
        assert await answer.read() == content


async def test_a_client_that_waits_for_the_word_to_go_on_gets_it():
    request = b"POST /api/hello HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n"

    async with running_front(http_function(hello)) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(request)
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"ab")
        head = await reader.readuntil(b"\r\n\r\n")
        writer.close()

    assert head.startswith(b"HTTP/1.1 200")


async def test_one_connection_serves_many_requests():
    ping = b"GET /admin/host/ping HTTP/1.1\r\n" + HOST

    async with running_front() as front:
        answer = await front.raw((ping + b"\r\n") * 3 + ping + b"Connection: close\r\n\r\n")

    assert answer.count(b"HTTP/1.1 200 OK") == 4


# ---- abuse


@pytest.mark.parametrize("path", ["..", "%2e%2e/x", "api/all/../../../etc/passwd", "api/all/a%00b"])
async def test_a_path_that_leads_out_is_refused(path):
    function = http_function(route, route="all/{*rest}")

    async with running_front(function) as front:
        assert await front.code("GET", path) == 400


async def test_a_function_sees_no_dots_in_the_rest_of_a_path():
    async with running_front(http_function(route, route="all/{*rest}")) as front:
        answers = [
            json.loads((await front.ask("GET", f"api/all/{rest}"))[2])["route"]["rest"]
            for rest in ("a/../b", "a/%2e%2e/%2E/b", "x/..%2fb")
        ]

    assert answers == ["b", "b", "x/..%2fb"]


@pytest.mark.parametrize(
    "host", [b"", b"Host: a b\r\n", b'Host: a"><x\r\n', b"Host: x\r\nHost: y\r\n", b"Host: x/y\r\n"]
)
async def test_a_host_that_is_none_is_refused(host):
    async with running_front(http_function(hello)) as front:
        answer = await front.raw(b"GET /api/hello HTTP/1.1\r\n" + host + b"Connection: close\r\n\r\n")

    assert answer.split(b" ")[1] == b"400"


@pytest.mark.parametrize("value", ["a\r\nX-B: 1", "a\nb", "a\x00b"])
async def test_no_input_of_a_request_becomes_a_header_of_its_own(value):
    def echo(req):
        response = func.HttpResponse("x")
        response.headers._list.append(("X-A", value))
        return response

    async with running_front(http_function(echo)) as front:
        answer = await front.ask("GET", "api/echo")

    assert (answer[0], "x-b" in answer[1], "x-a" in answer[1]) == (500, False, False)


@pytest.mark.parametrize(
    "sent",
    [
        b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X: " + b"a" * 40_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"".join(b"X%d: 1\r\n" % number for number in range(200)) + b"\r\n",
        b"POST /api/hello HTTP/1.1\r\n" + HOST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/hello HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        b"POST /api/hello HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + HOST + b"X : a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
    ids=["long line", "long header", "many headers", "two lengths", "bad chunk", "bad length", "bad name", "no HTTP"],
)
async def test_a_request_that_is_too_large_or_broken_is_refused_quietly(sent, caplog):
    async with running_front(http_function(hello)) as front:
        answer = await front.raw(sent)
        assert await front.code("GET", "api/hello") == 200

    assert answer.split(b" ")[1] == b"400"
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_a_body_over_the_limit_is_refused(is_chunked):
    async def chunks():
        for _ in range(20):
            yield b"x" * 100

    limits = Limits(max_body_bytes=1000)
    async with running_front(http_function(hello), limits=limits) as front:
        assert await front.code("POST", "api/hello", data=b"x" * 1000) == 200
        assert await front.code("POST", "api/hello", data=chunks() if is_chunked else b"x" * 1001) == 413
        assert await front.code("POST", MANAGEMENT, data=chunks() if is_chunked else b"x" * 1001) == 413


async def test_a_body_that_comes_drop_by_drop_is_refused():
    limits = Limits(body_grace_seconds=0.3, body_bytes_per_second=1000)
    head = b"POST /api/hello HTTP/1.1\r\n" + HOST + b"Content-Length: 100000\r\nConnection: close\r\n\r\n"

    async with running_front(http_function(hello), limits=limits) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(head + b"x" * 10)
        line = await asyncio.wait_for(reader.readline(), 10)
        writer.close()

    assert line.startswith(b"HTTP/1.1 408")


async def test_a_connection_that_sends_no_whole_head_is_closed_while_others_are_served():
    limits = Limits(head_seconds=0.5, idle_seconds=0.5)

    async with running_front(http_function(hello), limits=limits) as front:
        silent = asyncio.create_task(front.raw(b""))
        slow = asyncio.create_task(front.raw(b"GET /api/hello HTTP/1.1\r\nHost: loc"))
        second = asyncio.create_task(front.raw(b"GET /api/hello HTTP/1.1\r\n" + HOST + b"\r\nGET /api"))
        assert await front.code("GET", "api/hello") == 200

        answers = await asyncio.gather(silent, slow, second, return_exceptions=True)

    assert answers[0] == b"" or isinstance(answers[0], ConnectionError)
    assert answers[1] == b"" or isinstance(answers[1], ConnectionError)
    assert isinstance(answers[2], ConnectionError) or answers[2].count(b"HTTP/1.1 200") == 1


async def test_a_coroutine_function_that_blocks_holds_up_neither_requests_nor_the_loop_of_leases():
    started, gate = threading.Event(), threading.Event()

    async def blocks(req):
        started.set()
        gate.wait(10)
        return "x"

    async with running_front(http_function(blocks), http_function(hello)) as front:
        blocked = asyncio.create_task(front.code("GET", "api/blocks"))
        assert await asyncio.to_thread(started.wait, 10)

        # This loop is the one on which leases are renewed in a host: that it answers shows that it turns.
        assert await front.code("GET", "api/hello") == 200
        assert await front.code("GET", "admin/host/ping") == 200
        assert not blocked.done()
        gate.set()
        assert await blocked == 200


async def test_a_request_whose_client_is_gone_does_no_harm(caplog):
    started, gate = threading.Event(), threading.Event()

    def slow(req):
        started.set()
        gate.wait(10)
        return "x"

    async with running_front(http_function(slow)) as front:
        _, writer = await asyncio.open_connection("127.0.0.1", front.port)
        writer.write(b"GET /api/slow HTTP/1.1\r\n" + HOST + b"\r\n")
        assert await asyncio.to_thread(started.wait, 10)
        writer.transport.abort()
        gate.set()
        assert await front.code("GET", "admin/host/ping") == 200

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
    assert "Executed 'Functions.slow' (Succeeded" in front.console.getvalue()


async def test_a_page_in_a_browser_cannot_use_the_door_of_the_durable_client(unused_tcp_port):
    import socket

    from taskhub.host import routes
    from taskhub.host.server import Listener, RpcDoor

    async def manage(request):
        return routes.Response(200, "[]")

    listener = Listener([socket.create_server(("127.0.0.1", unused_tcp_port))], RpcDoor(manage))
    await listener.start()
    async with aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{unused_tcp_port}/durabletask/instances"
        async with http.get(url) as plain, http.get(url, headers={"Origin": "https://evil.example"}) as page:
            assert (plain.status, page.status) == (200, 403)
    await listener.stop(grace_seconds=1)
