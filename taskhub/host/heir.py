"""A host process that takes over from the one before it, when its supervisor says so (``taskhub start --watch``).

::

    supervisor ◄─ ["loaded", functions, error…] ── heir      its app is imported
    supervisor ── ["serve"] ──────────────────────► heir     answer requests
    supervisor ── ["work"] ───────────────────────► heir     work on the hub: the one before has given it back
    supervisor ── ["stop", grace_seconds] ────────► heir

The sockets of the main port belong to the supervisor and are handed on, so that the port is open all the time. An heir
whose supervisor is gone stops. Ctrl+C, which a terminal sends to all processes, is the supervisor's.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from taskhub.host.channel import Channel

if TYPE_CHECKING:
    from collections.abc import Callable, MutableMapping, Sequence

VARIABLE = "TASKHUB_HEIR"
"""Descriptors, with commas: of the channel, then of the sockets of the main port."""
ORPHAN_GRACE_SECONDS = 5.0


class Heir:
    """The heir's end.

    Args:
        channel: socket to the supervisor.
        sockets: of the main port, bound and listening.
    """

    def __init__(self, channel: socket.socket, sockets: Sequence[socket.socket]) -> None:
        self._end = channel
        self.sockets = list(sockets)
        self._serve = asyncio.Event()
        self._work = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "working" if self._work.is_set() else "serving" if self._serve.is_set() else "waiting"
        return f"<Heir {state}>"

    @classmethod
    def of(cls, environment: MutableMapping[str, str]) -> Heir | None:
        """Return the heir that this process is, if it is one; its own children are none."""
        text = environment.pop(VARIABLE, None)
        if text is None:
            return None
        channel, *sockets = (socket.socket(fileno=int(each)) for each in text.split(","))
        return cls(channel, sockets)

    async def report(self, functions: int, errors: Sequence[str], stop: Callable[[float], None]) -> None:
        """Tell what was loaded, and listen from then on.

        Args:
            functions: how many can run.
            errors: what is wrong with others, or with the app.
            stop: called when the process shall end, with the grace period in seconds.
        """
        channel = await Channel.over(self._end)
        channel.send("loaded", functions, *errors)
        self._listening = asyncio.create_task(self._listen(channel, stop), name="listen to the supervisor")

    async def may_serve(self) -> None:
        """Wait for the word to answer requests, or to stop."""
        await self._serve.wait()

    async def may_work(self) -> None:
        """Wait for the word to work on the hub, or to stop."""
        await self._work.wait()

    async def _listen(self, channel: Channel, stop: Callable[[float], None]) -> None:
        grace_seconds = ORPHAN_GRACE_SECONDS
        try:
            async for kind, *rest in channel.lines():
                match kind:
                    case "serve":
                        self._serve.set()
                    case "work":
                        self._work.set()
                    case "stop":
                        grace_seconds = rest[0]
                        break
        finally:
            stop(grace_seconds)
            self._serve.set()
            self._work.set()
            await channel.aclose()
