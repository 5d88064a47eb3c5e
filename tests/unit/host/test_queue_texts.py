import base64
import json
from datetime import datetime, timezone

import azure.functions as func
import pytest
from azure.functions.meta import Datum

from taskhub.host.triggers.queue_texts import (
    UnreadableText,
    contents_of,
    decode_text,
    details_of,
    encode_text,
    is_queue_name,
    metadata_of,
    poison_queue_of,
    trigger_datum,
)
from taskhub.storage.port import QueueMessage

NOON = datetime(2026, 1, 2, 12, 0, 5, tzinfo=timezone.utc)
NOT_UTF8 = b"\xff\xfe\x00"


def a_message(text="hello", **changes):
    return QueueMessage(
        **{
            "id": "17",
            "receipt": "receipt",
            "text": text,
            "dequeue_count": 3,
            "inserted": NOON,
            "next_visible": NOON,
            **changes,
        }
    )


@pytest.mark.parametrize("content", ["", "hello", "héllo €", '{"a": 1}', NOT_UTF8])
def test_base64_brings_back_what_was_sent(content):
    assert decode_text(encode_text(content, is_base64=True), is_base64=True) == content


def test_bytes_that_are_utf_8_arrive_as_text():
    assert decode_text(encode_text("é".encode(), is_base64=True), is_base64=True) == "é"
    assert encode_text("é".encode(), is_base64=False) == "é"


def test_without_encoding_texts_are_stored_as_they_are():
    assert encode_text('{"a": 1}', is_base64=False) == '{"a": 1}'
    assert decode_text("not base64!", is_base64=False) == "not base64!"
    with pytest.raises(UnreadableText, match="messageEncoding base64"):
        encode_text(NOT_UTF8, is_base64=False)


@pytest.mark.parametrize("text", ["hello!", '{"a": 1}', "YQ", "YQ==YQ=="])
def test_what_is_no_base64_is_refused(text):
    with pytest.raises(UnreadableText, match="it is no base64"):
        decode_text(text, is_base64=True)


def encoded(value):
    return func.get_binding_registry().get("queue").encode(value, expected_type=None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("one", ["one"]),
        (b"\xff", [b"\xff"]),
        ('["a", "b"]', ['["a", "b"]']),
        (["one", "two"], ["one", "two"]),
        ([], []),
        (func.QueueMessage(body="body"), ["body"]),
        ([func.QueueMessage(body=b"first"), "second"], ["first", "second"]),
    ],
)
def test_what_a_function_gives_becomes_messages(value, expected):
    assert contents_of(encoded(value)) == expected


def test_json_of_other_bindings_becomes_text():
    assert contents_of(Datum('{"a": "é"}', "json")) == ['{"a": "é"}']
    assert contents_of(Datum('[{"a": 1}, 2]', "json")) == ['{"a": 1}', "2"]


@pytest.mark.parametrize(
    ("queue", "poison"),
    [
        ("orders", "orders-poison"),
        ("orders-poison", None),
        ("a" * 56, "a" * 56 + "-poison"),
        ("a" * 57, None),
    ],
)
def test_a_queue_has_a_poison_queue_unless_it_is_one_or_its_name_is_too_long(queue, poison):
    assert poison_queue_of(queue) == poison


@pytest.mark.parametrize("name", ["abc", "a-b-c", "1a2", "a" * 63])
def test_names_of_queues(name):
    assert is_queue_name(name)


@pytest.mark.parametrize("name", ["ab", "a" * 64, "Orders", "a--b", "-abc", "abc-", "a_b", ""])
def test_what_is_no_name_of_a_queue(name):
    assert not is_queue_name(name)


def test_the_library_makes_a_message_of_it_with_all_it_tells():
    message = a_message(expires=datetime(2026, 1, 9, 12, tzinfo=timezone.utc))
    converter = func.get_binding_registry().get("queueTrigger")

    given = converter.decode(trigger_datum("hello"), trigger_metadata=metadata_of(message, "hello"))

    assert (given.id, given.pop_receipt, given.dequeue_count) == ("17", "receipt", 3)
    assert (given.insertion_time, given.time_next_visible) == (NOON, NOON)
    assert given.expiration_time == message.expires
    assert given.get_body() == b"hello"


def test_a_message_that_never_expires_says_so_as_the_service_does():
    metadata = metadata_of(a_message(), b"\xff")

    assert json.loads(metadata["ExpirationTime"].value).startswith("9999-12-31T23:59:59")
    assert "QueueTrigger" not in metadata, "what is no text cannot be named in expressions"


def test_the_console_tells_which_message_it_was():
    assert details_of(a_message()) == "MessageId: 17, DequeueCount: 3, InsertedOn: 2026-01-02T12:00:05.000+00:00"


def test_texts_are_what_other_clients_write():
    assert encode_text("hello", is_base64=True) == base64.b64encode(b"hello").decode()
