"""A process of a simulated world: it can be killed, and paused, at any callback."""

from __future__ import annotations

import asyncio
import contextvars
import uuid
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub.runtime.environment import Environment
from taskhub.simulation.loop import OWNER, VirtualClock
from taskhub.storage.interception import intercepted
from taskhub.storage.memory import open_memory

if TYPE_CHECKING:
    import random
    from collections.abc import Awaitable, Callable, Coroutine

    from taskhub.runtime.receipts import Receipt
    from taskhub.simulation.loop import VirtualLoop
    from taskhub.storage.interception import Call
    from taskhub.storage.memory import MemoryAccount
    from taskhub.storage.port import Storage

    Wrap = Callable[[Storage], Storage]


class Process:
    """One process of the world: its own environment, its own way to the store."""

    def __init__(
        self,
        name: str,
        loop: VirtualLoop,
        account: MemoryAccount,
        draw: random.Random,
        *,
        skew: timedelta = timedelta(0),
        wrap: Wrap | None = None,
    ) -> None:
        """Start it; :meth:`World.process <taskhub.simulation.world.World.process>` does that for most.

        Args:
            name: for logs and traces.
            loop: the world's.
            account: what the world stores.
            draw: of the process alone: its randomness and its ids.
            skew: how far its clock is ahead of the world's.
            wrap: puts something between it and the store, such as :class:`taskhub.storage.faults.FaultInjector`.
        """
        self.name = name
        self.is_dead = False
        self.is_paused = False
        self.observer: Callable[[Call], None] | None = None
        """Told of every call to the store that succeeded."""
        self._loop = loop
        self._parked: list[asyncio.Handle] = []
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.environment = Environment(
            clock=VirtualClock(loop, skew=skew),
            random=draw,
            new_guid=lambda: uuid.UUID(int=draw.getrandbits(128), version=4),
            spawn=self.spawn,
        )
        store = open_memory(now=account.now, account=account)
        if wrap is not None:
            store = wrap(store)
        self.storage = replace(intercepted(store, self._around), description=f"memory of {name}")

    def __repr__(self) -> str:
        state = "dead" if self.is_dead else "paused" if self.is_paused else "alive"
        return f"<Process {self.name} {state}, {len(self._tasks)} tasks>"

    def spawn(self, coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start a task of this process; what it starts in turn belongs to the process too."""
        context = contextvars.copy_context()
        context.run(OWNER.set, self)
        task: asyncio.Task[Any] = context.run(self._loop.create_task, coro)
        task.set_name(f"{self.name}: {name}")
        self._tasks[task] = None
        task.add_done_callback(lambda ended: self._tasks.pop(ended, None))
        return task

    def kill(self) -> None:
        """End the process where it is."""
        self.is_dead = True
        self.resume()
        for task in list(self._tasks):
            task.cancel()

    def pause(self) -> None:
        """Stop the process, as SIGSTOP does; the world goes on."""
        self.is_paused = True

    def resume(self) -> None:
        """Let a paused process go on; it finds out by its clock alone."""
        self.is_paused = False
        self._loop.give_back(self._parked)
        self._parked = []

    def park(self, handle: asyncio.Handle) -> None:
        """Keep a callback for later."""
        self._parked.append(handle)

    async def _around(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        # A killed process still unwinds; nothing it does then may reach the store.
        if self.is_dead:
            raise asyncio.CancelledError
        result = await act()
        if self.observer is not None:
            self.observer(call)
        return result


class MemoryReceipts:
    """Notes of a worker that outlive its process; what the process still does when it is dead does not count."""

    def __init__(self, process: Process, kept: dict[str, Receipt]) -> None:
        self._process = process
        self._kept = kept
        self._left = tuple(kept.values())

    def __repr__(self) -> str:
        return f"<MemoryReceipts of {self._process.name}, {len(self._kept)} kept>"

    def left(self) -> tuple[Receipt, ...]:
        """Return what the process before this one had taken and not seen go."""
        return self._left

    def took(self, receipt: Receipt) -> None:
        """Note a message that the process has taken."""
        if not self._process.is_dead:
            self._kept[receipt.message_id] = receipt

    def gone(self, message_id: str) -> None:
        """Forget a message: it is deleted, or somebody else's."""
        if not self._process.is_dead:
            self._kept.pop(message_id, None)
