"""Which spans follow from which events, and what of them travels."""

import json
from datetime import timedelta

import pytest

from taskhub.core.runtime_state import RuntimeState
from taskhub.core.tracing import (
    SpanContext,
    SpanKind,
    context_of,
    creation_span,
    entity_spans,
    own_span_of,
    question_span,
    traced_request,
    with_own_span,
)
from taskhub.model.entities import EntityId, Request, Response
from taskhub.model.history import (
    EventSent,
    ExecutionCompleted,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
    TraceContext,
)
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.builders import NOON, scheduled, started

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = TraceContext(f"00-{TRACE}-{CALLER}-01", "vendor=value")
LATER = NOON.plus(timedelta(seconds=5))


def begun(**changes):
    return with_own_span(started(parent_trace=PARENT, **changes), now=NOON)


# ---- contexts


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "",
        f"00-{TRACE}-{CALLER}-00",  # not sampled
        f"00-{'0' * 32}-{CALLER}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{CALLER}-01",
        f"00-{TRACE}-{CALLER}-01-more",
    ],
)
def test_what_is_no_sampled_context_is_none(text):
    assert context_of(TraceContext(text)) is None
    start = started(parent_trace=TraceContext(text))
    assert with_own_span(start, now=NOON) == start
    assert question_span(start, 0, NOON) is None


def test_a_context_is_read_whatever_its_case_and_a_long_state_is_dropped():
    assert context_of(TraceContext(f" 00-{TRACE.upper()}-{CALLER}-03", "a=b")) == SpanContext(TRACE, CALLER, "a=b")
    assert context_of(TraceContext(PARENT.trace_parent, "x" * 514)) == SpanContext(TRACE, CALLER)
    assert context_of(None) is None


def test_an_orchestration_notes_its_span_beside_that_of_its_creator():
    noted = begun().parent_trace

    assert (noted.trace_parent, noted.trace_state) == (PARENT.trace_parent, PARENT.trace_state)
    assert noted.id == f"00-{TRACE}-{noted.span_id}-01"
    assert noted.activity_start_time == f"{NOON[:-1]}+00:00"
    assert own_span_of(begun()) == SpanContext(TRACE, noted.span_id, "vendor=value")
    assert own_span_of(started(parent_trace=PARENT)) is None


def test_ids_are_the_same_for_the_same_question_only():
    start = begun()
    span = question_span(start, 3, NOON)

    assert question_span(begun(), 3, NOON) == span
    others = {question_span(start, 4, NOON).span_id, question_span(start, 3, LATER).span_id, own_span_of(start).span_id}
    assert len({span.span_id, *others}) == 4


def test_a_start_without_a_context_begins_a_trace():
    span = creation_span(started(version="1.0"), None, now=LATER)

    assert span.name == "create_orchestration:Order@1.0"
    assert (span.parent_id, len(span.context.trace_id)) == (None, 32)


# ---- orchestrations


def test_a_span_is_told_of_when_its_answer_is_there_and_once():
    start = begun()
    trace = question_span(start, 0, NOON).carried()
    state = RuntimeState.of([OrchestratorStarted(timestamp=NOON), start])
    asked = scheduled(0, "Charge")
    for event in (
        type(asked)(event_id=0, timestamp=NOON, name="Charge", version="", parent_trace=trace),
        OrchestratorCompleted(timestamp=NOON),
    ):
        state.apply(event)
    assert state.traces.take() == []

    for event in (OrchestratorStarted(timestamp=LATER), TaskCompleted(timestamp=LATER, task_scheduled_id=0)):
        state.apply(event)

    (span,) = state.traces.take()
    assert (span.name, span.kind, span.context.parent) == ("activity:Charge", SpanKind.CLIENT, trace.trace_parent)
    assert (span.start, span.end, span.parent_id) == (NOON, LATER, own_span_of(start).span_id)
    state.apply(TaskCompleted(timestamp=LATER, task_scheduled_id=0))  # nobody's answer
    assert state.traces.take() == []


@pytest.mark.parametrize(("is_whole", "told"), [(True, 0), (False, 1)])
def test_who_reads_a_history_tells_only_of_an_episode_that_was_stored_in_part(is_whole, told):
    end = ExecutionCompleted(event_id=1, timestamp=LATER, status=RuntimeStatus.Completed)
    state = RuntimeState.of([OrchestratorStarted(timestamp=NOON), begun(), OrchestratorStarted(timestamp=LATER), end])

    state.traces.forget_told(is_whole=is_whole)

    assert len(state.traces.take()) == told


def test_an_execution_that_nobody_traces_keeps_no_spans():
    state = RuntimeState.of([OrchestratorStarted(timestamp=NOON), started(), scheduled()])

    assert state.traces is None


def test_a_failure_is_an_error_with_its_reason_and_a_termination_is_none():
    for status, error in ((RuntimeStatus.Failed, "boom"), (RuntimeStatus.Terminated, None)):
        state = RuntimeState.of([OrchestratorStarted(timestamp=NOON), begun(version="2")])
        state.apply(ExecutionCompleted(event_id=0, timestamp=LATER, status=status, result="boom"))

        (span,) = state.traces.take()
        assert (span.name, span.error, span.is_ok) == ("orchestration:Order@(2)", error, False)
        assert span.attributes["durabletask.task.status"] == status.name


# ---- entities


def test_a_signal_has_a_span_of_its_own_and_a_call_the_caller_s():
    start = begun()

    signal = json.loads(traced_request('{"op":"put","signal":true,"id":"1"}', start, 0, NOON))
    call = json.loads(traced_request('{"op":"get","id":"2","requestTime":"T"}', start, 1, NOON))

    assert signal["parentTraceContext"]["TraceParent"] == question_span(start, 0, NOON).parent
    assert call["parentTraceContext"]["TraceParent"] == own_span_of(start).parent
    assert (signal["requestTime"], call["requestTime"]) == (f"{NOON[:-1]}+00:00", "T")
    assert traced_request('{"op":"put"}', started(), 0, NOON) == '{"op":"put"}'


@pytest.mark.parametrize("text", ["{broken}", "{}", '["signal"]', '"parentTraceContext"', '{"parentTraceContext":{}} '])
def test_what_is_no_request_is_sent_as_it_is_and_has_no_span(text):
    state = RuntimeState()
    state.apply(begun())
    state.apply(EventSent(event_id=0, timestamp=NOON, instance_id=InstanceId("@box@a"), name="op", input=text))

    assert traced_request(text, begun(), 0, NOON) == text
    assert state.traces.take() == []


def test_a_signal_that_was_sent_has_a_span():
    text = traced_request('{"op":"put","signal":true,"id":"1"}', begun(), 0, NOON)
    state = RuntimeState()
    state.apply(begun())
    state.apply(EventSent(event_id=0, timestamp=NOON, instance_id=InstanceId("@box@a"), name="op", input=text))

    (span,) = state.traces.take()

    assert (span.name, span.kind) == ("entity:box:put", SpanKind.PRODUCER)


def test_operations_of_a_batch_have_spans_as_far_as_their_callers_trace():
    extra = {"parentTraceContext": {"TraceParent": PARENT.trace_parent, "TraceState": None}, "requestTime": "nonsense"}
    requests = [
        Request(id="1", operation="put", is_signal=True, extra=extra),
        Request(id="2", operation="get", parent=InstanceId("x"), extra=extra),
        Request(id="3", operation="get", parent=InstanceId("y")),
        Request(id="4", operation="get", parent=InstanceId("y"), extra={"parentTraceContext": {"TraceParent": "x"}}),
    ]
    answers = [Response("1"), Response("no", is_error=True), Response("3"), Response("4")]

    spans = entity_spans(EntityId.of("box", "a"), list(zip(requests, answers, strict=True)), began=NOON, ended=LATER)

    assert [(span.name, span.kind, span.error, span.start) for span in spans] == [
        ("entity:box:put", SpanKind.CONSUMER, None, NOON),
        ("entity:box:get", SpanKind.CLIENT, "no", NOON),
        ("entity:box:get", SpanKind.SERVER, "no", NOON),
    ]
    assert spans[2].parent_id == spans[1].context.span_id
    assert spans[1].parent_id == spans[0].parent_id == CALLER
    assert spans[2].attributes["durabletask.entity.error_message"] == "no"
