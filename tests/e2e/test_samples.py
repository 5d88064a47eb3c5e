"""The sample app and its v1 twin, whole: a host process, a store, and an HTTP client."""

import functools
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest

from tests.support.hosts import Host, host_starter, on_sdk
from tests.support.hub_http import HubHttp

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
TEXTS = {"harbour.txt": 23, "orchard.txt": 26, "station.txt": 29, "workshop.txt": 23}


# Hosts are shared by the tests of this module: none of them minds the instances of the others.
@pytest.fixture(
    scope="module", params=["embedded", pytest.param("azurite", marks=pytest.mark.azurite), "own-json", "official"]
)
def shared_host(request, tmp_path_factory):
    with host_starter() as start:

        def start_app(folder: str) -> Host:
            if request.param != "azurite":
                options = {} if request.param == "embedded" else on_sdk(request.param)
                return start(ROOT / folder, storage=f"embedded:{tmp_path_factory.mktemp('hub') / 'hub.db'}", **options)
            account = {"TestStorage": request.getfixturevalue("azurite")}
            return start(ROOT / folder, storage="TestStorage", environment=account, hub=f"e2e{uuid4().hex[:12]}")

        yield functools.cache(start_app)


@pytest.fixture
async def sample(shared_host):
    async with aiohttp.ClientSession() as http:
        yield HubHttp(http, shared_host("function_app").url)


@pytest.fixture
async def twin(shared_host):
    async with aiohttp.ClientSession() as http:
        yield HubHttp(http, shared_host("tests/apps/v1_patterns").url)


@pytest.mark.parametrize(
    ("pattern", "data", "output"),
    [
        ("chaining", {"item": "desk", "quantity": 3}, "3 x desk for 567.00"),
        ("chaining", None, "2 x lamp for 59.80"),
        ("fan_out", None, {"texts": TEXTS, "words": 101}),
        ("approval", {"expense": "x", "timeout_seconds": 1}, {"expense": "x", "result": "escalated", "to": "manager"}),
        ("counter", {"groups": [2, 5]}, {"visitors": 7}),
        ("counter", None, {"visitors": 8}),
        (
            "provisioning",
            ["lock"],
            {"provisioned": 1, "devices": [{"device": "lock", "serial": "LO-0425", "firmware": "1.9.0"}]},
        ),
        (
            "compensation",
            {"city": "Rome", "sold_out": []},
            {"city": "Rome", "booked": True, "steps": ["hotel", "flight", "car"]},
        ),
        ("compensation", None, {"city": "Lisbon", "booked": False, "failed": "car", "cancelled": ["flight", "hotel"]}),
        (
            "compensation",
            {"city": "Rome", "sold_out": ["hotel"]},
            {"city": "Rome", "booked": False, "failed": "hotel", "cancelled": []},
        ),
        ("monitor", {"interval_seconds": 1}, {"build": "nightly", "state": "succeeded", "checks": 3}),
        ("monitor", {"give_up_after_seconds": 0}, {"build": "nightly", "state": "gave up", "checks": 0}),
    ],
)
async def test_a_pattern_ends_with_its_output(sample, pattern, data, output):
    instance_id = await sample.start(pattern, data)

    status = await sample.ended(instance_id)
    assert (status["runtimeStatus"], status["output"]) == ("Completed", output)


async def test_an_approval_that_the_app_passes_on_wins_against_the_timer(sample):
    instance_id = await sample.start("approval", {"expense": "x", "timeout_seconds": 60})
    await sample.custom_status(instance_id, "waiting for approval")

    async with sample.http.post(
        f"{sample.url}/api/approvals/{instance_id}", json={"approved": True, "by": "Ada"}
    ) as answer:
        assert answer.status == 202

    status = await sample.ended(instance_id)
    assert status["output"] == {"expense": "x", "result": "approved", "by": "Ada"}
    assert status["customStatus"] == "approved"


async def test_a_refusal_through_the_management_api_arrives_as_a_value(sample):
    instance_id = await sample.start("approval", {"expense": "x", "timeout_seconds": 60})
    await sample.custom_status(instance_id, "waiting for approval")

    await sample.raise_event(instance_id, "Approval", {"approved": False, "by": "Grace"})

    assert (await sample.ended(instance_id))["output"] == {"expense": "x", "result": "rejected", "by": "Grace"}


async def test_a_decision_on_what_is_not_open_is_refused(sample):
    done = await sample.start("chaining")
    await sample.ended(done)

    async with sample.http.post(f"{sample.url}/api/approvals/{done}", json={"approved": True}) as answer:
        assert answer.status == 410
    async with sample.http.post(f"{sample.url}/api/approvals/nobody", json={"approved": True}) as answer:
        assert answer.status == 404
    async with sample.http.post(f"{sample.url}/api/approvals/{done}", data="yes") as answer:
        assert answer.status == 400


async def test_a_counter_is_shared_by_orchestrations_and_clients(sample):
    visits = [await sample.start("counter", {"museum": "lace", "groups": [1, 2]}) for _ in range(3)]
    for visit in visits:
        await sample.ended(visit)
    url = f"{sample.url}/api/counters/lace"

    async with sample.http.post(url, json=2) as answer:
        assert answer.status == 202

    await sample.shows(url, 11)
    assert await sample.json(f"{sample.url}/runtime/webhooks/durabletask/entities/Counter/lace") == 11
    async with sample.http.get(f"{sample.url}/api/counters/nobody") as answer:
        assert answer.status == 404
    async with sample.http.post(url, data="many") as answer:
        assert answer.status == 400


async def test_a_counter_in_folders_counts_too(twin):
    visit = await twin.start("counter", [2, 5])

    assert (await twin.ended(visit))["output"] == 7
    assert await twin.json(f"{twin.url}/runtime/webhooks/durabletask/entities/counter/{visit}") == 7


async def test_run_answers_with_the_output(sample):
    async with sample.http.post(f"{sample.url}/api/run/chaining") as answer:
        assert (answer.status, await answer.text()) == (200, "2 x lamp for 59.80")


async def test_the_starter_refuses_what_it_does_not_know(sample):
    async with sample.http.post(f"{sample.url}/api/orchestrators/nowhere") as answer:
        assert answer.status == 404
        assert "chaining" in await answer.text()
    async with sample.http.post(f"{sample.url}/api/orchestrators/chaining", data="{") as answer:
        assert answer.status == 400


async def test_provisioning_leaves_one_instance_for_each_device(sample):
    instance_id = await sample.start("provisioning", ["lock", "camera"])
    await sample.ended(instance_id)

    history = (await sample.status(instance_id, showHistory="true"))["historyEvents"]
    children = [each["InstanceId"] for each in history if each["EventType"] == "SubOrchestrationInstanceCompleted"]
    assert len(children) == 2
    for child in children:
        assert (await sample.status(child))["name"] == "provision_device"


async def test_an_activity_that_fails_fails_the_instance_with_its_message(sample):
    instance_id = await sample.start("chaining", {"item": "spaceship"})

    status = await sample.ended(instance_id)
    assert status["runtimeStatus"] == "Failed"
    assert "there is no spaceship for sale" in status["output"]


@pytest.mark.parametrize(
    ("pattern", "data", "output"),
    [
        ("chaining", {"item": "desk", "quantity": 3}, "3 x desk for 567.00"),
        ("fan_out", None, {"texts": {"one.txt": 4, "two.txt": 7}, "words": 11}),
        ("approval", {"timeout_seconds": 1}, "escalated"),
        ("provisioning", ["lock", "camera"], {"lock": "LO-0425", "camera": "CA-0617"}),
    ],
)
async def test_a_v1_pattern_ends_with_its_output(twin, pattern, data, output):
    instance_id = await twin.start(pattern, data)

    status = await twin.ended(instance_id)
    assert (status["runtimeStatus"], status["output"]) == ("Completed", output)


async def test_a_v1_function_answers_through_its_out_binding_and_the_old_client_binding(twin):
    instance_id = await twin.start("approval", {"timeout_seconds": 60})
    await twin.custom_status(instance_id, "waiting for approval")

    async with twin.http.post(f"{twin.url}/api/approvals/{instance_id}", json={"approved": True}) as answer:
        assert (answer.status, await answer.text()) == (202, f"decided {instance_id}")

    assert (await twin.ended(instance_id))["output"] == "approved"


async def test_a_v1_function_answers_404_for_what_nobody_asked(twin):
    async with twin.http.post(f"{twin.url}/api/approvals/nobody", json={"approved": True}) as answer:
        assert answer.status == 404
