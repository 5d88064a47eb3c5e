"""HTTP streams: functions on the request and the answers of FastAPI, by azurefunctions-extensions-http-fastapi.

The extension registers itself for the whole process, so that functions without annotations take its requests from then
on. It is taken out of the process again after each test.
"""

import asyncio
import io
import json
import logging
import sys
import threading

import aiohttp
import azure.functions as func
import pytest
from yarl import URL

from taskhub.host.server_limits import Limits
from tests.support.front import http_function, running_front


@pytest.fixture
def web():
    """What apps import."""
    import azurefunctions.extensions.http.fastapi as web

    yield web
    for name in [name for name in sys.modules if name.partition(".")[0] == "azurefunctions"]:
        del sys.modules[name]


def taking(web, call):
    """Give a function of one parameter the annotation that apps give it."""
    call.__annotations__ = {next(iter(call.__code__.co_varnames)): web.Request}
    return call


async def test_an_answer_goes_out_part_by_part_while_the_function_goes_on(web):
    goes_on = threading.Event()

    async def count(req):
        async def parts():
            yield "one,"
            while not goes_on.is_set():  # noqa: ASYNC110  # set by another loop
                await asyncio.sleep(0.01)
            yield "two"

        return web.StreamingResponse(parts(), media_type="text/event-stream")

    async with running_front(http_function(taking(web, count))) as front:
        url = f"http://localhost:{front.port}/api/count"
        async with front.http.get(url) as answer:
            first = await answer.content.readany()
            goes_on.set()
            rest = await answer.content.read()

    assert (first, rest) == (b"one,", b"two")
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.headers["Server"] == "taskhub"


async def test_a_body_comes_in_part_by_part_while_the_client_goes_on(web):
    parts = []
    has_first = asyncio.Event()
    home = asyncio.get_running_loop()

    async def upload(req):
        async for part in req.stream():
            if part:
                parts.append(part)
                home.call_soon_threadsafe(has_first.set)
        return web.PlainTextResponse(str(len(parts)))

    async def body():
        yield b"first"
        await asyncio.wait_for(has_first.wait(), 10)
        yield b"second"

    async with running_front(http_function(taking(web, upload))) as front:
        assert (await front.ask("POST", "api/upload", data=body()))[2] == "2"

    assert parts == [b"first", b"second"]


async def test_a_function_sees_the_request_as_it_came(web):
    seen = {}

    async def look(req):
        seen.update(
            method=req.method,
            url=str(req.url),
            query=dict(req.query_params),
            route=dict(req.path_params),
            header=req.headers["x-name"],
            cookies=req.cookies,
            body=await req.json(),
            client=req.client.host,
        )
        return web.Response(status_code=204)

    async with running_front(http_function(taking(web, look), route="look/{name}/{more?}")) as front:
        answer = await front.ask(
            "POST",
            "api/look/A%20b?a=1&b=&c=%2B",
            json={"x": [1]},
            headers={"X-Name": "v", "Cookie": "k=1; l=2"},
        )

    assert (answer[0], answer[2]) == (204, "")
    assert seen == {
        "method": "POST",
        "url": f"http://localhost:{front.port}/api/look/A b?a=1&b=&c=%2B",  # as Starlette has it
        "query": {"a": "1", "b": "", "c": "+"},
        "route": {"name": "A b"},
        "header": "v",
        "cookies": {"k": "1", "l": "2"},
        "body": {"x": [1]},
        "client": seen["client"],
    }
    assert seen["client"] in ("127.0.0.1", "::1")


@pytest.mark.parametrize(
    ("make", "status", "kind", "text"),
    [
        (lambda web: web.JSONResponse({"a": 1}, status_code=201), 201, "application/json", '{"a":1}'),
        (lambda web: web.HTMLResponse("<p>"), 200, "text/html; charset=utf-8", "<p>"),
        (lambda web: web.Response("plain", media_type="text/x", headers={"X-A": "b"}), 200, "text/x", "plain"),
        (lambda web: {"a": [1, None]}, 200, "application/json", '{"a":[1,null]}'),
        (lambda web: "text", 200, "application/json", '"text"'),
        (lambda web: 5, 200, "application/json", "5"),
        (lambda web: func.HttpResponse("old", status_code=202, mimetype="text/y"), 202, "text/y", "old"),
    ],
)
async def test_what_functions_return_becomes_an_answer_by_the_rules_of_the_framework(web, make, status, kind, text):
    def plain(req):  # not a coroutine function, which runs in a thread
        return make(web)

    async with running_front(http_function(taking(web, plain))) as front:
        got = await front.ask("GET", "api/plain")

    assert (got[0], got[1]["content-type"].partition("; charset")[0], got[2]) == (status, kind.partition(";")[0], text)
    assert got[1]["content-length"] == str(len(text))


async def test_several_cookies_are_several_headers(web):
    def cookies(req):
        answer = web.PlainTextResponse("x")
        answer.set_cookie("a", "1")
        answer.set_cookie("b", "2")
        return answer

    async with running_front(http_function(taking(web, cookies))) as front:
        url = f"http://localhost:{front.port}/api/cookies"
        async with front.http.get(url) as answer:
            assert [text.partition(";")[0] for text in answer.headers.getall("Set-Cookie")] == ["a=1", "b=2"]


async def test_head_has_the_headers_without_the_body(web):
    def page(req):
        return web.PlainTextResponse("12345")

    async with running_front(http_function(taking(web, page), methods=["get", "head"])) as front:
        status, headers, text = await front.ask("HEAD", "api/page")
        assert (status, headers["content-length"], text) == (200, "5", "")
        assert await front.code("GET", "api/page") == 200


async def test_an_exception_is_a_500_that_is_logged_once(web, caplog):
    async def fails(req):
        raise ValueError("no luck")

    async with running_front(http_function(taking(web, fails))) as front:
        status, _, text = await front.ask("GET", "api/fails")

    assert (status, text) == (500, "Internal Server Error")
    assert front.console.getvalue().count("ValueError: no luck") == 1
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_exceptions_that_the_framework_knows_are_answers(web):
    from fastapi import HTTPException

    async def gone(req):
        raise HTTPException(410, "it was here")

    async with running_front(http_function(taking(web, gone))) as front:
        status, _, text = await front.ask("GET", "api/gone")

    assert (status, json.loads(text)) == (410, {"detail": "it was here"})


async def test_a_function_that_returns_nothing_is_told_so(web, caplog):
    async def nothing(req):
        pass

    async with running_front(http_function(taking(web, nothing))) as front:
        assert await front.code("GET", "api/nothing") == 500

    assert "a function with HTTP streams returned None" in caplog.text


async def test_an_answer_that_breaks_off_does_not_look_whole(web, caplog):
    async def half(req):
        async def parts():
            yield b"half"
            raise ValueError("no more")

        return web.StreamingResponse(parts())

    async with running_front(http_function(taking(web, half))) as front:
        with pytest.raises(aiohttp.ClientError):
            await front.ask("GET", "api/half")
        assert await front.code("GET", "api/nowhere") == 404  # the host goes on

    assert "The answer of Functions.half broke off: ValueError: no more" in caplog.text


async def test_the_generator_of_a_client_that_goes_away_is_ended(web, caplog):
    caplog.set_level(logging.INFO, "taskhub")
    has_ended = threading.Event()

    async def forever(req):
        async def parts():
            try:
                while True:
                    yield b"x" * 1_000
                    await asyncio.sleep(0.01)
            finally:
                has_ended.set()

        return web.StreamingResponse(parts())

    async with running_front(http_function(taking(web, forever))) as front:
        async with front.http.get(f"http://localhost:{front.port}/api/forever") as answer:
            await answer.content.readany()
            answer.close()
        assert await asyncio.to_thread(has_ended.wait, 10)

    assert "The client of Functions.forever went away" in caplog.text
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_function_can_tell_that_its_client_went_away(web):
    seen = []
    has_ended = threading.Event()

    async def wait(req):
        seen.append(await req.is_disconnected())
        while not await req.is_disconnected():  # noqa: ASYNC110  # as Starlette's own examples
            await asyncio.sleep(0.01)
        has_ended.set()
        return web.Response()

    async with running_front(http_function(taking(web, wait))) as front:
        with pytest.raises(asyncio.TimeoutError):
            await front.ask("GET", "api/wait", timeout=aiohttp.ClientTimeout(total=1))
        assert await asyncio.to_thread(has_ended.wait, 10)

    assert seen == [False]


async def test_a_body_that_is_too_large_is_refused_whatever_the_function_makes_of_it(web):
    async def upload(req):
        return web.PlainTextResponse(str(len(await req.body())))

    limits = Limits(max_body_bytes=10)
    async with running_front(http_function(taking(web, upload)), limits=limits) as front:
        assert (await front.ask("POST", "api/upload", data=b"0123456789"))[2] == "10"
        status, _, text = await front.ask("POST", "api/upload", data=b"0123456789a")
    assert (status, text) == (413, "")


async def test_a_function_may_be_slower_than_its_client(web):
    async def slow(req):
        count = 0
        async for part in req.stream():
            await asyncio.sleep(0.02)
            count += len(part)
        return count

    limits = Limits(body_bytes_per_second=1e9, body_grace_seconds=0.5)
    async with running_front(http_function(taking(web, slow)), limits=limits) as front:
        assert (await front.ask("POST", "api/slow", data=io.BytesIO(b"x" * 4_000_000)))[2] == "4000000"


async def test_what_cannot_be_a_header_is_a_500(web, caplog):
    def bad(req):
        return web.Response("x", headers={"X-A": "a\r\nX-B: c"})

    async with running_front(http_function(taking(web, bad))) as front:
        status, headers, _ = await front.ask("GET", "api/bad")

    assert status == 500
    assert not {"x-a", "x-b"} & set(headers)
    assert "The answer of Functions.bad broke off" in caplog.text


async def test_without_annotation_the_request_is_the_framework_s_and_with_another_it_is_as_ever(web):
    async def bare(req):
        return type(req).__module__

    async def classic(req):
        return type(req).__module__

    classic.__annotations__["req"] = func.HttpRequest

    async with running_front(http_function(bare), http_function(classic)) as front:
        assert json.loads((await front.ask("GET", "api/bare"))[2]).startswith("starlette")
        assert (await front.ask("GET", "api/classic"))[2].startswith("azure.functions")


async def test_an_app_without_the_extension_is_as_ever():
    async def classic(req):
        return type(req).__module__

    async with running_front(http_function(classic)) as front:
        assert (await front.ask("GET", "api/classic"))[2].startswith("azure.functions")


def test_links_are_made_of_either_request(web):
    import azure.durable_functions as df

    text = json.dumps(
        {
            "taskHubName": "Hub",
            "creationUrls": {},
            "managementUrls": {"id": "INSTANCE", "statusQueryGetUri": "http://inside:1/instances/INSTANCE?code=1"},
            "rpcBaseUrl": "http://localhost:1/",
        }
    )
    scope = {
        "type": "http",
        "scheme": "https",
        "method": "GET",
        "path": "/api/start",
        "query_string": b"",
        "headers": [(b"host", b"outside.example")],
    }
    request = web.Request(scope)
    assert isinstance(request.url, object)
    assert str(URL(str(request.url)).origin()) == "https://outside.example"

    answer = df.DurableOrchestrationClient(text).create_check_status_response(request, "abc")

    assert json.loads(answer.get_body())["statusQueryGetUri"].startswith("https://outside.example/instances/abc")
