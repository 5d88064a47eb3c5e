"""Awaiting in orchestrators: what may be awaited, and errors that name what may not.

An orchestrator that is a coroutine function awaits tasks of its context. Nothing else can be awaited: there is no event
loop, and a replay could not repeat it. Code that tries gets an error at the line where it does, with the thing's name
and what to use instead. To that end ``asyncio`` finds an event loop while user code runs, one that refuses everything.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import traceback
from typing import TYPE_CHECKING, Any, cast

from azure.durable_functions.errors import ForeignAwaitableError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Generator
    from types import CoroutineType, FrameType

_TIMER = "context.create_timer(context.current_utc_datetime + timedelta(seconds=...))"
_TOGETHER = "context.task_all([...]) or context.task_any([...])"
_ACTIVITY = "an activity: context.call_activity(...)"
_REPLACEMENTS = {
    "asyncio.sleep": _TIMER,
    "asyncio.gather": "context.task_all([...])",
    "asyncio.wait": _TOGETHER,
    "asyncio.as_completed": "context.task_any([...])",
    "asyncio.create_task": _TOGETHER,
    "asyncio.ensure_future": _TOGETHER,
    "asyncio.TaskGroup": "context.task_all([...])",
    "asyncio.wait_for": "context.task_any([task, context.create_timer(...)])",
    "asyncio.timeout": "context.task_any([task, context.create_timer(...)])",
    "asyncio.timeout_at": "context.task_any([task, context.create_timer(...)])",
    "asyncio.Event": "context.wait_for_external_event(...)",
    "asyncio.Queue": "context.wait_for_external_event(...)",
    "aiohttp": "context.call_http(...), or " + _ACTIVITY,
    "httpx": "context.call_http(...), or " + _ACTIVITY,
    "httpcore": "context.call_http(...), or " + _ACTIVITY,
}
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep
_OWN_FOLDER = os.path.dirname(os.path.dirname(__file__)) + os.sep
_LOOP_FINDERS = ("asyncio", "sniffio", "anyio")
"""Packages that raise a RuntimeError of their own when they find no loop, or no task of one."""
_EVENT_LOOP = "an event loop"


def code_of(returned: Any) -> GuardedCoroutine | Generator[Any, Any, Any] | None:
    """Return what is to be driven, of what an orchestrator function returned; ``None`` when it is the output.

    Raises:
        TypeError: it is an asynchronous generator.
    """
    if inspect.isgenerator(returned):
        return returned
    if inspect.iscoroutine(returned):
        return GuardedCoroutine(returned)
    if inspect.isasyncgen(returned):
        raise async_generator_error(returned.__name__)
    return None


def refuse_async_generator(function: Callable[..., Any]) -> None:
    """Refuse a function that can never be an orchestrator.

    Raises:
        TypeError: it is ``async def`` and yields.
    """
    if inspect.isasyncgenfunction(inspect.unwrap(function)):
        raise async_generator_error(getattr(function, "__name__", repr(function)))


def async_generator_error(name: str) -> TypeError:
    """Return the error for an orchestrator that is ``async def`` and yields."""
    return TypeError(
        f"Orchestrator {name!r} is `async def` and has `yield` in it, which makes it an asynchronous generator. "
        "Use `await` instead of `yield`, or leave out `async`."
    )


class GuardedCoroutine:
    """A coroutine that finds no event loop to wait on."""

    __slots__ = ("_coroutine", "_loop")

    def __init__(self, coroutine: CoroutineType[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._loop = _refusing_loop()

    def send(self, value: Any) -> Any:
        """Run to the next ``await`` of something that is not there yet."""
        return self._run(self._coroutine.send, value)

    def throw(self, error: BaseException) -> Any:
        """Raise an error where the code waits, and run on."""
        return self._run(self._coroutine.throw, error)

    def close(self) -> None:
        """End the code where it waits."""
        self._run(self._coroutine.close)

    def _run(self, step: Callable[..., Any], *arguments: Any) -> Any:
        from asyncio import events

        # A test of an app may call its orchestrator from a coroutine, so there may be a loop, for others than us.
        outer = events._get_running_loop()
        events._set_running_loop(self._loop)
        try:
            return step(*arguments)
        except RuntimeError as error:
            if not isinstance(error, ForeignAwaitableError) and _is_about_a_loop(error):
                raise _error(_name_in(error)).with_traceback(error.__traceback__) from error
            raise
        finally:
            events._set_running_loop(outer)

    # For whoever looks where the code stands.

    @property
    def cr_frame(self) -> Any:
        return self._coroutine.cr_frame

    @property
    def cr_await(self) -> Any:
        return self._coroutine.cr_await


def foreign_error(yielded: object, code: Any) -> ForeignAwaitableError:
    """Return the error for something that user code yielded or awaited and that is no task.

    Args:
        yielded: what came out of the code.
        code: the code, where it stands now.
    """
    if isinstance(code, GuardedCoroutine):
        return _error(_awaited_name(code) or type(yielded).__name__)
    if inspect.isgenerator(yielded) or inspect.iscoroutine(yielded):
        return _unfinished_code_error(yielded)
    return ForeignAwaitableError(
        f"An orchestrator can yield only tasks that its context makes, not {type(yielded).__name__}: {yielded!r}. "
        "Yield what context.call_activity(...), context.task_all([...]) and the like return.",
        awaited=type(yielded).__name__,
    )


def _unfinished_code_error(yielded: Any) -> ForeignAwaitableError:
    """Return the error for the code of another function, yielded instead of run."""
    frame = yielded.gi_frame if inspect.isgenerator(yielded) else yielded.cr_frame
    is_foreign = frame is not None and _is_foreign(frame)
    name = _close(yielded) or ""
    if is_foreign:
        return _error(name, verb="yield")
    if inspect.isgenerator(yielded):
        what, replacement = "a generator", "`yield from`"
    else:
        what, replacement = "a coroutine", "`await` in an orchestrator that is `async def`"
    return ForeignAwaitableError(
        f"An orchestrator can yield only tasks that its context makes, not {what}. To run {name}(...) as a part of the "
        f"orchestrator use {replacement}.",
        awaited=name,
        replacement=replacement,
    )


def no_task_error(child: object) -> ForeignAwaitableError:
    """Return the error for something in a compound that is no task."""
    name = _close(child)
    return ForeignAwaitableError(
        f"A compound holds tasks that the context made; got {type(child).__name__}: {name or repr(child)}. "
        "Pass the result of context.call_activity(...) and the like.",
        awaited=name or type(child).__name__,
        replacement=None if name is None else _replacement(name),
    )


def _error(name: str, replacement: str | None = None, *, verb: str = "await") -> ForeignAwaitableError:
    replacement = replacement or _replacement(name)
    return ForeignAwaitableError(
        f"An orchestrator can {verb} only tasks that its context makes, not {name}, which no replay could repeat. "
        f"Use {replacement}.",
        awaited=name,
        replacement=replacement,
    )


def _replacement(name: str) -> str:
    """Return what to use instead of something: known by its name, its class or its package."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        found = _REPLACEMENTS.get(".".join(parts[:length]))
        if found is not None:
            return found
    return _ACTIVITY


def close_unused(returned: object) -> None:
    """Close the code of an orchestrator that will not be run."""
    _close(returned)


def _close(value: object) -> str | None:
    """Close a coroutine or generator that nobody will run; return its name, ``None`` for anything else."""
    code = getattr(value, "cr_code", None) or getattr(value, "gi_code", None)
    frame = getattr(value, "cr_frame", None) or getattr(value, "gi_frame", None)
    if code is None:
        return None
    name = code.co_name if frame is None else _name_of(frame, qualified=getattr(value, "__qualname__", None))
    cast("Any", value).close()
    return str(name)


# -- finding names -----------------------------------------------------------------------------------------------------


def _is_foreign(frame: FrameType) -> bool:
    file = frame.f_code.co_filename
    if file.startswith(_OWN_FOLDER):
        return False
    return "site-packages" in file or file.startswith((_STANDARD_LIBRARY, "<frozen"))


def _name_of(frame: FrameType, *, qualified: str | None = None) -> str:
    module = frame.f_globals.get("__name__") or ""
    own = qualified or getattr(frame.f_code, "co_qualname", None) or _qualified_name(frame)
    package, _, _ = module.partition(".")
    if not _is_foreign(frame):
        return own
    # asyncio.tasks.sleep is asyncio.sleep to everybody.
    first, _, _ = own.partition(".")
    public = sys.modules.get(package)
    return f"{package}.{own}" if hasattr(public, first) else f"{module}.{own}"


def _qualified_name(frame: FrameType) -> str:
    """Do what ``co_qualname`` does since 3.11, for methods."""
    owner = frame.f_locals.get("self")
    name = frame.f_code.co_name
    return name if owner is None else f"{type(owner).__name__}.{name}"


def _awaited_name(code: Any) -> str | None:
    """Return the name of the foreign code that user code awaits, the outermost; else of the innermost of all."""
    frames = []
    while code is not None:
        frame = getattr(code, "cr_frame", None) or getattr(code, "gi_frame", None)
        if frame is not None:
            frames.append(frame)
        code = getattr(code, "cr_await", None) or getattr(code, "gi_yieldfrom", None)
    foreign = next((frame for frame in frames if _is_foreign(frame)), None)
    if foreign is None and len(frames) > 1:
        foreign = frames[-1]
    return None if foreign is None else _name_of(foreign)


def _called_name() -> str:
    """Return the name of the foreign code that user code is calling right now, the outermost."""
    foreign: FrameType | None = None
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code is not GuardedCoroutine._run.__code__:
        if _is_foreign(frame):
            foreign = frame
        frame = frame.f_back
    return _EVENT_LOOP if foreign is None else _name_of(foreign)


def _is_about_a_loop(error: RuntimeError) -> bool:
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    module = frames[-1].f_globals.get("__name__") or ""
    return module.partition(".")[0] in _LOOP_FINDERS


def _name_in(error: RuntimeError) -> str:
    foreign = next((frame for frame, _ in traceback.walk_tb(error.__traceback__) if _is_foreign(frame)), None)
    return _EVENT_LOOP if foreign is None else _name_of(foreign)


# -- the event loop that refuses ---------------------------------------------------------------------------------------


@functools.cache
def _refusing_loop() -> asyncio.AbstractEventLoop:
    import asyncio

    def refuse(self: Any, *arguments: Any, **keywords: Any) -> Any:
        for argument in arguments:
            if inspect.iscoroutine(argument):
                argument.close()  # nobody will ever await it
        raise _error(_called_name())

    names = [name for name in vars(asyncio.AbstractEventLoop) if not name.startswith("_")]
    # asyncio looks for the current task by its loop, in a dictionary.
    members = {**dict.fromkeys(names, refuse), "__hash__": refuse}
    cls = type("_RefusingLoop", (asyncio.AbstractEventLoop,), members)
    return cast("asyncio.AbstractEventLoop", cls())
