"""What a worker has in hand, noted outside of it, so that its successor can give it back at once.

A worker that dies leaves its messages hidden until their time is over, a minute by default. Their receipts stay good
until somebody else reads them: whoever knows the receipts can make the messages visible. That is right only when the
worker is surely dead, and it is for whoever starts a worker to know that (:mod:`taskhub.host.identity`); here the
notes are only kept and used. A note that is out of date does no harm, its receipt is refused.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from taskhub.errors import MessageGone, QueueNotFound, StorageError, StorageRefused
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.services import Services

MAX_PARALLEL = 16

_logger = logging.getLogger("taskhub.receipts")


@dataclass(frozen=True, slots=True)
class Receipt:
    """Of a message that was taken and not deleted."""

    queue: str
    message_id: str
    receipt: str


class Receipts(Protocol):
    """Notes that outlive the process. Calls must be quick, and never fail."""

    def left(self) -> Sequence[Receipt]:
        """Return what an earlier process of the same name had in hand when it ended."""

    def took(self, receipt: Receipt) -> None:
        """Note a message that was taken, or hidden for longer, which changes its receipt."""

    def gone(self, message_id: str) -> None:
        """Note that a message is in hand no more."""


class NoReceipts:
    """Notes nothing."""

    def left(self) -> Sequence[Receipt]:
        """Return nothing."""
        return ()

    def took(self, receipt: Receipt) -> None:
        """Do nothing."""

    def gone(self, message_id: str) -> None:
        """Do nothing."""


async def give_back_left(receipts: Receipts, services: Services, wakeups: Wakeups) -> None:
    """Make the messages visible that an earlier process of the same name had in hand."""
    left = receipts.left()
    if not left:
        return

    async def give_back(each: Receipt) -> bool:
        # Before it is visible: a reader of ours may take it at once, and then it is in hand anew.
        receipts.gone(each.message_id)
        try:
            await services.storage.queues.update(each.queue, each.message_id, each.receipt, visible_after=0)
        except (MessageGone, QueueNotFound, StorageRefused):
            # Somebody else has it, or it was in another store.
            return False
        except StorageError as error:
            # It becomes visible by itself when its time is over.
            services.health.failed(error)
            return False
        wakeups.wake(each.queue)
        return True

    done = await run_all(
        services.environment.spawn,
        [lambda each=each: give_back(each) for each in left],  # type: ignore[misc]  # binds the receipt
        limit=MAX_PARALLEL,
        name="give back",
    )
    _logger.info(
        "%d messages that an earlier process of this worker had in hand are back in their queues",
        sum(done),
        extra={"event": "left_given_back", "messages": sum(done)},
    )
