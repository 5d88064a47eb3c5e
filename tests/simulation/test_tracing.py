"""Distributed tracing in simulated hubs: nothing is lost or doubled for it, and spans hang together."""

import functools

import pytest

from taskhub.core.tracing import SpanKind
from taskhub.simulation import process
from tests.simulation.runs import run_seed

SEEDS = range(9_900_000, 9_900_012)


@pytest.fixture
def spans(monkeypatch):
    told = []
    monkeypatch.setattr(process, "Environment", functools.partial(process.Environment, tell_spans=told.extend))
    return told


@pytest.mark.parametrize("seed", SEEDS)
def test_spans_of_a_struck_hub_hang_together(spans, seed):
    run = run_seed(seed, {"faults": "heavy"})

    assert run.failure is None, run.failure
    assert {SpanKind.SERVER, SpanKind.CLIENT, SpanKind.PRODUCER} <= {span.kind for span in spans}
    for span in spans:
        assert span.start.moment() <= span.end.moment(), span
        assert span.parent_id != span.context.span_id
    # A span that is told of twice is the same: whoever ran it again did not know that it was stored.
    names = {}
    for span in spans:
        assert names.setdefault(span.context.span_id, span.name) == span.name
    ended = [span for span in spans if span.name.startswith("orchestration:") and span.kind is SpanKind.SERVER]
    begun = {span.context.span_id for span in spans}
    roots = [span for span in ended if span.parent_id in begun or span.parent_id is None]
    assert roots, "orchestrations lie below what started them"
