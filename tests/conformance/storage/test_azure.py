"""What only the Azure adapter has: a wire, connection strings, a network that fails."""

import asyncio
import json
import logging
import socket
import sys
from datetime import datetime, timedelta, timezone
from urllib.parse import parse_qsl
from uuid import uuid4

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from azure.identity.aio import ClientSecretCredential, DefaultAzureCredential, ManagedIdentityCredential
from azure.storage.queue.aio import QueueClient

from taskhub.errors import ConfigurationError, RowChanged, StorageRefused, TransientStorageError
from taskhub.model.ids import ETag, Utc
from taskhub.storage.azure import account, connection, emulator_is_listening, open_azure
from taskhub.storage.azure.connection import identity_connection, parse_connection_string
from taskhub.storage.azure.tables import odata_filter
from taskhub.storage.port import AllOf, AnyOf, Comparison, Row, TableWrite, Where, Write
from tests.support.azurite import ACCOUNT_KEY, ACCOUNT_NAME

# ---- the wire, as a server sees it

QUEUE_ANSWER = """<?xml version="1.0"?><QueueMessagesList><QueueMessage><MessageId>i</MessageId>
<InsertionTime>Tue, 24 Nov 2026 12:32:21 GMT</InsertionTime><PopReceipt>r+/=</PopReceipt>
<TimeNextVisible>Tue, 24 Nov 2026 12:32:22 GMT</TimeNextVisible><DequeueCount>1</DequeueCount>
<MessageText>{&quot;a&quot;:1}</MessageText></QueueMessage></QueueMessagesList>"""


class Server:
    """Records requests; answers as told."""

    def __init__(self):
        self.requests = []
        self.answer = {"status": 204, "headers": {"ETag": "new"}}

    async def handle(self, request):
        body = await request.text()
        self.requests.append((request.method, request.raw_path, dict(request.headers), body))
        return web.Response(**self.answer)

    @property
    def last(self):
        return self.requests[-1]


@pytest.fixture
async def server():
    subject = Server()
    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{path:.*}", subject.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    subject.url = f"http://127.0.0.1:{runner.addresses[0][1]}/account"
    yield subject
    await runner.cleanup()


def a_connection_string(url):
    return f"AccountName=account;AccountKey=a2V5;BlobEndpoint={url};QueueEndpoint={url};TableEndpoint={url}"


@pytest.fixture
async def storage(server):
    opened = await open_azure(connection_string=a_connection_string(server.url))
    yield opened
    await opened.aclose()


async def test_a_put_sends_no_visibility_without_a_delay_and_never_expires(server, storage):
    server.answer = {"status": 201, "text": QUEUE_ANSWER}

    put = await storage.queues.put("q", '{"a":"<&>"}')
    _, path, headers, body = server.last
    await storage.queues.put("q", "x", visible_after=7)
    delayed = server.last[1]

    assert path == "/account/q/messages?messagettl=-1"
    assert delayed == "/account/q/messages?visibilitytimeout=7&messagettl=-1"
    assert body == '<QueueMessage><MessageText>{"a":"&lt;&amp;&gt;"}</MessageText></QueueMessage>'
    assert headers["x-ms-version"] == "2020-12-06"
    assert headers["Authorization"].startswith("SharedKey account:")
    assert (put.id, put.receipt, put.next_visible) == (
        "i",
        "r+/=",
        datetime(2026, 11, 24, 12, 32, 22, tzinfo=timezone.utc),
    )


async def test_an_update_without_text_has_no_body(server, storage):
    server.answer = {
        "status": 204,
        "headers": {"x-ms-popreceipt": "new", "x-ms-time-next-visible": "Tue, 24 Nov 2026 12:32:22 GMT"},
    }

    updated = await storage.queues.update("q", "i", "r+/=", visible_after=0)

    method, path, _, body = server.last
    assert (method, body) == ("PUT", "")
    assert path.startswith("/account/q/messages/i?popreceipt=r%2B")
    assert path.endswith("&visibilitytimeout=0")
    assert updated.receipt == "new"


@pytest.mark.parametrize(
    ("kind", "if_match", "method", "condition"),
    [
        (Write.INSERT, None, "POST", None),
        (Write.REPLACE, None, "PUT", "*"),
        (Write.REPLACE, ETag("old"), "PUT", "old"),
        (Write.MERGE, None, "PATCH", "*"),
        (Write.MERGE, ETag("old"), "PATCH", "old"),
        (Write.INSERT_OR_REPLACE, None, "PUT", None),
        (Write.INSERT_OR_MERGE, None, "PATCH", None),
        (Write.DELETE, None, "DELETE", "*"),
        (Write.DELETE, ETag("old"), "DELETE", "old"),
    ],
)
async def test_each_write_is_the_request_that_the_reference_makes(server, storage, kind, if_match, method, condition):
    row = Row("p", "r", {"T": Utc("2024-02-27T17:20:34.5Z"), "N": 1, "L": 2**40, "D": 0.5, "B": True, "S": "é"})
    operation = TableWrite(kind, row, if_match)

    etag = await storage.tables.write("T", operation)

    sent_method, path, headers, body = server.last
    assert (sent_method, headers.get("If-Match")) == (method, condition)
    assert path == ("/account/T" if kind is Write.INSERT else "/account/T(PartitionKey='p',RowKey='r')")
    assert headers.get("Prefer") == ("return-no-content" if kind is Write.INSERT else None)
    if kind is Write.DELETE:
        assert (body, etag) == ("", None)
    else:
        assert etag == "new"
        assert json.loads(body) == {
            "PartitionKey": "p",
            "RowKey": "r",
            "T": "2024-02-27T17:20:34.5000000Z",
            "T@odata.type": "Edm.DateTime",
            "N": 1,
            "L": str(2**40),
            "L@odata.type": "Edm.Int64",
            "D": 0.5,
            "D@odata.type": "Edm.Double",
            "B": True,
            "S": "é",
        }


async def test_a_batch_is_one_request(server, storage):
    answers = "".join(
        f"--changesetresponse_1\r\nContent-Type: application/http\r\n\r\nHTTP/1.1 204 No Content\r\n"
        f'X-Content-Type-Options: nosniff\r\nETag: W/"{number}"\r\n\r\n\r\n'
        for number in range(2)
    )
    server.answer = {"status": 202, "text": f"--batch_1\r\n\r\n{answers}--changesetresponse_1--\r\n--batch_1--\r\n"}

    etags = await storage.tables.batch(
        "T",
        [
            TableWrite(Write.INSERT_OR_REPLACE, Row("p", "0", {"A": "é"})),
            TableWrite(Write.MERGE, Row("p", "sentinel", {}), ETag("old")),
        ],
    )

    assert etags == ['W/"0"', 'W/"1"']
    [(method, path, headers, body)] = server.requests
    assert (method, path) == ("POST", "/account/$batch")
    assert headers["Content-Type"].startswith("multipart/mixed; boundary=batch_")
    assert body.isascii()
    first, second = body.split("application/http")[1:]
    assert f"\r\nPUT {server.url}/T(PartitionKey='p',RowKey='0') HTTP/1.1\r\n" in first
    assert "If-Match" not in first
    assert f"\r\nPATCH {server.url}/T(PartitionKey='p',RowKey='sentinel') HTTP/1.1\r\n" in second
    assert "\r\nIf-Match: old\r\n" in second


async def test_the_error_of_a_batch_is_found_in_its_answer(server, storage):
    error = json.dumps({"odata.error": {"code": "UpdateConditionNotSatisfied", "message": {"value": "1:changed"}}})
    server.answer = {
        "status": 202,
        "text": f"--batch_1\r\n\r\n--changesetresponse_1\r\nContent-Type: application/http\r\n\r\n"
        f"HTTP/1.1 412 Precondition Failed\r\nContent-Type: application/json\r\n\r\n{error}\r\n"
        f"--changesetresponse_1--\r\n--batch_1--\r\n",
    }

    with pytest.raises(RowChanged):
        await storage.tables.batch("T", [TableWrite(Write.MERGE, Row("p", "r", {}), ETag("old"))])


async def test_an_answer_to_a_batch_that_lacks_parts_is_in_doubt(server, storage):
    server.answer = {"status": 202, "text": "--batch_1\r\n--batch_1--\r\n"}

    with pytest.raises(TransientStorageError, match="0 parts"):
        await storage.tables.batch("T", [TableWrite(Write.MERGE, Row("p", "r", {}), ETag("old"))])


async def test_a_query_sends_filter_selection_size_and_token(server, storage):
    server.answer = {
        "status": 200,
        "text": '{"value":[]}',
        "headers": {"x-ms-continuation-NextPartitionKey": "1!4!cA--", "x-ms-continuation-NextRowKey": "1!4!cg--"},
    }

    page = await storage.tables.query(
        "T", Where("PartitionKey", Comparison.EQ, "it's"), select=["A"], top=5, token="1!4!YQ-- 1!4!Yg--"
    )

    query = dict(parse_qsl(server.last[1].partition("?")[2]))
    assert page.token == "1!4!cA-- 1!4!cg--"
    assert query == {
        "NextPartitionKey": "1!4!YQ--",
        "NextRowKey": "1!4!Yg--",
        "$top": "5",
        "$select": "A,PartitionKey,RowKey",
        "$filter": "PartitionKey eq 'it''s'",
    }


ID = Where("PartitionKey", Comparison.EQ, "x")


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (Where("PartitionKey", Comparison.EQ, "it's"), "PartitionKey eq 'it''s'"),
        (
            Where("CreatedTime", Comparison.GE, Utc("2024-02-27T17:20:34.5678901Z")),
            "CreatedTime ge datetime'2024-02-27T17:20:34.5678901Z'",
        ),
        (
            AllOf((Where("PartitionKey", Comparison.GE, "p"), Where("PartitionKey", Comparison.LT, "q"))),
            "(PartitionKey ge 'p') and (PartitionKey lt 'q')",
        ),
        (
            AllOf((ID, AnyOf((Where("RowKey", Comparison.EQ, "sentinel"), Where("ExecutionId", Comparison.EQ, "e"))))),
            "(PartitionKey eq 'x') and (RowKey eq 'sentinel' or ExecutionId eq 'e')",
        ),
        (AllOf((ID,)), "PartitionKey eq 'x'"),
        (AnyOf((ID, AllOf((ID, ID)))), "PartitionKey eq 'x' or ((PartitionKey eq 'x') and (PartitionKey eq 'x'))"),
        (Where("N", Comparison.GT, -5), "N gt -5"),
        (Where("N", Comparison.GT, 2**31), "N gt 2147483648L"),
        (Where("D", Comparison.LE, 0.5), "D le 0.5"),
        (Where("B", Comparison.NE, True), "B ne true"),
    ],
)
def test_a_filter_is_written_as_the_reference_writes_it(where, text):
    assert odata_filter(where) == text


async def test_requests_are_not_logged(server, storage, caplog):
    caplog.set_level(logging.INFO)
    server.answer = {"status": 400}

    for call in CALLS:
        with pytest.raises(StorageRefused):
            await call(storage)

    ours_and_theirs = [record for record in caplog.records if record.name.startswith(("azure", "taskhub"))]
    assert [record for record in ours_and_theirs if record.levelno < logging.WARNING] == []


# ---- a service that fails


CALLS = [
    lambda storage: storage.queues.put("queue", "x"),
    lambda storage: storage.queues.get("queue", limit=1, invisible_for=1),
    lambda storage: storage.queues.delete("queue", "i", "r"),
    lambda storage: storage.queues.create_queue("queue"),
    lambda storage: storage.queues.count("queue"),
    lambda storage: storage.queues.list_queues("queue"),
    lambda storage: storage.tables.read("Rows", "p", "r"),
    lambda storage: storage.tables.query("Rows"),
    lambda storage: storage.tables.write("Rows", TableWrite(Write.INSERT, Row("p", "r", {}))),
    lambda storage: storage.tables.batch("Rows", [TableWrite(Write.INSERT, Row("p", "r", {}))]),
    lambda storage: storage.tables.create_table("Rows"),
    lambda storage: storage.tables.delete_table("Rows"),
    lambda storage: storage.blobs.put_blob("container", "b", b"x"),
    lambda storage: storage.blobs.get_blob("container", "b"),
    lambda storage: storage.blobs.list_blobs("container", "b"),
    lambda storage: storage.blobs.create_container("container"),
    lambda storage: storage.blobs.acquire_lease(
        "container", None, lease_id="3f753f26-0000-0000-0000-000000000000", seconds=15
    ),
]


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_busy_or_broken_service_is_transient_and_asked_once(server, storage, call, status):
    server.answer = {"status": status, "text": "<html>a gateway's page"}

    with pytest.raises(TransientStorageError):
        await call(storage)

    assert len(server.requests) == 1


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
async def test_a_service_that_is_not_there_is_transient(call):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    storage = await open_azure(connection_string=a_connection_string(f"http://127.0.0.1:{port}/account"))

    with pytest.raises(TransientStorageError, match="could not be reached"):
        await call(storage)

    await storage.aclose()


@pytest.mark.parametrize("call", CALLS, ids=range(len(CALLS)))
@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nContent-Range: bytes 0-99/100\r\n\r\nhalf"],
    ids=["none", "half"],
)
async def test_an_answer_that_breaks_off_is_transient(call, answer):
    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    storage = await open_azure(connection_string=a_connection_string(f"http://127.0.0.1:{port}/account"))

    with pytest.raises(TransientStorageError):
        await call(storage)

    await storage.aclose()
    listening.close()


async def test_an_answer_that_does_not_come_is_transient(monkeypatch):
    monkeypatch.setattr(account, "READ_SECONDS", 0.05)
    release = asyncio.Event()

    async def serve(reader, writer):
        await release.wait()
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    storage = await open_azure(connection_string=a_connection_string(f"http://127.0.0.1:{port}/account"))

    with pytest.raises(TransientStorageError):
        await storage.queues.put("q", "x")

    release.set()
    await storage.aclose()
    listening.close()


@pytest.mark.azurite
async def test_a_wrong_key_is_refused_and_not_shown(azurite):
    key = "d3Jvbmcga2V5"
    storage = await open_azure(connection_string=azurite.replace(ACCOUNT_KEY, key))

    for call in CALLS:
        with pytest.raises(StorageRefused, match="403") as caught:
            await call(storage)
        assert key not in str(caught.value)

    await storage.aclose()
    assert key not in storage.description


@pytest.mark.azurite
async def test_a_shared_access_signature_opens_the_account(azurite):
    from azure.storage.queue import AccountSasPermissions, ResourceTypes, Services, generate_account_sas

    signature = generate_account_sas(
        ACCOUNT_NAME,
        ACCOUNT_KEY,
        ResourceTypes(service=True, container=True, object=True),
        AccountSasPermissions(read=True, write=True, delete=True, list=True, add=True, create=True, update=True,
                              process=True),
        datetime.now(timezone.utc) + timedelta(hours=1),
        services=Services.from_string("bqt"),
    )  # fmt: skip
    parts = [part for part in azurite.split(";") if "Endpoint=" in part]
    storage = await open_azure(connection_string=";".join((*parts, f"SharedAccessSignature={signature}")))

    await storage.queues.create_queue("signed-queue")
    await storage.queues.put("signed-queue", "x")
    [message] = await storage.queues.get("signed-queue", limit=1, invisible_for=30)
    await storage.queues.delete("signed-queue", message.id, message.receipt)
    await storage.tables.create_table("Signed")
    await storage.tables.batch("Signed", [TableWrite(Write.INSERT_OR_REPLACE, Row("it's", "r", {"A": 1}))])
    assert (await storage.tables.read("Signed", "it's", "r")).columns == {"A": 1}
    await storage.blobs.create_container("signed")
    await storage.blobs.put_blob("signed", "b", b"x")
    assert await storage.blobs.get_blob("signed", "b") == b"x"
    await storage.aclose()


@pytest.mark.azurite
async def test_many_calls_at_once_share_a_bounded_number_of_connections(azurite):
    storage = await open_azure(connection_string=azurite)
    await storage.queues.create_queue("many-calls")

    puts = await asyncio.gather(*(storage.queues.put("many-calls", str(number)) for number in range(200)))

    assert len({put.id for put in puts}) == 200
    assert await storage.queues.count("many-calls") == 200
    await storage.aclose()


# ---- connections


def test_a_connection_string_names_the_endpoints():
    parsed = parse_connection_string(
        "DefaultEndpointsProtocol=https;AccountName=acc;AccountKey=a2V5==;EndpointSuffix=x.net"
    )

    assert parsed.endpoints == {service: f"https://acc.{service}.x.net" for service in ("blob", "queue", "table")}
    assert parsed.credential.named_key == ("acc", "a2V5==")
    assert not parsed.is_emulator


@pytest.mark.parametrize("text", ["UseDevelopmentStorage=true", "usedevelopmentstorage=True;"])
def test_the_short_form_means_the_emulator_on_its_usual_ports(text):
    parsed = parse_connection_string(text)

    assert parsed.endpoints["queue"] == "http://127.0.0.1:10001/devstoreaccount1"
    assert parsed.is_emulator


def test_the_emulator_may_be_on_another_machine():
    parsed = parse_connection_string("UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite")

    assert parsed.endpoints["table"] == "http://azurite:10002/devstoreaccount1"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is not of the form"),
        ("nonsense", "is not of the form"),
        ("AccountKey=c2VjcmV0", "neither AccountName nor BlobEndpoint"),
        ("AccountName=acc", "neither AccountName with AccountKey nor SharedAccessSignature"),
        ("BlobEndpoint=https://b;SharedAccessSignature=sig", "neither AccountName nor QueueEndpoint"),
        ("AccountName=acc;AccountKey=c2VjcmV0;c2VjcmV0", "its part of 8 characters"),
    ],
)
def test_a_connection_string_with_a_hole_is_refused_by_the_name_of_the_hole(text, complaint):
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        parse_connection_string(text)

    assert "c2VjcmV0" not in str(caught.value)


URIS = {"blob": None, "queue": None, "table": None}


def test_an_identity_opens_an_account_by_its_name():
    found = identity_connection("acc", URIS, None, None)

    assert found.endpoints == {
        "blob": "https://acc.blob.core.windows.net",
        "queue": "https://acc.queue.core.windows.net",
        "table": "https://acc.table.core.windows.net",
    }
    assert isinstance(found.credential, DefaultAzureCredential)


def test_a_uri_wins_over_the_account_s_name():
    found = identity_connection("acc", {**URIS, "queue": "https://elsewhere.example/"}, None, None)

    assert found.endpoints["queue"] == "https://elsewhere.example"
    assert found.endpoints["table"] == "https://acc.table.core.windows.net"


@pytest.mark.parametrize(
    ("parts", "kind"),
    [
        ({"credential": "managedidentity", "client_id": None}, ManagedIdentityCredential),
        ({"credential": "ManagedIdentity", "client_id": "me"}, ManagedIdentityCredential),
        ({"credential": None, "client_id": "me"}, DefaultAzureCredential),
        (
            {"credential": None, "client_id": "app", "tenant_id": "tenant", "client_secret": "s"},
            ClientSecretCredential,
        ),
    ],
)
def test_the_parts_of_a_connection_choose_the_credential(parts, kind):
    assert isinstance(identity_connection("acc", URIS, **parts).credential, kind)


async def test_a_user_assigned_identity_is_asked_for_by_its_client_id(monkeypatch):
    """As App Service hands out tokens: the real library, against an endpoint of ours."""
    asked = []

    async def answer(request):
        asked.append(dict(request.query))
        return web.json_response({"access_token": "t", "expires_on": "4102444800", "resource": "r"})

    app = web.Application()
    app.router.add_get("/token", answer)
    async with TestServer(app) as server:
        monkeypatch.setenv("IDENTITY_ENDPOINT", str(server.make_url("/token")))
        monkeypatch.setenv("IDENTITY_HEADER", "proof")
        credential = identity_connection("acc", URIS, "managedidentity", "my-client").credential
        token = await credential.get_token("https://storage.azure.com/.default")
        await credential.close()

    assert token.token == "t"
    assert [(each["resource"], each["client_id"]) for each in asked] == [("https://storage.azure.com", "my-client")]


@pytest.mark.parametrize(
    ("uris", "complaint"),
    [
        (URIS, "blobServiceUri, queueServiceUri, tableServiceUri is missing"),
        ({**URIS, "blob": "https://b", "queue": "https://q"}, "tableServiceUri is missing"),
    ],
)
def test_a_missing_service_uri_is_named(uris, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        identity_connection(None, uris, None, None)


def test_another_credential_is_refused():
    with pytest.raises(ConfigurationError, match="not 'password'"):
        identity_connection("acc", URIS, "password", None)


def test_a_missing_package_is_named_with_the_extra_that_brings_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)

    with pytest.raises(ConfigurationError, match=r"pip install 'durable-taskhub\[identity\]'"):
        identity_connection("acc", URIS, None, None)


@pytest.mark.parametrize(
    ("uris", "parts", "complaint"),
    [
        ({**URIS, "queue": "http://q.example"}, {}, r"queueServiceUri .* must begin with https://"),
        (URIS, {"client_secret": "s"}, "clientSecret of a storage connection needs clientId and tenantId"),
    ],
)
def test_parts_that_cannot_work_are_refused_without_showing_a_secret(uris, parts, complaint):
    with pytest.raises(ConfigurationError, match=complaint) as caught:
        identity_connection("acc", uris, None, None, **parts)

    assert "'s'" not in str(caught.value)


async def test_an_account_opens_by_identity():
    storage = await open_azure(
        blob_service_uri="https://b.example/",
        queue_service_uri="https://q.example/",
        table_service_uri="https://t.example",
    )

    assert storage.blobs.url_of("c", "n") == "https://b.example/c/n"
    assert storage.description == "Azure Storage at https://b.example"
    await storage.aclose()


def test_the_emulator_listens_only_where_all_three_services_do(monkeypatch):
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
    ports = {
        service: each.getsockname()[1] for service, each in zip(("blob", "queue", "table"), listening, strict=True)
    }
    monkeypatch.setattr(connection, "EMULATOR_PORTS", ports)

    with_all = emulator_is_listening()
    listening[2].close()
    with_two = emulator_is_listening()
    for each in listening:
        each.close()

    assert (with_all, with_two) == (True, False)


@pytest.mark.azurite
async def test_messages_of_other_clients_tell_when_they_expire(azurite):
    storage = await open_azure(connection_string=azurite)
    queue = f"expiry-{uuid4().hex[:12]}"
    await storage.queues.create_queue(queue)
    async with QueueClient.from_connection_string(azurite, queue, api_version="2021-12-02") as client:
        await client.send_message("for an hour", time_to_live=3600)
    await storage.queues.put(queue, "for ever")

    expiry = {each.text: each.expires for each in await storage.queues.get(queue, limit=2, invisible_for=1)}

    assert expiry["for ever"] is None
    assert expiry["for an hour"] - datetime.now(timezone.utc) == pytest.approx(
        timedelta(hours=1), abs=timedelta(minutes=1)
    )
    await storage.queues.delete_queue(queue)
    await storage.aclose()
