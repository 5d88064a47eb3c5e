"""Hubs of ``golden/storage`` brought back into a store: as they were left, or in the middle of a scenario."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote

from taskhub.codec.dump_lines import DumpedBlob, DumpedMessage, DumpedRow, HubHead, encode_line
from taskhub.codec.overflow import compress
from taskhub.model.hub import HubContents
from taskhub.model.ids import Utc
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.recordings import GOLDEN, columns_of, requests_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence

    from taskhub.names import HubNames
    from taskhub.storage.port import PutReceipt, Storage

AFTERWARDS = datetime(2026, 11, 25, tzinfo=timezone.utc)
"""Later than everything in the recordings."""

_CUT = re.compile(r"\.\.\. \[cut: \d+ characters, sha256 of the UTF-8 text ([0-9a-f]{64})\]$")
_TABLE_KEYS = re.compile(r"\(PartitionKey='(.*)',RowKey='(.*)'\)$")
_WRITES = {
    "POST": Write.INSERT_OR_MERGE,
    "PUT": Write.INSERT_OR_REPLACE,
    "PATCH": Write.INSERT_OR_MERGE,
    "MERGE": Write.INSERT_OR_MERGE,
    "DELETE": Write.DELETE,
}


class Recording:
    """One scenario.

    Args:
        name: of its folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._folder = GOLDEN / "storage" / name

    def __repr__(self) -> str:
        return f"<Recording {self.name}>"

    @cached_property
    def requests(self) -> Sequence[dict[str, Any]]:
        """All requests, in the order in which they were sent."""
        return list(requests_of(self._folder))

    @cached_property
    def answers(self) -> Mapping[str, Any]:
        """What the client's calls returned, by what they were."""
        scenario = json.loads((self._folder / "scenario.json").read_text(encoding="utf-8"))
        return {each["answer"]: each["value"] for each in scenario["answers"]}

    @property
    def final_statuses(self) -> Mapping[str, str]:
        """The statuses with which instances ended."""
        prefix = "final status of "
        return {
            name.removeprefix(prefix): value["status"]
            for name, value in self.answers.items()
            if name.startswith(prefix)
        }

    @cached_property
    def state(self) -> Mapping[str, Any]:
        """What was left."""
        loaded: Mapping[str, Any] = json.loads((self._folder / "state.json").read_text(encoding="utf-8"))
        return loaded

    @property
    def purged(self) -> frozenset[str]:
        """Ids of instances that ended and of which nothing was left."""
        left = {row["PartitionKey"] for name, rows in self.state["tables"].items() if "Inst" in name for row in rows}
        return frozenset(self.final_statuses) - left

    @cached_property
    def messages(self) -> Mapping[int, Mapping[str, Any]]:
        """Every message by the number of the request that put it."""
        loaded = json.loads((self._folder / "messages.json").read_text(encoding="utf-8"))
        return {each["put"]: each for each in loaded}

    def text_of(self, put: int) -> str:
        """Return a message exactly as it was sent."""
        message = self.messages[put]
        text: str = message["text"] if "text" in message else _json(_whole(message["body"]))
        assert len(text) == message["length"] or message["encoding"] == "base64", f"message {put} of {self.name} is cut"
        return base64.b64encode(text.encode()).decode() if message["encoding"] == "base64" else text

    @cached_property
    def large_texts(self) -> Mapping[str, str]:
        """What was stored in large-message blobs, by the name of the blob. All are JSON."""
        return {
            _blob_name(request["path"]): _json(_whole(request["body"]))
            for request in self.requests
            if request["kind"] == "blob.put.block largemessages" and _is_content(request)
        }

    # ---- what was left, as a dump

    def dump(self) -> Iterator[str]:
        """Yield the lines of a dump of what was left."""
        tables, hub = self.state["tables"], self.answers["hub"]["Hub"]
        rows = [
            DumpedRow(kind, row["PartitionKey"], row["RowKey"], columns_of(row))
            for kind in ("History", "Instances")
            for row in tables[f"{hub}{kind}"]
        ]
        blobs = [
            DumpedBlob(blob["name"], compress(self.large_texts[blob["name"]]))
            for blob in self.state["blobs"].get(f"{hub.lower()}-largemessages", [])
        ]
        messages = [
            DumpedMessage(
                each["queue"].partition("-")[2],
                self.text_of(each["put"]),
                visible=Utc.of(parsedate_to_datetime(each["next_visible"])),
            )
            for each in self.state["outstanding"]
        ]
        yield encode_line(HubHead(hub, 4, Utc.of(AFTERWARDS), "a recording"))
        yield from map(encode_line, blobs)
        yield from map(encode_line, rows)
        yield from map(encode_line, messages)
        yield encode_line(HubContents(len(blobs), len(rows), len(messages)))

    # ---- the middle of it

    @cached_property
    def changes(self) -> Sequence[dict[str, Any]]:
        """The requests that changed queues, History, Instances or large-message blobs, but for purges."""
        return [each for each in self.requests if _changes_something(each) and not each["phase"].startswith("purge")]


class Restored:
    """A store that is brought to where a scenario was after some of its changes, as if its worker had died then.

    The client lives on: what it did later is done too, so that everything can end. The hub must exist.
    """

    def __init__(self, recording: Recording, storage: Storage, names: HubNames) -> None:
        self._recording = recording
        self._storage = storage
        self._names = names
        self._receipts: dict[str, PutReceipt] = {}
        self._done = 0

    async def until(self, point: int) -> None:
        """Make so many changes."""
        if self._recording.large_texts:
            await self._storage.blobs.create_container(self._names.large_messages_container)
        for request in self._recording.changes[self._done : point]:
            await self._apply(request)
        self._done = point

    async def client_goes_on(self, pause: Callable[[float], Awaitable[None]]) -> None:
        """Do what the client did after that.

        Args:
            pause: lets so many seconds pass, as many as passed then.
        """
        changes = self._recording.changes
        last = changes[self._done - 1]["t"] if self._done else changes[0]["t"]
        for request in changes[self._done :]:
            if request["from"] == "client":
                await pause(request["t"] - last)
                await self._apply(request)
                last = request["t"]

    async def _apply(self, request: Mapping[str, Any]) -> None:
        verb, _, target = request["kind"].partition(" ")
        storage, names = self._storage, self._names
        if verb.startswith("queue."):
            await self._apply_to_queue(verb, request)
        elif verb == "blob.put.block":
            name = _blob_name(request["path"])
            text = self._recording.large_texts[name]
            await storage.blobs.put_blob(names.large_messages_container, name, compress(text))
        else:
            table = {"History": names.history_table, "Instances": names.instances_table}[target]
            if verb == "table.batch":
                await storage.tables.batch(table, [_operation(each) for each in request["body"]])
            else:
                await storage.tables.write(table, _write(request["method"], request["path"], request.get("body")))

    async def _apply_to_queue(self, verb: str, request: Mapping[str, Any]) -> None:
        queues, recording = self._storage.queues, self._recording
        queue = f"{self._names.hub.lower()}-{request['path'].split('/')[2].partition('-')[2]}"
        if verb == "queue.put":
            query = parse_qs(request.get("query", ""))
            hidden = int(query.get("visibilitytimeout", ["0"])[-1])
            receipt = await queues.put(queue, recording.text_of(request["n"]), visible_after=hidden)
            self._receipts[recording.messages[request["n"]]["message_id"]] = receipt
        elif verb == "queue.delete_message":
            receipt = self._receipts[request["path"].rpartition("/")[2]]
            await queues.delete(queue, receipt.id, receipt.receipt)
        # An update hides a message from other workers; ours comes when that is over.


@cache
def recording(name: str) -> Recording:
    """Return a scenario, read once."""
    return Recording(name)


def _changes_something(request: Mapping[str, Any]) -> bool:
    verb, _, target = request["kind"].partition(" ")
    if request["status"] >= 400 or " -> " in request["kind"]:
        return False
    if verb in ("queue.put", "queue.delete_message"):
        return True
    if request["kind"] == "blob.put.block largemessages":
        return _is_content(request)
    is_write = verb in ("table.batch", "table.post", "table.put", "table.patch", "table.delete")
    return is_write and target in ("History", "Instances")


def _is_content(request: Mapping[str, Any]) -> bool:
    """Return whether a block holds a text; the reference puts the end of the compression apart."""
    return "base16" not in request["body"]


def _blob_name(path: str) -> str:
    return unquote(path).split("/", 3)[3]


def _whole(value: Any) -> Any:
    """Return a value with what the recording cut: the programs made such texts of one letter."""
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    found = _CUT.search(value) if isinstance(value, str) else None
    return value if found is None else _large_values()[found[1]]


@cache
def _large_values() -> Mapping[str, str]:
    """Return the large texts of all scenarios by their hash."""
    values = [_json("i" * 102_400), _json("e" * 102_400)]
    for length, size in ((102_400, 102_400), (102_400, 10), (40_960, 10)):
        given, result = _json({"text": "i" * length, "size": size}), "r" * size
        output = _json({"length": size, "text": result})
        values += ["i" * length, given, f"[{given}]", result, _json(result), output]
    return {hashlib.sha256(value.encode()).hexdigest(): value for value in values}


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _operation(operation: Mapping[str, Any]) -> TableWrite:
    method, url, _ = operation["line"].split(" ")
    return _write(method, url.partition("?")[0], operation.get("body"))


def _write(method: str, path: str, body: Mapping[str, Any] | None) -> TableWrite:
    """Return a write of one row. Conditions held when it was recorded, so that they need not be asked again."""
    found = _TABLE_KEYS.search(unquote(path))
    if body is not None and "PartitionKey" in body:
        keys = body["PartitionKey"], body["RowKey"]
    else:
        assert found is not None, path
        keys = found[1].replace("''", "'"), found[2].replace("''", "'")
    return TableWrite(_WRITES[method], Row(*keys, columns_of(body or {})))
