"""Takes poisoned messages out of the queues, where the settings ask for that.

::

    read too often ──► letter stored ──► who waits is told ──► message deleted

Whatever breaks off in between, the message is still there, and all of it is done again: the letter is stored over the
first one, and the second answer is recognised as such.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from taskhub.codec.dead_letters import letter_id
from taskhub.codec.entity_texts import decode_incoming, encode_response
from taskhub.codec.keys import refusal_of_instance_id
from taskhub.codec.messages import noting_put_backs, put_backs
from taskhub.core import poison
from taskhub.core.activity import answer_episode
from taskhub.core.poison import Verdict
from taskhub.errors import (
    LeaseLost,
    MalformedMessage,
    MessageGone,
    StaleCheckpoint,
    StorageError,
    StorageRefused,
    TransientStorageError,
)
from taskhub.model.dead_letters import POISONED, DeadLetter
from taskhub.model.entities import Request, Response, is_entity
from taskhub.model.history import EventRaised, ExecutionStarted, OrchestrationInstance, TaskScheduled
from taskhub.model.ids import Utc
from taskhub.model.messages import TaskMessage
from taskhub.runtime.application import EntityFailed
from taskhub.runtime.clock import Signal

if TYPE_CHECKING:
    from taskhub.codec.messages import BlobPointer
    from taskhub.model.ids import InstanceId
    from taskhub.model.messages import Envelope
    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.receipts import Receipt, Receipts
    from taskhub.runtime.services import Services
    from taskhub.storage.port import QueueMessage

WAIT_SECONDS = 30
"""How long a message stays hidden that waits for its last chance, should this process not call it before."""

CALL_SECONDS = 1.0
"""Pause between two calls while nobody takes the last chance."""

MAX_REMEMBERED = 1_000
"""Messages whose last error is remembered."""

_NOBODYS_FAULT = (LeaseLost, StaleCheckpoint, TransientStorageError)

_logger = logging.getLogger("taskhub.quarantine")


class Quarantine:
    """The poisoned messages of one process; see :mod:`taskhub.core.poison` for what makes them so."""

    def __init__(self, services: Services, wakeups: Wakeups, receipts: Receipts) -> None:
        self._services = services
        self._wakeups = wakeups
        self._receipts = receipts
        self._limit = services.settings.max_dequeue_count
        self._errors: dict[str, str] = {}
        self._has_last_chance: str | None = None
        self._waiting: dict[str, Receipt] = {}
        """In the order of their calls."""
        self._freed = Signal()

    def __repr__(self) -> str:
        return f"<Quarantine above {self._limit or 'any number of'} readings, last chance of {self._has_last_chance}>"

    @property
    def is_open(self) -> bool:
        """Whether readings are counted at all."""
        return self._limit > 0

    def judge(self, message: QueueMessage) -> Verdict:
        """Judge a message that was read and can be decoded."""
        if not self.is_open:
            return Verdict.WORK
        return poison.judge(message.dequeue_count, put_backs(message.text), limit=self._limit)

    def takes_unreadable(self, message: QueueMessage) -> bool:
        """Return whether a message that cannot be decoded was read too often."""
        return poison.is_over_limit(message.dequeue_count, limit=self._limit)

    def note(self, text: str, *, more: int = 1) -> str:
        """Return a message's text with a note that it is put back on purpose once more."""
        return noting_put_backs(text, put_backs(text) + more)

    def take_last_chance(self, message_id: str) -> bool:
        """Give a message the last chance, if no other one in this process has it."""
        if self._has_last_chance not in (None, message_id):
            return False
        self._has_last_chance = message_id
        return True

    def failed(self, message_id: str, error: Exception) -> bool:
        """Note that work on a message failed; return whether that counts against it."""
        if isinstance(error, _NOBODYS_FAULT):
            return False
        while len(self._errors) >= MAX_REMEMBERED:
            self._errors.pop(next(iter(self._errors)))
        self._errors[message_id] = f"{type(error).__name__}: {error}"
        return True

    def wait_for_last_chance(self, receipt: Receipt) -> None:
        """Let a message wait, which was put back for :data:`WAIT_SECONDS`, until the last chance is free."""
        # Should we die meanwhile, our successor makes it visible.
        self._receipts.took(receipt)
        self._waiting.pop(receipt.message_id, None)
        self._waiting[receipt.message_id] = receipt
        # While it was put back the last chance may have become free.
        self._freed.set()

    def is_waiting(self, message_id: str) -> bool:
        """Return whether a message waits for its last chance."""
        return message_id in self._waiting

    def let_go(self, message_id: str) -> None:
        """Note that a message is in hand no more."""
        if self._has_last_chance == message_id:
            self._has_last_chance = None
            self._freed.set()

    async def run(self) -> None:
        """Call those that wait for their last chance, one after the other, until cancelled."""
        while True:
            # Another process may be quicker to read what is called: then it is the next one's turn.
            await self._freed.wait(CALL_SECONDS if self._waiting else None)
            while self._waiting and self._has_last_chance is None:
                if await self._call(self._waiting.pop(next(iter(self._waiting)))):
                    break

    async def _call(self, waiting: Receipt) -> bool:
        """Make a message visible, to be read anew: each try has to count. Return whether it is."""
        queues = self._services.storage.queues
        # Before it is visible: a reader of ours may take it at once, and then it is in hand anew.
        self._receipts.gone(waiting.message_id)
        try:
            await queues.update(waiting.queue, waiting.message_id, waiting.receipt, visible_after=0)
        except MessageGone:
            return False
        except StorageError as error:
            # It becomes visible by itself when its time is over.
            self._services.health.failed(error)
            return False
        self._wakeups.wake(waiting.queue)
        return True

    # ---- parking

    async def park(
        self,
        queue: str,
        message: QueueMessage,
        *,
        envelope: Envelope | None,
        pointer: BlobPointer | None,
        why: str | None = None,
    ) -> None:
        """Take a message out of its queue.

        Args:
            queue: where it is.
            message: as it was read.
            envelope: what it means; ``None`` when it cannot be read.
            pointer: what the queue has in place of a large one.
            why: what is wrong with it; by default what went wrong last.

        Raises:
            StorageError: it stays in its queue, and is parked when it is read again.
        """
        services = self._services
        content = None if pointer is None else await services.large.raw(pointer.blob_name)
        reason = self._reason(message, why, is_undeliverable=envelope is not None and why is not None)
        told = None if envelope is None else await self._whom_to_tell(envelope)
        kind, inserted = queue[len(services.names.hub) + 1 :], Utc.of(message.inserted)
        letter = DeadLetter(
            id=letter_id(message.id, queue=kind, inserted=inserted),
            message_id=message.id,
            queue=kind,
            reason=reason,
            dequeue_count=message.dequeue_count,
            inserted=inserted,
            parked=self._now(),
            text=message.text,
            address=None if envelope is None else poison.address_of(envelope.message),
            blob_name=None if pointer is None else pointer.blob_name,
            has_content=content is not None,
            told=told,
        )
        await services.dead_letters.park(letter, content)
        if envelope is not None and told is not None:
            await self._tell(envelope, f"{reason}. It is parked as dead letter {letter.id}")
        try:
            await services.storage.queues.delete(queue, message.id, message.receipt)
        except MessageGone:
            return  # somebody else read it again, and parks it in turn
        self._errors.pop(message.id, None)
        self._report(queue, letter)

    def _reason(self, message: QueueMessage, why: str | None, *, is_undeliverable: bool) -> str:
        if is_undeliverable:
            return f"the message can reach nobody: {why}"
        why = why or self._errors.get(message.id)
        what = "could not be read" if why and message.id not in self._errors else "was never completed"
        text = f"the message was read {message.dequeue_count} times and {what}"
        return f"{text} (maxDequeueCount is {self._limit}){f': {why}' if why else ''}"

    def _report(self, queue: str, letter: DeadLetter) -> None:
        address = letter.address
        whose = f" for instance '{address.instance_id}' ({address.event_type})" if address else ""
        _logger.error(
            "message %s of queue %s%s is parked: %s; see 'taskhub dead show %s'",
            letter.message_id,
            queue,
            whose,
            letter.reason,
            letter.id,
            extra={
                "event": "message_parked",
                "queue": queue,
                "message_id": letter.message_id,
                "dead_letter": letter.id,
                "instance_id": address.instance_id if address else None,
                "told": letter.told,
                "reason": letter.reason,
            },
        )

    # ---- telling who waits

    async def _whom_to_tell(self, envelope: Envelope) -> InstanceId | None:
        """Return who waits for a message and will learn that it is poisoned."""
        message = envelope.message
        event = message.event
        if isinstance(event, ExecutionStarted) and refusal_of_instance_id(event.instance.instance_id) is None:
            stored = await self._services.history.execution_of(event.instance.instance_id)
            if stored is not None and stored == event.instance.execution_id:
                return None  # it has begun: the message is a left-over
            if event.parent is None:
                row = await self._services.instances.read(event.instance.instance_id)
                waits = row is not None and row.execution_id == event.instance.execution_id
                return event.instance.instance_id if waits else None
        answer = self._answer(message, "")
        return None if answer is None else answer.target.instance_id

    def _answer(self, message: TaskMessage, error: str) -> TaskMessage | None:
        told = poison.told_failure(message, error, now=self._now())
        return told if told is not None else self._entity_answer(message, error)

    def _entity_answer(self, message: TaskMessage, error: str) -> TaskMessage | None:
        """Return the answer of an entity that cannot work on a call."""
        event = message.event
        if not isinstance(event, EventRaised) or not is_entity(message.target.instance_id):
            return None
        try:
            request = decode_incoming(event.name, event.input)
        except MalformedMessage:
            return None
        if not isinstance(request, Request) or request.is_signal or request.parent is None or request.lock_set:
            return None
        response = Response(EntityFailed.because(f"{POISONED}: {error}").result, is_error=True)
        raised = EventRaised(timestamp=self._now(), name=request.id, input=encode_response(response))
        return TaskMessage(raised, target=OrchestrationInstance(request.parent, request.parent_execution))

    async def _tell(self, envelope: Envelope, error: str) -> None:
        services, message = self._services, envelope.message
        event = message.event
        if isinstance(event, ExecutionStarted) and event.parent is None:
            # Only where there is such an instance.
            await services.instances.fail_unstarted(event, poison.start_failure(event, error))
            return
        answer = self._answer(message, error)
        if answer is None:
            return
        episode = answer_episode(envelope) if isinstance(event, TaskScheduled) else 1
        try:
            await services.messenger.send(answer, sender=message.target, episode=episode)
        except StorageRefused as refusal:
            # Whoever waits cannot be reached for good, as when it has an id that storage refuses.
            _logger.error(
                "instance '%s' cannot be told that a message is parked: %s",
                answer.target.instance_id,
                refusal,
                extra={"event": "parked_untold", "instance_id": answer.target.instance_id, "error": str(refusal)},
            )

    def _now(self) -> Utc:
        return Utc.of(self._services.environment.clock.now())
