"""Damaged messages on every store: reported once, kept, and passed by."""

import asyncio
import gzip
import json
from datetime import datetime, timezone

import pytest

from taskhub.codec.messages import encode_pointer, to_base64
from taskhub.model.ids import InstanceId
from taskhub.storage.memory import open_memory
from tests.support.real_hub import RealHub


def echoing(context):
    return (yield context.call_activity("echo", context.get_input()))


WHOLE = json.dumps(
    {
        "$type": "DurableTask.AzureStorage.MessageData",
        "ActivityId": "5f0c1d2e-3a4b-4c5d-8e6f-000000000001",
        "TaskMessage": {
            "$type": "DurableTask.Core.TaskMessage",
            "Event": {
                "$type": "DurableTask.Core.History.EventRaisedEvent",
                "EventType": 15,
                "Name": "go",
                "Input": "1",
                "EventId": -1,
                "IsPlayed": False,
                "Timestamp": "2026-01-05T12:00:00Z",
            },
            "SequenceNumber": 0,
            "OrchestrationInstance": {
                "$type": "DurableTask.Core.OrchestrationInstance",
                "InstanceId": "x",
                "ExecutionId": None,
            },
        },
        "SequenceNumber": 1,
        "Sender": {"InstanceId": "", "ExecutionId": ""},
    },
    separators=(",", ":"),
)
BLOBS = {
    "damage/truncated.json.gz": gzip.compress(WHOLE.encode())[:-20],
    "damage/no-gzip.json.gz": b"not compressed",
    "damage/empty.json.gz": b"",
    "damage/no-utf8.json.gz": gzip.compress(b"\xff\xfe\xff"),
    "damage/no-json.json.gz": gzip.compress(b"no JSON"),
    "damage/pointer.json.gz": gzip.compress(encode_pointer("damage/truncated.json.gz").encode()),
}
DAMAGE = {
    "not JSON": "no message",
    "empty": "",
    "blank": " ",
    "base64 of no JSON": to_base64("no message"),
    "wrong base64": to_base64(WHOLE)[:-3] + "!!!",
    "base64 of no text": "//79",
    "truncated": WHOLE[: len(WHOLE) // 2],
    "truncated base64": to_base64(WHOLE)[:-8],
    "no object": "[1]",
    "nothing in it": "{}",
    "deep": "[" * 30_000,
    "unknown type": WHOLE.replace("EventRaisedEvent", "EventFromTomorrowEvent"),
    "without a type": WHOLE.replace('"$type":"DurableTask.Core.History.EventRaisedEvent",', ""),
    "without a target": WHOLE.replace("OrchestrationInstance", "Nobody"),
    "wrong kind of value": WHOLE.replace('"Name":"go"', '"Name":7'),
    "wrong time": WHOLE.replace("2026-01-05T12:00:00Z", "noon"),
    "DataContract": '{"__type":"MessageData"}',
    "blob missing": encode_pointer("damage/missing.json.gz"),
    "blob with an impossible name": encode_pointer("../damage\x01/missing.json.gz"),
    **{f"blob {name}": encode_pointer(name) for name in BLOBS},
}


async def test_damage_of_every_kind_is_reported_once_kept_and_passed_by(any_storage, caplog):
    hub = RealHub(any_storage, {"echoing": echoing}, {"echo": lambda value: value}, partition_count=1)
    queues = [hub.names.control_queue(0), hub.names.work_item_queue]
    await hub.client.create_hub()
    container = hub.names.large_messages_container
    await any_storage.blobs.create_container(container)
    for name, data in BLOBS.items():
        await any_storage.blobs.put_blob(container, name, data)
    for queue in queues:
        for text in DAMAGE.values():
            await any_storage.queues.put(queue, text)

    async with hub.working():
        first = await hub.start("echoing", 1)
        # They come back after two seconds, and are read a second time.
        outputs = [(await hub.end(first)).output]
        await asyncio.sleep(2.5)
        outputs += [(await hub.end(await hub.start("echoing", number))).output for number in range(3)]
    left = [await any_storage.queues.count(queue) for queue in queues]

    assert outputs == ["1", "0", "1", "2"]
    assert left == [len(DAMAGE)] * 2
    reports = [record for record in caplog.records if getattr(record, "event", "") == "unreadable_message"]
    assert len(reports) == len({record.message_id for record in reports}) == 2 * len(DAMAGE)
    others = [record for record in caplog.records if record.levelname == "ERROR" and record not in reports]
    assert [record.getMessage() for record in others] == []


@pytest.mark.parametrize("kind", DAMAGE)
async def test_damage_says_what_is_wrong(kind, caplog):
    storage = open_memory(now=lambda: datetime.now(timezone.utc))
    hub = RealHub(storage, {"echoing": echoing}, {"echo": lambda value: value}, partition_count=1)
    await hub.client.create_hub()
    await storage.blobs.create_container(hub.names.large_messages_container)
    for name, data in BLOBS.items():
        await storage.blobs.put_blob(hub.names.large_messages_container, name, data)
    await storage.queues.put(hub.names.control_queue(0), DAMAGE[kind])
    async with hub.working():
        await hub.end(await hub.start("echoing", 1))
        await hub.client.raise_event(InstanceId("x"), "go", None)

    [report] = [record for record in caplog.records if getattr(record, "event", "") == "unreadable_message"]

    assert SAID[kind] in report.error


SAID = {
    "not JSON": "not JSON, nor base64 of it",
    "empty": "not JSON, nor base64 of it",
    "blank": "not JSON, nor base64 of it",
    "base64 of no JSON": "not JSON, nor base64 of it",
    "wrong base64": "not JSON, nor base64 of it",
    "base64 of no text": "not JSON, nor base64 of it",
    "truncated": "not JSON",
    "truncated base64": "not JSON, nor base64 of it",
    "no object": "not JSON",
    "nothing in it": "lacks TaskMessage",
    "deep": "not JSON",
    "unknown type": "unknown event type 'DurableTask.Core.History.EventFromTomorrowEvent'",
    "without a type": "lacks $type",
    "without a target": "lacks OrchestrationInstance",
    "wrong kind of value": "Name: expected a text, got an integer",
    "wrong time": "not a time: 'noon'",
    "DataContract": "UseDataContractSerialization",
    "blob missing": "there is no blob",
    "blob with an impossible name": "there is no blob",
    "blob damage/truncated.json.gz": "is not gzip of UTF-8 text",
    "blob damage/no-gzip.json.gz": "is not gzip of UTF-8 text",
    "blob damage/empty.json.gz": "its writer has not finished",
    "blob damage/no-utf8.json.gz": "is not gzip of UTF-8 text",
    "blob damage/no-json.json.gz": "not JSON",
    "blob damage/pointer.json.gz": "points to another blob",
}
