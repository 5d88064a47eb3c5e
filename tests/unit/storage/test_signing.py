"""Our signatures are those of the official clients; tokens are asked for as rarely as they can be."""

import asyncio
import time
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from aiohttp import web
from azure.core.credentials import AccessToken, AzureNamedKeyCredential, AzureSasCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.pipeline import PipelineContext, PipelineRequest
from azure.core.rest import HttpRequest

# Neither client shows its policy; a test may look behind the curtain.
from azure.data.tables._authentication import SharedKeyCredentialPolicy as TableKeyPolicy
from azure.storage.queue._shared.authentication import SharedKeyCredentialPolicy as QueueKeyPolicy
from hypothesis import given
from hypothesis import strategies as st

from taskhub.errors import ConfigurationError, StorageRefused
from taskhub.storage.azure.account import new_session
from taskhub.storage.azure.connection import SERVICES, Connection
from taskhub.storage.azure.requests import Requests
from taskhub.storage.azure.signing import AccountKey, signer_for

KEY = "a2V5IG9mIGFuIGFjY291bnQ="
HOST = "http://127.0.0.1:10001"
DATE = "Tue, 24 Nov 2026 12:32:21 GMT"

words = st.text("abcXYZ019-_.~ '+/=&%é@:,$", min_size=1, max_size=12).map(lambda text: quote(text, safe=""))
paths = st.lists(words, min_size=1, max_size=3).map(lambda parts: "/account/" + "/".join(parts))
# Names in lower case, as all that the queue service knows: the client sorts others by their capitals, against the rule.
queries = st.dictionaries(
    st.sampled_from(["comp", "visibilitytimeout", "popreceipt", "$filter", "numofmessages"]), words, max_size=4
).map(lambda options: "&".join(f"{name}={value}" for name, value in options.items()))
header_sets = st.fixed_dictionaries(
    {"x-ms-date": st.just(DATE), "x-ms-version": st.just("2020-12-06"), "User-Agent": st.just("durable-taskhub")},
    optional={
        "Content-Type": st.sampled_from(["application/xml", "application/json", "multipart/mixed; boundary=batch_1"]),
        "If-Match": st.sampled_from(["*", "W/\"datetime'2026'\""]),
        "Accept": st.just("application/json;odata=minimalmetadata"),
        "x-ms-client-request-id": words,
    },
)


def signed_by(policy, method, target, headers, body):
    request = HttpRequest(method, HOST + target, headers=headers, content=body)
    if body is None:
        request.headers.pop("Content-Length", None)
    policy.on_request(PipelineRequest(request, PipelineContext(None)))
    return request.headers["Authorization"]


@pytest.mark.parametrize("for_tables", [False, True], ids=["queue", "table"])
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE"]),
    path=paths,
    query=queries,
    headers=header_sets,
    body=st.sampled_from([None, b"x", b"x" * 2000]),
)
def test_an_account_key_signs_as_the_official_client_does(for_tables, method, path, query, headers, body):
    target = f"{path}?{query}" if query else path
    policy = TableKeyPolicy(AzureNamedKeyCredential("account", KEY)) if for_tables else QueueKeyPolicy("account", KEY)
    ours = dict(headers)

    sent_to = asyncio.run(
        AccountKey("account", KEY, for_tables=for_tables).sign(
            method, target, ours, content_length=0 if body is None else len(body)
        )
    )

    assert sent_to == target
    assert ours.pop("Authorization") == signed_by(policy, method, target, headers, body)
    assert ours == headers


def test_a_key_that_is_no_base64_is_refused_without_being_shown():
    with pytest.raises(ConfigurationError, match="AccountKey of storage account account is no base64") as caught:
        AccountKey("account", "s3cret", for_tables=True)

    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("target", "sent_to"), [("/q", "/q?sv=1&sig=x%3D"), ("/q?a=b", "/q?a=b&sv=1&sig=x%3D")])
async def test_a_shared_access_signature_goes_into_the_query(target, sent_to):
    signer = signer_for("queue", Connection({}, AzureSasCredential("?sv=1&sig=x%3D"), is_emulator=False))
    headers = {}

    assert await signer.sign("GET", target, headers, content_length=0) == sent_to
    assert headers == {}


class Identity:
    """Hands out tokens that are good for some seconds."""

    def __init__(self, seconds=3600.0):
        self.seconds = seconds
        self.given = 0

    async def get_token(self, *scopes, **_):
        assert scopes == ("https://storage.azure.com/.default",)
        await asyncio.sleep(0)
        self.given += 1
        return AccessToken(f"token-{self.given}", int(time.time() + self.seconds))


@pytest.fixture
async def service():
    """A server that takes any token but those in ``bad``, and writes down what it was shown."""

    subject = SimpleNamespace(shown=[], bad=set())

    async def handle(request):
        token = request.headers["Authorization"].removeprefix("Bearer ")
        subject.shown.append(token)
        return web.Response(status=401 if token in subject.bad else 201)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    subject.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield subject
    await runner.cleanup()


async def send(service, identity, times=1):
    endpoints = dict.fromkeys(SERVICES, service.url)
    async with new_session(is_emulator=False) as session:
        requests = Requests("queue", Connection(endpoints, identity, is_emulator=False), session)
        return await asyncio.gather(*(requests.send("a call", "PUT", "/q") for _ in range(times)))


async def test_many_requests_share_one_token(service):
    identity = Identity()

    answers = await send(service, identity, 20)

    assert {answer.status for answer in answers} == {201}
    assert service.shown == ["token-1"] * 20
    assert identity.given == 1


async def test_a_token_about_to_end_is_replaced(service):
    identity = Identity(seconds=200)

    await send(service, identity, 3)

    assert sorted(service.shown) == ["token-1", "token-2", "token-3"]


async def test_a_token_that_is_refused_is_replaced_once(service):
    service.bad = {"token-1", "token-2"}

    [answer] = await send(service, Identity())

    assert answer.status == 401
    assert service.shown == ["token-1", "token-2"]


async def test_without_a_token_the_account_stays_closed(service):
    class Nobody:
        async def get_token(self, *_, **__):
            raise ClientAuthenticationError("no identity on this machine")

    with pytest.raises(StorageRefused, match="no token for the storage account: no identity on this machine"):
        await send(service, Nobody())

    assert service.shown == []
