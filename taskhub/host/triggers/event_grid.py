"""What Event Grid posts to a host: events for functions, and news of blobs.

It asks first whether it may (a handshake), then posts events, one or several at a time, and posts them again unless it
is told that all of them were taken. A blob trigger needs no events, as containers are listed; they make it quick.

Source: Microsoft.Azure.WebJobs.Extensions.EventGrid, EventGridExtensionConfigProvider and HttpRequestProcessor; storage
extension, blob triggers with the source EventGrid.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

from taskhub.host.functions import BLOB_TRIGGER, EVENT_GRID_TRIGGER
from taskhub.host.http_functions import HttpResponse
from taskhub.host.triggers.blob_paths import parse_pattern, wake_key_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from taskhub.host.call_plan import CallPlan
    from taskhub.host.triggers.runs import Run
    from taskhub.runtime.clock import Clock

EVENT_GRID, BLOBS = "eventgrid", "blobs"
"""The extensions, as their webhooks are called: ``/runtime/webhooks/eventgrid``."""
_TEXT = (("Content-Type", "text/plain; charset=utf-8"),)
_JSON = (("Content-Type", "application/json; charset=utf-8"),)

logger = logging.getLogger(__name__)


class EventGrid:
    """Answers what Event Grid posts.

    Args:
        plans: functions of the app; those that nothing here starts are passed over.
        run: runs a function.
        wake: has a container looked at.
        clock: for what the console says.
    """

    def __init__(self, plans: Iterable[CallPlan], run: Run, wake: Callable[[str], object], clock: Clock) -> None:
        plans = [plan for plan in plans if not plan.function.is_disabled]
        self._run = run
        self._wake = wake
        self._clock = clock
        self._plans = {
            EVENT_GRID: {p.function.name.lower(): p for p in plans if p.function.trigger.kind == EVENT_GRID_TRIGGER},
            BLOBS: {
                f"host.functions.{p.function.name}".lower(): p for p in plans if p.function.trigger.kind == BLOB_TRIGGER
            },
        }

    @property
    def extensions(self) -> frozenset[str]:
        """Those that the app has functions for."""
        return frozenset(extension for extension, plans in self._plans.items() if plans)

    async def answer(
        self, extension: str, function: str, method: str, headers: Mapping[str, str], body: bytes
    ) -> HttpResponse:
        """Answer a request to a webhook.

        Args:
            extension: whose webhook it is.
            function: ``functionName`` of the query.
            method: upper-case.
            headers: names in lower case.
            body: of the request.
        """
        plan = self._plans[extension].get(function.lower())
        if plan is None:
            logger.warning("Event Grid asks for function '%s', which is not there", function)
            return HttpResponse(404, f"cannot find function: '{function}'".encode(), _TEXT)
        if method == "OPTIONS" and "webhook-request-origin" in headers:  # the handshake of CloudEvents
            allowed = (("WebHook-Allowed-Origin", headers["webhook-request-origin"]), ("WebHook-Allowed-Rate", "*"))
            return HttpResponse(200, b"", allowed)
        try:
            match headers.get("aeg-event-type", "").lower():
                case "subscriptionvalidation":
                    return HttpResponse(200, _validation_answer(body), _JSON)
                case "notification":
                    return await self._notified(extension, plan, _events(body))
                case "unsubscribe":
                    return HttpResponse(202)
                case other:
                    return _refused(
                        f"the header aeg-event-type is '{other}'; it must be Notification, SubscriptionValidation or "
                        "Unsubscribe"
                    )
        except _UnreadableEvents as error:
            return _refused(str(error))

    async def _notified(self, extension: str, plan: CallPlan, events: list[dict[str, Any]]) -> HttpResponse:
        if extension == BLOBS:
            self._wake(wake_key_of(parse_pattern(str(plan.function.trigger.properties["path"])).container))
            return HttpResponse(202)
        reason = f"EventGrid trigger fired at {_seven_digits(self._clock.now().isoformat(timespec='microseconds'))}"
        succeeded = await asyncio.gather(
            *(self._run(plan, Datum(json.dumps(event), "json"), reason=reason) for event in events)
        )
        # All of them come again when one failed.
        return HttpResponse(202) if all(succeeded) else HttpResponse(500)


class _UnreadableEvents(Exception):
    """A body that holds no events; the message says what is wrong with it."""


def _events(body: bytes) -> list[dict[str, Any]]:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise _UnreadableEvents(f"the body is no JSON: {error}") from error
    events = value if isinstance(value, list) else [value]
    if not all(isinstance(event, dict) for event in events):
        raise _UnreadableEvents("the body must be an event, a JSON object, or a list of them")
    return events


def _validation_answer(body: bytes) -> bytes:
    """Return what proves that Event Grid may post here: the code that it sent."""
    try:
        data = _events(body)[0]["data"]
        code = (json.loads(data) if isinstance(data, str) else data)["validationCode"]
    except (ValueError, LookupError, TypeError) as error:
        raise _UnreadableEvents("the body has no data.validationCode") from error
    return json.dumps({"validationResponse": code}).encode()


def _refused(why: str) -> HttpResponse:
    logger.warning("A post of Event Grid was refused: %s", why)
    return HttpResponse(400, why.encode(), _TEXT)


def _seven_digits(moment: str) -> str:
    """Return a time as .NET writes it, with another digit of a second."""
    return f"{moment[:26]}0{moment[26:]}"
