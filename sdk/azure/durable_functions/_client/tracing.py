"""The current trace, for requests that start something."""

from __future__ import annotations

import sys


def current_trace() -> tuple[str | None, str | None]:
    """Return ``traceparent`` and ``tracestate`` (W3C) of the current OpenTelemetry span.

    OpenTelemetry is used when the app has loaded it, and never loaded here: without an app that traces there is no
    span. Both are ``None`` without a valid span; the state is ``None`` when it is empty.
    """
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return None, None
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return None, None
    parent = f"00-{span.trace_id:032x}-{span.span_id:016x}-{int(span.trace_flags):02x}"
    state = span.trace_state.to_header() if span.trace_state else None
    return parent, state or None
