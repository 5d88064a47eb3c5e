"""What the processes of one host tell each other, over a pair of sockets: lines of JSON, each a list.

::

    front ── ["stop", grace_seconds] ──────────► worker
    front ◄─ ["ready"] / ["refused", text] ───── worker      owns a partition / cannot work and says why
    front ◄─ ["wake", queue, after_seconds] ───► worker      a message was put, or will be visible then

A worker whose front is gone reads the end of the stream and stops. Wake-ups are hints: they may be dropped.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    from collections.abc import AsyncIterator, Callable

MAX_UNSENT_BYTES = 1_000_000
"""To a process that does not read; hints beyond are dropped."""


class Channel:
    """One end of the pair."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    def __repr__(self) -> str:
        return f"<Channel {'closing' if self._writer.is_closing() else 'open'}>"

    @classmethod
    async def over(cls, end: socket.socket) -> Channel:
        """Use a connected socket, which belongs to the channel from then on."""
        return cls(*await asyncio.open_connection(sock=end))

    def send(self, *words: str | float) -> None:
        """Send one line; does nothing when the other end is gone."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(words).encode() + b"\n")

    def hint(self, queue: str, after_seconds: float) -> None:
        """Pass a wake-up on, unless the other end is behind."""
        if self._writer.transport.get_write_buffer_size() < MAX_UNSENT_BYTES:
            self.send("wake", queue, after_seconds)

    async def lines(self) -> AsyncIterator[list[Any]]:
        """Yield what the other end sends, until it is gone."""
        while True:
            try:
                line = await self._reader.readline()
            except ConnectionError:
                return
            if not line.endswith(b"\n"):
                return
            yield json.loads(line)

    async def aclose(self) -> None:
        """Close this end; what was sent before still arrives."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except ConnectionError:
            return


class Hints:
    """Gathers what a process sends within one turn of its loop, and passes on what others should read.

    A process that reads a queue itself is enough for one message, so that a sequence of activities does not make all
    others look in vain; of several at once they should have their share.

    Args:
        pass_on: takes the queue, and after how many seconds its message is visible.
    """

    def __init__(self, pass_on: Callable[[str, float], object]) -> None:
        self._pass_on = pass_on
        self._noted: dict[tuple[str, float], bool] = {}
        """Queue and time; whether others should know."""

    def note(self, queue: str, after_seconds: float, *, is_read_here: bool) -> None:
        """Take note of a message that was put."""
        if not self._noted:
            asyncio.get_running_loop().call_soon(self._flush)
        key = (queue, after_seconds)
        self._noted[key] = key in self._noted or not is_read_here

    def _flush(self) -> None:
        noted, self._noted = self._noted, {}
        for (queue, after_seconds), is_for_others in noted.items():
            if is_for_others:
                self._pass_on(queue, after_seconds)
