"""What happens at limits that no other test goes up to. The page is ``docs/reference/limits.md``."""

import asyncio
import io
import json
import socket
from datetime import datetime, timedelta, timezone

import aiohttp
import pytest
from aiohttp import web
from azure.durable_functions.replay import CreateTimer, OrchestrationSession

from taskhub.codec.keys import MAX_INSTANCE_ID_UNITS
from taskhub.core.timers import MAX_HIDDEN_SECONDS, Due, Hold, on_arrival, visible_after
from taskhub.errors import ConfigurationError, PayloadError
from taskhub.host import routes
from taskhub.host.routes import MAX_ID_CHARACTERS
from taskhub.host.server import Listener
from taskhub.host.server_limits import NO_LIMITS, Limits, read_body
from taskhub.host.workers import MAX_BY_SETTING, worker_count_of
from taskhub.model.history import OrchestrationInstance, TimerFired
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.runtime.checkpoints import MAX_PARALLEL_PUTS
from taskhub.settings import TaskHubSettings
from taskhub.storage.azure.account import MAX_CONNECTIONS, open_azure
from taskhub.storage.interception import intercepted
from tests.support.contexts import START, event
from tests.support.virtual_hub import UNHURRIED, VirtualHub


def returns(context):
    return 1
    yield


def fan_out(context):
    results = yield context.task_all([context.call_activity("Echo", n) for n in range(context.get_input())])
    return sum(results)


# ---- names


@pytest.mark.parametrize("longer", [0, 1])
def test_an_instance_id_has_a_longest_form(longer):
    async def play(hub):
        await hub.worker()
        return await hub.end(await hub.start("F", instance_id="i" * (MAX_INSTANCE_ID_UNITS + longer)))

    hub = VirtualHub({"F": returns})

    if longer:
        with pytest.raises(PayloadError, match=r"may have 512 characters.*has 513"):
            hub.run(play)
    else:
        assert hub.run(play).status is RuntimeStatus.Completed


@pytest.mark.parametrize("longer", [0, 1])
def test_an_instance_id_over_http_has_a_longest_form(longer):
    instance_id = "i" * (MAX_ID_CHARACTERS + longer)

    command = routes.parse(routes.Request("POST", "http://x", f"orchestrators/F/{instance_id}", "", "http://x"))

    if longer:
        assert command.status == 400
        assert "more than 256 characters; this one has 257" in command.body
    else:
        assert command.instance_id == instance_id


# ---- bodies


async def post_to_door(body, limits):
    async def answer_length(request):
        return web.Response(text=str(len(await read_body(request, limits))))

    door = Listener([socket.create_server(("127.0.0.1", 0))], answer_length, limits=limits)
    await door.start()
    try:
        async with (
            aiohttp.ClientSession() as http,
            http.post(f"http://127.0.0.1:{door.port}/", data=io.BytesIO(body)) as answer,
        ):
            return answer.status, await answer.text()
    finally:
        await door.stop(grace_seconds=0)


@pytest.mark.parametrize(("size", "answer"), [(1000, (200, "1000")), (1001, (413, ""))])
async def test_a_body_beyond_the_limit_of_a_door_is_refused(size, answer):
    assert await post_to_door(b"x" * size, Limits(max_body_bytes=1000)) == answer


async def test_a_door_without_a_limit_takes_what_comes():
    assert await post_to_door(b"x" * 5_000_000, NO_LIMITS) == (200, "5000000")


# ---- counts


@pytest.mark.parametrize(
    ("field", "lowest", "highest"),
    [
        ("partition_count", 1, 16),
        ("control_queue_batch_size", 1, 32),
        ("control_queue_buffer_threshold", 1, 1000),
        ("control_queue_visibility_seconds", 2, 3600),
        ("app_lease_seconds", 26, 60),
    ],
)
def test_settings_end_the_start_beyond_their_ranges(field, lowest, highest):
    for value in (lowest, highest):
        assert getattr(TaskHubSettings(**{field: value}), field) == value
    for value in (min(lowest, 15) - 1, highest + 1):
        with pytest.raises(ConfigurationError, match=rf"{field} is {value} but must be"):
            TaskHubSettings(**{field: value})


def test_ten_thousand_activities_at_once():
    hub = VirtualHub({"F": fan_out}, {"Echo": lambda n: n}, max_concurrent_activities=200, **UNHURRIED)

    async def play(hub):
        await hub.worker()
        return await hub.end(await hub.start("F", 10_000), within=100_000)

    ended = hub.run(play)

    assert json.loads(ended.output) == sum(range(10_000))
    assert set(hub.app.runs.values()) == {1}


def test_an_episode_puts_its_messages_some_at_a_time():
    at_once, most = 0, 0

    async def watch(call, act):
        nonlocal at_once, most
        if call.method != "put" or not call.target.endswith("-workitems"):
            return await act()
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0.1)
        at_once -= 1
        return await act()

    async def play(hub):
        await hub.worker(wrap=lambda storage: intercepted(storage, watch))
        await hub.end(await hub.start("F", 100))

    VirtualHub({"F": fan_out}, {"Echo": lambda n: n}).run(play)

    assert most == MAX_PARALLEL_PUTS


def test_a_page_of_a_list_has_so_many_instances():
    def top_of(query):
        return routes.parse(routes.Request("GET", "http://x", "instances", query, "http://x")).top

    assert (top_of(""), top_of("top=1000"), top_of("top=1001")) == (routes.DEFAULT_PAGE, 1000, routes.MAX_PAGE)


@pytest.mark.parametrize(("setting", "count"), [(str(MAX_BY_SETTING), 10), (str(MAX_BY_SETTING + 1), 1)])
def test_the_setting_for_worker_processes_has_a_most(setting, count):
    assert worker_count_of(None, setting) == count
    assert worker_count_of(40, setting) == 40


async def test_a_process_opens_so_many_connections_and_no_more():
    """More calls at once than connections, to a server that answers none before all connections are there."""
    waiting, everyone = 0, asyncio.Event()

    async def answer(request):
        nonlocal waiting
        waiting += 1
        if waiting == MAX_CONNECTIONS:
            everyone.set()
        await everyone.wait()
        return web.Response(status=404, headers={"x-ms-error-code": "QueueNotFound"})

    door = Listener([socket.create_server(("127.0.0.1", 0))], answer)
    await door.start()
    address = f"http://127.0.0.1:{door.port}"
    key = "AccountName=a;AccountKey=eA==;QueueEndpoint={0};BlobEndpoint={0};TableEndpoint={0}"
    storage = await open_azure(connection_string=key.format(address))
    calls = [asyncio.create_task(storage.tables.read("T", "p", str(number))) for number in range(MAX_CONNECTIONS + 20)]
    try:
        await asyncio.wait_for(everyone.wait(), 20)
        at_most = waiting
        await asyncio.gather(*calls, return_exceptions=True)
    finally:
        await storage.aclose()
        await door.stop(grace_seconds=0)

    assert (at_most, waiting) == (MAX_CONNECTIONS, MAX_CONNECTIONS + 20)


# ---- times


def test_a_timer_may_be_years_ahead():
    """Its message is hidden again and again; every hop ends by the queue's limit, the last one at the time."""
    begun = datetime(2026, 1, 1, tzinfo=timezone.utc)
    due = Utc.of(begun + timedelta(days=3650, seconds=1.5))
    message = TaskMessage(
        TimerFired(timestamp=Utc.of(begun), timer_id=0, fire_at=due), target=OrchestrationInstance("i", None)
    )
    now, hops = begun + timedelta(seconds=visible_after(due, Utc.of(begun))), 1

    while not isinstance(next_step := on_arrival(message, Utc.of(now)), Due):
        hop = next_step.due.moment() - now if isinstance(next_step, Hold) else timedelta(seconds=next_step.seconds)
        assert 0 < hop.total_seconds() <= MAX_HIDDEN_SECONDS
        now += hop
        hops += 1

    assert Utc.of(now) == due
    assert hops == pytest.approx(3650 / 7, abs=3)


def test_a_long_timer_is_made_of_legs():
    def flow(context):
        yield context.create_timer(START + timedelta(days=7))

    session = OrchestrationSession(flow, instance_id="i")
    [leg] = session.advance([event(12), event(0, Name="F", Input=None)]).operations

    assert isinstance(leg, CreateTimer)
    assert leg.fire_at - START == timedelta(days=3)
