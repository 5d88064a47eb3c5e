"""Stands between a client and the emulator, and notes what the client sends, byte for byte.

Signatures cover the account and the path but not the host, so that requests pass it as they are.
"""

from __future__ import annotations

import re
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web
from yarl import URL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_HOP = {"host", "connection", "transfer-encoding", "content-length", "keep-alive"}
_ENDPOINT = re.compile(r"(Blob|Queue|Table)Endpoint=http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request."""

    service: str
    """``blob``, ``queue`` or ``table``."""
    method: str
    path: str
    """As it was sent, escaped."""
    query: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes
    status: int


@asynccontextmanager
async def recording_proxy(connection_string: str) -> AsyncIterator[tuple[str, list[Sent]]]:
    """Yield a connection string that leads through the proxy, and what passes it, as it passes."""
    sent: list[Sent] = []
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession(auto_decompress=False))
        through = connection_string
        for service, port in _ENDPOINT.findall(connection_string):
            ours = await _listen(stack, http, service.lower(), int(port), sent)
            through = through.replace(f"127.0.0.1:{port}", f"127.0.0.1:{ours}")
        yield through, sent


async def _listen(stack: AsyncExitStack, http: aiohttp.ClientSession, service: str, port: int, sent: list[Sent]) -> int:
    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        url = URL(f"http://127.0.0.1:{port}{request.raw_path}", encoded=True)
        async with http.request(
            request.method, url, data=body, headers=headers, skip_auto_headers=["Content-Type", "User-Agent", "Accept"]
        ) as answer:
            content = await answer.read()
            path, _, query = request.raw_path.partition("?")
            names = {name.lower(): value for name, value in request.headers.items()}
            sent.append(Sent(service, request.method, path, query, names, body, answer.status))
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            return web.Response(status=answer.status, body=content, headers=kept)

    application = web.Application(client_max_size=2**26)
    application.router.add_route("*", "/{tail:.*}", forward)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port_of_ours: int = runner.addresses[0][1]
    return port_of_ours
