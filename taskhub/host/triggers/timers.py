"""Timer functions: each waits for its time, runs, and remembers when.

One run at a time: a time that passes while a run takes long is made up for once, right after it. Only the host that
holds the timer's lease fires it. What is remembered lies in ``azure-webjobs-hosts/timers``, where a host of either
kind finds it; without it, or when it cannot be read, the timer begins as a new one.

Source: Azure WebJobs SDK extensions, TimerListener.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Protocol

from azure.functions.meta import Datum

from taskhub.errors import BlobNotFound, StorageError
from taskhub.host.triggers.singleton import HOSTS_CONTAINER
from taskhub.host.triggers.timer_status import (
    TimerStatus,
    after_run,
    begin,
    decode_status,
    encode_status,
    trigger_text,
)
from taskhub.runtime.clock import Signal

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.triggers.connections import Connection
    from taskhub.host.triggers.singleton import Singleton
    from taskhub.host.triggers.timer_status import TimerBinding
    from taskhub.runtime.environment import Environment

LOOK_SECONDS = 60.0
"""Longest wait without a look at the clock, which may be set, or the machine have slept."""

logger = logging.getLogger(__name__)


class RunTimer(Protocol):
    """Runs a timer function; see :meth:`taskhub.host.triggers.runs.Runs.run_with_retries`."""

    async def __call__(self, plan: CallPlan, trigger: Datum, *, reason: str, details: str = "") -> bool:
        """Run it, and return whether it succeeded."""


class StatusStore:
    """Keeps the status of one timer, as well as it can."""

    def __init__(self, connection: Connection, *, host_id: str, function: str, zone: tzinfo) -> None:
        self._blobs = connection.storage.blobs
        self._name = f"timers/{host_id}/Host.Functions.{function}/status"
        self._zone = zone

    async def read(self) -> TimerStatus | None:
        """Return what is stored; what cannot be read counts as none."""
        try:
            return decode_status((await self._blobs.get_blob(HOSTS_CONTAINER, self._name)).decode())
        except BlobNotFound:
            return None
        except (StorageError, UnicodeDecodeError) as error:
            logger.warning("the status of a timer cannot be read, so that it begins anew: %s: %s", self._name, error)
            return None

    async def write(self, status: TimerStatus) -> None:
        """Store a status; a failure costs at most one time that is not made up for."""
        data = encode_status(status, self._zone).encode()
        try:
            try:
                await self._blobs.put_blob(HOSTS_CONTAINER, self._name, data)
            except BlobNotFound:
                await self._blobs.create_container(HOSTS_CONTAINER)
                await self._blobs.put_blob(HOSTS_CONTAINER, self._name, data)
        except StorageError as error:
            logger.warning("the status of a timer cannot be stored: %s: %s", self._name, error)


class TimerListener:
    """Fires one timer function.

    Args:
        plan: of the function.
        timer: what its trigger asks for.
        run: runs it.
        store: where its status is kept.
        environment: of the process.
        zone: in which times are written.
    """

    def __init__(
        self,
        plan: CallPlan,
        timer: TimerBinding,
        run: RunTimer,
        store: StatusStore,
        environment: Environment,
        *,
        zone: tzinfo,
    ) -> None:
        self._plan = plan
        self._timer = timer
        self._run = run
        self._store = store
        self._clock = environment.clock
        self._zone = zone
        self._changed = Signal()
        self._is_stopping = False
        self._is_monitored = False
        self._status: TimerStatus | None = None

    def __repr__(self) -> str:
        return f"<TimerListener {self._plan.function.name}, {self._timer.schedule}>"

    def look(self) -> None:
        """Look at the lease again, which was gained or lost."""
        self._changed.set()

    def stop(self) -> None:
        """Fire no more; a run in progress goes on."""
        self._is_stopping = True
        self._changed.set()

    async def listen(self, singleton: Singleton) -> None:
        """Fire the timer while the lease is held, until told to stop."""
        while not self._is_stopping:
            if not singleton.is_held:
                await self._changed.wait(LOOK_SECONDS)
                continue
            await self._begin()
            while await self._is_due(singleton):
                await self._fire(is_scheduled=True)

    async def _begin(self) -> None:
        now = self._clock.now()
        self._is_monitored = self._timer.is_monitored(now)
        stored = await self._store.read() if self._is_monitored else None
        start = begin(self._timer.schedule, stored, now)
        self._status = start.status
        if start.is_new and self._is_monitored:
            await self._store.write(start.status)
        self._tell_next(start.status)
        if start.is_past_due:
            await self._fire(is_past_due=True)
        elif self._timer.run_on_startup:
            await self._fire(is_startup=True)

    async def _is_due(self, singleton: Singleton) -> bool:
        """Wait for the next time; return whether it has come, and it is ours."""
        while not self._is_stopping and singleton.is_held:
            due = self._status.next if self._status else None
            wait = LOOK_SECONDS if due is None else (due - self._clock.now()).total_seconds()
            if wait <= 0:
                return True
            await self._changed.wait(min(wait, LOOK_SECONDS))
        return False

    async def _fire(self, *, is_scheduled: bool = False, is_past_due: bool = False, is_startup: bool = False) -> None:
        status = self._status
        if status is None or self._is_stopping:
            return
        began = self._clock.now()
        shown = status if self._is_monitored else None
        text = trigger_text(self._timer, shown, self._zone, is_past_due=is_past_due)
        details = []
        if is_past_due and status.next is not None:
            original = status.next.astimezone(self._zone).isoformat()
            details += ["UnscheduledInvocationReason: IsPastDue", f"OriginalSchedule: {original}"]
        elif is_startup:
            details.append("UnscheduledInvocationReason: RunOnStartup")
        if shown is not None:
            details.append(f"ScheduleStatus: {encode_status(shown, self._zone)}")
        await self._run(
            self._plan,
            Datum(text, "json"),
            reason=f"Timer fired at {began.astimezone(self._zone).isoformat()}",
            details=", ".join(details),
        )
        self._status = after_run(self._timer.schedule, status, began, is_scheduled=is_scheduled)
        if self._is_monitored:
            await self._store.write(self._status)

    def _tell_next(self, status: TimerStatus) -> None:
        name = self._plan.function.name
        if status.next is None:
            logger.warning("The schedule of Functions.%s (%s) never comes.", name, self._timer.schedule)
            return
        times: list[str] = []
        moment: datetime | None = status.next
        while moment is not None and len(times) < 5:
            times.append(moment.astimezone(self._zone).isoformat())
            moment = self._timer.schedule.next_after(moment)
        logger.info(
            "The next %d occurrences of the '%s' schedule (%s) will be:\n%s",
            len(times),
            name,
            self._timer.schedule,
            "\n".join(times),
        )
