"""Commits a checkpoint in the one safe order.

0. How the episode began, where it was told something and sends something: see :class:`taskhub.core.episode.Ahead`.
1. **Put** the outbound messages, the answer to a parent last. If we stored first and crashed, what was decided would
   never happen; put twice is harmless, because its reader recognises the second copy.
2. **History**, under the sentinel's ETag. From here on the episode has taken place.
3. **Instance row**, a view of the history.
4. Delete the timers that nobody waits for any more, and what an earlier generation left in blobs.
5. The caller deletes the inbound messages: they are what makes a crashed episode run again.

Before anything is put the *fence* is asked: is the partition's lease long enough for nobody else to own it? A worker
that was paused must not send what an old copy of an instance decided, because the new owner may have decided
otherwise. The ETag alone would come too late.

Source: DurableTask.AzureStorage, CompleteTaskOrchestrationWorkItemAsync; storage.md 6.7, 8.4 D.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.codec.entity_texts import decode_taken_requests
from taskhub.codec.instance_rows import blob_urls, checkpoint_columns, repair_columns
from taskhub.core.admission import is_of_later
from taskhub.core.episode import Checkpoint, KeepStatus
from taskhub.core.execution_memory import ExecutionMemory
from taskhub.errors import (
    LeaseLost,
    MessageGone,
    RowChanged,
    RowExists,
    RowNotFound,
    StorageError,
    TransientStorageError,
)
from taskhub.model.entities import is_entity
from taskhub.model.history import SubOrchestrationCompleted, SubOrchestrationFailed, TimerFired
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime.local_messages import Kept
from taskhub.runtime.nursery import run_all
from taskhub.runtime.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.codec.overflow import Columns, EncodedRow
    from taskhub.core.episode import Ahead, Outbound
    from taskhub.model.history import OrchestrationInstance
    from taskhub.model.ids import ExecutionId, InstanceId
    from taskhub.model.instance import InstanceState
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.local_messages import LocalMessages
    from taskhub.runtime.messenger import PackedMessage
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.services import Services
    from taskhub.runtime.sessions import StoredInstance

MAX_PARALLEL_PUTS = 32

MAX_ROW_ATTEMPTS = 6
"""Tries to write the Instances row, over about half a minute."""

_ANSWERS_TO_PARENTS = (SubOrchestrationCompleted, SubOrchestrationFailed)

_logger = logging.getLogger("taskhub.checkpoints")


@dataclass(frozen=True, slots=True)
class Sent:
    """A checkpoint whose messages are put, and whose history is to be stored next."""

    checkpoint: Checkpoint
    rows: Sequence[EncodedRow]
    """Of the history, that are not stored yet."""
    columns: Columns
    """Of the Instances row, as the episodes since it was written last leave them."""
    kept: Kept
    is_first: bool
    """Whether the instance had no history before."""


class Checkpoints:
    """Writes what episodes decided.

    Args:
        services: of the hub.
        local: hands messages over to other parts of the same worker; ``None``: all go by the queues.
    """

    def __init__(self, services: Services, local: LocalMessages | None) -> None:
        self._services = services
        self._local = local
        self._margin = timedelta(seconds=services.settings.fence_margin_seconds)

    async def commit(self, partition: Partition, session: StoredInstance, checkpoint: Checkpoint) -> None:
        """Make all writes of a checkpoint; ``session`` then knows what is stored.

        Raises:
            PayloadError: a value cannot be stored; nothing was written.
            LeaseLost: the partition may belong to another worker.
            StaleCheckpoint: another worker wrote the history; messages may have been put, as duplicates.
            TransientStorageError: the storage stayed away for too long; any part may have been written.
        """
        await self.store(partition, session, await self.send(partition, session, checkpoint))

    async def send(
        self, partition: Partition, session: StoredInstance, checkpoint: Checkpoint, *, after: Sent | None = None
    ) -> Sent:
        """Make the writes of a checkpoint up to its messages.

        Args:
            partition: of the instance.
            session: what is known of it.
            checkpoint: what to write.
            after: the episode before, if only its messages are put. Its history is stored before any message of this
                one, or else with it.

        Raises:
            As :meth:`commit`.
        """
        # All that may turn out to be unstorable before the first message: an orchestration that fails for it must not
        # have its work done all the same.
        rows = self._services.history.encode(
            checkpoint.instance, checkpoint.new_events, first_index=checkpoint.first_index
        )
        columns = self._columns(checkpoint, rows)
        if after is not None and not checkpoint.replaces:
            columns = {**after.columns, **columns}
        ahead = self._encode_ahead(checkpoint, rows)
        is_first = session.etag is None if after is None else after.is_first
        unstored = () if after is None else after.rows
        self._fence(partition)
        kept = self._local.keep(checkpoint.outbound) if self._local is not None else Kept()
        try:
            await self._put(partition, checkpoint.farewell, kept)
            if checkpoint.ahead is not None:
                opening = (*unstored, *ahead)
                taken_requests = checkpoint.taken_requests if checkpoint.ahead.remembers else None
                await self._store_ahead(partition, session, checkpoint.ahead, opening, taken_requests)
                unstored = ()
                if checkpoint.ahead.instance == checkpoint.instance:
                    rows = rows[len(ahead) :]
                self._fence(partition)  # that took its time
            await self._send(partition, checkpoint.outbound, kept)
        except Exception:
            await kept.give_back()
            raise
        finally:
            kept.let_go()
        # Nothing is left of a generation that another one takes the place of.
        return Sent(checkpoint, rows if checkpoint.replaces else (*unstored, *rows), columns, kept, is_first=is_first)

    async def store(self, partition: Partition, session: StoredInstance, sent: Sent) -> None:
        """Store the history of a checkpoint whose messages are put, hand over what stays here, and write the row.

        Raises:
            As :meth:`commit`.
        """
        checkpoint = sent.checkpoint
        try:
            self._fence(partition)
            session.etag = await self._services.history.commit(
                checkpoint.instance,
                sent.rows,
                etag=session.etag,
                give_up=lambda: not self._is_ours(partition),
                taken_requests=checkpoint.taken_requests,
                clears=checkpoint.clears,
            )
            await sent.kept.hand_over()
        except Exception:
            await sent.kept.give_back()
            raise
        await self._write_row(partition, session, checkpoint, sent.columns, is_first=sent.is_first)
        await self._delete_timers(session, checkpoint, sent.kept.timers)
        if checkpoint.replaces:
            await self._services.large.delete_all(session.blobs)
            session.blobs = []
        session.blobs.extend(_blobs(sent.rows))

    async def _delete_timers(self, session: StoredInstance, checkpoint: Checkpoint, put: Mapping[int, Receipt]) -> None:
        """Delete the messages of timers that nobody waits for any more, as far as we know their receipts.

        They would come in hours or days, for an execution that has ended. What cannot be deleted does.
        """
        if not self._services.settings.delete_timers:
            return
        over: list[Receipt] = []
        if checkpoint.replaces:
            over += session.timers.values()
            session.timers = {}
        session.timers.update(put)
        if checkpoint.is_final:
            over += session.timers.values()
            session.timers = {}
        if self._local is not None:
            self._local.forget_timers(over)
        for timer in over:
            try:
                await self._services.storage.queues.delete(timer.queue, timer.message_id, timer.receipt)
            except MessageGone:
                continue  # somebody has read it
            except StorageError as error:
                self._services.health.failed(error)
                return

    def _encode_ahead(self, checkpoint: Checkpoint, rows: Sequence[EncodedRow]) -> Sequence[EncodedRow]:
        """Return the rows of how an episode began, where they are stored before its messages."""
        ahead = checkpoint.ahead
        if ahead is None:
            return ()
        if ahead.instance == checkpoint.instance:
            return rows[: len(ahead.events)]
        return self._services.history.encode(ahead.instance, ahead.events, first_index=ahead.first_index)

    async def _store_ahead(
        self,
        partition: Partition,
        session: StoredInstance,
        ahead: Ahead,
        rows: Sequence[EncodedRow],
        taken_requests: str | None,
    ) -> None:
        session.etag = await self._services.history.commit(
            ahead.instance,
            rows,
            etag=session.etag,
            give_up=lambda: not self._is_ours(partition),
            is_complete=False,
            # That it has begun must be known for as long as its start may come again, whoever finishes the episode.
            taken_requests=taken_requests,
        )
        session.blobs.extend(_blobs(rows))

    async def repair_row(
        self,
        partition: Partition,
        instance_id: InstanceId,
        stored: StoredHistory,
        *,
        instead_of: ExecutionId | None = None,
    ) -> InstanceState | None:
        """See that the row of an instance says what its history says.

        A worker that died between the history and the row left them different. But the row may belong to a start that
        is to come, because a client has started the instance anew: then it is left alone, and returned.

        Args:
            partition: of the instance.
            instance_id: which one.
            stored: its history.
            instead_of: the execution before, which the row may still show.
        """
        if stored.execution_id is None or not stored.events:
            return None
        for _ in range(MAX_ROW_ATTEMPTS):
            row = await self._services.instances.read(instance_id)
            if row is None and await self._services.history.execution_of(instance_id) != stored.execution_id:
                return None  # it was purged
            # Not before: paused in between we would put what we knew over what the next owner has written.
            self._fence(partition)
            with contextlib.suppress(RowChanged, RowNotFound, RowExists):
                return await self._repair_row(instance_id, row, stored, stored.execution_id, instead_of)
        raise TransientStorageError(f"the row of instance '{instance_id}' is written by others all the time")

    async def _repair_row(
        self,
        instance_id: InstanceId,
        row: InstanceState | None,
        stored: StoredHistory,
        execution_id: ExecutionId,
        instead_of: ExecutionId | None,
    ) -> InstanceState | None:
        shown = row.execution_id if row is not None else None
        if (
            row is not None
            and shown not in (None, execution_id, instead_of)
            and not ExecutionMemory(decode_taken_requests(stored.taken_requests)).has_begun(shown)
            and is_of_later(row, stored.events)
        ):
            return row
        is_behind = shown is not None and shown != execution_id
        columns = repair_columns(
            stored.events,
            hub=self._services.names.hub,
            execution_id=execution_id,
            row_exists=row is not None,
            has_input=not is_behind,
            input_url=stored.urls.input,
            output_url=stored.urls.output,
        )
        says_so = row is not None and row.status is not None and columns.get("RuntimeStatus") == row.status.name
        if says_so and not is_behind:
            return None
        await self._services.instances.merge(instance_id, columns, etag=row.etag if row else None, is_new=row is None)
        _logger.info(
            "row of instance '%s' was behind its history and is repaired",
            instance_id,
            extra={"event": "row_repaired", "instance_id": instance_id},
        )
        return None

    def _is_ours(self, partition: Partition) -> bool:
        return partition.is_ours(self._services.environment.clock.now(), margin=self._margin)

    def _fence(self, partition: Partition) -> None:
        if not self._is_ours(partition):
            raise LeaseLost(f"the lease of {partition.queue} is lost or about to end")

    async def _send(self, partition: Partition, outbound: Sequence[Outbound], kept: Kept) -> None:
        """Put messages, the answer to a parent last.

        On hearing of the end the parent may start another child under the same id, which takes the place of this one.
        """
        for is_answer in (False, True):
            part = [
                each for each in outbound if isinstance(each.outgoing.message.event, _ANSWERS_TO_PARENTS) is is_answer
            ]
            await self._put(partition, part, kept)

    async def _put(self, partition: Partition, outbound: Sequence[Outbound], kept: Kept) -> None:
        if not outbound:
            return
        await run_all(
            self._services.environment.spawn,
            [lambda message=message: self._put_one(partition, message, kept) for message in outbound],  # type: ignore[misc]  # binds
            limit=MAX_PARALLEL_PUTS,
            name="put message",
        )

    async def _put_one(self, partition: Partition, outbound: Outbound, kept: Kept) -> None:
        messenger = self._services.messenger
        packed = messenger.pack(outbound.outgoing.message, sender=outbound.sender, episode=outbound.episode)
        if packed.blob_name is not None:
            packed = await self._store_message(partition, packed, packed.blob_name)
        receipt = await self._services.health.retry(
            lambda: messenger.put(packed, due=outbound.outgoing.due, hide_seconds=kept.hide_seconds(outbound)),
            give_up=lambda: not self._is_ours(partition),
        )
        kept.put(outbound, packed, receipt)
        event = packed.envelope.message.event
        if isinstance(event, TimerFired):
            kept.timers[event.timer_id] = Receipt(packed.queue, receipt.id, receipt.receipt)

    async def _store_message(self, partition: Partition, packed: PackedMessage, blob_name: str) -> PackedMessage:
        try:
            return await self._services.health.retry(
                lambda: self._services.messenger.store(packed), give_up=lambda: not self._is_ours(partition)
            )
        except (TransientStorageError, asyncio.CancelledError):  # cancelled: another message was given up
            # It may be there, and no message will name it: were the instance purged meanwhile, it would stay for ever.
            await self._services.large.discard(blob_name)
            raise

    async def _write_row(
        self,
        partition: Partition,
        session: StoredInstance,
        checkpoint: Checkpoint,
        columns: Columns,
        *,
        is_first: bool,
    ) -> None:
        instance_id = checkpoint.instance.instance_id
        attempts = 0

        def give_up() -> bool:
            nonlocal attempts
            attempts += 1
            return attempts >= MAX_ROW_ATTEMPTS or (etag is None and not is_new)

        etag, is_new = session.row_etag, is_first and session.row_etag is None
        if etag is None and not is_first and self._must_look_at_row(instance_id):
            row = await self._look_at_row(instance_id)
            if row is not None and _is_of_new_start(row, session, checkpoint.instance):
                return
            columns = _telling_that_it_runs(columns, row, session, checkpoint.instance)
            etag, is_new = (row.etag, False) if row else (None, True)
        for _ in range(MAX_ROW_ATTEMPTS):
            # The history is stored; the row must only not go back behind what a new owner writes.
            self._fence(partition)
            try:
                session.row_etag = await self._services.health.retry(
                    lambda columns=columns, etag=etag, is_new=is_new: self._services.instances.merge(  # type: ignore[misc]  # binds
                        instance_id, columns, etag=etag, is_new=is_new
                    ),
                    give_up=give_up,
                )
            except (RowChanged, RowNotFound, RowExists, TransientStorageError) as error:
                if isinstance(error, TransientStorageError) and (etag is not None or is_new):
                    raise
                # Without an ETag it may have been written in spite of the error, and since then an end that a client
                # saw may have been followed by a new start.
                row = await self._look_at_row(instance_id)
                if not await self._still_counts(session, checkpoint, row):
                    session.row_etag = None
                    return
                columns = _telling_that_it_runs(columns, row, session, checkpoint.instance)
                etag, is_new = (row.etag, False) if row else (None, True)
            else:
                if etag is None and not is_new and not self._is_ours(partition):
                    await self._undo_late_write(instance_id)
                elif is_new and not is_first and not await self._is_current(checkpoint.instance):
                    # Purged while we wrote: nothing may be left of it.
                    await self._services.instances.delete(instance_id, etag=session.row_etag)
                return
        raise TransientStorageError(f"the row of instance '{instance_id}' is written by others all the time")

    async def _look_at_row(self, instance_id: InstanceId) -> InstanceState | None:
        # The history is stored: no reason to begin again.
        return await self._services.health.retry_briefly(lambda: self._services.instances.read(instance_id))

    async def _undo_late_write(self, instance_id: InstanceId) -> None:
        """Let a row say what the history says, after we wrote it without an ETag, and perhaps too late.

        We may have been paused in the middle, and the partition's new owner may have written it before us.
        """
        row = await self._services.instances.read(instance_id)
        stored = await self._services.history.load(instance_id)
        if row is None or stored.execution_id is None or not stored.events:
            return
        columns = repair_columns(
            stored.events,
            hub=self._services.names.hub,
            execution_id=stored.execution_id,
            row_exists=True,
            has_input=row.execution_id == stored.execution_id,
            input_url=stored.urls.input,
            output_url=stored.urls.output,
        )
        with contextlib.suppress(RowChanged, RowNotFound):
            await self._services.instances.merge(instance_id, columns, etag=row.etag)

    def _must_look_at_row(self, instance_id: InstanceId) -> bool:
        """Return whether a row that this process has not seen is read before it is written.

        A write without its ETag could be the late one of a worker that was paused in the middle of it, over what the
        partition's new owner wrote meanwhile; or hide that a client started the instance anew. Without warm sessions
        every episode comes here: the reference does not look, and nor do we unless running instances are replaced.
        """
        settings = self._services.settings
        return is_entity(instance_id) or settings.warm_sessions or settings.overridable_running_instances

    async def _still_counts(self, session: StoredInstance, checkpoint: Checkpoint, row: InstanceState | None) -> bool:
        """Return whether a row that was written by somebody else is to be written with our checkpoint after all."""
        instance = checkpoint.instance
        if row is None:
            return await self._is_current(instance)  # or it was purged
        if row.execution_id in (None, instance.execution_id):
            return True
        if _is_of_new_start(row, session, instance):
            return False
        # An earlier execution's, or a later one's: then the history is, too.
        return await self._is_current(instance)

    async def _is_current(self, instance: OrchestrationInstance) -> bool:
        return await self._services.history.execution_of(instance.instance_id) == instance.execution_id

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


def _blobs(rows: Sequence[EncodedRow]) -> list[str]:
    return [value.blob_name for row in rows for value in row.offloaded]


def _telling_that_it_runs(
    columns: Columns, row: InstanceState | None, session: StoredInstance, instance: OrchestrationInstance
) -> Columns:
    """Return what is written to a row; with the status, if whoever stored the first episode did not write it."""
    is_behind = row is not None and row.status is RuntimeStatus.Pending and row.execution_id == instance.execution_id
    if not is_behind or "RuntimeStatus" in columns or session.state.status is RuntimeStatus.Pending:
        return columns
    return {**columns, "RuntimeStatus": session.state.status.name}


def _is_of_new_start(row: InstanceState, session: StoredInstance, instance: OrchestrationInstance) -> bool:
    """Return whether a client has started an instance anew, so that its row belongs to a start which is to come.

    A row may also be Pending because nobody came to write it since the start that is being run now.
    """
    return (
        row.status is RuntimeStatus.Pending
        and row.execution_id not in (None, instance.execution_id)
        and not session.has_begun(row.execution_id)
    )
