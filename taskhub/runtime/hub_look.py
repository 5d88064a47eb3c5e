"""Reads a whole hub for the doctor (:mod:`taskhub.runtime.doctor`): rows, histories, what entities know, queues, blobs.

Looking changes nothing, with one exception: Azure shows messages to those only who take them. There, and only while no
worker is at work, visible messages are taken for a moment and given back; hidden ones stay unseen, and what may be
explained by one of them is not reported.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from taskhub.codec import history_rows, instance_rows
from taskhub.codec.entity_texts import decode_incoming, decode_scheduler, decode_status, decode_taken_requests
from taskhub.codec.history_rows import decode_event, decode_sentinel, execution_of
from taskhub.codec.keys import SENTINEL, blob_folder, escape_instance_id, unescape_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope, noting_put_backs, put_backs
from taskhub.core.entity_facts import EntityFacts, OpenRequest
from taskhub.core.picture import ExecutionFacts, MessageFacts, Picture, RowFacts
from taskhub.errors import BlobNotFound, MalformedMessage, MessageGone, QueueNotFound
from taskhub.model.entities import Request, is_entity
from taskhub.model.history import EventRaised, ExecutionStarted
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime.hub_status import hub_status
from taskhub.runtime.paging import rows_if_any
from taskhub.storage.port import MAX_MESSAGES_PER_GET

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from taskhub.model.history import EventSent, HistoryEvent
    from taskhub.model.hub import HubStatus
    from taskhub.model.ids import InstanceId
    from taskhub.runtime.services import Services
    from taskhub.storage.port import QueueMessage, Row

TAKEN_SECONDS = 60
"""How long messages that have to be taken to be read stay hidden, should they not be given back."""
_NOT_READ = ""
"""Stands for a large value, of which only the blob's name counts."""


class HubLook:
    """One reading of a hub."""

    def __init__(self, services: Services, progress: Callable[[int], None] | None = None) -> None:
        """Begin.

        Args:
            services: of the hub.
            progress: told how many more rows and messages were read.
        """
        self._services = services
        self._progress = progress
        self._executions: dict[InstanceId, ExecutionFacts] = {}
        self._rows: dict[InstanceId, RowFacts] = {}
        self._messages: list[MessageFacts] = []
        self._requests: dict[InstanceId, tuple[OpenRequest, ...]] = {}
        self._entities: dict[InstanceId, EntityFacts] = {}
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
            await self._read_entities()
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
            requests=self._requests,
            entities=self._entities,
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

    async def _read_entities(self) -> None:
        """Read what entities know from which somebody waits for an answer."""
        for instance_id, execution in self._executions.items():
            if execution.is_whole and not is_entity(instance_id):
                requests = tuple(each for event in execution.unanswered if (each := _open_request(event)) is not None)
                if requests:
                    self._requests[instance_id] = requests
        members = {member for requests in self._requests.values() for each in requests for member in each.members}
        for member in sorted(members & self._executions.keys()):
            try:
                facts = await self._entity_facts(member)
            except (MalformedMessage, BlobNotFound) as error:
                self._executions[member] = replace(self._executions[member], trouble=str(error))
            else:
                self._entities[member] = facts

    async def _entity_facts(self, instance_id: InstanceId) -> EntityFacts:
        stored = await self._services.history.load(instance_id)
        start = next((each for each in stored.events if isinstance(each, ExecutionStarted)), None)
        scheduler = decode_scheduler(start.input if start else None)
        unread = [decode_incoming(each.name, each.input) for each in stored.events if isinstance(each, EventRaised)]
        buffered = [request for source in scheduler.sorter.received.values() for request in source.buffered]
        requests = [*scheduler.queue, *buffered, *(each for each in unread if isinstance(each, Request))]
        return EntityFacts(
            scheduler.locked_by,
            frozenset(each.id for each in requests),
            scheduler.sorter,
            decode_taken_requests(stored.taken_requests),
        )

    async def _all(self, table: str) -> AsyncIterator[Row]:
        async for row in rows_if_any(self._services.storage.tables, table):
            self._read(1)
            yield row

    def _read(self, count: int) -> None:
        if self._progress is not None:
            self._progress(count)

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
        self._read(len(texts))

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


def _open_request(event: EventSent) -> OpenRequest | None:
    """Return a request that somebody waits for, ``None`` for signals and what cannot be read."""
    try:
        request = decode_incoming(event.name, event.input)
    except MalformedMessage:
        return None
    if not isinstance(request, Request) or request.is_signal:
        return None
    return OpenRequest(request, event.instance_id, event.timestamp)


def _event(row: Row) -> HistoryEvent:
    return decode_event(row.columns, dict.fromkeys(history_rows.offloaded_columns(row.columns), _NOT_READ))


def _blob_names(row: Row) -> set[str]:
    return {str(value) for column, value in row.columns.items() if column.endswith("BlobName") and value}
