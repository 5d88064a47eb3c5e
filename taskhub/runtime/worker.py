"""A worker: everything that works on a hub in one process, started and stopped in order.

::

    app lease ──allows──► partitions ──own──► control queues ──messages──► inbox
                                                                             │ instances with messages
                                              checkpoints ◄── orchestrations, entities
    work-item queue ──────────────────────► activities ──answers──► control queues

Every loop is a child of :meth:`Worker.run`; one that fails ends the worker with its error.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from taskhub.client import TaskHubClient
from taskhub.errors import StorageError
from taskhub.model.leases import PartitionManager
from taskhub.runtime.activities import Activities, ActivityRunner
from taskhub.runtime.app_lease import AppLease
from taskhub.runtime.blob_leases import LegacyLeases, SafeLeases
from taskhub.runtime.checkpoints import Checkpoints
from taskhub.runtime.control_queue import ControlQueue
from taskhub.runtime.dispatcher import Dispatcher
from taskhub.runtime.entities import Entities
from taskhub.runtime.environment import Environment
from taskhub.runtime.inbox import Inbox
from taskhub.runtime.local_messages import LocalMessages
from taskhub.runtime.mailbox import Mailbox
from taskhub.runtime.nursery import Nursery
from taskhub.runtime.orchestrations import Orchestrations
from taskhub.runtime.partitions import Partitions
from taskhub.runtime.poller import Wakeups
from taskhub.runtime.quarantine import Quarantine
from taskhub.runtime.receipts import NoReceipts, give_back_left
from taskhub.runtime.renewals import Renewals
from taskhub.runtime.services import Services
from taskhub.runtime.table_leases import TableLeases
from taskhub.runtime.timers import Timers

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from taskhub.model.ids import WorkerId
    from taskhub.runtime.application import Application
    from taskhub.runtime.ownership import Partition
    from taskhub.runtime.partitions import Estate, LeaseKeeper
    from taskhub.runtime.receipts import Receipts
    from taskhub.settings import TaskHubSettings
    from taskhub.storage.port import Storage

STOP_LOOK_SECONDS = 0.02
"""Between two looks at whether what is in progress has ended."""

RELEASE_SECONDS = 1.0
"""Kept of the time of a stop for giving back the partitions, so that others need not wait for the ends of leases."""

_logger = logging.getLogger("taskhub.worker")


class Announce(Protocol):
    """Hears of messages that a process puts, and of leases that others should look at (:meth:`Worker.wake`)."""

    def __call__(self, queue: str, after_seconds: float, *, is_read_here: bool) -> None:
        """Take note of one.

        Args:
            queue: where it was put.
            after_seconds: until readers see it.
            is_read_here: whether this worker reads the queue and knows.
        """


class Worker:
    """Runs the orchestrations, entities and activities of an application on a task hub.

    Args:
        storage: where the hub lies; the caller closes it after :meth:`run`.
        settings: of the hub.
        application: the functions.
        worker_id: name of this worker, unique among the hub's.
        environment: clock, ids, randomness and tasks; the system's by default.
        announce: called for every message that this process puts, so that others may hear of it, and then
            :meth:`wake` their worker.
        receipts: notes of the messages in hand that a successor of the same name finds, and gives back at once.
    """

    def __init__(
        self,
        storage: Storage,
        settings: TaskHubSettings,
        application: Application,
        *,
        worker_id: WorkerId,
        environment: Environment | None = None,
        announce: Announce | None = None,
        receipts: Receipts | None = None,
    ) -> None:
        environment = environment or Environment()
        self._worker_id = worker_id
        self._settings = settings
        self._environment = environment
        self._wakeups = wakeups = Wakeups()

        def wake(queue: str, after_seconds: float) -> None:
            if settings.wake_readers:
                is_read_here = wakeups.wake(queue, after_seconds)
                if announce is not None:
                    announce(queue, after_seconds, is_read_here=is_read_here)

        services = Services.of(storage, settings, environment, wake=wake)
        self._services = services
        self.grace_seconds = settings.stop_grace_seconds
        """How long a stop may take: for work in progress, and for giving the partitions back. May be changed until the
        worker is told to stop."""

        self._receipts = receipts or NoReceipts()
        # One for both kinds of queues: whatever the process dies of, it takes all that is in hand with it.
        self._quarantine = quarantine = Quarantine(services, wakeups, self._receipts)
        self._mailbox = Mailbox(services, wakeups, self._receipts, quarantine)
        self._renewals = Renewals(
            self._mailbox,
            environment,
            hide_seconds=min(settings.control_queue_visibility_seconds, settings.work_item_visibility_seconds),
        )
        inbox = Inbox(
            max_warm_events=settings.max_warm_history_events if settings.warm_sessions else 0,
            max_warm_bytes=settings.max_warm_mebibytes * 2**20,
        )
        self._inbox = inbox
        activities = Activities(services, application, inbox, self._mailbox, self._renewals, wakeups)
        self._activities = Dispatcher(
            "activity",
            activities,
            limit=settings.max_concurrent_activities,
            environment=environment,
        )
        runner = ActivityRunner(activities, self._activities)
        self._timers = timers = Timers(services, self._mailbox, inbox)
        local = LocalMessages(
            services, self._mailbox, runner, inbox, timers, lambda queue: self._partitions.partition_of(queue)
        )
        self.client = TaskHubClient.sharing(services, local)
        """A client in the same process, which wakes the worker for what it sends."""
        checkpoints = Checkpoints(services, local)
        self._orchestrations = Dispatcher(
            "orchestration",
            Orchestrations(services, application, inbox, self._mailbox, self._renewals, checkpoints, activities),
            limit=settings.max_concurrent_orchestrations,
            environment=environment,
        )
        self._entities = Dispatcher(
            "entity",
            Entities(services, application, inbox, self._mailbox, self._renewals, checkpoints),
            limit=settings.max_concurrent_entities,
            environment=environment,
        )

        def read(partition: Partition) -> ControlQueue:
            return ControlQueue(partition, services, self._mailbox, inbox, timers, wakeups)

        def keep(manager: PartitionManager, estate: Estate) -> LeaseKeeper:
            match manager:
                case PartitionManager.TABLE:
                    return TableLeases(services, estate)
                case PartitionManager.SAFE:
                    return SafeLeases(services, estate, worker_id)
                case PartitionManager.LEGACY:
                    return LegacyLeases(services, estate, worker_id)

        def tell_others() -> None:
            if announce is not None:
                announce(services.names.partitions_table, 0.0, is_read_here=False)

        self._ready: asyncio.Event | None = None
        self._app_lease = AppLease(services, changed=lambda: self._partitions.look())
        self._partitions = Partitions(
            services,
            worker_id=worker_id,
            inbox=inbox,
            mailbox=self._mailbox,
            keep=keep,
            read=read,
            may_own=lambda: self._app_lease.is_held,
            first_owned=self._first_owned,
            tell_others=tell_others,
        )

    def __repr__(self) -> str:
        work = f"{self._orchestrations!r}, {self._entities!r}, {self._activities!r}"
        return f"<Worker {self._worker_id}: {self._partitions!r}, {work}>"

    def wake(self, queue: str, after_seconds: float = 0.0) -> None:
        """Look at a queue, now or in some seconds, if this worker reads it: another process announced a message.

        Polling finds everything anyway, this only makes it quicker.

        Args:
            queue: name of the queue; that of the Partitions table stands for the leases.
            after_seconds: when the message becomes visible.
        """
        if queue == self._services.names.partitions_table:
            self._partitions.look()
        elif self._settings.wake_readers:
            self._wakeups.wake(queue, after_seconds)

    async def run(self, stop: asyncio.Event, *, ready: asyncio.Event | None = None) -> None:
        """Work until ``stop`` is set; then finish what is in progress and give the partitions back.

        Storage trouble is logged once, waited out, and said to be over; it does not end the worker.

        Args:
            stop: ends the worker.
            ready: set when the worker owns its first partition.

        Cancellation: everything stops at once and nothing is given back. That loses nothing: messages become visible
        and leases end by themselves.
        """
        self._ready = ready
        async with Nursery(self._environment.spawn) as nursery:
            work = nursery.start(self._work(), name="worker")
            await stop.wait()
            if not self._services.hub.is_created:
                work.cancel()
                return
            await self._finish()
            nursery.cancel()

    async def _work(self) -> None:
        await self._create_hub()
        _logger.info(
            "worker %s works on task hub %s (%s)",
            self._worker_id,
            self._services.names.hub,
            self._services.storage.description,
            extra={"event": "worker_started", "worker": self._worker_id, "hub": self._services.names.hub},
        )
        async with Nursery(self._environment.spawn) as nursery:
            nursery.start(give_back_left(self._receipts, self._services, self._wakeups), name="give back what was left")
            nursery.start(self._quarantine.run(), name="last chances")
            nursery.start(self._renewals.run(), name="renew messages")
            nursery.start(self._timers.run(), name="timers")
            nursery.start(self._app_lease.run(), name="app lease")
            nursery.start(self._orchestrations.run(), name="orchestrations")
            nursery.start(self._entities.run(), name="entities")
            nursery.start(self._activities.run(), name="activities")
            nursery.start(self._partitions.run(), name="partitions")

    async def _create_hub(self) -> None:
        attempt = 0
        while True:
            try:
                await self._services.hub.create()
            except StorageError as error:
                self._services.health.failed(error)
                attempt += 1
                await self._services.health.pause(attempt, error)
            else:
                return

    async def _finish(self) -> None:
        """The stop order: fetch no more, drain, put back what is left, release the leases."""
        ends = self._environment.clock.monotonic() + self.grace_seconds
        self._activities.stop()
        self._partitions.leave()
        is_drained = await self._until(
            ends - min(RELEASE_SECONDS, self.grace_seconds / 4),
            lambda: self._partitions.is_drained and self._activities.in_progress == 0,
        )
        if not is_drained:
            _logger.warning(
                "worker %s stops with work in progress, which is put back: %r, %r, %r",
                self._worker_id,
                self._orchestrations,
                self._entities,
                self._activities,
                extra={"event": "worker_stopped_hard", "worker": self._worker_id},
            )
            self._partitions.hurry()
        self._orchestrations.stop()
        self._entities.stop()
        await self._mailbox.give_back_all()
        self._partitions.look()
        await self._until(ends, lambda: self._partitions.has_left)
        _logger.info("worker %s stopped", self._worker_id, extra={"event": "worker_stopped", "worker": self._worker_id})

    async def _until(self, deadline: float, is_over: Callable[[], bool]) -> bool:
        clock = self._environment.clock
        while not is_over():
            if clock.monotonic() >= deadline:
                return False
            await clock.sleep(STOP_LOOK_SECONDS)
        return True

    def _first_owned(self) -> None:
        if self._ready is not None:
            self._ready.set()
