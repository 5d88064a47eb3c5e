"""The connection of a request whose answer goes out in parts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from aiohttp import web

from taskhub.host.http_options import BODILESS, HOP_BY_HOP
from taskhub.host.server_limits import BodyRefused, read_parts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from taskhub.host.server_limits import Limits

_LOOK_SECONDS = 0.5


class StreamExchange:
    """Implements :class:`taskhub.host.http_streams.Exchange` over a request of aiohttp.

    Args:
        request: whose head was read.
        limits: of its body.
        finished: adds the headers that every answer gets.
    """

    def __init__(
        self,
        request: web.BaseRequest,
        limits: Limits,
        *,
        finished: Callable[[web.StreamResponse], web.StreamResponse],
    ) -> None:
        self._request = request
        self._finished = finished
        self._parts = read_parts(request, limits)
        self._refused: BodyRefused | None = None
        self._response: web.StreamResponse | None = None
        self._is_bodiless = False
        self._has_ended = False

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Those of the request, as they came."""
        return self._request.raw_headers

    @property
    def peers(self) -> Mapping[str, tuple[str, int]]:
        """Address and port of ``client`` and ``server``, as far as they are known."""
        transport = self._request.transport
        if transport is None:
            return {}
        ends = {"client": transport.get_extra_info("peername"), "server": transport.get_extra_info("sockname")}
        return {name: (end[0], end[1]) for name, end in ends.items() if isinstance(end, tuple)}

    @property
    def has_begun(self) -> bool:
        """Whether something of the answer was sent."""
        return self._response is not None

    @property
    def is_gone(self) -> bool:
        """Whether nobody takes the answer any more."""
        return self._request.transport is None or self._request.transport.is_closing()

    async def read(self) -> bytes:
        """Return the next part of the body, empty at its end.

        Raises:
            BodyRefused: it is larger than allowed, comes slower, or is broken.
        """
        try:
            return await self._parts.__anext__()
        except StopAsyncIteration:
            return b""
        except BodyRefused as error:
            self._refused = error
            raise

    async def gone(self) -> None:
        """Return when the client is gone."""
        while not self.is_gone:  # noqa: ASYNC110  # aiohttp tells nobody
            await asyncio.sleep(_LOOK_SECONDS)

    async def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Send the head of the answer.

        Raises:
            ConnectionError: the client is gone.
        """
        if self._refused is not None:  # what the function made of that does not count
            status, headers = self._refused.status, ()
        response = web.StreamResponse(status=status)
        for name, value in headers:
            if name.lower() not in HOP_BY_HOP:
                response.headers.add(name, value)
        if self._refused is not None:
            response.force_close()
        self._is_bodiless = status in BODILESS or self._refused is not None or self._request.method == "HEAD"
        await self._finished(response).prepare(self._request)
        self._response = response

    async def write(self, part: bytes) -> None:
        """Send a part of the body, once the client has taken enough of those before.

        Raises:
            ConnectionError: the client is gone.
        """
        if not self._is_bodiless:
            await self._begun.write(part)

    async def end(self) -> None:
        """Send what ends the answer."""
        await self._begun.write_eof()
        self._has_ended = True

    def close(self) -> web.StreamResponse:
        """Return the answer; one that broke off takes its connection along, so that the client can tell."""
        response = web.StreamResponse() if self._response is None else self._response
        if not self._has_ended:
            response.force_close()
            if self._request.transport is not None:
                self._request.transport.abort()
        return response

    @property
    def _begun(self) -> web.StreamResponse:
        if self._response is None:
            raise RuntimeError("the answer has no head yet")
        return self._response
