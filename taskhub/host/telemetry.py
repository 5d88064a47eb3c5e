"""The spans of a hub's work, given to OpenTelemetry.

``core.tracing`` says which spans there are; here they become spans of a tracer, and user code runs inside of them, so
that its own spans, and the instances that it starts, belong to the same trace. Spans are told when they are over, with
their times and ids: the tracers get an id generator that gives out what it is told.

Whose exporter: that of the app, if it has set a tracer provider up while it was imported. Else one by the variables
that OpenTelemetry and Application Insights themselves go by, with a provider that the app's own spans go to as well.

Source: Durable Task extension, distributed tracing V2; OpenTelemetry, environment variables.
"""

from __future__ import annotations

import contextlib
import importlib
import logging
from typing import TYPE_CHECKING, Any

from taskhub.core.tracing import CORE, EXTENSION

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime

    from taskhub.core.tracing import Span
    from taskhub.host.invocation import TraceContext

_INSTALL = "python -m pip install opentelemetry-sdk opentelemetry-exporter-otlp-proto-http"
_OTLP_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_OTLP_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_INSIGHTS = "APPLICATIONINSIGHTS_CONNECTION_STRING"
_FLUSH_MILLISECONDS = 3_000

logger = logging.getLogger(__name__)


class NoTelemetry(Exception):
    """Nothing takes spans; the message says what is missing and how to get it."""


class Telemetry:
    """Takes the spans of a process.

    Args:
        provider: an ``opentelemetry.sdk.trace.TracerProvider``.
        is_own: whether it was made here, and so is closed here.
    """

    def __init__(self, provider: Any, *, is_own: bool) -> None:
        from opentelemetry import context, propagate, trace

        self._context = context
        self._trace = trace
        self._extract = propagate.extract
        self._provider = provider
        self._is_own = is_own
        self._ids = _given_ids()
        self._tracers = {source: self._tracer(source) for source in (CORE, EXTENSION)}

    def __repr__(self) -> str:
        return f"<Telemetry to {self._provider!r}>"

    def tell(self, spans: Sequence[Span]) -> None:
        """Hand spans on; what goes wrong is logged, for the work is done."""
        try:
            for span in spans:
                self._tell(span)
        except Exception:  # of a processor or a sampler, which may be the app's
            logger.exception("Spans were not taken")

    @contextlib.contextmanager
    def within(self, trace: TraceContext) -> Iterator[None]:
        """Run user code inside of a span."""
        carrier = {"traceparent": trace.trace_parent, "tracestate": trace.trace_state}
        token = self._context.attach(self._extract(carrier))
        try:
            yield
        finally:
            self._context.detach(token)

    def close(self) -> None:
        """Send what is left, for some seconds at most."""
        self._provider.force_flush(_FLUSH_MILLISECONDS)
        if self._is_own:
            self._provider.shutdown()

    def _tracer(self, source: str) -> Any:
        tracer = self._provider.get_tracer(source)
        tracer.id_generator = self._ids
        return tracer

    def _tell(self, span: Span) -> None:
        trace = self._trace
        self._ids.trace_id, self._ids.span_id = int(span.context.trace_id, 16), int(span.context.span_id, 16)
        above = trace.INVALID_SPAN
        if span.parent_id is not None:
            above = trace.NonRecordingSpan(
                trace.SpanContext(
                    self._ids.trace_id,
                    int(span.parent_id, 16),
                    is_remote=True,
                    trace_flags=trace.TraceFlags(trace.TraceFlags.SAMPLED),
                    trace_state=trace.TraceState.from_header([span.context.state or ""]),
                )
            )
        told = self._tracers[span.source].start_span(
            span.name,
            trace.set_span_in_context(above),
            kind=trace.SpanKind[span.kind.name],
            attributes=dict(span.attributes),
            start_time=_nanoseconds(span.start.moment()),
        )
        if span.error is not None:
            told.set_status(trace.StatusCode.ERROR, span.error)
        elif span.is_ok:
            told.set_status(trace.StatusCode.OK)
        told.end(_nanoseconds(span.end.moment()))


def open_telemetry(environment: Mapping[str, str], *, service: str) -> Telemetry:
    """Return where spans go; after the app was imported.

    Args:
        environment: variables of the process.
        service: name of the app, where ``OTEL_SERVICE_NAME`` does not say another.

    Raises:
        NoTelemetry: nothing takes spans.
    """
    try:
        from opentelemetry import trace
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise NoTelemetry(f"OpenTelemetry is not installed: {_INSTALL}") from error
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        return Telemetry(provider, is_own=False)
    exporter = _exporter(environment)
    named = {} if environment.get("OTEL_SERVICE_NAME") else {"service.name": service}
    provider = TracerProvider(resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return Telemetry(provider, is_own=True)


def _exporter(environment: Mapping[str, str]) -> Any:
    wanted = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if wanted == "console":
        return _made("opentelemetry.sdk.trace.export", "ConsoleSpanExporter", "opentelemetry-sdk")
    if wanted == "otlp" or (not wanted and any(environment.get(name) for name in _OTLP_ENDPOINTS)):
        protocol = next((environment[name] for name in _OTLP_PROTOCOLS if environment.get(name)), "http/protobuf")
        kind = "grpc" if protocol == "grpc" else "http"
        package = f"opentelemetry-exporter-otlp-proto-{kind}"
        return _made(f"opentelemetry.exporter.otlp.proto.{kind}.trace_exporter", "OTLPSpanExporter", package)
    if not wanted and environment.get(_INSIGHTS):
        package = "azure-monitor-opentelemetry-exporter"
        return _made("azure.monitor.opentelemetry.exporter", "AzureMonitorTraceExporter", package)
    if wanted:
        raise NoTelemetry(f"OTEL_TRACES_EXPORTER is '{wanted}'; it can be otlp or console")
    raise NoTelemetry(f"neither {_OTLP_ENDPOINTS[1]} nor {_INSIGHTS} is set, and the app has set no tracer provider up")


def _made(module: str, name: str, package: str) -> Any:
    try:
        return getattr(importlib.import_module(module), name)()
    except ImportError as error:
        raise NoTelemetry(f"{package} is not installed: python -m pip install {package}") from error


def _given_ids() -> Any:
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class GivenIds(IdGenerator):
        """Gives out the ids of the span that is being told."""

        trace_id = span_id = 0

        def generate_trace_id(self) -> int:
            return self.trace_id

        def generate_span_id(self) -> int:
            return self.span_id

    return GivenIds()


def _nanoseconds(moment: datetime) -> int:
    seconds = int(moment.replace(microsecond=0).timestamp())
    return (seconds * 1_000_000 + moment.microsecond) * 1_000
