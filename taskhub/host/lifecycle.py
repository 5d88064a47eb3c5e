"""Tells an Event Grid topic when instances begin and end.

Posts are made before the episode is stored that says so, together, each as often as it may be tried; what cannot be
posted is logged, and the instance goes on.

Source: Durable Task extension, EventGridLifeCycleNotificationHelper.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from taskhub.host.durable_options import TopicOptions
    from taskhub.model.lifecycle import LifecycleChange

_TIMEOUT = aiohttp.ClientTimeout(total=30)
_UNAVAILABLE = 503

logger = logging.getLogger(__name__)


class Topic:
    """A topic of Event Grid. Belongs to one event loop.

    Args:
        options: which one.
        hub: name of the task hub.
        sleep: waits between two tries, in seconds.
    """

    def __init__(
        self, options: TopicOptions, hub: str, sleep: Callable[[float], Awaitable[object]] = asyncio.sleep
    ) -> None:
        self._options = options
        self._hub = hub
        self._sleep = sleep
        self._http: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"<Topic {self._options.endpoint}>"

    async def tell(self, changes: Sequence[LifecycleChange]) -> None:
        """Post what the topic wants to know."""
        wanted = [change for change in changes if change.status in self._options.statuses]
        await asyncio.gather(*(self._post(change) for change in wanted))

    async def aclose(self) -> None:
        """Let go of connections."""
        if self._http is not None:
            await self._http.close()
            self._http = None

    async def _post(self, change: LifecycleChange) -> None:
        options, body = self._options, [self._event(change)]
        for tries_left in range(options.retry_count, -1, -1):
            status, why = await self._try(body)
            if status is not None and 200 <= status < 300:
                return
            may_retry = status is None or status == _UNAVAILABLE or status in options.retry_statuses
            if not may_retry or not tries_left:
                break
            await self._sleep(options.retry_seconds)
        logger.error(
            "The topic %s was not told that instance '%s' is %s: %s",
            options.endpoint,
            change.instance_id,
            change.status.name,
            why,
        )

    async def _try(self, body: object) -> tuple[int | None, str]:
        if self._http is None:
            self._http = aiohttp.ClientSession(timeout=_TIMEOUT)
        try:
            async with self._http.post(
                self._options.endpoint, json=body, headers={"aeg-sas-key": self._options.key}
            ) as answer:
                return answer.status, f"it answered with {answer.status}"
        except (aiohttp.ClientError, asyncio.TimeoutError) as error:
            return None, f"{type(error).__name__}: {error}"

    def _event(self, change: LifecycleChange) -> dict[str, Any]:
        return {
            "id": str(uuid.uuid4()),
            "topic": None,
            "subject": f"durable/orchestrator/{change.status.name}",
            "data": {
                "hubName": self._hub,
                "functionName": change.name,
                "instanceId": change.instance_id,
                "reason": change.reason,
                "runtimeStatus": change.status.name,
            },
            "eventType": "orchestratorEvent",
            "eventTime": change.at.padded(),
            "metadataVersion": None,
            "dataVersion": "1.0",
        }
