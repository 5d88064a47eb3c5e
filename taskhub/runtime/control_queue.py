"""Reads the control queue of one partition and hands its messages to the instances they are for.

The loop runs while the partition is ours and not being drained. What came up to a second too early (timers are put in
whole seconds) waits in memory for its time (:mod:`taskhub.runtime.timers`), what came days too early is hidden again.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.core.timers import Due, Hide, Hold, on_arrival
from taskhub.errors import QueueNotFound, StorageError
from taskhub.model.ids import Utc
from taskhub.runtime.poller import Poller
from taskhub.storage.port import MAX_MESSAGES_PER_GET

if TYPE_CHECKING:
    from taskhub.runtime.inbox import Inbox
    from taskhub.runtime.mailbox import Mailbox
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.poller import Wakeups
    from taskhub.runtime.services import Services
    from taskhub.runtime.timers import Timers

CLOSED_PAUSE_SECONDS = 0.1
"""Pause between two looks at whether reading is allowed."""

_logger = logging.getLogger("taskhub.control_queue")


class ControlQueue:
    """The reader of one partition."""

    def __init__(
        self,
        partition: Partition,
        services: Services,
        mailbox: Mailbox,
        inbox: Inbox,
        timers: Timers,
        wakeups: Wakeups,
    ) -> None:
        self._partition = partition
        self._services = services
        self._mailbox = mailbox
        self._inbox = inbox
        self._wakeups = wakeups
        self._poller = Poller.of(services.environment, services.settings)
        self._timers = timers
        self._is_stopped = False

    def __repr__(self) -> str:
        state = "stopped" if self._is_stopped else "reading"
        return f"<ControlQueue {self._partition.queue} {state}>"

    async def run(self) -> None:
        """Read until :meth:`stop`; what is in hand then and belongs to no instance yet is put back."""
        queue = self._partition.queue
        self._wakeups.register(queue, self._poller)
        try:
            while not self._is_stopped:
                await self._read()
                if not self._is_stopped:
                    await self._poller.wait()
        finally:
            self._wakeups.forget(queue, self._poller)
        await self._timers.give_back(self._partition)

    def stop(self) -> None:
        """Read no more. A read that is under way still delivers what it found."""
        self._is_stopped = True
        self._poller.wake()

    async def _read(self) -> None:
        settings = self._services.settings
        if not self._may_read():
            await self._services.environment.clock.sleep(CLOSED_PAUSE_SECONDS)
            self._poller.wake()
            return
        limit = min(settings.control_queue_batch_size, MAX_MESSAGES_PER_GET)
        try:
            messages, count = await self._mailbox.read(
                self._partition.queue, limit=limit, hide_seconds=settings.control_queue_visibility_seconds
            )
        except StorageError as error:
            if isinstance(error, QueueNotFound):
                # Deleted with its hub, or the emulator lost its memory: the partition loop makes it anew.
                self._services.hub.forget()
            self._services.health.failed(error)
            self._poller.failed(pause_seconds=self._services.health.asked_pause(error))
            return
        self._poller.found(count, limit=limit)
        if self._partition.is_lost:
            await self._mailbox.give_back(messages)
            return
        now = Utc.of(self._services.environment.clock.now())
        for held in messages:
            match on_arrival(held.envelope.message, now):
                case Due():
                    self._inbox.deliver(self._partition, held)
                case Hold(due=due):
                    self._timers.hold(self._partition, held, due.moment())
                case Hide(seconds=seconds):
                    await self._mailbox.hide(held, seconds)

    def _may_read(self) -> bool:
        """Return whether what we read could be worked on: there is room, and the lease lasts."""
        margin = timedelta(seconds=self._services.settings.fence_margin_seconds)
        return self._mailbox.has_room and self._partition.is_ours(self._services.environment.clock.now(), margin=margin)
