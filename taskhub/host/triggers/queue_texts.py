"""PURE: messages of an app's own queues, between the texts that are stored and the values that functions see.

By default texts are base64, as the storage extension writes them; ``messageEncoding: none`` stores them as they are.

Source: Azure WebJobs SDK storage extension, QueuesOptions and QueueTriggerBinding.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from azure.functions.meta import Datum

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.wiring import QueueMessage

POISON_SUFFIX = "-poison"
MAX_QUEUE_NAME = 63
_QUEUE = re.compile(r"(?=.{3,63}$)[a-z0-9](?:-?[a-z0-9])*")
_NEVER = datetime(9999, 12, 31, 23, 59, 59, tzinfo=timezone.utc)


class UnreadableText(ValueError):
    """A stored text is not in the encoding that is configured."""


def is_queue_name(name: str) -> bool:
    """Return whether a queue may have this name."""
    return _QUEUE.fullmatch(name) is not None


def poison_queue_of(queue: str) -> str | None:
    """Return where the messages go that a function cannot deal with; ``None``: they stay.

    A queue of such messages has none, nor one whose name is too long.
    """
    name = queue + POISON_SUFFIX
    return None if queue.endswith(POISON_SUFFIX) or len(name) > MAX_QUEUE_NAME else name


def decode_text(text: str, *, is_base64: bool) -> str | bytes:
    """Return the content of a stored text; bytes when it is no UTF-8.

    Raises:
        UnreadableText: it is no base64.
    """
    if not is_base64:
        return text
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise UnreadableText(f"it is no base64 ({error})") from error
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data


def encode_text(content: str | bytes, *, is_base64: bool) -> str:
    """Return the text to store.

    Raises:
        UnreadableText: bytes that are no UTF-8 need base64.
    """
    if is_base64:
        return base64.b64encode(content.encode() if isinstance(content, str) else content).decode("ascii")
    if isinstance(content, str):
        return content
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise UnreadableText("bytes that are no UTF-8 can only be sent with messageEncoding base64") from error


def contents_of(output: Datum) -> list[str | bytes]:
    """Return the messages that a function's output stands for.

    A list gives one for each item. What the library makes of a ``QueueMessage`` counts as its body.
    """
    if output.type != "json":
        return [output.value]
    value = json.loads(output.value)
    return [_content(item) for item in (value if isinstance(value, list) else [value])]


def _content(item: Any) -> str:
    if isinstance(item, dict) and item.keys() == {"id", "body"}:
        return str(item["body"])
    return item if isinstance(item, str) else json.dumps(item, ensure_ascii=False)


def metadata_of(message: QueueMessage, content: str | bytes) -> Mapping[str, Datum]:
    """Return what the trigger tells of a message besides its content."""
    metadata = {
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.receipt, "string"),
        "DequeueCount": Datum(message.dequeue_count, "int"),
        "InsertionTime": _time(message.inserted),
        "NextVisibleTime": _time(message.next_visible),
        "ExpirationTime": _time(message.expires or _NEVER),
    }
    if isinstance(content, str):
        metadata["QueueTrigger"] = Datum(content, "string")
    return metadata


def trigger_datum(content: str | bytes) -> Datum:
    """Return what a queue function receives."""
    return Datum(content, "string" if isinstance(content, str) else "bytes")


def details_of(message: QueueMessage) -> str:
    """Return what the console tells of the message that started a function."""
    inserted = message.inserted.strftime("%Y-%m-%dT%H:%M:%S.000+00:00")
    return f"MessageId: {message.id}, DequeueCount: {message.dequeue_count}, InsertedOn: {inserted}"


def _time(moment: datetime) -> Datum:
    return Datum(json.dumps(moment.astimezone(timezone.utc).isoformat()), "json")
