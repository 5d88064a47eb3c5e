"""The commands of how-to pages, typed as they stand there."""

import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from uuid import uuid4

import pytest

pytestmark = pytest.mark.e2e

HOWTO = Path(__file__).parents[2] / "docs/howto"


def commands(page):
    text = (HOWTO / page).read_text(encoding="utf-8")
    return [line for block in re.findall(r"^```sh\n(.*?)^```", text, re.S | re.M) for line in block.splitlines()]


def typed(line, folder, *, code=0, **environment):
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=folder,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (line, done.stdout, done.stderr)
    return done.stdout


@pytest.fixture
def my_app(tmp_path):
    typed("taskhub init my-app", tmp_path)
    path = tmp_path / "my-app/host.json"
    path.write_text(path.read_text().replace("MyApp", f"Moved{uuid4().hex[:10]}"))
    return tmp_path


def asked(url, **headers):
    request = urllib.request.Request(url, data=b"", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""


@pytest.mark.azurite
def test_a_hub_is_moved_as_the_page_says(start_host, my_app, azurite):
    host = start_host(my_app / "my-app")
    host.wait_until_ready()
    _, body = asked(f"{host.url}/api/orchestrators/hello_cities")
    instance_id = json.loads(body)["id"]
    typed(f"taskhub instances wait {instance_id} --timeout 60 --app my-app", my_app)
    assert host.stop() == 0
    dump, load, look = commands("moving-a-hub.md")[:3]
    assert [line.split()[1] for line in (dump, load, look)] == ["hub", "hub", "doctor"]

    typed(dump, my_app)
    for line in (load, look):
        told = typed(line.replace("--storage azurite", "--storage Elsewhere"), my_app, Elsewhere=azurite)

    assert "Nothing is wrong." in told
    listed = typed("taskhub instances list --app my-app --storage Elsewhere", my_app, Elsewhere=azurite)
    assert instance_id in listed
    assert "Completed" in listed


@pytest.mark.skipif(shutil.which("curl") is None, reason="the page's commands need curl")
def test_keys_are_found_made_and_taken_back_as_the_page_says(start_host, my_app):
    lines = commands("keys.md")
    start = next(line for line in lines if "--enable-auth" in line)
    host = start_host(my_app / "my-app", *start.split()[3:])
    host.wait_until_ready()
    starter = f"{host.url}/api/orchestrators/hello_cities"

    secrets = json.loads(typed(next(line for line in lines if line.startswith("cat ")), my_app))
    master = secrets["masterKey"]["value"]
    make, take_back, renew = [
        f"{line.partition(' # ')[0]} -s -f".replace("localhost:7071", f"127.0.0.1:{host.port}")
        for line in lines
        if "/admin/" in line
    ]
    key = json.loads(typed(make, my_app, MASTER=master))["value"]

    assert {each["name"] for each in secrets["systemKeys"]} == {"durabletask_extension"}
    assert asked(starter)[0] == 401
    assert asked(starter, **{"x-functions-key": key})[0] == 202
    typed(take_back, my_app, MASTER=master)
    assert asked(starter, **{"x-functions-key": key})[0] == 401
    new = json.loads(typed(renew, my_app, MASTER=master))["value"]
    assert asked(starter, **{"x-functions-key": master})[0] == 401
    assert asked(starter, **{"x-functions-key": new})[0] == 202
    assert new not in host.output()
