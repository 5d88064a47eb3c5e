"""Names, partitions, leases and the small blobs of recorded hubs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from taskhub.codec.documents import (
    HUB_INFO_BLOB,
    decode_app_lease_info,
    decode_blob_lease,
    decode_hub_info,
    encode_app_lease_info,
    encode_blob_lease,
    encode_hub_info,
)
from taskhub.codec.lease_rows import PARTITION_KEY, decode_lease, encode_lease
from taskhub.core.partitioning import app_lease_id, partition_of
from taskhub.model.ids import PartitionIndex
from taskhub.names import HubNames
from tests.support.recordings import columns_of, folders, requests_of, rows_left

if TYPE_CHECKING:
    from pathlib import Path

APP_NAME = "interop"
"""Of the recording's program."""
LEASE_REQUESTS = {"table.post Partitions", "table.put Partitions"}


def state_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "state.json").read_text(encoding="utf-8"))


def blobs_left() -> list[tuple[str, str, str]]:
    """Return container, name and text of the uncompressed blobs that the provider left."""
    return [
        (container, blob["name"], blob["text"])
        for folder in folders("storage")
        for container, blobs in state_of(folder)["blobs"].items()
        for blob in blobs
        if not blob["name"].endswith(".gz")
    ]


@pytest.mark.parametrize("folder", folders("storage"), ids=lambda folder: folder.name)
def test_the_names_of_a_hub_are_those_that_the_provider_uses(folder):
    state = state_of(folder)
    hub = next(table for table in state["tables"] if table.endswith("History")).removesuffix("History")
    names = HubNames.of(hub)

    queues = {names.control_queue(PartitionIndex(index)) for index in range(4)} | {names.work_item_queue}
    containers = {names.app_lease_container, names.leases_container, names.large_messages_container}

    assert set(state["queues"]) == queues
    assert set(state["tables"]) <= {names.history_table, names.instances_table, names.partitions_table}
    assert set(state["blobs"]) <= containers
    assert [blob["name"] for blob in state["blobs"][names.app_lease_container]] == [names.app_lease_blob]


def test_a_message_for_an_instance_lies_in_the_queue_of_its_partition():
    seen = 0
    for folder in folders("extension"):
        for line in (folder / "messages.jsonl").read_text(encoding="utf-8").splitlines():
            put = json.loads(line)
            message = put["message"]["TaskMessage"]
            if put["queue"].startswith("control-") and message is not None:
                instance_id = message["OrchestrationInstance"]["InstanceId"]
                assert put["queue"] == f"control-{partition_of(instance_id, 4):02d}"
                seen += 1

    assert seen >= 500


def test_lease_rows_come_back():
    left = [(row.row_key, row.columns) for row in rows_left("Partitions")]
    sent = [
        (request["body"]["RowKey"], columns_of(request["body"]))
        for folder in folders("storage")
        for request in requests_of(folder)
        if request["kind"] in LEASE_REQUESTS and "body" in request
    ]

    assert len(left) == 272
    assert len(sent) >= 100
    for row_key, columns in left + sent:
        lease = decode_lease(row_key, columns, None)
        assert lease.queue == row_key
        assert encode_lease(lease) == columns
    assert any("NextOwner" in columns for _, columns in sent)


def test_lease_rows_share_one_partition_key():
    assert {row.partition_key for row in rows_left("Partitions")} == {PARTITION_KEY}


def test_app_lease_infos_come_back_and_name_our_lease_id():
    texts = [text for container, _, text in blobs_left() if container.endswith("-applease")]

    assert texts
    for text in texts:
        info = decode_app_lease_info(text)
        assert encode_app_lease_info(info) == text
        assert info.owner_id in {None, app_lease_id(APP_NAME)}
    assert decode_app_lease_info(texts[0]).owner_id == app_lease_id(APP_NAME)


def test_hub_infos_come_back():
    texts = [text for _, name, text in blobs_left() if name == HUB_INFO_BLOB]

    assert texts
    for text in texts:
        assert encode_hub_info(decode_hub_info(text)) == text
        assert decode_hub_info(text).partition_count == 4


def test_lease_blobs_come_back():
    left = [text for _, name, text in blobs_left() if name.startswith(("default/", "intent/", "ownership/"))]
    sent = [
        json.dumps(request["body"], separators=(",", ":"))
        for folder in folders("storage")
        for request in requests_of(folder)
        if request["kind"] == "blob.put leases" and "PartitionId" in request.get("body", {})
    ]

    assert left
    assert any(decode_blob_lease(text).owner for text in sent)
    for text in left + sent:
        assert encode_blob_lease(decode_blob_lease(text)) == text
