"""A network and a service that fail, in front of a real emulator: an HTTP proxy that answers some requests itself.

What strikes which request is drawn from a seed; a request may be refused as by a busy service, cut off before or after
it reached the emulator, or answered late.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections import Counter
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

_HOP_BY_HOP = ("host", "connection", "transfer-encoding", "content-length", "keep-alive")
_ENDPOINT = re.compile(r"(Blob|Queue|Table)Endpoint=(http://127\.0\.0\.1:\d+)/")
_BUSY = b"<?xml version='1.0'?><Error><Code>ServerBusy</Code><Message>The server is busy.</Message></Error>"


class Trouble:
    """What strikes requests.

    Args:
        seed: of the draws.
        rates: how often each kind strikes, as a share of all requests: ``busy``, ``broken``, ``cut_before``,
            ``cut_after``, ``slow``.
        service: ``Blob``, ``Queue`` or ``Table`` when only one of them is struck.
    """

    def __init__(self, seed: int, rates: Mapping[str, float], *, service: str | None = None) -> None:
        self.rates = dict(rates)
        self.service = service
        self.struck: Counter[str] = Counter()
        self.retry_after_seconds = 1
        self.slow_seconds = 0.5
        self._random = random.Random(seed)

    def draw(self, service: str) -> str:
        """Return what strikes the next request of a service, ``none`` mostly."""
        if self.service not in (None, service):
            return "none"
        point = self._random.random()
        kind = "none"
        for name, rate in self.rates.items():
            point -= rate
            if point < 0:
                kind = name
                break
        self.struck[kind] += 1
        return kind


@contextlib.asynccontextmanager
async def troubled(connection_string: str, trouble: Trouble) -> AsyncIterator[str]:
    """Put the proxy in front of an emulator; give the connection string that goes through it."""
    runners: list[web.AppRunner] = []
    async with aiohttp.ClientSession(auto_decompress=False) as session:
        through = connection_string
        try:
            for service, target in _ENDPOINT.findall(connection_string):
                runner = web.AppRunner(_application(session, service, target, trouble), access_log=None)
                runners.append(runner)
                await runner.setup()
                site = web.TCPSite(runner, "127.0.0.1", 0)
                await site.start()
                port = runner.addresses[0][1]
                through = through.replace(f"{service}Endpoint={target}/", f"{service}Endpoint=http://127.0.0.1:{port}/")
            yield through
        finally:
            for runner in runners:
                await runner.cleanup()


def _application(session: aiohttp.ClientSession, service: str, target: str, trouble: Trouble) -> web.Application:
    async def handle(request: web.Request) -> web.StreamResponse:
        kind = trouble.draw(service)
        body = await request.read()
        if kind == "busy":
            headers = {"Retry-After": str(trouble.retry_after_seconds), "x-ms-error-code": "ServerBusy"}
            return web.Response(status=503, headers=headers, body=_BUSY, content_type="application/xml")
        if kind == "broken":
            return web.Response(status=500)
        if kind == "cut_before":
            return _cut(request)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP_BY_HOP}
        # As it came, percent-encoded: it is part of what is signed.
        url = _as_it_is(target + request.raw_path)
        async with session.request(
            request.method,
            url,
            headers=headers,
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Content-Type", "User-Agent", "Accept", "Accept-Encoding"),
        ) as answer:
            content = await answer.read()
            kept = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP_BY_HOP}
            if kind == "cut_after":
                return _cut(request)
            if kind == "slow":
                await asyncio.sleep(trouble.slow_seconds)
            return web.Response(status=answer.status, headers=kept, body=content)

    application = web.Application(client_max_size=64 * 1024 * 1024)
    application.router.add_route("*", "/{path:.*}", handle)
    return application


def _as_it_is(url: str) -> aiohttp.typedefs.StrOrURL:
    from yarl import URL

    return URL(url, encoded=True)


def _cut(request: web.Request) -> web.Response:
    """Cut the connection, as a reset does, in place of an answer."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
