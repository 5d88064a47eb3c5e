"""`taskhub init` and `taskhub new`: what they write runs, in both models, template by template, in a real host."""

import subprocess
import sys
from uuid import uuid4

import aiohttp
import pytest
from azure.storage.blob import BlobServiceClient
from azure.storage.queue import QueueClient, TextBase64EncodePolicy

from taskhub.cli.templates import TEMPLATES
from taskhub.storage.azure.requests import API_VERSION
from tests.support.hub_http import HubHttp

pytestmark = [pytest.mark.e2e, pytest.mark.azurite]


def taskhub(*arguments, folder=None, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "taskhub.cli.__main__", *map(str, arguments)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd=folder,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr + done.stdout
    return " ".join((done.stdout + done.stderr).replace("│", " ").split())  # as it was before it was put into a box


@pytest.mark.parametrize("model", ["v1", "v2"])
async def test_two_commands_make_an_app_that_runs(start_host, tmp_path, model):
    told = taskhub("init", "my-app", "--model", model, folder=tmp_path)

    assert "taskhub start my-app" in told
    host = start_host(tmp_path / "my-app")
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        ended = await hub.ended(await hub.start("hello_cities"))
    assert ended["output"] == ["Hello Tokyo!", "Hello Seattle!", "Hello London!"]
    assert "Task hub 'MyApp'" in host.output()
    assert host.stop() == 0


@pytest.mark.parametrize("model", ["v1", "v2"])
async def test_every_template_runs(start_host, tmp_path, azurite, model):
    app = tmp_path / f"app{uuid4().hex[:8]}"
    mark = uuid4().hex[:6]
    taskhub("init", app, "--model", model)
    for template in TEMPLATES:
        said = taskhub("new", "--app", app, "--template", template.title, "--name", f"my-{template.key}-{mark}")
        assert f'from the "{template.title}" template' in said
    host = start_host(app, "--verbose", environment={"AzureWebJobsStorage": azurite})

    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        # orchestrator with its activity; activity and starter with the orchestrators that are there
        assert (await hub.ended(await hub.start(f"my-orchestrator-{mark}", ["Oslo"])))["output"] == ["Hello Oslo!"]
        async with http.post(f"{host.url}/api/my-starter-{mark}/hello_cities", data='["Rome"]') as answer:
            assert answer.status == 202
            assert (await hub.ended((await answer.json())["id"]))["output"] == ["Hello Rome!"]
        # entity
        counter = f"{host.url}/api/my-entity-{mark}/front-door"
        async with http.post(counter, data="5") as answer:
            assert answer.status == 202
        await hub.shows(counter, 5)
        # HTTP
        async with http.get(f"{host.url}/api/my-http-{mark}?name=Ada") as answer:
            assert await answer.text() == "Hello Ada!"
        # timer, by hand
        async with http.post(f"{host.url}/admin/functions/my-timer-{mark}", json={"input": ""}) as answer:
            assert answer.status == 202
        host.wait_for("The timer fired")
    with QueueClient.from_connection_string(
        azurite, f"my-queue-{mark}", api_version=API_VERSION, message_encode_policy=TextBase64EncodePolicy()
    ) as queue:
        queue.send_message("a parcel")
    host.wait_for("A message came: a parcel")
    with BlobServiceClient.from_connection_string(azurite, api_version=API_VERSION) as blobs:
        blobs.create_container(f"my-blob-{mark}").upload_blob("letter.txt", b"12345")
    host.wait_for(f"The blob my-blob-{mark}/letter.txt has 5 bytes")
    assert "is in error" not in host.output()
    assert host.stop() == 0


async def test_a_plain_functions_app_gets_durable_functions_in_a_blueprint(start_host, tmp_path):
    (tmp_path / "host.json").write_text('{"version": "2.0"}')
    (tmp_path / "function_app.py").write_text(
        "import azure.functions as func\n\nshop = func.FunctionApp(func.AuthLevel.ANONYMOUS)\n"
    )
    taskhub("new", "--template", "http", "--name", "hello", "-a", "anonymous", folder=tmp_path)
    told = taskhub("new", "--template", "orchestrator", "--name", "sell", folder=tmp_path)
    taskhub("new", "--template", "starter", "--name", "begin", "--file", "web.py", folder=tmp_path)
    taskhub("new", "--template", "http", "--name", "bye", "--file", "web.py", folder=tmp_path)

    assert "no durable decorators: the function gets a blueprint in sell.py" in told
    host = start_host(tmp_path)
    async with aiohttp.ClientSession() as http:
        hub = HubHttp(http, host.url)
        assert (await hub.ended(await hub.start("sell", ["Bern"])))["output"] == ["Hello Bern!"]
        for name in ("hello", "bye"):
            async with http.get(f"{host.url}/api/{name}") as answer:
                assert await answer.text() == "Hello world!"


def test_nothing_that_is_there_is_written_over(tmp_path):
    taskhub("init", folder=tmp_path)
    script = tmp_path / "function_app.py"
    script.write_text("mine = 1\n")

    refused = taskhub("init", folder=tmp_path, code=1)
    other_model = taskhub("init", "--model", "V1", folder=tmp_path, code=1)

    assert "host.json, local.settings.json, function_app.py already; nothing was written" in refused
    assert "--force" in refused
    assert "host.json" in other_model
    assert not (tmp_path / "http_start").exists()
    assert script.read_text() == "mine = 1\n"
    taskhub("init", "--force", folder=tmp_path)
    assert "hello_cities" in script.read_text()


def test_files_of_the_surroundings_are_kept(tmp_path):
    (tmp_path / ".gitignore").write_text("mine\n")

    told = taskhub("init", folder=tmp_path)

    assert ".gitignore is there already and stays as it is" in told
    assert (tmp_path / ".gitignore").read_text() == "mine\n"


@pytest.mark.parametrize("model", ["v1", "v2"])
def test_a_name_that_the_app_has_is_refused(tmp_path, model):
    taskhub("init", "--model", model, folder=tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    taken = taskhub("new", "-t", "activity", "-n", "SAY_hello", folder=tmp_path, code=1)
    wrong = taskhub("new", "-t", "activity", "-n", "2nd", folder=tmp_path, code=1)

    assert "has a function 'SAY_hello' already, in " in taken
    assert "'2nd' is not a valid function name" in wrong
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_wrong_words_are_answered_with_what_there_is(tmp_path):
    assert "taskhub init" in taskhub("new", "-t", "http", "-n", "x", folder=tmp_path, code=1)
    taskhub("init", folder=tmp_path)
    assert "there are v1 and v2" in taskhub("init", "--model", "v3", folder=tmp_path, code=2)
    assert "blob" in taskhub("new", "-t", "kafka", "-n", "x", folder=tmp_path, code=2)
    assert "is needed where nobody can be asked" in taskhub("new", "-t", "http", folder=tmp_path, code=2)
    assert "orders.py" in taskhub("new", "-t", "http", "-n", "x", "-f", "a/b.py", folder=tmp_path, code=2)
    (tmp_path / "function_app.py").write_text("def broken(:\n")
    assert "Correct line 1 first" in taskhub("new", "-t", "http", "-n", "x", folder=tmp_path, code=1)
