"""What the runtime takes from the outside besides storage: time, randomness, ids and the starting of tasks."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from taskhub.runtime.clock import Clock, SystemClock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from taskhub.core.tracing import Span
    from taskhub.model.lifecycle import LifecycleChange


class Spawn(Protocol):
    """Starts a task on the running loop."""

    def __call__(self, coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start ``coro`` as a task called ``name``."""


def _create_task(coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
    return asyncio.get_running_loop().create_task(coro, name=name)


@dataclass(frozen=True, slots=True)
class Environment:
    """One for each worker or client process; a simulation gives seeded ones."""

    clock: Clock = field(default_factory=SystemClock)
    random: random.Random = field(default_factory=random.Random)
    new_guid: Callable[[], uuid.UUID] = uuid.uuid4
    spawn: Spawn = _create_task
    tell_spans: Callable[[Sequence[Span]], None] | None = None
    """Takes the spans of work that is stored; ``None``: nobody traces."""
    tell_changes: Callable[[Sequence[LifecycleChange]], Awaitable[None]] | None = None
    """Told that instances begin and end, before that is stored; never raises. ``None``: nobody asks."""
