"""Recorded scenarios with entities, run through our whole stack.

Besides the answers, what entity functions get, what is put on queues and what is left in the tables is compared with
the recording. How many operations ride in one batch varies from run to run, and so do times and ids.
"""

import json
from collections import Counter, defaultdict

import pytest

from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.model.history import EventRaised
from taskhub.names import HubNames
from tests.support.alike import assert_alike
from tests.support.lab import masked, recorded_answers, running_lab
from tests.support.recordings import GOLDEN, columns_of

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

EXTENSION = GOLDEN / "extension"
ENTITY_ONLY = ("entity_counter", "entity_http", "entity_signals_entity", "event_grid")
"""Scenarios whose orchestrations do what the recorded ones did."""


@pytest.mark.parametrize("scenario", [*ENTITY_ONLY, "limits"])
async def test_entities_get_send_and_leave_what_they_did_when_recorded(scenario):
    async with running_lab(scenario) as (module, lab):
        await module.drive(lab)
        rows = await rows_left(lab, scenario)

    # "limits" also has orchestrations, which we do not stop at a number of actions.
    assert operations_of(batches(lab)) == operations_of(recorded_batches(scenario))
    assert messages_of(lab.notes.messages) == messages_of(recorded_messages(scenario))
    assert rows == recorded_rows(scenario)


async def test_deleted_entities_are_gone_where_the_extension_shows_a_null_state():
    recorded = recorded_answers("entity_http")

    async with running_lab("entity_http") as (module, lab):
        await module.drive(lab)

    deleted = next(
        i for i, each in enumerate(recorded) if each.body == "null" and each.url.endswith("/entities/thing/Key")
    )
    assert (lab.answers[deleted].status, lab.answers[deleted].body) == (404, "")
    listed = json.loads(lab.answers[deleted + 1].body)
    shown = [each for each in json.loads(recorded[deleted + 1].body) if each["entityId"]["key"] != "Key"]
    assert [(each["entityId"], each["state"]) for each in listed] == [
        (each["entityId"], each["state"]) for each in shown
    ]
    others = [i for i in range(len(recorded)) if i not in (deleted, deleted + 1)]
    assert_alike([lab.answers[i] for i in others], [recorded[i] for i in others])


async def test_a_batch_has_no_more_operations_than_the_setting_allows():
    async with running_lab("limits") as (module, lab):
        await module.drive(lab)

    sizes = [len(json.loads(text)["batch"]) for _, text in lab.notes.batches]
    assert sizes == [len(json.loads(text)["batch"]) for _, text in recorded_batches("limits")] == [2, 2, 1]


# ---- what entity functions get


def batches(lab):
    return lab.notes.batches


def recorded_batches(scenario):
    lines = map(json.loads, (EXTENSION / scenario / "triggers.jsonl").read_text(encoding="utf-8").splitlines())
    return [(line["name"], line["trigger"]) for line in lines if line.get("kind", "").endswith("entity")]


def operations_of(batches):
    """Return the operations of each entity in order, and check the form of what it was given."""
    operations = defaultdict(list)
    for function, text in batches:
        trigger = json.loads(text)
        assert text == json.dumps(trigger, indent=2, ensure_ascii=False)
        assert list(trigger) == ["self", "exists", "state", "batch"]
        for operation in trigger["batch"]:
            assert list(operation) == ["name", "input", "isSignal", "id"]
            key = function, trigger["self"]["name"], trigger["self"]["key"]
            operations[key].append((operation["name"], operation["input"], operation["isSignal"]))
    return operations


# ---- what is put on queues


def recorded_messages(scenario):
    for line in (EXTENSION / scenario / "messages.jsonl").read_text(encoding="utf-8").splitlines():
        if "«" not in line:
            envelope = decode_envelope(json.dumps(json.loads(line)["message"]))
            if not isinstance(envelope, BlobPointer):
                yield envelope


def messages_of(envelopes):
    """Return what entities are sent and send: to whom, from whom, what."""
    found = Counter()
    for envelope in envelopes:
        event, target, sender = envelope.message.event, envelope.message.target, envelope.sender
        if isinstance(event, EventRaised) and "@" in (target.instance_id[:1], sender.instance_id[:1]):
            assert (target.execution_id is None) == target.instance_id.startswith("@")
            name, content = masked(event.name), masked(event.input or "")
            found[target.instance_id, sender.instance_id, name, content] += 1
    return found


# ---- what is left


async def rows_left(lab, scenario):
    names = HubNames.of(json.loads((EXTENSION / scenario / "scenario.json").read_text(encoding="utf-8"))["hub"])
    tables = {}
    for table in (names.instances_table, names.history_table):
        page = await lab.storage.tables.query(table)
        tables[table.removeprefix(names.hub)] = [
            (row.partition_key, row.row_key, dict(row.columns)) for row in page.rows
        ]
    return comparable_rows(tables)


def recorded_rows(scenario):
    tables = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))["tables"]
    return comparable_rows(
        {
            name: [(row["PartitionKey"], row["RowKey"], columns_of(row)) for row in tables[name]]
            for name in ("Instances", "History")
        }
    )


def comparable_rows(tables):
    return {
        (table, partition_key, row_key): {
            column: (type(value).__name__, masked(str(value)))
            for column, value in columns.items()
            if column not in ("TaskHubName", "TakenRequests")  # drawn for each run; ours alone
        }
        for table, rows in tables.items()
        for partition_key, row_key, columns in rows
        if partition_key.startswith("@")
    }
