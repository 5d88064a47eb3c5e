"""Hubs that the extension left, read by our client: the management API shows what the extension showed of them.

Requests whose instance changed later are left out; ``test_recorded_answers.py`` asks them at their time.
"""

import json
from datetime import datetime, timezone

import pytest

from taskhub.client import TaskHubClient
from taskhub.codec.dump_lines import DumpedRow, HubHead, encode_line
from taskhub.codec.keys import unescape_instance_id
from taskhub.errors import ConfigurationError
from taskhub.host.durable_options import DurableOptions
from taskhub.host.management import Hubs, Management
from taskhub.model.hub import HubContents
from taskhub.model.ids import Utc
from taskhub.settings import TaskHubSettings
from taskhub.storage.memory import open_memory
from tests.support.alike import comparable_body
from tests.support.recorded_http import EXTENSION, exchanges, settings_of
from tests.support.recordings import columns_of, folders

SCENARIOS = [folder.name for folder in folders("extension")]
NOTHING_SHOWN = {"event_grid", "http_purge_restart_rewind"}
"""Nobody asked for a single instance, or all that were asked for changed later."""
NOT_WHOLE = {"large-1"}
"""Instances whose blobs the recording shortened."""


class NoFunctions:
    """Reading needs none."""


def dump_of(scenario):
    tables = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))["tables"]
    rows = [
        DumpedRow(kind, row["PartitionKey"], row["RowKey"], columns_of(row))
        for kind in ("History", "Instances")
        for row in tables[kind]
    ]
    yield encode_line(HubHead(settings_of(scenario)["hub"], 4, Utc("2026-11-25T00:00:00Z"), "a recording"))
    yield from map(encode_line, rows)
    yield encode_line(HubContents(0, len(rows), 0))


async def restored(scenario):
    settings = TaskHubSettings(hub_name=settings_of(scenario)["hub"])
    storage = open_memory(now=lambda: datetime.now(timezone.utc))
    client = TaskHubClient(storage, settings)
    await client.load_hub(dump_of(scenario))

    async def open_connection(setting):
        raise ConfigurationError(f"Unable to resolve the Azure Storage connection named '{setting}'.")

    hubs = Hubs(DurableOptions(settings), client, storage, open_connection)
    return client, Management(hubs, NoFunctions())


def shown(text):
    """Return a body, as far as it is the same in every run; ids of system keys are the recording's."""
    return comparable_body(text.replace("&code=system-key", ""))


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_instances_of_a_recorded_hub_are_shown_as_the_extension_showed_them(scenario):
    _, management = await restored(scenario)
    compared = 0

    for exchange in exchanges(scenario):
        instance_id = exchange.path.partition("?")[0].removeprefix("/instances/")
        is_about_one = exchange.method == "GET" and exchange.path.startswith("/instances/") and instance_id
        if not is_about_one or exchange.status not in (200, 202) or instance_id in NOT_WHOLE:
            continue
        answer = await management.handle(exchange.as_request())
        if answer.status == 404:
            continue  # purged later
        recorded, ours = shown(exchange.response), shown(answer.body)
        if (recorded["lastUpdatedTime"], recorded["runtimeStatus"]) != (ours["lastUpdatedTime"], ours["runtimeStatus"]):
            continue  # changed later
        assert ours == recorded, exchange
        assert answer.status == exchange.status
        compared += 1

    assert bool(compared) == (scenario not in NOTHING_SHOWN)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_history_of_a_recorded_hub_is_read(scenario):
    client, _ = await restored(scenario)
    tables = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))["tables"]

    for row in tables["Instances"]:
        if row["PartitionKey"] in NOT_WHOLE:
            continue
        instance_id = unescape_instance_id(row["PartitionKey"])
        state, events = await client.get(instance_id), await client.history(instance_id)
        executions = {each["ExecutionId"] for each in tables["History"] if each["PartitionKey"] == row["PartitionKey"]}
        assert state.status.name == row["RuntimeStatus"]
        assert bool(events) == (row["ExecutionId"] in executions)
