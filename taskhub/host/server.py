"""The HTTP doors of the host, on aiohttp: functions and webhooks on the main port, the durable client's on loopback.

Which path leads where: ``/runtime/webhooks/durabletask/…`` to the management API, ``eventgrid`` and ``blobs`` beside it
to functions that Event Grid starts, ``/admin/…`` to the host's own answers, all other paths to HTTP functions, ``/``
without one to the landing page. On its way a request is refused when its path or its host make no sense, when it has no
key where it needs one, or when there are too many.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import random
import re
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from taskhub.errors import ConfigurationError
from taskhub.host import routes
from taskhub.host.http_admin import ADMIN_PATH, OPEN_PATHS
from taskhub.host.http_admission import Admission, TooManyRequests
from taskhub.host.http_functions import HttpRequest
from taskhub.host.http_keys import DURABLE_KEY, Access, system_key_of
from taskhub.host.http_options import HttpOptions
from taskhub.host.place import NOTHING_TO_SAY, Place, is_invocation
from taskhub.host.route_templates import PathRefused, decode_path, without_dots
from taskhub.host.server_limits import NO_LIMITS, BodyRefused, ConnectionWatch, Limits, read_body
from taskhub.host.server_streams import StreamExchange
from taskhub.host.triggers.event_grid import BLOBS, EVENT_GRID

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.http_cors import Cors
    from taskhub.host.http_functions import HttpFunctions, HttpResponse
    from taskhub.host.http_keys import KeyStore
    from taskhub.host.triggers.event_grid import EventGrid

    Manage = Callable[[routes.Request], Awaitable[routes.Response]]
    Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

logger = logging.getLogger(__name__)

LOOPBACK = "127.0.0.1"
_RPC_PORT = 17071
_RPC_RANDOM_PORTS = range(30_000, 31_000)
_RPC_ATTEMPTS = 10
_BACKLOG = 1024
_CUT_OFF_SECONDS = 0.1
_SERVER = "taskhub"
_SWEEP_SECONDS = 1.0
_MAX_HEADERS = 100
_HOST = re.compile(r"([A-Za-z0-9._~\-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?")
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
        limits: what clients may not do; what bodies may hold is up to the handler.
    """

    def __init__(self, sockets: Sequence[socket.socket], handler: Handler, *, limits: Limits = NO_LIMITS) -> None:
        self._sockets = sockets
        self._handler = handler
        self._loop = asyncio.get_running_loop()
        self._watch = ConnectionWatch(limits)
        self._server = _Server(self._watch, self._answer, self._loop)
        # The grace period is the listener's own affair, so that what is left then is cut off at once.
        self._runner = web.ServerRunner(self._server, shutdown_timeout=_CUT_OFF_SECONDS)
        self._sweeping: asyncio.TimerHandle | None = None
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
        self._sweep()

    async def stop(self, *, grace_seconds: float) -> None:
        """Take no more connections, let running requests finish within the grace period, close."""
        for site in list(self._runner.sites):
            await site.stop()
        self._server.pre_shutdown()
        if grace_seconds > 0:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._idle.wait(), grace_seconds)
        if self._sweeping is not None:
            self._sweeping.cancel()
        await self._runner.cleanup()

    def _sweep(self) -> None:
        self._watch.sweep(self._loop.time())
        self._sweeping = self._loop.call_later(_SWEEP_SECONDS, self._sweep)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self._requests += 1
        self._idle.clear()
        self._watch.asked(request.protocol)
        try:
            return await self._handler(request)
        except BodyRefused as error:
            return _closing(error.status)
        except Exception:
            # The path only: keys travel in the query.
            logger.exception("%s %s was not answered", request.method, request.rel_url.raw_path)
            return _empty(500)
        finally:
            self._watch.answered(request.protocol, self._loop.time())
            self._requests -= 1
            if not self._requests:
                self._idle.set()


class _Server(web.Server):
    """aiohttp's server, set up for functions, which tells a watch about its connections."""

    def __init__(self, watch: ConnectionWatch, handler: Handler, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            handler,
            access_log=None,
            # Functions get the body as it was sent, Content-Encoding included.
            auto_decompress=False,
            max_line_size=16_384,
            max_field_size=32_768,
            max_headers=_MAX_HEADERS,
            logger=_refusals(),
        )
        self._watch = watch
        self._clock = loop.time

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """See the base class."""
        super().connection_made(handler, transport)
        self._watch.opened(handler, transport, self._clock())

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """See the base class."""
        super().connection_lost(handler, exc)
        self._watch.closed(handler)


def _refusals() -> logging.Logger:
    """Return where aiohttp says that it refused what is no HTTP.

    What a stranger sends is no error of this host, and must not get into its log, where a stranger's noise would bury
    the rest: one quiet line without the request, which may hold a key.
    """
    refusals = logging.getLogger(f"{__name__}.refused")
    if not refusals.filters:
        refusals.addFilter(_without_the_request)
    return refusals


def _without_the_request(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
    if isinstance(error, HttpProcessingError):
        record.levelno, record.levelname = logging.INFO, "INFO"
        record.msg, record.args = "a request was refused: %s", (type(error).__name__,)
        record.exc_info = record.exc_text = None
    return True


def bind_main_port(port: int, address: str = LOOPBACK) -> list[socket.socket]:
    """Bind an address; for the loopback address that of IPv6 too. Port 0 takes any free one.

    Raises:
        ConfigurationError: it is no address of this machine, or another process listens there.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        first = _bind(family, address, port)
    except OSError as error:
        if not _is_own(address):
            raise ConfigurationError(
                f"'{address}' is no address of this machine. Listen on 127.0.0.1 for requests of this machine only, on "
                "0.0.0.0 for those of all others too."
            ) from error
        raise ConfigurationError(
            f"Port {port} is unavailable. Close the process using that port, or specify another port using --port."
        ) from error
    bound = [first]
    if socket.has_ipv6 and address == LOOPBACK:
        try:
            # `localhost` means this address to many clients, and a function's URL is shown with that name.
            bound.append(_bind(socket.AF_INET6, "::1", first.getsockname()[1]))
        except OSError:
            logger.info("[::1] is not available; listening on 127.0.0.1 only")
    return bound


def is_loopback(address: str) -> bool:
    """Return whether only this machine can reach an address."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.lower() == "localhost"


def _is_own(address: str) -> bool:
    try:
        _bind(socket.AF_INET6 if ":" in address else socket.AF_INET, address, 0).close()
    except OSError:
        return False
    return True


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


@dataclass(frozen=True, slots=True)
class DoorOptions:
    """How the main port treats requests."""

    http: HttpOptions = field(default_factory=HttpOptions)
    cors: Cors | None = None
    """``None``: browsers keep answers from pages of other origins."""
    keys: KeyStore | None = None
    """``None``: nobody needs a key."""
    limits: Limits = NO_LIMITS
    landing_page: bool = True
    """Show one at ``/``."""
    place: Place = field(default_factory=Place)
    """Where the management API is, and how URLs begin."""


class MainDoor:
    """Answers the requests of the main port.

    Args:
        functions: the HTTP functions of the app.
        manage: answers the management API.
        admin: answers what is below ``/admin``.
        options: how requests are treated.
        events: answers what Event Grid posts; ``None``: nobody does.
    """

    def __init__(
        self,
        functions: HttpFunctions,
        manage: Manage,
        admin: Manage,
        options: DoorOptions | None = None,
        *,
        events: EventGrid | None = None,
    ) -> None:
        self._functions = functions
        self._manage = manage
        self._admin = admin
        self._options = options or DoorOptions()
        self._webhook = self._options.place.webhook_path.lower()
        self._events = events
        self._event_paths = {f"{self._webhook.rpartition('/')[0]}/{name}": name for name in (EVENT_GRID, BLOBS)}
        http = self._options.http
        self._admission = Admission(http.max_concurrent_requests, http.max_outstanding_requests)

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        cors = self._options.cors
        if cors is not None and cors.is_preflight(request.method, lowered := _headers(request)):
            return self._finished(request, _empty(204, cors.preflight(lowered)))
        return self._finished(request, await self._answer(request))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        place = self._options.place
        try:
            raw, origin = without_dots(request.rel_url.raw_path), place.public_origin or _origin(request)
        except PathRefused:
            return _empty(400)
        lower = raw.lower()
        if _is_below(lower, self._webhook):
            if not self._is_allowed(request, Access.SYSTEM):
                return _empty(401)
            return await _managed(request, raw, origin, self._manage, place.webhook_path, self._options.limits)
        extension = self._event_paths.get(lower.rstrip("/"))
        if self._events is not None and extension is not None:
            return await self._posted(request, extension, self._events)
        if _is_below(lower, ADMIN_PATH):
            if lower.rstrip("/") not in OPEN_PATHS and not self._is_allowed(request, Access.ADMIN):
                return _empty(401)
            return await _managed(request, raw, origin, self._admin, ADMIN_PATH, self._options.limits)
        if lower.startswith("/runtime/"):
            return _empty(404)
        path = decode_path(raw)
        found = self._functions.find(request.method, path)
        if found is None:
            if place.is_custom_handler and is_invocation(request.method, path, request.headers):
                return web.json_response(NOTHING_TO_SAY)
            return self._landing(request.method, path)
        plan, values = found
        if not self._is_allowed(request, self._functions.access_of(plan), plan.function.name):
            return _empty(401)
        try:
            async with self._admission.one():
                call = self._stream if plan.is_streamed else self._call
                return await call(plan, request, origin + raw, values)
        except TooManyRequests:
            return _empty(429)

    async def _call(
        self, plan: CallPlan, request: web.BaseRequest, url: str, values: Mapping[str, str]
    ) -> web.StreamResponse:
        body = await read_body(request, self._options.limits)
        answer = await self._functions.call(plan, _function_request(request, url, body), values)
        return _response_of(answer)

    async def _posted(self, request: web.BaseRequest, extension: str, events: EventGrid) -> web.StreamResponse:
        if not self._is_allowed(request, Access.SYSTEM, system_key=system_key_of(extension)):
            return _empty(401)
        function = routes.Query(request.rel_url.raw_query_string).text("functionName") or ""
        body = await read_body(request, self._options.limits)
        return _response_of(await events.answer(extension, function, request.method, _headers(request), body))

    async def _stream(
        self, plan: CallPlan, request: web.BaseRequest, url: str, values: Mapping[str, str]
    ) -> web.StreamResponse:
        exchange = StreamExchange(request, self._options.limits, finished=lambda made: self._finished(request, made))
        await self._functions.stream(plan, _function_request(request, url, b""), values, exchange)
        return exchange.close()

    def _is_allowed(
        self,
        request: web.BaseRequest,
        access: Access,
        function: str | None = None,
        *,
        system_key: str = DURABLE_KEY,
    ) -> bool:
        keys = self._options.keys
        if keys is None or access is Access.ANONYMOUS:
            return True
        presented = request.headers.get("x-functions-key") or routes.Query(request.rel_url.raw_query_string).text(
            "code"
        )
        return keys.allows(presented, access, function, system_key=system_key)

    def _landing(self, method: str, path: str) -> web.Response:
        if path or method not in ("GET", "HEAD"):
            return _empty(404)
        if not self._options.landing_page:
            return _empty(204)
        return web.Response(body=_LANDING_PAGE.encode(), content_type="text/html", charset="utf-8")

    def _finished(self, request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
        """Add the headers that every answer gets; what a function set itself stays."""
        if response.prepared:  # a stream, which had them before it began
            return response
        options, headers = self._options, response.headers
        headers["Server"] = _SERVER
        for name, value in options.http.headers.items():
            headers.setdefault(name, value)
        if options.cors is not None and "Access-Control-Allow-Origin" not in headers:
            for name, value in options.cors.headers(_headers(request)).items():
                headers.add(name, value)
        if options.http.strict_transport and request.headers.get("X-Forwarded-Proto", "").lower() == "https":
            headers.setdefault("Strict-Transport-Security", options.http.strict_transport)
        return response


class RpcDoor:
    """Answers the durable client of this process on the loopback address.

    Args:
        manage: answers the management API.
    """

    def __init__(self, manage: Manage) -> None:
        self._manage = manage

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        if "Origin" in request.headers:
            # A page in a browser of this machine; no durable client sends it, and no key protects this door.
            return _signed(_empty(403))
        try:
            raw, origin = without_dots(request.rel_url.raw_path), _origin(request)
        except PathRefused:
            return _signed(_empty(400))
        base = routes.base_for_clients(raw)
        if base is None:
            return _signed(_empty(404))
        return _signed(await _managed(request, raw, origin, self._manage, base, NO_LIMITS))


async def _managed(
    request: web.BaseRequest, raw: str, origin: str, manage: Manage, base: str, limits: Limits
) -> web.Response:
    query = request.rel_url.raw_query_string
    answer = await manage(
        routes.Request(
            method=request.method,
            origin=origin,
            path=raw[len(base) :],
            query=query,
            url=f"{origin}{raw}?{query}" if query else origin + raw,
            headers=_headers(request),
            body=await read_body(request, limits),
            is_abandoned=lambda: request.transport is None or request.transport.is_closing(),
        )
    )
    if answer.body is None:
        return _empty(answer.status, answer.headers)
    response = web.Response(status=answer.status, body=answer.body.encode(), headers=dict(answer.headers))
    response.headers["Content-Type"] = answer.content_type or ""
    return response


def _response_of(answer: HttpResponse) -> web.Response:
    response = web.Response(status=answer.status, body=answer.body)
    for name, value in answer.headers:
        response.headers.add(name, value)
    return response


def _function_request(request: web.BaseRequest, url: str, body: bytes) -> HttpRequest:
    query = request.rel_url.raw_query_string
    return HttpRequest(
        method=request.method,
        url=f"{url}?{query}" if query else url,
        query=query,
        headers=_headers(request),
        body=body,
    )


def _is_below(path: str, base: str) -> bool:
    return path.startswith(base) and path[len(base) :][:1] in ("", "/")


def _origin(request: web.BaseRequest) -> str:
    """Return scheme and authority as the client wrote them.

    Raises:
        PathRefused: the host is none, or there are two.
    """
    hosts = request.headers.getall("Host", ())
    if len(hosts) == 1 and _HOST.fullmatch(hosts[0]):
        return f"{request.scheme}://{hosts[0]}"
    if not hosts and request.version < (1, 1):
        return f"{request.scheme}://localhost"
    raise PathRefused


def _headers(request: web.BaseRequest) -> Mapping[str, str]:
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        key = name.lower()
        headers[key] = f"{headers[key]},{value}" if key in headers else value
    return headers


def _empty(status: int, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, headers=dict(headers or {}))


def _closing(status: int) -> web.Response:
    """Return an answer after which the connection is closed: what is left of the request is not read."""
    response = _signed(_empty(status))
    response.force_close()
    return response


def _signed(response: web.Response) -> web.Response:
    response.headers["Server"] = _SERVER
    return response
