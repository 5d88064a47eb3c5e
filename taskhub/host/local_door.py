"""Answers the durable clients of this process without HTTP; what it answers is what the loopback address answers.

::

    function ──► durable client ──► LocalDoor ──► management, on the host's event loop
    (its own loop or thread)             └── waits there

Source: design of this host; docs/adr/0017-local-clients.md.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from azure.durable_functions.hosting import answer_here, answer_no_more
from yarl import URL

from taskhub.host import routes
from taskhub.host.route_templates import PathRefused, without_dots

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.host.server import Manage

_logger = logging.getLogger("taskhub.host")


class LocalDoor:
    """The loopback address's stand-in. Made on the event loop on which the management API is answered.

    Args:
        port: of that address.
        manage: answers the management API.
    """

    def __init__(self, port: int, manage: Manage) -> None:
        self._origin = f"http://127.0.0.1:{port}"
        self._manage = manage
        self._loop = asyncio.get_running_loop()

    def open(self) -> None:
        """Begin to answer."""
        answer_here(self._origin, self)

    def close(self) -> None:
        """Leave clients to HTTP again."""
        answer_no_more(self._origin)

    async def __call__(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> tuple[int, str]:
        """Answer one request; see :class:`azure.durable_functions.hosting.Answers`.

        A caller who is cancelled does not break off what is being done, as one who closes a connection does not.
        """
        address = URL(url)  # as an HTTP client sends it
        try:
            raw = without_dots(address.raw_path)
        except PathRefused:
            return 400, ""
        base = routes.base_for_clients(raw)
        if base is None:
            return 404, ""
        query = address.raw_query_string
        is_left = False
        request = routes.Request(
            method=method,
            origin=self._origin,
            path=raw[len(base) :],
            query=query,
            url=f"{self._origin}{raw}?{query}" if query else self._origin + raw,
            headers=headers,
            body=body,
            is_abandoned=lambda: is_left,
        )
        answering = asyncio.run_coroutine_threadsafe(self._answer(request), self._loop)
        try:
            return await asyncio.shield(asyncio.wrap_future(answering))
        except asyncio.CancelledError:
            is_left = True
            if answering.cancelled():
                raise ConnectionAbortedError(f"the host at {self._origin} has stopped") from None
            raise

    async def _answer(self, request: routes.Request) -> tuple[int, str]:
        try:
            answer = await self._manage(request)
        except Exception:
            _logger.exception("%s %s was not answered", request.method, request.path)
            return 500, ""
        return answer.status, answer.body or ""
