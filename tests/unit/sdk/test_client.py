"""The durable client against a real server. What the reference does alike is in ``tests/conformance/sdk``."""

import asyncio
import json
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from datetime import datetime, timezone
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from aiohttp import ClientConnectionError, web
from azure.durable_functions.models.utils import http_utils

REQUEST = func.HttpRequest("POST", "https://app.example:8443/api/start", body=b"")
ROW = {
    "name": "Flow",
    "instanceId": "a",
    "createdTime": "2024-01-02T03:04:05Z",
    "lastUpdatedTime": "2024-01-02T03:04:06Z",
    "input": "1",
    "output": "why",
    "runtimeStatus": "Completed",
    "customStatus": None,
}
RUNNING = ROW | {"runtimeStatus": "Running"}
FAILED = ROW | {"runtimeStatus": "Failed"}


class Host:
    """A management API that answers what the test says, and remembers what it was asked."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answers: list[tuple[int, str]] = []
        self.requests: list[tuple[str, str, str]] = []
        self.headers: list[Any] = []

    def will_answer(self, status: int, body: Any = None) -> None:
        self.answers.append((status, body if isinstance(body, str) else "" if body is None else json.dumps(body)))

    @property
    def binding(self) -> str:
        return binding(rpcBaseUrl=f"http://127.0.0.1:{self.port}/durabletask/")

    @property
    def asked(self) -> tuple[str, str, str]:
        (only,) = self.requests
        return only


def binding(**changes: Any) -> str:
    urls = {"id": "INSTANCEID", "statusQueryGetUri": "http://localhost:7071/instances/INSTANCEID?code=k"}
    return json.dumps(
        {"taskHubName": "Hub", "creationUrls": {}, "managementUrls": urls, "rpcBaseUrl": "http://x/"} | changes
    )


async def serve_host() -> tuple[Host, web.AppRunner]:
    async def answer(request: web.Request) -> web.Response:
        body = await request.text()
        host.requests.append((request.method, request.raw_path.removeprefix("/durabletask/"), body))
        host.headers.append(request.headers)
        status, text = host.answers.pop(0)
        return web.Response(status=status, text=text, content_type="application/json")

    runner = web.AppRunner(web.Application())
    runner.app.router.add_route("*", "/{path:.*}", answer)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host = Host(runner.addresses[0][1])
    return host, runner


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    found, runner = await serve_host()
    yield found
    await runner.cleanup()


@pytest.fixture
def client(host):
    return df.DurableFunctionsClient(host.binding)


@pytest.fixture
def threaded_host():
    """A host on a loop of its own, for clients that block."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    found, runner = asyncio.run_coroutine_threadsafe(serve_host(), loop).result(10)
    yield found
    asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


# What is mended


@pytest.mark.parametrize("value", [0, "", False, [], {}])
async def test_falsy_input_of_a_signal_arrives(host, client, value):
    host.will_answer(202)

    await client.signal_entity(df.EntityId("Counter", "Main"), "add", value)

    assert host.asked == ("POST", "entities/Counter/Main?op=add", json.dumps(json.dumps(value)))


async def test_restart_returns_the_id_of_the_new_instance(host, client):
    host.will_answer(202, {"id": "new", "statusQueryGetUri": "http://x"})

    assert await client.restart("old") == "new"
    assert host.asked == ("POST", "instances/old/restart?restartWithNewInstanceId=true", "")


@pytest.mark.parametrize(
    ("method", "arguments", "path"),
    [
        ("start_new", ("My Flow", "a/b?c#d"), "orchestrators/My%20Flow/a%2Fb%3Fc%23d"),
        ("raise_event", ("a/b", "x?y#z"), "instances/a%2Fb/raiseEvent/x%3Fy%23z"),
        ("terminate", ("a%20b", "1 & 2"), "instances/a%2520b/terminate?reason=1%20%26%202"),
        ("rewind", ("a", "1 & 2 #3"), "instances/a/rewind?reason=1%20%26%202%20%233"),
        ("rewind", ("a", None), "instances/a/rewind?reason="),
        ("purge_instance_history", ("a/b",), "instances/a%2Fb"),
        ("read_entity_state", (df.EntityId("C", "a/b?c"),), "entities/C/a%2Fb%3Fc"),
        ("get_status", ("@counter@Main",), "instances/@counter@Main"),
    ],
)
async def test_ids_names_and_reasons_are_escaped(host, client, method, arguments, path):
    answers = {"read_entity_state": 404, "purge_instance_history": 404, "get_status": 404}
    host.will_answer(answers.get(method, 202), {"id": "x"} if method == "start_new" else None)

    await getattr(client, method)(*arguments)

    assert host.asked[1] == path


@pytest.mark.parametrize("verb", ["terminate", "suspend", "resume"])
async def test_no_reason_is_no_parameter(host, client, verb):
    host.will_answer(202)

    await getattr(client, verb)("a", None)

    assert host.asked == ("POST", f"instances/a/{verb}", "")


async def test_history_events_become_the_history(host, client):
    host.will_answer(200, ROW | {"historyEvents": [{"EventType": "ExecutionStarted"}]})

    status = await client.get_status("a", show_history=True)

    assert status.history == [{"EventType": "ExecutionStarted"}]


async def test_aware_times_are_converted(host, client):
    host.will_answer(200, [])

    await client.get_status_by(datetime(2024, 1, 2, tzinfo=timezone.utc).astimezone(), datetime(2024, 1, 3))

    assert host.asked[1] == (
        "instances/?createdTimeFrom=2024-01-02T00:00:00.000000Z&createdTimeTo=2024-01-03T00:00:00.000000Z"
    )


async def test_state_of_null_is_none(host, client):
    host.will_answer(200, "null")

    state = await client.read_entity_state(df.EntityId("C", "k"))

    assert (state.entity_exists, state.entity_state) == (True, None)


# What goes wrong


@pytest.mark.parametrize(
    ("status", "body", "text"),
    [
        (412, '"has status Running"', "The operation failed with an unexpected status code 412: has status Running"),
        (500, {"Message": "m", "ExceptionMessage": "e"}, "The operation failed with an unexpected status code 500: e"),
        (500, {"Message": "m"}, "The operation failed with an unexpected status code 500: m"),
        (503, None, "The operation failed with an unexpected status code 503"),
        (502, "<html>bad gateway", "The operation failed with an unexpected status code 502: <html>bad gateway"),
    ],
)
async def test_message_of_a_refusal(host, client, status, body, text):
    host.will_answer(status, body)

    with pytest.raises(df.DurableClientError) as caught:
        await client.get_status_all()

    assert str(caught.value) == text
    assert caught.value.status == status


async def test_start_that_the_host_did_not_answer_with_an_id_says_so(host, client):
    host.will_answer(404)

    with pytest.raises(df.DurableClientError, match="status code 404 without a body to the start of 'Flow'"):
        await client.start_new("Flow")


@pytest.mark.parametrize(
    "call",
    [
        lambda client: client.start_new("Flow"),
        lambda client: client.get_status("a"),
        lambda client: client.get_status_all(),
        lambda client: client.purge_instance_history("a"),
        lambda client: client.raise_event("a", "E"),
        lambda client: client.terminate("a", "r"),
        lambda client: client.restart("a"),
        lambda client: client.read_entity_state(df.EntityId("C", "k")),
    ],
)
async def test_binding_without_a_base_address_is_named(call):
    client = df.DurableOrchestrationClient(binding(rpcBaseUrl=None))

    with pytest.raises(ValueError, match="orchestration bindings has not RPC base url"):
        await call(client)


async def test_host_that_is_not_there_is_the_http_librarys_error(host):
    client = df.DurableOrchestrationClient(binding(rpcBaseUrl="http://127.0.0.1:1/"))

    with pytest.raises(ClientConnectionError):
        await client.get_status("a")


async def test_one_failed_request_does_not_disturb_the_next(host, client):
    unreachable = df.DurableOrchestrationClient(binding(rpcBaseUrl="http://127.0.0.1:1/"))
    host.will_answer(200, ROW)

    with pytest.raises(ClientConnectionError):
        await unreachable.get_status("a")

    assert await client.get_status("a")


async def test_success_that_is_no_json_is_a_decoding_error(host, client):
    host.will_answer(200, "hello")

    with pytest.raises(json.JSONDecodeError):
        await client.get_status_all()


def test_payload_that_is_no_binding_names_the_key():
    with pytest.raises(TypeError, match="managementUrls"):
        df.DurableOrchestrationClient('{"taskHubName": "h", "creationUrls": {}}')


# Sessions


def test_every_event_loop_has_a_session_of_its_own_and_loses_it_at_its_end(threaded_host):
    async def ask() -> Any:
        threaded_host.will_answer(200, ROW)
        await df.DurableOrchestrationClient(threaded_host.binding).get_status("a")
        _, session = http_utils._sessions[asyncio.get_running_loop()]
        return session

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first, second = asyncio.run(ask()), asyncio.run(ask())

    assert first is not second
    assert first.closed
    assert second.closed


async def test_calls_on_one_loop_share_connections(host, client):
    for _ in range(3):
        host.will_answer(200, ROW)

    await client.get_status("a")
    _, session = http_utils._sessions[asyncio.get_running_loop()]
    await asyncio.gather(client.get_status("a"), df.DurableOrchestrationClient(host.binding).get_status("a"))

    assert http_utils._sessions[asyncio.get_running_loop()][1] is session
    assert session.connector is not None
    assert session.connector.limit == 30


# Tracing


class FakeSpanContext:
    is_valid = True
    trace_id = 0xABC
    span_id = 0xDEF
    trace_flags = 1

    class trace_state:
        @staticmethod
        def to_header() -> str:
            return "vendor=1"


@pytest.fixture
def tracing(monkeypatch):
    class Trace:
        @staticmethod
        def get_current_span():
            class Span:
                get_span_context = FakeSpanContext

            return Span()

    monkeypatch.setitem(sys.modules, "opentelemetry.trace", Trace)


async def test_start_and_signal_carry_the_current_trace(host, client, tracing):
    host.will_answer(202, {"id": "x"})
    host.will_answer(202)
    host.will_answer(202)

    await client.start_new("Flow")
    await client.signal_entity(df.EntityId("C", "k"), "op")
    await client.terminate("a", "r")

    parent = f"00-{0xABC:032x}-{0xDEF:016x}-01"
    traces = [(headers.get("traceparent"), headers.get("tracestate")) for headers in host.headers]
    assert traces == [(parent, "vendor=1"), (parent, "vendor=1"), (None, None)]


def test_without_opentelemetry_there_is_no_trace(monkeypatch):
    monkeypatch.delitem(sys.modules, "opentelemetry.trace", raising=False)  # other tests' libraries bring it

    assert df.DurableOrchestrationClient._get_current_activity_context() == (None, None)


async def test_tools_may_replace_the_trace_and_the_request_functions(monkeypatch):
    seen: list[Any] = []

    async def post(*arguments: Any, **keywords: Any) -> list[Any]:
        seen.append((arguments, keywords))
        return [202, {"id": "x"}]

    monkeypatch.setattr(
        df.DurableOrchestrationClient, "_get_current_activity_context", staticmethod(lambda: ("p", "s"))
    )
    client = df.DurableOrchestrationClient(binding(), "inv")
    client._post_async_request = post

    await client.start_new("F", "i", 1, "v")
    await client.terminate("i", "r")

    assert seen == [
        (("http://x/orchestrators/F/i?version=v", "1", "p", "s", "inv"), {}),
        (("http://x/instances/i/terminate?reason=r", None), {"function_invocation_id": "inv"}),
    ]


# Payloads and waiting


def test_payload_is_made_of_an_id_or_of_a_request_and_an_id():
    client = df.DurableOrchestrationClient(binding())

    own = client.create_http_management_payload("i 1")
    callers = client.create_http_management_payload(REQUEST, "i 1")

    assert own == {"id": "i 1", "statusQueryGetUri": "http://localhost:7071/instances/i%201?code=k"}
    assert callers["statusQueryGetUri"] == "https://app.example:8443/instances/i%201?code=k"
    assert client.create_http_management_payload(instance_id="i 1") == own
    assert client.create_http_management_payload(request=REQUEST, instance_id="i 1") == callers
    assert client.create_http_management_payload(None, "i 1") == own


@pytest.mark.parametrize(("arguments", "keywords"), [((), {}), ((REQUEST, "i", 1), {})])
def test_payload_of_anything_else_is_refused(arguments, keywords):
    client = df.DurableOrchestrationClient(binding())

    with pytest.raises(TypeError, match=r"takes \(instance_id\) or \(request, instance_id\)"):
        client.create_http_management_payload(*arguments, **keywords)


async def test_failed_instance_is_answered_with_500_or_when_asked_with_200(host, client):
    host.will_answer(500, FAILED)
    host.will_answer(500, FAILED)

    first = await client.wait_for_completion_or_create_check_status_response(REQUEST, "a")
    second = await client.wait_for_completion_or_create_check_status_response(
        REQUEST, "a", return_internal_server_error_on_failure=False
    )

    assert (first.status_code, second.status_code) == (500, 200)
    assert json.loads(second.get_body())["runtimeStatus"] == "Failed"


# Names of 2.x


def an_orchestrator(**keywords: Any) -> Any:
    app = df.DFApp()

    def flow(context): ...

    return app.orchestration_trigger(context_name="context", **keywords)(flow)


@pytest.mark.parametrize(
    ("call", "answer", "asked"),
    [
        (
            lambda c: c.schedule_new_orchestration("F", input=1, instance_id="i", version="2"),
            (202, {"id": "i"}),
            ("POST", "orchestrators/F/i?version=2", '"1"'),
        ),
        (lambda c: c.get_orchestration_state("a"), (200, ROW), ("GET", "instances/a?showInput=True", "")),
        (lambda c: c.get_all_orchestration_states(), (200, []), ("GET", "instances/", "")),
        (
            lambda c: c.raise_orchestration_event("a", "E", data=1),
            (202, None),
            ("POST", "instances/a/raiseEvent/E", '"1"'),
        ),
        (
            lambda c: c.terminate_orchestration("a", output={"n": 1}),
            (202, None),
            ("POST", "instances/a/terminate?reason=%7B%22n%22:%201%7D", ""),
        ),
        (
            lambda c: c.suspend_orchestration("a", reason="r"),
            (202, None),
            ("POST", "instances/a/suspend?reason=r", ""),
        ),
        (lambda c: c.resume_orchestration("a"), (202, None), ("POST", "instances/a/resume", "")),
        (
            lambda c: c.restart_orchestration("a"),
            (202, {"id": "a"}),
            ("POST", "instances/a/restart?restartWithNewInstanceId=false", ""),
        ),
        (
            lambda c: c.rewind_orchestration("a", reason="r"),
            (202, None),
            ("POST", "instances/a/rewind?reason=r", ""),
        ),
        (lambda c: c.purge_orchestration("a"), (200, {"instancesDeleted": 1}), ("DELETE", "instances/a", "")),
        (
            lambda c: c.purge_orchestrations_by(datetime(2024, 1, 2)),
            (200, {"instancesDeleted": 1}),
            ("DELETE", "instances/?createdTimeFrom=2024-01-02T00:00:00.000000Z", ""),
        ),
        (lambda c: c.get_entity(df.EntityId("C", "k")), (200, 1), ("GET", "entities/C/k", "")),
        (
            lambda c: c.wait_for_orchestration_completion("a", timeout=0),
            (200, ROW),
            ("GET", "instances/a?showInput=True", ""),
        ),
    ],
)
class TestNewerNames:
    async def test_method_asks_what_the_older_one_asks(self, host, client, call, answer, asked):
        host.will_answer(*answer)

        await call(client)

        assert (host.asked[0], host.asked[1].replace("+", "%20"), host.asked[2]) == asked

    def test_blocking_method_asks_the_same(self, threaded_host, call, answer, asked):
        threaded_host.will_answer(*answer)

        call(df.SyncDurableFunctionsClient(threaded_host.binding))

        assert (threaded_host.asked[0], threaded_host.asked[1].replace("+", "%20"), threaded_host.asked[2]) == asked


@pytest.mark.parametrize(("override", "name"), [({}, "flow"), ({"orchestration": "Other"}, "Other")])
async def test_decorated_orchestrator_is_started_by_the_name_that_the_host_knows(host, client, override, name):
    host.will_answer(202, {"id": "x"})

    await client.schedule_new_orchestration(an_orchestrator(**override))

    assert host.asked[1] == f"orchestrators/{name}"


async def test_function_that_is_no_orchestrator_cannot_be_started(client):
    with pytest.raises(ValueError, match="is no orchestrator"):
        await client.start_new(lambda context: None)


async def test_missing_instance_and_entity_are_none(host, client):
    host.will_answer(404)
    host.will_answer(404)
    host.will_answer(404)

    assert await client.get_orchestration_state("a") is None
    assert await client.get_entity(df.EntityId("C", "k")) is None
    assert await client.wait_for_orchestration_completion("a") is None


async def test_wait_looks_again_until_the_instance_has_ended(host, client):
    host.will_answer(202, RUNNING)
    host.will_answer(200, ROW)

    status = await client.wait_for_orchestration_completion("a")

    assert status.runtime_status is df.OrchestrationRuntimeStatus.Completed


async def test_wait_that_takes_too_long_is_a_timeout_that_names_the_instance(host, client):
    host.will_answer(202, RUNNING)

    with pytest.raises(TimeoutError, match="instance a has not ended within 0 s"):
        await client.wait_for_orchestration_completion("a", timeout=0)


# The blocking client


def test_blocking_client_has_every_method_of_the_asynchronous_one():
    import inspect

    asynchronous, blocking = df.DurableFunctionsClient, df.SyncDurableFunctionsClient
    names = [name for name in dir(asynchronous) if not name.startswith("_")]

    differing = [
        name
        for name in names
        if inspect.signature(getattr(asynchronous, name)) != inspect.signature(getattr(blocking, name))
    ]

    assert differing == []
    assert not [name for name in names if inspect.iscoroutinefunction(getattr(blocking, name))]


def test_blocking_client_works_from_several_threads_on_one_session(threaded_host):
    client = df.SyncDurableFunctionsClient(threaded_host.binding, "inv")
    for _ in range(4):
        threaded_host.will_answer(200, ROW)
    found: list[Any] = []

    threads = [threading.Thread(target=lambda: found.append(client.get_status("a"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [status.instance_id for status in found] == ["a"] * 4


@pytest.mark.parametrize(
    ("call", "answer", "asked"),
    [
        (lambda c: c.start_new("F"), (202, {"id": "i"}), ("POST", "orchestrators/F", "")),
        (lambda c: c.get_status("a", True), (200, ROW), ("GET", "instances/a?showHistory=True", "")),
        (lambda c: c.get_status_all(), (200, []), ("GET", "instances/", "")),
        (lambda c: c.get_status_by(instance_id_prefix="p"), (200, []), ("GET", "instances/?instanceIdPrefix=p", "")),
        (lambda c: c.purge_instance_history("a"), (404, None), ("DELETE", "instances/a", "")),
        (
            lambda c: c.purge_instance_history_by(datetime(2024, 1, 2)),
            (404, None),
            ("DELETE", "instances/?createdTimeFrom=2024-01-02T00:00:00.000000Z", ""),
        ),
        (lambda c: c.raise_event("a", "E", 1, "H"), (202, None), ("POST", "instances/a/raiseEvent/E?taskHub=H", '"1"')),
        (lambda c: c.terminate("a", "r"), (202, None), ("POST", "instances/a/terminate?reason=r", "")),
        (lambda c: c.suspend("a", "r"), (202, None), ("POST", "instances/a/suspend?reason=r", "")),
        (lambda c: c.resume("a", "r"), (202, None), ("POST", "instances/a/resume?reason=r", "")),
        (
            lambda c: c.restart("a", False),
            (202, {"id": "a"}),
            ("POST", "instances/a/restart?restartWithNewInstanceId=false", ""),
        ),
        (lambda c: c.rewind("a", "r"), (202, None), ("POST", "instances/a/rewind?reason=r", "")),
        (
            lambda c: c.signal_entity(df.EntityId("C", "k"), "op", 0),
            (202, None),
            ("POST", "entities/C/k?op=op", '"0"'),
        ),
        (lambda c: c.read_entity_state(df.EntityId("C", "k")), (404, None), ("GET", "entities/C/k", "")),
        (
            lambda c: c.wait_for_completion_or_create_check_status_response(REQUEST, "a"),
            (200, ROW),
            ("GET", "instances/a", ""),
        ),
    ],
)
def test_blocking_method_asks_what_the_asynchronous_one_asks(threaded_host, call, answer, asked):
    threaded_host.will_answer(*answer)

    call(df.SyncDurableFunctionsClient(threaded_host.binding))

    assert threaded_host.asked == asked


def test_blocking_client_raises_what_the_asynchronous_one_raises(threaded_host):
    threaded_host.will_answer(404)

    with pytest.raises(df.DurableClientError, match="No instance with ID 'a' found"):
        df.SyncDurableFunctionsClient(threaded_host.binding).terminate("a", "r")
