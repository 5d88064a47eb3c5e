"""Spans of a real host, as a collector gets them by OTLP."""

from __future__ import annotations

import asyncio
import json
import shutil
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.receiver import receiving

pytestmark = pytest.mark.e2e

APP = Path(__file__).parents[1] / "apps" / "traced"
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@asynccontextmanager
async def collector():
    """Take spans; yields the address and what came: name, service, span."""
    spans = []

    async def take(request):
        sent = ExportTraceServiceRequest.FromString(await request.read())
        for resource in sent.resource_spans:
            service = next(
                each.value.string_value for each in resource.resource.attributes if each.key == "service.name"
            )
            spans.extend((span.name, service, span) for scope in resource.scope_spans for span in scope.spans)
        return web.Response()

    async with receiving("/v1/traces", take) as address:
        yield address, spans


@pytest.mark.parametrize(
    "options", [(), ("--workers", "2"), ("--sdk", "own-json")], ids=["one worker", "worker processes", "by JSON"]
)
async def test_a_request_with_a_trace_is_followed_to_the_code_of_its_activities(start_host, tmp_path, options):
    async with collector() as (address, spans):
        host = await asyncio.to_thread(
            start_host,
            shutil.copytree(APP, tmp_path / "traced"),
            *options,
            storage=f"embedded:{tmp_path / 'hub.db'}",
            environment={"OTEL_EXPORTER_OTLP_ENDPOINT": address, "OTEL_BSP_SCHEDULE_DELAY": "100"},
        )
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{host.url}/api/start/parent", headers=headers) as got,
        ):
            assert got.status == 200, host.output()
            seen = json.loads(await got.text())
        assert await asyncio.to_thread(host.stop) == 0, host.output()

    by_id = {span.span_id.hex(): (name, span) for name, _, span in spans}

    def above(span):
        names = []
        while span.parent_span_id.hex() != CALLER:
            name, span = by_id[span.parent_span_id.hex()]
            names.append(f"{name} {span.kind}")
        return names

    assert {service for _, service, _ in spans} == {"traced"}
    assert {span.trace_id.hex() for _, _, span in spans} == {TRACE}
    paths = {name: above(span) for name, _, span in spans}
    to_parent = ["orchestration:parent 2", "create_orchestration:parent 4", "before the start 1"]
    assert paths["inner first"] == ["activity:look 2", "activity:look 3", *to_parent]
    assert paths["inner second"] == [
        "activity:look_later 2",
        "activity:look_later 3",
        "orchestration:child 2",
        "orchestration:child 3",
        *to_parent,
    ]
    assert len(spans) == 1 + 1 + 2 + 1 + 2 + 2 + 1 + 1, sorted(paths)
    assert [each.split("-")[1] for each in seen] == [TRACE, TRACE]


async def test_where_nothing_takes_spans_the_console_says_so(start_host, tmp_path):
    host = await asyncio.to_thread(
        start_host, shutil.copytree(APP, tmp_path / "traced"), storage=f"embedded:{tmp_path / 'hub.db'}"
    )

    async with aiohttp.ClientSession() as session, session.get(f"{host.url}/api/start/parent") as got:
        assert json.loads(await got.text()) == ["", ""]

    assert (
        "Distributed tracing is on (host.json), but no spans are sent: neither OTEL_EXPORTER_OTLP_ENDPOINT nor "
        "APPLICATIONINSIGHTS_CONNECTION_STRING is set, and the app has set no tracer provider up."
    ) in host.output()
