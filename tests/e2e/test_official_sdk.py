"""Apps on the official SDK, which lies in an environment of its own: unchanged, on the host of another environment."""

import shutil
from pathlib import Path

import aiohttp
import pytest

from tests.support.hosts import on_sdk
from tests.support.hub_http import HubHttp
from tests.support.reference import environment

pytestmark = pytest.mark.e2e

SAMPLE_APP = Path(__file__).parents[2] / "function_app"
SAMPLES = Path(__file__).parents[1] / "apps" / "samples"
GREETINGS = ["Hello Trieste!", "Hello Osaka!", "Hello Lima!"]


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


async def run(http, host, orchestrator):
    hub = HubHttp(http, host.url)
    return await hub.ended(await hub.start(orchestrator))


async def test_an_app_runs_on_the_sdk_of_the_activated_environment(start_host, http, store):
    host = start_host(SAMPLES / "v2_function_chaining", packages=environment(), **store)

    ended = await run(http, host, "my_orchestrator")

    assert (ended["runtimeStatus"], ended["output"]) == ("Completed", GREETINGS)
    assert "The app runs on azure-functions-durable 1.7.0 in" in host.output()


async def test_worker_processes_run_on_the_same_sdk(start_host, http, tmp_path):
    storage = f"embedded:{tmp_path / 'hub.db'}"
    host = start_host(SAMPLES / "v2_function_chaining", "--workers", "2", packages=environment(), storage=storage)
    host.wait_until_ready()

    ended = await run(http, host, "my_orchestrator")

    assert (ended["runtimeStatus"], ended["output"]) == ("Completed", GREETINGS)


async def test_an_app_runs_on_the_sdk_that_it_was_deployed_with(start_host, http, tmp_path):
    app = shutil.copytree(SAMPLES / "v1_function_chaining", tmp_path / "app")
    packages = next((environment() / "lib").glob("python3*/site-packages"))
    (app / ".python_packages/lib").mkdir(parents=True)
    (app / ".python_packages/lib/site-packages").symlink_to(packages)

    host = start_host(app, storage=f"embedded:{tmp_path / 'hub.db'}")
    ended = await run(http, host, "E1_HelloSequence")

    assert (ended["runtimeStatus"], ended["output"]) == ("Completed", GREETINGS)
    assert "The app runs on azure-functions-durable 1.7.0 in" in host.output()


@pytest.mark.parametrize(("sdk", "is_told"), [("own", None), ("own-json", "driven by the JSON protocol")])
async def test_ours_can_be_asked_for_in_an_environment_with_the_official_one(start_host, http, tmp_path, sdk, is_told):
    storage = f"embedded:{tmp_path / 'hub.db'}"
    host = start_host(SAMPLES / "v2_function_chaining", "--sdk", sdk, packages=environment(), storage=storage)

    ended = await run(http, host, "my_orchestrator")

    assert (ended["runtimeStatus"], ended["output"]) == ("Completed", GREETINGS)
    assert "azure-functions-durable" not in host.output()
    assert (is_told or "Now listening") in host.output()


def test_the_official_sdk_can_be_asked_for_only_where_it_is(start_host, tmp_path):
    host = start_host(SAMPLES / "v2_function_chaining", "--sdk", "official", wait=False)

    assert host.wait() == 1
    assert "azure-functions-durable is asked for (--sdk official), but this environment has" in host.output()


@pytest.mark.parametrize(("before", "after"), [("own", "official"), ("official", "own")])
async def test_an_instance_goes_on_under_the_other_sdk(start_host, http, tmp_path, before, after):
    storage = f"embedded:{tmp_path / 'hub.db'}"
    host = start_host(SAMPLE_APP, storage=storage, **on_sdk(before))
    hub = HubHttp(http, host.url)
    instance = await hub.start("approval", {"expense": "train", "timeout_seconds": 600})
    await hub.custom_status(instance, "waiting for approval")
    assert host.stop() == 0

    host = start_host(SAMPLE_APP, storage=storage, **on_sdk(after))
    hub = HubHttp(http, host.url)
    await hub.raise_event(instance, "Approval", {"approved": True, "by": "Ada"})
    ended = await hub.ended(instance)

    assert ended["output"] == {"expense": "train", "result": "approved", "by": "Ada"}
