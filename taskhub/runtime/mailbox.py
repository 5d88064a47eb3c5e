"""Messages in hand: reading, renewing, putting back and deleting them.

A message that was read stays in its queue, hidden, until it is deleted; its receipt is needed for that and changes
with every update. When it was hidden for too short a time it becomes visible again and may reach us a second time
while the first copy is still being worked on. Then the copy in hand takes over the new receipt, and nothing is done
twice.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.codec.messages import BlobPointer, decode_envelope, is_plain, to_base64
from taskhub.core.polling import abandon_seconds
from taskhub.errors import BlobNotFound, MalformedMessage, MessageGone, StorageError
from taskhub.runtime.nursery import run_all
from taskhub.runtime.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from taskhub.model.messages import Envelope
    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.receipts import Receipts
    from taskhub.runtime.services import Services
    from taskhub.storage.port import QueueMessage

MAX_PARALLEL = 16
MAX_REPORTED = 1_000
"""Unreadable messages that are remembered as reported."""

POISON_SECONDS = 600

_logger = logging.getLogger("taskhub.mailbox")


@dataclass(slots=True, eq=False)
class Held:
    """A message in hand."""

    queue: str
    id: str
    receipt: str
    envelope: Envelope
    dequeue_count: int
    inserted: datetime
    taken_at: datetime


class Mailbox:
    """All messages that a worker has in hand, from every queue."""

    def __init__(self, services: Services, wakeups: Wakeups, receipts: Receipts) -> None:
        self._queues = services.storage.queues
        self._large = services.large
        self._environment = services.environment
        self._health = services.health
        self._base64 = services.settings.base64_messages
        self._wakeups = wakeups
        self._receipts = receipts
        self._held: dict[str, Held] = {}
        self._reported: dict[str, None] = {}

    def __repr__(self) -> str:
        return f"<Mailbox {len(self._held)} messages>"

    def __len__(self) -> int:
        return len(self._held)

    def count(self, queue: str) -> int:
        """Return how many messages of a queue are in hand."""
        return sum(held.queue == queue for held in self._held.values())

    async def read(self, queue: str, *, limit: int, hide_seconds: int) -> tuple[list[Held], int]:
        """Take messages from a queue; return the new ones in order, and how many the queue gave.

        Second copies of messages in hand only renew their receipts. What cannot be read is reported once and put back.
        """
        taken_at = self._environment.clock.now()
        messages = await self._queues.get(queue, limit=limit, invisible_for=hide_seconds)
        fresh: list[QueueMessage] = []
        for message in messages:
            known = self._held.get(message.id)
            if known is None:
                # Before it is decoded, so that little time is left in which nobody knows the receipt.
                self._receipts.took(Receipt(queue, message.id, message.receipt))
                fresh.append(message)
            else:
                known.dequeue_count = message.dequeue_count
                self._keep(known, message.receipt)
        decoded = await run_all(
            self._environment.spawn,
            [lambda message=message: self._open(queue, message, taken_at, hide_seconds) for message in fresh],  # type: ignore[misc]  # binds
            limit=MAX_PARALLEL,
            name="decode",
        )
        new = [held for held in decoded if held is not None]
        for held in new:
            self._held[held.id] = held
        for message in fresh:
            if message.id not in self._held:
                self._receipts.gone(message.id)
        new.sort(key=lambda held: (held.inserted.replace(microsecond=0), held.envelope.sequence_number))
        return new, len(messages)

    async def renew(self, messages: Sequence[Held], *, hide_seconds: int) -> None:
        """Keep messages hidden for longer; what somebody else took meanwhile is left to them."""
        for held in messages:
            try:
                await self._update(held, hide_seconds)
            except StorageError as error:
                self._health.failed(error)

    async def hide(self, held: Held, seconds: int) -> None:
        """Put a message back until its time, which is ``seconds`` away."""
        await self._let_go(held, seconds)

    async def abandon(self, messages: Sequence[Held]) -> None:
        """Put messages back for a while that grows with each reading."""
        for held in messages:
            seconds = abandon_seconds(held.dequeue_count)
            if seconds >= POISON_SECONDS:
                self._report_poison(held)
            await self._let_go(held, seconds)

    async def give_back(self, messages: Sequence[Held]) -> None:
        """Make messages visible at once, for whoever reads the queue next."""
        for held in messages:
            await self._let_go(held, 0)

    async def give_back_all(self, queue: str | None = None) -> None:
        """Make all messages in hand visible, or those of one queue."""
        await self.give_back([held for held in self._held.values() if queue is None or held.queue == queue])

    async def delete(self, messages: Sequence[Held]) -> None:
        """Delete messages that are used up.

        One that cannot be deleted comes back and is recognised as a second copy.
        """
        await run_all(
            self._environment.spawn,
            [lambda held=held: self._delete(held) for held in messages],  # type: ignore[misc]  # binds the message
            limit=MAX_PARALLEL,
            name="delete message",
        )

    async def _open(self, queue: str, message: QueueMessage, taken_at: datetime, hide_seconds: int) -> Held | None:
        receipt = message.receipt
        try:
            content = decode_envelope(message.text)
            if isinstance(content, BlobPointer):
                content = decode_envelope(await self._large.get(content.blob_name))
            if isinstance(content, BlobPointer):
                raise MalformedMessage(f"blob of message {message.id} points to another blob")
            if self._base64 and is_plain(message.text):
                # For a worker that reads nothing else, should it come back. The reference also makes it visible again,
                # and takes it a second time.
                text = to_base64(message.text)
                rewritten = await self._queues.update(queue, message.id, receipt, visible_after=hide_seconds, text=text)
                receipt = rewritten.receipt
                self._receipts.took(Receipt(queue, message.id, receipt))
        except (MalformedMessage, BlobNotFound) as error:
            self._report_unreadable(queue, message, error)
            await self._put_back(queue, message)
            return None
        except MessageGone:
            return None
        except StorageError as error:
            self._health.failed(error)
            return None
        return Held(
            queue=queue,
            id=message.id,
            receipt=receipt,
            envelope=content,
            dequeue_count=message.dequeue_count,
            inserted=message.inserted,
            taken_at=taken_at,
        )

    async def _put_back(self, queue: str, message: QueueMessage) -> None:
        seconds = abandon_seconds(message.dequeue_count)
        try:
            await self._queues.update(queue, message.id, message.receipt, visible_after=seconds)
        except MessageGone:
            pass
        except StorageError as error:
            self._health.failed(error)

    async def _update(self, held: Held, seconds: int) -> None:
        receipt = held.receipt
        try:
            updated = await self._queues.update(held.queue, held.id, receipt, visible_after=seconds)
        except MessageGone:
            return
        if held.receipt == receipt:
            self._keep(held, updated.receipt)

    def _keep(self, held: Held, receipt: str) -> None:
        held.receipt = receipt
        self._held[held.id] = held
        self._receipts.took(Receipt(held.queue, held.id, receipt))

    def _forget(self, held: Held) -> None:
        self._held.pop(held.id, None)
        self._receipts.gone(held.id)

    async def _let_go(self, held: Held, seconds: int) -> None:
        try:
            await self._update(held, seconds)
        except StorageError as error:
            # It becomes visible by itself when its time is over.
            self._health.failed(error)
        else:
            self._wakeups.wake(held.queue, float(seconds))
        finally:
            self._forget(held)

    async def _delete(self, held: Held) -> None:
        receipt = held.receipt
        try:
            await self._queues.delete(held.queue, held.id, receipt)
        except MessageGone:
            if held.receipt != receipt:
                # A second copy came while we asked: its receipt is the one that counts.
                await self._delete(held)
                return
        except StorageError as error:
            self._health.failed(error)
        self._forget(held)

    def _report_unreadable(self, queue: str, message: QueueMessage, error: Exception) -> None:
        if message.id in self._reported:
            return
        if len(self._reported) >= MAX_REPORTED:
            self._reported.pop(next(iter(self._reported)))
        self._reported[message.id] = None
        _logger.error(
            "message %s in queue %s cannot be read and stays there: %s",
            message.id,
            queue,
            error,
            extra={"event": "unreadable_message", "queue": queue, "message_id": message.id, "error": str(error)},
        )

    def _report_poison(self, held: Held) -> None:
        instance_id = held.envelope.message.target.instance_id
        _logger.warning(
            "message %s for instance '%s' was read %d times without success; next try in %d s",
            held.id,
            instance_id,
            held.dequeue_count,
            POISON_SECONDS,
            extra={"event": "poison_message", "instance_id": instance_id, "dequeue_count": held.dequeue_count},
        )
