"""Messages that wait for instances of this worker, and the instances that are kept warm.

::

                deliver                       take                      rest
    message ───────────────► waiting, ready ────────► at work ────────────────► idle (warm) ──► evicted
                                   ▲                      │ messages came meanwhile
                                   └──────────────────────┘

One task at a time works on an instance; that is all the locking there is. Messages that arrive meanwhile wait in
batches and are taken together. Between two episodes an instance may stay warm (F1): its session is kept, and the next
episode needs no history. That is right only while the partition has been ours without a break; a warm session's
commits carry the ETag of what it knows, so one that is out of date cannot do harm, only lose.

Orchestrations and entities are worked on by loops of their own, so each kind has a line of its own.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskhub.core.batching import batch_for, execution_of
from taskhub.model.entities import is_entity
from taskhub.model.history import ExecutionTerminated
from taskhub.runtime.clock import Signal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.model.history import OrchestrationInstance
    from taskhub.model.ids import ExecutionId, InstanceId, Utc
    from taskhub.runtime.mailbox import Held
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.sessions import StoredInstance


@dataclass(slots=True, eq=False)
class Batch:
    """Messages to be worked on together."""

    execution_id: ExecutionId | None
    """The execution that they are for; ``None``: whichever is current."""
    messages: list[Held]


@dataclass(slots=True, eq=False)
class Instance:
    """One instance in memory."""

    id: InstanceId
    partition: Partition
    waiting: list[Batch] = field(default_factory=list)
    session: StoredInstance | None = None
    """Kept warm, or being worked with."""
    is_ready: bool = False
    is_at_work: bool = False
    arrived: Signal = field(default_factory=Signal)
    """Raised for every message."""
    is_parked: bool = False
    """Its messages are kept and not worked on, until its partition goes or somebody terminates it."""


@dataclass(slots=True, eq=False)
class WorkItem:
    """One batch of one instance, taken to be worked on."""

    instance: Instance
    batch: Batch
    partition: Partition
    """As it was when the batch was taken."""
    is_at_rest: bool = False
    clock: Utc | None = None
    """The time that the code saw, when an episode is run a second time."""


@dataclass(slots=True, eq=False)
class _Line:
    """Instances of one kind that can be worked on, in order."""

    ready: deque[Instance] = field(default_factory=deque)
    changed: Signal = field(default_factory=Signal)


class Inbox:
    """All instances that a worker has in memory.

    Args:
        max_warm_events: history events of idle instances together, beyond which the least recently used go; 0 keeps
            none.
        max_warm_bytes: the same, by what they take in memory, roughly.
    """

    def __init__(self, *, max_warm_events: int, max_warm_bytes: int) -> None:
        self._max_warm_events = max_warm_events
        self._max_warm_bytes = max_warm_bytes
        self._instances: dict[InstanceId, Instance] = {}
        self._lines = (_Line(), _Line())
        """Ready orchestrations, ready entities."""
        self._warm: OrderedDict[InstanceId, tuple[int, int]] = OrderedDict()
        """Events and bytes of each idle instance, the least recently used first."""
        self._warm_events = 0
        self._warm_bytes = 0
        self._at_work = 0
        self._is_stopped = False

    def __repr__(self) -> str:
        ready = sum(len(line.ready) for line in self._lines)
        return f"<Inbox {ready} ready, {self._at_work} at work, {len(self._warm)} warm>"

    @property
    def warm_events(self) -> int:
        """History events of all idle instances together."""
        return self._warm_events

    @property
    def warm_bytes(self) -> int:
        """What all idle instances together take in memory, roughly."""
        return self._warm_bytes

    def deliver(self, partition: Partition, held: Held) -> None:
        """Let a message wait for its instance."""
        message = held.envelope.message
        instance_id = message.target.instance_id
        instance = self._instances.get(instance_id)
        if instance is None:
            instance = self._instances[instance_id] = Instance(instance_id, partition)
        instance.partition = partition
        index = batch_for(message, [batch.execution_id for batch in instance.waiting])
        if index is None:
            instance.waiting.append(Batch(message.target.execution_id, [held]))
        else:
            batch = instance.waiting[index]
            batch.execution_id = execution_of(batch.execution_id, message)
            batch.messages.append(held)
        if isinstance(message.event, ExecutionTerminated):
            instance.is_parked = False  # its end needs no code
        instance.arrived.set()
        self._make_ready(instance)

    def absorb(self, item: WorkItem) -> None:
        """Add to a batch what has come for its execution since it was taken."""
        waiting = item.instance.waiting
        if waiting and waiting[0].execution_id == item.batch.execution_id:
            item.batch.messages += waiting.pop(0).messages

    def answers(self, item: WorkItem) -> Sequence[Held] | None:
        """Return the answers that have come directly for the execution of a batch; ``None`` if anything else has."""
        waiting = item.instance.waiting
        if not waiting:
            return ()
        batch = waiting[0]
        is_other = len(waiting) > 1 or any(held.work_item is None for held in batch.messages)
        return None if is_other else batch.messages

    def take_answers(self, item: WorkItem) -> None:
        """Add to a batch what :meth:`answers` has returned."""
        item.batch.messages += item.instance.waiting.pop(0).messages

    def awaits(self, target: OrchestrationInstance) -> Partition | None:
        """Return the partition of an execution that is in memory with its code, and ours to go on with."""
        instance = self._instances.get(target.instance_id)
        if instance is None or instance.session is None or instance.is_parked:
            return None
        partition = instance.partition
        if partition.is_closed or instance.session.execution_id != target.execution_id:
            return None
        return partition

    async def take(self, limit: int, *, entities: bool = False) -> list[WorkItem]:
        """Return up to ``limit`` instances to work on; waits until there is one, or returns none when stopped.

        Args:
            limit: most instances.
            entities: whether entities are wanted, or orchestrations; one task each may wait for them.
        """
        line = self._lines[entities]
        while not line.ready and not self._is_stopped:
            await line.changed.wait()
        items: list[WorkItem] = []
        while line.ready and len(items) < limit:
            instance = line.ready.popleft()
            instance.is_ready = False
            if instance.waiting:
                instance.is_at_work = True
                self._at_work += 1
                self._forget_warm(instance)
                items.append(WorkItem(instance, instance.waiting.pop(0), instance.partition))
        return items

    def stop(self) -> None:
        """Let :meth:`take` return when nothing is ready."""
        self._is_stopped = True
        for line in self._lines:
            line.changed.set()

    def rest(self, item: WorkItem, session: StoredInstance | None, *, later: Iterable[Held] = ()) -> tuple[Held, ...]:
        """End the work on an instance; a second call for the same item does nothing.

        Returns what of ``later`` is not looked at here, because the partition is lost.

        Args:
            item: as it was taken.
            session: what is known of the instance now and may be kept; ``None`` when nothing is. What was known
                before is closed.
            later: messages of the batch that need another look.
        """
        if item.is_at_rest:
            return ()
        item.is_at_rest = True
        self._at_work -= 1
        instance = item.instance
        instance.is_at_work = False
        put_off = [] if item.partition.is_lost else list(later)
        left = tuple(later) if item.partition.is_lost else ()
        if instance.session is not None and (instance.session is not session or item.partition.is_lost):
            instance.session.close()
        if session is not None and item.partition.is_lost:
            session.close()
            session = None
        instance.session = session
        if put_off:
            named: ExecutionId | None = None
            for held in put_off:
                named = execution_of(named, held.envelope.message)
            # A batch without a name would be joined by messages for another execution, and go with them.
            instance.waiting.insert(0, Batch(named, put_off))
        if instance.waiting:
            self._make_ready(instance)
        else:
            self._keep_or_forget(instance)
        return left

    def park(self, item: WorkItem) -> bool:
        """End the work on an instance and keep its messages, the batch too: nothing is done with it for now.

        Returns whether the batch is kept; it is not, where the partition is lost.
        """
        self.rest(item, None)
        if item.partition.is_lost:
            return False
        instance = self._instances.setdefault(item.instance.id, item.instance)
        instance.is_parked = True
        instance.waiting.insert(0, item.batch)
        return True

    def busy(self, partition: Partition) -> int:
        """Return how many instances of a partition have messages waiting or are at work."""
        return sum(
            instance.partition is partition
            and (instance.is_at_work or (bool(instance.waiting) and not instance.is_parked))
            for instance in self._instances.values()
        )

    def drop(self, partition: Partition) -> list[Held]:
        """Forget the instances of a partition; return the messages that waited for them.

        What is being worked on now ends by itself, at the fence or at its ETag, and is forgotten then.
        """
        messages: list[Held] = []
        for instance in [each for each in self._instances.values() if each.partition is partition]:
            messages.extend(held for batch in instance.waiting for held in batch.messages)
            instance.waiting.clear()
            if not instance.is_at_work:
                self._forget(instance)
        return messages

    def _make_ready(self, instance: Instance) -> None:
        if not instance.is_at_work and not instance.is_ready and not instance.is_parked:
            instance.is_ready = True
            self._forget_warm(instance)
            line = self._lines[is_entity(instance.id)]
            line.ready.append(instance)
            line.changed.set()

    def _keep_or_forget(self, instance: Instance) -> None:
        if instance.session is None or self._max_warm_events <= 0:
            self._forget(instance)
            return
        events, size = instance.session.weight, instance.session.size_bytes
        self._warm[instance.id] = events, size
        self._warm_events += events
        self._warm_bytes += size
        while self._warm_events > self._max_warm_events or self._warm_bytes > self._max_warm_bytes:
            self._forget(self._instances[next(iter(self._warm))])

    def _forget_warm(self, instance: Instance) -> None:
        events, size = self._warm.pop(instance.id, (0, 0))
        self._warm_events -= events
        self._warm_bytes -= size

    def _forget(self, instance: Instance) -> None:
        self._forget_warm(instance)
        if instance.session is not None:
            instance.session.close()
            instance.session = None
        if self._instances.get(instance.id) is instance:
            del self._instances[instance.id]
