"""The built-in HTTP activity: sends what :mod:`taskhub.host.http_calls` has read, on one session for all calls."""

from __future__ import annotations

import asyncio
import io
import logging
import os
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from taskhub.host.http_calls import (
    DEFAULT_TIMEOUT_SECONDS,
    MAX_REDIRECTS,
    MAX_RESPONSE_BYTES,
    REQUEST,
    HttpCallFailed,
    answer,
    network_failure,
    read_call,
    redirected,
    timed_out,
)
from taskhub.host.http_tokens import Tokens
from taskhub.host.version import package_version
from taskhub.runtime.application import ActivityFailed, ActivitySucceeded

if TYPE_CHECKING:
    from taskhub.host.http_calls import HttpCall

MAX_CONNECTIONS = 100
_PIECE_BYTES = 64 * 1024

_logger = logging.getLogger("taskhub.http")


class HttpActivity:
    """Makes the requests of ``call_http``. Belongs to one event loop, where it opens its session with the first call.

    Args:
        tokens: where bearer tokens come from; closed with it.
        max_response_bytes: beyond which an answer fails the activity.
    """

    def __init__(self, tokens: Tokens | None = None, *, max_response_bytes: int = MAX_RESPONSE_BYTES) -> None:
        self._tokens = tokens or Tokens()
        self._max_response_bytes = max_response_bytes
        self._session: aiohttp.ClientSession | None = None
        # Not .NET's name: servers that look at it should know whom they have before them.
        self._product = f"durable-taskhub/{package_version()}"

    def __repr__(self) -> str:
        return f"<HttpActivity, {'closed' if self._session is None else 'open'}>"

    async def run(self, payload: str | None) -> ActivitySucceeded | ActivityFailed:
        """Make the request in the input of an activity; what goes wrong with it is a failure of the activity."""
        try:
            return ActivitySucceeded(await self._run(read_call(payload)))
        except HttpCallFailed as error:
            return ActivityFailed(error.reason, error.details())

    async def aclose(self) -> None:
        """Close the session and the credentials."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._tokens.aclose()

    async def _run(self, call: HttpCall) -> str:
        limit = DEFAULT_TIMEOUT_SECONDS if call.timeout_seconds is None else call.timeout_seconds
        try:
            return await asyncio.wait_for(self._follow(call), None if limit == float("inf") else limit)
        except asyncio.TimeoutError:
            raise timed_out(call.timeout_seconds) from None

    async def _follow(self, call: HttpCall) -> str:
        if call.token is not None:
            call = await self._with_token(call)
        for number in range(MAX_REDIRECTS + 1):
            _logger.debug("sending %s", call.described(), extra={"event": "http_call"})
            with _translated(call):
                async with self._open().request(
                    call.method,
                    URL(call.url, encoded=True),
                    headers=self._headers(call),
                    # A large body as a file: as bytes it would keep the event loop.
                    data=None if call.body is None else io.BytesIO(call.body),
                    proxy=_proxy_for(call.url),
                    skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                    allow_redirects=False,
                ) as response:
                    onward = redirected(call, response.status, response.headers.get("Location"))
                    if onward is None or number == MAX_REDIRECTS:
                        headers = [(name, value) for name, value in response.headers.items()]
                        body = await self._read(response)
                        return answer(call, response.status, headers, body, response.charset)
            call = onward
        raise AssertionError("the loop ends with an answer")

    async def _with_token(self, call: HttpCall) -> HttpCall:
        if call.token is None:
            return call
        bearer = await self._tokens.get(call.token)
        others = tuple((name, value) for name, value in call.headers if name.lower() != "authorization")
        return replace(call, headers=(*others, ("Authorization", f"Bearer {bearer}")))

    def _headers(self, call: HttpCall) -> list[tuple[str, str]]:
        agents = [value for name, value in call.headers if name.lower() == "user-agent"]
        others = [(name, value) for name, value in call.headers if name.lower() != "user-agent"]
        return [*others, ("User-Agent", " ".join([*agents, self._product]))]

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        pieces = bytearray()
        async for piece in response.content.iter_chunked(_PIECE_BYTES):
            pieces += piece
            if len(pieces) > self._max_response_bytes:
                raise HttpCallFailed(
                    f"The response is larger than {self._max_response_bytes} bytes, the most that call_http takes. "
                    "Fetch it in an activity, and return where it lies.",
                    REQUEST,
                )
        return bytes(pieces)

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=MAX_CONNECTIONS),
                # No memory of cookies: one orchestration must not see another's.
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                trust_env=False,
            )
        return self._session


class _translated:
    """Turns what the client raises into failures in .NET's words."""

    def __init__(self, call: HttpCall) -> None:
        self._call = call

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, aiohttp.ClientSSLError):
            raise HttpCallFailed(
                f"The SSL connection could not be established, see inner exception. {error}", REQUEST, cause=str(error)
            ) from error
        if isinstance(error, aiohttp.ClientConnectorError):
            cause = error.os_error
            text = cause.strerror if isinstance(cause.strerror, str) else None
            if cause.errno is not None and cause.errno > 0:
                text = os.strerror(cause.errno)
            raise network_failure(text or str(cause), error.host, error.port) from error
        if isinstance(error, aiohttp.ClientPayloadError):
            raise HttpCallFailed(f"Error while copying content to a stream. {error}", REQUEST) from error
        if isinstance(error, (aiohttp.ClientError, OSError, ValueError)):
            raise HttpCallFailed(
                f"An error occurred while sending the request. {error or type(error).__name__}", REQUEST
            ) from error


def _proxy_for(url: str) -> str | None:
    """Return the proxy that the environment names for a URL, as .NET's client finds it."""
    target = URL(url, encoded=True)
    if target.host is None or proxy_bypass(target.host):
        return None
    return getproxies().get(target.scheme)
