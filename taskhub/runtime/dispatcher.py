"""Fetch, process, complete, abandon: one loop for any kind of work item.

A bounded number of work items is in progress at once. Each is processed and completed in a task of its own; one that
fails is abandoned, which is never an end: its messages come back.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from taskhub.errors import InstanceParked, LeaseLost, StaleCheckpoint, TransientStorageError
from taskhub.runtime.clock import Signal
from taskhub.runtime.nursery import Nursery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from taskhub.runtime.environment import Environment

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

_logger = logging.getLogger("taskhub.dispatcher")


class Slots(Protocol):
    """Room for work items in progress."""

    @property
    def free(self) -> int:
        """How many more may be started now."""

    def reserve(self, wanted: int) -> int:
        """Keep slots; return how many."""

    def release(self, count: int = 1) -> None:
        """Give back slots that were reserved."""


class Work(Protocol[_Item, _Result]):
    """One kind of work item."""

    async def fetch(self, slots: Slots) -> Sequence[_Item]:
        """Return work items, as many as there are slots at most.

        Waits until there is one; returns none after :meth:`stop`, and when the slots were taken meanwhile.
        """

    def stop(self) -> None:
        """Let :meth:`fetch` return soon."""

    async def process(self, item: _Item) -> _Result:
        """Do the work. Nothing that others depend on is stored yet."""

    async def complete(self, item: _Item, result: _Result) -> None:
        """Store the result, in the one safe order, and let go of the work item."""

    async def abandon(self, item: _Item, error: Exception) -> None:
        """Put the work item back, so that it is done later, here or by another worker."""

    def describe(self, item: _Item) -> dict[str, object]:
        """Return fields for the log."""


class Dispatcher(Generic[_Item, _Result]):
    """The loop over one kind of work item; its own :class:`Slots`.

    A work item can also be handed over to it: somebody reserves slots, and starts a work item in each or releases it.

    Args:
        kind: for logs.
        work: what to do.
        limit: most work items in progress at once.
        environment: of the process.
    """

    def __init__(self, kind: str, work: Work[_Item, _Result], *, limit: int, environment: Environment) -> None:
        self._kind = kind
        self._work = work
        self._limit = limit
        self._in_progress = 0
        self._ended = Signal()
        self._is_stopped = False
        self._nursery = Nursery(environment.spawn)

    def __repr__(self) -> str:
        state = "draining" if self._is_stopped else "running"
        return f"<Dispatcher of {self._kind} {state}, {self._in_progress} of {self._limit} in progress>"

    @property
    def in_progress(self) -> int:
        """Work items that are being worked on, and slots that are reserved."""
        return self._in_progress

    @property
    def free(self) -> int:
        """How many more may be started now."""
        return max(self._limit - self._in_progress, 0)

    def reserve(self, wanted: int) -> int:
        """Keep slots for work items that are handed over; return how many, none after :meth:`stop`."""
        granted = 0 if self._is_stopped else min(wanted, self.free)
        self._in_progress += granted
        return granted

    def release(self, count: int = 1) -> None:
        """Give back slots that were reserved, or whose work items have ended."""
        self._in_progress -= count
        self._ended.set()

    def start(self, item: _Item) -> None:
        """Work on an item in a slot that was reserved."""
        self._nursery.start(self._handle(item), name=f"{self._kind} work item")

    async def run(self) -> None:
        """Work until :meth:`stop`, and until the last work item has ended.

        Cancellation: work items in progress are cancelled; their messages become visible by themselves.
        """
        async with self._nursery:
            while not self._is_stopped:
                if not self.free:
                    await self._ended.wait()
                    continue
                for item in await self._work.fetch(self):
                    self._in_progress += 1
                    self.start(item)
            while self._in_progress:
                await self._ended.wait()

    def stop(self) -> None:
        """Fetch no more."""
        self._is_stopped = True
        self._work.stop()
        self._ended.set()

    async def _handle(self, item: _Item) -> None:
        try:
            result = await self._work.process(item)
            await self._work.complete(item, result)
        except Exception as error:  # the top of a work item: whatever it is, the messages must come back
            self._log(item, error)
            await self._work.abandon(item, error)
        finally:
            self.release()

    def _log(self, item: _Item, error: Exception) -> None:
        fields = {"event": "work_item_abandoned", "kind": self._kind, "error": str(error), **self._work.describe(item)}
        where = ", ".join(f"{name} {value}" for name, value in self._work.describe(item).items())
        if isinstance(error, (InstanceParked, LeaseLost, StaleCheckpoint, TransientStorageError)):
            _logger.info("%s put back (%s): %s", self._kind, where, error, extra=fields)
        else:
            _logger.error("%s failed and is put back (%s)", self._kind, where, exc_info=error, extra=fields)
