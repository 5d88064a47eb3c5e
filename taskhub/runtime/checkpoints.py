"""Commits a checkpoint in the one safe order.

1. **Put** the outbound messages. If we stored first and crashed, what was decided would never happen; put twice is
   harmless, because its reader recognises the second copy.
2. **History**, under the sentinel's ETag. From here on the episode has taken place.
3. **Instance row**, a view of the history.
4. Delete what an earlier generation left in blobs.
5. The caller deletes the inbound messages: they are what makes a crashed episode run again.

Before anything is put the *fence* is asked: is the partition's lease long enough for nobody else to own it? A worker
that was paused must not send what an old copy of an instance decided, because the new owner may have decided
otherwise. The ETag alone would come too late.

Source: DurableTask.AzureStorage, CompleteTaskOrchestrationWorkItemAsync; storage.md 6.7, 8.4 D.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.codec.instance_rows import blob_urls, checkpoint_columns, repair_columns
from taskhub.core.episode import Checkpoint, KeepStatus
from taskhub.errors import LeaseLost, RowChanged, RowNotFound, TransientStorageError
from taskhub.model.ids import Utc
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.codec.overflow import Columns, EncodedRow
    from taskhub.core.episode import Outbound
    from taskhub.model.ids import InstanceId
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.services import Services
    from taskhub.runtime.sessions import Session

MAX_PARALLEL_PUTS = 32

MAX_ROW_ATTEMPTS = 6
"""Tries to write the Instances row, over about half a minute."""

_logger = logging.getLogger("taskhub.checkpoints")


class Checkpoints:
    """Writes what episodes decided."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._margin = timedelta(seconds=services.settings.fence_margin_seconds)

    async def commit(self, partition: Partition, session: Session, checkpoint: Checkpoint) -> None:
        """Make all writes of a checkpoint; ``session`` then knows what is stored.

        Raises:
            PayloadError: a value cannot be stored; nothing was written.
            LeaseLost: the partition may belong to another worker.
            StaleCheckpoint: another worker wrote the history; messages may have been put, as duplicates.
            TransientStorageError: the storage stayed away for too long; any part may have been written.
        """
        # All that may turn out to be unstorable before the first message: an orchestration that fails for it must not
        # have its work done all the same.
        rows = self._services.history.encode(
            checkpoint.instance, checkpoint.new_events, first_index=checkpoint.first_index
        )
        columns = self._columns(checkpoint, rows)
        self._fence(partition)
        await self._put(partition, checkpoint.outbound)
        session.etag = await self._services.history.commit(
            checkpoint.instance, rows, etag=session.etag, give_up=lambda: not self._is_ours(partition)
        )
        await self._write_row(partition, session, checkpoint, columns)
        if checkpoint.replaces:
            await self._services.large.delete_all(session.blobs)
            session.blobs = []
        session.blobs.extend(value.blob_name for row in rows for value in row.offloaded)

    async def repair_row(self, partition: Partition, instance_id: InstanceId, stored: StoredHistory) -> None:
        """See that the row of an instance says what its history says.

        A worker that died between the history and the row left them different.
        """
        if stored.execution_id is None or not stored.events:
            return
        self._fence(partition)
        row = await self._services.instances.read(instance_id)
        if row is not None and row.execution_id not in (None, stored.execution_id):
            return  # a client started the instance anew: the row belongs to that start
        columns = repair_columns(
            stored.events,
            hub=self._services.names.hub,
            execution_id=stored.execution_id,
            row_exists=row is not None,
            input_url=stored.urls.input,
            output_url=stored.urls.output,
        )
        if row is not None and row.status is not None and columns.get("RuntimeStatus") == row.status.name:
            return
        with contextlib.suppress(RowChanged, RowNotFound):
            await self._services.instances.merge(instance_id, columns, etag=row.etag if row else None)
            _logger.info(
                "row of instance '%s' was behind its history and is repaired",
                instance_id,
                extra={"event": "row_repaired", "instance_id": instance_id},
            )

    def _is_ours(self, partition: Partition) -> bool:
        return partition.is_ours(self._services.environment.clock.now(), margin=self._margin)

    def _fence(self, partition: Partition) -> None:
        if not self._is_ours(partition):
            raise LeaseLost(f"the lease of {partition.queue} is lost or about to end")

    async def _put(self, partition: Partition, outbound: Sequence[Outbound]) -> None:
        if not outbound:
            return
        await run_all(
            self._services.environment.spawn,
            [lambda message=message: self._put_one(partition, message) for message in outbound],  # type: ignore[misc]  # binds
            limit=MAX_PARALLEL_PUTS,
            name="put message",
        )

    async def _put_one(self, partition: Partition, outbound: Outbound) -> None:
        await self._services.health.retry(
            lambda: self._services.messenger.send(
                outbound.outgoing.message,
                sender=outbound.sender,
                episode=outbound.episode,
                due=outbound.outgoing.due,
            ),
            give_up=lambda: not self._is_ours(partition),
        )

    async def _write_row(
        self, partition: Partition, session: Session, checkpoint: Checkpoint, columns: Columns
    ) -> None:
        instance_id = checkpoint.instance.instance_id
        attempts = 0

        def give_up() -> bool:
            nonlocal attempts
            attempts += 1
            return attempts >= MAX_ROW_ATTEMPTS

        etag = session.row_etag
        for _ in range(MAX_ROW_ATTEMPTS):
            # The history is stored; the row must only not go back behind what a new owner writes.
            self._fence(partition)
            try:
                session.row_etag = await self._services.health.retry(
                    lambda etag=etag: self._services.instances.merge(instance_id, columns, etag=etag),  # type: ignore[misc]  # binds
                    give_up=give_up,
                )
            except (RowChanged, RowNotFound):
                row = await self._services.instances.read(instance_id)
                if row is not None and row.execution_id not in (None, checkpoint.instance.execution_id):
                    session.row_etag = None
                    return  # a client started the instance anew: the row belongs to that start
                etag = row.etag if row else None
            else:
                return
        raise TransientStorageError(f"the row of instance '{instance_id}' is written by others all the time")

    def _columns(self, checkpoint: Checkpoint, rows: Sequence[EncodedRow]) -> Columns:
        execution_id = checkpoint.instance.execution_id
        if execution_id is None:
            raise ValueError("a checkpoint belongs to an execution")
        urls = blob_urls(checkpoint.new_events, rows, self._services.large.url_of)
        keeps = isinstance(checkpoint.custom_status, KeepStatus)
        columns = checkpoint_columns(
            checkpoint.new_events,
            hub=self._services.names.hub,
            execution_id=execution_id,
            custom_status=None if isinstance(checkpoint.custom_status, KeepStatus) else checkpoint.custom_status,
            now=Utc.of(self._services.environment.clock.now()),
            status=checkpoint.status,
            input_url=urls.input,
            output_url=urls.output,
        )
        if keeps and checkpoint.first_index > 0:
            del columns["CustomStatus"]
        return columns
