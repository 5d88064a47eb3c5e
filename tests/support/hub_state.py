"""Everything that a hub has in storage, read through the port."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.codec.history_rows import decode_event, offloaded_columns
from taskhub.codec.keys import SENTINEL
from taskhub.codec.overflow import decompress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.model.history import HistoryEvent
    from taskhub.names import HubNames
    from taskhub.storage.port import Row, Storage


@dataclass(frozen=True)
class HubState:
    """Rows of the tables, numbers of messages, texts of the blobs."""

    history: Sequence[Row]
    instances: Sequence[Row]
    partitions: Sequence[Row]
    messages: Mapping[str, int]
    blobs: Mapping[str, str]

    def history_rows(self, partition_key: str) -> list[Row]:
        """Return the rows of an instance's current execution, and no others."""
        rows = [row for row in self.history if row.partition_key == partition_key]
        sentinel = self.sentinel(partition_key)
        current: list[Row] = []
        for row in rows:
            if row.row_key == SENTINEL or row.columns["ExecutionId"] != sentinel.columns["ExecutionId"]:
                break
            current.append(row)
        return current

    def sentinel(self, partition_key: str) -> Row:
        """Return the sentinel of an instance."""
        (found,) = [row for row in self.history if (row.partition_key, row.row_key) == (partition_key, SENTINEL)]
        return found

    def events(self, partition_key: str) -> list[HistoryEvent]:
        """Return the history of an instance's current execution."""
        return [
            decode_event(
                row.columns, {column: self.blobs[name] for column, name in offloaded_columns(row.columns).items()}
            )
            for row in self.history_rows(partition_key)
        ]


async def read_hub(storage: Storage, names: HubNames, *, partition_count: int) -> HubState:
    """Read a hub."""
    queues = [names.work_item_queue, *(names.control_queue(index) for index in range(partition_count))]  # type: ignore[arg-type]
    blobs = await storage.blobs.list_blobs(names.large_messages_container, "")
    return HubState(
        history=await _rows(storage, names.history_table),
        instances=await _rows(storage, names.instances_table),
        partitions=await _partitions(storage, names),
        messages={queue: await storage.queues.count(queue) for queue in queues},
        blobs={
            blob.name: decompress(await storage.blobs.get_blob(names.large_messages_container, blob.name))
            for blob in blobs
        },
    )


async def _partitions(storage: Storage, names: HubNames) -> list[Row]:
    # A hub whose leases are blobs has no such table.
    if not await storage.tables.table_exists(names.partitions_table):
        return []
    return await _rows(storage, names.partitions_table)


async def _rows(storage: Storage, table: str) -> list[Row]:
    rows: list[Row] = []
    token = None
    while True:
        page = await storage.tables.query(table, token=token)
        rows.extend(page.rows)
        token = page.token
        if token is None:
            return rows
