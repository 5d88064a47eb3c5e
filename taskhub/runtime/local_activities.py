"""Activities that this worker asks for and runs itself, without reading their work items from the queue (8.4 A).

::

    slots reserved ──► work items put, hidden ──► history stored ──► run here ──► as any other work item
                              │ not stored
                              └──► made visible, for whoever reads the queue

The work item is in the queue before anything depends on it, as always, only nobody sees it: should we die, it becomes
visible by itself. Only as many are hidden as there are free slots; the others are for all workers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from taskhub.model.history import TaskScheduled
from taskhub.runtime.mailbox import Held

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.core.episode import Outbound
    from taskhub.runtime.mailbox import Mailbox
    from taskhub.runtime.messenger import PackedMessage
    from taskhub.runtime.services import Services
    from taskhub.storage.port import PutReceipt


class Runner(Protocol):
    """Who runs activities, with slots for them."""

    def reserve(self, wanted: int) -> int:
        """Keep slots; return how many."""

    def release(self, count: int = 1) -> None:
        """Give back slots that were reserved."""

    def hand_over(self, held: Held) -> None:
        """Run the activity of a work item, in a slot that was reserved."""


class LocalActivities:
    """The seam between checkpoints, which put work items, and the runner of activities.

    Args:
        services: of the hub.
        mailbox: messages in hand.
        runner: who runs activities here.
    """

    def __init__(self, services: Services, mailbox: Mailbox, runner: Runner) -> None:
        self._services = services
        self._mailbox = mailbox
        self._runner = runner
        self._hide_seconds = services.settings.work_item_visibility_seconds

    def keep(self, outbound: Sequence[Outbound]) -> Kept:
        """Choose which work items of a checkpoint to run here."""
        settings = self._services.settings
        # Where readings are counted each run must follow one.
        is_on = settings.local_activities and not settings.max_dequeue_count
        work_items = [each for each in outbound if isinstance(each.outgoing.message.event, TaskScheduled)]
        granted = self._runner.reserve(len(work_items)) if work_items and is_on else 0
        return Kept(self, work_items[:granted])

    def held(self, packed: PackedMessage, receipt: PutReceipt) -> Held:
        """Have a work item in hand that was put hidden."""
        now = self._services.environment.clock.now()
        held = Held(
            queue=packed.queue,
            id=receipt.id,
            receipt=receipt.receipt,
            envelope=packed.envelope,
            dequeue_count=1,  # as the reader's, whose first reading this replaces
            inserted=now,
            taken_at=now,
            hide_seconds=self._hide_seconds,
        )
        self._mailbox.take(held)
        return held

    def hand_over(self, held: Held) -> bool:
        """Run a work item, in its slot; return whether nobody else can have seen it yet, with time to spare."""
        age = self._services.environment.clock.now() - held.taken_at
        if age.total_seconds() >= self._hide_seconds / 2:
            self._runner.release()
            return False
        self._runner.hand_over(held)
        return True

    def release(self, slots: int) -> None:
        """Give back slots in which nothing was started."""
        self._runner.release(slots)

    async def give_back(self, messages: Sequence[Held]) -> None:
        """Let others see work items that were put hidden."""
        await self._mailbox.give_back(messages)

    @property
    def hide_seconds(self) -> int:
        """For how long work items are put out of sight."""
        return self._hide_seconds


class Kept:
    """The work items of one checkpoint that are to be run here."""

    def __init__(self, local: LocalActivities | None, chosen: Sequence[Outbound]) -> None:
        self._local = local
        self._chosen = set(map(id, chosen))
        self._slots = len(chosen)
        self._messages: list[Held] = []

    def hide_seconds(self, outbound: Outbound) -> int:
        """Return for how long a message is to be put out of sight; 0: not at all."""
        return self._local.hide_seconds if self._local is not None and id(outbound) in self._chosen else 0

    def put(self, packed: PackedMessage, receipt: PutReceipt) -> None:
        """Take note of one that was put."""
        if self._local is not None:
            self._messages.append(self._local.held(packed, receipt))

    async def start(self) -> None:
        """Run them: the history that asks for them is stored."""
        if self._local is not None:
            messages, self._messages, self._slots = self._messages, [], 0
            late = [held for held in messages if not self._local.hand_over(held)]
            await self._local.give_back(late)

    async def give_back(self) -> None:
        """Leave them to whoever reads the queue: the history may not be stored.

        They are not deleted. Should the history be stored after all, they are what makes the activities run.
        """
        self.let_go()
        if self._local is not None:
            messages, self._messages = self._messages, []
            await self._local.give_back(messages)

    def let_go(self) -> None:
        """Release the slots in which nothing was started."""
        if self._local is not None and self._slots:
            self._local.release(self._slots)
        self._slots = 0


NOTHING_KEPT = Kept(None, ())
