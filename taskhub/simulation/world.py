"""A small world in virtual time: one store, one loop, and processes that come and go.

One seed is one run, repeated to the byte: the loop draws which ready callback runs next, time jumps to the next timer
when nothing is ready, and clock, ids and randomness of the hub come from the same seed. A process of the world (a
worker, a client) can be killed at any callback: its tasks end where they are, and nothing they still do reaches the
store.
"""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from taskhub.simulation.loop import VirtualClock, VirtualLoop
from taskhub.simulation.process import Process
from taskhub.storage.memory import MemoryAccount

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from taskhub.simulation.process import Wrap


class World:
    """The store, the time and the processes of one run."""

    def __init__(
        self, seed: int = 0, *, shuffled: bool = False, max_seconds: float = 1e6, max_steps: int = 5_000_000
    ) -> None:
        """Make an empty one.

        Args:
            seed: of everything that is drawn.
            shuffled: whether the order of ready callbacks is drawn; else it is the order in which they became ready.
            max_seconds: virtual seconds after which a run raises :class:`~taskhub.simulation.loop.EndlessRun`.
            max_steps: callbacks after which it does.
        """
        self.seed = seed
        self.random = random.Random(seed)
        self.loop = VirtualLoop(
            random.Random(f"{seed}/schedule") if shuffled else None, max_seconds=max_seconds, max_steps=max_steps
        )
        ids = random.Random(f"{seed}/store")
        self.clock = VirtualClock(self.loop)
        self.account = MemoryAccount(self.clock.now, lambda: uuid.UUID(int=ids.getrandbits(128), version=4))
        self.processes: list[Process] = []

    def __repr__(self) -> str:
        return f"<World of seed {self.seed} at {self.loop.time():.3f} s, {len(self.processes)} processes>"

    def process(self, name: str, *, skew: timedelta = timedelta(0), wrap: Wrap | None = None) -> Process:
        """Start a process whose clock is ``skew`` ahead; ``wrap`` may put something between it and the store."""
        draw = random.Random(f"{self.seed}/{name}/{len(self.processes)}")
        started = Process(name, self.loop, self.account, draw, skew=skew, wrap=wrap)
        self.processes.append(started)
        return started

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run the world until ``coro`` ends, and close it."""
        return self.loop.run(self._main(coro))

    async def _main(self, coro: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await coro
        finally:
            # Or their tasks would not hear that all is over.
            for process in self.processes:
                if process.is_paused:
                    process.kill()
