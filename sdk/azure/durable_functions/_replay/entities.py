"""Ids and labels of the requests that an orchestration sends to entities.

A request's id names the event that answers it. It is derived from the instance, the clock and a counter, so that every
replay makes the same one. The labels let an entity put the requests of one sender in order and drop duplicates: each
carries its own time, made unique, and that of its predecessor to the same entity.

Source: Durable Task extension, ``NewGuid`` of the orchestration context and ``MessageSorter``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID, uuid5

from azure.durable_functions._replay.history import from_ticks, to_ticks

if TYPE_CHECKING:
    from azure.durable_functions._replay.history import Clock

_NAMESPACE = UUID("9e952959-5e33-4daf-827f-2fa12937b875")
_NEVER = "0001-01-01T00:00:00"
_PURGE_INTERVAL = 10 * 10_000_000


@dataclass(frozen=True, slots=True)
class Request:
    """What distinguishes one request from all others."""

    id: str
    timestamp: str
    predecessor: str
    sent_at: str


class RequestLabels:
    """Makes the labels of one execution's requests, in the order in which they are sent.

    Args:
        instance_id: the sender.
        window_seconds: how far back order is kept; 0 switches labels off.
    """

    __slots__ = ("_counter", "_horizon", "_instance_id", "_last", "_window")

    def __init__(self, instance_id: str, *, window_seconds: float) -> None:
        self._instance_id = instance_id
        self._window = int(window_seconds * 10_000_000)
        self._counter = 0
        self._last: dict[str, tuple[int, str]] = {}
        self._horizon = 0

    def label(self, target: str, clock: Clock) -> Request:
        """Return id and labels of the next request."""
        now = clock.ticks_text
        request_id = str(uuid5(_NAMESPACE, f"{self._instance_id}_{now}Z_{self._counter}"))
        self._counter += 1
        timestamp, predecessor = self._order(target.lower(), now)
        return Request(request_id, timestamp, predecessor, f"{now}+00:00")

    def _order(self, target: str, now_text: str) -> tuple[str, str]:
        if self._window == 0:
            return _NEVER, _NEVER
        now = to_ticks(now_text)
        self._purge(now)
        last = self._last.get(target)
        if last is None or now > last[0]:
            stamp, text = now, _trim(now_text) + "Z"
        else:
            stamp = last[0] + 1
            text = _trim(from_ticks(stamp))  # .NET's sum has no zone
        self._last[target] = (stamp, text)
        return text, _NEVER if last is None else last[1]

    def _purge(self, now: int) -> None:
        horizon = now - self._window
        if horizon - self._horizon > _PURGE_INTERVAL:
            self._horizon = horizon
            self._last = {target: last for target, last in self._last.items() if last[0] >= horizon}


def _trim(text: str) -> str:
    return text.rstrip("0").rstrip(".")
