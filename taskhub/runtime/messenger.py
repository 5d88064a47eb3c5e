"""Puts messages on their queues: the envelope, the blob of a large one, the wake-up of whoever reads it here."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from taskhub.codec.messages import (
    encode_envelope,
    encode_pointer,
    is_large_message,
    message_blob_name,
    noting_put_backs,
    to_base64,
)
from taskhub.core.activity import question_id
from taskhub.core.partitioning import partition_of
from taskhub.core.timers import visible_after
from taskhub.model.history import TaskScheduled
from taskhub.model.ids import PartitionIndex, Utc
from taskhub.model.messages import CLIENT, Envelope

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.model.dead_letters import DeadLetter
    from taskhub.model.history import OrchestrationInstance
    from taskhub.model.messages import TaskMessage
    from taskhub.names import HubNames
    from taskhub.runtime.environment import Environment
    from taskhub.runtime.large_values import LargeValues
    from taskhub.storage.port import PutReceipt, QueueStore

WORK_ITEMS = "workitems"
"""The work-item queue, without the hub's name."""


@dataclass(frozen=True, slots=True)
class PackedMessage:
    """A message ready to be put."""

    envelope: Envelope
    queue: str
    text: str
    """Whole, even when it goes to a blob."""
    blob_name: str | None
    """Where it goes if it is too large for the queue."""
    is_stored: bool = False
    """Whether it is there."""


class Messenger:
    """The sending side of one process; its sequence numbers run over all queues."""

    def __init__(
        self,
        queues: QueueStore,
        names: HubNames,
        large: LargeValues,
        environment: Environment,
        *,
        partition_count: int,
        base64: bool,
        wake: Callable[[str, float], object],
    ) -> None:
        self._queues = queues
        self._names = names
        self._large = large
        self._environment = environment
        self._partition_count = partition_count
        self._base64 = base64
        self._wake = wake
        self._numbers = itertools.count(1)

    def queue_of(self, message: TaskMessage) -> str:
        """Return the queue on which a message travels."""
        if isinstance(message.event, TaskScheduled):
            return self._names.work_item_queue
        return self._names.control_queue(partition_of(message.target.instance_id, self._partition_count))

    async def send(
        self,
        message: TaskMessage,
        *,
        sender: OrchestrationInstance = CLIENT,
        episode: int | None = None,
        due: Utc | None = None,
        activity_id: str | None = None,
    ) -> None:
        """Put a message.

        Safe to call again when it failed: a message that was put twice is recognised by its reader.

        Args:
            message: what to send.
            sender: the orchestration that sends it; nobody for clients.
            episode: the sender's episode; ``None`` from clients.
            due: when readers should see it.
            activity_id: of the envelope; by default a GUID of its own, and of a work item what tells its question.
        """
        await self.put(self.pack(message, sender=sender, episode=episode, activity_id=activity_id), due=due)

    def pack(
        self,
        message: TaskMessage,
        *,
        sender: OrchestrationInstance = CLIENT,
        episode: int | None = None,
        activity_id: str | None = None,
    ) -> PackedMessage:
        """Return a message as it is put; sends nothing. See :meth:`send` for the arguments."""
        event = message.event
        if isinstance(event, TaskScheduled):
            # Whoever of ours runs it says so in its answer. A work item of the reference tells another time than its
            # history, so an answer cannot say from the work item alone which question it is for.
            activity_id = question_id(message.target.execution_id, event.event_id, event.timestamp)
        envelope = Envelope(
            message=message,
            activity_id=activity_id or str(self._environment.new_guid()),
            sequence_number=next(self._numbers),
            episode=episode,
            sender=sender,
        )
        text = encode_envelope(envelope)
        blob_name = message_blob_name(envelope) if is_large_message(text) else None
        return PackedMessage(envelope, self.queue_of(message), text, blob_name)

    async def store(self, packed: PackedMessage) -> PackedMessage:
        """Store the blob of a message, if it is too large for its queue; return the message as it is then put."""
        if packed.blob_name is not None:
            await self._large.put(packed.blob_name, packed.text)
        return replace(packed, is_stored=True)

    async def put(
        self, packed: PackedMessage, *, due: Utc | None = None, wake: bool = True, hide_seconds: int = 0
    ) -> PutReceipt:
        """Put a message that was packed.

        Args:
            packed: the message.
            due: when readers should see it.
            wake: whether to wake the reader; a client that must write something first does it with :meth:`wake`.
            hide_seconds: for how long nobody should see it but who puts it; nobody is woken then.
        """
        text = packed.text
        if packed.blob_name is not None:
            if not packed.is_stored:
                await self._large.put(packed.blob_name, text)
            text = encode_pointer(packed.blob_name)
        hidden = hide_seconds or visible_after(due, Utc.of(self._environment.clock.now()))
        receipt = await self._queues.put(packed.queue, to_base64(text) if self._base64 else text, visible_after=hidden)
        if wake and not hide_seconds:
            self._wake(packed.queue, float(hidden))
        return receipt

    async def put_again(self, letter: DeadLetter) -> None:
        """Put a message that was parked, into the queue that its instance has now."""
        if letter.queue == WORK_ITEMS:
            queue = self._names.work_item_queue
        elif letter.address is not None:
            queue = self._names.control_queue(partition_of(letter.address.instance_id, self._partition_count))
        else:
            number = int(letter.queue.rpartition("-")[2])
            queue = self._names.control_queue(PartitionIndex(number % self._partition_count))
        # Notes of what was put back on purpose belong to the readings before.
        text = letter.text if letter.address is None else noting_put_backs(letter.text, 0)
        await self._queues.put(queue, text)
        self._wake(queue, 0.0)

    def wake(self, message: TaskMessage, due: Utc | None = None) -> None:
        """Wake the reader of a message that was put with ``wake=False``."""
        hidden = visible_after(due, Utc.of(self._environment.clock.now()))
        self._wake(self.queue_of(message), float(hidden))
