"""Every recorded request to the management API, answered over the state that the hub was in: the answers agree.

The hub is the recording's own (``tests.support.recorded_http``), so this is about requests, decisions and bodies. Flows
through a real hub are in ``test_scenarios.py``.
"""

import json

import pytest

from taskhub.errors import ConfigurationError, UnknownFunction
from taskhub.host.durable_options import DurableOptions
from taskhub.host.management import Hubs, Management
from taskhub.settings import TaskHubSettings
from tests.support.recorded_http import RecordedHub, exchanges, guid_in, settings_of

SCENARIOS = ("http_start", "http_status", "http_control")

# Recorded of 3.15; this host does better, or differs on purpose.
REFUSED_HERE = {
    "http_start": {
        "nowhere": "an unknown orchestrator is refused",
        "Echo/%40at": "an id with @ is refused",
        "Echo/a%5Cb": "an id with a backslash is refused",
        "Echo/a%23b": "an id with # is refused",
        "Echo/a%3Fb": "an id with ? is refused",
        "Echo/a%01b": "an id with a control character is refused",
        "Echo/" + "i" * 257: "an id of 257 characters is refused",
    }
}
# The recording's storage no longer knows what these saw, or they wait for what only a real hub does.
NOT_IN_THE_STATE = {
    "http_start": lambda each: (
        "dup-1" in each.path or "pollingInterval=1" in each.path or "pollinginterval=0.5" in each.path.lower()
    ),
    "http_status": lambda each: "taskHub=Other1" in each.path,
    "http_control": lambda each: False,
}


class KnownFunctions:
    """Orchestrators of the scenarios."""

    NAMES = ("echo", "raw_echo", "slow", "fails", "quick", "waiting", "listener", "busy")

    def find_orchestrator(self, name):
        if name.lower() not in self.NAMES:
            raise UnknownFunction(f"The function '{name}' doesn't exist")


def cases():
    for scenario in SCENARIOS:
        for each in exchanges(scenario):
            if not NOT_IN_THE_STATE[scenario](each):
                yield pytest.param(scenario, each, id=f"{scenario} {each}")


def management(scenario, hub):
    async def open_connection(setting):
        raise ConfigurationError(f"Unable to resolve the Azure Storage connection named '{setting}'.")

    options = DurableOptions(TaskHubSettings(hub_name=settings_of(scenario)["hub"]))
    return Management(Hubs(options, hub, None, open_connection), KnownFunctions())


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


@pytest.mark.parametrize(("scenario", "exchange"), list(cases()))
async def test_recorded_request_is_answered_alike(scenario, exchange):
    hub = RecordedHub(scenario)
    hub.at = exchange.at if exchange.method == "GET" else exchange.before
    hub.next_id = guid_in(exchange.response)

    answer = await management(scenario, hub).handle(exchange.as_request())

    refused = REFUSED_HERE.get(scenario, {}).get(exchange.path.removeprefix("/orchestrators/"))
    if refused or exchange.path.startswith("/orchestrators/nowhere"):
        assert (answer.status, exchange.status) == (400, 202)
        assert "ExceptionMessage" in json.loads(answer.body)
        return
    assert answer.status == exchange.status
    assert comparable(answer.body or "") == comparable(without_key(exchange.response))
    for name in ("Location", "Retry-After", "x-ms-continuation-token"):
        assert answer.headers.get(name) == expected_header(exchange, name)
    assert answer.content_type == exchange.headers.get("Content-Type")
