"""What we send to the service, byte for byte, against what the .NET provider sent: a .NET worker reads it.

Every write to a table is compared by where it goes and by the columns that it sets with their EDM types; blobs and
messages by the headers that stay with them. Ours passes a proxy, as the provider's did when it was recorded.
"""

import json
import re
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

import pytest

from taskhub import TaskHubSettings
from taskhub.codec.history_rows import TAKEN_REQUESTS_COLUMN
from taskhub.storage.azure import open_azure
from taskhub.storage.azure.requests import API_VERSION
from tests.support.recorded_hub import recording
from tests.support.recording_proxy import recording_proxy
from tests.support.storage_plays import PLAYS, Run

pytestmark = pytest.mark.azurite

SCENARIOS = (
    "activity_failure",
    "custom_status",
    "duplicate_start",
    "hello_sequence",
    "large_payload",
    "lease_table",
    "purge_one",
    "sub_orchestration",
    "suspend_resume",
    "timer",
)


async def sent_by_us(azurite, scenario, **more):
    play = PLAYS[scenario]
    async with recording_proxy(azurite) as (through, sent):
        storage = await open_azure(connection_string=through)
        settings = {"hub_name": f"Wire{scenario.title().replace('_', '')}", "max_polling_interval_seconds": 0.2}
        run = Run(
            storage,
            TaskHubSettings(**{**settings, "app_name": "interop", "default_version": "", **play.settings, **more}),
            play.client_settings,
        )
        if not play.has_worker:
            await run.client.create_hub()
        await play.perform(run)
        await storage.aclose()
        return run.names, list(sent)


# ---- tables


def form_of_write(method, target, row_key, entity):
    """Return what a write does: method, table, kind of row, and the types of the columns that it sets."""
    kind = "sentinel" if row_key == "sentinel" else "row"
    if target.endswith("History"):
        kind = entity.get("EventType", kind) if method != "DELETE" else "any"
    return method, re.search(r"History|Instances|Partitions|Tables", target)[0], kind, types_of(entity)


NOT_COMPARED = ("PartitionKey", "RowKey", TAKEN_REQUESTS_COLUMN)
"""Keys, which are in the address, too; and what is ours alone."""


def types_of(entity):
    return frozenset(
        (name, entity.get(f"{name}@odata.type", type(value).__name__))
        for name, value in entity.items()
        if not name.endswith("@odata.type") and value is not None and name not in NOT_COMPARED
    )


KEYS = re.compile(r"(\w+)\(PartitionKey='((?:[^']|'')*)',RowKey='((?:[^']|'')*)'\)")


def write_of(method, url, entity):
    path = unquote(url.partition("?")[0])
    found = KEYS.search(path)
    table, row_key = (found[1], found[3]) if found else (path.rpartition("/")[2], (entity or {}).get("RowKey"))
    return form_of_write(method, table, row_key, entity or {})


def recorded_writes(scenario):
    for request in recording(scenario).requests:
        if not request["kind"].startswith("table.") or request["method"] == "GET" or "->" in request["kind"]:
            continue
        if request["kind"].startswith("table.batch"):
            for operation in request["body"]:
                method, url, _ = operation["line"].split(" ")
                yield write_of(method, url, operation.get("body"))
        else:
            yield write_of(request["method"], request["path"], request.get("body"))


PART = re.compile(r"(?m)^(PUT|PATCH|MERGE|POST|DELETE) (\S+) HTTP/1\.1\r\n((?:[^\r\n]+\r\n)*)\r\n(.*)\r?$")


def our_writes(sent):
    for request in sent:
        if request.service != "table" or request.method == "GET" or request.status >= 400:
            continue
        if request.path.endswith("$batch"):
            parts = PART.findall(request.body.decode())
            assert parts, request
            for method, url, _, body in parts:
                yield write_of(method, url, json.loads(body) if body.startswith("{") else None)
        else:
            yield write_of(request.method, request.path, json.loads(request.body) if request.body else None)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_rows_are_written_with_the_columns_and_types_of_the_reference(azurite, scenario):
    # Where quick activities are stored together with their answers, some of these writes are not needed.
    _, sent = await sent_by_us(azurite, scenario, fold_seconds=0)

    ours = {as_merged(each) for each in our_writes(sent)} - {AHEAD}

    assert ours == set(recorded_writes(scenario))


AHEAD = ("PATCH", "History", "sentinel", frozenset({("ExecutionId", "str"), ("IsCheckpointComplete", "bool")}))
"""An episode that began with what is in no queue is stored in two steps. The reference writes the first like this, too,
where an episode is longer than a batch."""


def as_merged(write):
    """Return the first row of a child as the reference writes it; ours inserts it, to overwrite nobody else's."""
    method, table, kind, types = write
    is_first = (method, table) == ("POST", "Instances") and "CustomStatus" in dict(types)
    return ("PATCH", table, kind, types) if is_first else write


# ---- messages and blobs


async def test_messages_are_put_as_text_that_never_expires(azurite):
    _, sent = await sent_by_us(azurite, "timer")
    recorded = {
        tuple(sorted(name for name, _ in parse_qsl(request["query"])))
        for request in recording("timer").requests
        if request["kind"].startswith("queue.put ")
    }

    puts = [each for each in sent if each.service == "queue" and each.method == "POST"]

    assert {tuple(sorted(name for name, _ in parse_qsl(put.query))) for put in puts} == recorded
    for put in puts:
        assert dict(parse_qsl(put.query))["messagettl"] == "-1"
        message = ElementTree.fromstring(put.body)
        assert (message.tag, [child.tag for child in message]) == ("QueueMessage", ["MessageText"])
        assert message[0].text.startswith('{"$type":"DurableTask.AzureStorage.MessageData",')


async def test_large_values_are_blobs_of_plain_bytes(azurite):
    from azure.storage.blob.aio import BlobServiceClient

    names, _ = await sent_by_us(azurite, "large_payload", direct_answers=False)
    recorded = {
        (name_of_blob(blob["name"]), blob["content_type"], blob["content_encoding"], *blob["metadata"])
        for blob in recording("large_payload").state["blobs"]["largepayload-largemessages"]
    }
    heads = {
        blob["first_bytes"][:16] for blob in recording("large_payload").state["blobs"]["largepayload-largemessages"]
    }

    found, first_bytes = set(), set()
    async with BlobServiceClient.from_connection_string(azurite, api_version=API_VERSION) as service:
        container = service.get_container_client(names.large_messages_container)
        async for blob in container.list_blobs(include=["metadata"]):
            settings = blob.content_settings
            found.add((name_of_blob(blob.name), settings.content_type, settings.content_encoding, *blob.metadata))
            data = await (await container.download_blob(blob.name)).readall()
            first_bytes.add(data[:8].hex())

    assert found == recorded
    # Compressed, without a time or a name of a file.
    assert first_bytes == heads == {"1f8b080000000000"}


def name_of_blob(name):
    return re.sub(r"[0-9a-f]{32}|(?<=-)[0-9A-F]{8}(?=-)", "", name)


@pytest.mark.parametrize("scenario", ["lease_safe", "lease_legacy"])
async def test_leases_are_kept_in_the_blobs_of_the_reference(azurite, scenario):
    names, sent = await sent_by_us(azurite, scenario)
    hub = recording(scenario).answers["hub"]["Hub"]

    def actions(requests):
        """Return which blobs are written and leased, and how."""
        return {
            (method, path.lower().replace(prefix, "hub"), headers.get("x-ms-lease-action"))
            for method, path, headers, prefix in requests
            if headers.get("x-ms-lease-action") != "renew"  # a matter of how long it takes
        }

    ours = actions(
        (each.method, unquote(each.path), each.headers, names.hub.lower())
        for each in sent
        if each.service == "blob" and each.method == "PUT" and each.status < 300
    )
    recorded = actions(
        (each["method"], unquote(each["path"]), each.get("headers") or {}, hub.lower())
        for each in recording(scenario).requests
        if each["kind"].startswith("blob.put") and each["status"] < 300 and not each.get("cut")
    )

    assert recorded <= ours
    # Of the safe manager not all requests are recorded whole; and ours gives ownership back.
    assert {(path.split("/")[3], action) for _, path, action in ours - recorded} <= {
        ("ownership", "acquire"),
        ("ownership", "release"),
    }
