"""Recorded histories, replayed against the code of today."""

import json
from datetime import timedelta
from pathlib import Path

import azure.durable_functions as df
import pytest
from azure.durable_functions.testing import DurableWorld, DurableWorldError, HistoryMismatch

from taskhub.codec.messages import raw_event
from taskhub.model.ids import InstanceId

GOLDEN = Path(__file__).parents[2] / "golden/extension/http_status/http.jsonl"


def app_with(code):
    """Return an app whose orchestrator ``flow`` is ``code``."""
    app = df.DFApp()

    @app.orchestration_trigger(context_name="context")
    def flow(context):
        return (yield from code(context))

    @app.orchestration_trigger(context_name="context")
    def child(context):
        return (yield context.call_activity("b", 2))

    @app.activity_trigger(input_name="value")
    def a(value):
        return value

    @app.activity_trigger(input_name="value")
    def b(value):
        return value

    @app.entity_trigger(context_name="context", entity_name="Cell")
    def cell(context):
        context.set_result(context.operation_name)

    return app


def original(context):
    first = yield context.call_activity("a", 1)
    both = yield context.task_all([context.call_activity("b", n) for n in range(3)])
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    held = yield context.call_entity(df.EntityId("Cell", "x"), "get")
    sub = yield context.call_sub_orchestrator("child", 5)
    answer = yield context.wait_for_external_event("go")
    return [first, both, held, sub, answer]


def renamed(context):
    yield context.call_activity("b", 1)
    yield from ()


def reordered(context):
    yield context.call_activity("a", 1)
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    yield context.task_all([context.call_activity("b", n) for n in range(3)])


def shorter(context):
    yield context.call_activity("a", 1)
    return "early"


def with_one_more(context):
    yield context.call_activity("a", 1)
    yield context.task_all([context.call_activity("b", n) for n in range(3)])
    yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
    yield context.call_entity(df.EntityId("Cell", "x"), "get")
    yield context.call_sub_orchestrator("child", 5)
    yield context.task_all([context.wait_for_external_event("go"), context.call_activity("b", 9)])


def unending(context):
    yield from original(context)
    yield context.wait_for_external_event("more")


@pytest.fixture(scope="module")
def recorded():
    """The forms of two histories of ``original``: one that has ended, one that waits."""
    with DurableWorld() as world:
        world.app(app_with(original))
        ended, waiting = world.start("flow", instance_id="ended"), world.start("flow", instance_id="waiting")
        world.skip(hours=1)
        ended.raise_event("go", 7, as_posted=True)
        assert ended.completed == [1, [0, 1, 2], "get", 2, 7]
        lines = []
        world._hub.play(world._hub.client.dump_hub(lines.append, force=True))
        raw = [raw_event(event) for event in world._hub.look(world._hub.client.history(InstanceId("ended")))]
        return {"view": ended.history, "waiting": waiting.history, "whole": raw, "dump": "\n".join(lines)}


def replay(recording, code, **options):
    with DurableWorld() as world:
        return world.app(app_with(code)).replay(recording, **options)


@pytest.mark.parametrize("form", ["view", "whole"])
def test_the_code_that_wrote_a_history_agrees_with_it(recorded, form):
    (replayed,) = replay(recorded[form], original)

    assert (replayed.output, replayed.waits_for) == ([1, [0, 1, 2], "get", 2, 7], ())


def test_a_history_that_has_not_ended_is_replayed_up_to_where_it_is(recorded):
    (replayed,) = replay({"instanceId": "i", "name": "flow", "historyEvents": recorded["waiting"]}, original)

    assert (replayed.output, replayed.waits_for) == (None, ("external event 'go'",))


def test_a_dump_is_replayed_whole(recorded, tmp_path):
    (tmp_path / "hub.jsonl").write_text(recorded["dump"])

    replayed = replay(tmp_path / "hub.jsonl", original)

    ids = [each.instance_id for each in replayed]
    assert {"ended", "waiting"} < set(ids)
    assert len(ids) == 4  # and two children


@pytest.mark.parametrize("form", ["view", "whole"])
@pytest.mark.parametrize(
    ("code", "event", "actual", "line"),
    [
        (renamed, "'a'", "activity 'b'", 'yield context.call_activity("b", 1)'),
        (reordered, "'b'", "timer", "yield context.create_timer"),
        (shorter, "'b'", 'returns "early"', None),
        (with_one_more, None, "activity 'b'", "yield context.task_all([context.wait"),
        (unending, "ExecutionCompleted", "goes on waiting", 'wait_for_external_event("more")'),
    ],
)
def test_a_change_is_told_with_event_line_and_reason(recorded, form, code, event, actual, line):
    with pytest.raises(HistoryMismatch) as caught:
        replay(recorded[form], code)

    text = str(caught.value)
    assert actual in text
    assert "of instance 'ended'" in text or form == "view"
    assert (event or "holds nothing of it") in text
    assert line is None or line in text
    assert line is None or "test_replaying.py, line" in text


def test_every_instance_of_a_dump_that_does_not_agree_is_told(recorded, tmp_path):
    (tmp_path / "hub.jsonl").write_text(recorded["dump"])

    with pytest.raises(HistoryMismatch) as caught:
        replay(tmp_path / "hub.jsonl", renamed)

    assert "'ended'" in str(caught.value)
    assert "'waiting'" in str(caught.value)


def test_code_that_ends_where_the_history_goes_on_is_told(recorded):
    def impatient(context):
        first = yield context.call_activity("a", 1)
        both = yield context.task_all([context.call_activity("b", n) for n in range(3)])
        yield context.create_timer(context.current_utc_datetime + timedelta(hours=1))
        yield context.call_entity(df.EntityId("Cell", "x"), "get")
        yield context.call_sub_orchestrator("child", 5)
        return [first, both]

    with pytest.raises(HistoryMismatch, match="went on waiting; the code returns"):
        replay(recorded["waiting"], impatient, name="flow")


def test_a_recording_of_the_official_extension_is_replayed():
    answers = [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    status = next(
        json.loads(each["response"])
        for each in answers
        if "showHistoryOutput=true" in str(each.get("url")) and "TaskCompleted" in str(each.get("response"))
    )

    def quick(context):
        return (yield context.call_activity("echo", context.get_input()))

    app = df.DFApp()
    app.orchestration_trigger(context_name="context")(quick)

    @app.activity_trigger(input_name="value")
    def echo(value):
        raise AssertionError("a replay runs no activities")

    with DurableWorld() as world:
        (replayed,) = world.app(app).replay(status)

    assert replayed.output == status["output"]


def without_results(view):
    return [{key: value for key, value in event.items() if key != "Result"} for event in view]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_results, "showHistory=true&showHistoryOutput=true"),
        (lambda view: view[1:], "has no ExecutionStarted"),
        (lambda view: [], "is no history"),
        (lambda view: {"runtimeStatus": "Completed"}, "is no history"),
        (lambda view: "nowhere.json", "there is no file"),
        (lambda view: {"name": "flaw", "historyEvents": view}, "no orchestrator 'flaw'"),
    ],
)
def test_a_recording_that_cannot_be_replayed_says_why(recorded, change, message):
    with pytest.raises(DurableWorldError) as caught:
        replay(change(recorded["view"]), original)

    assert message in str(caught.value)
