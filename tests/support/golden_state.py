"""What a scenario left in storage and put on queues, recorded and ours, in a form in which both can be compared.

Times become ``<time>``, execution ids the name of their instance, GUIDs, random parts of blob names and numbers of
messages a mark. What remains must be equal, column by column and type by type. Where messages may be grouped otherwise
in another run (``tests/golden/storage/README.md``, "What varies"), episodes are not compared, but all that is in them.
"""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from taskhub.codec.history_rows import TAKEN_REQUESTS_COLUMN
from taskhub.codec.keys import SENTINEL
from taskhub.codec.overflow import decompress
from taskhub.model.ids import PartitionIndex, Utc
from tests.support.recorded_hub import recording
from tests.support.recordings import columns_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from taskhub.names import HubNames
    from taskhub.storage.port import Storage
    from tests.support.storage_plays import PutMessage

_GUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
_RANDOM = re.compile(r"-[0-9A-F]{8}-(?=\w+\.json\.gz)")
_ENDPOINT = re.compile(r"\b[a-z]+://[^ ]*?/[a-z0-9]+-(?=largemessages/)")
_TIME = re.compile(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
_NUMBER = re.compile(r'"SequenceNumber":\d+')
_DICTIONARY = re.compile(r'"\$type":"System\.Collections\.Generic\.Dictionary`2\[\[[^"]*\]\]",?')
"""Not written here; the reference does without (storage.md 2.1)."""

_TO_A_DRAWN_ID = re.compile(
    r'"OrchestrationInstance":\{[^}]*"InstanceId":"<guid>[^}]*\},"OrchestrationExecutionContext"'
)

Comparable = dict[str, Any]


def recorded_state(scenario: str, *, exact_episodes: bool = True, kept: str | None = None) -> Comparable:
    """Return what a scenario of ``golden/storage`` left.

    Args:
        scenario: its name.
        exact_episodes: whether the recording tells how messages are grouped.
        kept: an instance whose large-message blobs count as left.
    """
    recorded = recording(scenario)
    state = recorded.state
    tables = {
        _kind(name): [(row["PartitionKey"], row["RowKey"], columns_of(row)) for row in rows]
        for name, rows in state["tables"].items()
    }
    blobs = {
        _kind(container): {blob["name"]: recorded.large_texts.get(blob["name"], blob["text"]) for blob in found}
        for container, found in state["blobs"].items()
    }
    if kept is not None:
        texts = recorded.large_texts
        blobs["-largemessages"].update({name: texts[name] for name in texts if name.startswith(f"{kept}/")})
    left = Counter(_kind(message["queue"]) for message in state["outstanding"])
    return _comparable(tables, blobs, {_kind(name): left[_kind(name)] for name in state["queues"]}, exact_episodes)


async def stored_state(
    storage: Storage, names: HubNames, *, partition_count: int = 4, exact_episodes: bool = True
) -> Comparable:
    """Return what a hub of ours has in storage."""
    tables = {}
    for table in (names.history_table, names.instances_table, names.partitions_table):
        if await storage.tables.table_exists(table):
            page = await storage.tables.query(table)
            assert page.token is None, "more than a page"
            tables[_kind(table)] = [(row.partition_key, row.row_key, dict(row.columns)) for row in page.rows]
    blobs: dict[str, dict[str, str]] = {}
    for container in (names.app_lease_container, names.leases_container, names.large_messages_container):
        if await storage.blobs.container_exists(container):
            found = blobs.setdefault(_kind(container), {})
            for blob in await storage.blobs.list_blobs(container, ""):
                data = await storage.blobs.get_blob(container, blob.name)
                found[blob.name] = decompress(data) if blob.name.endswith(".gz") else data.decode()
    queues = [names.work_item_queue, *(names.control_queue(PartitionIndex(i)) for i in range(partition_count))]
    left = {_kind(queue): await storage.queues.count(queue) for queue in queues}
    return _comparable(tables, blobs, left, exact_episodes)


def recorded_messages(scenario: str) -> Counter[tuple[str, ...]]:
    """Return what was put on the queues: queue, encoding, seconds it was hidden, text.

    Of messages that the recording cut there is the queue only.
    """
    messages = recording(scenario).messages.values()
    if any(message.get("cut") for message in messages):
        return Counter((_kind(message["queue"]),) for message in messages)
    return Counter(
        _put(message["queue"], recording(scenario).text_of(message["put"]), _hidden(message.get("query", "")))
        for message in messages
    )


def put_messages(messages: Iterable[PutMessage], *, whole: bool = True) -> Counter[tuple[str, ...]]:
    """Return the same of our messages.

    Args:
        messages: in any order.
        whole: whether there is more to compare than the queue.
    """
    if not whole:
        return Counter((_kind(message.queue),) for message in messages)
    return Counter(_put(message.queue, message.text, str(message.hidden)) for message in messages)


def _put(queue: str, message: str, hidden: str) -> tuple[str, ...]:
    encoding = "text" if message.startswith("{") else "base64"
    text = plain_text(message if encoding == "text" else base64.b64decode(message).decode())
    # The id of a child is made of the parent's execution id, and the queue belongs to the id.
    return "any" if _TO_A_DRAWN_ID.search(text) else _kind(queue), encoding, hidden, text


def _hidden(query: str) -> str:
    found = re.search(r"visibilitytimeout=(\d+)", query)
    return found[1] if found else "0"


def _kind(name: str) -> str:
    """Return which of a hub's objects a name means, without the hub."""
    found = re.search(r"(History|Instances|Partitions|-control-\d\d|-workitems|-[a-z]+)$", name)
    assert found is not None, name
    return found[1]


def plain_text(text: str) -> str:
    """Return a text without what is another in every run."""
    for pattern, by in (
        (_DICTIONARY, ""),
        (_TIME, "<time>"),
        (_NUMBER, '"SequenceNumber":<n>'),
        (_ENDPOINT, "<endpoint>/"),
        (_RANDOM, "-<random>-"),
        (_GUID, "<guid>"),
    ):
        text = pattern.sub(by, text)
    return text


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
        return plain_text(value)

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
    for _, _, row in rows["Instances"]:
        row.pop("TaskHubName", None)  # another for each run
    for _, _, row in rows["History"]:
        row.pop(TAKEN_REQUESTS_COLUMN, None)  # ours alone
    if "Partitions" in rows:
        rows["Partitions"] = [
            (key, re.sub(r"^\w+-control", "control", queue), row) for key, queue, row in rows["Partitions"]
        ]
    if not exact_episodes:
        rows["History"] = _without_episodes(rows["History"])
    return {
        "rows": rows,
        "blobs": {
            container: {
                re.sub(r"\w+-(?=control-|appleaseinfo$)", "", plain(name)): _without_hub(plain(text))
                for name, text in found.items()
            }
            for container, found in blobs.items()
        },
        "queues": dict(sorted(queues.items())),
    }


def _without_hub(text: str) -> str:
    """Return the text of a blob about leases without the name of the hub."""
    text = re.sub(r'(?<="PartitionId":")\w+-', "", text)
    return re.sub(r'(?<="TaskHubName":")\w+', "", text)


def _without_episodes(rows: Iterable[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Return history rows without their places and without the rows that begin and end episodes."""
    kept = [
        (partition_key, key if key == SENTINEL else "", row)
        for partition_key, key, row in rows
        if row.get("EventType") not in ("OrchestratorStarted", "OrchestratorCompleted")
    ]
    return sorted(kept, key=lambda row: (row[0], row[1], json.dumps(row[2], sort_keys=True)))
