"""Runs by hand, through the admin API: a value given as text takes the place of what the trigger would have found."""

from __future__ import annotations

from typing import TYPE_CHECKING

from azure.functions.meta import Datum

from taskhub.host.functions import BLOB_TRIGGER, QUEUE_TRIGGER, TIMER_TRIGGER
from taskhub.host.triggers.blob_paths import parse_pattern, split_path
from taskhub.host.triggers.blobs import BlobFunction, BlobRuns
from taskhub.host.triggers.checks import time_zone
from taskhub.host.triggers.queue_texts import metadata_of, trigger_datum
from taskhub.host.triggers.timer_status import timer_of, trigger_text
from taskhub.wiring import QueueMessage

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.triggers.connections import Connections
    from taskhub.host.triggers.runs import Runs

REASON = "This function was programmatically called via the host APIs."


class ManualRuns:
    """Runs functions of timers, queues and blobs as if something had started them.

    Args:
        connections: the accounts.
        runs: runs a function.
        settings: app settings.
    """

    def __init__(self, connections: Connections, runs: Runs, settings: Mapping[str, str]) -> None:
        self._connections = connections
        self._runs = runs
        self._settings = settings

    @property
    def runners(self) -> Mapping[str, Callable[[CallPlan, str], Awaitable[object]]]:
        """What runs a function with a text, by type of trigger in lower case."""
        return {TIMER_TRIGGER: self._run_timer, QUEUE_TRIGGER: self._run_message, BLOB_TRIGGER: self._run_blob}

    async def _run_timer(self, plan: CallPlan, _: str) -> None:
        zone = time_zone(self._settings)
        text = trigger_text(timer_of(plan.function.trigger, zone), None, zone, is_past_due=False)
        await self._runs.run(plan, Datum(text, "json"), reason=REASON)

    async def _run_message(self, plan: CallPlan, text: str) -> None:
        environment = self._connections.environment
        now = environment.clock.now()
        message = QueueMessage(str(environment.new_guid()), "", text, 0, now, now)
        await self._runs.run(plan, trigger_datum(text), reason=REASON, metadata=metadata_of(message, text))

    async def _run_blob(self, plan: CallPlan, path: str) -> None:
        """Run a function for a blob, whose path is ``container/name``.

        Raises:
            TemplateError: it is no path.
            BlobNotFound: there is no such blob.
        """
        container, name = split_path(path)
        trigger = plan.function.trigger
        connection = await self._connections.get(trigger.properties.get("connection"))
        function = BlobFunction(plan, parse_pattern(str(trigger.properties["path"])), connection)
        data = await function.data_of(container, name)
        item = await connection.storage.blobs.blob_item(container, name)
        if item is not None:
            await BlobRuns({}, self._runs.run).run_for(function, container, item, data, reason=REASON)
