"""HTTP functions that take the request of a web framework and stream: bodies come and go in parts.

An app says so by importing ``azurefunctions.extensions.http.fastapi``. Its application of that framework, with one
route for everything, is called here as any ASGI server calls it, on the loop of coroutine functions, where generators
of answers run too. The framework makes the request, what functions return becomes an answer by its rules, and the
bytes of both cross between the two loops part by part, each waited for: nothing is buffered.

Source: Azure Functions Python worker, http_v2.py, which runs that application behind a server of its own.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import unquote, urlsplit

import azure.functions as func

from taskhub.host.extension_types import extensions
from taskhub.host.failures import describe_failure
from taskhub.host.invoker import InvocationFailed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence

_T = TypeVar("_T")
_CALL = "taskhub.call"
"""Where the scope of a request holds what answers it."""

logger = logging.getLogger(__name__)


class Exchange(Protocol):
    """One request on its connection; everything is called on the loop of the server."""

    @property
    def raw_headers(self) -> Sequence[tuple[bytes, bytes]]:
        """Those of the request, as they came."""

    @property
    def peers(self) -> Mapping[str, tuple[str, int]]:
        """Address and port of ``client`` and ``server``, as far as they are known."""

    @property
    def has_begun(self) -> bool:
        """Whether something of the answer was sent."""

    @property
    def is_gone(self) -> bool:
        """Whether nobody takes the answer any more."""

    async def read(self) -> bytes:
        """Return the next part of the body, empty at its end."""

    async def gone(self) -> None:
        """Return when the client is gone."""

    async def begin(self, status: int, headers: Sequence[tuple[str, str]]) -> None:
        """Send the head of the answer."""

    async def write(self, part: bytes) -> None:
        """Send a part of the body, once the client has taken enough of those before."""

    async def end(self) -> None:
        """Send what ends the answer."""


class WebStreams:
    """Calls the web framework of an app.

    Args:
        beside_functions: runs a coroutine on the loop of coroutine functions.
    """

    def __init__(self, beside_functions: Callable[[Coroutine[Any, Any, None]], Awaitable[None]]) -> None:
        base = extensions()
        if base is None:
            raise RuntimeError("the app has imported no extension of a web framework")
        self._beside_functions = beside_functions
        self._sync_route_params = base.RequestTrackerMeta.get_synchronizer().sync_route_params
        self._response_type = base.ResponseTrackerMeta.get_standard_response_type()
        web_app = importlib.import_module(base.ModuleTrackerMeta.get_module()).WebApp()

        async def answer(request: Any) -> Any:
            return await request.scope[_CALL](request)

        answer.__annotations__["request"] = base.RequestTrackerMeta.get_request_type()
        web_app.route(answer)
        self._app = web_app.get_app()

    async def answer(
        self,
        name: str,
        head: tuple[str, str],
        route_values: Mapping[str, str],
        exchange: Exchange,
        run: Callable[[Any], Coroutine[Any, Any, Any]],
    ) -> None:
        """Answer a request, however it ends.

        Args:
            name: of the function, for the log.
            head: method and URL.
            route_values: of the function's route.
            exchange: where the request came from.
            run: runs the function with the framework's request, on the loop of the caller.
        """
        call = _Call(run, route_values, asyncio.get_running_loop(), self._sync_route_params, self._response_type)
        scope = {**_scope(*head, exchange), _CALL: call}
        try:
            await self._beside_functions(self._run(scope, call, exchange))
        except Exception as error:  # of user code, by way of the framework
            if exchange.is_gone:
                logger.info("The client of Functions.%s went away before it had the whole answer.", name)
            elif error is not call.failure:  # that one the invocation has told
                message, stack = describe_failure(error)
                logger.error("The answer of Functions.%s broke off: %s\n%s", name, message, stack)
        if not exchange.has_begun and not exchange.is_gone:
            await exchange.begin(500, ())
            await exchange.end()

    async def _run(self, scope: dict[str, Any], call: _Call, exchange: Exchange) -> None:
        receive = _Receiver(call, exchange)
        try:
            await self._app(scope, receive, _send(call, exchange))
        finally:
            receive.close()


class _Call:
    """The run of the function for one request; called on the loop of coroutine functions."""

    def __init__(
        self,
        run: Callable[[Any], Coroutine[Any, Any, Any]],
        route_values: Mapping[str, str],
        home: asyncio.AbstractEventLoop,
        sync_route_params: Callable[[Any, Mapping[str, str]], None],
        response_type: Any,
    ) -> None:
        self._run = run
        self._route_values = route_values
        self._home = home
        self._sync_route_params = sync_route_params
        self._response_type = response_type
        self.failure: BaseException | None = None
        """What the function raised."""

    async def __call__(self, request: Any) -> Any:
        self._sync_route_params(request, self._route_values)
        try:
            returned = await self.at_home(self._run(request))
        except InvocationFailed as error:
            # The framework answers to what the function raised, an HTTPException for example.
            self.failure = error.__cause__ if isinstance(error.__cause__, Exception) else error
            raise self.failure from None
        if isinstance(returned, func.HttpResponse):  # a durable client makes those
            return self._response_type(
                content=returned.get_body(),
                status_code=returned.status_code,
                headers={"content-type": returned.mimetype, **returned.headers},
            )
        if returned is None:
            raise TypeError("a function with HTTP streams returned None; it must return a response or a value")
        return returned

    def at_home(self, work: Coroutine[Any, Any, _T]) -> Awaitable[_T]:
        """Run something on the loop of the server."""
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._home))


class _Receiver:
    """What the framework awaits for the next part of a body, and after the last one for the end of the connection.

    Whoever only looks whether the client is there gives up at the first wait. So what was begun at home goes on without
    anybody, and is there for the next one who asks.
    """

    def __init__(self, call: _Call, exchange: Exchange) -> None:
        self._call = call
        self._exchange = exchange
        self._is_read = False
        self._waiting: asyncio.Future[Any] | None = None

    async def __call__(self) -> Mapping[str, Any]:
        if self._waiting is None:
            work = self._exchange.gone() if self._is_read else self._exchange.read()
            self._waiting = asyncio.ensure_future(self._call.at_home(work))
        part = await asyncio.shield(self._waiting)
        if self._is_read:
            return {"type": "http.disconnect"}
        self._waiting, self._is_read = None, not part
        return {"type": "http.request", "body": part, "more_body": bool(part)}

    def close(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()


def _send(call: _Call, exchange: Exchange) -> Callable[[MutableMapping[str, Any]], Awaitable[None]]:
    async def send(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in message.get("headers", ())]
            await call.at_home(exchange.begin(message["status"], headers))
            return
        part = bytes(message.get("body", b""))
        if part:
            await call.at_home(exchange.write(part))
        if not message.get("more_body", False):
            await call.at_home(exchange.end())

    return send


def _scope(method: str, url: str, exchange: Exchange) -> dict[str, Any]:
    parts = urlsplit(url)
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": method,
        "scheme": parts.scheme,
        "path": unquote(parts.path),
        "raw_path": parts.path.encode(),
        "query_string": parts.query.encode(),
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in exchange.raw_headers],
        **exchange.peers,
    }
