"""Every message that the reference put decodes, and encodes again to the same text.

What cannot come back the same, and why:

* The ``$type`` of dictionaries (tags): it names an assembly of one .NET runtime, so it is not written.
* Cut texts of the recordings: not the reference's.
* The garbage that the harness put by hand: refused, see ``test_recorded_garbage_is_refused``.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from taskhub.codec.messages import (
    BlobPointer,
    decode_envelope,
    encode_envelope,
    encode_pointer,
    is_large_message,
    message_blob_name,
)
from taskhub.codec.overflow import compress, decompress
from taskhub.errors import MalformedMessage
from tests.support.recordings import folders, is_cut

DICTIONARY_TYPE = (
    '"$type":"System.Collections.Generic.Dictionary`2'
    '[[System.String, System.Private.CoreLib],[System.String, System.Private.CoreLib]]"'
)
EXAMPLES = (Path(__file__).parent / "examples.jsonl").read_text(encoding="utf-8").splitlines()


def written_by_us(text: str) -> str:
    return text.replace(DICTIONARY_TYPE + ",", "").replace(DICTIONARY_TYPE, "")


def again(text: str) -> str:
    message = decode_envelope(text)
    return encode_pointer(message.blob_name) if isinstance(message, BlobPointer) else encode_envelope(message)


def provider_messages() -> list[dict[str, Any]]:
    return [
        message
        for folder in folders("storage")
        for message in json.loads((folder / "messages.json").read_text(encoding="utf-8"))
        if "text" in message and message["from"] != "harness"
    ]


def extension_messages() -> list[str]:
    return [
        json.dumps(json.loads(line)["message"], ensure_ascii=False, separators=(",", ":"))
        for folder in folders("extension")
        for line in (folder / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    ]


def blobs_of_large_messages() -> list[dict[str, Any]]:
    return [
        blob
        for folder in folders("storage")
        for container, blobs in json.loads((folder / "state.json").read_text(encoding="utf-8"))["blobs"].items()
        if container.endswith("-largemessages")
        for blob in blobs
    ]


@pytest.mark.parametrize("text", EXAMPLES, ids=lambda text: json.loads(text)["TaskMessage"]["Event"]["$type"])
def test_example_of_the_specification_comes_back_byte_for_byte(text):
    assert again(text) == written_by_us(text)


def test_messages_of_the_provider_come_back_byte_for_byte():
    texts = [message["text"] for message in provider_messages() if not is_cut(message["text"])]

    assert len(texts) >= 200
    for text in texts:
        assert again(text) == written_by_us(text)


def test_messages_of_the_provider_are_read_from_base64_too():
    recorded = [m for m in provider_messages() if m["encoding"] == "base64" and not is_cut(m["text"])]

    assert recorded
    for message in recorded:
        assert again(b64encode(message["text"].encode()).decode()) == written_by_us(message["text"])


def test_messages_of_the_extension_come_back_with_the_same_content_in_the_same_order():
    texts = extension_messages()

    assert len(texts) == 670
    for text in texts:
        assert again(text) == written_by_us(text)


def test_recorded_garbage_is_refused():
    texts = [
        message["text"]
        for folder in folders("storage")
        for message in json.loads((folder / "messages.json").read_text(encoding="utf-8"))
        if message.get("from") == "harness"
    ]

    assert len(texts) == 4
    for text in texts:
        with pytest.raises(MalformedMessage, match=r"not JSON|unknown event type .*NoSuchEvent"):
            decode_envelope(text)


def test_blobs_of_the_provider_are_read():
    blobs = [blob for blob in blobs_of_large_messages() if "base64" in blob]

    assert blobs
    for blob in blobs:
        text = decompress(b64decode(blob["base64"]))
        cut = blob["text"].rpartition("... [cut: ")
        assert text.startswith(cut[0])
        assert f"sha256 of the UTF-8 text {hashlib.sha256(text.encode()).hexdigest()}" in cut[2]
        assert decompress(compress(text)) == text


def test_blobs_of_large_messages_have_the_names_that_we_give():
    examples = {message.message.event.type_name: message for message in map(decode_envelope, EXAMPLES)}
    blobs = [blob for blob in blobs_of_large_messages() if "/message-" in blob["name"]]

    assert blobs
    for blob in blobs:
        # The recorded texts are cut, so that the message cannot be decoded: its parts are put into an example.
        head = blob["text"]
        example = examples[head.partition("DurableTask.Core.History.")[2].partition('Event"')[0]]
        target = replace(example.message.target, instance_id=blob["name"].partition("/")[0])
        activity_id = json.loads(head[head.index('"ActivityId":') + 13 :].partition(",")[0])
        message = replace(example, message=replace(example.message, target=target), activity_id=activity_id)
        assert message_blob_name(message) == blob["name"]


def test_messages_that_the_provider_kept_inline_are_inline():
    for message in provider_messages():
        assert not is_large_message("x" * message["length"])
