"""The tutorial's app, taken from the page and run as the page says."""

import re
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub_http import HubHttp

pytestmark = pytest.mark.e2e

PAGE = (Path(__file__).parents[2] / "docs/tutorial/first-app.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)[0]


async def test_the_app_of_the_tutorial_greets(start_host, tmp_path):
    app = tmp_path / "greetings"
    app.mkdir()
    (app / "host.json").write_text(block("json"))
    (app / "function_app.py").write_text(block("python"))

    host = start_host(app)
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{host.url}/api/greet", json=["Tokyo", "Seattle"]) as answer:
            assert answer.status == 202
            instance_id = (await answer.json())["id"]
        status = await HubHttp(http, host.url).ended(instance_id)

    assert status["output"] == ["Hello Tokyo!", "Hello Seattle!"]
    assert (app / ".taskhub/hub.db").is_file()
