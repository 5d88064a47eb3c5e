"""The code of the page about HTTP calls, against a real server."""

import json
from pathlib import Path

import pytest

from tests.support.http_target import running_target
from tests.support.http_world import play_http
from tests.support.pages import run_page

PAGE = Path(__file__).parents[3] / "docs/howto/http-calls.md"


@pytest.fixture
def names(tmp_path):
    return run_page(PAGE, tmp_path)


@pytest.fixture
def target():
    with running_target() as server:
        yield server


def run(target, function, given=None):
    """Run an orchestrator with every address replaced by one of the server."""

    def at_target(context):
        really = context.call_http

        def call(method, uri, *args, **options):
            what = "echo" if "prices" in uri else "busy" if "slow" in uri else "start"
            return really(method, f"{target.base}/{what}", *args, **options)

        context.call_http = call
        return (yield from function(context))

    async def test(hub):
        await hub.worker()
        return await hub.end(await hub.start("Flow", given), within=100_000)

    ended = play_http({"Flow": at_target}, test)
    return json.loads(ended.output) if ended.output else None


def test_a_request_gives_its_content(names, target):
    assert json.loads(run(target, names["price"], "tea"))["method"] == "GET"


def test_a_report_is_asked_for_until_it_is_there(names, target):
    assert run(target, names["report"]) == "done"
    assert target.seen[0].body == b'{"year": 2026}'
    assert len(target.seen) == 3


def test_a_report_that_takes_too_long_is_given_up(names, target):
    target.retry_after = "1000"
    assert run(target, names["report_or_nothing"]) == "done"

    target.polls_before_done = 100
    assert run(target, names["report_or_nothing"]) is None


def test_a_busy_server_is_tried_again(names, target):
    assert run(target, names["patient"]) == 200
    assert len(target.seen) == 3


def test_the_identity_is_asked_for_a_token(names):
    class Context:
        def call_http(self, method, uri, token_source):
            return token_source.to_json()

    assert next(names["machines"](Context())) == {
        "kind": "AzureManagedIdentity",
        "resource": "https://management.core.windows.net",
    }
