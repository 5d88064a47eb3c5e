import io
import json

import azure.functions as func
import pytest

from taskhub.host.bindings import BindingError, read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.console import Console
from taskhub.host.functions import Function
from taskhub.host.http_functions import HttpFunctions, HttpRequest, access_of, check_route, full_route
from taskhub.host.invoker import Invoker

RETURN = {"name": "$return", "type": "http", "direction": "out"}


def function(call, *bindings, trigger=None, name="hello", disabled=False):
    trigger = {"name": "req", "type": "httpTrigger", **(trigger or {})}
    return Function(name, call, read_bindings([trigger, *(bindings or [RETURN])]), None, disabled)


class Served:
    """HTTP functions with an invoker and what it wrote."""

    def __init__(self, *functions, prefix="api", **more):
        self.written = io.StringIO()
        self.invoker = Invoker(Console(self.written))
        self.http = HttpFunctions(
            [plan_call(each) for each in functions],
            self.invoker,
            prefix=prefix,
            client_payload=lambda properties: json.dumps({"hub": properties.get("taskhub")}),
            **more,
        )

    async def ask(self, method="GET", path="api/hello", query="", headers=None, body=b""):
        found = self.http.find(method, path)
        assert found, "no function"
        url = f"http://localhost:7071/{path}" + (f"?{query}" if query else "")
        return await self.http.call(found[0], HttpRequest(method, url, query, headers or {}, body), found[1])


async def test_a_function_sees_the_request_as_it_came():
    seen = {}

    def hello(req: func.HttpRequest) -> func.HttpResponse:
        seen.update(
            method=req.method,
            url=req.url,
            params=dict(req.params),
            route=dict(req.route_params),
            header=req.headers["X-Name"],
            body=req.get_json(),
        )
        return func.HttpResponse("ok")

    served = Served(function(hello, trigger={"route": "hello/{name}/{more?}"}))

    await served.ask("POST", "api/hello/Ada", "a=1&b=&a=2&c=%2B+x", {"x-name": "v"}, b'{"x": 1}')

    assert seen == {
        "method": "POST",
        "url": "http://localhost:7071/api/hello/Ada?a=1&b=&a=2&c=%2B+x",
        "params": {"a": "1,2", "c": "+ x"},
        "route": {"name": "Ada"},
        "header": "v",
        "body": {"x": 1},
    }


async def test_an_empty_body_is_no_json():
    def hello(req):
        with pytest.raises(ValueError, match="JSON"):
            req.get_json()
        return func.HttpResponse(status_code=204)

    answer = await Served(function(hello)).ask()

    assert (answer.status, answer.body, list(answer.headers)) == (204, b"", [])


async def test_response_headers_cookies_and_types_are_kept():
    def hello(req):
        response = func.HttpResponse('{"a":1}', status_code=201, mimetype="application/json", headers={"X-A": "1"})
        response.headers.add("Set-Cookie", "a=1; Path=/")
        response.headers.add("Set-Cookie", "b=2; HttpOnly")
        response.headers["Content-Length"] = "99"
        return response

    answer = await Served(function(hello)).ask()

    assert (answer.status, answer.body) == (201, b'{"a":1}')
    headers = [(name.lower(), value) for name, value in answer.headers]
    assert ("content-type", "application/json") in headers
    assert ("x-a", "1") in headers
    assert [value for name, value in headers if name == "set-cookie"] == ["a=1; Path=/", "b=2; HttpOnly"]
    assert not [value for name, value in headers if name == "content-length"]


async def test_text_is_answered_as_text():
    answer = await Served(function(lambda req: "hé")).ask()

    assert (answer.status, answer.body) == (200, "hé".encode())
    assert answer.headers == (("Content-Type", "text/plain; charset=utf-8"),)


async def test_an_output_parameter_is_the_response_and_an_unset_one_is_no_content():
    def hello(req, message):
        if req.params.get("set"):
            message.set(func.HttpResponse("said", status_code=202))

    served = Served(function(hello, {"name": "message", "type": "http", "direction": "out"}))

    assert ((await served.ask(query="set=1")).status, (await served.ask()).status) == (202, 204)


async def test_a_function_without_output_answers_no_content():
    def hello(req, starter):
        assert json.loads(starter) == {"hub": "Other"}

    answer = await Served(function(hello, {"name": "starter", "type": "orchestrationClient", "taskHub": "Other"})).ask()

    assert answer.status == 204


@pytest.mark.parametrize("result", [None, 5, {"a": 1}])
async def test_what_cannot_be_a_response_is_a_500_with_the_reason_in_the_log(result):
    served = Served(function(lambda req: result))

    answer = await served.ask()

    assert (answer.status, answer.body) == (500, b"")
    assert 'unable to encode outgoing TypedData: unsupported type "http"' in served.written.getvalue()


async def test_an_exception_is_an_empty_500_with_its_traceback_in_the_log():
    def hello(req):
        raise KeyError("nothing")

    served = Served(function(hello))

    answer = await served.ask()

    assert (answer.status, answer.body) == (500, b"")
    text = served.written.getvalue()
    assert "Executed 'Functions.hello' (Failed, Id=" in text
    assert "Exception while executing function: Functions.hello. Result: Failure" in text
    assert "Exception: KeyError: 'nothing'" in text
    assert 'raise KeyError("nothing")' in text
    assert "taskhub/host/invoker.py" not in text


async def test_even_an_exit_of_user_code_fails_only_its_request():
    served = Served(function(lambda req: exit(3)))

    assert (await served.ask()).status == 500
    assert "SystemExit: 3" in served.written.getvalue()


async def test_coroutines_run_and_see_their_context():
    async def hello(req, context: func.Context):
        return f"{context.function_name} {len(context.invocation_id)}"

    assert (await Served(function(hello)).ask()).body == b"hello 36"


@pytest.mark.parametrize("status", [101, 42, 1000, -1])
async def test_a_status_that_ends_no_request_is_a_500_with_the_reason_in_the_log(status, caplog):
    answer = await Served(function(lambda req: func.HttpResponse("x", status_code=status))).ask()

    assert (answer.status, answer.body) == (500, b"")
    assert f"The answer of Functions.hello cannot be sent: its status is {status}" in caplog.text


@pytest.mark.parametrize("header", [("X A", "b"), ("X-A:", "b"), ("X-A\r\nX-B", "b")])
async def test_a_header_that_would_end_its_line_is_not_sent(header, caplog):
    answer = await Served(function(lambda req: func.HttpResponse("x", headers=dict([header])))).ask()

    assert (answer.status, list(answer.headers)) == (500, [])
    assert "holds what no header may hold" in caplog.text


async def test_text_may_describe_a_response():
    described = {"Status": 201, "headers": {"X-A": 1}, "body": {"a": ["é"]}}

    answer = await Served(function(lambda req: json.dumps(described))).ask()

    assert (answer.status, answer.body) == (201, '{"a":["é"]}'.encode())
    assert list(answer.headers) == [("X-A", "1"), ("Content-Type", "application/json; charset=utf-8")]


@pytest.mark.parametrize("text", ['{"a": 1}', "[1]", "{broken", '"body"', ""])
async def test_text_that_describes_no_response_is_the_body(text):
    answer = await Served(function(lambda req: text)).ask()

    assert (answer.status, answer.body) == (200, text.encode())


@pytest.mark.parametrize("text", ['{"body": "x", "status": "soon"}', '{"body": "x", "headers": {"a": "b\\nc"}}'])
async def test_text_that_describes_a_bad_response_is_a_500(text):
    assert (await Served(function(lambda req: text)).ask()).status == 500


@pytest.mark.parametrize(
    ("level", "access"),
    [(None, "function"), ("ANONYMOUS", "anonymous"), ("Function", "function"), ("admin", "admin")],
)
def test_what_a_request_must_prove_is_what_the_trigger_says(level, access):
    assert access_of(function(None, trigger={"authLevel": level})).value == access


def test_an_authorization_level_that_nobody_knows_is_the_function_s_error():
    with pytest.raises(BindingError, match="authLevel is 'everyone'; it must be anonymous, function or admin"):
        check_route(function(None, trigger={"authLevel": "everyone"}), "api")


def test_routes_follow_prefix_route_and_name():
    assert full_route(function(None), "api") == "api/hello"
    assert full_route(function(None, trigger={"route": "/x/{y}"}), "api") == "api/x/{y}"
    assert full_route(function(None, trigger={"route": "{*all}"}), "") == "{*all}"


async def test_disabled_functions_have_no_route():
    served = Served(function(lambda req: "x", disabled=True))

    assert served.http.find("GET", "api/hello") is None


def test_a_bad_route_is_the_function_s_error():
    with pytest.raises(BindingError, match=r"route .api/a/.b. has a"):
        check_route(function(None, trigger={"route": "a/{b"}), "api")
