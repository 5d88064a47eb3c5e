"""The storage calls that a lean worker cannot do without, and nothing else: how fast the work could be on a store.

For each load just the puts, transactions, merges and deletes that a worker with all shortcuts makes for it
(docs/design/shortcuts.md), straight at the storage port, of the same sizes, as many at once as the worker has. No
messages are read or parsed, no code runs, no HTTP: what is left is the store and the way to it. Held to the worker's
own calls, kind by kind, by ``tests/unit/benchmarks/test_skeleton.py``. Deletes are off the way, as the worker's are.
"""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.payloads import MESSAGE, history_batch, instance_row
from taskhub.model.ids import PartitionIndex
from taskhub.names import HubNames
from taskhub.runtime.checkpoints import MAX_PARALLEL_PUTS
from taskhub.runtime.mailbox import MAX_PARALLEL as MAX_PARALLEL_DELETES
from taskhub.storage.port import MAX_BATCH_OPERATIONS, TableWrite, Write

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable
    from typing import Any

    from taskhub.storage.port import PutReceipt, Storage

HIDDEN_SECONDS = 60
ACTIVITIES_OF_HELLO = 3


@dataclass(frozen=True, slots=True)
class _Held:
    """A message that was put hidden, to be deleted by the receipt of its put."""

    queue: str
    put: PutReceipt


class Skeleton:
    """Makes the calls of instances.

    Args:
        storage: an empty store.
        hub: name of the hub.
        partition_count: of its control queues.
    """

    def __init__(self, storage: Storage, hub: str, partition_count: int = 4) -> None:
        self._storage = storage
        names = HubNames.of(hub)
        self._control = [names.control_queue(PartitionIndex(index)) for index in range(partition_count)]
        self._work_items = names.work_item_queue
        self._history, self._instances = names.history_table, names.instances_table
        self._numbers = itertools.count()
        self._deleting: set[asyncio.Task[None]] = set()

    async def create(self) -> None:
        """Create queues and tables."""
        for queue in (*self._control, self._work_items):
            await self._storage.queues.create_queue(queue)
        for table in (self._history, self._instances):
            await self._storage.tables.create_table(table)

    async def hello(self) -> None:
        """Make the calls of an instance that calls three activities, one after the other."""
        await self.sequence(ACTIVITIES_OF_HELLO)

    async def sequence(self, size: int) -> None:
        """Make the calls of an instance that calls so many quick activities, one after the other."""
        instance_id, held = await self._start()
        following = await self._put(self._work_items)
        stored, rows = 0, 4  # it started, was told its input, asked, ended the episode
        for _ in range(size - 1):
            rows += 2
            await self._commit(instance_id, stored, rows - stored)  # with the answer, before what follows is put
            self._delete(held)
            held, following = following, await self._put(self._work_items)
            stored, rows = rows, rows + 2
        await self._commit(instance_id, stored, rows + 4 - stored)
        await self._merge(instance_id)
        self._delete(held)
        self._delete(following)

    async def fan_out(self, size: int) -> None:
        """Make the calls of an instance that calls so many activities at once."""
        instance_id, start = await self._start()
        work_items = await at_once([self._put(self._work_items) for _ in range(size)], MAX_PARALLEL_PUTS)
        await self._commit(instance_id, 0, size + 3)
        await self._merge(instance_id)
        self._delete(start)
        await self._commit(instance_id, size + 3, size + 3)
        await self._merge(instance_id)
        await at_once([self._deleted(each) for each in work_items], MAX_PARALLEL_DELETES)

    async def hellos(self, size: int, *, parallel: int) -> None:
        """Make the calls of many of the first, so many of them at once."""
        await at_once([self.hello() for _ in range(size)], parallel)
        await self.settle()

    async def settle(self) -> None:
        """Wait for the deletes that are under way."""
        while self._deleting:
            await asyncio.gather(*self._deleting)

    async def _start(self) -> tuple[str, _Held]:
        """Write the row of a new instance, and put the message that starts it."""
        number = next(self._numbers)
        instance_id = f"skeleton{number:024d}"
        row = instance_row(instance_id, "Pending")
        await self._storage.tables.write(self._instances, TableWrite(Write.INSERT, row))
        return instance_id, await self._put(self._control[number % len(self._control)])

    async def _put(self, queue: str) -> _Held:
        return _Held(queue, await self._storage.queues.put(queue, MESSAGE, visible_after=HIDDEN_SECONDS))

    async def _commit(self, instance_id: str, first: int, count: int) -> None:
        """Store so many events, each transaction with its guard."""
        events_of_one = MAX_BATCH_OPERATIONS - 1
        for start in range(first, first + count, events_of_one):
            some = min(events_of_one, first + count - start)
            await self._storage.tables.batch(self._history, history_batch(instance_id, start, some + 1))

    async def _merge(self, instance_id: str) -> None:
        row = TableWrite(Write.MERGE, instance_row(instance_id, "Running"))
        await self._storage.tables.write(self._instances, row)

    def _delete(self, held: _Held) -> None:
        task = asyncio.get_running_loop().create_task(self._deleted(held))
        self._deleting.add(task)
        task.add_done_callback(self._deleting.discard)

    async def _deleted(self, held: _Held) -> None:
        await self._storage.queues.delete(held.queue, held.put.id, held.put.receipt)


async def at_once(calls: Iterable[Coroutine[Any, Any, Any]], limit: int) -> list[Any]:
    """Await all, so many at a time; return what they returned, in their order."""
    turns = asyncio.Semaphore(limit)

    async def one(call: Coroutine[Any, Any, Any]) -> Any:
        async with turns:
            return await call

    return await asyncio.gather(*(one(call) for call in calls))
