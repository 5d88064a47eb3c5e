"""Looks over a whole hub for what is stuck, lost or disagreeing, and repairs what can be repaired.

It looks twice, some seconds apart, and believes what it saw both times with the same ETags: a hub at work changes while
it is read.

A repair reads again what it was found by. It goes on only when the ETag is still the same, and writes under it, or puts
a message that whoever reads it recognises when it was there after all.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from taskhub.codec import instance_rows
from taskhub.codec.entity_texts import (
    decode_incoming,
    encode_request,
    encode_response,
)
from taskhub.core.diagnosis import diagnose
from taskhub.core.pending import start_of_row
from taskhub.core.request_texts import request_id_of
from taskhub.core.rewind import Edit
from taskhub.errors import (
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
    PutGrant,
    PutRequest,
    PutStart,
    PutTask,
    Severity,
    Wake,
    WriteRow,
)
from taskhub.model.entities import LOCK_GRANTED, Request, is_entity
from taskhub.model.history import (
    EventRaised,
    EventSent,
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
from taskhub.runtime.hub_look import HubLook
from taskhub.runtime.hub_status import hub_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.model.diagnosis import Finding
    from taskhub.model.ids import ETag, InstanceId
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.services import Services

SECOND_LOOK_SECONDS = 3.0

_logger = logging.getLogger("taskhub.doctor")


class Doctor:
    """See the module."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def examine(self, progress: Callable[[int], None] | None = None) -> Examination:
        """Look over the hub.

        Args:
            progress: told how many more rows and messages were read.
        """
        services = self._services
        status, picture = await HubLook(services, progress).take()
        findings = diagnose(picture)
        if any(each.remedy is not None or each.severity is Severity.PROBLEM for each in findings):
            await services.environment.clock.sleep(SECOND_LOOK_SECONDS)
            status, picture = await HubLook(services, progress).take()
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
            case PutRequest(instance_id=instance_id, request_id=request_id, target=target, etag=etag):
                return await self._put_request(instance_id, request_id, target, etag)
            case PutGrant(instance_id=instance_id, request_id=request_id, etag=etag):
                return await self._put_grant(instance_id, request_id, etag)
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

    async def _put_request(
        self, instance_id: InstanceId, request_id: str, target: InstanceId, etag: ETag | None
    ) -> str | None:
        stored = await self._services.history.load(instance_id)
        sent = _request_event(stored, request_id)
        if stored.etag != etag or sent is None or sent.input is None:
            return _CHANGED
        text = sent.input
        if target != sent.instance_id:
            text = _handed_on(sent, target)
        raised = EventRaised(timestamp=sent.timestamp, name=sent.name, input=text)
        own = OrchestrationInstance(instance_id, stored.execution_id)
        message = TaskMessage(raised, target=OrchestrationInstance(target, None))
        await self._services.messenger.send(message, sender=own)
        return None

    async def _put_grant(self, instance_id: InstanceId, request_id: str, etag: ETag | None) -> str | None:
        stored = await self._services.history.load(instance_id)
        if stored.etag != etag:
            return _CHANGED
        raised = EventRaised(timestamp=self._now(), name=request_id, input=encode_response(LOCK_GRANTED))
        own = OrchestrationInstance(instance_id, stored.execution_id)
        await self._services.messenger.send(TaskMessage(raised, target=own))
        return None

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


def _request_event(stored: StoredHistory, request_id: str) -> EventSent | None:
    sent = (each for each in stored.events if isinstance(each, EventSent))
    return next((each for each in sent if request_id_of(each) == request_id), None)


def _handed_on(sent: EventSent, target: InstanceId) -> str:
    """Return a request for locks as the entities before one in the set hand it on."""
    request = decode_incoming(sent.name, sent.input)
    if not isinstance(request, Request) or request.lock_set is None:
        raise ValueError(f"what was sent to {sent.instance_id} is no request for locks")
    members = [each.instance_id for each in request.lock_set]
    return encode_request(replace(request, position=members.index(target)))
