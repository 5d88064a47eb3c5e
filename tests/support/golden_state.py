"""What a scenario left in storage, recorded and ours, in a form in which both can be compared.

Times become ``<time>``, execution ids the name of their instance, GUIDs and random parts of blob names a mark. What
remains must be equal, column by column and type by type. Where messages may be grouped otherwise in another run
(``tests/golden/storage/README.md``, "What varies"), episodes are not compared, but everything in them is.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from taskhub.codec.keys import SENTINEL
from taskhub.codec.overflow import decompress
from taskhub.model.ids import Utc
from tests.support.recordings import GOLDEN, columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskhub.names import HubNames
    from taskhub.storage.port import Storage

_GUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_RANDOM = re.compile(r"-[0-9A-F]{8}-(?=\w+\.json\.gz)")
_ENDPOINT = re.compile(r"[a-z]+://[^ ]*?/(?=[a-z0-9]+-largemessages/)")

Comparable = dict[str, Any]


def recorded_state(scenario: str, *, exact_episodes: bool = True) -> Comparable:
    """Return what a scenario of ``golden/storage`` left."""
    state = json.loads((GOLDEN / "storage" / scenario / "state.json").read_text(encoding="utf-8"))
    tables = {
        _kind(name): [(row["PartitionKey"], row["RowKey"], columns_of(row)) for row in rows]
        for name, rows in state["tables"].items()
    }
    blobs = {
        _kind(container): {blob["name"]: blob["text"] for blob in found} for container, found in state["blobs"].items()
    }
    queues = {_kind(name): len(messages) for name, messages in state["queues"].items()}
    return _comparable(tables, blobs, queues, exact_episodes)


async def stored_state(
    storage: Storage, names: HubNames, *, partition_count: int = 4, exact_episodes: bool = True
) -> Comparable:
    """Return what a hub of ours has in storage."""
    tables = {}
    for table in (names.history_table, names.instances_table, names.partitions_table):
        page = await storage.tables.query(table)
        assert page.token is None, "more than a page"
        tables[_kind(table)] = [(row.partition_key, row.row_key, dict(row.columns)) for row in page.rows]
    blobs: dict[str, dict[str, str]] = {}
    for container, is_compressed in ((names.app_lease_container, False), (names.large_messages_container, True)):
        for blob in await storage.blobs.list_blobs(container, ""):
            data = await storage.blobs.get_blob(container, blob.name)
            blobs.setdefault(_kind(container), {})[blob.name] = decompress(data) if is_compressed else data.decode()
    queues = {_kind(names.work_item_queue): await storage.queues.count(names.work_item_queue)}
    for index in range(partition_count):
        queue = names.control_queue(index)  # type: ignore[arg-type]  # a plain number
        queues[_kind(queue)] = await storage.queues.count(queue)
    return _comparable(tables, blobs, queues, exact_episodes)


def _kind(name: str) -> str:
    """Return which of a hub's objects a name means, without the hub."""
    found = re.search(r"(History|Instances|Partitions|-control-\d\d|-workitems|-[a-z]+)$", name)
    assert found is not None, name
    return found[1]


def _comparable(
    tables: Mapping[str, list[tuple[str, str, dict[str, Any]]]],
    blobs: Mapping[str, Mapping[str, str]],
    queues: Mapping[str, int],
    exact_episodes: bool,
) -> Comparable:
    names = {
        columns["ExecutionId"]: f"<execution of {partition_key}>"
        for partition_key, _, columns in tables["Instances"]
        if "ExecutionId" in columns
    }

    def plain(value: Any) -> Any:
        if isinstance(value, Utc):
            return "<time>"
        if not isinstance(value, str):
            return (type(value).__name__, value)
        for execution_id, name in names.items():
            value = value.replace(execution_id, name)
        return _GUID.sub("<guid>", _RANDOM.sub("-<random>-", _ENDPOINT.sub("<endpoint>/", value)))

    rows = {
        table: sorted(
            (
                (plain(partition_key), plain(row_key), {name: plain(value) for name, value in columns.items()})
                for partition_key, row_key, columns in found
            ),
            key=lambda row: row[:2],
        )
        for table, found in tables.items()
    }
    rows["Partitions"] = [
        (key, re.sub(r"^\w+-control", "control", queue), row) for key, queue, row in rows["Partitions"]
    ]
    if not exact_episodes:
        rows["History"] = _without_episodes(rows["History"])
    return {
        "rows": rows,
        "blobs": {
            container: {
                re.sub(r"^\w+-appleaseinfo$", "appleaseinfo", plain(name)): _blob_text(plain(text))
                for name, text in found.items()
            }
            for container, found in blobs.items()
        },
        "queues": dict(sorted(queues.items())),
    }


def _blob_text(text: str) -> str:
    """Return a blob's text without what differs from message to message."""
    text = re.sub(r'"Timestamp":"[^"]*"', '"Timestamp":"<time>"', text)
    text = re.sub(r'"SequenceNumber":\d+', '"SequenceNumber":<n>', text)
    # The recording has strings of more than 4,096 characters cut.
    return text[:300]


def _without_episodes(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return history rows without their places and without the rows that begin and end episodes."""
    kept = [
        (partition_key, key if key == SENTINEL else "", row)
        for partition_key, key, row in rows
        if row.get("EventType") not in ("OrchestratorStarted", "OrchestratorCompleted")
    ]
    return sorted(kept, key=lambda row: (row[0], row[1], json.dumps(row[2], sort_keys=True)))
