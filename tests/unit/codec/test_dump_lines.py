"""Lines of a dump say the same when they are read again, and are readable where they can be."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.codec.dump_lines import (
    DumpedBlob,
    DumpedMessage,
    DumpedRow,
    DumpEnd,
    HubHead,
    decode_line,
    encode_line,
)
from taskhub.codec.overflow import compress, decompress
from taskhub.errors import MalformedMessage
from taskhub.model.ids import Utc
from tests.support.recordings import folders

NOON = Utc("2026-01-05T12:00:00.1234567Z")


@pytest.mark.parametrize(
    "item",
    [
        HubHead("MyHub", 4, NOON, "Azurite at http://127.0.0.1:10000/devstoreaccount1"),
        DumpedBlob(
            "order-42/message-1-TaskCompleted.json.gz", compress("one\ntwo\u2028 \U0001f600 half a pair: \ud83d")
        ),
        DumpedBlob("order-42/message-1-TaskCompleted.json.gz", compress('{"a":[1.5,null,"\u00fc"]}')),
        DumpedBlob("odd", b"\x00\xff not compressed"),
        DumpedBlob("empty", b""),
        DumpedRow("History", "it's^0odd^2", "0000000000000000", {}),
        DumpedRow(
            "Instances",
            "order-42",
            "",
            {
                "CreatedTime": NOON,
                "Name": "2026-01-05T12:00:00Z",
                "Generation": 3,
                "Big": 2**40,
                "Half": 0.5,
                "Is": True,
            },
        ),
        DumpedMessage("workitems", "plain text, \x09 no JSON"),
        DumpedMessage("control-03", '{"$type":"X","a":"b"}', visible=NOON, dequeue_count=7, is_inferred=True),
        DumpEnd(1, 2, 3),
    ],
    ids=lambda item: type(item).__name__,
)
def test_an_item_comes_back_as_it_was(item):
    line = encode_line(item)

    assert "\n" not in line
    line.encode("utf-8")
    assert decode_line(line) == item


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1}',
        '{"a":1.50}',
        '{"a":"\\u00fc"}',
        '{"a":1,"a":2}',
        "[1]",
        "null",
        "",
        '{"a":' * 5000,
        base64.b64encode(b'{"a":1}').decode(),
    ],
    ids=["blanks", "a zero", "an escape", "a name twice", "a list", "null", "nothing", "deep", "base64"],
)
def test_a_text_that_json_would_change_is_kept_to_the_letter(text):
    item = DumpedMessage("control-00", text)

    assert json.loads(encode_line(item))["text"] == text
    assert decode_line(encode_line(item)) == item


@given(st.text(), st.text())
def test_any_text_survives(text, name):
    assert decode_line(encode_line(DumpedMessage("control-00", text))).text == text
    blob = decode_line(encode_line(DumpedBlob(name, compress(text))))
    assert (blob.name, decompress(blob.data)) == (name, text)


def test_recorded_messages_stand_as_objects():
    texts = [
        each["text"]
        for folder in folders("storage")
        if folder.name != "garbage_messages"
        for each in json.loads((folder / "messages.json").read_text(encoding="utf-8"))
        if each.get("encoding") == "text" and "[cut: " not in each.get("text", "[cut: ")
    ]
    assert len(texts) > 150

    for text in texts:
        line = encode_line(DumpedMessage("control-00", text))
        assert json.loads(line)["message"] == json.loads(text)
        assert decode_line(line).text == text


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"kind":"song"}', "unknown kind 'song'"),
        ('{"kind":"hub","format":2,"hub":"H","partitions":4,"taken":"2026-01-05T12:00:00Z","from":"x"}', "format 2"),
        (
            '{"kind":"hub","format":1,"hub":"H","partitions":"4","taken":"2026-01-05T12:00:00Z","from":"x"}',
            "partitions",
        ),
        ('{"kind":"row","table":"History","partition_key":"a","columns":{}}', "row_key"),
        ('{"kind":"row","table":"History","partition_key":"a","row_key":"b","columns":{"x":null}}', "columns.x"),
        ('{"kind":"blob","name":"a","base64":"***"}', "base64"),
        ('{"kind":"message","queue":"control-00"}', "text"),
        ('{"kind":"message","queue":"control-00","text":"a","visible":"tomorrow"}', "visible"),
    ],
)
def test_a_line_that_is_none_is_refused_with_what_is_wrong(line, what):
    with pytest.raises(MalformedMessage, match=what):
        decode_line(line)
