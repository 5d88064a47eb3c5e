"""Timers, queues and blobs of an app in real hosts: one process or several, embedded or Azurite, killed in between."""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

APP = Path(__file__).parents[1] / "apps" / "triggers"


@pytest.fixture
def app(tmp_path):
    return shutil.copytree(APP, tmp_path / "triggers")


def post_order(host, **order):
    request = urllib.request.Request(f"{host.url}/api/orders", data=json.dumps(order).encode(), method="POST")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status == 202


def output_of(host, instance_id, seconds=30):
    url = f"{host.url}/runtime/webhooks/durabletask/instances/{instance_id}"
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(url, timeout=30) as answer:
            status = json.loads(answer.read())
            if status["runtimeStatus"] == "Completed":
                return status["output"]
        assert time.monotonic() < deadline, host.output()
        time.sleep(0.05)


@pytest.mark.parametrize("workers", [1, 2])
def test_an_order_goes_through_queue_blob_and_queue_to_an_orchestration(start_host, app, store, workers):
    host = start_host(app, "--workers", str(workers), **store)

    post_order(host, id=7, name="Ada")
    post_order(host, id=8, name="Bob", fails=True)

    assert output_of(host, "order-7") == "Thank you, Ada!"
    host.wait_for("Message has reached MaxDequeueCount of 2. Moving message to queue 'orders-poison'.")
    host.wait_for("tick: on time")
    text = host.output()
    assert "The 'elsewhere' function is in error: binding type 'eventHubTrigger' is not supported by this host." in text
    assert "Reason='New queue message detected on 'orders'.'" in text
    assert "Exception: ValueError: no stock for 8, attempt 2" in text
    assert text.count("Executing 'Functions.tick'") == 1, "one timer, however many processes"
    assert host.stop() == 0


def test_an_event_brings_the_blob_that_it_names_to_an_orchestration(start_host, app, store):
    host = start_host(app, **store)
    letter = urllib.request.Request(f"{host.url}/api/letters/a%20b", data=b"Ada", method="PUT")
    with urllib.request.urlopen(letter, timeout=30) as answer:
        assert answer.status == 201
    url = "https://account.blob.core.windows.net/letters/a%20b.txt"
    event = {"id": "1", "eventType": "Microsoft.Storage.BlobCreated", "subject": "s", "data": {"url": url}}

    post = urllib.request.Request(
        f"{host.url}/runtime/webhooks/EventGrid?functionName=letter_came",
        data=json.dumps([event]).encode(),
        headers={"aeg-event-type": "Notification"},
        method="POST",
    )
    with urllib.request.urlopen(post, timeout=30) as answer:
        assert answer.status == 202

    assert output_of(host, "letter-1") == "Thank you, Ada!"
    assert "\tletter_came: eventGridTrigger" in host.output()


def test_a_host_that_is_killed_makes_up_for_the_time_its_timer_missed(start_host, app, tmp_path):
    options = {"storage": f"embedded:{tmp_path / 'hub.db'}", "environment": {"SCHEDULE": "0 * * * * *"}}
    first = start_host(app, **options)
    first.wait_for("tick: on time")
    first.kill()
    # As if it had been down over a minute: what is stored says that it was due before now.
    _be_due_in_the_past(tmp_path / "hub.db")

    second = start_host(app, **options)

    second.wait_for("Trigger Details: UnscheduledInvocationReason: IsPastDue, OriginalSchedule: 2020-01-01T00:01:00")
    second.wait_for("tick: late")


def _be_due_in_the_past(path):
    status = {
        "Last": "2020-01-01T00:00:00+00:00",
        "Next": "2020-01-01T00:01:00+00:00",
        "LastUpdated": "2020-01-01T00:00:00+00:00",
    }
    with sqlite3.connect(path) as db:
        changed = db.execute(
            "UPDATE blobs SET data = ? WHERE name LIKE 'timers/%/Host.Functions.tick/status'",
            (json.dumps(status).encode(),),
        )
        assert changed.rowcount == 1
    db.close()
