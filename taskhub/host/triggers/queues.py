"""Queues of an app's own: messages are taken, run, and deleted, put back, or laid aside as poison.

A message stays hidden while its function runs, by renewals. When the host dies it comes back by itself, and at once
when the host is started again on the same machine, which finds a note of it. One whose
function fails is put back at once, or after ``visibilityTimeout``; after ``maxDequeueCount`` readings it goes to
``<queue>-poison``. The queue and the other one are made when they are needed.

Differs from the original in that a message is hidden for a minute at a time, not for ten: after a crash it comes back
that much sooner.

Source: Azure WebJobs SDK storage extension, QueueListener and QueueProcessor.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol
from urllib.parse import quote

from taskhub.errors import MessageGone, QueueNotFound, StorageError, StorageRefused
from taskhub.host.triggers.options import MAX_BATCH
from taskhub.host.triggers.queue_texts import UnreadableText, decode_text
from taskhub.runtime.clock import Signal
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.poller import Poller
from taskhub.runtime.receipts import NoReceipts, Receipt

if TYPE_CHECKING:
    from taskhub.host.triggers.connections import Connection
    from taskhub.runtime.environment import Environment
    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.receipts import Receipts
    from taskhub.wiring import QueueMessage

HIDE_SECONDS = 60
RENEW_SECONDS = HIDE_SECONDS / 2
MIN_POLLING_SECONDS = 0.1
MAX_PAUSE_SECONDS = 30.0
"""Between two looks while the storage does not answer."""

logger = logging.getLogger(__name__)


class Handle(Protocol):
    """Does what a message asks for."""

    async def __call__(self, message: QueueMessage, content: str | bytes) -> bool:
        """Return whether it is done; false: it failed, and may be tried again."""


@dataclass(frozen=True, slots=True)
class QueueReading:
    """How a queue is read."""

    queue: str
    poison: str | None
    """Where messages go that cannot be dealt with; ``None``: they stay."""
    batch_size: int
    new_batch_threshold: int
    max_polling_seconds: float
    visibility_seconds: int
    max_dequeue_count: int
    is_base64: bool


class QueueListener:
    """Reads one queue.

    Args:
        reading: which queue and how.
        handle: what to do with a message.
        connection: where the queue is.
        environment: of the process.
        wakeups: who is told of messages that this process puts.
        receipts: notes of the messages in hand, for the next process of our name.
        place: name of the account among those notes.
    """

    def __init__(
        self,
        reading: QueueReading,
        handle: Handle,
        connection: Connection,
        environment: Environment,
        wakeups: Wakeups,
        *,
        receipts: Receipts | None = None,
        place: str = "",
    ) -> None:
        self._receipts = receipts or NoReceipts()
        self._note = "/".join([quote(place, safe=""), reading.queue])
        self._reading = reading
        self._handle = handle
        self._queues = connection.storage.queues
        self._health = connection.health
        self._environment = environment
        self._wakeups = wakeups
        self._poller = Poller(
            environment, floor_seconds=MIN_POLLING_SECONDS, ceiling_seconds=reading.max_polling_seconds
        )
        self._ended = Signal()
        self._stopped = Signal()
        self._failures = 0
        self._in_progress = 0
        self._is_stopping = False

    def __repr__(self) -> str:
        return f"<QueueListener {self._reading.queue}, {self._in_progress} in progress>"

    def stop(self) -> None:
        """Take no more messages; those in progress go on."""
        self._is_stopping = True
        self._ended.set()
        self._stopped.set()
        self._poller.wake()

    async def listen(self) -> None:
        """Read until told to stop, then wait for what is in progress.

        Cancellation: the messages in progress are put back, wherever their functions are.
        """
        self._wakeups.register(self._reading.queue, self._poller)
        try:
            await self._give_back_left()
            async with Nursery(self._environment.spawn) as nursery:
                while not self._is_stopping:
                    if self._in_progress > self._reading.new_batch_threshold:
                        await self._ended.wait()
                        continue
                    await self._poller.wait()
                    if not self._is_stopping:
                        await self._read(nursery)
        finally:
            self._wakeups.forget(self._reading.queue, self._poller)

    async def _give_back_left(self) -> None:
        """Make the messages visible that an earlier process of our name had in hand when it died."""
        for left in self._receipts.left():
            if left.queue != self._note:
                continue
            self._receipts.gone(left.message_id)
            try:
                await self._queues.update(self._reading.queue, left.message_id, left.receipt, visible_after=0)
            except (MessageGone, QueueNotFound, StorageRefused):
                continue  # another has it, or it was in another store
            except StorageError as error:
                self._health.failed(error)  # it becomes visible by itself

    async def _read(self, nursery: Nursery) -> None:
        limit = self._reading.batch_size
        try:
            messages = await self._get(limit)
        except StorageError as error:
            self._health.failed(error)
            await self._stopped.wait(min(0.2 * 2.0**self._failures, MAX_PAUSE_SECONDS))
            self._failures = min(self._failures + 1, 10)
            return
        self._failures = 0
        self._poller.found(len(messages), limit=limit)
        for message in messages:
            self._in_progress += 1
            nursery.start(self._process(message), name=f"message {message.id}")

    async def _get(self, limit: int) -> list[QueueMessage]:
        try:
            return list(await self._queues.get(self._reading.queue, limit=limit, invisible_for=HIDE_SECONDS))
        except QueueNotFound:
            await self._queues.create_queue(self._reading.queue)
            return []

    async def _process(self, message: QueueMessage) -> None:
        held = _Held(self, message)
        try:
            await self._deal_with(held)
        except asyncio.CancelledError:
            await held.put_back(0)
            raise
        except StorageError as error:
            # It becomes visible by itself.
            self._health.failed(error)
        except Exception:  # a message that breaks us must not end the others
            logger.exception("message %s of queue %s could not be dealt with", message.id, self._reading.queue)
        finally:
            held.forget()
            self._in_progress -= 1
            self._ended.set()

    async def _deal_with(self, held: _Held) -> None:
        message, reading = held.message, self._reading
        if message.dequeue_count > reading.max_dequeue_count and reading.poison is not None:
            await self._lay_aside(held, f"Message has reached MaxDequeueCount of {reading.max_dequeue_count}.")
            return
        try:
            content = decode_text(message.text, is_base64=reading.is_base64)
        except UnreadableText as error:
            await self._lay_aside(
                held,
                f"Message {message.id} cannot be read: {error}. Where senders write texts as they are, set "
                "extensions.queues.messageEncoding to none in host.json.",
            )
            return
        async with Nursery(self._environment.spawn) as nursery:
            nursery.start(held.renew(), name=f"renew message {message.id}")
            try:
                is_done = await self._handle(message, content)
            finally:
                held.is_over.set()
        if is_done:
            await held.delete()
        elif reading.poison is None:
            return  # it stays hidden for the rest of its time, so that it does not come back at once for ever
        elif message.dequeue_count >= reading.max_dequeue_count:
            await self._lay_aside(held, f"Message has reached MaxDequeueCount of {reading.max_dequeue_count}.")
        else:
            await held.put_back(reading.visibility_seconds)

    async def _lay_aside(self, held: _Held, why: str) -> None:
        poison = self._reading.poison
        if poison is None:
            logger.error("%s It stays in queue '%s'.", why, self._reading.queue)
            return
        logger.warning("%s Moving message to queue '%s'.", why, poison)
        try:
            await self._queues.put(poison, held.message.text)
        except QueueNotFound:
            await self._queues.create_queue(poison)
            await self._queues.put(poison, held.message.text)
        self._wakeups.wake(poison)
        await held.delete()


class _Held:
    """A message in hand."""

    def __init__(self, listener: QueueListener, message: QueueMessage) -> None:
        self.message = message
        self.is_over = Signal()
        self._queue = listener._reading.queue
        self._queues = listener._queues
        self._health = listener._health
        self._wakeups = listener._wakeups
        self._receipts = listener._receipts
        self._note = listener._note
        self._receipt: str | None = None
        self._keep(message.receipt)

    def _keep(self, receipt: str) -> None:
        self._receipt = receipt
        self._receipts.took(Receipt(self._note, self.message.id, receipt))

    def forget(self) -> None:
        """Note that the message is in hand no more."""
        self._receipt = None
        self._receipts.gone(self.message.id)

    async def renew(self) -> None:
        """Keep the message hidden until it is over."""
        while not await self.is_over.wait(RENEW_SECONDS):
            try:
                await self._update(HIDE_SECONDS)
            except StorageError as error:
                self._health.failed(error)

    async def put_back(self, seconds: int) -> None:
        """Make the message visible, now or after some seconds."""
        try:
            await self._update(seconds)
        except StorageError as error:
            self._health.failed(error)
        else:
            self._wakeups.wake(self._queue, float(seconds))

    async def delete(self) -> None:
        """Delete the message, unless somebody else has it."""
        if self._receipt is None:
            return
        try:
            await self._queues.delete(self._queue, self.message.id, self._receipt)
        except (MessageGone, QueueNotFound):
            logger.debug("message %s of queue %s is another's or gone", self.message.id, self._queue)

    async def _update(self, seconds: int) -> None:
        if self._receipt is None:
            return
        try:
            updated = await self._queues.update(self._queue, self.message.id, self._receipt, visible_after=seconds)
        except (MessageGone, QueueNotFound):
            # It came back while we were cut off, and somebody else has taken it.
            self.forget()
        else:
            self._keep(updated.receipt)


def reading_of(
    queue: str,
    poison: str | None,
    *,
    parallel: int,
    max_polling_seconds: float,
    max_dequeue_count: int,
) -> QueueReading:
    """Return how a queue of the host's own is read, of which up to ``parallel`` messages are in progress."""
    batch = min(max(parallel // 2, 1), MAX_BATCH)
    return QueueReading(
        queue,
        poison,
        batch_size=batch,
        new_batch_threshold=max(parallel - batch, 0),
        max_polling_seconds=max_polling_seconds,
        visibility_seconds=0,
        max_dequeue_count=max_dequeue_count,
        is_base64=True,
    )
