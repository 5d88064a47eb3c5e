"""Apps on the packages azurefunctions-extensions-*, in real hosts: HTTP streams of FastAPI, clients of blobs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import aiohttp
import pytest
from azure.storage.blob import BlobServiceClient

from tests.support.azurite import running_azurite

pytestmark = pytest.mark.e2e

APP = Path(__file__).parents[1] / "apps" / "extensions"


@pytest.fixture
def app(tmp_path):
    return shutil.copytree(APP, tmp_path / "extensions")


@pytest.fixture(scope="module")
def azurite():
    """An emulator that takes apps with a client library that is newer than itself."""
    with running_azurite("--skipApiVersionCheck") as emulator:
        BlobServiceClient.from_connection_string(emulator.connection_string).create_container("texts")
        yield emulator.connection_string


@pytest.mark.azurite
@pytest.mark.parametrize("sdk", ["own", "own-json"])
async def test_requests_stream_and_blobs_come_as_clients(start_host, app, azurite, sdk):
    host = start_host(app, "--sdk", sdk, "--hub", f"Extensions{sdk[-4:]}", environment={"AzureWebJobsStorage": azurite})
    name = f"letters-{sdk}"

    async def parts():
        for part in (b"Habe ", b"nun, ach!"):
            yield part

    async with aiohttp.ClientSession() as session:
        async with session.put(f"{host.url}/api/texts/{name}", data=parts()) as answer:
            assert answer.status == 202, host.output()
            links = await answer.json()
        assert links["statusQueryGetUri"].startswith("http://")
        async with session.get(f"{host.url}/api/follow/count-{name}") as answer:
            told = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]

    assert told[-1] == {"status": "Completed", "output": {"name": name, "letters": 14}}
    assert f"seen: {name}, 14 bytes" in host.output()
    assert host.stop() == 0


def test_without_an_account_what_wants_a_client_is_off_with_the_reason(start_host, app, tmp_path):
    host = start_host(app, storage=f"embedded:{tmp_path / 'hub.db'}", environment={"AzureWebJobsStorage": ""})

    text = host.output()
    for function, parameter in (("put_text", "target"), ("letters_of", "text"), ("seen", "text")):
        assert (
            f"The '{function}' function is in error: the parameter '{parameter}' wants a client of Azure Blob Storage, "
            "which the embedded store has not. Start an emulator and set AzureWebJobsStorage to "
            "UseDevelopmentStorage=true, or to an account." in text
        )
    assert "\tfollow:" in text
