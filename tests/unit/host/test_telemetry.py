"""Spans given to OpenTelemetry: as they are, wherever the app or the environment wants them."""

import builtins

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from taskhub.core.tracing import CORE, Span, SpanContext, SpanKind
from taskhub.host import telemetry as module
from taskhub.host.invocation import TraceContext
from taskhub.host.telemetry import NoTelemetry, Telemetry, open_telemetry
from taskhub.model.ids import Utc

TRACE, SPAN, ABOVE = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "1111111111111111"
START, END = Utc("2024-02-27T12:00:00.25Z"), Utc("2024-02-27T12:00:05Z")


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return Telemetry(provider, is_own=True)


def a_span(**changes):
    values = {
        "source": CORE,
        "name": "activity:x",
        "kind": SpanKind.CLIENT,
        "context": SpanContext(TRACE, SPAN, "vendor=value"),
        "parent_id": ABOVE,
        "start": START,
        "end": END,
        "attributes": {"durabletask.type": "activity"},
    }
    return Span(**{**values, **changes})


def test_a_span_arrives_with_its_ids_its_times_and_what_is_above_it(telemetry, exporter):
    telemetry.tell([a_span()])

    (told,) = exporter.get_finished_spans()
    context = told.get_span_context()
    assert (told.name, told.kind, told.instrumentation_scope.name) == ("activity:x", trace.SpanKind.CLIENT, CORE)
    assert (f"{context.trace_id:032x}", f"{context.span_id:016x}") == (TRACE, SPAN)
    assert (f"{told.parent.span_id:016x}", told.parent.is_remote) == (ABOVE, True)
    assert context.trace_state.to_header() == "vendor=value"
    assert (told.start_time, told.end_time) == (1_709_035_200_250_000_000, 1_709_035_205_000_000_000)
    assert dict(told.attributes) == {"durabletask.type": "activity"}
    assert told.status.status_code is trace.StatusCode.UNSET


def test_the_first_span_of_a_trace_keeps_its_id(telemetry, exporter):
    telemetry.tell([a_span(parent_id=None), a_span(context=SpanContext("a" * 32, "b" * 16), parent_id=None)])

    first, second = exporter.get_finished_spans()
    assert (first.parent, f"{first.get_span_context().trace_id:x}") == (None, TRACE)
    assert f"{second.get_span_context().trace_id:x}" == "a" * 32


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [({"is_ok": True}, "OK", None), ({"error": "boom"}, "ERROR", "boom"), ({}, "UNSET", None)],
)
def test_how_it_went_is_told(telemetry, exporter, changes, code, text):
    telemetry.tell([a_span(**changes)])

    (told,) = exporter.get_finished_spans()
    assert (told.status.status_code.name, told.status.description) == (code, text)


def test_spans_of_user_code_lie_below_that_in_which_it_runs(telemetry, exporter):
    with telemetry.within(TraceContext(f"00-{TRACE}-{SPAN}-01", "")):
        inner = telemetry._provider.get_tracer("mine").start_span("inner")
        inner.end()
    assert not trace.get_current_span().get_span_context().is_valid

    (told,) = exporter.get_finished_spans()
    assert (f"{told.parent.span_id:016x}", f"{told.get_span_context().trace_id:x}") == (SPAN, TRACE)
    assert told.get_span_context().span_id != int(SPAN, 16), "the app's own tracers draw their ids"


def test_a_processor_that_breaks_does_no_harm(telemetry, caplog):
    class Broken(SimpleSpanProcessor):
        def on_start(self, *_, **__):
            raise ValueError("no room")

    telemetry._provider.add_span_processor(Broken(InMemorySpanExporter()))

    telemetry.tell([a_span()])

    assert "Spans were not taken" in caplog.text


# ---- where they go


@pytest.fixture
def no_provider(monkeypatch):
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: trace.ProxyTracerProvider())
    made = []
    monkeypatch.setattr(trace, "set_tracer_provider", made.append)
    yield made
    for provider in made:
        provider.shutdown()


def test_the_provider_of_the_app_is_taken_and_left_open(monkeypatch, exporter):
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)

    opened = open_telemetry({}, service="app")
    opened.tell([a_span()])
    opened.close()
    opened.tell([a_span()])

    assert len(exporter.get_finished_spans()) == 2


def test_without_one_ours_is_the_app_s_too(no_provider):
    opened = open_telemetry({"OTEL_TRACES_EXPORTER": "console"}, service="my-app")

    (provider,) = no_provider
    assert provider.resource.attributes["service.name"] == "my-app"
    assert opened._provider is provider


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "neither OTEL_EXPORTER_OTLP_ENDPOINT nor APPLICATIONINSIGHTS_CONNECTION_STRING is set"),
        ({"OTEL_TRACES_EXPORTER": "zipkin"}, "OTEL_TRACES_EXPORTER is 'zipkin'; it can be otlp or console"),
        (
            {"APPLICATIONINSIGHTS_CONNECTION_STRING": "x"},
            "azure-monitor-opentelemetry-exporter is not installed: python -m pip install azure-monitor",
        ),
        (
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://x", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "opentelemetry-exporter-otlp-proto-grpc is not installed",
        ),
    ],
)
def test_what_is_missing_is_said(no_provider, environment, message):
    with pytest.raises(NoTelemetry, match=message):
        open_telemetry(environment, service="app")


def test_without_the_library_it_says_how_to_get_it(monkeypatch):
    real = builtins.__import__

    def without(name, *more):
        if name.partition(".")[0] == "opentelemetry":
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)

    with pytest.raises(NoTelemetry, match=f"OpenTelemetry is not installed: {module._INSTALL}"):
        open_telemetry({}, service="app")
