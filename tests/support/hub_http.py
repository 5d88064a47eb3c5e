"""A client of the management API, as somebody outside would write it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

ENDED = ("Completed", "Failed", "Terminated", "Canceled")


@dataclass(frozen=True, slots=True)
class HubHttp:
    """Talks to one running host."""

    http: aiohttp.ClientSession
    url: str
    """Base URL of the host, without a slash at the end."""

    async def start(self, name: str, data: Any = None) -> str:
        """Start an orchestration through the app's HTTP starter and return its id."""
        body = None if data is None else json.dumps(data)
        async with self.http.post(f"{self.url}/api/orchestrators/{name}", data=body) as answer:
            text = await answer.text()
            assert answer.status == 202, (answer.status, text)
            return str(json.loads(text)["id"])

    async def start_directly(self, name: str, data: Any = None) -> str:
        """Start an orchestration through the management API and return its id."""
        async with self.http.post(self._hub(f"orchestrators/{name}"), json=data) as answer:
            text = await answer.text()
            assert answer.status == 202, (answer.status, text)
            return str(json.loads(text)["id"])

    async def status(self, instance_id: str, **options: str) -> dict[str, Any]:
        """Return the status body of an instance that exists."""
        async with self.http.get(self._hub(f"instances/{instance_id}"), params=options) as answer:
            text = await answer.text()
            assert answer.status in (200, 202), (answer.status, text)
            body: dict[str, Any] = json.loads(text)
            return body

    async def raise_event(self, instance_id: str, name: str, data: Any) -> None:
        """Raise an event through the management API."""
        async with self.http.post(self._hub(f"instances/{instance_id}/raiseEvent/{name}"), json=data) as answer:
            assert answer.status == 202, (answer.status, await answer.text())

    async def ended(self, instance_id: str, *, seconds: float = 30) -> dict[str, Any]:
        """Wait until an instance has ended and return its status."""
        deadline = time.monotonic() + seconds
        while True:
            status = await self.status(instance_id)
            if status["runtimeStatus"] in ENDED:
                return status
            assert time.monotonic() < deadline, f"not ended after {seconds} s: {status}"
            await asyncio.sleep(0.05)

    async def custom_status(self, instance_id: str, wanted: object, *, seconds: float = 30) -> None:
        """Wait until an instance shows a custom status."""
        deadline = time.monotonic() + seconds
        while (status := await self.status(instance_id))["customStatus"] != wanted:
            assert time.monotonic() < deadline, f"no custom status {wanted!r} after {seconds} s: {status}"
            await asyncio.sleep(0.05)

    async def json(self, url: str) -> Any:
        """Return what a URL of the host answers."""
        async with self.http.get(url) as answer:
            text = await answer.text()
            assert answer.status == 200, (answer.status, text)
            return json.loads(text)

    async def shows(self, url: str, wanted: object, *, seconds: float = 30) -> None:
        """Wait until a URL of the host answers with a value."""
        deadline = time.monotonic() + seconds
        while (found := await self.json(url)) != wanted:
            assert time.monotonic() < deadline, f"no {wanted!r} after {seconds} s: {found}"
            await asyncio.sleep(0.05)

    def _hub(self, path: str) -> str:
        return f"{self.url}/runtime/webhooks/durabletask/{path}"
