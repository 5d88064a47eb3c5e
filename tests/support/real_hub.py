"""A hub in real time on any store: a client, and workers that come and go."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from taskhub import TaskHubClient, TaskHubSettings, Worker
from taskhub.model.ids import InstanceId, WorkerId
from taskhub.model.instance import RuntimeStatus
from taskhub.names import HubNames
from tests.support.mortal import Mortal
from tests.support.plain_application import PlainApplication

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from taskhub.model.history import HistoryEvent
    from taskhub.model.instance import InstanceState
    from taskhub.storage.port import Storage

PATIENCE_SECONDS = 30.0


class RealHub:
    """See the module. Tests share an emulator, so every hub has a name of its own."""

    def __init__(
        self,
        storage: Storage,
        orchestrators: Mapping[str, Callable[..., Any]] | None = None,
        activities: Mapping[str, Callable[..., Any]] | None = None,
        *,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.storage = storage
        self.app = PlainApplication(orchestrators or {}, activities or {})
        self.settings = TaskHubSettings(
            **{
                "hub_name": name or f"H{uuid.uuid4().hex[:12]}",
                "max_polling_interval_seconds": 0.2,
                "stop_grace_seconds": 5.0,
                **settings,
            }
        )
        self.names = HubNames.of(self.settings.hub_name)
        self.client = TaskHubClient(storage, self.settings)

    @asynccontextmanager
    async def working(self, *, worker_id: str = "worker", process: Mortal | None = None) -> AsyncIterator[Worker]:
        """Let a worker work on the hub while the block runs, then stop it in order.

        Args:
            worker_id: its name.
            process: that it runs in, and may die with; one of its own by default.
        """
        process = process or Mortal(self.storage)
        worker = Worker(
            process.storage, self.settings, self.app, worker_id=WorkerId(worker_id), environment=process.environment
        )
        stop, ready = asyncio.Event(), asyncio.Event()
        running = process.spawn(worker.run(stop, ready=ready), name=worker_id)
        waiting = asyncio.create_task(ready.wait())
        await asyncio.wait([running, waiting], return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        try:
            yield worker
        finally:
            stop.set()
            with contextlib.suppress(asyncio.CancelledError) if process.is_dead else contextlib.nullcontext():
                await running

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

    async def end(self, instance_id: str) -> InstanceState:
        """Return the state of an instance once it has ended."""
        return await self.until(instance_id, lambda state: state.status is not None and state.status.is_terminal)

    async def running(self, instance_id: str) -> InstanceState:
        """Return the state of an instance once it runs."""
        return await self.until(instance_id, lambda state: state.status is RuntimeStatus.Running)

    async def events(self, instance_id: str, *, at_least: int) -> Sequence[HistoryEvent]:
        """Return the history of an instance once it has so many events."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while True:
            events = await self.client.history(InstanceId(instance_id))
            if len(events) >= at_least:
                return events
            assert loop.time() < deadline, f"{instance_id} has only {len(events)} events"
            await asyncio.sleep(0.02)

    async def until(self, instance_id: str, is_reached: Callable[[InstanceState], bool]) -> InstanceState:
        """Return the state of an instance once it is as wanted."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + PATIENCE_SECONDS
        while True:
            state = await self.client.get(InstanceId(instance_id))
            if state is not None and is_reached(state):
                return state
            assert loop.time() < deadline, f"{instance_id} is still {state}"
            await asyncio.sleep(0.02)


async def parts_of(hub: RealHub) -> list[str]:
    """Return the names of everything that exists of a hub."""
    names, storage = hub.names, hub.storage
    tables = (names.history_table, names.instances_table, names.partitions_table)
    found = [name for name in tables if await storage.tables.table_exists(name)]
    containers = (
        names.app_lease_container,
        names.large_messages_container,
        names.dead_letters_container,
        names.leases_container,
    )
    found += [name for name in containers if await storage.blobs.container_exists(name)]
    return [*found, *await storage.queues.list_queues(f"{names.hub.lower()}-")]
