"""An activity that ends its process, each time: two workers, a real kill, and the command line afterwards."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest

from tests.support.hub_http import HubHttp

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

APP = Path(__file__).parents[1] / "apps/poison"


def taskhub(store, *arguments):
    """Run a command on the hub of the app."""
    command = [sys.executable, "-m", "taskhub.cli", *arguments, "--app", str(APP), "--storage", store["storage"]]
    command += ["--hub", store["hub"]] if "hub" in store else []
    environment = {**os.environ, **store.get("environment", {})}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


async def test_an_activity_that_kills_its_worker_fails_and_everything_else_completes(start_host, store):
    host = start_host(APP, "--workers", "2", **store)
    host.wait_until_ready()
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        others = [await hub.start_directly("busy") for _ in range(2)]
        deadly = await hub.start_directly("careful")
        status = await hub.ended(deadly, seconds=120)
        done = [await hub.ended(other, seconds=60) for other in others]

    assert [(each["runtimeStatus"], each["output"]) for each in done] == [("Completed", 45)] * 2
    assert (status["runtimeStatus"], status["output"]["type"]) == ("Completed", "PoisonedMessageError")
    assert status["output"]["caused"] is True
    # Four times, or more: it may have waited for its last chance.
    assert re.search(r"the message was read \d times and was never completed", status["output"]["text"])
    assert host.output().count("ended with exit code 1; it is started again") == 3
    [letter] = json.loads(taskhub(store, "dead", "list", "--json").stdout)
    assert (letter["instanceId"], letter["name"], letter["told"]) == (deadly, "leave", deadly)
    assert f"see 'taskhub dead show {letter['id']}'" in host.output()
    shown = taskhub(store, "dead", "show", letter["id"])
    assert '"Name": "leave"' in shown.stdout
    dropped = taskhub(store, "dead", "drop", letter["id"])
    assert (dropped.returncode, dropped.stderr) == (0, f"{letter['id']} is dropped.\n")
