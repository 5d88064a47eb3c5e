"""What Event Grid posts: its handshakes, its events, and news of blobs."""

import json
import re

import azure.functions as func
import pytest

from taskhub.host.bindings import read_bindings
from taskhub.host.functions import Function
from taskhub.host.http_keys import KeyStore
from taskhub.host.triggers.blob_paths import wake_key_of
from tests.support.front import running_front

HOOK = "runtime/webhooks/EventGrid?functionName=Changed"
BLOBS = "runtime/webhooks/blobs?functionName=Host.Functions.on_blob"
NOTIFICATION = {"aeg-event-type": "Notification"}
VALIDATION = {"aeg-event-type": "SubscriptionValidation"}


def event_function(call, name="Changed", *, disabled=False):
    return Function(name, call, read_bindings([{"name": "event", "type": "eventGridTrigger"}]), None, disabled)


def blob_function():
    def on_blob(blob):
        pass

    trigger = {"name": "blob", "type": "blobTrigger", "path": "inbox/{name}", "source": "EventGrid"}
    return Function("on_blob", on_blob, read_bindings([trigger]), None)


def an_event(number):
    return {
        "id": str(number),
        "topic": "/subscriptions/s",
        "subject": "/blobServices/default/containers/c/blobs/b",
        "eventType": "Microsoft.Storage.BlobCreated",
        "eventTime": "2026-12-01T10:00:00.1234567Z",
        "data": {"url": "https://a.blob.core.windows.net/c/b"},
        "dataVersion": "1",
    }


async def test_each_event_of_a_post_runs_the_function():
    seen = []

    def changed(event: func.EventGridEvent):
        seen.append((event.id, event.event_type, event.subject, event.get_json()["url"], event.event_time.year))

    async with running_front(event_function(changed)) as front:
        status, _, text = await front.ask("POST", HOOK, json=[an_event(1), an_event(2)], headers=NOTIFICATION)
        assert (status, text) == (202, "")
        assert await front.code("POST", HOOK.lower(), json=an_event(3), headers=NOTIFICATION) == 202

    assert sorted(seen) == [
        (
            str(number),
            "Microsoft.Storage.BlobCreated",
            "/blobServices/default/containers/c/blobs/b",
            "https://a.blob.core.windows.net/c/b",
            2026,
        )
        for number in (1, 2, 3)
    ]
    reason = r"Reason='EventGrid trigger fired at \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{7}\+00:00'"
    assert len(re.findall(reason, front.console.getvalue())) == 3


async def test_events_of_cloudevents_come_as_such():
    seen = []

    def changed(event: func.CloudEvent):
        seen.append((event.id, event.source, event.type))

    posted = {"specversion": "1.0", "id": "1", "source": "/x", "type": "t", "data": {}}
    async with running_front(event_function(changed)) as front:
        assert await front.code("POST", HOOK, json=posted, headers=NOTIFICATION) == 202

    assert seen == [("1", "/x", "t")]


async def test_a_post_comes_again_when_one_of_its_events_failed():
    def changed(event: func.EventGridEvent):
        if event.id == "2":
            raise ValueError("not today")

    async with running_front(event_function(changed)) as front:
        assert await front.code("POST", HOOK, json=[an_event(1), an_event(2)], headers=NOTIFICATION) == 500

    assert "ValueError: not today" in front.console.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        [{"id": "1", "eventType": "x", "data": {"validationCode": "512d38b6", "validationUrl": "https://x"}}],
        {"specversion": "1.0", "data": '{"validationCode": "512d38b6"}'},
        {"specversion": "1.0", "data": {"validationCode": "512d38b6"}},
    ],
)
@pytest.mark.parametrize("hook", [HOOK, BLOBS])
async def test_the_handshake_gives_the_code_back(hook, body):
    def changed(event):
        raise AssertionError

    async with running_front(event_function(changed), blob_function()) as front:
        status, headers, text = await front.ask("POST", hook, json=body, headers=VALIDATION)

    assert (status, json.loads(text)) == (200, {"validationResponse": "512d38b6"})
    assert headers["content-type"].startswith("application/json")


async def test_the_handshake_of_cloudevents_names_who_asked():
    async with running_front(event_function(lambda event: None)) as front:
        asked = {"WebHook-Request-Origin": "eventgrid.azure.net"}
        status, headers, _ = await front.ask("OPTIONS", HOOK, headers=asked)

    assert (status, headers["webhook-allowed-origin"]) == (200, "eventgrid.azure.net")


async def test_news_of_a_blob_have_its_container_looked_at():
    async with running_front(blob_function()) as front:
        assert await front.code("POST", BLOBS, json=[an_event(1)], headers=NOTIFICATION) == 202

    assert front.woken == [wake_key_of("inbox")]


@pytest.mark.parametrize("hook", [HOOK, BLOBS, "runtime/webhooks/eventgrid", "runtime/webhooks/blobs?functionName="])
async def test_a_function_that_is_not_there_is_404_with_its_name(hook):
    async with running_front(event_function(lambda event: None, disabled=True)) as front:
        status, _, text = await front.ask("POST", hook, json=[an_event(1)], headers=NOTIFICATION)

    assert (status, text) == (404, f"cannot find function: '{hook.partition('=')[2]}'")


@pytest.mark.parametrize(
    ("body", "headers", "why"),
    [
        (b"[{}]", {}, "the header aeg-event-type is ''"),
        (b"[{}]", {"aeg-event-type": "Surprise"}, "the header aeg-event-type is 'surprise'"),
        (b"nonsense", NOTIFICATION, "the body is no JSON"),
        (b"[1]", NOTIFICATION, "the body must be an event"),
        (b"[]", VALIDATION, "the body has no data.validationCode"),
        (b'[{"data": 5}]', VALIDATION, "the body has no data.validationCode"),
    ],
)
async def test_what_is_no_post_of_event_grid_is_refused_with_the_reason(body, headers, why):
    async with running_front(event_function(lambda event: None)) as front:
        status, _, text = await front.ask("POST", HOOK, data=body, headers=headers)

    assert status == 400
    assert text.startswith(why)


async def test_a_subscription_that_ends_is_taken_note_of():
    async with running_front(event_function(lambda event: None)) as front:
        assert await front.code("POST", HOOK, json=[], headers={"aeg-event-type": "Unsubscribe"}) == 202


async def test_each_webhook_has_a_key_of_its_own(tmp_path):
    keys = KeyStore(tmp_path / "secrets")

    async with running_front(event_function(lambda event: None), blob_function(), keys=keys) as front:
        system = keys.host().system
        assert set(system) == {"durabletask_extension", "eventgrid_extension", "blobs_extension"}
        for name, key in {**system, "master": keys.host().master, "none": ""}.items():
            for hook, own in ((HOOK, "eventgrid_extension"), (BLOBS, "blobs_extension")):
                status = await front.code("POST", f"{hook}&code={key}", json=[], headers=NOTIFICATION)
                assert status == (202 if name in (own, "master") else 401), (name, hook)
        assert await front.code("GET", f"runtime/webhooks/durabletask/x?code={system['eventgrid_extension']}") == 401


async def test_an_app_without_such_functions_makes_no_such_keys(tmp_path):
    keys = KeyStore(tmp_path / "secrets")

    async with running_front(keys=keys):
        assert set(keys.host().system) == {"durabletask_extension"}
