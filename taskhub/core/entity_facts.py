"""PURE: requests to entities, and what entities know of what they were sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from taskhub.core.entity_memory import MAX_MINUTES, MAX_REMEMBERED, RequestMemory
from taskhub.model.entities import NEVER, SorterState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.entities import Request
    from taskhub.model.ids import InstanceId, Utc


@dataclass(frozen=True, slots=True)
class OpenRequest:
    """A request that was not answered."""

    request: Request
    target: InstanceId
    """Whom it was sent to: of locks, the first of the set."""
    sent: Utc

    @property
    def members(self) -> tuple[InstanceId, ...]:
        """Whom it concerns: the entity, or all that are to be locked."""
        return tuple(each.instance_id for each in self.request.lock_set or ()) or (self.target,)


@dataclass(frozen=True, slots=True)
class EntityFacts:
    """What an entity knows of what it was sent."""

    locked_by: InstanceId | None = None
    held: frozenset[str] = frozenset()
    """Ids of requests that it has and did not carry out."""
    sorter: SorterState = field(default_factory=SorterState)
    taken: Mapping[str, int] = field(default_factory=dict)
    """What it remembers to have taken; see :mod:`taskhub.core.entity_memory`."""

    def has_taken(self, request: Request) -> bool:
        """Return whether it has taken a request, as far as it remembers."""
        if RequestMemory(self.taken).has_taken(request.id):
            return True
        source = self._source(request)
        return source is not None and request.timestamp.ticks <= source

    def would_remember(self, request: Request, sent: Utc) -> bool:
        """Return whether it would still know of a request, had it taken it."""
        return self._source(request) is not None or self._would_remember_id(sent)

    def _source(self, request: Request) -> int | None:
        """Return the label of the last message that it had of the sender, ``None`` when order does not tell."""
        if request.parent is None or request.position or request.timestamp.ticks in range(self._horizon + 1):
            return None
        names = {name.lower(): each for name, each in self.sorter.received.items()}
        found = names.get(request.parent.lower())
        if found is None or found.execution_id != request.parent_execution:
            return NEVER.ticks
        return found.last.ticks

    @property
    def _horizon(self) -> int:
        return self.sorter.receive_horizon.ticks

    def _would_remember_id(self, sent: Utc) -> bool:
        if not self.taken:
            return False
        minute = int(sent.moment().timestamp() // 60)
        oldest, newest = min(self.taken.values()), max(self.taken.values())
        return newest - minute <= MAX_MINUTES and (len(self.taken) < MAX_REMEMBERED or oldest <= minute)
