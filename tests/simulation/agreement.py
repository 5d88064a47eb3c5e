"""Looks, at every write, whether what is stored in one place agrees with what is stored in another.

A reader may come at any moment, and the worker may die right after. So the history must never refer to a blob that is
not there, no row may say that an instance has completed before its history does, and a checkpoint that says that it is
complete must hold the end of its episode.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.codec.history_rows import offloaded_columns
from taskhub.codec.keys import SENTINEL
from taskhub.storage.port import Write
from tests.simulation.checks import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.names import HubNames
    from taskhub.storage.interception import Call
    from taskhub.storage.port import TableWrite

_Columns = dict[str, object]


class Agreement:
    """See the module."""

    def __init__(self, names: HubNames) -> None:
        self._names = names
        self._history: dict[str, dict[str, _Columns]] = {}
        """Columns by partition key and row key."""
        self._purged: set[tuple[str, str]] = set()
        """Executions, by partition key and id, whose end was stored and purged before the row told of it."""
        self._deleted: set[str] = set()
        """Blobs that are gone."""

    def see(self, call: Call) -> None:
        """Take a call into account that was carried out.

        Raises:
            Violation: the store contradicts itself.
        """
        if call.method == "batch" and call.target == self._names.history_table:
            self._batch(call.arguments[0])
        elif call.method == "write" and call.target == self._names.history_table:
            self._apply(call.arguments[0])
        elif call.method == "write" and call.target == self._names.instances_table:
            self._row(call.arguments[0])
        elif call.service == "blob" and call.target == self._names.large_messages_container:
            self._blob(call)

    def _batch(self, operations: Sequence[TableWrite]) -> None:
        for operation in operations:
            self._apply(operation)
        *events, sentinel = (operation.row for operation in operations)
        if sentinel.row_key != SENTINEL or not events or sentinel.columns.get("IsCheckpointComplete") is not True:
            return
        last = events[-1].columns.get("EventType")
        if last is not None and last != "OrchestratorCompleted":
            raise Violation(f"a checkpoint of {sentinel.partition_key} ends with {last} and says that it is complete")

    def _apply(self, operation: TableWrite) -> None:
        row = operation.row
        rows = self._history.setdefault(row.partition_key, {})
        if operation.kind is Write.DELETE:
            deleted = rows.pop(row.row_key, {})
            if deleted.get("EventType") == "ExecutionCompleted":
                self._purged.add((row.partition_key, str(deleted.get("ExecutionId"))))
            return
        merges = operation.kind in (Write.MERGE, Write.INSERT_OR_MERGE)
        rows[row.row_key] = {**(rows.get(row.row_key, {}) if merges else {}), **row.columns}
        for name in offloaded_columns(row.columns).values():
            if name in self._deleted:
                raise Violation(f"history of {row.partition_key} refers to the blob {name}, which was deleted")

    def _row(self, write: TableWrite) -> None:
        columns = write.row.columns
        if columns.get("RuntimeStatus") != "Completed":
            return
        execution = (write.row.partition_key, str(columns.get("ExecutionId")))
        events = self._current(*execution)
        if execution not in self._purged and not any(
            event.get("EventType") == "ExecutionCompleted" for event in events
        ):
            raise Violation(f"the row of {write.row.partition_key} says that it has completed before its history does")

    def _blob(self, call: Call) -> None:
        if call.method not in ("put_blob", "delete_blob"):
            return
        name = str(call.arguments[0])
        if call.method == "put_blob":
            self._deleted.discard(name)
        else:
            self._deleted.add(name)
            for key in self._history:
                if any(name in offloaded_columns(event).values() for event in self._current(key)):
                    raise Violation(f"the blob {name} is deleted while the history of {key} refers to it")

    def _current(self, key: str, execution_id: str | None = None) -> list[_Columns]:
        """Return the rows of an execution, by default of the one that the sentinel names."""
        rows = self._history.get(key, {})
        wanted = execution_id or rows.get(SENTINEL, {}).get("ExecutionId")
        return [
            columns for row_key, columns in rows.items() if row_key != SENTINEL and columns.get("ExecutionId") == wanted
        ]
