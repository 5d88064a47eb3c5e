"""An app on the official SDK 2.x: protobuf triggers, clients over gRPC; unchanged, on a host of Python 3.13."""

import asyncio
import json
import re
from pathlib import Path

import aiohttp
import pytest

from tests.support.hosts import host_starter
from tests.support.hub_http import HubHttp
from tests.support.reference import environment_2x

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]  # the first one may have to make the environment

APP = Path(__file__).parents[1] / "apps" / "sdk_2x"
GREETINGS = ["Hello Trieste!", "Hello Osaka!", "Hello Lima!"]


# Shared by the tests of this module: none of them minds the instances of the others.
@pytest.fixture(scope="module")
def shared_host(tmp_path_factory):
    with host_starter() as start:
        storage = f"embedded:{tmp_path_factory.mktemp('hub') / 'hub.db'}"
        yield start(APP, storage=storage, python=environment_2x() / "bin/python")


@pytest.fixture
async def hub(shared_host):
    async with aiohttp.ClientSession() as http:
        yield HubHttp(http, shared_host.url)


async def post(hub, path, body=None):
    async with hub.http.post(f"{hub.url}/api/{path}", data=None if body is None else json.dumps(body)) as answer:
        text = await answer.text()
        assert answer.status in (200, 202), (answer.status, text)
        return json.loads(text) if text else None


async def manage(hub, what, instance_id):
    return await post(hub, f"client/{what}/{instance_id}")


async def test_all_functions_are_listed_with_those_that_the_sdk_brings(shared_host):
    shared_host.wait_until_ready()

    output = shared_host.output()

    assert re.search(r"The app runs on azure-functions-durable 2\.\S+ in .*venv-reference-2x", output)
    for line in ("hello_cities: orchestrationTrigger", "say_hello: activityTrigger", "Counter: entityTrigger"):
        assert f"\t{line}" in output
    assert "\tBuiltIn__HttpActivity: activityTrigger" in output
    assert "\tBuiltIn__HttpPollOrchestrator: orchestrationTrigger" in output


@pytest.mark.parametrize(
    ("orchestrator", "given", "status", "output"),
    [
        ("hello_cities", None, "Completed", GREETINGS),
        ("risky", "bread", "Completed", r"caught TaskFailedError: .* failed: no bread today"),
        ("careless", "bread", "Failed", r"durabletask\.task\.TaskFailedError: Sub-orchestration .* no bread today"),
        ("stubborn", None, "Completed", 3),
    ],
)
async def test_orchestrators_of_both_forms_chain_activities_retry_and_fail(hub, orchestrator, given, status, output):
    ended = await hub.ended(await hub.start(orchestrator, given))

    assert ended["runtimeStatus"] == status
    if isinstance(output, str):
        assert re.fullmatch(output, ended["output"])
    else:
        assert ended["output"] == output


async def test_a_custom_status_is_shown(hub):
    ended = await hub.ended(await hub.start("hello_cities"))

    assert ended["customStatus"] == {"greeted": 3}


async def test_fan_out_and_in_with_lists_as_inputs(hub):
    started = await post(hub, "fan-out-fan-in", [1, 2, 3])

    ended = await hub.status(started["id"])  # the client has waited for its end

    assert (ended["runtimeStatus"], ended["output"]) == ("Completed", 14)


async def test_generations_carry_over_events_that_nobody_waited_for(hub):
    instance_id = await hub.start("rounds", {"left": 3, "total": 0})
    await hub.raise_event(instance_id, "last", "bye")

    ended = await hub.ended(instance_id)

    assert ended["output"] == {"total": 3, "last": "bye"}


@pytest.mark.parametrize(("approved", "result"), [(True, "approved"), (False, "refused")])
async def test_a_person_decides_through_the_synchronous_client(hub, approved, result):
    started = await post(hub, "approvals", {"request": "train", "timeout_seconds": 600})
    await hub.custom_status(started["id"], "waiting")

    await post(hub, f"approvals/{started['id']}", {"approved": approved})

    assert (await hub.ended(started["id"]))["output"] == {"request": "train", "result": result}


async def test_a_timer_decides_when_nobody_does(hub):
    started = await post(hub, "approvals", {"request": "train", "timeout_seconds": 0.2})

    assert (await hub.ended(started["id"]))["output"] == {"request": "train", "result": "timed out"}


async def test_call_http_runs_in_the_functions_of_the_sdk(hub):
    ended = await hub.ended(await hub.start("fetch", f"{hub.url}/api/counters/nobody"))

    assert ended["output"]["status"] == 200
    assert json.loads(ended["output"]["content"])["state"] is None


async def test_entities_are_signalled_called_locked_and_read(hub):
    for key, amount in (("a", 5), ("a", 2), ("b", 1)):
        await post(hub, f"counters/{key}", {"amount": amount})

    rich = await hub.ended(await hub.start("transfer", {"source": "a", "target": "b", "amount": 3}))
    poor = await hub.ended(await hub.start("transfer", {"source": "a", "target": "b", "amount": 30}))
    seen = await hub.json(f"{hub.url}/api/counters/a")

    assert (rich["output"], poor["output"]) == (4, "too little")
    assert seen["state"] == 4
    assert {"@counter@a", "@counter@b"} <= set(seen["ids"])


async def test_an_operation_that_fails_keeps_the_state_and_tells_its_caller_why(hub):
    ended = await hub.ended(await hub.start("troubled", "c"))

    assert ended["output"]["total"] == 0
    assert ended["output"]["failure"].endswith("failed with error: out of order")


async def test_an_entity_signals_another_one_and_starts_an_orchestration(hub):
    ended = await hub.ended(await hub.start("announced", "d"))

    assert ended["output"]["notes"] == [3]
    assert (await hub.ended(ended["output"]["started"]))["output"] == 9


async def test_a_schedule_starts_orchestrations_until_it_is_deleted(hub):
    # An entity of the SDK that signals itself for later, and starts orchestrations.
    async with hub.http.post(f"{hub.url}/api/schedules/daily") as planned:
        assert planned.status == 202

    for _ in range(400):
        visits = await hub.json(f"{hub.url}/api/visits")
        if len(visits) >= 2:
            break
        await asyncio.sleep(0.05)
    assert visits[:2] == ["harbour", "harbour"]

    async with hub.http.delete(f"{hub.url}/api/schedules/daily") as deleted:
        assert deleted.status == 202
    assert not [each for each in (await hub.json(f"{hub.url}/api/counters/a"))["ids"] if "schedule" in each]


async def test_histories_are_exported_by_activities_with_a_client(hub):
    ended = await hub.start("hello_cities")
    await hub.ended(ended)

    told = await post(hub, "exports/all")

    assert (told["status"], told["failed"]) == ("COMPLETED", 0)
    assert told["exported"][ended] > 100


async def test_the_client_controls_an_instance(hub):
    instance_id = (await post(hub, "approvals", {"request": "x", "timeout_seconds": 600}))["id"]

    started = await manage(hub, "started", instance_id)
    waited = await manage(hub, "ended", instance_id)
    await manage(hub, "suspend", instance_id)
    suspended = await _shows(hub, instance_id, "SUSPENDED")
    await manage(hub, "raise", instance_id)
    await manage(hub, "resume", instance_id)
    ended = await hub.ended(instance_id)
    history = await manage(hub, "history", instance_id)
    anew = await manage(hub, "restart", instance_id)
    await manage(hub, "terminate", anew)

    assert (started["status"], waited, suspended["status"]) == (
        "RUNNING",
        {"timeout": "Timed-out waiting for the orchestration to complete"},
        "SUSPENDED",
    )
    assert ended["output"]["result"] == "approved"
    kinds = [each["kind"] for each in history]
    assert kinds[:2] == ["OrchestratorStartedEvent", "ExecutionStartedEvent"]
    assert kinds[-2:] == ["ExecutionCompletedEvent", "OrchestratorCompletedEvent"]
    assert (await hub.ended(anew))["runtimeStatus"] == "Terminated"
    assert {"kind": "OrchestrationState", "id": anew, "status": "TERMINATED"} in await manage(hub, "list", "-")
    assert await manage(hub, "purge", anew) == {"kind": "PurgeInstancesResult", "deleted": 1}
    assert await manage(hub, "get", anew) is None


async def test_a_failed_instance_tells_its_failure_and_does_again_what_failed_when_it_is_rewound(hub):
    instance_id = await hub.start("careless_child", "bread")
    failed = await hub.ended(instance_id)

    told = await manage(hub, "get", instance_id)
    await manage(hub, "rewind", instance_id)
    again = await hub.ended(instance_id)

    assert told["failure"].endswith("no bread today")
    assert (failed["runtimeStatus"], again["runtimeStatus"]) == ("Failed", "Failed")
    events = (await hub.status(instance_id, showHistory="true"))["historyEvents"]
    assert [each["EventType"] for each in events].count("TaskFailed") == 1


@pytest.mark.parametrize(
    ("what", "status"),
    [
        ("terminate", "NOT_FOUND"),
        ("raise", "NOT_FOUND"),
        ("rewind", "NOT_FOUND"),
        ("restart", "NOT_FOUND"),
        ("suspend", "UNKNOWN"),
    ],
)
async def test_what_is_asked_of_nobody_is_refused_with_the_status_of_the_extension(hub, what, status):
    told = await manage(hub, what, "nobody")

    assert told["refused"] == status
    assert "No instance with ID 'nobody' was found." in told["why"]


async def test_a_second_start_under_the_id_of_a_running_instance_is_refused(hub):
    instance_id = (await post(hub, "approvals", {"id": "one", "request": "x", "timeout_seconds": 600}))["id"]

    told = await manage(hub, "start", instance_id)

    assert told["refused"] == "ALREADY_EXISTS"


async def _shows(hub, instance_id, status):
    for _ in range(200):
        told = await manage(hub, "get", instance_id)
        if told["status"] == status:
            return told
        await asyncio.sleep(0.05)
    pytest.fail(f"no status {status}: {told}")
