"""Dead letters as blobs."""

import json
from dataclasses import replace

import pytest

from taskhub.codec.dead_letters import decode_letter, encode_letter, folder_of, letter_id, letter_stem
from taskhub.codec.messages import decode_envelope, encode_pointer, noting_put_backs, put_backs, to_base64
from taskhub.errors import MalformedMessage
from taskhub.model.dead_letters import Address, DeadLetter
from taskhub.model.ids import InstanceId, Utc

LETTER = DeadLetter(
    id="1234567890abcdef",
    message_id="3f753f26-0000-4000-8000-000000000001",
    queue="workitems",
    reason="the message was read 4 times",
    dequeue_count=4,
    inserted=Utc("2026-01-05T12:00:00Z"),
    parked=Utc("2026-01-05T12:03:00.5Z"),
    text='{"a":"é\\u2028"}',
    address=Address(InstanceId("order/42"), None, "TaskScheduled", "charge", 3),
    blob_name="order/42/message-1-TaskScheduled.json.gz",
    has_content=True,
    told=InstanceId("order/42"),
)
UNREADABLE = replace(LETTER, address=None, blob_name=None, has_content=False, told=None, text="\ud800 nothing")


@pytest.mark.parametrize("letter", [LETTER, replace(UNREADABLE, text="{")])
def test_a_letter_comes_back_as_it_was(letter):
    assert decode_letter(encode_letter(letter)) == letter


def test_a_text_that_no_blob_can_hold_stays_readable():
    assert json.loads(encode_letter(UNREADABLE).encode())["text"] == "\ud800 nothing"


def test_what_is_not_known_is_left_out():
    assert json.loads(encode_letter(replace(UNREADABLE, text="{"))).keys() == {
        "id",
        "messageId",
        "queue",
        "reason",
        "dequeueCount",
        "inserted",
        "parked",
        "text",
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON"),
        ("null", "empty"),
        ("[]", "expected an object"),
        ("{}", "lacks id"),
        (encode_letter(LETTER).replace('"dequeueCount":4', '"dequeueCount":"4"'), "dequeueCount"),
        (encode_letter(LETTER).replace("2026-01-05T12:00:00Z", "noon"), "inserted"),
    ],
)
def test_a_damaged_letter_says_where(text, complaint):
    with pytest.raises(MalformedMessage, match=complaint):
        decode_letter(text)


def test_a_message_has_one_letter_and_two_have_two():
    first = letter_id("35", queue="workitems", inserted=LETTER.inserted)

    assert first == letter_id("35", queue="workitems", inserted=LETTER.inserted)
    others = [
        letter_id("36", queue="workitems", inserted=LETTER.inserted),
        letter_id("35", queue="control-00", inserted=LETTER.inserted),
        letter_id("35", queue="workitems", inserted=LETTER.parked),
    ]
    assert len({first, *others}) == 4


def test_any_id_makes_a_folder_and_two_ids_make_two():
    odd = ["a/b", "a\\b", "a^0b", "a\x00b", "a" * 3000, "@counter@", "\ud800", "unreadable"]

    folders = {folder_of(InstanceId(each)) for each in odd}

    assert len(folders) == len(odd)
    assert all(folder.isalnum() and len(folder) == 32 for folder in folders)
    assert folder_of(None) not in folders
    assert letter_stem(UNREADABLE) == f"unreadable/{LETTER.id}"


ENVELOPE = encode_pointer("order-42/message-1-TaskScheduled.json.gz")


@pytest.mark.parametrize("text", [ENVELOPE, to_base64(ENVELOPE)])
def test_a_message_says_how_often_it_was_put_back_and_means_the_same(text):
    once = noting_put_backs(text, 1)
    often = noting_put_backs(once, 12)

    assert [put_backs(each) for each in (text, once, often)] == [0, 1, 12]
    assert decode_envelope(often) == decode_envelope(text)
    assert noting_put_backs(often, 0) == text


@pytest.mark.parametrize(
    "text", ['{"x":{"y":1,"PutBacks":7}}', '{"x":"\\",\\"PutBacks\\":7}"}', '{"PutBacks":7,"x":1}', '{"PutBacks":7}']
)
def test_a_text_that_only_looks_like_a_note_is_none(text):
    assert put_backs(text) == 0
    assert json.loads(noting_put_backs(text, 3)) == {**json.loads(text), "PutBacks": 3}
