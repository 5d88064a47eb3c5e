"""What work on orchestrations and work on entities have in common: fetching it, letting go of it, putting it back."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.errors import InstanceParked, LeaseLost
from taskhub.model.ids import Utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from taskhub.model.ids import ExecutionId
    from taskhub.runtime.dispatcher import Slots
    from taskhub.runtime.history_store import StoredHistory
    from taskhub.runtime.inbox import Inbox, WorkItem
    from taskhub.runtime.mailbox import Held, Mailbox
    from taskhub.runtime.renewals import Renewals
    from taskhub.runtime.services import Services
    from taskhub.runtime.sessions import StoredInstance


@dataclass(frozen=True, slots=True)
class Sorted:
    """What becomes of the messages of a batch, once what it led to is stored."""

    used_up: tuple[Held, ...] = ()
    """Delete them."""
    early: tuple[Held, ...] = ()
    """Put them back for a while."""
    later: tuple[Held, ...] = ()
    """Look at them again, for whichever execution is current."""
    hidden: tuple[tuple[Held, int], ...] = ()
    """Put them back for so many seconds."""


NO_MESSAGES = Sorted()


class InstanceWork:
    """Base of the two kinds; see :class:`taskhub.runtime.dispatcher.Work`."""

    _of_entities = False

    def __init__(self, services: Services, inbox: Inbox, mailbox: Mailbox, renewals: Renewals) -> None:
        self._services = services
        self._inbox = inbox
        self._mailbox = mailbox
        self._renewals = renewals
        self._fence_margin = timedelta(seconds=services.settings.fence_margin_seconds)

    async def fetch(self, slots: Slots) -> Sequence[WorkItem]:
        """Take instances that have messages."""
        return await self._inbox.take(slots.free, entities=self._of_entities)

    def stop(self) -> None:
        """Fetch no more than what is ready."""
        self._inbox.stop()

    async def abandon(self, item: WorkItem, error: Exception) -> None:
        """Put the batch back: at once for the partition's next owner, else for a while; keep it of a parked one."""
        if isinstance(error, InstanceParked):
            direct = [held for held in item.batch.messages if held.work_item is not None]
            item.batch.messages = [held for held in item.batch.messages if held.work_item is None]
            is_kept = self._inbox.park(item)
            await self._mailbox.give_back(direct if is_kept else [*direct, *item.batch.messages])
            return
        self._inbox.rest(item, None)
        if isinstance(error, LeaseLost):
            await self._mailbox.give_back(item.batch.messages)
        else:
            await self._mailbox.abandon(item.batch.messages, error=error)

    def describe(self, item: WorkItem) -> dict[str, object]:
        """Return fields for the log."""
        return {"instance_id": item.instance.id, "messages": len(item.batch.messages)}

    async def _load(self, item: WorkItem, wanted: ExecutionId | None) -> StoredHistory:
        """Read what is stored of an instance, for as long as it takes while its partition is ours."""
        return await self._services.health.retry(
            lambda: self._services.history.load(item.instance.id, wanted),
            give_up=lambda: (
                not item.partition.is_ours(self._services.environment.clock.now(), margin=self._fence_margin)
            ),
        )

    async def _let_go(self, item: WorkItem, session: StoredInstance | None, messages: Sorted) -> None:
        """End the work on an instance, then see to its messages: what it led to is stored.

        From here on nothing is lost whatever happens, and the next batch of the instance need not wait for the rest.
        """
        left = self._inbox.rest(item, session, later=messages.later)
        await self._mailbox.delete(messages.used_up)
        await self._mailbox.give_back(left)
        await self._mailbox.abandon(messages.early)
        for held, seconds in messages.hidden:
            await self._mailbox.hide(held, seconds)

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())


def pick(messages: Sequence[Held], indices: Iterable[int]) -> tuple[Held, ...]:
    """Return the messages at some indices."""
    return tuple(messages[index] for index in indices)


def all_but(messages: Sequence[Held], indices: Sequence[int]) -> tuple[Held, ...]:
    """Return the messages at all other indices."""
    left_out = set(indices)
    return tuple(held for index, held in enumerate(messages) if index not in left_out)
