"""Dead letters as blobs: the names they have, and their JSON.

A letter is ``{folder}/{id}.json``, beside it ``{id}.content`` when the message itself lay in a blob.
The folder is made of the instance id, so that a purge finds what was parked of an instance; a digest, because an id
that no blob's name may hold is one of the reasons why messages end here.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from taskhub.codec.jsontext import json_of, parse_utc, storable, writable
from taskhub.codec.records import Mismatch, parse_object, require, take
from taskhub.errors import MalformedMessage
from taskhub.model.dead_letters import Address, DeadLetter
from taskhub.model.ids import ExecutionId, InstanceId

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.ids import Utc

LETTER_SUFFIX = ".json"
CONTENT_SUFFIX = ".content"

_UNKNOWN = "unreadable"
"""Folder of the letters whose instance nobody knows."""


def folder_of(instance_id: InstanceId | None) -> str:
    """Return the folder of the letters of an instance; ``None`` stands for those that cannot be read."""
    if instance_id is None:
        return _UNKNOWN
    return hashlib.sha256(instance_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def letter_id(message_id: str, *, queue: str, inserted: Utc) -> str:
    """Return the id of the letter of a message: always the same one, so that it is stored once."""
    return hashlib.sha256(f"{queue}/{message_id}/{inserted}".encode()).hexdigest()[:16]


def letter_stem(letter: DeadLetter) -> str:
    """Return the name that a letter's blobs have before their suffixes."""
    return f"{folder_of(letter.address.instance_id if letter.address else None)}/{letter.id}"


def encode_letter(letter: DeadLetter) -> str:
    """Return the text of a letter's blob; what is not known is left out."""
    address = letter.address
    plain: dict[str, object] = {
        "id": letter.id,
        "messageId": letter.message_id,
        "queue": letter.queue,
        "reason": letter.reason,
        "dequeueCount": letter.dequeue_count,
        "inserted": letter.inserted,
        "parked": letter.parked,
        "instanceId": address.instance_id if address else None,
        "executionId": address.execution_id if address else None,
        "eventType": address.event_type if address else None,
        "name": address.name if address else None,
        "taskId": address.task_id if address else None,
        "told": letter.told,
        "blobName": letter.blob_name,
        "hasContent": letter.has_content or None,
        "text": letter.text,
    }
    return storable(writable(json_of({key: value for key, value in plain.items() if value is not None})))


def decode_letter(text: str) -> DeadLetter:
    """Return the letter of a blob.

    Raises:
        MalformedMessage: the text is none of :func:`encode_letter`.
    """
    try:
        letter = parse_object(text, _read)
    except Mismatch as error:
        raise MalformedMessage(f"dead letter cannot be read: {error}") from None
    if letter is None:
        raise MalformedMessage("dead letter is empty")
    return letter


def _read(plain: Mapping[str, object]) -> DeadLetter:
    told = take(plain, "told", str)
    return DeadLetter(
        id=require(plain, "id", str),
        message_id=require(plain, "messageId", str),
        queue=require(plain, "queue", str),
        reason=require(plain, "reason", str),
        dequeue_count=require(plain, "dequeueCount", int),
        inserted=_time(plain, "inserted"),
        parked=_time(plain, "parked"),
        text=require(plain, "text", str),
        address=_address(plain),
        blob_name=take(plain, "blobName", str),
        has_content=take(plain, "hasContent", bool) or False,
        told=None if told is None else InstanceId(told),
    )


def _address(plain: Mapping[str, object]) -> Address | None:
    instance_id = take(plain, "instanceId", str)
    if instance_id is None:
        return None
    execution_id = take(plain, "executionId", str)
    return Address(
        InstanceId(instance_id),
        None if execution_id is None else ExecutionId(execution_id),
        require(plain, "eventType", str),
        take(plain, "name", str),
        take(plain, "taskId", int),
    )


def _time(plain: Mapping[str, object], name: str) -> Utc:
    try:
        return parse_utc(require(plain, name, str))
    except ValueError as error:
        raise Mismatch(str(error), name) from None
