"""Removes what is stored of instances: history, large values, row, dead letters, in this order.

The row goes last, so that whatever breaks a purge off, the instance is still found and can be purged again. Blobs are
listed before the history goes: those of a start under the same id that comes meanwhile are not among them. What waits
on queues is not touched; its reader finds no such instance.

Source: DurableTask.AzureStorage, AzureTableTrackingStore.PurgeInstanceHistoryAsync.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from taskhub.errors import StaleCheckpoint, StorageError
from taskhub.model.instance import TERMINAL_STATUSES, Purged
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.model.ids import InstanceId
    from taskhub.model.instance import InstanceFilter, InstanceState
    from taskhub.runtime.services import Services

MAX_ATTEMPTS = 5
"""To purge one instance that a worker is working on."""

MAX_PARALLEL = 8
PAGE = 100

_OF_STARTS = "-ExecutionStarted.json.gz"
"""How names of blobs end that hold the messages of starts."""

_logger = logging.getLogger("taskhub.purging")


class Purging:
    """See the module."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def one(self, instance_id: InstanceId) -> int:
        """Remove an instance, whatever its state; return 1, or 0 when there is none.

        Raises:
            StaleCheckpoint: a worker goes on writing it.
        """
        for attempt in range(1, MAX_ATTEMPTS + 1):
            state = await self._services.instances.read(instance_id)
            if state is None:
                return 0
            try:
                await self._remove(state, in_any_case=attempt == MAX_ATTEMPTS)
            except StaleCheckpoint:
                if attempt == MAX_ATTEMPTS:
                    raise
            else:
                break
        await self._services.dead_letters.drop_of([instance_id])
        return 1

    async def ended(self, wanted: InstanceFilter, progress: Callable[[int], None] | None = None) -> Purged:
        """Remove the ended instances that a filter takes, page by page; return how much that was.

        ``progress`` is told how many each page had. One that cannot be removed is reported and left; so is one that is
        started anew meanwhile.
        """
        statuses = (wanted.statuses or TERMINAL_STATUSES) & TERMINAL_STATUSES
        if not statuses:
            return Purged(0, 0)
        wanted = replace(wanted, statuses=statuses)
        removed: list[InstanceId] = []
        rows = 0
        token: str | None = None
        while True:
            page = await self._services.instances.query(
                wanted, top=PAGE, token=token, with_input=False, with_output=False
            )
            results = await run_all(
                self._services.environment.spawn,
                [lambda state=state: self._try_to_remove(state) for state in page.instances],  # type: ignore[misc]  # binds
                limit=MAX_PARALLEL,
                name="purge",
            )
            if progress is not None:
                progress(sum(count is not None for count in results))
            for state, count in zip(page.instances, results, strict=True):
                if count is not None:
                    removed.append(state.instance_id)
                    rows += count
            token = page.token
            if token is None:
                break
        if removed:
            await self._services.dead_letters.drop_of(removed)
        return Purged(len(removed), rows)

    async def _try_to_remove(self, state: InstanceState) -> int | None:
        try:
            return await self._remove(state)
        except (StaleCheckpoint, StorageError) as error:
            _logger.warning(
                "instance '%s' is not purged: %s",
                state.instance_id,
                error,
                extra={"event": "purge_failed", "instance_id": state.instance_id, "error": str(error)},
            )
            return None

    async def _remove(self, state: InstanceState, *, in_any_case: bool = False) -> int:
        """Remove an instance; return how many rows its history had.

        Args:
            state: its row. Unless it is written meanwhile, nothing comes between the look at its blobs and its end.
            in_any_case: remove a live instance even so, and what came in between as far as it is seen.

        Raises:
            StaleCheckpoint: it is live, and was written.
        """
        services, instance_id = self._services, state.instance_id
        blobs = await self._services.large.of_instance(instance_id)
        rows = await services.history.delete(instance_id)
        await services.large.delete_all(blobs)
        has_ended = state.status is not None and state.status.is_terminal
        # The row of one that had ended has been written since only if it was started anew: then it is left.
        etag = None if in_any_case and not has_ended else state.etag
        is_gone = await services.instances.delete(instance_id, etag=etag)
        if not has_ended:
            if not is_gone:
                raise StaleCheckpoint(f"instance '{instance_id}' went on while it was purged")
            if (
                state.execution_id is not None
                and await services.history.execution_of(instance_id) == state.execution_id
            ):
                # It began, or went on, after its history was deleted, and before its row was.
                rows += await services.history.delete(instance_id, only=state.execution_id)
            await self._remove_late(instance_id)
        return rows

    async def _remove_late(self, instance_id: InstanceId) -> None:
        """Delete what was stored of a live instance between our look at its blobs and the end of its history.

        But not what a client puts to start it anew: the message of the start comes before the row. All else comes
        after it, so while there is no row nothing of the next instance is among what was there before.
        """
        late = [name for name in await self._services.large.of_instance(instance_id) if not name.endswith(_OF_STARTS)]
        if late and await self._services.instances.read(instance_id) is None:
            await self._services.large.delete_all(late)
