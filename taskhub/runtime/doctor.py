"""Looks over a whole hub for what is stuck, lost or disagreeing, and repairs what can be repaired.

It looks twice, some seconds apart, and believes what it saw both times with the same ETags: a hub at work changes while
it is read. Looking changes nothing, with one exception: Azure shows messages to those only who take them. There, and
only while no worker is at work, visible messages are taken for a moment and given back; hidden ones stay unseen, and
what may be explained by one of them is not reported.

A repair reads again what it was found by. It goes on only when the ETag is still the same, and writes under it, or puts
a message that whoever reads it recognises when it was there after all.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskhub.codec import history_rows, instance_rows
from taskhub.codec.entity_texts import decode_status
from taskhub.codec.history_rows import decode_event, decode_sentinel, execution_of
from taskhub.codec.keys import SENTINEL, blob_folder, escape_instance_id, unescape_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope, noting_put_backs, put_backs
from taskhub.core.diagnosis import ExecutionFacts, MessageFacts, Picture, RowFacts, diagnose
from taskhub.core.pending import start_of_row
from taskhub.core.rewind import Edit
from taskhub.errors import (
    BlobNotFound,
    MalformedMessage,
    MessageGone,
    QueueNotFound,
    RowChanged,
    RowExists,
    RowNotFound,
    StaleCheckpoint,
)
from taskhub.model.diagnosis import (
    AskAgain,
    DeleteBlob,
    Examination,
    OpenEntity,
    PutStart,
    PutTask,
    Severity,
    Wake,
    WriteRow,
)
from taskhub.model.entities import is_entity
from taskhub.model.history import (
    ExecutionCompleted,
    ExecutionResumed,
    GenericEvent,
    OrchestrationInstance,
    SubOrchestrationCompleted,
    SubOrchestrationCreated,
    SubOrchestrationFailed,
    TaskScheduled,
    TimerCreated,
    TimerFired,
)
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.runtime.entity_directory import EntityDirectory
from taskhub.runtime.hub_status import hub_status
from taskhub.runtime.paging import rows_if_any
from taskhub.storage.port import MAX_MESSAGES_PER_GET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from taskhub.model.diagnosis import Finding
    from taskhub.model.history import HistoryEvent
    from taskhub.model.hub import HubStatus
    from taskhub.model.ids import ETag, InstanceId
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.services import Services
    from taskhub.storage.port import QueueMessage, Row

SECOND_LOOK_SECONDS = 3.0
TAKEN_SECONDS = 60
"""How long messages that have to be taken to be read stay hidden, should they not be given back."""
_NOT_READ = ""
"""Stands for a large value, of which only the blob's name counts."""

_logger = logging.getLogger("taskhub.doctor")


class Doctor:
    """See the module."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def examine(self) -> Examination:
        """Look over the hub."""
        services = self._services
        status, picture = await _Look(services).take()
        findings = diagnose(picture)
        if any(each.remedy is not None or each.severity is Severity.PROBLEM for each in findings):
            await services.environment.clock.sleep(SECOND_LOOK_SECONDS)
            status, picture = await _Look(services).take()
            before = set(findings)
            findings = tuple(each for each in diagnose(picture) if each in before)
        return Examination(
            hub=services.names.hub,
            storage=services.storage.description,
            exists=status.exists,
            workers=status.workers,
            instances=sum(not is_entity(each) for each in picture.rows),
            entities=sum(is_entity(each) for each in picture.rows),
            messages=len(picture.messages) + sum(picture.hidden.values()),
            findings=findings,
            unseen=tuple(
                f"{count} messages of {queue} are hidden, and cannot be looked at"
                + (" while workers are at work" if picture.is_at_work else "")
                for queue, count in picture.hidden.items()
                if count
            ),
        )

    async def repair(self, finding: Finding) -> str | None:
        """Do what a finding says can be done; return why not, ``None`` when it is done.

        Raises:
            ValueError: nothing can be done about it.
        """
        try:
            refusal = await self._repair(finding)
        except (RowChanged, RowExists, RowNotFound):
            refusal = _CHANGED
        if refusal is None and finding.remedy is not None:
            _logger.info(
                "repaired: %s",
                finding.remedy.text,
                extra={"event": "repaired", "kind": finding.kind, "subject": finding.subject},
            )
        return refusal

    async def _repair(self, finding: Finding) -> str | None:
        match finding.remedy:
            case WriteRow(instance_id=instance_id, etag=etag):
                return await self._write_row(instance_id, etag)
            case PutStart(instance_id=instance_id, etag=etag):
                return await self._put_start(instance_id, etag)
            case PutTask(instance_id=instance_id, task_id=task_id, etag=etag):
                return await self._put_task(instance_id, task_id, etag)
            case AskAgain(instance_id=instance_id, task_id=task_id, etag=etag):
                return await self._ask_again(instance_id, task_id, etag)
            case Wake(instance_id=instance_id, etag=etag):
                return await self._wake(instance_id, etag)
            case OpenEntity(instance_id=instance_id, holder=holder):
                return await EntityDirectory(self._services).release_orphan(instance_id, holder)
            case DeleteBlob(name=name, etag=etag):
                return await self._delete_blob(name, etag)
            case None:
                raise ValueError(f"nothing can be done about {finding.kind} of {finding.subject}")

    async def _write_row(self, instance_id: InstanceId, etag: ETag | None) -> str | None:
        services = self._services
        stored = await services.history.load(instance_id)
        row = await services.instances.read(instance_id)
        if stored.execution_id is None or not stored.events or (row and row.etag) != etag:
            return _CHANGED
        columns = instance_rows.repair_columns(
            stored.events,
            hub=services.names.hub,
            execution_id=stored.execution_id,
            row_exists=row is not None,
            has_input=row is not None and row.execution_id == stored.execution_id,
            input_url=stored.urls.input,
            output_url=stored.urls.output,
        )
        await services.instances.merge(instance_id, columns, etag=etag, is_new=row is None)
        return None

    async def _put_start(self, instance_id: InstanceId, etag: ETag | None) -> str | None:
        row = await self._services.instances.read(instance_id, with_input=True)
        if row is None or row.etag != etag or row.status is not RuntimeStatus.Pending:
            return _CHANGED
        started = start_of_row(row)
        if started is None:
            return "its row does not say which orchestration it is"
        message = TaskMessage(started, target=started.instance)
        await self._services.messenger.send(message, due=started.scheduled_start)
        return None

    async def _put_task(self, instance_id: InstanceId, task_id: int, etag: ETag | None) -> str | None:
        stored, index = await self._open_task(instance_id, task_id, etag)
        if index is None:
            return _CHANGED
        event = stored.events[index]
        own = OrchestrationInstance(instance_id, stored.execution_id)
        if isinstance(event, TimerCreated):
            fired = TimerFired(timestamp=event.timestamp, timer_id=task_id, fire_at=event.fire_at)
            await self._services.messenger.send(TaskMessage(fired, target=own), sender=own, due=event.fire_at)
            return None
        if not isinstance(event, SubOrchestrationCreated):
            return _CHANGED
        child = await self._services.history.load(event.instance_id)
        answer = _answer_of(child, task_id)
        if answer is None:
            return _CHANGED
        sender = OrchestrationInstance(event.instance_id, child.execution_id)
        await self._services.messenger.send(TaskMessage(answer, target=own), sender=sender)
        return None

    async def _ask_again(self, instance_id: InstanceId, task_id: int, etag: ETag | None) -> str | None:
        """Take back a request. The history need not hold its input; the code says it again.

        A worker that has the instance in memory would not read the changed history before its next message but one.
        """
        stored, index = await self._open_task(instance_id, task_id, etag)
        if index is None or stored.execution_id is None:
            return _CHANGED
        if (await hub_status(self._services, count_instances=False)).workers:
            return "a worker is at work, and may have it in memory; stop the workers first"
        try:
            edits = (Edit(index, stored.events[index].type_name),)
            await self._services.history.rewind(instance_id, stored.execution_id, edits)
        except StaleCheckpoint:
            return _CHANGED
        wake = GenericEvent(timestamp=self._now(), data=_SENDER)
        await self._services.messenger.send(TaskMessage(wake, target=OrchestrationInstance(instance_id, None)))
        return None

    async def _open_task(
        self, instance_id: InstanceId, task_id: int, etag: ETag | None
    ) -> tuple[StoredHistory, int | None]:
        """Return the history, and the row of the request if nothing was written since the look."""
        stored = await self._services.history.load(instance_id)
        if stored.etag != etag:
            return stored, None
        requests = (TaskScheduled, TimerCreated, SubOrchestrationCreated)
        found = (
            index for index, each in enumerate(stored.events) if isinstance(each, requests) and each.event_id == task_id
        )
        return stored, next(found, None)

    async def _wake(self, instance_id: InstanceId, etag: ETag | None) -> str | None:
        stored = await self._services.history.load(instance_id)
        if stored.etag != etag:
            return _CHANGED
        # Changes nothing in an instance that is not paused, but lets its worker take it up.
        event = ExecutionResumed(timestamp=self._now(), reason=_SENDER)
        await self._services.messenger.send(TaskMessage(event, target=OrchestrationInstance(instance_id, None)))
        return None

    async def _delete_blob(self, name: str, etag: ETag) -> str | None:
        services = self._services
        container = services.names.large_messages_container
        item = await services.storage.blobs.blob_item(container, name)
        if item is None or item.etag != etag:
            return _CHANGED
        if (await hub_status(services, count_instances=False)).workers:
            return "a worker is at work, and may be about to use it"
        await services.storage.blobs.delete_blob(container, name)
        return None

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())


_SENDER = "taskhub doctor"
_CHANGED = "it has changed since it was looked at"


def _answer_of(child: StoredHistory, task_id: int) -> SubOrchestrationCompleted | SubOrchestrationFailed | None:
    """Return what a sub-orchestration that has ended answers."""
    end = next((each for each in reversed(child.events) if isinstance(each, ExecutionCompleted)), None)
    if end is None:
        return None
    if end.status is RuntimeStatus.Completed:
        return SubOrchestrationCompleted(timestamp=end.timestamp, task_scheduled_id=task_id, result=end.result)
    return SubOrchestrationFailed(
        timestamp=end.timestamp, task_scheduled_id=task_id, reason=end.result, failure=end.failure
    )


# ---- looking


class _Look:
    """One reading of a hub."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._executions: dict[InstanceId, ExecutionFacts] = {}
        self._rows: dict[InstanceId, RowFacts] = {}
        self._messages: list[MessageFacts] = []
        self._hidden: dict[str, int] = {}
        self._referred: set[str] = set()
        self._taken: list[tuple[str, QueueMessage]] = []

    async def take(self) -> tuple[HubStatus, Picture]:
        """Read the hub; return its status and the picture."""
        services = self._services
        status = await hub_status(services, count_instances=False)
        if status.exists:
            await self._read_rows()
            await self._read_histories()
            try:
                for queue in (services.names.work_item_queue, *(each.queue for each in status.partitions)):
                    await self._read_queue(queue, is_at_work=bool(status.workers))
            finally:
                await self._give_back()
        blobs = await services.storage.blobs.list_blobs(services.names.large_messages_container, "")
        return status, Picture(
            now=Utc.of(services.environment.clock.now()),
            partition_count=services.settings.partition_count,
            partitions=status.partitions,
            work_items=services.names.work_item_queue,
            executions=self._executions,
            rows=self._rows,
            messages=self._messages,
            hidden=self._hidden,
            blobs={item.name: (item.size, item.etag) for item in blobs},
            referred=frozenset(self._referred),
            folders=frozenset(
                blob_folder(folder)
                for each in {*self._rows, *self._executions}
                for folder in (each, escape_instance_id(each))
            ),
            dead_letters=status.dead_letters,
        )

    # ---- tables

    async def _read_rows(self) -> None:
        container = self._services.names.large_messages_container
        async for row in self._all(self._services.names.instances_table):
            instance_id = unescape_instance_id(row.partition_key)
            blobs = instance_rows.offloaded_columns(row.columns, container=container)
            self._referred.update(blobs.values())
            self._referred.update(_blob_names(row))
            try:
                state = instance_rows.decode_instance(row.partition_key, row.columns, etag=row.etag, large={})
            except MalformedMessage as error:
                self._rows[instance_id] = RowFacts(row.etag, None, None, trouble=str(error))
                continue
            locked_by = decode_status(state.custom_status)[2] if is_entity(instance_id) else None
            self._rows[instance_id] = RowFacts(
                row.etag, state.status, state.execution_id, state.name, state.scheduled_start, locked_by
            )

    async def _read_histories(self) -> None:
        """Fold one history after the other; no two are in memory at a time."""
        key: str | None = None
        rows: list[Row] = []
        async for row in self._all(self._services.names.history_table):
            if row.partition_key != key:
                self._fold(key, rows)
                key, rows = row.partition_key, []
            rows.append(row)
        self._fold(key, rows)

    def _fold(self, key: str | None, rows: Sequence[Row]) -> None:
        if key is None:
            return
        for row in rows:
            self._referred.update(_blob_names(row))
        sentinel = next((row for row in rows if row.row_key == SENTINEL), None)
        events = [row for row in rows if row.row_key != SENTINEL]
        guard = decode_sentinel(sentinel.columns) if sentinel else None
        etag = sentinel.etag if sentinel else None
        current = guard.execution_id if guard else (execution_of(events[0].columns) if events else None)
        mine: list[Row] = []
        for row in events:
            if execution_of(row.columns) != current:
                break
            mine.append(row)
        if not mine:
            return
        instance_id = unescape_instance_id(key)
        try:
            facts = ExecutionFacts.of(
                (_event(row) for row in mine),
                execution_id=current,
                etag=etag,
                is_complete=guard is None or guard.is_complete,
            )
        except MalformedMessage as error:
            facts = ExecutionFacts(current, etag, RuntimeStatus.Running, False, len(mine), trouble=str(error))
        self._executions[instance_id] = facts

    def _all(self, table: str) -> AsyncIterator[Row]:
        return rows_if_any(self._services.storage.tables, table)

    # ---- queues

    async def _read_queue(self, queue: str, *, is_at_work: bool) -> None:
        queues = self._services.storage.queues
        try:
            stored = await queues.snapshot(queue)
            if stored is not None:
                texts = [each.text for each in stored]
            else:
                about = await queues.count(queue)
                texts = [] if is_at_work or not about else await self._take(queue)
                self._hidden[queue] = max(about - len(texts), 0)
        except QueueNotFound:
            return
        for text in texts:
            self._messages.append(await self._decode(queue, text))

    async def _take(self, queue: str) -> list[str]:
        texts: list[str] = []
        while True:
            messages = await self._services.storage.queues.get(
                queue, limit=MAX_MESSAGES_PER_GET, invisible_for=TAKEN_SECONDS
            )
            if not messages:
                return texts
            self._taken += [(queue, each) for each in messages]
            texts += [each.text for each in messages]

    async def _give_back(self) -> None:
        counts = self._services.settings.max_dequeue_count > 0
        for queue, message in self._taken:
            # Where readings are counted, this one must not: it was none of a worker's.
            text = noting_put_backs(message.text, put_backs(message.text) + 1) if counts else None
            try:
                await self._services.storage.queues.update(
                    queue, message.id, message.receipt, visible_after=0, text=text
                )
            except MessageGone:
                continue  # looking took longer than it was hidden, and somebody else has it
        self._taken = []

    async def _decode(self, queue: str, text: str) -> MessageFacts:
        try:
            content = decode_envelope(text)
            if isinstance(content, BlobPointer):
                self._referred.add(content.blob_name)
                content = decode_envelope(await self._services.large.get(content.blob_name))
            if isinstance(content, BlobPointer):
                raise MalformedMessage("its blob points to another blob")
        except (MalformedMessage, BlobNotFound) as error:
            return MessageFacts(queue, None, str(error))
        return MessageFacts(queue, content.message)


def _event(row: Row) -> HistoryEvent:
    return decode_event(row.columns, dict.fromkeys(history_rows.offloaded_columns(row.columns), _NOT_READ))


def _blob_names(row: Row) -> set[str]:
    return {str(value) for column, value in row.columns.items() if column.endswith("BlobName") and value}
