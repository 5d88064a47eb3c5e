"""What the context offers beyond the reference: a logger, events that survive a restart, calls that must exist."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import azure.durable_functions as df
import azure.functions as func
import pytest
from azure.durable_functions.replay import OrchestrationSession, Restarted

from taskhub import TaskHubSettings, Worker
from taskhub.model.instance import RuntimeStatus
from taskhub.simulation.world import World
from tests.support.contexts import context_text, event, run, run_failing
from tests.support.plain_application import PlainApplication

STARTED = [event(12), event(0, Name="Shop", Version=None, Input=None)]
SECOND_EPISODE = [event(13), event(12), event(5, TaskScheduledId=0, Result="1")]


# -- the logger --------------------------------------------------------------------------------------------------------


def logging_flow(context: Any) -> Any:
    context.logger.info("before %s", 1)
    yield context.call_activity("A")
    context.logger.warning("after", extra={"order": 7, "instance_id": "mine"})


def said(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [(record.levelname, record.getMessage()) for record in caplog.records]


def test_what_is_replayed_is_not_logged_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")

    run(logging_flow)
    assert said(caplog) == [("INFO", "before 1")]
    run(logging_flow, *SECOND_EPISODE, isReplaying=True)
    assert said(caplog) == [("INFO", "before 1"), ("WARNING", "after")]


def test_the_live_shell_logs_alike(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    warm = OrchestrationSession(logging_flow, instance_id="i-1")
    warm.advance(STARTED)
    warm.advance(SECOND_EPISODE, replayed=1)

    assert said(caplog) == [("INFO", "before 1"), ("WARNING", "after")]
    caplog.clear()
    OrchestrationSession(logging_flow, instance_id="i-1").advance([*STARTED, *SECOND_EPISODE], replayed=3)
    assert said(caplog) == [("WARNING", "after")]


def test_a_record_tells_instance_and_function_and_where_it_was_logged(caplog: pytest.LogCaptureFixture) -> None:
    OrchestrationSession(logging_flow, instance_id="i-1").advance([*STARTED, *SECOND_EPISODE], replayed=3)

    (record,) = caplog.records
    assert record.name == "durable_functions.Shop"
    assert (record.instance_id, record.function_name, record.order) == ("i-1", "Shop", 7)  # type: ignore[attr-defined]
    assert (record.pathname, record.funcName) == (__file__, "logging_flow")


def test_any_logger_can_be_made_silent_in_replays(caplog: pytest.LogCaptureFixture) -> None:
    def flow(context: Any) -> Any:
        logger = context.create_replay_safe_logger(logging.getLogger("mine"))
        logger.error("one")
        seen = [logger.isEnabledFor(logging.ERROR)]
        yield context.call_activity("A")
        logger.error("two")
        return [*seen, logger.isEnabledFor(logging.ERROR), logger.isEnabledFor(logging.DEBUG)]

    state = run(flow, *SECOND_EPISODE, isReplaying=True)

    assert state["output"] == [False, True, False]
    assert [(record.name, record.getMessage()) for record in caplog.records] == [("mine", "two")]


# -- events that survive a restart -------------------------------------------------------------------------------------


def restarting(context: Any) -> Any:
    yield context.wait_for_external_event("go")
    context.continue_as_new("again", preserve_unprocessed_events=True)


def raised(name: str, value: Any) -> dict[str, Any]:
    return event(15, Name=name, Input=json.dumps(value))


def test_events_that_nobody_waited_for_are_carried_over_in_their_order() -> None:
    session = OrchestrationSession(restarting, instance_id="i-1")
    session.advance(STARTED)
    early = [raised("b", 1), raised("a", 2), raised("b", 3)]
    answer = event(15, Name="12345678-1234-5678-1234-567812345678", Input='{"result": "1"}')
    session.advance([event(12), *early, answer])

    outcome = session.advance([event(12), raised("go", 0), raised("a", 4)]).outcome

    assert isinstance(outcome, Restarted)
    assert list(outcome.unprocessed) == [*early, raised("a", 4)]


def test_without_the_wish_they_are_dropped() -> None:
    def flow(context: Any) -> Any:
        yield context.wait_for_external_event("go")
        context.continue_as_new("again")
        context.continue_as_new("later", preserve_unprocessed_events=True)

    session = OrchestrationSession(flow, instance_id="i-1")
    outcome = session.advance([*STARTED, raised("a", 1), raised("go", 0), raised("a", 2)]).outcome

    assert isinstance(outcome, Restarted)
    assert list(outcome.unprocessed) == [raised("a", 2)]


def test_the_official_extension_cannot_and_says_so() -> None:
    error = run_failing(restarting, raised("go", 1)).__cause__

    assert isinstance(error, df.UnsupportedByHostError)
    assert error.feature == "preserve_unprocessed_events"
    assert "the Durable Task extension drops external events" in str(error)


def test_no_event_is_lost_in_a_task_hub() -> None:
    def collect(context: Any) -> Any:
        seen = json.loads(context.get_input() or "[]")
        seen.append((yield context.wait_for_external_event("item")))
        if len(seen) == 4:
            return seen
        context.continue_as_new(json.dumps(seen), preserve_unprocessed_events=True)

    world = World()
    app = PlainApplication({"collect": collect}, {})

    async def main() -> Any:
        process = world.process("worker")
        settings = TaskHubSettings(hub_name="TestHub")
        worker = Worker(process.storage, settings, app, worker_id="worker", environment=process.environment)
        stop, ready = asyncio.Event(), asyncio.Event()
        running = process.spawn(worker.run(stop, ready=ready), name="worker")
        await ready.wait()
        instance_id = await worker.client.start("collect")
        for number in range(4):
            await worker.client.raise_event(instance_id, "item", json.dumps(number))
        state = await worker.client.wait(instance_id, timeout_seconds=60)
        stop.set()
        await running
        return state

    state = world.run(main())

    assert state.status is RuntimeStatus.Completed
    assert sorted(json.loads(state.output)) == [0, 1, 2, 3]


# -- calls of what does not exist --------------------------------------------------------------------------------------


@pytest.fixture
def app(caplog: pytest.LogCaptureFixture) -> df.DFApp:
    caplog.set_level("ERROR")  # azure.functions logs at every app without HTTP functions
    app = df.DFApp()

    @app.activity_trigger(input_name="value", activity="Charge")
    def charge(value: Any) -> Any: ...

    @app.entity_trigger(context_name="context")
    def counter(context: Any) -> Any: ...

    blueprint = df.Blueprint()

    @blueprint.activity_trigger(input_name="value")
    def refund(value: Any) -> Any: ...

    app.register_functions(blueprint)
    return app


CALLS: dict[str, tuple[Any, str]] = {
    "activity": (
        lambda c, name: c.call_activity(name),
        "is not an activity function. Additional info: The following are the known activity functions: "
        "'Charge', 'refund'.",
    ),
    "retried activity": (
        lambda c, name: c.call_activity_with_retry(name, df.RetryOptions(1, 1)),
        "an activity function",
    ),
    "child": (lambda c, name: c.call_sub_orchestrator(name), "an orchestrator function"),
    "retried child": (
        lambda c, name: c.call_sub_orchestrator_with_retry(name, df.RetryOptions(1, 1)),
        "an orchestrator function",
    ),
    "entity": (lambda c, name: c.call_entity(df.EntityId(name, "k"), "op"), "an entity function"),
    "signal": (lambda c, name: c.signal_entity(df.EntityId(name, "k"), "op"), "an entity function"),
}


def outcome_of(app: df.DFApp, call: Any) -> Any:
    @app.orchestration_trigger(context_name="context")
    def flow(context: Any) -> Any:
        try:
            call(context)
        except df.FunctionNotFoundError as error:
            return [error.kind, error.name, list(error.known), str(error)]
        return "made"
        yield

    handle = app.get_functions()[-1].get_user_function()
    live = OrchestrationSession(handle, instance_id="i").advance(STARTED).outcome
    output = json.loads(handle(context_text()))["output"]
    assert json.loads(live.result) == output  # type: ignore[union-attr]
    return output


@pytest.mark.parametrize("case", CALLS)
def test_a_call_of_what_the_app_does_not_have_is_refused_where_it_is_made(app: df.DFApp, case: str) -> None:
    call, words = CALLS[case]

    _, name, _, text = outcome_of(app, lambda context: call(context, "Nowhere"))

    assert name == "Nowhere"
    assert text.startswith("The function 'Nowhere' doesn't exist, is disabled, or is not ")
    assert words in text


@pytest.mark.parametrize(
    ("case", "name"),
    [("activity", "CHARGE"), ("activity", "refund"), ("child", "flow"), ("entity", "Counter"), ("signal", "counter")],
)
def test_names_that_exist_are_found_whatever_their_case(app: df.DFApp, case: str, name: str) -> None:
    assert outcome_of(app, lambda context: CALLS[case][0](context, name)) == "made"


def test_a_name_that_is_nearly_right_is_suggested(app: df.DFApp) -> None:
    kind, name, known, text = outcome_of(app, lambda context: context.call_activity("refunds"))

    assert (kind, name, known) == ("activity", "refunds", ["Charge", "refund"])
    assert text.endswith("Did you mean 'refund'?")


def test_nothing_is_refused_before_the_app_was_indexed_or_without_one(app: df.DFApp) -> None:
    def flow(context: Any) -> Any:
        yield context.call_activity("Elsewhere")

    builder = app.orchestration_trigger(context_name="context")(flow)
    plain = func.FunctionApp()
    plain.orchestration_trigger(context_name="context")(flow)

    for handle in (
        builder._function._func,
        plain.get_functions()[0].get_user_function(),
        df.Orchestrator.create(flow),
    ):
        assert json.loads(handle(context_text()))["actions"][0][0]["functionName"] == "Elsewhere"
