"""Entities as clients see them: read, listed and cleaned up, from the Instances table.

An entity's row holds all that it remembers as the input of its execution, and what a list needs as its custom status.
Each batch begins a new execution, so the time at which that was created is the time of the last batch.

Source: Durable Task extension, ``DurableClient`` (ReadEntityState, ListEntities, CleanEntityStorage).
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.codec.entity_texts import decode_scheduler, decode_status, encode_release
from taskhub.core.entity_batch import FIX_ORPHANED_LOCK
from taskhub.errors import MalformedMessage, StaleCheckpoint
from taskhub.model.entities import RELEASE_EVENT, CleanedEntities, EntityId, EntityPage, EntityState, Release
from taskhub.model.history import EventRaised, OrchestrationInstance
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter
from taskhub.model.messages import TaskMessage

if TYPE_CHECKING:
    from taskhub.model.instance import InstancePage, InstanceState
    from taskhub.runtime.services import Services

MAX_EMPTY_PAGES_SECONDS = 0.1
"""For going over pages on which all entities are deleted, or of which storage gives an empty one."""

MAX_CLEANING_SECONDS = 5.0
"""For the pages of one clean-up."""

PAGE = 100

_logger = logging.getLogger("taskhub.entities")


class EntityDirectory:
    """See the module."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def read(self, entity: EntityId) -> EntityState | None:
        """Return an entity with its state, ``None`` when it does not exist."""
        row = await self._services.instances.read(entity.instance_id, with_input=True)
        state = None if row is None else _state_of(row, with_state=True)
        return state if state is not None and state.exists else None

    async def list(
        self,
        id_prefix: str,
        *,
        operated_from: Utc | None,
        operated_to: Utc | None,
        top: int,
        token: str | None,
        with_state: bool,
        with_deleted: bool,
    ) -> EntityPage:
        """Return one page of the entities that exist; it may be short, or empty, and still have a token."""
        wanted = InstanceFilter(created_from=operated_from, created_to=operated_to, id_prefix=id_prefix)
        ends = self._services.environment.clock.monotonic() + MAX_EMPTY_PAGES_SECONDS
        while True:
            page = await self._page(wanted, top=top, token=token, with_state=with_state)
            found = [_state_of(row, with_state=with_state) for row in page.instances]
            entities = tuple(each for each in found if each is not None and (each.exists or with_deleted))
            token = page.token
            if entities or token is None or self._services.environment.clock.monotonic() >= ends:
                return EntityPage(entities, token)

    async def clean(self, *, remove_empty: bool, release_orphaned_locks: bool, token: str | None) -> CleanedEntities:
        """Purge entities that hold nothing, and open locks whose holder has ended, for a few seconds."""
        removed = released = 0
        ends = self._services.environment.clock.monotonic() + MAX_CLEANING_SECONDS
        while True:
            page = await self._page(InstanceFilter(id_prefix="@"), top=PAGE, token=token, with_state=False)
            for row in page.instances:
                state = _state_of(row, with_state=False)
                if state is None:
                    continue
                if release_orphaned_locks and await self._is_orphan(state):
                    await self._release(state)
                    released += 1
                elif remove_empty and self._is_empty(row, state):
                    removed += await self._remove(row)
            token = page.token
            if token is None or self._services.environment.clock.monotonic() >= ends:
                return CleanedEntities(removed, released, token)

    async def release_orphan(self, instance_id: InstanceId, holder: InstanceId) -> str | None:
        """Open an entity that an orchestration locked which has ended; return why not, ``None`` when it was told to.

        Args:
            instance_id: of the entity.
            holder: who has locked it.
        """
        row = await self._services.instances.read(instance_id)
        state = None if row is None else _state_of(row, with_state=False)
        if state is None or state.locked_by != holder or not await self._is_orphan(state):
            return "it is not locked by an instance that has ended any more"
        await self._release(state)
        return None

    async def _page(self, wanted: InstanceFilter, *, top: int, token: str | None, with_state: bool) -> InstancePage:
        return await self._services.instances.query(
            wanted, top=top, token=token, with_input=with_state, with_output=False
        )

    def _is_empty(self, row: InstanceState, state: EntityState) -> bool:
        """Return whether nothing is lost with an entity: not even the order of messages that may still come."""
        if state.exists or state.queue_size or state.locked_by is not None or row.last_updated is None:
            return False
        window = timedelta(seconds=self._services.settings.entity_reorder_window_seconds)
        return self._services.environment.clock.now() - row.last_updated.moment() > window

    async def _remove(self, row: InstanceState) -> bool:
        """Purge an entity, unless it was sent something since we looked."""
        stored = await self._services.history.load(row.instance_id)
        try:
            await self._services.history.delete(row.instance_id, only=row.execution_id)
        except StaleCheckpoint:
            return False
        await self._services.instances.delete(row.instance_id, etag=row.etag)
        # Not all blobs below the id, as a purge does: messages may be on their way.
        await self._services.large.delete_all(stored.blobs)
        return True

    async def _is_orphan(self, state: EntityState) -> bool:
        if state.locked_by is None:
            return False
        holder = await self._services.instances.read(state.locked_by)
        return holder is None or (holder.status is not None and holder.status.is_terminal)

    async def _release(self, state: EntityState) -> None:
        if state.locked_by is None:
            raise ValueError(f"{state.id} is not locked")
        release = Release(state.locked_by, FIX_ORPHANED_LOCK)
        event = EventRaised(
            timestamp=Utc.of(self._services.environment.clock.now()),
            name=RELEASE_EVENT,
            input=encode_release(release, typed=False),
        )
        target = OrchestrationInstance(state.id.instance_id, None)
        await self._services.messenger.send(TaskMessage(event, target=target))
        _logger.info(
            "entity '%s' is told to open: '%s', which locked it, has ended",
            state.id,
            state.locked_by,
            extra={"event": "orphaned_lock", "instance_id": str(state.id), "holder": state.locked_by},
        )


def _state_of(row: InstanceState, *, with_state: bool) -> EntityState | None:
    """Return the entity that a row shows, ``None`` when it is no entity's."""
    entity = EntityId.parse(row.instance_id)
    if entity is None:
        return None
    exists, queue_size, locked_by = decode_status(row.custom_status)
    state = None
    if with_state:
        try:
            scheduler = decode_scheduler(row.input)
        except MalformedMessage:
            return None  # an orchestration of another program, with an id like an entity's
        exists, state = scheduler.exists, scheduler.state
        queue_size, locked_by = len(scheduler.queue), scheduler.locked_by
    return EntityState(
        id=entity,
        exists=exists,
        last_operation=row.created,
        state=state if exists else None,
        queue_size=queue_size,
        locked_by=None if locked_by is None else InstanceId(locked_by),
    )
