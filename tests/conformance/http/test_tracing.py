"""Distributed tracing: the spans that the real extension told of for the same functions."""

import json
import re
from collections import Counter

import pytest

from tests.support.lab import running_lab
from tests.support.recorded_http import EXTENSION

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")  # once for each process

RECORDED = [json.loads(line) for line in (EXTENSION / "tracing" / "spans.jsonl").read_text("utf-8").splitlines()]
DRAWN = re.compile(r"^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}|^\d{4}-\d\d-\d\dT[\d:.]+Z$")
CALLER = "00f067aa0ba902b7"
"""The span of whoever makes the requests of the scenario."""


def as_recorded(span):
    return {
        "source": span.source,
        "name": span.name,
        "kind": span.kind.value,
        "trace": span.context.trace_id,
        "span": span.context.span_id,
        "parent": span.parent_id or "0" * 16,
        "status": "Error" if span.error is not None else "Ok" if span.is_ok else "Unset",
        "description": span.error,
        "tags": dict(span.attributes),
    }


def shapes_of(spans):
    """Return how often each span is there: by all that is not drawn, and by the same of all that are above it."""
    by_id = {span["span"]: span for span in spans}

    def shape(span):
        above = {CALLER: "caller", "0" * 16: "nobody"}.get(span["parent"])
        if above is None:
            above = shape(by_id[span["parent"]])
            assert by_id[span["parent"]]["trace"] == span["trace"]
        tags = json.dumps({name: DRAWN.sub("drawn", text) for name, text in span["tags"].items()}, sort_keys=True)
        return span["source"], span["name"], span["kind"], span["status"], span["description"], tags, above

    return Counter(shape(span) for span in spans)


async def test_the_spans_are_those_of_the_recording():
    async with running_lab("tracing") as (module, lab):
        await module.drive(lab)
        await lab.settle(5)
        spans = lab.notes.spans

    assert shapes_of([as_recorded(span) for span in spans]) == shapes_of(RECORDED)
    assert len({span.context.span_id for span in spans}) == len(spans)
    for span in spans:
        assert span.start.moment() <= span.end.moment(), span
        assert span.context.state == ("vendor=value" if span.context.trace_id.startswith("4bf9") else None), span


async def test_where_nobody_traces_nothing_is_told_and_nothing_is_carried():
    async with running_lab("hello_sequence") as (module, lab):
        await module.drive(lab)
        carried = [text for _, _, text in lab.notes.puts if '"TraceParent"' in text or '"requestTime"' in text]

    assert (lab.notes.spans, carried) == ([], [])
