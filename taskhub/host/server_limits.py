"""What a client of the main port may not do: send slowly, send much, or take its answer slowly.

A connection on which nothing complete arrives holds a socket and some memory for nothing, and thousands of them are the
cheapest attack there is. So whoever connects must have sent the head of a request in a while, must then keep up a
modest pace with its body, and must take what it is sent.

Source: the limits of Kestrel, the server of the Azure Functions host.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Hashable

MAX_BODY_BYTES = 104_857_600
"""100 MB, the original's limit for HTTP functions."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How patient a server is."""

    max_body_bytes: int = MAX_BODY_BYTES
    """0: no limit."""
    head_seconds: float = 30.0
    """From connecting to the end of the first request's head."""
    idle_seconds: float = 130.0
    """From the end of an answer to the end of the next request's head."""
    body_bytes_per_second: float = 240.0
    """The least pace of a body, on the average since its head."""
    body_grace_seconds: float = 5.0
    """How long the pace does not count."""
    stuck_seconds: float = 30.0
    """For how long a client may take nothing of what it is sent."""


NO_LIMITS = Limits(max_body_bytes=0, head_seconds=0, idle_seconds=0, body_bytes_per_second=0, stuck_seconds=0)
"""For clients in this machine that are our own."""


class BodyRefused(Exception):
    """A body that is not read to its end.

    Attributes:
        status: 413 too large, 408 too slow, 400 not framed as its head says, or its client is gone.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"answered with {status}")
        self.status = status


async def read_body(request: web.BaseRequest, limits: Limits) -> bytes:
    """Return the body of a request.

    Raises:
        BodyRefused: it is larger than allowed, comes slower, or is broken.
    """
    parts = [part async for part in read_parts(request, limits)]
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_parts(request: web.BaseRequest, limits: Limits) -> AsyncIterator[bytes]:
    """Give the parts of a request's body as they come, none of them empty.

    Raises:
        BodyRefused: it is larger than allowed, comes slower, or is broken.
    """
    try:
        async for part in _read_parts(request, limits):
            yield part
    except (web.RequestPayloadError, ConnectionError) as error:
        raise BodyRefused(400) from error


async def _read_parts(request: web.BaseRequest, limits: Limits) -> AsyncIterator[bytes]:
    length, most = request.content_length, limits.max_body_bytes
    if most and length is not None and length > most:
        raise BodyRefused(413)
    if request.headers.get("Expect", "").lower() == "100-continue":
        # The low-level server leaves this to us. Its client waits for it before it sends the body.
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0
    content = request.content
    if content.is_eof():
        whole = content.read_nowait()
        if most and len(whole) > most:
            raise BodyRefused(413)
        if whole:
            yield whole
        return
    clock = asyncio.get_running_loop().time
    count, waited = 0, 0.0
    while True:
        pace, since = limits.body_bytes_per_second, clock()
        # What counts is how long the client was waited for, not how long a function took with what it had.
        left = limits.body_grace_seconds + count / pace - waited if pace else None
        try:
            part = await asyncio.wait_for(content.readany(), left)
        except asyncio.TimeoutError:
            raise BodyRefused(408) from None
        waited += clock() - since
        if not part:
            return
        count += len(part)
        if most and count > most:
            raise BodyRefused(413)
        yield part


@dataclass(slots=True)
class _Connection:
    transport: asyncio.Transport
    due: float | None
    """When the next head must have come; ``None`` while a request is answered."""
    unsent: int = 0
    unsent_since: float = 0.0


class ConnectionWatch:
    """Knows which connections wait for what, and since when.

    Args:
        limits: how patient to be.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._connections: dict[Hashable, _Connection] = {}

    def __repr__(self) -> str:
        return f"<ConnectionWatch, {len(self._connections)} connections>"

    def opened(self, connection: Hashable, transport: asyncio.Transport, now: float) -> None:
        """Take note of a new connection."""
        self._connections[connection] = _Connection(transport, self._due(now, self._limits.head_seconds))

    def closed(self, connection: Hashable) -> None:
        """Forget a connection."""
        self._connections.pop(connection, None)

    def asked(self, connection: Hashable) -> None:
        """Take note that the head of a request has come."""
        found = self._connections.get(connection)
        if found is not None:
            found.due = None

    def answered(self, connection: Hashable, now: float) -> None:
        """Take note that a request is answered."""
        found = self._connections.get(connection)
        if found is not None:
            found.due = self._due(now, self._limits.idle_seconds)

    def sweep(self, now: float) -> None:
        """Cut off the connections that took too long."""
        stuck = self._limits.stuck_seconds
        for each in list(self._connections.values()):
            unsent = each.transport.get_write_buffer_size()
            if unsent == 0 or unsent != each.unsent:
                each.unsent, each.unsent_since = unsent, now
            if (each.due is not None and now >= each.due and unsent == 0) or (
                stuck and unsent and now - each.unsent_since >= stuck
            ):
                each.transport.abort()

    @staticmethod
    def _due(now: float, seconds: float) -> float | None:
        return now + seconds if seconds else None
