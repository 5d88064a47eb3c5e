"""The management API is held to its OpenAPI description: by a fuzzer, and by everything that was recorded."""

import asyncio
import json
import queue
import threading
from contextlib import contextmanager

import jsonschema_rs
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from taskhub.host.management_openapi import openapi
from taskhub.host.routes import _ROUTES, NOT_FOUND, OPENAPI_ROUTE, WEBHOOK_PATH, Request, parse
from tests.support.lab import running_lab
from tests.support.recorded_http import EXTENSION, exchanges

SCENARIO = "event_grid"
EXAMPLES = 10
CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
SCHEMA = schemathesis.openapi.from_dict(openapi(WEBHOOK_PATH))
KNOWN = {
    "functionName": ("waiting", "quick", "fails"),
    "instanceId": ("waits", "ended", "broken", "@box@a"),
    "eventName": ("never",),
    "entityName": ("box",),
    "entityKey": ("a", "$"),
}
"""Most requests are about what there is, so that they get past 404."""
RECORDED_ERRORS = ("it must not be negative", "Cannot suspend the orchestration", "Cannot resume the orchestration")
"""What the extension, too, answers with 500: ``http_status`` and ``http_control``."""


def operations():
    return [pytest.param(found.ok(), id=found.ok().label) for found in SCHEMA.get_all_operations()]


@pytest.fixture(scope="module")
def webhook():
    """The URL of the API of a hub with some instances, served from another thread."""
    with served() as url:
        yield url


@contextmanager
def served():
    loop, stop, found = asyncio.new_event_loop(), asyncio.Event(), queue.SimpleQueue()

    async def serve():
        async with running_lab(SCENARIO) as (_, lab):
            for name, instance in (("waiting", "waits"), ("waiting", "ended"), ("fails", "broken")):
                await lab.start(name, instance)
            await lab.wait("ended", {"Running"})
            await lab.http("POST", "instances/ended/terminate?reason=enough")
            await lab.http("POST", "entities/box/a?op=tick")
            for instance in ("ended", "broken"):
                await lab.wait(instance)
            found.put(lab.webhook)
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield found.get(timeout=30)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


# Its module is imported when it is first used, while the server runs in another thread: to compile in two threads at
# once fails now and then before Python 3.11.8 ("AST constructor recursion depth mismatch").
st.randoms().validate()


def aimed(case, draw):
    """Aim a request at what there is, and keep it from waiting."""
    for name, values in KNOWN.items():
        if name in (case.path_parameters or {}) and draw(st.integers(0, 3)):
            case.path_parameters[name] = draw(st.sampled_from(values))
    query = case.query if isinstance(case.query, dict) else {}
    # An account that no setting names is a 500, as recorded.
    for name in ("connection", "timeout", "pollingInterval"):
        query.pop(name, None)
    if draw(st.integers(0, 3)):
        query.pop("taskHub", None)
    return case


def is_recorded(case, text):
    """Return whether the extension, too, answers with 500."""
    wants_it = str(case.query.get("returnInternalServerErrorOnFailure")).lower() == "true"
    return any(each in text for each in RECORDED_ERRORS) or (wants_it and '"runtimeStatus":"Failed"' in text)


@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("operation", operations())
def test_whatever_is_asked_the_answer_is_one_that_is_described(webhook, operation, mode):
    strategy = operation.as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(data=st.data())
    def run(data):
        case = aimed(data.draw(strategy), data.draw)
        answer = case.call(base_url=webhook)
        case.validate_response(answer, checks=CHECKS)
        assert answer.status_code != 500 or is_recorded(case, answer.text), answer.text

    run()


# ---- the description itself


def test_every_route_is_described_and_nothing_else():
    described = {
        (method.upper(), path.split("/")[1], path.count("/"))
        for path, item in openapi(WEBHOOK_PATH)["paths"].items()
        for method in item
    }

    # Any method makes the app primary, and a signal without a name is only refused; it itself it does not describe.
    left_out = {("GET", OPENAPI_ROUTE, 1), ("POST", "entities", 1), ("DELETE", "entities", 1)}
    left_out |= {(method, "makeprimary", 1) for method in ("GET", "PUT", "DELETE", "PATCH")}
    assert described == set(_ROUTES) - left_out


def test_every_operation_on_an_instance_is_described():
    described = {
        path.rpartition("/")[2].lower() for path in openapi(WEBHOOK_PATH)["paths"] if path.startswith("/instances/{")
    }

    for operation in ("terminate", "suspend", "resume", "rewind", "restart", "restartwithoptions"):
        assert operation in described
        assert parse(Request("POST", "", f"/instances/x/{operation}", "newInstanceId=y", "")) != NOT_FOUND


async def test_the_description_is_served():
    async with running_lab(SCENARIO) as (_, lab):
        status, headers, text = await lab.http("GET", OPENAPI_ROUTE)

    assert (status, headers["content-type"]) == (200, "application/json; charset=utf-8")
    [server] = json.loads(text)["servers"]
    assert server["url"].endswith(WEBHOOK_PATH)
    assert json.loads(text) == json.loads(json.dumps(openapi(server["url"])))


# ---- what was recorded


def recorded():
    for folder in sorted(EXTENSION.iterdir()):
        if (folder / "http.jsonl").is_file():
            for each in exchanges(folder.name):
                yield folder.name, each


def operation_of(exchange):
    """The operation that a recorded request is about, ``None`` for a route that there is not."""
    path = exchange.path.partition("?")[0].rstrip("/").replace("%2F", "/")
    segments = path.split("/")
    for operation in (found.ok() for found in SCHEMA.get_all_operations()):
        template = operation.path.split("/")
        if (
            len(template) == len(segments)
            and (exchange.method == operation.method.upper() or operation.path == "/makeprimary")
            and all(
                part.startswith("{") or part.lower() == segment.lower()
                for part, segment in zip(template, segments, strict=True)
            )
        ):
            return operation
    return None


def test_every_recorded_answer_is_described():
    seen, wrong = 0, []
    for scenario, exchange in recorded():
        operation = operation_of(exchange)
        if operation is None:
            assert exchange.status in (404, 400), (scenario, str(exchange))
            continue
        seen += 1
        found = operation.responses.find_by_status_code(exchange.status)
        if found is None or not matches(found, exchange):
            wrong.append((scenario, str(exchange), exchange.status, exchange.response[:200]))
    assert wrong == []
    assert seen > 500


def matches(described, exchange):
    schema = described.definition.get("content", {}).get("application/json", {}).get("schema")
    if schema is None:
        return exchange.response == ""
    whole = {**schema, "components": openapi(WEBHOOK_PATH)["components"]}
    return jsonschema_rs.is_valid(whole, json.loads(exchange.response))
