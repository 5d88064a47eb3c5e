"""The three requests of the durable client: to a host in this process a call, else HTTP on one session per event loop.

A session belongs to the loop that made it. One for the whole process would be dead after the first ``asyncio.run``
of a test or a script, and would be used across threads by blocking clients; so each loop has its own, and loses it
when the loop ends (see ``_lifetime``). ``aiohttp`` is imported by the first request, not with the package.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from azure.durable_functions.hosting import answers_to

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from aiohttp import ClientSession

_TOTAL_SECONDS = 240.0
_CONNECT_SECONDS = 10.0
_CONNECTIONS = 30

_sessions: dict[asyncio.AbstractEventLoop, tuple[AsyncGenerator[ClientSession, None], ClientSession]] = {}


async def post_async_request(
    url: str,
    data: Any = None,
    trace_parent: str | None = None,
    trace_state: str | None = None,
    function_invocation_id: str | None = None,
) -> list[Any]:
    """Send a POST request.

    Args:
        url: absolute address.
        data: body, sent as JSON (so text is quoted); ``None`` sends no body.
        trace_parent: value of the header ``traceparent``.
        trace_state: value of the header ``tracestate``.
        function_invocation_id: value of the header ``X-Azure-Functions-InvocationId``.

    Returns:
        ``[status, body]``; the body is decoded JSON whatever its content type, ``None`` when it is empty, and text
        when an error's body is no JSON.

    Raises:
        aiohttp.ClientError: the host cannot be reached, or the connection broke.
        ConnectionError: the host, in this process, has stopped.
        asyncio.TimeoutError: no connection within 10 s, or no answer within 240 s.
        json.JSONDecodeError: the body of a success is no JSON.
    """
    headers = _headers(function_invocation_id)
    if trace_parent:
        headers["traceparent"] = trace_parent
    if trace_state:
        headers["tracestate"] = trace_state
    return _decoded(*await _ask("POST", url, headers, data))


async def get_async_request(url: str, function_invocation_id: str | None = None) -> list[Any]:
    """Send a GET request.

    Args and errors as for :func:`post_async_request`.

    Returns:
        ``[status, body]`` as there, but ``""`` for an empty body.
    """
    return _decoded(*await _ask("GET", url, _headers(function_invocation_id)), empty="")


async def delete_async_request(url: str, function_invocation_id: str | None = None) -> list[Any]:
    """Send a DELETE request.

    Args, answer and errors as for :func:`post_async_request`.
    """
    return _decoded(*await _ask("DELETE", url, _headers(function_invocation_id)))


def _headers(function_invocation_id: str | None) -> dict[str, str]:
    return {"X-Azure-Functions-InvocationId": function_invocation_id} if function_invocation_id else {}


async def _ask(method: str, url: str, headers: dict[str, str], data: Any = None) -> tuple[int, str]:
    """Return status and body of the answer to a request; ``data`` is sent as JSON, ``None`` as no body."""
    answers = answers_to(url)
    if answers is None:
        session = await _session()
        async with session.request(method, url, json=data, headers=headers) as response:
            return response.status, await response.text()
    lowered = {name.lower(): value for name, value in headers.items()}
    body = b""
    if data is not None:
        lowered["content-type"], body = "application/json", json.dumps(data).encode()
    return await asyncio.wait_for(answers(method, url, lowered, body), _TOTAL_SECONDS)


def _decoded(status: int, text: str, empty: str | None = None) -> list[Any]:
    if not text.strip():
        return [status, empty]
    try:
        return [status, json.loads(text)]
    except json.JSONDecodeError:
        # An error page of a proxy: the status says more than "expecting value" would.
        if status >= 400:
            return [status, text]
        raise


async def _session() -> ClientSession:
    """Return the running loop's session, made on first use."""
    loop = asyncio.get_running_loop()
    kept = _sessions.get(loop)
    if kept is not None and not kept[1].closed:
        return kept[1]
    for ended in [known for known in _sessions if known.is_closed()]:
        del _sessions[ended]  # a loop that was closed without closing its generators
    lifetime = _lifetime(loop)
    session = await lifetime.__anext__()
    _sessions[loop] = lifetime, session
    return session


async def _lifetime(loop: asyncio.AbstractEventLoop) -> AsyncGenerator[ClientSession, None]:
    """Hold a session until the loop ends.

    ``asyncio.run`` and its like close the asynchronous generators that a loop has begun, before they close the loop:
    the one moment at which a session can be closed in its own loop without its users having to do it.
    """
    from aiohttp import ClientSession, ClientTimeout, TCPConnector

    session = ClientSession(
        connector=TCPConnector(limit=_CONNECTIONS),
        timeout=ClientTimeout(total=_TOTAL_SECONDS, connect=_CONNECT_SECONDS),
    )
    try:
        yield session
    finally:
        _sessions.pop(loop, None)
        await session.close()
