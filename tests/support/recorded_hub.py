"""Hubs of ``golden/storage`` brought back into a store: as they were left, or in the middle of a scenario."""

from __future__ import annotations

import base64
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
    from collections.abc import Iterator, Mapping, Sequence

    from taskhub.names import HubNames
    from taskhub.storage.port import PutReceipt, Storage

AFTERWARDS = datetime(2026, 11, 25, tzinfo=timezone.utc)
"""Later than everything in the recordings."""

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
        text: str = message["text"]
        assert "[cut: " not in text, f"message {put} of {self.name} is not recorded whole"
        return base64.b64encode(text.encode()).decode() if message["encoding"] == "base64" else text

    # ---- what was left, as a dump

    def dump(self) -> Iterator[str]:
        """Yield the lines of a dump of what was left; values that the recording cut are left out."""
        tables, hub = self.state["tables"], self.answers["hub"]["Hub"]
        rows = [
            DumpedRow(kind, row["PartitionKey"], row["RowKey"], columns_of(row))
            for kind in ("History", "Instances")
            for row in tables[f"{hub}{kind}"]
        ]
        blobs = [
            DumpedBlob(blob["name"], base64.b64decode(blob["base64"]) if "base64" in blob else compress(blob["text"]))
            for blob in self.state["blobs"].get(f"{hub.lower()}-largemessages", [])
            if "base64" in blob or "[cut: " not in blob["text"]
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
        """The requests that changed queues, History or Instances."""
        return [each for each in self.requests if _changes_something(each)]

    async def apply(self, storage: Storage, names: HubNames, *, until: int) -> None:
        """Bring a store to where the scenario was after so many changes, had its worker died then.

        The client lives on: what it did later is done too, so that everything can end. The hub must exist.
        """
        receipts: dict[str, PutReceipt] = {}
        for number, request in enumerate(self.changes):
            if number < until or request["from"] == "client":
                await self._apply(storage, names, request, receipts)

    async def _apply(
        self, storage: Storage, names: HubNames, request: Mapping[str, Any], receipts: dict[str, PutReceipt]
    ) -> None:
        verb, _, target = request["kind"].partition(" ")
        query = {key: values[-1] for key, values in parse_qs(request.get("query", "")).items()}
        if verb.startswith("queue."):
            queue = f"{names.hub.lower()}-{request['path'].split('/')[2].partition('-')[2]}"
            hidden = int(query.get("visibilitytimeout", 0))
            if verb == "queue.put":
                receipt = await storage.queues.put(queue, self.text_of(request["n"]), visible_after=hidden)
                receipts[self.messages[request["n"]]["message_id"]] = receipt
                return
            message_id = request["path"].rpartition("/")[2]
            receipt = receipts[message_id]
            if verb == "queue.delete_message":
                await storage.queues.delete(queue, receipt.id, receipt.receipt)
            # An update hides a message from other workers; ours comes when that is over.
            return
        table = {"History": names.history_table, "Instances": names.instances_table}[target]
        if verb == "table.batch":
            await storage.tables.batch(table, [_operation(each) for each in request["body"]])
        else:
            await storage.tables.write(table, _write(request["method"], request["path"], request.get("body")))


@cache
def recording(name: str) -> Recording:
    """Return a scenario, read once."""
    return Recording(name)


def _changes_something(request: Mapping[str, Any]) -> bool:
    verb, _, target = request["kind"].partition(" ")
    if request["status"] >= 400 or " -> " in request["kind"]:
        return False
    if verb in ("queue.put", "queue.delete_message", "queue.update_message"):
        return True
    is_write = verb in ("table.batch", "table.post", "table.put", "table.patch", "table.delete")
    return is_write and target in ("History", "Instances")


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
