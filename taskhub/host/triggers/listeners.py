"""Everything of an app that waits for something else than requests and orchestrations. Start reading here.

::

    timers ── lease each ──► function
    queues ────────────────► function
    containers ── lease ──► queue of the host ──► function

Listeners begin when their account can be opened; one that cannot be costs its own functions only. Stop: no listener
takes anything new, what runs gets the grace period, what is left is put back, leases are released.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.host import functions
from taskhub.host.functions import LISTENED_TRIGGERS
from taskhub.host.triggers.blob_paths import parse_pattern
from taskhub.host.triggers.blobs import POISON_QUEUE, SCAN_LOCK, BlobFunction, BlobRuns, BlobScanner, work_queue_of
from taskhub.host.triggers.checks import time_zone
from taskhub.host.triggers.manual import ManualRuns
from taskhub.host.triggers.queue_texts import details_of, metadata_of, poison_queue_of, trigger_datum
from taskhub.host.triggers.queues import QueueListener, QueueReading, reading_of
from taskhub.host.triggers.runs import Runs
from taskhub.host.triggers.singleton import Singleton
from taskhub.host.triggers.timer_status import timer_of
from taskhub.host.triggers.timers import StatusStore, TimerListener
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.poller import Wakeups
from taskhub.wiring import DEFAULT_SETTING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Mapping

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.invoker import Invoker
    from taskhub.host.triggers.connections import Connections
    from taskhub.host.triggers.options import BlobOptions, QueueOptions
    from taskhub.runtime.receipts import Receipts
    from taskhub.wiring import QueueMessage

_LATE_SECONDS = 1.0
"""For putting back what is left when the grace period has ended."""

logger = logging.getLogger(__name__)


class Listeners:
    """See the module.

    Args:
        plans: functions of the app; those that nothing here starts are passed over.
        invoker: runs them.
        connections: the accounts.
        client_payload: makes the text of a durable client binding from its properties.
        settings: app settings.
        queues: how queues are read.
        blobs: how blobs are dealt with.
        host_id: under which is remembered what must outlive the process.
        holder: who we are among the processes of all hosts.
        receipts: notes of messages in hand, for the next process of our name.
    """

    def __init__(
        self,
        plans: Iterable[CallPlan],
        invoker: Invoker,
        connections: Connections,
        *,
        client_payload: Callable[[Mapping[str, Any]], str],
        settings: Mapping[str, str],
        queues: QueueOptions,
        blobs: BlobOptions,
        host_id: str,
        holder: str,
        receipts: Receipts | None = None,
    ) -> None:
        self._plans = [
            plan for plan in plans if plan.function.trigger.kind in LISTENED_TRIGGERS and not plan.function.is_disabled
        ]
        self._connections = connections
        self._environment = connections.environment
        self._runs = Runs(invoker, client_payload, self._environment.clock)
        self._settings = settings
        self._queues = queues
        self._blobs = blobs
        self._host_id = host_id
        self._holder = holder
        self._receipts = receipts
        self._wakeups = Wakeups()
        self._stops: list[Callable[[], None]] = []
        self._singletons: list[Singleton] = []
        self._is_stopping = False
        self.grace_seconds = 0.0
        """How long a stop may take; may be changed until then."""
        self.by_hand = ManualRuns(connections, self._runs, settings).runners

    def __repr__(self) -> str:
        return f"<Listeners for {len(self._plans)} functions>"

    def __len__(self) -> int:
        return len(self._plans)

    def wake(self, key: str, after_seconds: float = 0.0) -> bool:
        """Look at a queue or a container at once: something was put there. Return whether somebody here reads it."""
        return self._wakeups.wake(key, after_seconds)

    async def run(self, stop: asyncio.Event) -> None:
        """Listen until ``stop`` is set, then let what runs come to its end.

        Raises:
            Exception: a listener broke, which only an error of ours does.

        Cancellation: everything stops at once; messages come back, and leases end, by themselves.
        """
        if not self._plans:
            await stop.wait()
            return
        async with Nursery(self._environment.spawn) as leases:
            listening = self._environment.spawn(self._listen(leases), name="listeners")
            stopping = self._environment.spawn(stop.wait(), name="wait for stop")
            try:
                await asyncio.wait([listening, stopping], return_when=asyncio.FIRST_COMPLETED)
                if listening.done():
                    listening.result()
                await stopping
                self._stop()
                _, late = await asyncio.wait([listening], timeout=self.grace_seconds)
                if late:
                    logger.warning("Functions are still running; what started them is put back where it came from.")
            finally:
                stopping.cancel()
                listening.cancel()
                await asyncio.wait([listening], timeout=_LATE_SECONDS)
                leases.cancel()
        for singleton in self._singletons:
            await singleton.release()

    def _stop(self) -> None:
        self._is_stopping = True
        for stop in self._stops:
            stop()

    async def _listen(self, leases: Nursery) -> None:
        async with Nursery(self._environment.spawn) as nursery:
            blob_functions = []
            for plan in self._plans:
                try:
                    match plan.function.trigger.kind:
                        case functions.TIMER_TRIGGER:
                            self._start(nursery, plan.function.name, await self._timer(plan, leases))
                        case functions.QUEUE_TRIGGER:
                            self._start(nursery, plan.function.name, await self._queue(plan))
                        case functions.BLOB_TRIGGER:
                            blob_functions.append(await self._blob_function(plan))
                except ConfigurationError as error:
                    _tell_failure(plan.function.name, error)
            if blob_functions:
                try:
                    await self._start_blobs(nursery, leases, blob_functions)
                except ConfigurationError as error:
                    for function in blob_functions:
                        _tell_failure(function.plan.function.name, error)
            if self._is_stopping:
                self._stop()

    def _start(self, nursery: Nursery, name: str, listening: Coroutine[Any, Any, None]) -> None:
        nursery.start(listening, name=f"listener of {name}")

    # ---- timers

    async def _timer(self, plan: CallPlan, leases: Nursery) -> Coroutine[Any, Any, None]:
        host = await self._connections.get()
        zone, name = time_zone(self._settings), plan.function.name
        listener = TimerListener(
            plan,
            timer_of(plan.function.trigger, zone),
            self._runs.run_with_retries,
            StatusStore(host, host_id=self._host_id, function=name, zone=zone),
            self._environment,
            zone=zone,
        )
        self._stops.append(listener.stop)
        return listener.listen(self._singleton(leases, host, f"Host.Functions.{name}.Listener", listener.look))

    def _singleton(self, leases: Nursery, host: Any, name: str, changed: Callable[[], None]) -> Singleton:
        singleton = Singleton(
            host, self._environment, name=f"locks/{self._host_id}/{name}", holder=self._holder, changed=changed
        )
        self._singletons.append(singleton)
        leases.start(singleton.run(), name=f"lease {name}")
        return singleton

    # ---- queues

    async def _queue(self, plan: CallPlan) -> Coroutine[Any, Any, None]:
        properties, options = plan.function.trigger.properties, self._queues
        connection = await self._connections.get(properties.get("connection"))
        queue = str(properties["queuename"]).lower()

        async def handle(message: QueueMessage, content: str | bytes) -> bool:
            return await self._runs.run(
                plan,
                trigger_datum(content),
                reason=f"New queue message detected on '{queue}'.",
                details=details_of(message),
                metadata=metadata_of(message, content),
            )

        reading = QueueReading(
            queue,
            poison_queue_of(queue),
            batch_size=options.batch_size,
            new_batch_threshold=options.new_batch_threshold,
            max_polling_seconds=options.max_polling_seconds,
            visibility_seconds=options.visibility_seconds,
            max_dequeue_count=options.max_dequeue_count,
            is_base64=options.is_base64,
        )
        listener = QueueListener(
            reading,
            handle,
            connection,
            self._environment,
            self._wakeups,
            receipts=self._receipts,
            place=properties.get("connection") or DEFAULT_SETTING,
        )
        self._stops.append(listener.stop)
        return listener.listen()

    # ---- blobs

    async def _blob_function(self, plan: CallPlan) -> BlobFunction:
        properties = plan.function.trigger.properties
        connection = await self._connections.get(properties.get("connection"))
        return BlobFunction(plan, parse_pattern(str(properties["path"])), connection)

    async def _start_blobs(self, nursery: Nursery, leases: Nursery, blob_functions: list[BlobFunction]) -> None:
        host = await self._connections.get()
        scanners = [
            BlobScanner(
                function,
                host,
                self._environment,
                self._wakeups,
                host_id=self._host_id,
                scan_seconds=self._blobs.scan_seconds,
            )
            for function in blob_functions
        ]

        def look() -> None:
            for scanner in scanners:
                scanner.look()

        singleton = self._singleton(leases, host, SCAN_LOCK, look)
        for scanner, function in zip(scanners, blob_functions, strict=True):
            self._stops.append(scanner.stop)
            self._start(nursery, function.plan.function.name, scanner.listen(singleton))
        reading = reading_of(
            work_queue_of(self._host_id),
            POISON_QUEUE,
            parallel=self._blobs.max_parallel,
            max_polling_seconds=self._queues.max_polling_seconds,
            max_dequeue_count=self._blobs.poison_threshold,
        )
        runs = BlobRuns({function.id: function for function in blob_functions}, self._runs.run)
        listener = QueueListener(
            reading,
            runs,
            host,
            self._environment,
            self._wakeups,
            receipts=self._receipts,
            place=DEFAULT_SETTING,
        )
        self._stops.append(listener.stop)
        nursery.start(listener.listen(), name="listener of blobs")


def _tell_failure(name: str, error: Exception) -> None:
    logger.error("The listener for function 'Functions.%s' was unable to start. %s", name, error)
