"""The Instances table: one row per instance, a view of its current execution.

Every commit merges into the row after the history. Where this process knows the row's ETag the merge carries it, so
that a worker that was paused in between cannot put an old status over a newer one; where it does not, it merges
without, as the reference does.

Source: DurableTask.AzureStorage, AzureTableTrackingStore.
"""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from taskhub.codec.instance_rows import (
    ROW_KEY,
    creation_columns,
    decode_instance,
    offloaded_columns,
    status_columns,
    termination_columns,
)
from taskhub.codec.keys import escape_instance_id, prefix_bounds, unescape_instance_id
from taskhub.errors import BlobNotFound, MalformedMessage, RowChanged, RowExists, RowNotFound, TransientStorageError
from taskhub.model.ids import Utc
from taskhub.model.instance import InstancePage, RuntimeStatus
from taskhub.runtime.nursery import run_all
from taskhub.storage.port import AllOf, AnyOf, Comparison, Row, TableWrite, Where, Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.codec.overflow import Columns, EncodedRow
    from taskhub.model.history import ExecutionStarted, ExecutionTerminated
    from taskhub.model.ids import ETag, InstanceId
    from taskhub.model.instance import InstanceFilter, InstanceState
    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.runtime.large_values import LargeValues
    from taskhub.storage.port import Filter, TableStore

MAX_PARALLEL_BLOBS = 16

MAX_CREATE_ATTEMPTS = 6
"""Tries to put a row in the place of a former instance's."""

_logger = logging.getLogger("taskhub.instances")


class InstanceStore:
    """See the module."""

    def __init__(self, tables: TableStore, names: HubNames, large: LargeValues, environment: Environment) -> None:
        self._tables = tables
        self._table = names.instances_table
        self._hub = names.hub
        self._container = names.large_messages_container
        self._large = large
        self._environment = environment

    async def read(
        self,
        instance_id: InstanceId,
        *,
        with_input: bool = False,
        with_output: bool = False,
        fetch_large: bool = True,
    ) -> InstanceState | None:
        """Return the state of an instance, ``None`` when it has no row.

        Args:
            instance_id: which one.
            with_input: whether to resolve an input that lies in a blob; else it may show as the blob's URL.
            with_output: the same of the output.
            fetch_large: ``False`` resolves neither.
        """
        row = await self._tables.read(self._table, escape_instance_id(instance_id), ROW_KEY)
        if row is None:
            return None
        return await self._state(row, with_input=with_input and fetch_large, with_output=with_output and fetch_large)

    async def query(
        self,
        wanted: InstanceFilter,
        *,
        top: int,
        token: str | None,
        with_input: bool = True,
        with_output: bool = True,
        fetch_large: bool = True,
    ) -> InstancePage:
        """Return one page of instances in order of their ids; it may be short, or empty, and still have a token.

        A row that cannot be read is reported and left out. With ``fetch_large`` ``False``, values in blobs show as the
        URLs of their blobs.
        """
        resolves_input, resolves_output = with_input and fetch_large, with_output and fetch_large
        page = await self._tables.query(
            self._table,
            _where(wanted),
            select=status_columns(with_input=with_input, with_output=with_output),
            top=top,
            token=token,
        )
        states = await run_all(
            self._environment.spawn,
            [
                lambda row=row: self._state_or_none(row, with_input=resolves_input, with_output=resolves_output)  # type: ignore[misc]  # binds
                for row in page.rows
            ],
            limit=MAX_PARALLEL_BLOBS,
            name="read instance",
        )
        return InstancePage([state for state in states if state is not None], page.token)

    def encode(self, started: ExecutionStarted, *, input_url: str | None) -> EncodedRow:
        """Return the row of an instance that a client is about to start; stores nothing.

        Args:
            started: the event of the start message.
            input_url: URL of that message's blob, if the message is large.

        Raises:
            PayloadError: a value cannot be stored.
        """
        return creation_columns(started, hub=self._hub, now=self._now(), input_url=input_url, new_suffix=self._suffix)

    async def create(self, instance_id: InstanceId, row: EncodedRow, *, replaces: InstanceState | None) -> ETag | None:
        """Write the row of an instance that a client started, after its message was put; return its ETag.

        When another client was quicker nothing is written: the worker will discard our message.

        Args:
            instance_id: of the instance.
            row: of :meth:`encode`.
            replaces: the id's former instance, as it was read.

        Raises:
            TransientStorageError: somebody else writes the row all the time.
        """
        await self._large.put_all(row.offloaded)
        found = replaces
        for _ in range(MAX_CREATE_ATTEMPTS):
            kind = Write.INSERT if found is None else Write.REPLACE
            try:
                return await self._write(kind, instance_id, row.columns, None if found is None else found.etag)
            except (RowExists, RowChanged, RowNotFound):
                found = await self.read(instance_id)
            # A worker may have written more of the former instance, or it was purged; else there is a newer one.
            is_former = replaces is not None and found is not None and found.execution_id == replaces.execution_id
            if found is not None and not is_former:
                return None
        raise TransientStorageError(f"the row of instance '{instance_id}' is written by others all the time")

    async def merge(
        self, instance_id: InstanceId, columns: Columns, *, etag: ETag | None, is_new: bool = False
    ) -> ETag | None:
        """Merge columns into the row of an instance, or make the row; return its new ETag.

        Args:
            instance_id: which one.
            columns: what to write.
            etag: what the row must have; ``None``: whatever is there.
            is_new: whether nothing may be there.

        Raises:
            RowChanged: somebody wrote the row since ``etag``.
            RowNotFound: there is no row, and it is not to be made: the instance may have been purged.
            RowExists: there is a row that should be new.
        """
        return await self._write(Write.INSERT if is_new else Write.MERGE, instance_id, columns, etag)

    async def terminate_unstarted(self, instance_id: InstanceId, event: ExecutionTerminated) -> None:
        """Note the termination of an instance that has no history; one without a row has nothing to terminate."""
        row = termination_columns(
            event, instance_id=instance_id, now=self._now(), url_of=self._large.url_of, new_suffix=self._suffix
        )
        await self._large.put_all(row.offloaded)
        with contextlib.suppress(RowNotFound):
            await self._write(Write.MERGE, instance_id, row.columns, None)

    async def fail_unstarted(self, started: ExecutionStarted, reason: str) -> bool:
        """Note that an instance cannot begin, if its row still waits for that start; return whether it did."""
        instance = started.instance
        row = await self.read(instance.instance_id)
        if row is None or row.execution_id != instance.execution_id or row.status is not RuntimeStatus.Pending:
            return False
        now = self._now()
        columns: Columns = {
            "RuntimeStatus": RuntimeStatus.Failed.name,
            "LastUpdatedTime": now,
            "CompletedTime": now,
            "Output": reason,
        }
        try:
            await self._write(Write.MERGE, instance.instance_id, columns, row.etag)
        except (RowChanged, RowNotFound):
            return False
        return True

    async def delete(self, instance_id: InstanceId, *, etag: ETag | None) -> bool:
        """Delete the row of an instance, unless it was written since, with an ETag; return whether it is gone."""
        try:
            await self._write(Write.DELETE, instance_id, {}, etag)
        except RowNotFound:
            return True
        except RowChanged:
            return False
        return True

    async def _write(self, kind: Write, instance_id: InstanceId, columns: Columns, etag: ETag | None) -> ETag | None:
        row = Row(escape_instance_id(instance_id), ROW_KEY, columns)
        return await self._tables.write(self._table, TableWrite(kind, row, if_match=etag))

    async def _state_or_none(self, row: Row, *, with_input: bool, with_output: bool) -> InstanceState | None:
        try:
            return await self._state(row, with_input=with_input, with_output=with_output)
        except MalformedMessage as error:
            instance_id = unescape_instance_id(row.partition_key)
            _logger.error(
                "an instance is left out of a query: %s",
                error,
                extra={"event": "row_unreadable", "instance_id": instance_id, "error": str(error)},
            )
            return None

    async def _state(self, row: Row, *, with_input: bool, with_output: bool) -> InstanceState:
        large: Mapping[str, str] = {}
        unwanted = {name for name, wanted in (("Input", with_input), ("Output", with_output)) if not wanted}
        for column, blob_name in offloaded_columns(row.columns, container=self._container).items():
            if column in unwanted:
                continue
            # A blob that was purged, or an output that merely looks like one: the row's own text is shown.
            with contextlib.suppress(BlobNotFound, MalformedMessage):
                large = {**large, column: await self._large.get(blob_name)}
        return decode_instance(row.partition_key, row.columns, etag=row.etag, large=large)

    def _now(self) -> Utc:
        return Utc.of(self._environment.clock.now())

    def _suffix(self) -> int:
        return self._environment.random.getrandbits(31)


def _where(wanted: InstanceFilter) -> Filter | None:
    parts: list[Filter] = []
    if wanted.created_from is not None:
        parts.append(Where("CreatedTime", Comparison.GE, wanted.created_from))
    if wanted.created_to is not None:
        parts.append(Where("CreatedTime", Comparison.LE, wanted.created_to))
    if wanted.statuses:
        names = sorted(status.name for status in wanted.statuses)
        parts.append(_any_of([Where("RuntimeStatus", Comparison.EQ, name) for name in names]))
    if wanted.id_prefix:
        low, high = prefix_bounds(wanted.id_prefix)
        parts.append(Where("PartitionKey", Comparison.GE, low))
        if high is not None:
            parts.append(Where("PartitionKey", Comparison.LT, high))
    elif wanted.excludes_entities:
        parts.append(
            AnyOf(
                (
                    Where("PartitionKey", Comparison.LT, "@"),
                    Where("PartitionKey", Comparison.GE, "A"),
                )
            )
        )
    if not parts:
        return None
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _any_of(parts: Sequence[Filter]) -> Filter:
    return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
