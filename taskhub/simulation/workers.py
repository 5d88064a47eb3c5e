"""The workers of a simulated hub: each has a place, and where one dies another one is started."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskhub.model.ids import WorkerId
from taskhub.runtime.worker import Worker
from taskhub.simulation.process import MemoryReceipts

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskhub.runtime.application import Application
    from taskhub.runtime.receipts import Receipt
    from taskhub.settings import TaskHubSettings
    from taskhub.simulation.process import Process, Wrap
    from taskhub.simulation.world import World


@dataclass
class Place:
    """Where a worker runs."""

    name: str
    process: Process | None = None
    worker: Worker | None = None
    receipts: dict[str, Receipt] = field(default_factory=dict)
    """What the worker has in hand; the next one of its name finds it."""

    @property
    def is_up(self) -> bool:
        """Whether a worker is here that is not dead."""
        return self.process is not None and not self.process.is_dead


class Workers:
    """Starts workers, and ends, stops and replaces them.

    Args:
        world: where they live.
        settings: of their hub.
        application: what they run.
        count: how many there are.
        wrap: puts something between each and the store.
        tell: is told what happens to them.
    """

    def __init__(
        self,
        world: World,
        settings: TaskHubSettings,
        application: Application,
        *,
        count: int = 1,
        wrap: Wrap | None = None,
        tell: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.places = [Place(f"worker-{number}") for number in range(1, count + 1)]
        self._world = world
        self._settings = settings
        self._application = application
        self._wrap = wrap
        self._tell = tell

    def __repr__(self) -> str:
        return f"<Workers, {sum(place.is_up for place in self.places)} of {len(self.places)} up>"

    async def start(self) -> None:
        """Start them all; return when one has a partition."""
        ready = [asyncio.ensure_future(self._start(place).wait()) for place in self.places]
        await asyncio.wait(ready, return_when=asyncio.FIRST_COMPLETED)
        for each in ready:
            each.cancel()

    def wake(self, queue: str, after_seconds: float) -> None:
        """Have all of them look at a queue."""
        for place in self.places:
            if place.worker is not None and place.is_up:
                place.worker.wake(queue, after_seconds)

    def kill(self, place: Place, *, back_after_seconds: float) -> None:
        """End a worker where it is; its successor finds what it has stored, and nothing else."""
        if place.process is None or place.process.is_dead:
            return
        self._tell(f"{place.name} is killed; it is back after {back_after_seconds:g} s")
        place.process.kill()
        self._world.loop.call_later(back_after_seconds, self._start, place)

    def pause(self, place: Place, *, seconds: float) -> None:
        """Stop a worker for a while, as a virtual machine that is moved; it finds out by its clock alone."""
        process = place.process
        if process is None or process.is_dead or process.is_paused:
            return
        self._tell(f"{place.name} is stopped for {seconds:g} s")
        process.pause()
        self._world.loop.call_later(seconds, self._resume, process)

    def _resume(self, process: Process) -> None:
        if not process.is_dead:
            self._tell(f"{process.name} goes on")
            process.resume()

    def _start(self, place: Place) -> asyncio.Event:
        place.process = process = self._world.process(place.name, wrap=self._wrap)
        place.worker = worker = Worker(
            process.storage,
            self._settings,
            self._application,
            worker_id=WorkerId(place.name),
            environment=process.environment,
            announce=self._announced_by(place),
            receipts=MemoryReceipts(process, place.receipts),
        )
        ready = asyncio.Event()
        process.spawn(worker.run(asyncio.Event(), ready=ready), name="run")
        return ready

    def _announced_by(self, sender: Place) -> Any:
        def announce(queue: str, after_seconds: float, *, is_read_here: bool) -> None:
            for place in self.places:
                if place is not sender and place.worker is not None and place.is_up and not is_read_here:
                    place.worker.wake(queue, after_seconds)

        return announce
