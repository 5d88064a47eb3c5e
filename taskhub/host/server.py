"""The HTTP doors of the host, on aiohttp: functions and webhooks on the main port, the durable client's on loopback.

Which path leads where: ``/runtime/webhooks/durabletask/…`` to the management API, ``/admin/…`` to the host's own
answers, all other paths to HTTP functions, ``/`` without one to the landing page.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import socket
from typing import TYPE_CHECKING, Any

from aiohttp import web

from taskhub.errors import ConfigurationError
from taskhub.host import routes
from taskhub.host.http_functions import HttpRequest
from taskhub.host.route_templates import decode_path

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from taskhub.host.http_functions import HttpFunctions

    Manage = Callable[[routes.Request], Awaitable[routes.Response]]
    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 104_857_600
"""100 MB, the original's limit for HTTP functions."""

_RPC_PORT = 17071
_RPC_RANDOM_PORTS = range(30_000, 31_000)
_RPC_ATTEMPTS = 10
_BACKLOG = 1024
_CUT_OFF_SECONDS = 0.1
_SERVER = "taskhub"
_LANDING_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Your Azure Function App is up and running.</title>
<style>body{font-family:system-ui,sans-serif;max-width:40em;margin:6em auto;padding:0 1em;line-height:1.6}</style>
</head><body><h1>Your Azure Function App is up and running.</h1>
<p>Its functions answer at the URLs that the console lists.</p></body></html>
"""


class Listener:
    """One listening server.

    Args:
        sockets: bound and listening.
        handler: answers requests.
        max_body_bytes: larger bodies are refused; 0: no limit.
    """

    def __init__(self, sockets: Sequence[socket.socket], handler: Handler, *, max_body_bytes: int) -> None:
        self._sockets = sockets
        self._handler = handler
        self._max_body_bytes = max_body_bytes
        self._loop = asyncio.get_running_loop()
        self._server = web.Server(
            self._answer,
            request_factory=self._request,
            access_log=None,
            # Functions get the body as it was sent, Content-Encoding included.
            auto_decompress=False,
            max_line_size=16_384,
            max_field_size=32_768,
        )
        # The grace period is the listener's own affair, so that what is left then is cut off at once.
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_CUT_OFF_SECONDS)
        self._requests = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self.port: int = sockets[0].getsockname()[1]

    def __repr__(self) -> str:
        return f"<Listener on port {self.port}, {self._requests} requests>"

    async def start(self) -> None:
        """Begin to answer; what connected before is answered now."""
        await self._runner.setup()
        for bound in self._sockets:
            await web.SockSite(self._runner, bound, backlog=_BACKLOG).start()

    async def stop(self, *, grace_seconds: float) -> None:
        """Take no more connections, let running requests finish within the grace period, close."""
        for site in list(self._runner.sites):
            await site.stop()
        self._server.pre_shutdown()
        if grace_seconds > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_seconds)
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._requests += 1
        self._idle.clear()
        try:
            return await self._handler(request)
        except web.HTTPRequestEntityTooLarge:
            return _empty(413)
        except Exception:
            logger.exception("%s %s was not answered", request.method, request.path)
            return _empty(500)
        finally:
            self._requests -= 1
            if not self._requests:
                self._idle.set()

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> web.BaseRequest:
        return web.BaseRequest(
            message, payload, protocol, writer, task, self._loop, client_max_size=self._max_body_bytes
        )


def bind_main_port(port: int) -> list[socket.socket]:
    """Bind the loopback addresses of both families; 0 takes any free port.

    Raises:
        ConfigurationError: another process listens there.
    """
    try:
        first = _bind(socket.AF_INET, "127.0.0.1", port)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} is unavailable. Close the process using that port, or specify another port using --port."
        ) from error
    bound = [first]
    if socket.has_ipv6:
        try:
            # `localhost` means this address to many clients, and a function's URL is shown with that name.
            bound.append(_bind(socket.AF_INET6, "::1", first.getsockname()[1]))
        except OSError:
            logger.info("[::1] is not available; listening on 127.0.0.1 only")
    return bound


def bind_rpc_port() -> socket.socket:
    """Bind the durable client's door: port 17071, else one of 30000 to 30999.

    Raises:
        ConfigurationError: none of ten attempts found a free port.
    """
    ports = [_RPC_PORT, *random.sample(_RPC_RANDOM_PORTS, _RPC_ATTEMPTS - 1)]
    for port in ports:
        with contextlib.suppress(OSError):
            return _bind(socket.AF_INET, "127.0.0.1", port)
        logger.info("port %s is not available for the durable client", port)
    raise ConfigurationError(
        f"No port could be found for the durable client: {_RPC_ATTEMPTS} attempts failed. "
        f"Free port {_RPC_PORT}, or some of 30000 to 30999."
    )


def _bind(family: socket.AddressFamily, address: str, port: int) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind((address, port))
        # Two sockets may share a port as long as neither listens, so only this tells whether the port is ours.
        bound.listen(_BACKLOG)
    except OSError:
        bound.close()
        raise
    return bound


# ---- the main port


class MainDoor:
    """Answers the requests of the main port.

    Args:
        functions: the HTTP functions of the app.
        manage: answers the management API.
        host_status: makes the body of ``/admin/host/status``.
        landing_page: show one at ``/``.
    """

    def __init__(
        self,
        functions: HttpFunctions,
        manage: Manage,
        host_status: Callable[[], Mapping[str, Any]],
        *,
        landing_page: bool = True,
    ) -> None:
        self._functions = functions
        self._manage = manage
        self._host_status = host_status
        self._landing_page = landing_page

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        raw = request.rel_url.raw_path
        lower = raw.lower()
        if lower.startswith(routes.WEBHOOK_PATH) and lower[len(routes.WEBHOOK_PATH) :][:1] in ("", "/"):
            return await _managed(request, self._manage, routes.WEBHOOK_PATH)
        if lower.startswith(("/runtime/", "/admin/")):
            return self._admin(request.method, lower.rstrip("/"))
        path = decode_path(raw)
        found = self._functions.find(request.method, path)
        if found is None:
            return self._landing(request.method, path)
        plan, values = found
        answer = await self._functions.call(plan, await _http_request(request), values)
        response = web.Response(status=answer.status, body=answer.body)
        for name, value in answer.headers:
            response.headers.add(name, value)
        return _signed(response)

    def _admin(self, method: str, path: str) -> web.StreamResponse:
        if method == "GET" and path == "/admin/host/status":
            body = {key: value for key, value in self._host_status().items() if value is not None}
            return _signed(
                web.Response(body=json.dumps(body).encode(), content_type="application/json", charset="utf-8")
            )
        if method in ("GET", "POST") and path == "/admin/host/ping":
            return _empty(200)
        return _empty(404)

    def _landing(self, method: str, path: str) -> web.StreamResponse:
        if path or method not in ("GET", "HEAD"):
            return _empty(404)
        if not self._landing_page:
            return _empty(204)
        return _signed(web.Response(body=_LANDING_PAGE.encode(), content_type="text/html", charset="utf-8"))


class RpcDoor:
    """Answers the durable client of this process on the loopback address.

    Args:
        manage: answers the management API.
    """

    def __init__(self, manage: Manage) -> None:
        self._manage = manage

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        raw = request.rel_url.raw_path.lower()
        for base in (routes.RPC_PATH, routes.WEBHOOK_PATH):
            if raw.startswith(base + "/"):
                return await _managed(request, self._manage, base)
        return _empty(404)


async def _managed(request: web.BaseRequest, manage: Manage, base: str) -> web.StreamResponse:
    raw_url = request.raw_path
    answer = await manage(
        routes.Request(
            method=request.method,
            origin=_origin(request),
            path=request.rel_url.raw_path[len(base) :],
            query=request.rel_url.raw_query_string,
            url=_origin(request) + raw_url,
            headers=_headers(request),
            body=await request.read(),
        )
    )
    if answer.body is None:
        return _empty(answer.status, answer.headers)
    response = web.Response(status=answer.status, body=answer.body.encode(), headers=dict(answer.headers))
    response.headers["Content-Type"] = answer.content_type or ""
    return _signed(response)


async def _http_request(request: web.BaseRequest) -> HttpRequest:
    return HttpRequest(
        method=request.method,
        url=_origin(request) + request.raw_path,
        query=request.rel_url.raw_query_string,
        headers=_headers(request),
        body=await request.read(),
    )


def _origin(request: web.BaseRequest) -> str:
    return f"{request.scheme}://{request.host}"


def _headers(request: web.BaseRequest) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _empty(status: int, headers: Mapping[str, str] | None = None) -> web.StreamResponse:
    return _signed(web.Response(status=status, headers=dict(headers or {})))


def _signed(response: web.StreamResponse) -> web.StreamResponse:
    response.headers["Server"] = _SERVER
    return response
