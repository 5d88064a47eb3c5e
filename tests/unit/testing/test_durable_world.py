"""The fixture ``durable_world``, as tests of apps use it."""

import asyncio
from datetime import datetime, timedelta, timezone

import azure.durable_functions as df
import pytest
from azure.durable_functions.testing import DurableWorld, DurableWorldError, UnexpectedState

app = df.DFApp()
sent = []


@app.orchestration_trigger(context_name="context")
def order(context: df.DurableOrchestrationContext):
    amount = context.get_input()
    receipt = yield context.call_activity("charge", amount)
    context.set_custom_status("charged")
    timeout = context.create_timer(context.current_utc_datetime + timedelta(hours=72))
    answer = context.wait_for_external_event("Shipped")
    winner = yield context.task_any([answer, timeout])
    if winner is timeout:
        yield context.call_activity("complain", receipt)
        return "late"
    timeout.cancel()
    return {"receipt": receipt, "by": answer.result}


@app.activity_trigger(input_name="amount")
def charge(amount: int) -> str:
    return f"receipt for {amount}"


@app.activity_trigger(input_name="receipt")
async def complain(receipt: str) -> None:
    await asyncio.sleep(1800)
    sent.append(receipt)


@app.orchestration_trigger(context_name="context")
def parent(context: df.DurableOrchestrationContext):
    try:
        return (yield context.call_sub_orchestrator("order", 7))
    except Exception as error:
        return f"order: {error}"


@app.orchestration_trigger(context_name="context")
def polling(context: df.DurableOrchestrationContext):
    answers = []
    while "done" not in answers:
        answers.append((yield context.call_activity("poll")))
        yield context.create_timer(context.current_utc_datetime + timedelta(days=1))
    return answers


@app.activity_trigger(input_name="nothing")
def poll(nothing) -> str:
    raise AssertionError("always faked")


@app.orchestration_trigger(context_name="context")
def fetching(context: df.DurableOrchestrationContext):
    answer = yield context.call_http("GET", "https://example.com/a?b=c")
    return [answer["statusCode"], answer["content"]]


@app.orchestration_trigger(context_name="context")
def dicing(context: df.DurableOrchestrationContext):
    sent.append("another replay")
    yield context.call_activity("charge" if len(sent) % 2 else "complain", 1)
    yield context.call_activity("charge", 2)


@app.orchestration_trigger(context_name="context")
def bank(context: df.DurableOrchestrationContext):
    account = df.EntityId("Account", "ada")
    context.signal_entity(account, "deposit", 5)
    return (yield context.call_entity(account, "balance"))


@app.entity_trigger(context_name="context", entity_name="Account")
def keep(context: df.DurableEntityContext) -> None:
    balance = context.get_state(lambda: 0)
    if context.operation_name == "deposit":
        balance += context.get_input()
        context.set_state(balance)
    context.set_result(balance)


@pytest.fixture
def world(durable_world):
    sent.clear()
    return durable_world.app(app)


def test_activities_run_and_an_event_ends_the_wait(world):
    instance = world.start("order", 5)

    assert (instance.status, instance.custom_status) == (df.OrchestrationRuntimeStatus.Running, "charged")
    instance.raise_event("Shipped", "Ada", as_posted=True)

    assert instance.completed == {"receipt": "receipt for 5", "by": "Ada"}
    assert instance.input == 5


def test_an_event_arrives_as_from_the_client_unless_it_was_posted(world):
    instance = world.start("order", 5)

    world.raise_event(instance.id, "Shipped", {"a": 1})

    assert instance.completed["by"] == '{"a": 1}'


def test_time_is_skipped_to_the_timer_and_no_further(world):
    world.fake("complain", returns=None)
    instance = world.start("order", 5)

    world.skip(hours=71, minutes=59)
    assert world.calls("complain") == []
    world.skip(timedelta(minutes=1))

    assert instance.completed == "late"
    assert [call.input for call in world.calls("complain")] == ["receipt for 5"]
    assert timedelta() <= world.now - datetime(2026, 1, 4, tzinfo=timezone.utc) < timedelta(seconds=5)


def test_what_an_activity_sleeps_is_virtual_time(world):
    instance = world.start("order", 5)

    world.skip(hours=72)
    assert (sent, instance.waits_for) == ([], ["activity 'complain'"])
    world.skip(minutes=31)

    assert (sent, instance.completed) == (["receipt for 5"], "late")


def test_a_fake_takes_the_place_of_an_activity_and_its_calls_are_recorded(world):
    world.fake("charge", lambda amount: f"fake for {amount}")

    instance = world.start("order", 5)

    (call,) = world.calls("charge")
    assert (call.input, call.result, call.instance_id, call.runs) == (5, "fake for 5", instance.id, 1)


async def test_a_test_may_be_asynchronous_and_a_fake_too(world):
    async def slowly(amount):
        await asyncio.sleep(10)
        return amount * 2

    world.fake(charge, slowly)
    instance = world.start(order, 5)
    world.skip(seconds=11)
    instance.raise_event("Shipped")

    assert instance.completed["receipt"] == 10


def test_what_a_fake_raises_reaches_the_code_as_a_failed_activity(world):
    world.fake("charge", raises=ValueError("no money"))

    instance = world.start("order", 5)

    assert "Activity function 'charge' failed:  ValueError: no money" in instance.failed
    assert str(world.calls("charge")[0].error) == "no money"


def test_fakes_in_turn_answer_one_call_after_the_other(world):
    world.fake("poll", in_turn=["queued", "running", "done"])
    instance = world.start("polling")

    world.skip(days=3)

    assert instance.completed == ["queued", "running", "done"]


def test_a_sub_orchestration_is_faked_like_an_activity(world):
    world.fake("order", by=lambda amount: amount * 100)

    assert world.start("parent").completed == 700


def test_a_fake_that_raises_stands_for_a_sub_orchestration_that_fails(world):
    world.fake("order", raises=RuntimeError("closed"))

    assert "closed" in world.start("parent").completed


def test_http_calls_are_answered_by_the_test(world):
    world.fake_http(lambda request: (201, {"url": request.url}))

    assert world.start("fetching").completed == [201, '{"url": "https://example.com/a?b=c"}']


def test_an_http_call_that_nobody_answers_says_how_to(world):
    failed = world.start("fetching").failed

    assert "there is no network in a simulated world" in failed
    assert "fake_http" in failed


def test_entities_are_signalled_and_read(world):
    world.signal("Account", "ada", "deposit", 10)

    assert world.entity("Account", "ada").state == 10
    assert world.start("bank").completed == 15
    assert not world.entity("Account", "bob").exists


def test_an_orchestrator_that_is_not_deterministic_fails_without_any_crash(world):
    world.fake("complain", returns=None)

    assert "Non-Deterministic workflow detected" in world.start("dicing").failed


def test_a_killed_worker_is_replaced_and_nothing_is_lost(world):
    instance = world.start("order", 5)

    world.kill()
    instance.raise_event("Shipped", "Bob", as_posted=True)

    assert instance.completed["by"] == "Bob"
    assert "worker-1 is killed" in world.story


def test_suspend_and_resume_terminate_and_the_history(world):
    instance = world.start("order", 5, instance_id="mine")
    instance.suspend("lunch")
    instance.raise_event("Shipped")
    assert instance.status is df.OrchestrationRuntimeStatus.Suspended
    instance.resume()
    assert instance.status is df.OrchestrationRuntimeStatus.Completed

    other = world.start("order", 6)
    other.terminate("enough")

    assert (other.status, other.output) == (df.OrchestrationRuntimeStatus.Terminated, "enough")
    assert [event["EventType"] for event in instance.history][:2] == ["ExecutionStarted", "TaskCompleted"]
    assert sorted(each.id for each in world.instances()) == sorted(["mine", other.id])


def test_an_instance_that_waits_says_for_what_and_where(world):
    instance = world.start("order", 5)

    with pytest.raises(UnexpectedState) as caught:
        _ = instance.completed

    assert "external event 'Shipped'" in str(caught.value)
    assert "timer until 2026-01-04T" in str(caught.value)
    assert "test_durable_world.py, line" in str(caught.value)
    assert "winner = yield context.task_any([answer, timeout])" in str(caught.value)


def test_an_instance_that_failed_says_why(world):
    world.fake("charge", raises=ValueError("no money"))
    instance = world.start("order", 5)

    with pytest.raises(UnexpectedState, match="no money"):
        _ = instance.completed


def test_a_start_for_later_begins_then(world):
    instance = world.start("order", 5, after=timedelta(hours=1))

    with pytest.raises(UnexpectedState, match="it begins at 2026-01-01T01:00"):
        _ = instance.completed
    world.skip(hours=1)

    assert instance.custom_status == "charged"


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (
            lambda world: world.fake("chrage", returns=1),
            "no activity and no orchestrator 'chrage'. Activities: 'ch",
        ),
        (lambda world: world.fake("charge"), "say what 'charge' does instead"),
        (lambda world: world.fake("order", in_turn=[1]), "whose fakes cannot be taken in turn"),
        (lambda world: world.start("oder"), "no orchestrator 'oder'. Orchestrators: 'bank', 'dicing'"),
        (lambda world: world.calls("order"), "no activity 'order'"),
        (lambda world: world.signal("Acount", "x", "y"), "no entity 'Acount'. Entities: 'Account'"),
        (lambda world: world.instance("nobody"), "there is no instance 'nobody'; there are: none"),
        (lambda world: world.skip(seconds=-1), "time does not run backwards"),
        (lambda world: world.app(app), "has its app already"),
        (lambda world: [world.start("order", 1, instance_id="a") for _ in range(2)], "'a'"),
    ],
)
def test_a_mistake_is_answered_with_what_there_is(world, act, message):
    with pytest.raises(DurableWorldError) as caught:
        act(world)

    assert message in str(caught.value)


def test_a_world_without_an_app_says_how_to_give_it_one():
    with DurableWorld() as world, pytest.raises(DurableWorldError, match=r"durable_world\.load"):
        world.start("order")


def test_a_turn_too_many_fails_the_activity_and_says_so(world):
    world.fake("poll", in_turn=["queued"])
    instance = world.start("polling")
    world.skip(days=1)

    assert "faked for 1 calls in turn, and this is number 2" in instance.failed
