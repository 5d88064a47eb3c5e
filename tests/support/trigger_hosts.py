"""Functions with bindings on storage, run by the real invoker in real time, on any store.

app = AppOnStorage(storage)
await app.call(function, bindings, trigger=..)     one invocation
async with app.listening(plan, ..): ...            listeners at work
"""

from __future__ import annotations

import asyncio
import io
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from azure.functions.meta import Datum

from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import CallPlan, plan_call
from taskhub.host.console import Console
from taskhub.host.functions import Function, RetryPolicy
from taskhub.host.invoker import Invoker, Outcome
from taskhub.host.triggers.checks import prepared
from taskhub.host.triggers.connections import Connections
from taskhub.host.triggers.listeners import Listeners
from taskhub.host.triggers.options import BlobOptions, QueueOptions
from taskhub.host.triggers.queue_texts import decode_text
from taskhub.host.triggers.storage_bindings import StorageBindings
from taskhub.wiring import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence

    from taskhub.storage.port import Storage


class AppOnStorage:
    """See the module. Queues and containers of one test begin with its ``prefix``."""

    def __init__(self, storage: Storage, *, settings: Mapping[str, str] | None = None, is_base64: bool = True) -> None:
        self.storage = storage
        self.prefix = f"t{uuid4().hex[:10]}"
        self.settings = dict(settings or {})
        self.is_base64 = is_base64
        self.output = io.StringIO()
        self.listeners: Listeners | None = None
        self.connections = Connections(
            storage, EmbeddedStore(Path("hub.db"), "for tests"), settings=self.settings, app_root=Path()
        )
        self.invoker = Invoker(
            Console(self.output),
            storage=StorageBindings(self.connections, is_base64=is_base64, wake=self._wake),
        )

    def _wake(self, key: str) -> None:
        if self.listeners is not None:
            self.listeners.wake(key)

    def plan(
        self,
        call: Callable[..., Any],
        *bindings: Mapping[str, Any],
        name: str | None = None,
        retry: RetryPolicy | None = None,
    ) -> CallPlan:
        """Return the plan of a function, as the host makes it from its bindings."""
        function = Function(name or call.__name__, call, read_bindings(bindings), Path(), retry=retry)
        return plan_call(prepared(function, self.settings, Path()))

    async def call(
        self,
        call: Callable[..., Any],
        *bindings: Mapping[str, Any],
        trigger: str | bytes = "",
        values: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Run a function once; the bindings without trigger get one of a queue called ``message``."""
        plan = self.plan(call, {"name": "message", "type": "queueTrigger", "queueName": "any-queue"}, *bindings)
        datum = Datum(trigger, "string" if isinstance(trigger, str) else "bytes")
        metadata = {"Id": Datum("17", "string")}
        return await self.invoker.invoke(plan, {"message": datum}, reason="test", metadata=metadata, values=values)

    @asynccontextmanager
    async def listening(self, *plans: CallPlan, grace_seconds: float = 10.0) -> AsyncIterator[Listeners]:
        """Run the listeners of an app with these functions."""
        self.listeners = Listeners(
            plans,
            self.invoker,
            self.connections,
            client_payload=lambda properties: "{}",
            settings=self.settings,
            queues=QueueOptions(max_polling_seconds=0.3, max_dequeue_count=2, is_base64=self.is_base64),
            blobs=BlobOptions(max_parallel=4, poison_threshold=2, scan_seconds=0.3),
            host_id=self.prefix,
            holder=self.prefix,
        )
        self.listeners.grace_seconds = grace_seconds
        stop = asyncio.Event()
        running = asyncio.create_task(self.listeners.run(stop))
        try:
            yield self.listeners
        finally:
            stop.set()
            await running

    async def messages(self, queue: str) -> Sequence[str | bytes]:
        """Take everything from a queue; return the contents, sorted."""
        found = await self.storage.queues.get(queue, limit=32, invisible_for=30)
        return sorted(decode_text(each.text, is_base64=self.is_base64) for each in found)

    async def aclose(self) -> None:
        """End the invoker."""
        await self.invoker.aclose(grace_seconds=0)
        await self.connections.aclose()
