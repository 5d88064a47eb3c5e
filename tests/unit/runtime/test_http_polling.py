"""``call_http`` on our own hub: real requests to a real server, waits in virtual time, workers that die in between."""

import json
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub.model.instance import RuntimeStatus
from tests.support.http_target import running_target
from tests.support.http_world import play_http
from tests.support.virtual_hub import UNHURRIED


@pytest.fixture
def target():
    with running_target() as server:
        yield server


def seconds_of(ended):
    return (ended.completed.moment() - ended.created.moment()).total_seconds()


def polling(target, **options):
    def flow(context):
        response = yield context.call_http("POST", target.base + "/start", asynchronous_pattern_enabled=True, **options)
        return response["content"]

    return {"Flow": flow}


def test_a_call_that_takes_a_day_costs_one_timer_and_one_request_an_hour(target):
    target.retry_after, target.polls_before_done = "3600", 23

    async def test(hub):
        await hub.worker()
        return await hub.end(await hub.start("Flow"), within=200_000)

    ended = play_http(polling(target), test, **UNHURRIED)

    assert json.loads(ended.output) == "done"
    assert seconds_of(ended) == pytest.approx(24 * 3600, abs=30)
    assert target.paths() == ["POST /target/start", *["GET /target/poll"] * 24]


def test_without_retry_after_the_pause_is_the_hosts(target):
    target.retry_after = None

    async def test(hub):
        await hub.worker()
        hub.app.http_poll_seconds = 120
        return await hub.end(await hub.start("Flow"))

    assert seconds_of(play_http(polling(target), test)) == pytest.approx(240, abs=5)


def test_a_worker_that_dies_while_a_call_waits_leaves_it_to_the_next(target):
    target.retry_after, target.polls_before_done = "1000", 2

    async def test(hub):
        first = await hub.worker("first")
        instance_id = await hub.start("Flow")
        await hub.sleep(1500)
        first.kill()
        await hub.worker("second")
        return await hub.end(instance_id), hub.app.runs

    ended, runs = play_http(polling(target), test)

    assert json.loads(ended.output) == "done"
    assert target.paths() == ["POST /target/start", *["GET /target/poll"] * 3]
    assert set(runs.values()) == {1}


@pytest.mark.parametrize("after", range(1, 12))
def test_a_worker_that_dies_at_any_write_repeats_requests_but_loses_none(target, after):
    """Killed after so many calls to the store beyond the start; the next worker takes over."""
    target.retry_after, target.polls_before_done = "5", 1

    async def test(hub):
        first = await hub.worker("first")
        instance_id = await hub.start("Flow")
        count = 0

        def watch(call):
            nonlocal count
            if call.method in ("put", "batch", "write", "delete"):
                count += 1
                if count == after:
                    first.kill()

        first.process.observer = watch
        while not first.process.is_dead and hub.seconds < 1000:
            await hub.sleep(0.5)
        await hub.worker("second")
        return await hub.end(instance_id)

    ended = play_http(polling(target), test)

    assert (ended.status, json.loads(ended.output)) == (RuntimeStatus.Completed, "done")
    assert target.paths().count("GET /target/poll") >= 2


def test_a_suspended_call_waits_and_a_terminated_one_asks_no_more(target):
    target.retry_after, target.polls_before_done = "100", 1000

    async def test(hub):
        await hub.worker()
        instance_id = await hub.start("Flow")
        await hub.sleep(250)
        await hub.client.suspend(instance_id, None)
        await hub.sleep(1000)
        suspended = len(target.seen)
        await hub.client.resume(instance_id, None)
        await hub.sleep(150)
        resumed = len(target.seen)
        await hub.client.terminate(instance_id, None)
        await hub.sleep(1000)
        return suspended, resumed, len(target.seen)

    suspended, resumed, terminated = play_http(polling(target), test)

    assert suspended == 3
    assert suspended < resumed <= terminated <= resumed + 1


def test_a_busy_server_is_asked_again_after_growing_waits(target):
    target.busy = 3
    options = df.HttpRetryOptions(10_000, 5, status_codes_to_retry=[503], backoff_coefficient=3)

    def flow(context):
        response = yield context.call_http("GET", target.base + "/busy", retry_options=options)
        return response["content"]

    async def test(hub):
        await hub.worker()
        return await hub.end(await hub.start("Flow"))

    ended = play_http({"Flow": flow}, test)

    assert json.loads(ended.output) == "at last"
    assert seconds_of(ended) == pytest.approx(10 + 30 + 90, abs=10)


def test_a_server_that_stays_busy_fails_the_call_with_what_was_received(target):
    target.busy = 100
    options = df.HttpRetryOptions(1000, 2)

    def flow(context):
        try:
            yield context.call_http("GET", target.base + "/busy", retry_options=options)
        except df.TaskFailedError as error:
            return [error.error_type, error.error_message]

    async def test(hub):
        await hub.worker()
        return await hub.end(await hub.start("Flow"))

    assert json.loads(play_http({"Flow": flow}, test).output) == [
        "System.Net.Http.HttpRequestException",
        "Status code ServiceUnavailable received, retry requested.",
    ]
    assert len(target.seen) == 2


def test_a_race_with_a_deadline_ends_without_the_call(target):
    target.retry_after, target.polls_before_done = "60", 1000

    def flow(context):
        call = context.call_http("POST", target.base + "/start", asynchronous_pattern_enabled=True)
        deadline = context.create_timer(context.current_utc_datetime + timedelta(seconds=150))
        winner = yield context.task_any([call, deadline])
        return winner is deadline

    async def test(hub):
        await hub.worker()
        ended = await hub.end(await hub.start("Flow"))
        count = len(target.seen)
        await hub.sleep(1000)
        return ended, count, len(target.seen)

    ended, then, later = play_http({"Flow": flow}, test)

    assert json.loads(ended.output) is True
    assert (then, later) == (3, 3)
