"""The built-in HTTP activity against a real server: what it sends, what it makes of answers, how it fails."""

import asyncio
import gzip
import json
import socket
import sys
from dataclasses import dataclass

import pytest
from aiohttp import web

from taskhub.host.http_activity import HttpActivity
from taskhub.host.http_calls import HttpCallFailed, TokenRequest
from taskhub.host.http_tokens import Tokens
from taskhub.runtime.application import ActivityFailed, ActivitySucceeded
from tests.support.http_target import running_target


@pytest.fixture
def target():
    with running_target() as server:
        yield server


@pytest.fixture
async def activity():
    found = HttpActivity(max_response_bytes=100_000)
    yield found
    await found.aclose()


async def run(activity, **request):
    outcome = await activity.run(json.dumps([request]))
    return json.loads(outcome.result) if isinstance(outcome, ActivitySucceeded) else outcome


async def test_a_request_is_sent_as_the_extension_sends_it(activity, target):
    await run(activity, method="POST", uri=target.base + "/echo?a=1", content="x", headers={"X-List": ["a", "b"]})

    (seen,) = target.seen
    assert (seen.method, seen.path, seen.body) == ("POST", "/target/echo?a=1", b"x")
    assert seen.headers.pop("User-Agent").startswith("durable-taskhub/")
    seen.headers.pop("Host")
    assert seen.headers == {"Content-Length": "1", "Content-Type": "text/plain", "X-List": "a, b"}


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        (None, "text/plain"),
        ("application/json", "application/json"),
        ("application/json; charset=latin-1", "application/json; charset=latin-1"),
        ("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-8"),
    ],
)
async def test_a_body_has_the_type_that_was_given(activity, target, given, sent):
    headers = {} if given is None else {"content-type": given}

    await run(activity, method="PUT", uri=target.base + "/echo", content="ä", headers=headers)

    assert target.seen[0].headers["Content-Type"] == sent
    assert target.seen[0].body == "ä".encode()


async def test_a_large_body_is_sent_whole(activity, target):
    target.made.append(web.Response(text="taken"))

    await run(activity, method="POST", uri=target.base + "/made", content="x" * 2_000_000)

    assert target.seen[0].body == b"x" * 2_000_000
    assert target.seen[0].headers["Content-Length"] == "2000000"


async def test_what_a_query_escapes_arrives_as_it_was_written(activity, target):
    signed = "/echo?sig=a%2Fb%3D%41+c&x=ü y"

    await run(activity, uri=target.base + signed)

    assert target.paths() == ["GET /target/echo?sig=a%2Fb%3D%41+c&x=%C3%BC%20y"]


async def test_an_own_user_agent_stands_before_ours(activity, target):
    await run(activity, uri=target.base + "/echo", headers={"user-agent": "mine/1"})

    assert target.seen[0].headers["User-Agent"].startswith("mine/1 durable-taskhub/")


async def test_an_answer_shows_the_headers_of_the_response_and_not_those_of_its_content(activity, target):
    response = web.Response(text="text", headers={"etag": '"1"', "vary": "A, B", "X-Own": "a, b", "Expires": "0"})
    response.headers.add("Set-Cookie", "a=1")
    response.headers.add("Set-Cookie", "b=2")
    response.headers["Server"] = "one/1 (with a comment) two/2"
    target.made.append(response)

    found = await run(activity, uri=target.base + "/made")

    del found["headers"]["Date"]
    assert found == {
        "statusCode": 200,
        "headers": {
            "ETag": '"1"',
            "Vary": ["A", "B"],
            "X-Own": "a, b",
            "Set-Cookie": ["a=1", "b=2"],
            "Server": ["one/1", "(with a comment)", "two/2"],
        },
        "content": "text",
    }


@pytest.mark.parametrize(
    ("body", "content_type", "text"),
    [
        ("grün".encode("latin-1"), "text/plain; charset=iso-8859-1", "grün"),
        ("grün".encode("utf-16"), "text/plain", "grün"),
        ("grün".encode("utf-8-sig"), 'text/plain; charset="utf-8"', "grün"),
        (b"\xff\xd8\xff\xe0\x00", "image/jpeg", "\ufffd\ufffd\ufffd\ufffd\x00"),
        (b"", "application/json", ""),
    ],
)
async def test_a_body_is_given_as_text_whatever_it_is(activity, target, body, content_type, text):
    target.made.append(web.Response(body=body, headers={"Content-Type": content_type}))

    assert (await run(activity, uri=target.base + "/made"))["content"] == text


async def test_a_character_set_that_nobody_knows_is_a_failure(activity, target):
    target.made.append(web.Response(body=b"x", headers={"Content-Type": "text/plain; charset=klingon"}))

    outcome = await run(activity, uri=target.base + "/made")

    assert "The character set 'klingon' in ContentType is invalid" in outcome.reason


async def test_a_compressed_body_is_read(activity, target):
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/plain"}
    target.made.append(web.Response(body=gzip.compress(b"small"), headers=headers))

    assert (await run(activity, uri=target.base + "/made"))["content"] == "small"


async def test_a_body_beyond_the_limit_is_a_failure_that_names_it(activity, target):
    target.made.append(web.Response(body=b"x" * 100_001))

    outcome = await run(activity, uri=target.base + "/made")

    assert outcome.reason.startswith("The response is larger than 100000 bytes, the most that call_http takes.")


# ---- redirections


@pytest.mark.parametrize(
    ("status", "method", "then"),
    [
        (301, "POST", "GET"),
        (302, "POST", "GET"),
        (302, "PUT", "PUT"),
        (303, "PUT", "GET"),
        (303, "HEAD", "HEAD"),
        (307, "POST", "POST"),
        (308, "PUT", "PUT"),
    ],
)
async def test_redirections_are_followed_as_net_s_client_does(activity, target, status, method, then):
    target.made.append(web.Response(status=status, headers={"Location": "echo?on"}))

    await run(
        activity,
        method=method,
        uri=target.base + "/made",
        content="x",
        headers={"Authorization": "Basic eA==", "X": "y"},
    )

    assert target.paths() == [f"{method} /target/made", f"{then} /target/echo?on"]
    assert "Authorization" not in target.seen[1].headers
    assert target.seen[1].headers["X"] == "y"
    assert target.seen[1].body == (b"x" if then == method else b"")


async def test_another_host_gets_no_cookie_and_no_function_key(activity, target):
    with running_target() as other:
        target.made.append(web.Response(status=307, headers={"Location": other.base + "/echo"}))

        await run(activity, uri=target.base + "/made", headers={"Cookie": "a=1", "x-functions-key": "k", "X": "y"})

        kept = other.seen[0].headers
    assert {"Cookie", "x-functions-key"}.isdisjoint(kept)
    assert kept["X"] == "y"


@pytest.mark.parametrize("location", [None, "ftp://x.test/"])
async def test_a_redirection_that_leads_nowhere_is_the_answer(activity, target, location):
    headers = {} if location is None else {"Location": location}
    target.made.append(web.Response(status=302, headers=headers))

    assert (await run(activity, uri=target.base + "/made"))["statusCode"] == 302


async def test_redirections_without_end_give_the_last_one(activity, target):
    target.made.extend(web.Response(status=302, headers={"Location": "made"}) for _ in range(60))

    assert (await run(activity, uri=target.base + "/made"))["statusCode"] == 302
    assert len(target.seen) == 51


# ---- failures


def details_of(outcome):
    assert isinstance(outcome, ActivityFailed)
    assert outcome.details is not None
    return json.loads(outcome.details)


async def test_a_refused_connection_reads_as_recorded(activity):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]

    outcome = await run(activity, uri=f"http://127.0.0.1:{port}/none")

    details = details_of(outcome)
    assert outcome.reason == f"Connection refused (127.0.0.1:{port})"
    assert details["$type"] == "System.Net.Http.HttpRequestException, System.Net.Http"
    assert details["Message"] == outcome.reason
    assert details["InnerException"]["$type"].startswith("System.Net.Sockets.SocketException,")


async def test_a_host_that_does_not_exist_is_named(activity):
    outcome = await run(activity, uri="http://nowhere.invalid/")

    assert outcome.reason.endswith("(nowhere.invalid:80)")


async def test_a_connection_that_ends_early_is_a_failure(activity, target):
    outcome = await run(activity, uri=target.base + "/cut")

    assert outcome.reason.startswith("An error occurred while sending the request.")


async def test_a_request_takes_no_longer_than_its_timeout(activity, target):
    outcome = await run(activity, uri=target.base + "/slow", timeout="00:00:00.0500000")

    assert outcome.reason == "Reached user specified timeout: 00:00:00.0500000."
    assert details_of(outcome)["ClassName"] == "System.TimeoutException"


async def test_without_a_timeout_there_is_the_default_one(activity, target, monkeypatch):
    monkeypatch.setattr("taskhub.host.http_activity.DEFAULT_TIMEOUT_SECONDS", 0.05)

    outcome = await run(activity, uri=target.base + "/slow")

    assert outcome.reason == (
        "The request was canceled due to the configured HttpClient.Timeout of 240 seconds elapsing."
    )


async def test_a_negative_timeout_is_none_at_all(activity, target):
    assert (await run(activity, uri=target.base + "/echo", timeout="-00:00:00.001"))["statusCode"] == 200


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"uri": "/relative"}, "An invalid request URI was provided. The request URI must be an absolute URI."),
        ({}, "An invalid request URI was provided. The request URI must be an absolute URI."),
        ({"uri": "ftp://x.test"}, "The 'ftp' scheme is not supported."),
        ({"uri": "http://x.test:port/"}, "Invalid URI: 'http://x.test:port/' cannot be read."),
        ({"uri": "http://x.test", "method": "A B"}, "The format of the HTTP method 'A B' is invalid."),
        ({"uri": "http://x.test", "headers": {"X": "a\r\nB: c"}}, "The format of header 'X' is invalid."),
        ({"uri": "http://x.test", "headers": {"X Y": "a"}}, "The format of header 'X Y' is invalid."),
        ({"uri": "http://x.test", "timeout": "soon"}, "The timeout 'soon' is no time span \"hh:mm:ss\"."),
        ({"uri": "http://x.test", "tokenSource": {"kind": "Magic"}}, "The token source kind 'Magic' is not supported."),
        (
            {"uri": "http://x.test", "headers": {"content-type": "multipart/form-data; boundary=x"}},
            "Multipart content is not supported with CallHttpAsync.",
        ),
    ],
)
async def test_what_cannot_be_sent_is_a_failure_that_says_why(activity, request_, reason):
    outcome = await run(activity, **request_)

    assert isinstance(outcome, ActivityFailed)
    assert outcome.reason == reason


@pytest.mark.parametrize("payload", [None, "", "[]", "[5]", "no json", '["no json"]'])
async def test_an_input_that_is_no_request_is_a_failure(activity, payload):
    outcome = await activity.run(payload)

    assert outcome.reason == "The input of the HTTP activity is no request: it must be a JSON object."


async def test_a_request_may_be_text_within_the_array(activity, target):
    outcome = await activity.run(json.dumps([json.dumps({"Uri": target.base + "/echo"})]))

    assert json.loads(outcome.result)["statusCode"] == 200


@pytest.mark.parametrize(
    ("codes", "status", "is_failure"),
    [([503], 503, True), ([503], 500, False), ([], 500, True), ([], 404, True), ([], 204, False), (None, 503, False)],
)
async def test_statuses_are_failures_only_where_they_are_to_be_retried(activity, target, codes, status, is_failure):
    target.made.append(web.Response(status=status))
    options = None if codes is None else {"StatusCodesToRetry": codes, "MaxNumberOfAttempts": 2}

    outcome = await run(activity, uri=target.base + "/made", retryOptions=options)

    assert isinstance(outcome, ActivityFailed) is is_failure


@pytest.mark.parametrize(
    ("status", "name"),
    [(500, "InternalServerError"), (429, "TooManyRequests"), (413, "RequestEntityTooLarge"), (599, "599")],
)
async def test_a_status_to_retry_after_has_net_s_name(activity, target, status, name):
    target.made.append(web.Response(status=status))

    outcome = await run(activity, uri=target.base + "/made", retryOptions={})

    assert outcome.reason == f"Status code {name} received, retry requested."


# ---- tokens


@dataclass
class Token:
    token: str
    expires_on: float


class Identity:
    """Stands for a credential of azure-identity, which needs a cloud."""

    def __init__(self, *tokens, error=None):
        self.tokens, self.error = list(tokens), error
        self.asked, self.is_closed = [], False

    async def get_token(self, *scopes, **options):
        await asyncio.sleep(0)
        self.asked.append((scopes, options))
        if self.error is not None:
            raise self.error
        return self.tokens.pop(0)

    async def close(self):
        self.is_closed = True


def source(resource, **options):
    return {"kind": "AzureManagedIdentity", "resource": resource, "options": options or None}


async def test_a_token_of_the_identity_is_the_authorization(target):
    identity = Identity(Token("secret", 10_000))
    activity = HttpActivity(Tokens(lambda authority: identity, now=lambda: 0))

    await run(
        activity,
        uri=target.base + "/echo",
        headers={"Authorization": "Basic eA=="},
        tokenSource=source("https://management.core.windows.net/"),
    )
    await activity.aclose()

    assert target.seen[0].headers["Authorization"] == "Bearer secret"
    assert identity.asked == [(("https://management.core.windows.net/.default",), {})]
    assert identity.is_closed


@pytest.mark.parametrize(
    ("resource", "scope"),
    [
        ("https://management.core.windows.net", "https://management.core.windows.net/.default"),
        ("https://graph.microsoft.com/", "https://graph.microsoft.com/.default"),
        ("https://vault.azure.net", "https://vault.azure.net"),
        ("api://mine/.default", "api://mine/.default"),
    ],
)
async def test_a_resource_becomes_a_scope_as_in_the_extension(target, resource, scope):
    identity = Identity(Token("t", 10_000))
    activity = HttpActivity(Tokens(lambda authority: identity, now=lambda: 0))

    await run(activity, uri=target.base + "/echo", tokenSource=source(resource))
    await activity.aclose()

    assert identity.asked == [((scope,), {})]


async def test_authority_and_tenant_reach_the_credential(target):
    identity, authorities = Identity(Token("t", 10_000)), []

    def make(authority):
        authorities.append(authority)
        return identity

    activity = HttpActivity(Tokens(make, now=lambda: 0))
    await run(
        activity,
        uri=target.base + "/echo",
        tokenSource=source("r", authorityhost="https://login.microsoftonline.us/", tenantid="me"),
    )
    await activity.aclose()

    assert authorities == ["https://login.microsoftonline.us/"]
    assert identity.asked == [(("r",), {"tenant_id": "me"})]


async def test_a_fan_out_asks_for_one_token_and_keeps_it_until_shortly_before_its_end():
    now = [0.0]
    identity = Identity(Token("first", 1000), Token("second", 2000))
    tokens = Tokens(lambda authority: identity, now=lambda: now[0])

    found = await asyncio.gather(*(tokens.get(TokenRequest("r")) for _ in range(20)))
    now[0] = 699
    found.append(await tokens.get(TokenRequest("r")))
    now[0] = 701
    later = await tokens.get(TokenRequest("r"))

    assert (set(found), later, len(identity.asked)) == ({"first"}, "second", 2)


async def test_an_identity_that_is_refused_is_a_failure_and_not_remembered():
    identity = Identity(Token("t", 10_000), error=RuntimeError("no identity here\nlong story"))
    tokens = Tokens(lambda authority: identity, now=lambda: 0)

    with pytest.raises(HttpCallFailed, match=r"No token for 'r': RuntimeError: no identity here$"):
        await tokens.get(TokenRequest("r"))
    identity.error = None

    assert await tokens.get(TokenRequest("r")) == "t"


async def test_without_azure_identity_the_failure_says_what_to_install(activity, target, monkeypatch):
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)

    outcome = await run(activity, uri=target.base + "/echo", tokenSource=source("r"))

    assert "needs the package azure-identity" in outcome.reason
    assert "pip install 'durable-taskhub[identity]'" in outcome.reason
    assert target.seen == []


async def test_the_real_library_gets_the_token_of_an_app_service(activity, target, monkeypatch):
    """The endpoint by which App Service hands out tokens of its identity, played by the server."""
    monkeypatch.setenv("IDENTITY_ENDPOINT", target.base + "/made")
    monkeypatch.setenv("IDENTITY_HEADER", "proof")
    target.made.append(web.json_response({"access_token": "real", "expires_on": "4102444800", "resource": "r"}))

    found = await run(activity, uri=target.base + "/echo", tokenSource=source("https://vault.azure.net/.default"))

    asked, sent = target.seen
    assert asked.headers["X-IDENTITY-HEADER"] == "proof"
    assert "resource=https" in asked.path
    assert sent.headers["Authorization"] == "Bearer real"
    assert found["statusCode"] == 200


def test_requests_in_logs_show_no_user_and_no_query(caplog):
    from taskhub.host.http_calls import read_call

    call = read_call(json.dumps([{"uri": "https://user:pass@x.test:8443/path?code=secret#part"}]))

    assert call.described() == "GET https://x.test:8443/path"
