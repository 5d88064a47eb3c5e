"""Apps in the shape of the public Durable Functions samples run unchanged: a host process and an HTTP client each.

Every app is copied to a folder of its own and started with no option but the port, so that its own host.json and
local.settings.json decide about everything, as they do for somebody who has just cloned a sample.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web

from taskhub.storage.sqlite import open_sqlite
from tests.support.azurite import running_azurite
from tests.support.hosts import on_sdk
from tests.support.hub_http import ENDED

pytestmark = pytest.mark.e2e

SAMPLES = Path(__file__).parents[1] / "apps" / "samples"
GREETINGS = ["Hello Trieste!", "Hello Osaka!", "Hello Lima!"]
NOT_SET = "because AzureWebJobsStorage is not set"
NO_EMULATOR = "because AzureWebJobsStorage is UseDevelopmentStorage=true and no emulator is listening"
NO_PROVIDER = "storageProvider.type is 'azureManaged', which this host does not have."


@dataclass(frozen=True)
class Run:
    """One orchestration of a sample: the request that starts it, and how it ends."""

    sample: str
    start: str
    output: Any
    body: Any = None
    custom_status: Any = None
    console: tuple[str, ...] = field(default=())
    """Parts of lines that the console must show."""

    def __str__(self) -> str:
        return f"{self.sample}:{self.start.rpartition('/')[2]}"


def enveloped(module: str, name: str, **data: Any) -> dict[str, Any]:
    return {"__class__": name, "__module__": module, "__data__": json.dumps(data)}


RUNS = [
    Run("v1_function_chaining", "/api/orchestrators/E1_HelloSequence", GREETINGS, console=(NOT_SET,)),
    Run(
        "v1_simple_sub_orchestration",
        "/api/orchestrators/DurableOrchestrator",
        [
            ["Hello Trieste in the first round!", "Hello Osaka in the first round!"],
            ["Hello Trieste in the second round!", "Hello Osaka in the second round!"],
        ],
        console=(NO_EMULATOR,),
    ),
    Run(
        "v1_custom_status",
        "/api/orchestrators/DurableOrchestration",
        ["Activity number 0", "Activity number 1", "Activity number 2"],
        custom_status={"done": 3},
    ),
    Run(
        "v1_serialize_arguments",
        "/api/orchestrators/DurableOrchestration",
        ["5", "10", enveloped("__app__.shared_code.MyClasses", "SerializableClass", number=10)],
    ),
    Run(
        "v1_monitor",
        "/api/orchestrators/E3_Monitor",
        "Alert sent!",
        body={"repo": "somebody/something", "phone": "+15550100", "polling_seconds": 0.2},
        custom_status="issues",
        console=("would have sent to +15550100: Hey! You may want to check on your repo",),
    ),
    Run(
        "v2_function_chaining",
        "/api/orchestrators/my_orchestrator",
        GREETINGS,
        console=("host.json: everything from line",),
    ),
    Run("v2_blueprint", "/api/startOrchestrator", GREETINGS, console=(NOT_SET,)),
    Run("v2_simple_sub_orchestration", "/api/orchestrators/parent_orchestrator", ["Hello first!", "Hello second!"]),
    Run(
        "v2_serialize_arguments",
        "/api/orchestrators/durable_orchestration",
        ["5", "10", enveloped("shared_code.MyClasses", "SerializableClass", number=10)],
    ),
    Run(
        "v2_versioning",
        "/api/orchestrators/my_orchestrator",
        ["1.0", "a saw None", "sub orchestration of version 0.9", "sub orchestration of version 1.0"],
    ),
    Run(
        "v2_versioning",
        "/api/orchestrators/my_orchestrator?version=0.5",
        ["0.5", "b saw None", "sub orchestration of version 0.9", "sub orchestration of version 1.0"],
    ),
    Run("v2_openai_agents", "/api/orchestrators/hello_world", "4 words asked"),
    Run(
        "order_processing",
        "/api/orchestrators/process_orchestrator",
        {"processed": True, "cost": 20, "left": 5},
        console=(NO_PROVIDER, "Task hub 'orders' is kept in", "the bank does not answer", "Order completed"),
    ),
    Run("hello_cities", "/api/StartChaining", GREETINGS, console=(NO_PROVIDER,)),
    Run("hello_cities", "/api/StartFanOutFanIn", " ".join(GREETINGS)),
    Run(
        "work_item_filtering",
        "/api/start/orchestration_a?input=paper",
        "a: worked on paper",
        console=("storageProvider.workItemFilteringEnabled is not a known setting and is ignored", NO_PROVIDER),
    ),
    Run("v1_counter_entity", "/api/orchestrators/DurableOrchestration", 3),
    Run("timer_starter", "/api/clean_up", "on time", console=("nightly: timerTrigger",)),
    Run(
        "agent_functions",
        "/api/agents/poet/run",
        "poet says: roses",
        body=b"roses",
        console=("The 'mcptool-poet' function is in error: binding type 'mcpToolTrigger' is not supported",),
    ),
    Run("imported_app", "/api/orchestrators/Sum_Numbers", 12, body=[1, 2, 3]),
]


NOT_ENCODED = {"v1_serialize_arguments", "v2_serialize_arguments"}
"""Return an object of their own within a list, which the official SDK cannot encode, on whatever host."""


@pytest.fixture
def start_sample(start_host, tmp_path):
    """Starts a sample as it lies there."""

    def start(name, *, sdk="own", **environment):
        app = shutil.copytree(SAMPLES / name, tmp_path / name)
        return start_host(app, environment=environment, **on_sdk(sdk))

    return start


@pytest.fixture(scope="module")
def tolerant_azurite():
    """An emulator for apps that bring storage clients newer than it, as users have to start it."""
    with running_azurite("--skipApiVersionCheck") as emulator:
        yield emulator.connection_string


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def start(http, host, path, body=None):
    """Start an orchestration as a user does, and return the addresses in the answer."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body)
    async with http.post(host.url + path, data=data) as answer:
        text = await answer.text()
        assert answer.status == 202, (answer.status, text, host.output())
        urls = json.loads(text)
        assert answer.headers["Location"].startswith(f"{host.url}/runtime/webhooks/durabletask/instances/{urls['id']}")
        return urls


async def reached(http, url, is_reached, *, seconds=30):
    """Follow an instance until its status is as wanted."""
    deadline = time.monotonic() + seconds
    while True:
        async with http.get(url) as answer:
            status = json.loads(await answer.text())
        if is_reached(status):
            return status
        assert status["runtimeStatus"] not in ENDED, status
        assert time.monotonic() < deadline, status
        await asyncio.sleep(0.05)


async def ended(http, urls):
    return await reached(http, urls["statusQueryGetUri"], lambda status: status["runtimeStatus"] in ENDED)


# ---- one request, one output


# On the official SDK every fourth, since each takes a host of its own: test_samples.py runs a whole app and its twin on
# it, and on our JSON shell; recordings of the extension go through both (tests/conformance/http/test_json_protocol.py).
@pytest.mark.parametrize(
    ("run", "sdk"), [*((run, "own") for run in RUNS), *((run, "official") for run in RUNS[::4])], ids=str
)
async def test_a_sample_runs_as_it_is_on_either_sdk(start_sample, http, run, sdk):
    host = start_sample(run.sample, sdk=sdk)

    status = await ended(http, await start(http, host, run.start, run.body))

    if sdk == "official" and run.sample in NOT_ENCODED:
        assert status["runtimeStatus"] == "Failed"
        assert "SerializableClass is not JSON serializable" in status["output"]
        return
    assert (status["runtimeStatus"], status["output"]) == ("Completed", run.output)
    assert status["customStatus"] == run.custom_status
    for part in run.console:
        host.wait_for(re.escape(part))  # what was printed last may be on its way
    assert "azure.functions" not in host.output(), "remarks of the library are not for users"
    assert host.stop() == 0
    assert "Unclosed" not in host.output()


def test_every_sample_is_run():
    named = {run.sample for run in RUNS} | {
        "v1_fan_in_fan_out",
        "v1_human_interaction",
        "v1_aml_monitoring",
        "v2_fan_in_fan_out",
        "quickstart_azd",
        "pdf_summarizer",
        "queue_starter",
        "v1_queue_starter",
        "agent_workflows",
    }

    assert {path.name for path in SAMPLES.iterdir() if path.is_dir()} == named


# ---- those that need more


@pytest.mark.azurite
@pytest.mark.parametrize("sample", ["v1_fan_in_fan_out", "v2_fan_in_fan_out"])
async def test_a_sample_copies_files_to_blobs_with_the_storage_client_of_its_own(
    start_sample, http, tolerant_azurite, tmp_path, sample
):
    folder = tmp_path / f"site-{uuid4().hex}"
    folder.mkdir()
    (folder / "one.txt").write_text("12345")
    (folder / "two.txt").write_text("123")
    host = start_sample(
        sample,
        AzureWebJobsStorage=tolerant_azurite,
        AzureFunctionsJobHost__extensions__durableTask__hubName=f"e2e{uuid4().hex[:12]}",
    )

    first = await ended(http, await start(http, host, "/api/orchestrators/E2_BackupSiteContent", str(folder)))
    again = await ended(http, await start(http, host, "/api/orchestrators/E2_BackupSiteContent", str(folder)))

    assert (first["runtimeStatus"], first["output"]) == ("Completed", 8), host.output()
    assert again["runtimeStatus"] == "Failed"
    assert "BlobAlreadyExists" in again["output"]


async def test_a_sample_that_cannot_reach_its_storage_account_tells_which_function_it_costs(start_sample, http):
    host = start_sample("v1_fan_in_fan_out")

    urls = await start(http, host, "/api/orchestrators/E2_BackupSiteContent", str(SAMPLES / "v2_blueprint"))
    status = await ended(http, urls)

    assert "The 'E2_CopyFileToBlob' function is in error: its script could not be loaded" in host.output()
    assert status["runtimeStatus"] == "Failed"
    assert "E2_CopyFileToBlob" in status["output"]


@pytest.mark.parametrize(("answers", "authorized"), [(["1", None], True), (["1", "2", "3"], False)])
async def test_the_phone_verification_takes_the_code_that_the_console_shows(start_sample, http, answers, authorized):
    host = start_sample("v1_human_interaction")
    urls = await start(http, host, "/api/orchestrators/E4_SMSPhoneVerification", "+15550100")
    code = await asyncio.to_thread(host.wait_for, r"would have sent to \+15550100: Your verification code is (\d+)")

    for answer in answers:
        url = urls["sendEventPostUri"].replace("{eventName}", "SmsChallengeResponse")
        async with http.post(url, json=code[1] if answer is None else answer) as taken:
            assert taken.status == 202

    status = await ended(http, urls)
    assert (status["runtimeStatus"], status["output"]) == ("Completed", authorized)


async def test_a_sample_without_an_http_starter_is_started_through_the_management_api(start_sample, http):
    host = start_sample("v1_aml_monitoring")
    url = f"{host.url}/runtime/webhooks/durabletask/orchestrators/aml_durable_orchestrator"

    async with http.post(url, json={"experiment": "night"}) as answer:
        urls = await answer.json(content_type=None)
    status = await ended(http, urls)

    # As in the original: activities get what JSON texts stand for, not the texts.
    assert status["runtimeStatus"] == "Failed"
    assert "TypeError: the JSON object must be str, bytes or bytearray, not dict" in status["output"]


async def test_a_sample_fetches_pages_in_coroutine_activities(start_sample, http):
    async def page(request):
        if request.path != "/":
            return web.Response(status=404)
        return web.Response(text="<html><title>Home of durable functions</title></html>", content_type="text/html")

    site = web.Application()
    site.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    host = start_sample("quickstart_azd")

    urls = await start(http, host, f"/api/orchestrators/fetch_orchestration?site=http://127.0.0.1:{port}")

    assert (await ended(http, urls))["output"] == "Home of durable functions; no title: 404"
    assert host.output().count("Z] fetched") == 1, "replays are no second run"
    await runner.cleanup()


async def test_functions_that_need_other_services_leave_the_rest_of_a_sample_running(start_sample, http):
    host = start_sample("pdf_summarizer")
    assert (
        "The 'blob_trigger' function is in error: Unable to resolve the Azure Storage connection named "
        "'BLOB_STORAGE_ENDPOINT'" in host.output()
    )
    assert (
        "The 'summarize_text' function is in error: binding type 'textCompletion' is not supported by this host"
        in host.output()
    )

    url = f"{host.url}/runtime/webhooks/durabletask/orchestrators/process_document"
    async with http.post(url, json="letter.pdf") as answer:
        urls = await answer.json(content_type=None)
    status = await ended(http, urls)

    assert (status["runtimeStatus"], status["customStatus"]) == ("Failed", "analyzed")
    assert "'summarize_text' does not exist" in status["output"]


async def test_a_blob_in_a_sample_s_container_starts_its_orchestration(start_sample, http, tmp_path):
    host = start_sample("pdf_summarizer", BLOB_STORAGE_ENDPOINT="")
    store = await open_sqlite(tmp_path / "pdf_summarizer/.taskhub/hub.db")
    await store.blobs.create_container("input")
    await store.blobs.put_blob("input", "letter.pdf", b"%PDF")
    await store.aclose()

    await asyncio.to_thread(host.wait_for, r"New blob detected\(LogsAndContainerScan\): input/letter.pdf")
    await asyncio.to_thread(host.wait_for, "Name: input/letter.pdf, size: 4 bytes")
    await asyncio.to_thread(host.wait_for, "Executed 'Functions.analyze_pdf' \\(Succeeded")


async def test_a_sample_starts_an_orchestration_for_each_message_of_its_queue(start_sample, http):
    host = start_sample("queue_starter")

    async with http.post(f"{host.url}/api/jobs", json=["first", "second"]) as answer:
        assert (answer.status, await answer.text()) == (202, "2")
    for name in ("first", "second"):
        url = f"{host.url}/runtime/webhooks/durabletask/instances/{name}"
        await asyncio.to_thread(host.wait_for, f'"name": "{name}"|Executed .Functions.write_report')
        status = await reached(http, url, lambda status: status.get("runtimeStatus") in ENDED)
        assert (status["runtimeStatus"], status["output"]) == ("Completed", f"report of {name}")
        async with http.get(f"{host.url}/api/reports/{name}") as answer:
            assert (answer.status, await answer.text()) == (200, f"report of {name}")
    async with http.get(f"{host.url}/api/reports/none") as answer:
        assert answer.status == 404


async def test_a_sample_of_the_first_model_goes_from_timer_over_queue_to_orchestration(start_sample, http):
    host = start_sample("v1_queue_starter")

    for name in ("Ada", "Grace"):
        await asyncio.to_thread(host.wait_for, f"Started orchestration with ID = '{name}'")
        url = f"{host.url}/runtime/webhooks/durabletask/instances/{name}"
        status = await reached(http, url, lambda status: status["runtimeStatus"] in ENDED)
        assert status["output"] == f"Hello {name}!"
    assert "Nightly at , past due: False" in host.output()
    assert "Trigger Details: UnscheduledInvocationReason: RunOnStartup" in host.output()


async def test_requests_are_answered_while_an_entity_of_a_sample_works_for_long(start_sample, http):
    host = start_sample("agent_workflows")

    async def chat(prompt):
        async with http.post(f"{host.url}/api/agent/chat/one", json={"prompt": prompt}) as answer:
            return await answer.json()

    waiting = asyncio.create_task(chat("abc"))
    await asyncio.to_thread(host.wait_for, "Executing 'Functions.chat_agent'")
    async with http.get(f"{host.url}/api/ping") as answer:
        assert await answer.text() == "pong"
    assert not waiting.done()

    assert await waiting == "cba"
    assert await chat("def") == "fed"
    async with http.get(f"{host.url}/api/agent/history/one") as answer:
        assert await answer.json(content_type=None) == ["abc", "def"]


# ---- and what else their users do


async def test_the_state_of_a_sample_s_entity_is_read_through_a_route_of_its_own(start_sample, http):
    host = start_sample("v1_counter_entity")
    url = f"{host.url}/api/entity/counter/myCounter"
    async with http.get(url) as answer:
        assert await answer.json(content_type=None) == [False, None]

    await ended(http, await start(http, host, "/api/orchestrators/DurableOrchestration"))

    async with http.get(url) as answer:
        assert await answer.json(content_type=None) == [True, 3]


async def test_a_blueprint_and_the_app_that_it_joins_answer_without_keys(start_sample, http):
    host = start_sample("v2_blueprint")

    async def call(**options):
        async with http.post(f"{host.url}/api/HttpTrigger", **options) as answer:
            return answer.status, await answer.text()

    assert await call(params={"name": "Ada"}) == (200, "Hello, Ada.")
    assert await call(json={"name": "Grace"}) == (200, "Hello, Grace.")
    assert await call() == (200, "Pass a name in the query string or in the request body.")


async def test_an_orchestration_that_no_app_of_the_hub_has_is_refused_with_those_there_are(start_sample, http):
    host = start_sample("work_item_filtering")

    async with http.post(f"{host.url}/api/start/orchestration_b") as answer:
        assert (answer.status, await answer.text()) == (500, "")

    host.wait_for("The function 'orchestration_b' doesn't exist, is disabled, or is not an orchestrator function")
    assert "'orchestration_a', 'child_a'" in host.output() or "'child_a', 'orchestration_a'" in host.output()
