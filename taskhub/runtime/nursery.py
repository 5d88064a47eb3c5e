"""Structured tasks: children that end before their parent does.

A small stand-in for ``asyncio.TaskGroup``, which Python 3.10 does not have, over the environment's ``spawn``, so that
a simulation sees every task. The first child that fails cancels the others and its parent, and its error is raised
from the ``async with``.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Iterable
    from types import TracebackType

    from taskhub.runtime.environment import Spawn

_T = TypeVar("_T")


class Nursery:
    """Where child tasks are started, and waited for.

    Use as ``async with Nursery(spawn) as nursery``. The block ends when all children have ended. :meth:`cancel`
    ends them early.
    """

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._children: dict[asyncio.Task[Any], None] = {}
        # In order of their start, so that one schedule is one run.
        self._parent: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self._parent_cancelled = False
        self._is_exiting = False
        self._idle = asyncio.Event()
        self._idle.set()

    def __repr__(self) -> str:
        return f"<Nursery {len(self._children)} children>"

    def __len__(self) -> int:
        return len(self._children)

    async def __aenter__(self) -> Nursery:
        self._parent = asyncio.current_task()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._is_exiting = True
        if error is not None:
            self.cancel()
        cancelled: asyncio.CancelledError | None = None
        while self._children:
            try:
                await self._idle.wait()
            except asyncio.CancelledError as cancellation:
                self.cancel()
                if not self._parent_cancelled:
                    cancelled = cancellation
        if self._parent_cancelled:
            _forget_cancellation(self._parent)
        if self._failure is not None and (error is None or self._is_own_cancellation(error)) and cancelled is None:
            raise self._failure
        if cancelled is not None:
            raise cancelled
        return False

    def start(self, coro: Coroutine[Any, Any, _T], *, name: str) -> asyncio.Task[_T]:
        """Start a child."""
        task: asyncio.Task[_T] = self._spawn(coro, name=name)
        self._children[task] = None
        self._idle.clear()
        task.add_done_callback(self._ended)
        return task

    def cancel(self) -> None:
        """Cancel all children; what they raise besides the cancellation still counts."""
        for child in list(self._children):
            child.cancel()

    async def idle(self) -> None:
        """Wait until no child is left."""
        await self._idle.wait()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._children.pop(task, None)
        if not self._children:
            self._idle.set()
        if task.cancelled():
            return
        failure = task.exception()
        if failure is None or self._failure is not None:
            return
        self._failure = failure
        self.cancel()
        if not self._is_exiting and self._parent is not None and not self._parent.done():
            self._parent_cancelled = True
            self._parent.cancel()

    def _is_own_cancellation(self, error: BaseException) -> bool:
        return self._parent_cancelled and isinstance(error, asyncio.CancelledError)


def _forget_cancellation(task: asyncio.Task[Any] | None) -> None:
    # From Python 3.11 on a task counts its cancellations, and timeouts around it would see ours.
    uncancel = getattr(task, "uncancel", None)
    if uncancel is not None:
        uncancel()


async def run_all(spawn: Spawn, calls: Iterable[Callable[[], Awaitable[_T]]], *, limit: int, name: str) -> list[_T]:
    """Run calls concurrently, at most ``limit`` at once; return their results in order.

    The first failure cancels the others and is raised.
    """
    pending = list(enumerate(calls))
    if len(pending) == 1:
        return [await pending[0][1]()]
    results: dict[int, _T] = {}
    queue = iter(pending)

    async def work() -> None:
        for index, call in queue:
            results[index] = await call()

    async with Nursery(spawn) as nursery:
        for _ in range(min(limit, len(pending))):
            nursery.start(work(), name=name)
    return [results[index] for index in range(len(pending))]
