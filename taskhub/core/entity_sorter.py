"""Puts the messages of one sender in order, and drops second copies.

Queues keep no order. So each message to an entity is labelled with a time, made unique, and with the label of the
message that its sender sent to the same entity before. A receiver holds a message back until its predecessor is there,
unless that lies behind the *horizon*, some half hour before the newest label: what is that late is not waited for.
Messages of clients take no part, nor do locks that are handed on from entity to entity.

Source: Durable Task extension, ``MessageSorter``.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from taskhub.model.entities import NEVER, TICKS_PER_SECOND, ReceiveBuffer, Request, SorterState, Stamp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from taskhub.model.ids import ExecutionId

_CLEANING_INTERVAL = 10 * TICKS_PER_SECOND
"""A horizon moves no more often than this: every move looks at all that is remembered."""


@dataclass(slots=True)
class _Source:
    """One sender, as :class:`ReceiveBuffer` describes it."""

    name: str
    """The instance id as it was written first."""
    last: Stamp
    execution_id: ExecutionId | None
    waiting: dict[int, Request] = field(default_factory=dict)
    """Messages by their label's ticks."""


class MessageSorter:
    """The order of one entity's messages. Changes as messages come and go; :meth:`state` tells what to remember.

    Args:
        state: what was remembered.
        window_seconds: how far back order is kept; 0 switches ordering off.
    """

    def __init__(self, state: SorterState, *, window_seconds: float) -> None:
        self._window = int(window_seconds * TICKS_PER_SECOND)
        self._sent = {target.lower(): (target, stamp) for target, stamp in state.last_sent.items()}
        self._sources = {
            name.lower(): _Source(
                name, each.last, each.execution_id, {request.timestamp.ticks: request for request in each.buffered}
            )
            for name, each in state.received.items()
        }
        self._receive_horizon = state.receive_horizon
        self._send_horizon = state.send_horizon

    def __repr__(self) -> str:
        waiting = sum(len(source.waiting) for source in self._sources.values())
        return f"<MessageSorter {len(self._sources)} senders, {waiting} messages wait>"

    def state(self) -> SorterState:
        """Return what to remember."""
        return SorterState(
            last_sent=dict(self._sent.values()),
            received={source.name: _buffer_of(source) for source in self._sources.values()},
            receive_horizon=self._receive_horizon,
            send_horizon=self._send_horizon,
        )

    def label(self, request: Request, target: str, now: Stamp) -> Request:
        """Return a message with its labels, about to be sent.

        Args:
            request: the message.
            target: instance id of the receiver.
            now: the current time.
        """
        if self._window == 0:
            return request
        self._move_send_horizon(now)
        key = target.lower()
        name, last = self._sent.get(key, (target, NEVER))
        # The clock may stand still or be set back.
        stamp = now if now.ticks > last.ticks else Stamp(last.ticks + 1, is_utc=False)
        self._sent[key] = (name, stamp)
        return replace(request, timestamp=stamp, predecessor=last)

    def receive(self, request: Request) -> Iterator[Request]:
        """Take a message; yield what may be delivered now, in order: itself or not, and others that waited for it."""
        sender = request.parent
        if self._window == 0 or sender is None or request.position > 0 or request.timestamp.ticks == NEVER.ticks:
            yield request
            return
        yield from self._move_receive_horizon(request.timestamp)
        if request.timestamp.ticks < self._receive_horizon.ticks:
            yield request
            return
        source = self._sources.get(sender.lower())
        if source is None:
            source = self._sources[sender.lower()] = _Source(sender, NEVER, request.parent_execution)
        elif source.execution_id != request.parent_execution:
            if request.timestamp.ticks <= max((source.last.ticks, *source.waiting)):
                # A late message, or a second copy, of an execution that is over: the order of the current one stands,
                # also of what waits for its first message.
                yield request
                return
            # Labels begin anew with every execution: what still waits is the rest of the one before.
            for ticks in sorted(source.waiting):
                yield source.waiting.pop(ticks)
            source.last, source.execution_id = NEVER, request.parent_execution
        if request.timestamp.ticks <= source.last.ticks:
            return
        if self._waits(request, source):
            source.waiting[request.timestamp.ticks] = request
            return
        yield self._delivered(request, source)
        yield from self._deliver(source)

    def _waits(self, request: Request, source: _Source) -> bool:
        """Return whether a message has a predecessor that was not delivered and may still come."""
        predecessor = request.predecessor.ticks
        return predecessor > source.last.ticks and predecessor >= self._receive_horizon.ticks

    def _delivered(self, request: Request, source: _Source) -> Request:
        if request.timestamp.ticks > source.last.ticks and request.timestamp.ticks >= self._receive_horizon.ticks:
            source.last = request.timestamp
        return request

    def _deliver(self, source: _Source) -> Iterator[Request]:
        """Yield those that waited for a message of this sender that was delivered, or need not wait any longer."""
        while source.waiting:
            request = source.waiting[min(source.waiting)]
            if self._waits(request, source):
                return
            del source.waiting[request.timestamp.ticks]
            yield self._delivered(request, source)

    def _move_receive_horizon(self, newest: Stamp) -> Iterator[Request]:
        """Move the horizon behind the newest label; yield what is not to wait any longer."""
        if self._receive_horizon.ticks + self._window + _CLEANING_INTERVAL >= newest.ticks:
            return
        self._receive_horizon = newest.plus(-self._window)
        for key, source in list(self._sources.items()):
            if source.last.ticks < self._receive_horizon.ticks:
                source.last = NEVER
            yield from self._deliver(source)
            if source.last.ticks == NEVER.ticks and not source.waiting:
                del self._sources[key]

    def _move_send_horizon(self, now: Stamp) -> None:
        if self._send_horizon.ticks + self._window + _CLEANING_INTERVAL >= now.ticks:
            return
        horizon = self._send_horizon = now.plus(-self._window)
        self._sent = {key: sent for key, sent in self._sent.items() if sent[1].ticks >= horizon.ticks}


def _buffer_of(source: _Source) -> ReceiveBuffer:
    waiting = tuple(source.waiting[ticks] for ticks in sorted(source.waiting))
    return ReceiveBuffer(source.last, source.execution_id, waiting)
