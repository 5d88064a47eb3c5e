"""Those outside who are told what the instances of an app do: who takes spans, and a topic of Event Grid."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from taskhub.host.lifecycle import Topic
from taskhub.runtime.environment import Environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from taskhub.host.configuration import HostConfiguration
    from taskhub.host.invocation import TraceContext
    from taskhub.host.telemetry import Telemetry

logger = logging.getLogger(__name__)


class Observers:
    """Who is told of the work of a process; belongs to one event loop.

    Args:
        telemetry: takes spans, if anybody does.
        topic: takes changes of instances, if one does.
    """

    def __init__(self, telemetry: Telemetry | None, topic: Topic | None) -> None:
        self._telemetry = telemetry
        self._topic = topic
        self.environment = Environment(
            tell_spans=None if telemetry is None else telemetry.tell,
            tell_changes=None if topic is None else topic.tell,
        )
        """That of workers which tell them."""

    def __repr__(self) -> str:
        return f"<Observers {self._telemetry!r}, {self._topic!r}>"

    @property
    def within(self) -> Callable[[TraceContext], AbstractContextManager[None]] | None:
        """Runs user code inside of a span, ``None`` where nobody traces."""
        return None if self._telemetry is None else self._telemetry.within

    async def aclose(self) -> None:
        """Let go of connections; what is left to tell is told."""
        if self._topic is not None:
            await self._topic.aclose()
        if self._telemetry is not None:
            await asyncio.to_thread(self._telemetry.close)


def observers_of(configuration: HostConfiguration) -> Observers:
    """Return who is told of the work of an app, as ``host.json`` says; after the app was imported."""
    durable = configuration.durable
    topic = None if durable.topic is None else Topic(durable.topic, durable.hub.hub_name)
    return Observers(_telemetry_of(configuration), topic)


def _telemetry_of(configuration: HostConfiguration) -> Telemetry | None:
    if not configuration.durable.traces:
        return None
    from taskhub.host.telemetry import NoTelemetry, open_telemetry  # most hosts do without

    name = configuration.settings.get("WEBSITE_SITE_NAME") or configuration.app_root.name
    try:
        return open_telemetry(os.environ, service=name)
    except NoTelemetry as error:
        logger.warning("Distributed tracing is on (host.json), but no spans are sent: %s.", error)
        return None
