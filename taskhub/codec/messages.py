"""Queue messages: envelopes and pointers to large ones as JSON text, and the raw events of the extension.

An envelope (MessageData) holds a message (TaskMessage), which holds an event. Newtonsoft writes them with
``TypeNameHandling.Objects``: ``$type`` is the first property of each object and decides what a reader makes of it.
Dictionaries are the exception: we write theirs without, because the name would name an assembly of one .NET runtime,
and drop it on reading, or it would become a tag.

Source: DurableTask.AzureStorage, MessageManager and MessageData.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.codec.jsontext import json_of, json_text, writable
from taskhub.codec.keys import blob_folder
from taskhub.codec.layout import EVENTS
from taskhub.codec.records import PLAINERS, READERS, TYPED_WRITERS, Mismatch, read_tags, require, take
from taskhub.errors import MalformedMessage
from taskhub.model.history import OrchestrationInstance
from taskhub.model.ids import ExecutionId, InstanceId
from taskhub.model.messages import CLIENT, Envelope, TaskMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.model.history import HistoryEvent

_T = TypeVar("_T")

MAX_INLINE_MESSAGE_BYTES = 46_080
"""45 KiB of UTF-8, as the reference: 64 KiB of base64 hold 48 KiB, and there must be room for more."""

NO_ACTIVITY_ID = "00000000-0000-0000-0000-000000000000"

_PUT_BACKS_NAME = "PutBacks"
_PUT_BACKS = re.compile(rf',"{_PUT_BACKS_NAME}":(\d{{1,9}})\}}\Z')
"""Only the envelope's own last property can match: what is within it ends with more than one brace."""

_EVENT_READERS = {record.type_name: READERS[record.model] for record in EVENTS}
_EVENT_READERS_BY_NUMBER = {record.model.type_number: READERS[record.model] for record in EVENTS}


@dataclass(frozen=True, slots=True)
class BlobPointer:
    """What a queue carries in place of a large message."""

    blob_name: str
    """In the large-messages container; its decompressed text is the message."""


def encode_envelope(envelope: Envelope) -> str:
    """Return the message's text, as the reference writes it."""
    message, sender = envelope.message, envelope.sender
    event, target, tags = message.event, message.target, message.context_tags
    episode = "" if envelope.episode is None else f'"Episode":{envelope.episode},'
    context = (
        "null"
        if tags is None
        else '{"$type":"DurableTask.Core.OrchestrationExecutionContext","OrchestrationTags":'
        + (json_of(tags) if tags else "{}")
        + "}"
    )
    return writable(
        '{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":'
        + json_text(envelope.activity_id)
        + ',"TaskMessage":{"$type":"DurableTask.Core.TaskMessage","Event":'
        + TYPED_WRITERS[type(event)](event)
        + ',"SequenceNumber":0,"OrchestrationInstance":'
        + TYPED_WRITERS[OrchestrationInstance](target)
        + f',"OrchestrationExecutionContext":{context}}},"CompressedBlobName":null,'
        + f'"SequenceNumber":{envelope.sequence_number},{episode}'
        + f'"Sender":{{"InstanceId":{json_text(sender.instance_id)},"ExecutionId":{json_text(sender.execution_id)}}},'
        + '"SerializableTraceContext":null}'
    )


def is_large_message(text: str) -> bool:
    """Return whether a message's text must go to a blob, and a pointer to the queue."""
    if 4 * len(text) <= MAX_INLINE_MESSAGE_BYTES:
        return False
    return len(text if text.isascii() else text.encode()) > MAX_INLINE_MESSAGE_BYTES


def message_blob_name(envelope: Envelope) -> str:
    """Return the blob name of a large message."""
    activity_id = envelope.activity_id.replace("-", "")
    message = envelope.message
    return f"{blob_folder(message.target.instance_id)}/message-{activity_id}-{message.event.type_name}.json.gz"


def instance_of_blob(blob_name: str) -> InstanceId | None:
    """Return whose message a blob holds, ``None`` where the name does not tell; see :func:`message_blob_name`."""
    folder, _, name = blob_name.rpartition("/")
    is_told = name.startswith("message-") and folder and blob_folder(folder) == folder
    return InstanceId(folder) if is_told else None


def encode_pointer(blob_name: str) -> str:
    """Return the text that a queue carries in place of the large message in ``blob_name``."""
    return writable(
        f'{{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":"{NO_ACTIVITY_ID}","TaskMessage":null,'
        f'"CompressedBlobName":{json_text(blob_name)},"SequenceNumber":0,"Sender":null,"SerializableTraceContext":null}}'
    )


def to_base64(text: str) -> str:
    """Return a queue text as workers of package 1.x write and want it."""
    return b64encode(text.encode()).decode()


def is_plain(text: str) -> bool:
    """Return whether a queue text is JSON as it stands; else it is base64, or nothing that we know."""
    return text.startswith("{")


def put_backs(text: str) -> int:
    """Return how often a queue text says that it was put back on purpose."""
    found = _PUT_BACKS.search(_json_text(text))
    return int(found[1]) if found else 0


def noting_put_backs(text: str, count: int) -> str:
    """Return a queue text that says how often it was put back on purpose; 0 takes the note away.

    A property at the end of the envelope, which .NET does not know and passes over. A text that is none of ours stays
    as it is.
    """
    json = _PUT_BACKS.sub("}", _json_text(text))
    if count and json.endswith("}"):
        json = f'{json[:-1]},"{_PUT_BACKS_NAME}":{count}}}'
    return json if is_plain(text) else to_base64(json)


def _json_text(text: str) -> str:
    return text if is_plain(text) else b64decode(text, validate=True).decode()


def decode_envelope(text: str) -> Envelope | BlobPointer:
    """Return what a message's text means; plain JSON and base64 of it are both read.

    Raises:
        MalformedMessage: the text is not a message of the reference; says what is wrong and at which property.
    """
    body = _json_object(text)
    try:
        blob_name = take(body, "CompressedBlobName", str)
        if blob_name:
            return BlobPointer(blob_name)
        return Envelope(
            message=_part(body, "TaskMessage", _read_message),
            activity_id=take(body, "ActivityId", str) or NO_ACTIVITY_ID,
            sequence_number=take(body, "SequenceNumber", int) or 0,
            episode=take(body, "Episode", int),
            sender=CLIENT if body.get("Sender") is None else _part(body, "Sender", _read_sender),
        )
    except Mismatch as error:
        raise MalformedMessage(f"queue message is not one of DurableTask.AzureStorage: {error}") from None


def raw_event(event: HistoryEvent) -> dict[str, Any]:
    """Return an event as the extension hands it to the SDK, keys in the extension's order."""
    return PLAINERS[type(event)](event)


def event_of(raw: Mapping[str, Any]) -> HistoryEvent:
    """Return the event of a raw one, for instance one that a session hands back to be carried over.

    Raises:
        MalformedMessage: it is no event of the reference.
    """
    try:
        number = take(raw, "EventType", int)
        reader = _EVENT_READERS_BY_NUMBER.get(-1 if number is None else number)
        if reader is None:
            raise Mismatch(f"unknown number {number}", "EventType")
        event: HistoryEvent = reader(raw)
    except Mismatch as error:
        raise MalformedMessage(f"raw event is not one of the extension: {error}") from None
    return event


def _json_object(text: str) -> dict[str, object]:
    encoding = "JSON"
    try:
        if not is_plain(text):
            encoding = "JSON, nor base64 of it"
            text = b64decode(text, validate=True).decode()
        body = json.loads(text)
    except (binascii.Error, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise MalformedMessage(f"queue message is not {encoding}: {error}") from None
    if type(body) is not dict:
        raise MalformedMessage("queue message is not a JSON object")
    if "__type" in body:
        raise MalformedMessage(
            "queue message is DataContract JSON, which is not supported: switch UseDataContractSerialization off"
        )
    return body


def _read_message(message: Mapping[str, object]) -> TaskMessage:
    context_name = "OrchestrationExecutionContext"
    return TaskMessage(
        event=_part(message, "Event", _read_event),
        target=_part(message, "OrchestrationInstance", READERS[OrchestrationInstance]),
        context_tags=None if message.get(context_name) is None else _part(message, context_name, _read_context),
    )


def _read_context(context: Mapping[str, object]) -> Mapping[str, str]:
    return {} if context.get("OrchestrationTags") is None else _part(context, "OrchestrationTags", read_tags)


def _read_event(event: Mapping[str, object]) -> HistoryEvent:
    type_name = take(event, "$type", str)
    if type_name is None:
        raise Mismatch("lacks $type, which names its class")
    reader = _EVENT_READERS.get(type_name)
    if reader is None:
        raise Mismatch(f"unknown event type {type_name!r}", "$type")
    result: HistoryEvent = reader(event)
    return result


def _read_sender(sender: Mapping[str, object]) -> OrchestrationInstance:
    execution_id = take(sender, "ExecutionId", str)
    return OrchestrationInstance(
        InstanceId(take(sender, "InstanceId", str) or ""), None if execution_id is None else ExecutionId(execution_id)
    )


def _part(body: Mapping[str, object], name: str, read: Callable[[Mapping[str, object]], _T]) -> _T:
    """Read the object of this name; what is wrong in it is reported with its name."""
    value = require(body, name, dict)
    try:
        return read(value)
    except Mismatch as error:
        raise error.below(name) from None
