"""Every recorded request to the management API, answered over the state that the hub was in: the answers agree.

The hub is the recording's own (``tests.support.recorded_http``), so this is about requests, decisions and bodies. Flows
through a real hub are in ``test_scenarios.py``; a test here sees that no request is left out by both.
"""

import json
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from taskhub.errors import ConfigurationError, UnknownFunction
from taskhub.host.durable_options import read_durable_options
from taskhub.host.management import Hubs, Management
from taskhub.host.routes import Target
from taskhub.model.ids import Utc
from taskhub.storage.memory import open_memory
from tests.support.recorded_http import EXTENSION, RecordedHub, exchanges, guid_in, settings_of

ALL = tuple(sorted(folder.name for folder in EXTENSION.iterdir() if (folder / "http.jsonl").is_file()))
LIVE_ONLY = (
    "continue_as_new",
    "custom_status",
    "entity_counter",
    "entity_http",
    "entity_signals_entity",
    "http_purge_restart_rewind",
)
"""Entities, generations and instances that were purged: what a request saw cannot be told from what is left.
``test_scenarios`` runs these, where all their answers are compared (``test_entity_scenarios``: of ``entity_http``)."""

# Recorded of 3.15; this host does better, or differs on purpose.
REFUSED_HERE = {
    "http_start": {
        "nowhere": "an unknown orchestrator is refused",
        "nowhere/unknown-1": "an unknown orchestrator is refused",
        "Echo/%40at": "an id with @ is refused",
        "Echo/a%5Cb": "an id with a backslash is refused",
        "Echo/a%23b": "an id with # is refused",
        "Echo/a%3Fb": "an id with ? is refused",
        "Echo/a%01b": "an id with a control character is refused",
        "Echo/" + "i" * 257: "an id of 257 characters is refused",
    }
}
# The recording's storage no longer knows what these saw, or they are about more than the hub. Each has a live test.
NOT_IN_THE_STATE = {
    "http_start": lambda each: "dup-1" in each.path,
    "http_status": lambda each: "taskHub=Other1" in each.path,
    "overridable_any_state": lambda each: each.path == "/makeprimary",
}


class KnownFunctions:
    """Functions of the scenarios: all that anybody asks for but one."""

    def find_orchestrator(self, name):
        if name == "nowhere":
            raise UnknownFunction(f"The function '{name}' doesn't exist")

    def check_entity(self, name):
        assert name == "box"


def is_tested_here(scenario, each):
    return scenario not in LIVE_ONLY and not NOT_IN_THE_STATE.get(scenario, lambda _: False)(each)


def cases():
    for scenario in ALL:
        for each in exchanges(scenario):
            if is_tested_here(scenario, each):
                yield pytest.param(scenario, each, id=f"{scenario} {each}")


def management(scenario, hub):
    async def open_connection(setting):
        raise ConfigurationError(f"Unable to resolve the Azure Storage connection named '{setting}'.")

    recorded = settings_of(scenario)
    http = {
        key.partition(":")[2]: value for key, value in recorded["settings"].items() if key.startswith("httpSettings:")
    }
    options = read_durable_options({"httpSettings": http}, {}, hub=recorded["hub"])
    hubs = Hubs(options, hub, None, open_connection)
    return Management(hubs, KnownFunctions(), use_forwarded_host=options.use_forwarded_host)


def without_key(text):
    """Local hosts ask for no key, so that their URLs hold none."""
    return text.replace("&code=system-key", "")


def comparable(body):
    if not body:
        return body
    value = json.loads(body)
    if isinstance(value, dict) and "ExceptionMessage" in value:
        value["StackTrace"] = None
        if value["Message"] == "Invalid JSON content":
            value["ExceptionMessage"] = "..."
        if value["ExceptionType"] == "DurableTask.AzureStorage.Storage.DurableTaskStorageException":
            value["ExceptionType"] = "System.ArgumentException"  # of a negative `top`, which is refused at once here
        if value["ExceptionType"] == "System.ArgumentException":
            value["ExceptionMessage"] = "..."
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, dict) and each.get("runtimeStatus") in ("Running", "Pending", "Suspended"):
            # The row that storage holds is a later one.
            each.pop("lastUpdatedTime")
    return list(value.items()) if isinstance(value, dict) else value


def expected_header(exchange, name):
    if exchange.path == "/instances?top=0" and name == "x-ms-continuation-token":
        return "*"  # a page of no rows needs no query here, so that its token is not the emulator's
    return without_key(exchange.headers[name]) if name in exchange.headers else None


def hub_at(scenario, exchange):
    """The hub as it was when the request came."""
    hub = RecordedHub(scenario)
    hub.next_id, hub.until = guid_in(exchange.response), exchange.at
    hub.at = exchange.at if exchange.method == "GET" else exchange.before
    if exchange.path.startswith("/orchestrators/") and exchange.status < 300:
        # How long it took is not recorded, but when the instance was created is.
        segments = exchange.path.partition("?")[0].split("/")
        created = hub.created(segments[3] if len(segments) > 3 else hub.next_id)
        hub.at = Utc.parse(created).plus(timedelta(milliseconds=-1)) if created else hub.at
    return hub


@pytest.mark.parametrize(("scenario", "exchange"), list(cases()))
async def test_recorded_request_is_answered_alike(scenario, exchange):
    answer = await management(scenario, hub_at(scenario, exchange)).handle(exchange.as_request())

    if exchange.path.removeprefix("/orchestrators/") in REFUSED_HERE.get(scenario, {}):
        assert (answer.status, exchange.status) == (400, 202)
        assert "ExceptionMessage" in json.loads(answer.body)
        return
    assert answer.status == exchange.status
    assert comparable(answer.body or "") == comparable(without_key(exchange.response))
    for name in ("Location", "Retry-After", "x-ms-continuation-token"):
        assert answer.headers.get(name) == expected_header(exchange, name)
    assert answer.content_type == exchange.headers.get("Content-Type")


async def test_nobody_is_waited_for_who_is_gone():
    exchange = next(each for each in exchanges("http_start") if "wait-2?" in each.path)
    hub = hub_at("http_start", exchange)
    request = replace(exchange.as_request(), query="timeout=31536000&pollingInterval=1", is_abandoned=lambda: True)

    answer = await management("http_start", hub).handle(request)

    assert (answer.status, hub.waits) == (202, [(5.0, 1.0)])


async def test_nobody_polls_without_a_pause():
    exchange = next(each for each in exchanges("http_start") if "wait-2?" in each.path)
    hub = hub_at("http_start", exchange)

    await management("http_start", hub).handle(replace(exchange.as_request(), query="timeout=12&pollingInterval=0"))

    assert hub.waits == [(5.0, 0.05), (5.0, 0.05), (2.0, 0.05)]


def test_no_recorded_request_is_left_out():
    named = {
        (scenario, each.method, each.path.partition("?")[0])
        for scenario in ALL
        for each in exchanges(scenario)
        if scenario not in LIVE_ONLY and not is_tested_here(scenario, each)
    }

    assert len(ALL) == 31
    assert sum(len(exchanges(scenario)) for scenario in ALL) == 609
    assert sum(is_tested_here(scenario, each) for scenario in ALL for each in exchanges(scenario)) == 455
    assert named == {
        ("http_start", "POST", "/orchestrators/slow/dup-1"),
        ("http_start", "POST", "/orchestrators/Echo/dup-1"),
        ("http_start", "POST", "/instances/dup-1/terminate"),
        ("http_start", "GET", "/instances/dup-1"),
        ("http_status", "GET", "/instances"),
        ("overridable_any_state", "POST", "/makeprimary"),
    }


async def test_requests_that_name_ever_new_hubs_fill_no_memory():
    options = read_durable_options({}, {}, hub="Own")
    hubs = Hubs(options, RecordedHub("http_start"), open_memory(now=lambda: datetime.now(timezone.utc)), lambda _: None)

    for number in range(200):
        await hubs.client(Target(hub=f"Other{number}"))

    assert repr(hubs) == "<Hubs, own Own, 64 others>"
    await hubs.aclose()
