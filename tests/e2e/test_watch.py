"""`taskhub start --watch`: files are edited under a real host, which goes on with them; nothing is lost on the way."""

import asyncio
import json
import signal
import socket
import textwrap
import urllib.request
from http import client as http_client

import aiohttp
import pytest

from tests.support.hub_http import HubHttp

pytestmark = pytest.mark.e2e

APP = """
    import azure.durable_functions as df
    import azure.functions as func

    import words

    app = df.DFApp(http_auth_level=func.AuthLevel.ANONYMOUS)

    @app.route(route="greet")
    def greet(req: func.HttpRequest) -> str:
        return f"{words.HELLO} 1"

    @app.orchestration_trigger(context_name="context")
    def approval(context):
        first = yield context.call_activity("note", "asked")
        answer = yield context.wait_for_external_event("answer")
        last = yield context.call_activity("note", answer)
        return [first, last, "code 1"]

    @app.activity_trigger(input_name="text")
    def note(text: str) -> str:
        return f"{words.HELLO}: {text}"

    @app.activity_trigger(input_name="text")
    def other(text: str) -> str:
        return text
"""


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "host.json").write_text('{"version": "2.0"}')
    (folder / "words.py").write_text("HELLO = 'hello'\n")
    (folder / "function_app.py").write_text(textwrap.dedent(APP))
    return folder


@pytest.fixture
async def http():
    async with aiohttp.ClientSession() as session:
        yield session


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


async def answers(http, host, wanted):
    """Wait until the app answers so; a request is never refused meanwhile."""
    for _ in range(600):
        async with http.get(f"{host.url}/api/greet") as answer:
            text = await answer.text()
            assert answer.status == 200, text
        if text == wanted:
            return
        await asyncio.sleep(0.05)
    pytest.fail(f"{text!r} stays, {wanted!r} does not come:\n{host.output()}")


async def waiting(http, host, hub, instance_id):
    """Start an instance and wait until it waits for its event."""
    async with http.post(
        f"{host.url}/runtime/webhooks/durabletask/orchestrators/approval/{instance_id}", json=None
    ) as answer:
        assert answer.status == 202
    for _ in range(600):
        status = await hub.status(instance_id, showHistory="true")
        if any(each["EventType"] == "TaskCompleted" for each in status.get("historyEvents", ())):
            return
        await asyncio.sleep(0.05)
    pytest.fail(host.output())


@pytest.mark.parametrize("workers", [1, 2])
async def test_an_edit_is_seen_and_an_instance_in_the_middle_goes_on(start_host, app, store, http, workers):
    host = start_host(app, "--watch", "--workers", str(workers), **store)
    hub = HubHttp(http, host.url)
    await answers(http, host, "hello 1")
    await waiting(http, host, hub, "in-the-middle")

    edit(app / "words.py", "hello", "good day")  # a module that the app imports
    await answers(http, host, "good day 1")
    edit(app / "function_app.py", "code 1", "code 2")
    edit(app / "function_app.py", '{words.HELLO} 1"', '{words.HELLO} 2"')
    await answers(http, host, "good day 2")
    await hub.raise_event("in-the-middle", "answer", "yes")
    ended = await hub.ended("in-the-middle")

    assert ended["output"] == ["hello: asked", "good day: yes", "code 2"]
    assert "Changed: words.py. Loading the app anew..." in host.output()
    assert host.stop(signal.SIGINT) == 0


async def test_a_broken_edit_leaves_the_code_before_at_work(start_host, app, http, tmp_path):
    host = start_host(app, "--watch", storage=f"embedded:{tmp_path / 'hub.db'}")
    hub = HubHttp(http, host.url)

    edit(app / "function_app.py", "def greet(req", "def greet((req")
    host.wait_for("The change cannot be taken over: see above. The functions from before the change go on.")
    await answers(http, host, "hello 1")
    await waiting(http, host, hub, "a")
    await hub.raise_event("a", "answer", "yes")
    ended = await hub.ended("a")
    (app / "host.json").write_text("{")
    host.wait_for(r"(?s)Changed: host.json.*cannot be taken over")
    (app / "host.json").write_text('{"version": "2.0"}')
    edit(app / "function_app.py", "def greet((req", "def greet(req")
    edit(app / "words.py", "hello", "back")
    await answers(http, host, "back 1")

    assert ended["output"] == ["hello: asked", "hello: yes", "code 1"]
    assert "SyntaxError" in host.output()
    assert host.stop() == 0


@pytest.mark.parametrize("sdk", ["own", "own-json"])
async def test_an_instance_that_no_longer_fits_is_parked_until_it_fits_again(start_host, app, http, tmp_path, sdk):
    host = start_host(app, "--watch", "--sdk", sdk, storage=f"embedded:{tmp_path / 'hub.db'}")
    hub = HubHttp(http, host.url)
    for name in ("a", "b", "c"):
        await waiting(http, host, hub, name)

    edit(app / "function_app.py", 'call_activity("note", "asked")', 'call_activity("other", "asked")')
    edit(app / "words.py", "hello", "second")
    await answers(http, host, "second 1")
    await hub.raise_event("a", "answer", "yes")
    told = host.wait_for(r"(?s)Instance 'a' of 'approval' is parked: (.*?)tried again when the code changes")
    parked = await hub.status("a")
    await hub.raise_event("b", "answer", "no")
    host.wait_for("Instance 'b' of 'approval' is parked")
    async with http.post(f"{host.url}/runtime/webhooks/durabletask/instances/b/terminate?reason=enough") as answer:
        assert answer.status == 202
    terminated = await hub.ended("b")
    # The edit is taken back, another one comes: what was parked goes on with the event that it was sent.
    edit(app / "function_app.py", 'call_activity("other", "asked")', 'call_activity("note", "asked")')
    edit(app / "words.py", "second", "third")
    await answers(http, host, "third 1")
    ended = await hub.ended("a")
    await hub.raise_event("c", "answer", "late")
    last = await hub.ended("c")

    assert parked["runtimeStatus"] == "Running"
    assert "Non-Deterministic workflow detected" in told[1]
    assert "'note'" in told[1]
    if sdk == "own":  # over JSON, the SDK has logged the rest before
        assert "instead scheduled an activity task named 'other'" in told[1]
        assert "function_app.py" in told[1]
    assert terminated["runtimeStatus"] == "Terminated"
    assert ended["output"] == ["hello: asked", "third: yes", "code 1"]
    assert last["output"] == ["hello: asked", "third: late", "code 1"]
    assert "Traceback" not in host.output()
    assert host.stop() == 0


async def test_without_watch_such_an_instance_fails(start_host, app, http, tmp_path):
    store = f"embedded:{tmp_path / 'hub.db'}"
    host = start_host(app, storage=store)
    await waiting(http, host, HubHttp(http, host.url), "a")
    assert host.stop() == 0
    edit(app / "function_app.py", 'call_activity("note", "asked")', 'call_activity("other", "asked")')

    host = start_host(app, storage=store)
    hub = HubHttp(http, host.url)
    await hub.raise_event("a", "answer", "yes")

    assert (await hub.ended("a"))["runtimeStatus"] == "Failed"


async def test_a_host_that_dies_is_started_again_on_the_next_change(start_host, app, http, tmp_path):
    edit(app / "function_app.py", 'return f"{words.HELLO} 1"', "import os; os._exit(7)")
    host = start_host(app, "--watch", storage=f"embedded:{tmp_path / 'hub.db'}")
    # Not by aiohttp, which asks again; the second request would wait until there is a host.
    with pytest.raises(http_client.RemoteDisconnected):
        await asyncio.to_thread(urllib.request.urlopen, f"{host.url}/api/greet", timeout=30)
    host.wait_for("The host ended with exit code 7; it is started again on a change.")

    edit(app / "function_app.py", "import os; os._exit(7)", 'return "mended"')

    await answers(http, host, "mended")
    assert host.stop() == 0


async def test_nothing_outlives_a_supervisor_that_is_killed(start_host, app, tmp_path):
    host = start_host(app, "--watch", storage=f"embedded:{tmp_path / 'hub.db'}")
    host.wait_until_ready()

    host.process.kill()

    host.wait_for_end_of_output()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", host.port), timeout=5)


def test_a_configuration_that_is_wrong_from_the_start_ends_it(start_host, app):
    (app / "host.json").write_text(json.dumps({"version": "1.0"}))

    host = start_host(app, "--watch", wait=False)

    assert host.wait() == 1
    assert "host.json" in host.output()
