"""What a scenario of the extension put on queues and left in storage, recorded and ours, in one comparable form.

As in ``golden_state``; instances that end otherwise here are left out by the caller. Events are compared without the
rows that begin and end episodes: how messages are grouped differs from run to run.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from taskhub.codec.keys import unescape_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope
from taskhub.names import HubNames
from tests.support.golden_state import plain_text
from tests.support.lab import masked
from tests.support.recorded_http import EXTENSION
from tests.support.recordings import columns_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from taskhub.storage.port import Storage

Rows = Counter[tuple[str, str, str]]
"""Table, partition key, columns."""
Messages = Counter[tuple[str, int, str]]
"""Queue, seconds hidden, text."""

_NOT_COMPARED = {"TaskHubName", "TakenRequests", "ParentTraceContext", "ClientSpanId"}
"""Drawn for each run; ours alone; of tracing."""
_EPISODES = {"OrchestratorStarted", "OrchestratorCompleted"}
_INNER_EXCEPTION = re.compile(r'\\*"InnerException\\*":\{\\*"\$type\\*":\\*"Microsoft\.Azure.*', re.DOTALL)
"""Of a failure: from here on it tells of .NET's frames, or of none."""
_TRACE_CONTEXT = re.compile(r'(\\*"ParentTraceContext\\*":)\{[^}]*\}')
_OF_A_REQUEST = re.compile(r',\\*"parentTraceContext\\*":\{[^}]*\}')
_SPAN = re.compile(r'(\\*"ClientSpanId\\*":)\\*"\w+\\*"')
_OF_AN_ENTITY = re.compile(r'("Sender":\{"InstanceId":"@[^"]*","ExecutionId":)"[^"]*"')
"""The first batch of an entity has no execution yet, and which one is the first differs from run to run."""
_EPISODE = re.compile(r'"Episode":\d+')
_RUN = re.compile(r"(\w)\1{999,}")
_GUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}")
_DRAWN_ID = re.compile(r'"InstanceId":"[0-9a-f]{8}-?[0-9a-f]{4}')


def recorded_rows(scenario: str, *, without: Collection[str] = ()) -> Rows:
    """Return the rows that were left, but for some instances."""
    tables = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))["tables"]
    return _rows(
        {name: [(row["PartitionKey"], columns_of(row)) for row in tables[name]] for name in ("Instances", "History")},
        without,
    )


def recorded_statuses(scenario: str) -> dict[str, str]:
    """Return how the instances were in the end whose ids are the same in every run."""
    tables = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))["tables"]
    return {
        unescape_instance_id(row["PartitionKey"]): row["RuntimeStatus"]
        for row in tables["Instances"]
        if not _GUID.match(row["PartitionKey"])
    }


async def stored_rows(storage: Storage, scenario: str, *, without: Collection[str] = ()) -> Rows:
    """Return the same of ours."""
    names = hub_of(scenario)
    tables = {}
    for kind, table in (("Instances", names.instances_table), ("History", names.history_table)):
        page = await storage.tables.query(table)
        assert page.token is None, "more than a page"
        tables[kind] = [(row.partition_key, dict(row.columns)) for row in page.rows]
    return _rows(tables, without)


def recorded_messages(scenario: str, *, without: Collection[str] = ()) -> Messages:
    """Return what was put on queues, but for what is to or from some instances."""
    lines = (EXTENSION / scenario / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    return _messages(
        (
            (each["queue"], int(each["visibilitytimeout"] or 0), _json(each["message"]))
            for each in map(json.loads, lines)
        ),
        without,
    )


def put_messages(puts: Iterable[tuple[str, int, str]], *, without: Collection[str] = ()) -> Messages:
    """Return the same of ours."""
    return _messages(((queue.partition("-")[2], hidden, text) for queue, hidden, text in puts), without)


def recorded_blobs(scenario: str) -> Counter[str]:
    """Return the names of the large-message blobs that were left."""
    blobs = json.loads((EXTENSION / scenario / "state.json").read_text(encoding="utf-8"))["blobs"]
    return Counter(plain_text(name.partition("/")[2]) for name in blobs if name.startswith("largemessages/"))


async def stored_blobs(storage: Storage, scenario: str) -> Counter[str]:
    """Return the same of ours."""
    container = hub_of(scenario).large_messages_container
    if not await storage.blobs.container_exists(container):
        return Counter()
    return Counter(plain_text(blob.name) for blob in await storage.blobs.list_blobs(container, ""))


def hub_of(scenario: str) -> HubNames:
    """Return the names of a scenario's hub."""
    recorded = json.loads((EXTENSION / scenario / "scenario.json").read_text(encoding="utf-8"))
    return HubNames.of(recorded["hub"])


def _rows(tables: Mapping[str, list[tuple[str, dict[str, Any]]]], without: Collection[str]) -> Rows:
    return Counter(
        (
            table,
            _plain(partition_key),
            json.dumps(
                {
                    name: (type(value).__name__, _plain(str(value)))
                    for name, value in sorted(columns.items())
                    if name not in _NOT_COMPARED
                }
            ),
        )
        for table, rows in tables.items()
        for partition_key, columns in rows
        if partition_key not in without and columns.get("EventType") not in _EPISODES
    )


def _messages(puts: Iterable[tuple[str, int, str]], without: Collection[str]) -> Messages:
    return Counter(
        ("any" if _DRAWN_ID.search(text) else queue, hidden, _plain(text))
        for queue, hidden, text in puts
        if not _is_of(text, without)
    )


def _is_of(text: str, instances: Collection[str]) -> bool:
    if "\u00ab" in text:
        return False  # shortened by the recording, so that it cannot be decoded
    content = decode_envelope(text)
    if isinstance(content, BlobPointer):
        return False
    return content.message.target.instance_id in instances or content.sender.instance_id in instances


def without_traces(text: str) -> str:
    """Return a text without where a trace comes from; traces are not passed on here."""
    for pattern, by in ((_TRACE_CONTEXT, r"\1null"), (_SPAN, r"\1null"), (_OF_A_REQUEST, "")):
        text = pattern.sub(by, text)
    return text


def _plain(text: str) -> str:
    text = without_traces(text)
    for pattern, by in ((_INNER_EXCEPTION, "..."), (_EPISODE, '"Episode":<n>'), (_OF_AN_ENTITY, r"\1null")):
        text = pattern.sub(by, text)
    # As the recording writes a thousand and more equal letters.
    text = _RUN.sub(lambda run: f"«{run[1]}*{len(run[0])}»", text)
    return masked(plain_text(text)).replace("TIME", "<time>")


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
