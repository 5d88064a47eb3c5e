"""The HTTP front of a host in the test's own process: real sockets, some functions, no task hub.

async with running_front(hello, keys=store) as front:
    status, headers, text = await front.ask("GET", "api/hello")
"""

from __future__ import annotations

import asyncio
import io
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from yarl import URL

from taskhub.host import routes
from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.console import Console
from taskhub.host.functions import Function
from taskhub.host.http_admin import Admin, HostStatus, State
from taskhub.host.http_functions import HttpFunctions
from taskhub.host.http_options import HttpOptions
from taskhub.host.invoker import Invoker
from taskhub.host.server import DoorOptions, Listener, MainDoor, bind_main_port
from taskhub.host.server_limits import NO_LIMITS, Limits
from taskhub.host.triggers.event_grid import EventGrid
from taskhub.host.triggers.runs import Runs
from taskhub.runtime.environment import Environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from taskhub.host.http_cors import Cors
    from taskhub.host.http_keys import KeyStore

RETURN = {"name": "$return", "type": "http", "direction": "out"}


@dataclass(slots=True)
class Front:
    """A front that listens."""

    http: aiohttp.ClientSession
    port: int
    console: io.StringIO
    status: HostStatus
    """What the host says of itself; a test may replace it."""
    woken: list[str] = field(default_factory=list)
    """What somebody was asked to look at."""
    managed: list[routes.Request] = field(default_factory=list)
    """Requests that got as far as the management API."""

    async def ask(self, method: str, path: str, **more: Any) -> tuple[int, dict[str, str], str]:
        """Make a request, its path as it stands."""
        url = URL(f"http://localhost:{self.port}/{path}", encoded=True)
        async with self.http.request(method, url, **more) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, await answer.text()

    async def code(self, method: str, path: str, **more: Any) -> int:
        """Make a request and return the status of its answer."""
        return (await self.ask(method, path, **more))[0]

    async def raw(self, sent: bytes, *, seconds: float = 10) -> bytes:
        """Send bytes as they are, and return what comes until the connection is closed."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(sent)
            return await asyncio.wait_for(reader.read(), seconds)
        finally:
            writer.close()


def http_function(call: Callable[..., Any], *, name: str | None = None, **trigger: Any) -> Function:
    """Return a function with an HTTP trigger of the properties given."""
    parameter = next(iter(call.__code__.co_varnames), "req")
    bindings = read_bindings([{"name": parameter, "type": "httpTrigger", **trigger}, RETURN])
    return Function(name or re.sub(r"\W", "", call.__name__), call, bindings, None)  # type: ignore[arg-type]  # no folder


@asynccontextmanager
async def running_front(
    *functions: Function,
    http: HttpOptions | None = None,
    cors: Cors | None = None,
    keys: KeyStore | None = None,
    limits: Limits = NO_LIMITS,
    errors: tuple[str, ...] = (),
    landing_page: bool = True,
) -> AsyncIterator[Front]:
    """Serve functions on a free port."""
    console = io.StringIO()
    invoker = Invoker(Console(console))
    plans = [plan_call(function) for function in functions]
    options = DoorOptions(http or HttpOptions(), cors, keys, limits, landing_page)
    served = HttpFunctions(plans, invoker, prefix=options.http.route_prefix, client_payload=lambda _: "{}")
    async with aiohttp.ClientSession() as session:
        sockets = bind_main_port(0)
        front = Front(session, sockets[0].getsockname()[1], console, HostStatus(State.RUNNING, None, {"id": "x"}))
        admin = Admin(plans, errors, lambda: front.status, served, prefix=options.http.route_prefix, keys=keys)

        async def manage(request: routes.Request) -> routes.Response:
            front.managed.append(request)
            return routes.Response(200, json.dumps(request.url))

        clock = Environment().clock
        events = EventGrid(plans, Runs(invoker, lambda _: "{}", clock).run, front.woken.append, clock)
        if keys is not None:
            keys.add_system_keys(events.extensions)
        door = MainDoor(served, manage, admin.handle, options, events=events)
        listener = Listener(sockets, door, limits=limits)
        await listener.start()
        try:
            yield front
        finally:
            await listener.stop(grace_seconds=1)
            await admin.aclose()
            await invoker.aclose(grace_seconds=1)
