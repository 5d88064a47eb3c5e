"""An event loop in virtual time that runs one seeded schedule, and the clock that shows its time."""

from __future__ import annotations

import asyncio
import contextvars
import heapq
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import random
    from collections import deque
    from collections.abc import Callable, Coroutine

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
"""When every simulation begins."""


class Owner(Protocol):
    """Whose callbacks the loop may have to keep back."""

    @property
    def is_paused(self) -> bool:
        """Whether its callbacks wait."""

    def park(self, handle: asyncio.Handle) -> None:
        """Keep a callback for later."""


OWNER: contextvars.ContextVar[Owner] = contextvars.ContextVar("owner")
"""Who runs now, if it is somebody whom the loop may have to keep back."""


class EndlessRun(Exception):
    """The world has come to its time limit or its limit of steps."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop without a selector: nothing but callbacks and timers, in a drawn order.

    ``draw`` ``None`` keeps the order in which callbacks became ready, as a real loop does.
    """

    # The base class's own; its type stubs leave out what is private.
    _ready: deque[Any]
    _scheduled: list[Any]
    _timer_cancelled_count: int

    def __init__(
        self, draw: random.Random | None = None, *, max_seconds: float = 1e6, max_steps: int = 5_000_000
    ) -> None:
        super().__init__()
        self._draw = draw
        self._time = 0.0
        self._max_seconds = max_seconds
        self._max_steps = max_steps
        self._idle: list[tuple[int, asyncio.Future[None]]] = []
        self._jumps = 0
        self.steps = 0
        self.before_step: Callable[[], None] | None = None

    def __repr__(self) -> str:
        return f"<VirtualLoop at {self._time:.3f} s, {self.steps} steps>"

    def time(self) -> float:
        """Return virtual seconds since the beginning."""
        return self._time

    def advance_a_little(self) -> None:
        """Let a moment pass, so that no two looks at the clock see the same time."""
        self._time += 1e-6

    def _run_once(self) -> None:
        while self._scheduled and (self._scheduled[0]._cancelled or self._scheduled[0]._when <= self._time):
            timer = heapq.heappop(self._scheduled)
            timer._scheduled = False
            if not timer._cancelled:
                self._ready.append(timer)
            else:
                self._timer_cancelled_count = max(0, self._timer_cancelled_count - 1)
        if not self._ready and not self._tell_idle():
            if not self._scheduled:
                raise EndlessRun("every task waits for another one")
            self._jumps += 1
            self._time = self._scheduled[0]._when
            if self._time > self._max_seconds:
                raise EndlessRun(f"the run came to {self._time:.0f} s of virtual time")
            return
        self.steps += 1
        if self.steps > self._max_steps:
            raise EndlessRun(f"the run came to {self.steps} steps")
        if self.before_step is not None:
            self.before_step()
        if self._draw is not None and len(self._ready) > 1:
            index = self._draw.randrange(len(self._ready))
            self._ready[0], self._ready[index] = self._ready[index], self._ready[0]
        handle = self._ready.popleft()
        if handle._cancelled:
            return
        owner = handle._context.get(OWNER, None)
        if owner is not None and owner.is_paused:
            owner.park(handle)
        else:
            handle._run()

    def idle(self, *, after_jumps: int = 0) -> asyncio.Future[None]:
        """Return what is done when nothing is ready any more, before time jumps to the next timer.

        Args:
            after_jumps: how often time has to jump before that.
        """
        future: asyncio.Future[None] = self.create_future()
        self._idle.append((self._jumps + after_jumps, future))
        return future

    def _tell_idle(self) -> bool:
        """Tell those who wait for the loop to be idle; return whether there was somebody."""
        waiting, self._idle = self._idle, []
        for jumps, future in waiting:
            if jumps > self._jumps:
                self._idle.append((jumps, future))
            elif not future.done():
                future.set_result(None)
        return bool(self._ready)

    # The base class's types need what Python 3.10 does not have.
    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run a function here and now: there are no threads in a simulated world, so ``asyncio.to_thread`` works."""
        future: asyncio.Future[Any] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # the caller's, handed on as from a thread
            future.set_exception(error)
        return future

    async def getaddrinfo(self, host: Any, port: Any, **_: Any) -> Any:
        """Refuse.

        Raises:
            OSError: always; connections begin here.
        """
        raise OSError(f"there is no network in a simulated world, so {host}:{port} cannot be reached from it")

    def give_back(self, handles: list[asyncio.Handle]) -> None:
        """Let callbacks be ready that were parked."""
        self._ready.extend(handles)

    def _write_to_self(self) -> None:
        """Nobody is asleep in a selector."""

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine to its end and close the loop."""
        asyncio.set_event_loop(self)
        try:
            return self.run_until_complete(coro)
        finally:
            asyncio.set_event_loop(None)
            self.end()

    def end(self) -> None:
        """Cancel what is left and close the loop."""
        for task in asyncio.all_tasks(self):
            task.cancel()
            task._log_destroy_pending = False  # type: ignore[attr-defined]  # a killed process leaves them
        self.run_until_complete(_let_end(self))
        self.close()


async def _let_end(loop: VirtualLoop) -> None:
    current = asyncio.current_task()
    for _ in range(1000):
        others = [task for task in asyncio.all_tasks(loop) if task is not current]
        if not others:
            return
        await asyncio.sleep(0)


class VirtualClock:
    """The loop's time as the hub's clock. ``skew`` moves what :meth:`now` says."""

    def __init__(self, loop: VirtualLoop, *, skew: timedelta = timedelta(0)) -> None:
        self._loop = loop
        self._skew = skew

    def now(self) -> datetime:
        """Return the current time, aware UTC; never twice the same."""
        self._loop.advance_a_little()
        return START + timedelta(seconds=self._loop.time()) + self._skew

    def monotonic(self) -> float:
        """Return virtual seconds since the beginning."""
        return self._loop.time()

    async def sleep(self, seconds: float) -> None:
        """Return when so much virtual time has passed."""
        await asyncio.sleep(max(seconds, 0))
