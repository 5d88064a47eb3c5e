"""`taskhub instances` and the command itself, as a person runs them."""

import asyncio
import json
import subprocess
import sys
from datetime import datetime, timezone

import pytest

from taskhub.client import TaskHubClient
from taskhub.hints import HintListener
from taskhub.model.ids import InstanceId
from taskhub.settings import TaskHubSettings
from taskhub.storage.sqlite import open_sqlite

pytestmark = pytest.mark.e2e


def taskhub(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "taskhub.cli.__main__", *map(str, arguments)],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )


@pytest.fixture
async def store(tmp_path):
    """A hub with three instances that no worker has seen."""
    storage = await open_sqlite(tmp_path / "hub.db")
    client = TaskHubClient(storage, TaskHubSettings())
    for name in ("order-1", "order-2", "visit-1"):
        await client.start("paint", instance_id=InstanceId(name), input='{"colour":"blue"}')
    await storage.aclose()
    return ("--storage", f"embedded:{tmp_path / 'hub.db'}", "--app", tmp_path)


async def test_instances_are_listed_one_a_line_with_whole_ids(store):
    done = taskhub("instances", "list", *store)

    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [
        ["order-1", "paint", "Pending"],
        ["order-2", "paint", "Pending"],
        ["visit-1", "paint", "Pending"],
    ]


async def test_lists_are_narrowed_by_prefix_status_and_number(store):
    assert taskhub("instances", "list", "--prefix", "visit", "--json", *store).stdout.count("instanceId") == 1
    assert json.loads(taskhub("instances", "list", "--status", "running,failed", "--json", *store).stdout) == []
    cut = taskhub("instances", "list", "--top", "2", *store).stdout
    assert "There are more than these 2" in cut


async def test_json_is_what_the_management_api_answers(store):
    first = json.loads(taskhub("instances", "show", "order-1", "--json", "--history", *store).stdout)

    assert first["instanceId"] == "order-1"
    assert first["input"] == {"colour": "blue"}
    assert first["historyEvents"] == []
    assert datetime.fromisoformat(first["createdTime"].replace("Z", "+00:00")) <= datetime.now(timezone.utc)


async def test_an_unknown_instance_is_an_error(store):
    done = taskhub("instances", "show", "nobody", *store)

    assert (done.returncode, done.stdout) == (1, "")
    assert "No instance has the id 'nobody'" in done.stderr


async def test_an_unknown_status_is_told_with_those_that_exist(store):
    done = taskhub("instances", "list", "--status", "finished", *store)

    assert done.returncode == 2
    assert "'finished' is no status" in done.stderr


def test_an_app_that_was_never_started_has_no_store_and_gets_none(tmp_path):
    done = taskhub("instances", "list", "--app", tmp_path)

    assert done.returncode == 1
    assert "Start the app first" in done.stderr
    assert not (tmp_path / ".taskhub").exists()


def test_the_version_is_printed():
    assert taskhub("--version").stdout.startswith("taskhub ")


async def test_what_a_command_sends_wakes_a_host_that_is_idle(store, tmp_path):
    """The host's part is played by this test, the command is real."""
    woken = []
    place = f"embedded store {tmp_path / 'hub.db'}"
    listener = HintListener(place, "TestHubName", lambda *hint: woken.append(hint))
    await listener.start()
    try:
        done = await asyncio.to_thread(taskhub, "instances", "terminate", "order-1", *store)
        await asyncio.sleep(0.1)
    finally:
        listener.stop()

    assert done.returncode == 0, done.stderr
    assert [queue.partition("-")[0] for queue, _ in woken] == ["testhubname"]
