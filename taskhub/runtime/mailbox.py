"""Messages in hand: reading, renewing, putting back and deleting them.

A message that was read stays in its queue, hidden, until it is deleted; its receipt is needed for that and changes
with every update. When it was hidden for too short a time it becomes visible again and may reach us a second time
while the first copy is still being worked on. Then the copy in hand takes over the new receipt, and nothing is done
twice.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.codec.keys import refusal_of_instance_id
from taskhub.codec.messages import BlobPointer, decode_envelope, instance_of_blob, is_plain, to_base64
from taskhub.core.poison import Verdict
from taskhub.core.polling import abandon_seconds
from taskhub.core.timers import due_of, visible_after
from taskhub.errors import (
    BlobNotFound,
    MalformedMessage,
    MessageGone,
    StorageError,
    StorageRefused,
    TransientStorageError,
)
from taskhub.model.ids import Utc
from taskhub.runtime.nursery import run_all
from taskhub.runtime.quarantine import WAIT_SECONDS
from taskhub.runtime.receipts import Receipt

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from taskhub.model.instance import InstanceState
    from taskhub.model.messages import Envelope
    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.quarantine import Quarantine
    from taskhub.runtime.receipts import Receipts
    from taskhub.runtime.services import Services
    from taskhub.storage.port import QueueMessage

MAX_PARALLEL = 16
MAX_REPORTED = 1_000
"""Unreadable messages that are remembered as reported."""

MAX_DELETE_ATTEMPTS = 4
"""Over about three seconds."""

MAX_USED_UP = 10_000
"""Messages that are remembered because they could not be deleted."""

POISON_SECONDS = 600

_logger = logging.getLogger("taskhub.mailbox")


@dataclass(slots=True, eq=False)
class Held:
    """A message in hand.

    It may be the work item of an activity that has run, and stand for its answer, which is in no queue (8.4 C).
    """

    queue: str
    id: str
    receipt: str
    envelope: Envelope
    dequeue_count: int
    inserted: datetime
    taken_at: datetime
    hide_seconds: int
    """For how long each renewal hides it."""
    text: str | None = None
    """As it lies in the queue, where readings are counted: put back on purpose, the message says so."""
    blob_name: str | None = None
    """Where the envelope of a large message lies."""
    row: InstanceState | None = None
    """Of the instance that a client in this process has just started with it."""
    work_item: Envelope | None = None
    """What lies in the queue, when ``envelope`` is the answer to it."""
    settle: Callable[[bool], None] | None = None
    """Called once it is known whether that answer is stored, or will have to be found again."""

    def answer_with(self, answer: Envelope, settle: Callable[[bool], None]) -> None:
        """Let the work item stand for its answer from now on."""
        self.work_item, self.envelope, self.settle = self.envelope, answer, settle


class Mailbox:
    """Messages that a worker has in hand, from all its queues."""

    def __init__(self, services: Services, wakeups: Wakeups, receipts: Receipts, quarantine: Quarantine) -> None:
        self._queues = services.storage.queues
        self._messenger = services.messenger
        self._large = services.large
        self._instances = services.instances
        self._environment = services.environment
        self._health = services.health
        self._base64 = services.settings.base64_messages
        self._work_item_queue = services.names.work_item_queue
        self._threshold = services.settings.control_queue_buffer_threshold
        self._wakeups = wakeups
        self._receipts = receipts
        self._quarantine = quarantine
        self._held: dict[str, Held] = {}
        self._counts: Counter[str] = Counter()
        self._reported: dict[str, None] = {}
        self._used_up: dict[str, None] = {}
        """Messages that should have been deleted; what they brought must not be done again."""

    def __repr__(self) -> str:
        return f"<Mailbox {len(self._held)} messages>"

    def __len__(self) -> int:
        return len(self._held)

    @property
    def has_room(self) -> bool:
        """Whether more control messages may be in hand: memory is bounded (F7)."""
        return len(self._held) - self._counts[self._work_item_queue] < self._threshold

    def count(self, queue: str) -> int:
        """Return how many messages of a queue are in hand."""
        return self._counts[queue]

    async def read(self, queue: str, *, limit: int, hide_seconds: int) -> tuple[list[Held], int]:
        """Take messages from a queue; return the new ones in order, and how many the queue gave.

        Second copies of messages in hand only renew their receipts. What cannot be read is reported once and put back;
        what was read too often is parked, where the settings ask for that.
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
            self._add(held)
        for message in fresh:
            if message.id not in self._held:
                self._quarantine.let_go(message.id)
                if not self._quarantine.is_waiting(message.id):
                    self._receipts.gone(message.id)
        new.sort(key=lambda held: (held.inserted.replace(microsecond=0), held.envelope.sequence_number))
        return new, len(messages)

    def holds(self, message_id: str) -> bool:
        """Return whether a message is in hand."""
        return message_id in self._held

    def take(self, held: Held) -> None:
        """Have a message in hand that was put hidden, and never read."""
        self._keep(held, held.receipt)

    async def renew(self, messages: Sequence[Held]) -> None:
        """Keep messages hidden for longer; what somebody else took meanwhile is left to them."""
        for held in messages:
            try:
                await self._update(held, held.hide_seconds)
            except StorageError as error:
                self._health.failed(error)

    async def hide(self, held: Held, seconds: int) -> None:
        """Put a message back until its time, which is ``seconds`` away."""
        await self._let_go(held, seconds)

    async def abandon(self, messages: Sequence[Held], *, error: Exception | None = None) -> None:
        """Put messages back for a while that grows with each reading.

        Args:
            messages: which ones.
            error: why work on them failed; ``None`` when it is only too early for them.
        """
        for held in messages:
            seconds = abandon_seconds(held.dequeue_count)
            if seconds >= POISON_SECONDS:
                self._report_poison(held)
            counts = error is not None and self._quarantine.failed(held.id, error)
            await self._let_go(held, seconds, counts=counts)

    async def give_back(self, messages: Sequence[Held]) -> None:
        """Make messages visible for whoever reads the queue next: at once, or at their time if it is still to come.

        One that was put hidden, and that a reader of ours has come to see nevertheless, is the reader's.
        """
        for held in messages:
            if self._held.get(held.id, held) is held:
                now = Utc.of(self._environment.clock.now())
                await self._let_go(held, visible_after(due_of(held.envelope.message), now))

    async def give_back_all(self, queue: str | None = None) -> None:
        """Make all messages in hand visible, or those of one queue."""
        await self.give_back([held for held in self._held.values() if queue is None or held.queue == queue])

    async def delete(self, messages: Sequence[Held]) -> None:
        """Delete messages that are used up.

        One that cannot be deleted comes back; we know it then, and others recognise it as a second copy.
        """
        await run_all(
            self._environment.spawn,
            [lambda held=held: self._delete(held) for held in messages],  # type: ignore[misc]  # binds the message
            limit=MAX_PARALLEL,
            name="delete message",
        )

    async def _open(self, queue: str, message: QueueMessage, taken_at: datetime, hide_seconds: int) -> Held | None:
        """Return a message that can be worked on now; see to all others."""
        if message.id in self._used_up:
            await self._delete_at_last(queue, message)
            return None
        pointer: BlobPointer | None = None
        try:
            content = decode_envelope(message.text)
            if isinstance(content, BlobPointer):
                pointer = content
                content = decode_envelope(await self._large.get(pointer.blob_name))
            if isinstance(content, BlobPointer):
                raise MalformedMessage(f"blob of message {message.id} points to another blob")
        except (MalformedMessage, BlobNotFound, StorageRefused) as error:
            await self._cannot_read(queue, message, pointer, error)
            return None
        except StorageError as error:
            self._health.failed(error)
            await self._put_back(queue, message, abandon_seconds(message.dequeue_count))
            return None
        try:
            taken = await self._admit(queue, message, content, pointer, hide_seconds)
        except MessageGone:
            return None
        except StorageError as error:
            self._health.failed(error)
            return None
        if taken is None:
            return None
        receipt, text = taken
        return Held(
            queue=queue,
            id=message.id,
            receipt=receipt,
            envelope=content,
            dequeue_count=message.dequeue_count,
            inserted=message.inserted,
            taken_at=taken_at,
            hide_seconds=hide_seconds,
            text=text if self._quarantine.is_open else None,
            blob_name=pointer.blob_name if pointer is not None else None,
        )

    async def _admit(
        self, queue: str, message: QueueMessage, content: Envelope, pointer: BlobPointer | None, hide_seconds: int
    ) -> tuple[str, str] | None:
        """Return receipt and text of a message that may be worked on, ``None`` for one that may not."""
        refusal = refusal_of_instance_id(content.message.target.instance_id)
        if refusal is not None:
            # Nothing can be stored of such an instance: the message would come back for ever. Only workers that do not
            # look before they send leave one.
            await self._quarantine.park(queue, message, envelope=content, pointer=pointer, why=refusal)
            return None
        text, receipt = message.text, message.receipt
        match self._quarantine.judge(message):
            case Verdict.POISONED:
                await self._quarantine.park(queue, message, envelope=content, pointer=pointer)
                return None
            case Verdict.LAST_CHANCE if not self._quarantine.take_last_chance(message.id):
                put_back = await self._put_back(queue, message, WAIT_SECONDS)
                if put_back is not None:
                    self._quarantine.wait_for_last_chance(put_back)
                return None
            case Verdict.UNCOUNTED:
                text = self._quarantine.note(text, more=message.dequeue_count - 1)
        if self._base64 and is_plain(text):
            # For a worker that reads nothing else, should it come back. The reference also makes it visible again,
            # and takes it a second time.
            text = to_base64(text)
        if text != message.text:
            rewritten = await self._queues.update(queue, message.id, receipt, visible_after=hide_seconds, text=text)
            receipt = rewritten.receipt
            self._receipts.took(Receipt(queue, message.id, receipt))
        return receipt, text

    async def _put_back(self, queue: str, message: QueueMessage, seconds: int) -> Receipt | None:
        """Put a message back on purpose that was read, but is not in hand; return its receipt."""
        text = self._quarantine.note(message.text) if self._quarantine.is_open else None
        try:
            done = await self._queues.update(queue, message.id, message.receipt, visible_after=seconds, text=text)
        except MessageGone:
            return None
        except StorageError as error:
            # It becomes visible by itself when its time is over.
            self._health.failed(error)
            return None
        self._wakeups.wake(queue, float(seconds))
        return Receipt(queue, message.id, done.receipt)

    async def _cannot_read(
        self, queue: str, message: QueueMessage, pointer: BlobPointer | None, error: Exception
    ) -> None:
        try:
            if isinstance(error, BlobNotFound) and pointer is not None and await self._was_purged(pointer):
                await self._queues.delete(queue, message.id, message.receipt)
                return
            self._report_unreadable(queue, message, error)
            if self._quarantine.takes_unreadable(message):
                await self._quarantine.park(queue, message, envelope=None, pointer=pointer, why=str(error))
            else:
                seconds = abandon_seconds(message.dequeue_count)
                await self._queues.update(queue, message.id, message.receipt, visible_after=seconds)
        except MessageGone:
            pass
        except StorageError as trouble:
            self._health.failed(trouble)

    async def _was_purged(self, pointer: BlobPointer) -> bool:
        """Return whether the instance of a message is gone, and took the message's blob with it."""
        instance_id = instance_of_blob(pointer.blob_name)
        return instance_id is not None and await self._instances.read(instance_id) is None

    async def _update(self, held: Held, seconds: int, *, text: str | None = None) -> None:
        receipt = held.receipt
        try:
            updated = await self._queues.update(held.queue, held.id, receipt, visible_after=seconds, text=text)
        except MessageGone:
            return
        if held.receipt == receipt:
            self._keep(held, updated.receipt)

    def _keep(self, held: Held, receipt: str) -> None:
        held.receipt = receipt
        self._add(held)
        self._receipts.took(Receipt(held.queue, held.id, receipt))

    def _add(self, held: Held) -> None:
        if held.id not in self._held:
            self._counts[held.queue] += 1
        self._held[held.id] = held

    def _forget(self, held: Held, *, is_done: bool = True) -> None:
        if held.settle is not None:
            held.settle(is_done)
        if self._held.pop(held.id, None) is not None:
            self._counts[held.queue] -= 1
        self._receipts.gone(held.id)
        self._quarantine.let_go(held.id)

    async def _let_go(self, held: Held, seconds: int, *, counts: bool = False) -> None:
        """Put a message back; ``counts`` when that reading is to count as a failure."""
        if held.work_item is not None:
            await self._send_answer(held)
            return
        text = None if counts or held.text is None else self._quarantine.note(held.text)
        try:
            await self._update(held, seconds, text=text)
        except StorageError as error:
            # It becomes visible by itself when its time is over.
            self._health.failed(error)
        else:
            self._wakeups.wake(held.queue, float(seconds))
        finally:
            self._forget(held)

    async def _send_answer(self, held: Held) -> None:
        """Put an answer on its queue that nobody here takes, and delete the work item that stood for it."""
        answer = held.envelope
        try:
            await self._messenger.send(
                answer.message, sender=answer.sender, episode=answer.episode, activity_id=answer.activity_id
            )
        except StorageError as error:
            # The work item becomes visible by itself, and the activity runs again.
            self._health.failed(error)
            self._forget(held, is_done=False)
        else:
            await self._delete(held)

    async def _delete(self, held: Held) -> None:
        attempts = 0

        def give_up() -> bool:
            nonlocal attempts
            attempts += 1
            return attempts >= MAX_DELETE_ATTEMPTS

        while True:
            receipt = held.receipt
            try:
                await self._health.retry(
                    lambda: self._queues.delete(held.queue, held.id, held.receipt), give_up=give_up
                )
            except MessageGone:
                if held.receipt != receipt:
                    continue  # a second copy came while we asked: its receipt is the one that counts
            except StorageError as error:
                if not isinstance(error, TransientStorageError):
                    self._health.failed(error)
                self._remember_used_up(held.id)
            break
        self._forget(held)

    def _remember_used_up(self, message_id: str) -> None:
        while len(self._used_up) >= MAX_USED_UP:
            self._used_up.pop(next(iter(self._used_up)))
        self._used_up[message_id] = None

    async def _delete_at_last(self, queue: str, message: QueueMessage) -> None:
        """Delete a message that came back because it could not be deleted when it was used up."""
        try:
            await self._queues.delete(queue, message.id, message.receipt)
        except MessageGone:
            pass
        except StorageError as error:
            self._health.failed(error)
            return
        self._used_up.pop(message.id, None)

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
