"""Runs functions where they belong, so that no user code can stall leases, storage or HTTP.

* Plain functions run in a pool of threads (``PYTHON_THREADPOOL_THREAD_COUNT``).
* Coroutine functions run on an event loop of their own, in a thread of its own: one that blocks holds up other
  coroutine functions, as in the original, but nothing of the host.
* Replays of orchestrators run in a small pool of their own, because activities that fill the other one must not keep
  orchestrations from going on.

Conversion of inputs and outputs runs there too: custom classes bring their own code for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import os
import sys
import threading
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.host.call_plan import RETURN
from taskhub.host.failures import describe_failure
from taskhub.host.functions import ORCHESTRATION_TRIGGER, STORED
from taskhub.host.invocation import CURRENT, RUNNING, Context, Invocation, Out, RetryContext, TraceContext
from taskhub.host.outputs import deliver
from taskhub.host.triggers.storage_bindings import BindingFailed

if TYPE_CHECKING:
    import concurrent.futures
    from collections.abc import Awaitable, Callable, Coroutine, Mapping
    from contextlib import AbstractContextManager

    from azure.functions.meta import Datum

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.console import Console
    from taskhub.host.triggers.storage_bindings import StorageBindings

_T = TypeVar("_T")
DURABLE_REASON = "(null)"
"""What the console gives as the reason of durable functions."""

TIMEOUT = "Timeout value of"
"""How the message of a function that ran for too long begins."""

_ORCHESTRATOR_THREADS = 8
"""More than can run at once: an orchestrator that (wrongly) blocks must not hold up the others."""

_LOOP_END_SECONDS = 2.0

logger = logging.getLogger(__name__)


class InvocationFailed(Exception):
    """User code raised, or its output cannot be encoded.

    Attributes:
        message: ``ValueError: boom``.
        stack: traceback of the user's frames.
    """

    def __init__(self, message: str, stack: str) -> None:
        super().__init__(message)
        self.message = message
        self.stack = stack

    def full_text(self) -> str:
        """Return the text in which the original hands a failure on."""
        return f"Result: Failure\nException: {self.message}\nStack: {self.stack}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an invocation gave."""

    result: Datum | None
    """The returned value, encoded; ``None`` when the function has no use for one."""
    outputs: Mapping[str, Datum]
    """What output parameters were set to; those that were not are missing."""


_UNTRACED = contextlib.nullcontext()


@dataclass(slots=True)
class _Arguments:
    plan: CallPlan
    invocation: Invocation
    data: Mapping[str, Datum]
    metadata: Mapping[str, Datum]
    trace: TraceContext
    retry: RetryContext
    within: Callable[[TraceContext], AbstractContextManager[None]] | None
    outs: dict[str, Out] = field(default_factory=dict)

    def convert(self) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, item in self.plan.inputs.items():
            values[name] = item.decode(self.data[name], self.metadata if item.binding.is_trigger else {})
        for name in self.plan.outputs:
            values[name] = self.outs[name] = Out()
        if self.plan.wants_context:
            values["context"] = self._context()
        if self.plan.hooks is not None:
            self.plan.hooks.run_before(self._context(), values)
        return values

    def traced(self) -> AbstractContextManager[None]:
        """Return what user code runs in: a span, if there is one."""
        return _UNTRACED if self.within is None or not self.trace.trace_parent else self.within(self.trace)

    def finish(self, values: Mapping[str, Any], returned: Any) -> Outcome:
        if self.plan.hooks is not None:
            self.plan.hooks.run_after(self._context(), values, returned)
        sys.stdout.flush()  # what was printed without the end of its line
        return self._encode(returned)

    def _context(self) -> Context:
        return Context(self.invocation, self.plan.function.directory, self.trace, self.retry)

    def _encode(self, returned: Any) -> Outcome:
        outputs = {
            name: self.plan.outputs[name].encode(out.get()) for name, out in self.outs.items() if out.get() is not None
        }
        for name, value in outputs.items():
            deliver(self.plan.outputs[name].binding, value)
        if self.plan.result is None:
            if returned is not None:
                logger.warning(
                    "function '%s' without a $return binding returned a value, which is dropped",
                    self.plan.function.name,
                )
            return Outcome(None, outputs)
        if returned is None and (outputs or self.plan.result.binding.kind in STORED):
            return Outcome(None, outputs)
        return Outcome(self.plan.result.encode(returned), outputs)


class Invoker:
    """Runs functions and says so on the console.

    Args:
        console: where invocations are announced.
        thread_count: threads for plain functions; ``None``: the standard library's choice.
        timeout_seconds: how long a function may run; orchestrators are not held to it. ``None``: for ever.
        storage: reads and writes what bindings on storage name; ``None`` for apps without such bindings.
        loop_end_seconds: how long cancelled coroutine functions may take to clean up after themselves.
        within: makes a span current while user code runs in it; ``None``: nobody traces.
    """

    def __init__(
        self,
        console: Console,
        *,
        thread_count: int | None = None,
        timeout_seconds: float | None = None,
        storage: StorageBindings | None = None,
        loop_end_seconds: float = _LOOP_END_SECONDS,
        within: Callable[[TraceContext], AbstractContextManager[None]] | None = None,
    ) -> None:
        self._console = console
        self._storage = storage
        self._timeout_seconds = timeout_seconds
        self._loop_end_seconds = loop_end_seconds
        self._within = within
        self._threads = ThreadPoolExecutor(thread_count, thread_name_prefix="function")
        self._orchestrators = ThreadPoolExecutor(_ORCHESTRATOR_THREADS, thread_name_prefix="orchestrator")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._loop_lock = threading.Lock()
        self._loop_ended: concurrent.futures.Future[None] | None = None
        self._has_left_some = False
        self._running: set[concurrent.futures.Future[Any]] = set()
        """What user code is doing, also where nobody waits for it any more."""

    def __repr__(self) -> str:
        return f"<Invoker, {len(self._running)} running>"

    async def invoke(
        self,
        plan: CallPlan,
        data: Mapping[str, Datum],
        *,
        reason: str,
        details: str = "",
        trace: TraceContext | None = None,
        metadata: Mapping[str, Datum] | None = None,
        values: Mapping[str, Any] | None = None,
        retry: RetryContext | None = None,
    ) -> Outcome:
        """Run a function with the data of its bindings.

        Args:
            plan: of the function.
            data: by the names of bindings, without what has to be read from storage.
            reason: for the console.
            details: of what started it, for the console too.
            trace: W3C trace context.
            metadata: of the trigger.
            values: that binding expressions can name besides what the trigger received.
            retry: which attempt it is.

        Raises:
            InvocationFailed: user code raised, gave what cannot be encoded, or took too long; or storage that a
                binding names cannot be read or written.

        Cancellation, also of what took too long: plain functions run on, as nothing can stop them; coroutines are
        cancelled.
        """
        invocation = Invocation(str(uuid.uuid4()), plan.function.name)
        arguments = _Arguments(
            plan, invocation, data, metadata or {}, trace or TraceContext(), retry or RetryContext(), self._within
        )

        def work() -> Awaitable[Outcome]:
            if plan.stored_inputs or plan.stored_outputs:
                return self._call_with_storage(arguments, values or {})
            return self._call(arguments)

        return await self._announced(invocation, reason, work, details=details)

    def _call(self, arguments: _Arguments) -> Awaitable[Outcome]:
        running: concurrent.futures.Future[Outcome]
        is_orchestrator = arguments.plan.function.trigger.kind == ORCHESTRATION_TRIGGER
        if arguments.plan.is_async:
            running = self._begin_coroutine(_call_async(arguments))
        else:
            begin = self._begin_step if is_orchestrator else self._begin_function
            running = begin(functools.partial(_call, arguments))
        timeout_seconds = None if is_orchestrator else self._timeout_seconds
        return _in_time(self._tracked(running), timeout_seconds, arguments.invocation)

    # Where user code runs; a simulation has other places.

    def _begin_function(self, work: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        return self._threads.submit(work)

    def _begin_step(self, work: Callable[[], _T]) -> concurrent.futures.Future[_T]:
        return self._orchestrators.submit(work)

    def _begin_coroutine(self, work: Coroutine[Any, Any, _T]) -> concurrent.futures.Future[_T]:
        return asyncio.run_coroutine_threadsafe(work, self._user_loop())

    def beside_functions(self, work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
        """Run a coroutine on the loop of coroutine functions."""
        return asyncio.wrap_future(self._begin_coroutine(work))

    async def _call_with_storage(self, arguments: _Arguments, values: Mapping[str, Any]) -> Outcome:
        plan, storage = arguments.plan, self._storage
        if storage is None:
            raise InvocationFailed("this host has no storage for the bindings of the function", "")
        given = arguments.data, arguments.metadata, values
        try:
            if plan.stored_inputs:
                arguments.data = {**arguments.data, **await storage.read(plan, *given)}
            outcome = await self._call(arguments)
            stored = {name: each for name, each in outcome.outputs.items() if name in plan.stored_outputs}
            if RETURN in plan.stored_outputs and outcome.result is not None:
                stored[RETURN] = outcome.result
            if stored:
                await storage.write(plan, stored, *given)
        except BindingFailed as error:
            raise InvocationFailed(str(error), "") from error
        return outcome

    async def replay(self, function: str, step: Callable[[], _T], failure_of: Callable[[_T], str | None]) -> _T:
        """Run a step of an orchestrator in the pool for those.

        Args:
            function: name of the orchestrator function.
            step: the step of the replay.
            failure_of: reads the outcome: the text of a failure, or ``None``.

        Raises:
            InvocationFailed: the step raised, which replays do only for what is no ``Exception`` (``sys.exit()``).
        """
        invocation = Invocation(str(uuid.uuid4()), function)

        def work() -> Awaitable[_T]:
            return asyncio.wrap_future(self._tracked(self._begin_step(functools.partial(_step, invocation, step))))

        return await self._announced(invocation, DURABLE_REASON, work, failure_of)

    def in_background(self, work: Callable[[], None]) -> None:
        """Run something short in the pool for orchestrators, soon; not at all once the invoker is closed."""
        with contextlib.suppress(RuntimeError):
            self._begin_step(work)

    @property
    def is_busy(self) -> bool:
        """Whether user code is running, or was when the grace period ended: what it called may run on in threads."""
        return self._has_left_some or bool(self._running)

    async def aclose(self, *, grace_seconds: float) -> None:
        """Let running functions finish for up to ``grace_seconds``, then leave them behind."""
        if self._running and grace_seconds > 0:
            await asyncio.wait([asyncio.wrap_future(running) for running in list(self._running)], timeout=grace_seconds)
        self._has_left_some = self.is_busy
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._orchestrators.shutdown(wait=False, cancel_futures=True)
        if self._loop is not None and self._loop_ended is not None:
            # What user code leaves open complains when it is collected; nobody can act on that any more.
            self._loop.set_exception_handler(lambda loop, context: None)
            self._loop.call_soon_threadsafe(self._loop.stop)
            # Not for ever: a coroutine function that blocks never lets its loop end.
            await asyncio.wait([asyncio.wrap_future(self._loop_ended)], timeout=self._loop_end_seconds)

    async def _announced(
        self,
        invocation: Invocation,
        reason: str,
        work: Callable[[], Awaitable[_T]],
        failure_of: Callable[[_T], str | None] = lambda _: None,
        *,
        details: str = "",
    ) -> _T:
        # Before it starts: its own log lines come after.
        self._console.executing(invocation, reason, details)
        clock = asyncio.get_running_loop().time
        began = clock()
        RUNNING[invocation.id] = invocation
        try:
            outcome = await work()
        except asyncio.CancelledError:
            self._console.executed(invocation, clock() - began, "Result: Cancelled")
            raise
        except InvocationFailed as error:
            self._console.executed(invocation, clock() - began, error.full_text())
            raise
        finally:
            del RUNNING[invocation.id]
        self._console.executed(invocation, clock() - began, failure_of(outcome))
        return outcome

    def _tracked(self, running: concurrent.futures.Future[_T]) -> concurrent.futures.Future[_T]:
        self._running.add(running)
        running.add_done_callback(self._running.discard)
        return running

    def _user_loop(self) -> asyncio.AbstractEventLoop:
        with self._loop_lock:
            if self._loop is None:
                self._loop, self._loop_ended = asyncio.new_event_loop(), Future()
                threading.Thread(
                    target=_run_loop, args=(self._loop, self._loop_ended), name="coroutine functions", daemon=True
                ).start()
            return self._loop


async def _in_time(running: concurrent.futures.Future[_T], timeout_seconds: float | None, invocation: Invocation) -> _T:
    if timeout_seconds is None:
        return await asyncio.wrap_future(running)
    try:
        return await asyncio.wait_for(asyncio.wrap_future(running), timeout_seconds)
    except asyncio.TimeoutError:  # not user code's own: that one is an InvocationFailed
        raise InvocationFailed(
            f"{TIMEOUT} {timedelta(seconds=timeout_seconds)} was exceeded by function: "
            f"Functions.{invocation.function}. Raise functionTimeout in host.json, or let the function do less.",
            "",
        ) from None


def thread_count_of(setting: str | None) -> int | None:
    """Return ``PYTHON_THREADPOOL_THREAD_COUNT`` as a number, ``None`` for the default."""
    if not setting:
        return None
    if setting.strip().isdigit() and int(setting) >= 1:
        return int(setting)
    logger.warning("PYTHON_THREADPOOL_THREAD_COUNT is '%s', not a whole number of at least 1; ignored", setting)
    return min(32, (os.cpu_count() or 1) + 4)


def _run_loop(loop: asyncio.AbstractEventLoop, ended: concurrent.futures.Future[None]) -> None:
    """Run a loop until it is stopped, then end it as ``asyncio.run`` does.

    Asynchronous generators that are still open are closed in their loop: the SDK's shared HTTP session ends so.
    """
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        loop.run_until_complete(_cancel_the_rest())
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
        ended.set_result(None)


async def _cancel_the_rest() -> None:
    left = asyncio.all_tasks() - {asyncio.current_task()}
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left)


# User code runs below. Whatever it raises fails its invocation only: a SystemExit or KeyboardInterrupt that reached an
# event loop would end it.


def _call(arguments: _Arguments) -> Outcome:
    with _failing_alone(arguments.invocation):
        values = arguments.convert()
        with arguments.traced():
            returned = arguments.plan.function.call(**values)
        return arguments.finish(values, returned)


def _step(invocation: Invocation, step: Callable[[], _T]) -> _T:
    with _failing_alone(invocation):
        return step()


async def _call_async(arguments: _Arguments) -> Outcome:
    # The task that runs this has a context of its own, so nothing needs to be set back.
    CURRENT.set(arguments.invocation)
    try:
        values = arguments.convert()
        with arguments.traced():
            returned = await arguments.plan.function.call(**values)
        return arguments.finish(values, returned)
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        raise InvocationFailed(*describe_failure(error)) from error


class _failing_alone:
    """A context manager as a class: this is the hot path of every plain function."""

    __slots__ = ("_invocation", "_token")

    def __init__(self, invocation: Invocation) -> None:
        self._invocation = invocation

    def __enter__(self) -> None:
        self._token = CURRENT.set(self._invocation)

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        CURRENT.reset(self._token)
        if error is not None:
            raise InvocationFailed(*describe_failure(error)) from error
