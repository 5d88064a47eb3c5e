"""A process on any store, in real time, that dies right before or right after one of its calls to the store.

Dying is what kill -9 leaves behind: its tasks end where they are, nothing that they still do reaches the store, and
what was on its way there may or may not arrive.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from taskhub.runtime.clock import SystemClock
from taskhub.runtime.environment import Environment
from taskhub.storage.interception import intercepted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from taskhub.runtime.clock import Clock
    from taskhub.storage.interception import Call
    from taskhub.storage.port import Storage


class Mortal:
    """See the module.

    Args:
        storage: the store.
        clock: of the process.
        observer: told of every call that succeeded.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock | None = None, observer: Callable[[Call], None] = lambda _: None
    ) -> None:
        self.storage = intercepted(storage, self._around)
        self.environment = Environment(clock=clock or SystemClock(), spawn=self.spawn)
        self.calls: list[str] = []
        """What was called, while it is counted."""
        self.death = asyncio.Event()
        self.struck: str | None = None
        """The call at which it died."""
        self._observer = observer
        self._is_counting = False
        self._strike: tuple[int, str] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    @property
    def is_dead(self) -> bool:
        """Whether it has died."""
        return self.death.is_set()

    def spawn(self, coro: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Start a task of this process."""
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(coro, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def count(self, strike: tuple[int, str] | None = None) -> None:
        """Count calls from now on.

        Args:
            strike: the number of a call, from 0, and whether to die ``before`` or ``after`` it.
        """
        self.calls.clear()
        self._is_counting, self._strike = True, strike

    def stop_counting(self) -> None:
        """Leave later calls alone."""
        self._is_counting = False

    def die(self) -> None:
        """End the process where it is."""
        self.death.set()
        for task in list(self._tasks):
            task.cancel()

    async def buried(self) -> None:
        """Wait until no task of a dead process is left."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def _around(self, call: Call, act: Callable[[], Awaitable[Any]]) -> Any:
        if self.is_dead:
            raise asyncio.CancelledError
        fate = self._fate_of(f"{call.method} {call.target}") if self._is_counting else None
        if fate == "before":
            self._end_at(call)
        result = await act()
        # What another task died of meanwhile nobody is told any more.
        if self.is_dead:
            raise asyncio.CancelledError
        self._observer(call)
        if fate == "after":
            self._end_at(call)
        return result

    def _fate_of(self, name: str) -> str | None:
        number = len(self.calls)
        self.calls.append(name)
        return self._strike[1] if self._strike is not None and self._strike[0] == number else None

    def _end_at(self, call: Call) -> None:
        self.struck = f"{call.method} {call.target}"
        self.die()
        raise asyncio.CancelledError
