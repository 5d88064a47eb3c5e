"""A real HTTP server for ``call_http`` to talk to, in a thread of its own so that worlds in virtual time reach it."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

RECORDED = "http://127.0.0.1:17074/target"
"""Where the recording's server was."""

_MASKS = (
    (r'(Date\\*":\s*\\*")[^"\\]*', r"\1now"),
    (r'(Server\\*":\s*)\[[^\]]*\]', r"\1[]"),
    (r"(Microsoft\.Azure\.WebJobs\.Extensions\.DurableTask|durable-taskhub)/[\d.]+", "agent"),
)


def calling(base: str) -> Callable[[ModuleType], None]:
    """Return what makes the recorded scenario call another server; the states that it writes by hand stay as they are.

    Args:
        base: of the server.
    """

    def answering(run: Callable[[str], str]) -> Callable[[str], str]:
        return lambda payload: run(payload).replace(RECORDED, base)

    def change(module: ModuleType) -> None:
        written: dict[str, Any] = vars(module)
        written["BASE"] = base
        written["RAW"] = {name: answering(run) for name, run in written["RAW"].items()}

    return change


def without_server(text: str, base: str = RECORDED) -> str:
    """Return a text without what tells one server, or one client, from another.

    Args:
        text: of a message, a row, a trigger or an answer.
        base: of the server that was called.
    """
    text = text.replace(_address(base), _address(RECORDED))
    for pattern, by in _MASKS:
        text = re.sub(pattern, by, text)
    return text


def _address(base: str) -> str:
    return base.partition("//")[2].partition("/")[0]


@dataclass
class Seen:
    """A request that came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Target:
    """The server. What it answers follows ``golden/extension/call_http``; ``/made`` is answered by ``made``."""

    base: str = ""
    seen: list[Seen] = field(default_factory=list)
    polls_before_done: int = 1
    """How often ``/poll`` says 202 before it says 200."""
    retry_after: str | None = "1"
    location: str | None = "/target/poll"
    busy: int = 2
    """How often ``/busy`` says 503."""
    made: list[web.Response] = field(default_factory=list)
    """Answers of ``/made``, in order."""
    blocked: threading.Event = field(default_factory=threading.Event)
    """Set when ``/slow`` was asked; it never answers."""

    def paths(self) -> list[str]:
        """Return what was asked for, in order."""
        return [f"{each.method} {each.path}" for each in self.seen]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        body = await request.read()
        self.seen.append(Seen(request.method, request.path_qs, dict(request.headers), body))
        what = request.path.removeprefix("/target/")
        match what:
            case "echo":
                shown = {
                    "method": request.method,
                    "query": request.query_string,
                    "headers": sorted([name, value] for name, value in request.headers.items()),
                    "body": body.decode(),
                }
                return web.json_response(shown, headers={"X-One": "1"}, dumps=json.dumps)
            case "headers":
                response = web.Response(text="many")
                response.headers.add("X-Many", "a")
                response.headers.add("X-Many", "b")
                response.headers["X-Single"] = "only"
                return response
            case "start":
                return web.Response(status=202, headers=self._accepted())
            case "poll":
                self.polls_before_done -= 1
                if self.polls_before_done >= 0:
                    return web.Response(status=202, headers=self._accepted())
                return web.Response(text="done")
            case "busy":
                self.busy -= 1
                return web.Response(status=503) if self.busy >= 0 else web.Response(text="at last")
            case "made":
                return self.made.pop(0)
            case "slow":
                self.blocked.set()
                await asyncio.Event().wait()
            case "cut":
                assert request.transport is not None
                request.transport.close()
        return web.Response(status=404, text="nothing here")

    def _accepted(self) -> dict[str, str]:
        found = {}
        if self.location is not None:
            is_relative = self.location.startswith("/")
            found["Location"] = self.base.removesuffix("/target") + self.location if is_relative else self.location
        if self.retry_after is not None:
            found["Retry-After"] = self.retry_after
        return found


@contextmanager
def running_target() -> Iterator[Target]:
    """Run a server until the block ends."""
    target, ready = Target(), threading.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> web.AppRunner:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", target.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        target.base = f"http://127.0.0.1:{runner.addresses[0][1]}/target"
        return runner

    def run() -> None:
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=run, name="http target")
    thread.start()
    ready.wait()
    try:
        yield target
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
