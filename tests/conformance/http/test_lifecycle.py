"""Lifecycle notifications: what the real extension posted for the same functions to a topic of Event Grid."""

import json
import re
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from aiohttp import web

from taskhub.host.durable_options import TopicOptions
from taskhub.host.lifecycle import Topic
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.lifecycle import LifecycleChange
from tests.support.lab import running_lab
from tests.support.receiver import receiving
from tests.support.recorded_http import EXTENSION

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")  # once for each process

LINES = (EXTENSION / "event_grid" / "http.jsonl").read_text("utf-8").splitlines()
RECORDED = [line for line in map(json.loads, LINES) if "notification" in line]
HUB = "EventGrid27165"
FRAMES = re.compile(r"StackTrace: .*", re.DOTALL)
CHILD = re.compile(r"^[0-9a-f-]{32,36}:1$")
CHANGE = LifecycleChange("Flow", InstanceId("i"), RuntimeStatus.Failed, Utc("2026-12-01T10:00:00.5Z"), "Message: no")


@asynccontextmanager
async def topic(*statuses):
    """Stand for a topic that gives some answers, then takes everything; yields its address and what was posted."""
    posts, left = [], list(statuses)

    async def take(request):
        posts.append((await request.json(), request.headers))
        return web.Response(status=left.pop(0) if left else 200)

    async with receiving("/topic", take) as address:
        yield f"{address}/topic", posts


def shape(event):
    (told,) = event
    datetime.fromisoformat(told["eventTime"][:26])
    assert re.fullmatch(r".{19}\.\d{7}Z", told["eventTime"])
    data = {**told["data"], "reason": FRAMES.sub("", told["data"]["reason"])}
    data["instanceId"] = CHILD.sub("child", data["instanceId"])
    return json.dumps({**told, "id": "", "eventTime": "", "data": data}, sort_keys=True)


async def test_the_posts_are_those_of_the_recording():
    async with topic(200, 503) as (address, posts), running_lab("event_grid", topic=address) as (module, lab):
        await module.drive(lab)

    assert {headers["aeg-sas-key"] for _, headers in posts} == {"the-key"}
    assert sorted(map(shape, [body for body, _ in posts])) == sorted(shape(line["notification"]) for line in RECORDED)
    first_refused = posts[1][0][0]["id"]
    assert [body[0]["id"] for body, _ in posts].count(first_refused) == 2, "the same event once more"


async def test_an_episode_is_stored_when_the_topic_was_told():
    order = []
    async with topic() as (address, posts), running_lab("event_grid", topic=address) as (_, lab):
        await lab.client.start_new("quick", "quick-1")
        await lab.wait("quick-1")
        order = [body[0]["data"]["runtimeStatus"] for body, _ in posts if body[0]["data"]["instanceId"] == "quick-1"]

    assert order == ["Running", "Completed"], "told before anybody could see it"


# ---- one post


def topic_of(address, sleeps, **options):
    async def sleep(seconds):
        sleeps.append(seconds)

    return Topic(TopicOptions(address, "key", **options), HUB, sleep)


@pytest.mark.parametrize(
    ("answers", "options", "posts", "is_told"),
    [
        ([200], {"retry_count": 3}, 1, True),
        ([503, 503, 200], {"retry_count": 2}, 3, True),
        ([503, 503, 200], {"retry_count": 1}, 2, False),
        ([500, 200], {"retry_count": 1}, 1, False),
        ([500, 200], {"retry_count": 1, "retry_statuses": frozenset({500})}, 2, True),
        ([400], {}, 1, False),
    ],
)
async def test_a_post_is_tried_again_as_often_as_is_set(caplog, answers, options, posts, is_told):
    sleeps = []
    async with topic(*answers) as (address, posted):
        telling = topic_of(address, sleeps, retry_seconds=7.0, **options)
        await telling.tell([CHANGE])
        await telling.aclose()

    assert (len(posted), sleeps) == (posts, [7.0] * (posts - 1))
    assert ("was not told that instance 'i' is Failed: it answered with" in caplog.text) is not is_told


async def test_a_topic_that_is_not_there_holds_nothing_up(caplog):
    sleeps = []
    telling = topic_of("http://127.0.0.1:9/topic", sleeps, retry_count=1)

    await telling.tell([CHANGE])
    await telling.aclose()

    assert len(sleeps) == 1
    assert "The topic http://127.0.0.1:9/topic was not told" in caplog.text


async def test_only_what_is_wanted_is_told():
    async with topic() as (address, posted):
        telling = topic_of(address, [], statuses=frozenset({RuntimeStatus.Completed}))
        await telling.tell([CHANGE])
        await telling.aclose()

    assert posted == []
