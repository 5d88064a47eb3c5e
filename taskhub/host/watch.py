"""``taskhub start --watch``: a supervisor that never loads the app, and one host process after the other that does.

A change → a new process imports the app → it is whole: it answers requests from now on, the one before finishes what it
has in hand and gives the hub back, the new one works on the hub. It is not: the one before goes on, and what is wrong
is said. Instances are in storage; they go on in the new process with the new code. One whose history the new code does
not fit is parked (:mod:`taskhub.runtime.parking`).
"""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

from taskhub.host.channel import Channel
from taskhub.host.file_watch import FileWatch
from taskhub.host.heir import VARIABLE

if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Sequence
    from pathlib import Path

    from taskhub.host.console import Console

CHANGE_GRACE_SECONDS = 5.0
"""For what the process before has in hand. An activity that takes longer is done again by the new one."""
_KILL_SECONDS = 3.0
_MAX_NAMES = 3


async def supervise(
    command: Sequence[str],
    *,
    app_root: Path,
    sockets: Sequence[socket.socket],
    console: Console,
    grace_seconds: dict[signal.Signals, float],
) -> int:
    """Run hosts of an app until a signal comes; return the exit code.

    Args:
        command: of a host process.
        app_root: folder of the app.
        sockets: of the main port.
        console: for what the supervisor says.
        grace_seconds: by the signals that end it.
    """
    return await _Supervisor(command, app_root, sockets, console, grace_seconds).run()


class _Host:
    """One host process."""

    def __init__(self, process: asyncio.subprocess.Process, channel: Channel) -> None:
        self.process = process
        self.channel = channel
        self.functions = 0
        self.errors: frozenset[str] = frozenset()

    @property
    def is_alive(self) -> bool:
        return self.process.returncode is None

    async def has_loaded(self) -> bool:
        """Wait until it has imported the app; false when it ended before."""
        async for kind, *rest in self.channel.lines():
            if kind == "loaded":
                self.functions, self.errors = rest[0], frozenset(rest[1:])
                return True
        await self.process.wait()
        return False

    async def end(self, grace_seconds: float) -> int:
        """Let it stop; kill it when it does not."""
        self.channel.send("stop", grace_seconds)
        try:
            code = await asyncio.wait_for(self.process.wait(), grace_seconds + _KILL_SECONDS)
        except asyncio.TimeoutError:
            code = await self.kill()
        await self.channel.aclose()
        return code

    async def kill(self) -> int:
        if self.is_alive:
            self.process.kill()
        return await self.process.wait()


class _Supervisor:
    def __init__(
        self,
        command: Sequence[str],
        app_root: Path,
        sockets: Sequence[socket.socket],
        console: Console,
        grace_seconds: dict[signal.Signals, float],
    ) -> None:
        self._command = command
        self._sockets = sockets
        self._console = console
        self._grace_seconds = grace_seconds
        self._signals: asyncio.Queue[signal.Signals] = asyncio.Queue()
        self._watch = FileWatch(app_root)
        self._current: _Host | None = None
        self._next: _Host | None = None

    async def run(self) -> int:
        for number in self._grace_seconds:
            asyncio.get_running_loop().add_signal_handler(number, self._on_signal, number)
        try:
            return await self._run()
        finally:
            for host in (self._current, self._next):
                if host is not None and host.is_alive:
                    await host.kill()

    def _on_signal(self, number: signal.Signals) -> None:
        if not self._signals.empty():
            for host in (self._current, self._next):
                if host is not None and host.is_alive:
                    host.process.kill()
            os._exit(128 + number)
        self._signals.put_nowait(number)

    async def _run(self) -> int:
        first = self._current = await self._start()
        if not await first.has_loaded():
            return first.process.returncode or 1
        first.channel.send("serve")
        first.channel.send("work")
        while True:
            change = asyncio.create_task(self._watch.changed(), name="watch files")
            happened = await self._first(change, first.process.wait() if first.is_alive else None)
            if not happened:
                change.cancel()
                number = self._signals.get_nowait()
                self._signals.put_nowait(number)  # a second one ends everything at once
                return await first.end(self._grace_seconds[number]) if first.is_alive else 0
            if not change.done():
                change.cancel()
                self._console.line(
                    f"The host ended with exit code {first.process.returncode}; it is started again on a change.",
                    "31",
                )
                continue
            first = self._current = await self._changed(change.result(), first)

    async def _first(self, change: asyncio.Task[list[str]], ended: Awaitable[int] | None) -> bool:
        """Wait for a change, the end of the host, or a signal; return whether it was no signal."""
        others = [asyncio.ensure_future(self._until_signal())]
        if ended is not None:
            others.append(asyncio.ensure_future(ended))  # type: ignore[arg-type]  # their results do not matter
        await asyncio.wait([change, *others], return_when=asyncio.FIRST_COMPLETED)
        for task in others:
            task.cancel()
        return self._signals.empty()

    async def _until_signal(self) -> None:
        self._signals.put_nowait(await self._signals.get())

    async def _changed(self, names: list[str], current: _Host) -> _Host:
        """Load the app anew; return the process that serves from now on."""
        more = f" and {len(names) - _MAX_NAMES} more" if len(names) > _MAX_NAMES else ""
        self._console.line(f"Changed: {', '.join(names[:_MAX_NAMES])}{more}. Loading the app anew...")
        new = self._next = await self._start()
        is_loaded = await new.has_loaded()
        is_worse = current.is_alive and current.functions > 0 and bool(new.errors - current.errors)
        if not is_loaded or is_worse:
            await new.kill()
            await new.channel.aclose()
            self._next = None
            goes_on = "The functions from before the change go on." if current.is_alive else "No functions run."
            self._console.line(f"The change cannot be taken over: see above. {goes_on}", "31")
            return current
        new.channel.send("serve")
        if current.is_alive:
            await current.end(CHANGE_GRACE_SECONDS)
        new.channel.send("work")
        self._next = None
        return new

    async def _start(self) -> _Host:
        ours, theirs = socket.socketpair()
        with theirs:
            descriptors = [theirs.fileno(), *(each.fileno() for each in self._sockets)]
            process = await asyncio.create_subprocess_exec(
                *self._command,
                stdin=subprocess.DEVNULL,
                pass_fds=descriptors,
                env={**os.environ, VARIABLE: ",".join(map(str, descriptors))},
            )
        return _Host(process, await Channel.over(ours))


def own_command() -> list[str]:
    """Return the command line of this process, for a host that is told the same."""
    return [sys.executable, "-m", "taskhub.cli", *sys.argv[1:]]
