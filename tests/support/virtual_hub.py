"""A hub in virtual time with workers of its own, for tests of one behaviour."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub import TaskHubClient, TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.names import HubNames
from taskhub.simulation.world import World
from tests.support.hub_state import HubState, read_hub
from tests.support.plain_application import PlainApplication

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskhub.model.instance import InstanceState
    from taskhub.simulation.process import Process, Wrap

_T = TypeVar("_T")

HUB = "TestHub"

UNHURRIED = {
    "use_app_lease": False,
    "lease_interval_seconds": 600.0,
    "lease_round_seconds": 300.0,
    "max_polling_interval_seconds": 3600.0,
    "control_queue_visibility_seconds": 3600,
    "work_item_visibility_seconds": 3600,
}
"""Settings of a hub that does little while days pass."""


@dataclass
class Running:
    """A worker at work."""

    process: Process
    worker: Worker
    task: asyncio.Task[Any]
    stopping: asyncio.Event
    ready: asyncio.Event

    async def stop(self) -> None:
        """Stop it as Ctrl+C does, and wait for its end."""
        self.stopping.set()
        await self.task

    def kill(self) -> None:
        """End it as kill -9 does."""
        self.process.kill()


class VirtualHub:
    """See the module. One hub is one test; :meth:`run` plays it."""

    def __init__(
        self,
        orchestrators: Mapping[str, Callable[..., Any]] | None = None,
        activities: Mapping[str, Callable[..., Any]] | None = None,
        *,
        app: PlainApplication | None = None,
        max_seconds: float = 1e6,
        **settings: Any,
    ) -> None:
        self.app = app or PlainApplication(orchestrators or {}, activities or {})
        self.world = World(max_seconds=max_seconds)
        self.settings = TaskHubSettings(
            **{"hub_name": HUB, "max_concurrent_activities": 20, "max_concurrent_orchestrations": 20, **settings}
        )
        self.names = HubNames.of(self.settings.hub_name)
        process = self.process("client")
        self.storage = process.storage
        self.client = TaskHubClient(process.storage, self.settings, environment=process.environment)
        self.clock = self.world.clock

    @property
    def seconds(self) -> float:
        """Virtual time since the beginning."""
        return self.world.loop.time()

    def process(self, name: str, *, wrap: Wrap | None = None, skew: float = 0.0) -> Process:
        """Start a process without a worker."""
        return self.world.process(name, wrap=wrap, skew=timedelta(seconds=skew))

    def run(self, play: Callable[[VirtualHub], Awaitable[_T]]) -> _T:
        """Play a test; what still runs at its end is dropped."""

        async def main() -> _T:
            return await play(self)

        result: _T = self.world.run(main())
        return result

    async def worker(
        self,
        name: str = "worker",
        *,
        app: PlainApplication | None = None,
        wrap: Wrap | None = None,
        skew: float = 0.0,
        wait: bool = True,
        **settings: Any,
    ) -> Running:
        """Start a worker; wait until it owns a partition."""
        process = self.process(name, wrap=wrap, skew=skew)
        values = {key: getattr(self.settings, key) for key in self.settings.__dataclass_fields__}
        worker = Worker(
            process.storage,
            TaskHubSettings(**{**values, **settings}),
            app or self.app,
            worker_id=WorkerId(name),
            environment=process.environment,
        )
        stopping, ready = asyncio.Event(), asyncio.Event()
        task = process.spawn(worker.run(stopping, ready=ready), name="run")
        running = Running(process, worker, task, stopping, ready)
        if wait:
            await ready.wait()
        return running

    async def start(
        self, name: str, given: Any = None, *, instance_id: str | None = None, **options: Any
    ) -> InstanceId:
        """Start an instance with an input as the SDK's client encodes it."""
        return await self.client.start(
            name,
            instance_id=InstanceId(instance_id) if instance_id else None,
            input=None if given is None else json.dumps(json.dumps(given)),
            **options,
        )

    async def end(self, instance_id: str, *, within: float = 3600.0) -> InstanceState:
        """Return the state of an instance once it has ended."""
        return await self.until(instance_id, lambda s: s.status is not None and s.status.is_terminal, within)

    async def until(
        self, instance_id: str, is_reached: Callable[[InstanceState], bool], within: float = 3600.0
    ) -> InstanceState:
        """Return the state of an instance once it is as wanted."""
        deadline = self.seconds + within
        pause = 0.01
        while self.seconds < deadline:
            state = await self.client.get(InstanceId(instance_id))
            if state is not None and is_reached(state):
                return state
            await self.clock.sleep(pause)
            pause = min(pause * 1.2, 300.0)
        raise AssertionError(f"{instance_id} is still {state}")

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.sleep(seconds)

    async def state(self) -> HubState:
        """Return everything that is stored."""
        return await read_hub(self.storage, self.names, partition_count=self.settings.partition_count)
