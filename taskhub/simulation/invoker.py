"""Runs functions of an app in the simulated loop instead of threads."""

from __future__ import annotations

import asyncio
import asyncio.events
import io
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.host.console import Console
from taskhub.host.invoker import Invoker

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Callable, Coroutine

    from taskhub.simulation.loop import VirtualLoop

_T = TypeVar("_T")


class SimulatedInvoker(Invoker):
    """Runs plain functions and steps of orchestrators each in a callback of the loop, coroutine functions as tasks.

    What the host would write to its console goes nowhere.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__(Console(io.StringIO(), log_levels={"default": "none"}))
        self._virtual = loop

    def _begin_function(self, work: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        future: concurrent.futures.Future[_T] = Future()
        self._virtual.call_soon(self._run, work, future)
        return future

    def _begin_step(self, work: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        return self._begin_function(work)

    def _begin_coroutine(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._virtual)

    def _run(self, work: Callable[[], _T], future: concurrent.futures.Future[_T]) -> None:
        if not future.set_running_or_notify_cancel():
            return
        # User code that is no coroutine finds no running loop, as in the threads of a host: asyncio.run() works there.
        asyncio.events._set_running_loop(None)
        try:
            future.set_result(work())
        except BaseException as error:  # as in a thread: whoever waits for it gets it
            future.set_exception(error)
        finally:
            asyncio.events._set_running_loop(self._virtual)
