"""Orchestrations and entities of ``durabletask``, which the official SDK 2.x is made of, on a hub in virtual time."""

import json
from datetime import timedelta

import pytest
from durabletask import task
from durabletask.entities import DurableEntity, EntityInstanceId

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from tests.support.durabletask_application import DurabletaskApplication
from tests.support.virtual_hub import UNHURRIED, VirtualHub


def chain(ctx, given):
    told = given
    for _ in range(3):
        told = yield ctx.call_activity("mark", input=told)
        ctx.set_custom_status(told)
    return told


def fan_out(ctx, given):
    marked = yield task.when_all([ctx.call_activity("mark", input=each) for each in given])
    return (yield ctx.call_sub_orchestrator("chain", input="".join(marked)))


def generations(ctx, given):
    told = yield ctx.call_activity("mark", input=given["told"])
    if given["left"]:
        ctx.continue_as_new({"left": given["left"] - 1, "told": told}, save_events=True)
        return None
    last = yield ctx.wait_for_external_event("last")
    return [told, last]


def newer(ctx, _):
    if ctx.version != "2.0":
        ctx.continue_as_new(None, new_version="2.0")
    return ctx.version


def two_events(ctx, _):
    first = yield ctx.wait_for_external_event("Go")
    second = yield ctx.wait_for_external_event("go")  # names compare ignoring case
    return [first, second]


def eight_days(ctx, _):
    begun = ctx.current_utc_datetime
    yield ctx.create_timer(timedelta(days=8))
    return (ctx.current_utc_datetime - begun).days


def stubborn(ctx, _):
    policy = task.RetryPolicy(
        first_retry_interval=timedelta(seconds=10), max_number_of_attempts=3, backoff_coefficient=2
    )
    begun = ctx.current_utc_datetime
    try:
        yield ctx.call_activity("refuse", input="x", retry_policy=policy)
    except task.TaskFailedError as error:
        return [error.details.error_type, error.details.message, (ctx.current_utc_datetime - begun).seconds]


def broken_family(ctx, _):
    yield ctx.call_sub_orchestrator("broken")


def broken(ctx, _):
    raise KeyError("lost")
    yield


def teller(ctx, given):
    ctx.send_event(given, "Go", data="hello")
    ctx.send_event(given, "go", data="again")


def book(ctx, given):
    accounts = [EntityInstanceId("account", name) for name in ("a", "b")]
    with (yield ctx.lock_entities(accounts)):
        yield ctx.call_entity(accounts[0], "add", -given)
        return (yield ctx.call_entity(accounts[1], "add", given))


def overdraw(ctx, _):
    account = EntityInstanceId("account", "a")
    try:
        yield ctx.call_entity(account, "refuse")
    except Exception as error:
        return [type(error).__name__, str(error), (yield ctx.call_entity(account, "add", 0))]


class Account(DurableEntity):
    def add(self, amount):
        self.set_state(self.get_state(int, 0) + amount)
        return self.get_state(int)

    def refuse(self, _):
        self.set_state(-1)
        raise ValueError("no")


ORCHESTRATORS = (
    chain,
    fan_out,
    generations,
    newer,
    two_events,
    eight_days,
    stubborn,
    broken_family,
    broken,
    teller,
    book,
)


def mark(told):
    return told + "#"


def refuse(_):
    raise ValueError("no")


def play(main, *, with_worker=True, **settings):
    app = DurabletaskApplication(
        {each.__name__: each for each in (*ORCHESTRATORS, overdraw)},
        {"mark": mark, "refuse": refuse},
        {"account": Account},
    )
    hub = VirtualHub(app=app, partition_count=1, **settings)

    async def run(hub):
        if with_worker:
            running = await hub.worker()
            hub.client = running.worker.client  # which wakes its worker
        return await main(hub)

    return hub.run(run)


async def run(hub, name, given=None, *events, instance_id=None):
    started = await hub.client.start(name, instance_id=instance_id, input=json.dumps(given))
    for event, data in events:
        await hub.client.raise_event(started, event, json.dumps(data))
    state = await hub.end(started, within=90 * 24 * 3600)
    return state.status, json.loads(state.output) if state.status is RuntimeStatus.Completed else state.output


@pytest.mark.parametrize(
    ("name", "given", "events", "output"),
    [
        ("chain", "a", (), "a###"),
        ("fan_out", ["a", "b"], (), "a#b####"),
        ("generations", {"left": 2, "told": "a"}, [("last", "z")], ["a###", "z"]),
        ("two_events", None, [("Go", 1), ("gO", 2)], [1, 2]),
        ("stubborn", None, (), ["ValueError", "no", 30]),
    ],
)
@pytest.mark.parametrize("warm", [True, False], ids=["warm", "cold"])
def test_orchestrations_end_alike_warm_and_cold(name, given, events, output, warm):
    told = play(lambda hub: run(hub, name, given, *events), warm_sessions=warm)

    assert told == (RuntimeStatus.Completed, output)


def test_a_new_generation_may_have_another_version():
    async def main(hub):
        started = await hub.client.start("newer", version="1.0")
        return await hub.end(started)

    state = play(main, default_version="3.0")

    assert (state.output, state.version) == ('"2.0"', "2.0")


def test_what_an_episode_brings_stands_apart_from_what_was_before():
    async def main(hub):
        await run(hub, "chain", "a")
        return [
            [[event.WhichOneof("eventType") for event in part] for part in (request.pastEvents, request.newEvents)]
            for request in hub.app.requests
        ]

    first, second, *_ = play(main)

    assert first == [[], ["orchestratorStarted", "executionStarted"]]
    assert second == [
        ["orchestratorStarted", "executionStarted", "taskScheduled", "orchestratorCompleted"],
        ["orchestratorStarted", "taskCompleted"],
    ]


def test_a_timer_longer_than_storage_can_hide_a_message_is_gone_through_in_steps():
    assert play(lambda hub: run(hub, "eight_days"), **UNHURRIED) == (RuntimeStatus.Completed, 8)


def test_a_child_that_fails_fails_its_parent_with_the_kind_and_the_message():
    status, output = play(lambda hub: run(hub, "broken_family"))

    assert status is RuntimeStatus.Failed
    assert "TaskFailedError" in output.split(": ")[0]
    assert "lost" in output


def test_an_orchestration_sends_events_to_another_one():
    async def main(hub):
        waiting = await hub.client.start("two_events", instance_id=InstanceId("other"))
        await hub.client.start("teller", input='"other"')
        return (await hub.end(waiting)).output

    assert json.loads(play(main)) == ["hello", "again"]


def test_a_suspended_instance_takes_its_events_in_when_it_goes_on():
    async def main(hub):
        waiting = await hub.client.start("two_events")
        await hub.until(waiting, lambda state: state.status is RuntimeStatus.Running)
        await hub.client.suspend(waiting, "pause")
        await hub.client.raise_event(waiting, "Go", "1")
        await hub.client.raise_event(waiting, "Go", "2")
        await hub.sleep(60)
        paused = await hub.client.get(waiting)
        await hub.client.resume(waiting, "go on")
        return paused.status, (await hub.end(waiting)).output

    status, output = play(main)

    assert (status, json.loads(output)) == (RuntimeStatus.Suspended, [1, 2])


def test_entities_are_locked_called_and_told_to_fail():
    async def main(hub):
        booked = await run(hub, "book", 5)
        again = await run(hub, "book", 2)
        return booked, again, await run(hub, "overdraw")

    booked, again, (_, refused) = play(main)

    assert (booked[1], again[1]) == (5, 7)
    assert refused[0] == "TaskFailedError"
    assert refused[1].endswith("failed with error: no")
    assert refused[2] == -7


def test_a_rewound_instance_runs_again_what_failed_only():
    async def main(hub):
        started = await hub.client.start("flaky_pair")
        failed = await hub.end(started)
        hub.app.allow = True
        await hub.client.rewind(started, "again")
        again = await hub.until(started, lambda state: state.status is RuntimeStatus.Completed)
        return failed.status, again.output, hub.app.runs

    def flaky_pair(ctx, _):
        first = yield ctx.call_activity("mark", input="a")
        return (yield ctx.call_activity("flaky", input=first))

    def flaky(told):
        if not getattr(app, "allow", False):
            raise ValueError("not yet")
        return told + "!"

    app = DurabletaskApplication({"flaky_pair": flaky_pair}, {"mark": mark, "flaky": flaky})
    hub = VirtualHub(app=app, partition_count=1)

    async def main_with_worker(hub):
        running = await hub.worker()
        hub.client = running.worker.client
        return await main(hub)

    status, output, runs = hub.run(main_with_worker)

    assert (status, output) == (RuntimeStatus.Failed, '"a#!"')
    assert [count for (_, name, _), count in runs.items() if name == "mark"] == [1]
