"""An app with an agent of the OpenAI Agents SDK on a real host; its model answers from a script."""

import json
import shutil
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub_http import HubHttp

pytestmark = pytest.mark.e2e

pytest.importorskip("agents", reason="durable-taskhub[openai-agents] is not installed")

APP = Path(__file__).parents[1] / "apps" / "agents"


async def test_an_agent_asks_its_tool_and_answers(start_host, tmp_path):
    app = shutil.copytree(APP, tmp_path / "app")
    host = start_host(app)

    async with aiohttp.ClientSession() as http:
        async with http.post(f"{host.url}/api/ask/Oslo") as response:
            instance_id = json.loads(await response.text())["id"]
        status = await HubHttp(http, host.url).ended(instance_id)

    assert (status["runtimeStatus"], status["output"]) == ("Completed", "It is: rain in Oslo")
    assert host.output().count("Executed 'Functions.run_model_activity' (Succeeded") == 2
    assert host.output().count("Executed 'Functions.weather' (Succeeded") == 1
    assert [host.output().count(f"] {line}") for line in ("asked", "answered")] == [1, 1]
    assert host.stop() == 0
