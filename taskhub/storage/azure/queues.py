"""Messages, by requests of our own; queues, through the official client."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import lru_cache
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.etree import ElementTree

from taskhub.errors import QueueNotFound, TransientStorageError
from taskhub.storage import rules
from taskhub.storage.azure.errors import mapped, refusal
from taskhub.storage.port import PutReceipt, QueueMessage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from azure.storage.queue.aio import QueueServiceClient

    from taskhub.storage.azure.requests import Answer, Requests

_XML = {"Content-Type": "application/xml"}


class AzureQueues:
    """See :class:`~taskhub.storage.port.QueueStore`."""

    def __init__(self, service: QueueServiceClient, requests: Requests) -> None:
        self._service = service
        self._requests = requests

    async def create_queue(self, queue: str) -> bool:
        """Create a queue unless it exists."""
        what = f"create queue {queue}"
        # Not by the client: it does not tell 201 from 204, which says that the queue was there.
        answer = await self._requests.send(what, "PUT", f"/{queue}")
        if answer.status not in (201, 204):
            raise _refusal(what, answer)
        return answer.status == 201

    async def delete_queue(self, queue: str) -> bool:
        """Delete a queue with its messages."""
        try:
            with mapped(f"delete queue {queue}"):
                await self._service.delete_queue(queue)
        except QueueNotFound:
            return False
        return True

    async def list_queues(self, prefix: str) -> Sequence[str]:
        """Return the names that begin with ``prefix``."""
        with mapped(f"list queues {prefix}"):
            return sorted([queue.name async for queue in self._service.list_queues(name_starts_with=prefix)])

    async def put(self, queue: str, text: str, *, visible_after: int = 0) -> PutReceipt:
        """Add a message; without a delay no visibility timeout is sent, as the reference does."""
        rules.check_message_text(text)
        rules.check_visible_after(visible_after)
        delay = f"visibilitytimeout={visible_after}&" if visible_after else ""
        what = f"put into queue {queue}"
        answer = await self._requests.send(
            what, "POST", f"/{queue}/messages?{delay}messagettl=-1", _XML, self._body(text)
        )
        if answer.status != 201:
            raise _refusal(what, answer)
        [put] = _messages_of(what, answer.body)
        return PutReceipt(put["MessageId"], put["PopReceipt"], _moment(put["TimeNextVisible"]))

    async def get(self, queue: str, *, limit: int, invisible_for: int) -> Sequence[QueueMessage]:
        """Take visible messages."""
        rules.check_get(limit, invisible_for)
        what = f"get from queue {queue}"
        answer = await self._requests.send(
            what, "GET", f"/{queue}/messages?numofmessages={limit}&visibilitytimeout={invisible_for}"
        )
        if answer.status != 200:
            raise _refusal(what, answer)
        return [
            QueueMessage(
                id=message["MessageId"],
                receipt=message["PopReceipt"],
                text=message["MessageText"],
                dequeue_count=int(message["DequeueCount"]),
                inserted=_moment(message["InsertionTime"]),
                next_visible=_moment(message["TimeNextVisible"]),
                expires=_expiry(message.get("ExpirationTime", _NEVER)),
            )
            for message in _messages_of(what, answer.body)
        ]

    async def update(
        self, queue: str, message_id: str, receipt: str, *, visible_after: int, text: str | None = None
    ) -> PutReceipt:
        """Change when a message becomes visible, and its text."""
        if text is not None:
            rules.check_message_text(text)
        rules.check_visible_after(visible_after)
        what = f"update message {message_id} of queue {queue}"
        path = f"{_message_path(queue, message_id, receipt)}&visibilitytimeout={visible_after}"
        if text is None:
            answer = await self._requests.send(what, "PUT", path)
        else:
            answer = await self._requests.send(what, "PUT", path, _XML, self._body(text))
        if answer.status != 204:
            raise _refusal(what, answer)
        headers = answer.headers
        return PutReceipt(message_id, headers["x-ms-popreceipt"], _moment(headers["x-ms-time-next-visible"]))

    async def delete(self, queue: str, message_id: str, receipt: str) -> None:
        """Delete a message."""
        what = f"delete message {message_id} of queue {queue}"
        answer = await self._requests.send(what, "DELETE", _message_path(queue, message_id, receipt))
        if answer.status != 204:
            raise _refusal(what, answer)

    async def count(self, queue: str) -> int:
        """Return about how many messages the queue holds."""
        with mapped(f"count queue {queue}"):
            properties = await self._service.get_queue_client(queue).get_queue_properties()
        return properties.approximate_message_count or 0

    async def snapshot(self, queue: str) -> None:
        """Return ``None``: the service shows visible messages only, and of those the first 32."""
        return

    def _body(self, text: str) -> bytes:
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        # The emulator reads a body in pieces and spoils what a border cuts in two; numbers for characters are whole.
        # Not for the service itself: they make a text longer, and its limits may be meant for what is sent.
        encoded = escaped.encode("ascii", "xmlcharrefreplace") if self._requests.is_emulator else escaped.encode()
        return b"<QueueMessage><MessageText>" + encoded + b"</MessageText></QueueMessage>"


def _message_path(queue: str, message_id: str, receipt: str) -> str:
    return f"/{queue}/messages/{quote(message_id, safe='')}?popreceipt={quote(receipt, safe='')}"


def _messages_of(what: str, body: bytes) -> list[dict[str, str]]:
    try:
        messages = ElementTree.fromstring(body)
    except ElementTree.ParseError as error:
        raise TransientStorageError(f"{what}: the answer is no XML: {error}") from error
    return [{part.tag: part.text or "" for part in message} for message in messages]


@lru_cache(maxsize=512)
def _moment(text: str) -> datetime:
    """Return the time of a text like ``Tue, 24 Nov 2026 12:32:21 GMT``; many messages share one."""
    day, month, year, clock = text[5:].split(" ")[:4]
    hour, minute, second = clock.split(":")
    return datetime(
        int(year), _MONTHS.index(month) + 1, int(day), int(hour), int(minute), int(second), tzinfo=timezone.utc
    )


def _expiry(text: str) -> datetime | None:
    return None if text.endswith(_NEVER) else _moment(text)


_NEVER = "31 Dec 9999 23:59:59 GMT"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def _refusal(what: str, answer: Answer) -> Exception:
    code, message = answer.headers.get("x-ms-error-code", ""), ""
    if answer.body:
        try:
            error = ElementTree.fromstring(answer.body)
        except ElementTree.ParseError:  # a gateway's page; the status has to do
            return refusal(what, answer.status, code, headers=answer.headers)
        code, message = error.findtext("Code", code), error.findtext("Message", "")
    return refusal(what, answer.status, code, message, headers=answer.headers)
