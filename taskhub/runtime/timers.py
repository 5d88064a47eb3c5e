"""Messages that are in memory before their time, so that they come at that very time and without a read (8.4 F).

::

    timer of an orchestration here ──► put, hidden for a little longer than it runs ──► what asks for it is stored ─┐
    message that was read a moment too early ───────────────────────────────────────────────────────────────────────┤
                                                                                                                    ▼
                                                        inbox ◄── it is time ────────────────────────────── kept here
                                                                                                                    │
                                    visible at its time, for the next owner ◄── its partition goes, the worker stops┘

A timer's message is in the queue as always, only nobody sees it. Should we die, it becomes visible a moment after its
time (:data:`MARGIN_SECONDS`). It is deleted when a checkpoint has stored that it fired, as any other message.
"""

from __future__ import annotations

import heapq
import itertools
import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from taskhub.core.timers import MAX_HIDDEN_SECONDS
from taskhub.runtime.clock import Signal
from taskhub.runtime.nursery import run_all

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from taskhub.runtime.inbox import Inbox
    from taskhub.runtime.mailbox import Held, Mailbox
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.services import Services

MARGIN_SECONDS = 10
"""For so long after its time a timer's message stays hidden: the time that it takes to store that it has fired."""

LOOK_SECONDS = 3600.0
"""Longest time between two looks at the clock, which may be set."""

SHORTEST_WAIT_SECONDS = 0.001

MAX_PARALLEL = 16
MIN_REBUILT = 64

Place = tuple["datetime", int, str]
"""In line: its time, its number, its id."""


@dataclass(slots=True, eq=False)
class _Waiting:
    partition: Partition
    held: Held
    due: datetime
    number: int
    is_in_hand: bool
    """It was read, so the mailbox knows it; one that was put hidden is taken when it is time."""


class Timers:
    """All messages of a worker that wait in memory for their time.

    Args:
        services: of the hub.
        mailbox: messages in hand.
        inbox: where messages go when it is time.
    """

    def __init__(self, services: Services, mailbox: Mailbox, inbox: Inbox) -> None:
        self._environment = services.environment
        self._limit = services.settings.max_local_timers
        self._mailbox = mailbox
        self._inbox = inbox
        self._waiting: dict[str, _Waiting] = {}
        self._line: list[Place] = []
        """A heap; what is not waiting any more is left in it for a while."""
        self._numbers = itertools.count()
        self._changed = Signal()

    def __repr__(self) -> str:
        return f"<Timers {len(self._waiting)} waiting>"

    def __len__(self) -> int:
        return len(self._waiting)

    def has_room(self, wanted: int = 1) -> bool:
        """Return whether so many more timers may be kept: memory is bounded."""
        return len(self._waiting) + wanted <= self._limit

    def hide_seconds(self, due: datetime) -> int:
        """Return for how long the message of a timer is put out of sight."""
        return max(0, math.ceil(self._seconds_until(due))) + MARGIN_SECONDS

    def can_hide(self, due: datetime) -> bool:
        """Return whether a queue can hide a message for as long."""
        return self.hide_seconds(due) <= MAX_HIDDEN_SECONDS

    def keep(self, partition: Partition, held: Held, due: datetime) -> bool:
        """Keep a timer that was put hidden until it is time; return whether that may be done.

        Not when somebody may have seen it already, because storing what asks for it took until its end.
        """
        if partition.is_closed or not self.has_room() or self._seconds_until(due) < -MARGIN_SECONDS / 2:
            return False
        self._add(partition, held, due, is_in_hand=False)
        return True

    def hold(self, partition: Partition, held: Held, due: datetime) -> None:
        """Keep a message that was read before its time."""
        self._add(partition, held, due, is_in_hand=True)

    def forget(self, message_ids: Iterable[str]) -> None:
        """Forget timers whose messages are deleted: nobody waits for them any more.

        What was read stays: it has another receipt now, so that it is not deleted.
        """
        for message_id in message_ids:
            waiting = self._waiting.get(message_id)
            if waiting is not None and not waiting.is_in_hand:
                del self._waiting[message_id]
        self._tidy()

    async def give_back(self, partition: Partition) -> None:
        """Let whoever reads the queue see the messages of a partition that is closed, at their time; the next first."""
        given = [each for each in self._waiting.values() if each.partition is partition]
        given.sort(key=lambda each: (each.due, each.number))
        for each in given:
            del self._waiting[each.held.id]
        self._tidy()
        await run_all(
            self._environment.spawn,
            [lambda each=each: self._mailbox.give_back([each.held]) for each in given],  # type: ignore[misc]  # binds
            limit=MAX_PARALLEL,
            name="give back timer",
        )

    async def run(self) -> None:
        """Hand messages over when it is time, until cancelled."""
        while True:
            self._hand_over_due()
            if self._line:
                seconds = max(self._seconds_until(self._line[0][0]), SHORTEST_WAIT_SECONDS)
                await self._changed.wait(min(seconds, LOOK_SECONDS))
            else:
                await self._changed.wait()

    def _add(self, partition: Partition, held: Held, due: datetime, *, is_in_hand: bool) -> None:
        number = next(self._numbers)
        self._waiting[held.id] = _Waiting(partition, held, due, number, is_in_hand)
        place = (due, number, held.id)
        heapq.heappush(self._line, place)
        if self._line[0] is place:
            self._changed.set()

    def _tidy(self) -> None:
        if len(self._line) > 2 * len(self._waiting) + MIN_REBUILT:
            self._line = [(each.due, each.number, key) for key, each in self._waiting.items()]
            heapq.heapify(self._line)

    def _hand_over_due(self) -> None:
        while self._line and self._seconds_until(self._line[0][0]) <= 0:
            _, number, message_id = heapq.heappop(self._line)
            waiting = self._waiting.get(message_id)
            # One of a partition that is closed waits to be given back.
            if waiting is not None and waiting.number == number and not waiting.partition.is_closed:
                del self._waiting[message_id]
                self._hand_over(waiting)

    def _hand_over(self, waiting: _Waiting) -> None:
        if not waiting.is_in_hand:
            if self._mailbox.holds(waiting.held.id):
                return  # it was hidden for too short a time: the reader has it
            waiting.held.taken_at = self._environment.clock.now()
            self._mailbox.take(waiting.held)
        self._inbox.deliver(waiting.partition, waiting.held)

    def _seconds_until(self, due: datetime) -> float:
        return (due - self._environment.clock.now()) / timedelta(seconds=1)
