"""A store that counts its calls by the kinds of the recordings, so that both can be compared.

A kind is verb, target and, when the service refuses, the status: ``queue.get full control``,
``table.batch History``, ``blob.put applease -> 409``. One table batch is one call. The list is in
``tests/golden/storage/README.md``; calls that the reference never makes have names of the same sort.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

from taskhub.errors import (
    BlobExists,
    BlobNotFound,
    ContentRefused,
    LeaseHeld,
    MessageGone,
    QueueNotFound,
    RowChanged,
    RowExists,
    RowNotFound,
    StorageError,
    StorageRefused,
    TableNotFound,
    TransientStorageError,
)
from taskhub.storage.interception import Call, intercepted
from taskhub.storage.port import Write

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskhub.storage.port import Storage

_VERBS: Mapping[tuple[str, str], str] = {
    ("queue", "create_queue"): "queue.put.admin",
    ("queue", "delete_queue"): "queue.delete.admin",
    ("queue", "list_queues"): "queue.get.list",
    ("queue", "put"): "queue.put",
    ("queue", "get"): "queue.get",
    ("queue", "update"): "queue.update_message",
    ("queue", "delete"): "queue.delete_message",
    ("queue", "count"): "queue.get.metadata",
    ("queue", "snapshot"): "queue.get.snapshot",
    ("table", "create_table"): "table.post.admin",
    ("table", "delete_table"): "table.delete.admin",
    ("table", "table_exists"): "table.query",
    ("table", "read"): "table.get",
    ("table", "query"): "table.query",
    ("table", "batch"): "table.batch",
    ("blob", "create_container"): "blob.put",
    ("blob", "delete_container"): "blob.delete",
    ("blob", "container_exists"): "blob.head",
    ("blob", "put_blob"): "blob.put",
    ("blob", "get_blob"): "blob.get",
    ("blob", "blob_item"): "blob.head",
    ("blob", "delete_blob"): "blob.delete",
    ("blob", "list_blobs"): "blob.get.list",
    ("blob", "lease_state"): "blob.head",
    ("blob", "acquire_lease"): "blob.put.lease",
    ("blob", "renew_lease"): "blob.put.lease",
    ("blob", "change_lease"): "blob.put.lease",
    ("blob", "release_lease"): "blob.put.lease",
}

_WRITE_VERBS: Mapping[Write, str] = {
    Write.INSERT: "table.post",
    Write.REPLACE: "table.put",
    Write.INSERT_OR_REPLACE: "table.put",
    Write.MERGE: "table.patch",
    Write.INSERT_OR_MERGE: "table.patch",
    Write.DELETE: "table.delete",
}

_STATUSES: Mapping[type[StorageError], int] = {
    QueueNotFound: 404,
    MessageGone: 404,
    TableNotFound: 404,
    RowExists: 409,
    RowNotFound: 404,
    RowChanged: 412,
    BlobNotFound: 404,
    BlobExists: 409,
    LeaseHeld: 409,
    StorageRefused: 400,
    ContentRefused: 400,
    TransientStorageError: 503,
}

_REFUSED_ANSWERS: Mapping[str, tuple[object, int]] = {
    "create_table": (False, 409),
    "create_container": (False, 409),
    "delete_queue": (False, 404),
    "delete_table": (False, 404),
    "table_exists": (False, 404),
    "delete_container": (False, 404),
    "container_exists": (False, 404),
    "delete_blob": (False, 404),
    "read": (None, 404),
    "blob_item": (None, 404),
}
"""Answers that are values at the port and a status of the service. (A queue that exists is a 204.)"""

_TARGETS = re.compile(
    r"-(control)-\d\d$|-(workitems|largemessages|deadletters|applease|leases)$|(History|Instances|Partitions)$",
    re.IGNORECASE,
)


class CallCounter:
    """Counts calls; wrap as many stores with it as shall be counted together."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        """Calls by kind."""

    @property
    def total(self) -> int:
        """How many calls were made."""
        return self.counts.total()

    def __repr__(self) -> str:
        return f"<CallCounter {self.total} calls of {len(self.counts)} kinds>"

    def wrap(self, storage: Storage) -> Storage:
        """Return a store whose calls are counted."""
        return intercepted(storage, self._around)

    def matching(self, prefix: str) -> int:
        """Return how many calls had a kind that begins with ``prefix``, say ``queue.get empty``."""
        return sum(count for kind, count in self.counts.items() if kind.startswith(prefix))

    async def _around(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        try:
            answer = await act()
        except StorageError as error:
            self.counts[f"{_kind(call)} -> {_STATUSES.get(type(error), 400)}"] += 1
            raise
        if call.method == "get" and call.service == "queue":
            self.counts[f"queue.get {'full' if answer else 'empty'} {_target(call)}"] += 1
            return answer
        refusal = _REFUSED_ANSWERS.get(call.method)
        suffix = f" -> {refusal[1]}" if refusal is not None and answer is refusal[0] else ""
        self.counts[f"{_kind(call)}{suffix}"] += 1
        return answer


def _kind(call: Call) -> str:
    if call.method == "write":
        operation = call.arguments[0] if call.arguments else call.options["operation"]
        return f"{_WRITE_VERBS[operation.kind]} {_target(call)}"
    return f"{_VERBS[call.service, call.method]} {_target(call)}"


def _target(call: Call) -> str:
    """Return what part of a hub a name is; of another name, the name."""
    found = _TARGETS.search(call.target)
    return next(group for group in found.groups() if group) if found else call.target
