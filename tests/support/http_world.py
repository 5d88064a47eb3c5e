"""A hub in virtual time whose HTTP requests are real: they go to real servers while no virtual time passes."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.host.http_activity import HttpActivity
from taskhub.host.http_calls import HTTP_ACTIVITY
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from taskhub.runtime.application import ActivityCall, ActivityFailed, ActivitySucceeded

_T = TypeVar("_T")


class HttpApplication(PlainApplication):
    """Plain orchestrators, and the host's HTTP activity in a loop of its own."""

    def __init__(self, orchestrators: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__(orchestrators)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="real http")
        self._thread.start()
        self._http = HttpActivity()

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        assert call.name == HTTP_ACTIVITY
        self.runs[(call.instance_id, call.name, call.task_id)] += 1
        return self._really(self._http.run(call.input))

    def close(self) -> None:
        """Close connections and the loop."""
        self._really(self._http.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _really(self, work: Coroutine[Any, Any, _T]) -> _T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)


def play_http(
    orchestrators: Mapping[str, Callable[..., Any]], test: Callable[[VirtualHub], Awaitable[_T]], **settings: Any
) -> _T:
    """Play a test on a hub of its own."""
    app = HttpApplication(orchestrators)
    try:
        return VirtualHub(app=app, **settings).run(test)
    finally:
        app.close()
