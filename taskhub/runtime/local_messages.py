"""Messages from one part of this worker to another, without a read of the queue between them (8.4 A, B, G).

::

    who is to get it ──► put, hidden ──► what asks for it is stored ──► handed over ──► as any other message
                              │ not stored
                              └──► made visible, for whoever reads the queue

The message is in the queue before anything depends on it, as always, only nobody sees it: should we die, it becomes
visible by itself. Work items go to the activities, as many as there are free slots, the others are for all workers;
what is for instances of partitions that are ours goes to the inbox, timers at their time.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from taskhub.model.history import TaskScheduled, TimerFired
from taskhub.runtime.mailbox import Held

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from taskhub.core.episode import Outbound
    from taskhub.model.instance import InstanceState
    from taskhub.runtime.inbox import Inbox
    from taskhub.runtime.mailbox import Mailbox
    from taskhub.runtime.messenger import PackedMessage
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.receipts import Receipt
    from taskhub.runtime.services import Services
    from taskhub.runtime.timers import Timers
    from taskhub.storage.port import PutReceipt


class Runner(Protocol):
    """Who runs activities, with slots for them."""

    def reserve(self, wanted: int) -> int:
        """Keep slots; return how many."""

    def release(self, count: int = 1) -> None:
        """Give back slots that were reserved."""

    def hand_over(self, held: Held) -> None:
        """Run the activity of a work item, in a slot that was reserved."""


class Recipient(Protocol):
    """Who is to get a message here."""

    renew_seconds: int
    """For how long the message is hidden each time that it is renewed."""
    is_waited_for: bool
    """Whether the message is in hand from the moment that it is put; one that is for later is not yet."""

    def hide_seconds(self) -> int:
        """Return for how long the message is put out of sight."""

    def hand_over(self, held: Held) -> bool:
        """Give it the message; return whether it still wants it."""

    def withdraw(self) -> None:
        """Tell it that no message will come."""


class LocalMessages:
    """The seam between what puts messages and what they are for.

    Args:
        services: of the hub.
        mailbox: messages in hand.
        runner: who runs activities here.
        inbox: where messages wait for instances.
        timers: where messages wait for their time.
        partition_of: returns the partition of a control queue that is read here.
    """

    def __init__(
        self,
        services: Services,
        mailbox: Mailbox,
        runner: Runner,
        inbox: Inbox,
        timers: Timers,
        partition_of: Callable[[str], Partition | None],
    ) -> None:
        settings = services.settings
        self._services = services
        self._mailbox = mailbox
        self._runner = runner
        self._inbox = inbox
        self._timers = timers
        self._partition_of = partition_of
        # Where readings are counted each run must follow one.
        self._keeps_work_items = settings.local_activities and not settings.max_dequeue_count
        self._keeps_messages = settings.local_messages and not settings.max_dequeue_count
        self._keeps_timers = settings.local_timers and not settings.max_dequeue_count
        self._margin = timedelta(seconds=settings.fence_margin_seconds)

    def keep(self, outbound: Sequence[Outbound]) -> Kept:
        """Choose which messages of a checkpoint stay here."""
        recipients: dict[int, Recipient] = {}
        work_items = [each for each in outbound if isinstance(each.outgoing.message.event, TaskScheduled)]
        if work_items and self._keeps_work_items:
            for each in work_items[: self._runner.reserve(len(work_items))]:
                recipients[id(each)] = _Activity(self._runner, self._services.settings.work_item_visibility_seconds)
        if self._keeps_messages:
            for each in outbound:
                message = each.outgoing.message
                if each.outgoing.due is None and not isinstance(message.event, TaskScheduled):
                    recipient = self._reader_of(self._services.messenger.queue_of(message))
                    if recipient is not None:
                        recipients[id(each)] = recipient
        if self._keeps_timers:
            recipients |= self._timers_of(outbound)
        return _KeptHere(self, recipients)

    def _timers_of(self, outbound: Sequence[Outbound]) -> dict[int, Recipient]:
        """Choose which timers of a checkpoint wait in memory."""
        chosen: dict[int, Recipient] = {}
        for each in outbound:
            event = each.outgoing.message.event
            if isinstance(event, TimerFired) and each.outgoing.due is not None:
                partition = self._read_here(self._services.messenger.queue_of(each.outgoing.message))
                due = event.fire_at.moment()
                if partition is not None and self._timers.can_hide(due) and self._timers.has_room(len(chosen) + 1):
                    renew_seconds = self._services.settings.control_queue_visibility_seconds
                    chosen[id(each)] = _Timer(self._timers, partition, due, renew_seconds)
        return chosen

    def forget_timers(self, timers: Sequence[Receipt]) -> None:
        """Forget timers that nobody waits for any more."""
        self._timers.forget(timer.message_id for timer in timers)

    def keep_message(self, packed: PackedMessage) -> Kept:
        """Choose whether a message of a client in this process stays here."""
        recipient = self._reader_of(packed.queue) if self._keeps_messages else None
        return Kept() if recipient is None else _KeptHere(self, {id(packed): recipient})

    def _reader_of(self, queue: str) -> Recipient | None:
        partition = self._read_here(queue)
        if partition is None or not self._mailbox.has_room:
            return None
        return _Reader(self._inbox, partition, self._services.settings.control_queue_visibility_seconds)

    def _read_here(self, queue: str) -> Partition | None:
        """Return the partition of a queue if it is ours to read for a while."""
        partition = self._partition_of(queue)
        now = self._services.environment.clock.now()
        return partition if partition is not None and partition.is_read(now, margin=self._margin) else None

    def held(self, packed: PackedMessage, receipt: PutReceipt, recipient: Recipient) -> Held:
        """Return a message that was put hidden; have it in hand if its recipient waits for it."""
        now = self._services.environment.clock.now()
        held = Held(
            queue=packed.queue,
            id=receipt.id,
            receipt=receipt.receipt,
            envelope=packed.envelope,
            dequeue_count=1,  # as the reader's, whose first reading this replaces
            inserted=now,
            taken_at=now,
            hide_seconds=recipient.renew_seconds,
            blob_name=packed.blob_name,
        )
        if recipient.is_waited_for:
            self._mailbox.take(held)
        return held

    def is_fresh(self, held: Held) -> bool:
        """Return whether nobody else can have seen a message yet, with time to spare."""
        age = self._services.environment.clock.now() - held.taken_at
        return age.total_seconds() < held.hide_seconds / 2

    async def give_back(self, messages: Sequence[Held]) -> None:
        """Let others see messages that were put hidden."""
        await self._mailbox.give_back(messages)


class _Activity:
    """A slot for an activity."""

    is_waited_for = True

    def __init__(self, runner: Runner, hide_seconds: int) -> None:
        self._runner = runner
        self.renew_seconds = hide_seconds

    def hide_seconds(self) -> int:
        return self.renew_seconds

    def hand_over(self, held: Held) -> bool:
        self._runner.hand_over(held)
        return True

    def withdraw(self) -> None:
        self._runner.release()


class _Reader:
    """A partition that is read here."""

    is_waited_for = True

    def __init__(self, inbox: Inbox, partition: Partition, hide_seconds: int) -> None:
        self._inbox = inbox
        self._partition = partition
        self.renew_seconds = hide_seconds

    def hide_seconds(self) -> int:
        return self.renew_seconds

    def hand_over(self, held: Held) -> bool:
        if self._partition.is_closed:
            return False
        self._inbox.deliver(self._partition, held)
        return True

    def withdraw(self) -> None:
        """Nothing was kept for it."""


class _Timer:
    """An orchestration that waits for a time, in a partition that is read here."""

    is_waited_for = False

    def __init__(self, timers: Timers, partition: Partition, due: datetime, renew_seconds: int) -> None:
        self._timers = timers
        self._partition = partition
        self._due = due
        self.renew_seconds = renew_seconds

    def hide_seconds(self) -> int:
        return self._timers.hide_seconds(self._due)

    def hand_over(self, held: Held) -> bool:
        return self._timers.keep(self._partition, held, self._due)

    def withdraw(self) -> None:
        """Nothing was kept for it."""


class Kept:
    """The messages of one checkpoint, or the one of a client, that stay here; by itself none."""

    def __init__(self) -> None:
        self.timers: dict[int, Receipt] = {}
        """Timers that were put, by their numbers."""

    @property
    def count(self) -> int:
        """How many are put and wait to be handed over."""
        return 0

    def hide_seconds(self, message: object) -> int:
        """Return for how long a message is to be put out of sight; 0: not at all."""
        return 0

    def put(self, message: object, packed: PackedMessage, receipt: PutReceipt) -> None:
        """Take note of one that was put."""

    async def hand_over(self, *, row: InstanceState | None = None) -> None:
        """Give them to whom they are for: what asks for them is stored.

        Args:
            row: of the instance, when the message is its start and the row was written after it.
        """

    async def give_back(self) -> None:
        """Leave them to whoever reads the queue: what asks for them may not be stored.

        They are not deleted. Should it be stored after all, they are what makes it go on.
        """

    def let_go(self) -> None:
        """Tell whom nothing was put for."""


class _KeptHere(Kept):
    def __init__(self, local: LocalMessages, recipients: dict[int, Recipient]) -> None:
        super().__init__()
        self._local = local
        self._recipients = recipients
        self._messages: list[tuple[Recipient, Held]] = []

    @property
    def count(self) -> int:
        return len(self._messages)

    def hide_seconds(self, message: object) -> int:
        recipient = self._recipients.get(id(message))
        return 0 if recipient is None else recipient.hide_seconds()

    def put(self, message: object, packed: PackedMessage, receipt: PutReceipt) -> None:
        recipient = self._recipients.pop(id(message), None)
        if recipient is not None:
            self._messages.append((recipient, self._local.held(packed, receipt, recipient)))

    async def hand_over(self, *, row: InstanceState | None = None) -> None:
        messages, self._messages = self._messages, []
        late = []
        for recipient, held in messages:
            held.row = row
            if not self._local.is_fresh(held):
                recipient.withdraw()
                late.append(held)
            elif not recipient.hand_over(held):
                late.append(held)
        await self._local.give_back(late)

    async def give_back(self) -> None:
        self.let_go()
        messages, self._messages = self._messages, []
        for recipient, _ in messages:
            recipient.withdraw()
        await self._local.give_back([held for _, held in messages])

    def let_go(self) -> None:
        for recipient in self._recipients.values():
            recipient.withdraw()
        self._recipients = {}
