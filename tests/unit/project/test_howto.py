"""The code of the how-to pages, run as it stands there."""

import json
import logging
import re
from datetime import datetime, timedelta
from pathlib import Path

import azure.durable_functions as df
import pytest
from azure.durable_functions.replay import CreateTimer, OrchestrationSession, Returned, ScheduleActivity

from tests.support.contexts import START, context_text, event
from tests.support.pages import blocks, run_page

HOWTO = Path(__file__).parents[3] / "docs/howto"
DETERMINISM = HOWTO / "determinism.md"


@pytest.fixture
def names(tmp_path):
    return run_page(DETERMINISM, tmp_path)


def begun(value=None, *, version=None):
    text = None if value is None else json.dumps(json.dumps(value))
    return [event(12), event(0, Name="Flow", Version=version, Input=text)]


def scheduled(task_id, name):
    return event(4, task_id, Name=name, Version="")


def done(task_id, value):
    return event(5, TaskScheduledId=task_id, Result=json.dumps(value))


def advance(function, *history, replayed=None):
    session = OrchestrationSession(function, instance_id="i-1")
    return session.advance(history, replayed=len(history) if replayed is None else replayed)


WAITS_FOR_CHARGE = [*begun("desk"), scheduled(0, "charge"), event(13), event(12)]


def test_values_of_the_context_are_the_same_on_a_replay(names):
    first = advance(names["remind"], *begun(), replayed=0)
    (call,) = first.operations
    sent = json.loads(json.loads(call.input)[0])

    later = START + timedelta(hours=1)
    history = [*begun(), scheduled(0, "send_reminder"), event(13), event(12, at=later), done(0, None)]
    second = advance(names["remind"], *history)
    (timer,) = second.operations
    fired = event(11, at=later, TimerId=1, FireAt=sent["due"])
    outcome = advance(names["remind"], *history, event(10, 1, FireAt=sent["due"]), event(13), event(12), fired).outcome

    assert isinstance(timer, CreateTimer)
    assert timer.fire_at == START + timedelta(hours=24) == datetime.fromisoformat(sent["due"])
    assert outcome == Returned(json.dumps(sent["ticket"]))


def test_a_line_is_logged_once_over_all_replays(names, caplog, capsys):
    caplog.set_level(logging.INFO)

    advance(names["charge_and_log"], *begun("desk"), replayed=0)
    history = [*begun("desk"), scheduled(0, "charge"), event(13), event(12), done(0, "r-1")]
    advance(names["charge_and_log"], *history, replayed=4)

    assert [(record.message, record.instance_id) for record in caplog.records] == [
        ("charging", "i-1"),
        ("charged: r-1", "i-1"),
    ]
    assert capsys.readouterr().out == "charged i-1\n"


@pytest.mark.parametrize(
    ("arrived", "output"),
    [
        (event(15, Name="approval", Input="true"), {"total": 5, "approved": True}),
        (event(11, TimerId=2, FireAt="2024-03-05T18:00:00Z"), "timed out"),
    ],
)
def test_a_coroutine_awaits_tasks_and_coroutines_that_do(names, arrived, output):
    history = [*begun(["tea", "milk"]), scheduled(0, "price"), event(13), event(12), done(0, 2)]
    history += [scheduled(1, "price"), event(13), event(12), done(1, 3)]
    history += [event(10, 2, FireAt="2024-03-05T18:00:00Z"), event(13), event(12), arrived]

    assert json.loads(advance(names["shop"], *history).outcome.result) == output


def test_what_must_not_be_awaited_is_named_as_the_page_shows(names):
    outcome = advance(names["impatient"], *begun(), replayed=0).outcome

    assert outcome.error == blocks(DETERMINISM, "text")[0].strip()


def test_a_change_before_a_recorded_task_is_told_as_the_page_shows(names):
    outcome = advance(names["pay_changed"], *WAITS_FOR_CHARGE).outcome

    assert re.sub(r"/\S+/function_app", "function_app", outcome.error) == blocks(DETERMINISM, "text")[1].strip()


def test_the_unchanged_code_goes_on(names):
    assert advance(names["pay"], *WAITS_FOR_CHARGE, done(0, "r-1")).outcome == Returned('"r-1"')


def test_what_the_page_calls_unchecked_does_not_fail_an_old_instance(names):
    def pay_with_another_input(context):
        context.set_custom_status("paying")
        return (yield context.call_activity("charge", "something else"))

    assert advance(pay_with_another_input, *WAITS_FOR_CHARGE, done(0, "r-1")).outcome == Returned('"r-1"')


def test_a_recorded_task_that_the_code_never_asks_for_is_found(names):
    def gives_up(context):
        yield context.wait_for_external_event("never")

    def returns_at_once(context):
        return "nothing to do"

    for function in (gives_up, returns_at_once):
        assert "Non-Deterministic" in advance(function, *WAITS_FOR_CHARGE).outcome.error


def test_new_code_can_stand_beside_the_old(names):
    assert [function.get_function_name() for function in names["app"].get_functions()] == ["order", "order_v2"]


@pytest.mark.parametrize(("version", "first"), [(None, "charge"), ("1", "charge"), ("2", "check_stock")])
def test_one_function_can_serve_both_versions(names, version, first):
    (call,) = advance(names["order_of_either_version"], *begun("desk", version=version), replayed=0).operations

    assert isinstance(call, ScheduleActivity)
    assert call.name == first


def test_an_old_history_tells_whether_a_change_is_survived(names):
    assert names["survives"](names["pay"], WAITS_FOR_CHARGE)
    assert not names["survives"](names["pay_changed"], WAITS_FOR_CHARGE)


# ---- coming from azure-functions-durable

COMING = HOWTO / "coming-from-azure-functions-durable.md"


@pytest.fixture
def coming(tmp_path):
    return run_page(COMING, tmp_path)


def failed(task_id, name, error):
    return event(6, TaskScheduledId=task_id, Reason=f"Activity function '{name}' failed:  {error}", Details=None)


def test_the_page_can_tell_which_distribution_is_in_use(coming):
    assert coming["sdk_in_use"]() == "durable-taskhub"
    assert coming["is_clean"]()


@pytest.mark.parametrize(("error", "is_tried_again"), [("TimeoutError: slow", True), ("ValueError: no", False)])
def test_a_retry_of_the_page_tries_again_after_the_errors_that_it_names(coming, error, is_tried_again):
    history = [*begun("u"), scheduled(0, "download"), event(13), event(12), failed(0, "download", error)]

    (timer,) = advance(coming["fetch"], *history).operations

    assert (timer.fire_at > START) == is_tried_again


@pytest.mark.parametrize(
    ("error", "outcome"), [("SoldOut: since May", Returned('"sold out: since May"')), ("ValueError: no", None)]
)
def test_a_failure_of_the_page_can_be_told_by_the_activity_s_exception(coming, error, outcome):
    history = [*begun("u"), scheduled(0, "reserve"), event(13), event(12), failed(0, "reserve", error)]

    found = advance(coming["book"], *history).outcome

    assert found == outcome if outcome else "ValueError: no" in found.error


@pytest.fixture
def quiet(caplog):
    caplog.set_level(logging.ERROR)  # azure.functions logs at every app without HTTP functions


@pytest.mark.usefixtures("quiet")
def test_values_of_the_page_go_in_and_come_out_as_their_types(coming):
    functions = {each.get_function_name(): each.get_user_function() for each in coming["shop"].get_functions()}
    order = {"item": "tea", "price": "2.00"}

    reduced = functions["discount"](order=order)

    sold = event(5, TaskScheduledId=0, Result=json.dumps(reduced))
    assert reduced == {"item": "tea", "price": "1.800"}
    assert json.loads(functions["sell"](context_text(sold, input=json.dumps(order))))["output"] == "1.800"


@pytest.mark.usefixtures("quiet")
def test_both_programming_models_of_the_page_answer_the_same(coming):
    by_decorator = coming["app"].get_functions()[0].get_user_function()
    by_folder = df.Orchestrator.create(coming["orchestrator_function"])

    assert json.loads(by_decorator(context=context_text())) == json.loads(by_folder(context_text()))
    assert coming["main"](city="Oslo") == "Hello Oslo!"


def test_the_wheel_that_the_page_names_is_the_one_that_is_built():
    project = (HOWTO.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    version = re.search(r'(?m)^version = "(.*)"', project)[1]

    assert f"./wheels/durable_taskhub-{version}-py3-none-any.whl" in COMING.read_text(encoding="utf-8")
