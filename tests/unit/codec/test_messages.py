from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from hypothesis import given

from taskhub.codec.messages import (
    MAX_INLINE_MESSAGE_BYTES,
    NO_ACTIVITY_ID,
    BlobPointer,
    decode_envelope,
    encode_envelope,
    encode_pointer,
    event_of,
    is_large_message,
    message_blob_name,
    raw_event,
)
from taskhub.errors import MalformedMessage
from taskhub.model.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionStarted,
    FailureDetails,
    HistoryEvent,
    OrchestrationInstance,
    ParentInstance,
    TaskCompleted,
    TaskFailed,
    TaskScheduled,
)
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import CLIENT, Envelope, TaskMessage
from tests.support.strategies import envelopes, events

NOW = Utc("2024-02-27T17:20:34.5678901Z")
DICTIONARY = (
    "System.Collections.Generic.Dictionary`2"
    "[[System.String, System.Private.CoreLib],[System.String, System.Private.CoreLib]]"
)


def an_envelope(event: HistoryEvent | None = None) -> Envelope:
    return Envelope(
        message=TaskMessage(
            event=event or TaskCompleted(timestamp=NOW, task_scheduled_id=0, result='"ok"'),
            target=OrchestrationInstance("order-42", "0f0e"),
        ),
        activity_id="5f0c1d2e-3a4b-4c5d-8e6f-000000000001",
        sequence_number=4,
        episode=1,
        sender=OrchestrationInstance("order-42", "0f0e"),
    )


def body_of(envelope: Envelope) -> dict:
    return json.loads(encode_envelope(envelope))


def text_with(path: str, value: object) -> str:
    """Return the text of an envelope with one property changed; ``...`` removes it."""
    body = body_of(an_envelope())
    *parents, name = path.split("/")
    place = body
    for parent in parents:
        place = place[parent]
    if value is ...:
        del place[name]
    else:
        place[name] = value
    return json.dumps(body)


# ---- there and back


@given(envelopes)
def test_every_message_comes_back_from_its_text(envelope):
    assert decode_envelope(encode_envelope(envelope)) == envelope


@given(envelopes)
def test_every_message_can_travel_in_the_xml_of_the_queue_service(envelope):
    text = encode_envelope(envelope)

    element = ElementTree.Element("MessageText")
    element.text = text
    assert ElementTree.fromstring(ElementTree.tostring(element, encoding="utf-8")).text == text


@given(envelopes)
def test_a_message_in_base64_is_the_same_message(envelope):
    text = encode_envelope(envelope)

    assert decode_envelope(b64encode(text.encode()).decode()) == envelope


@given(events)
def test_every_event_comes_back_from_its_raw_form(event):
    assert event_of(raw_event(event)) == event


@given(events)
def test_raw_events_are_plain_json(event):
    raw = raw_event(event)

    assert json.loads(json.dumps(raw)) == raw
    assert {type(value) for value in raw.values()} <= {str, int, bool, dict, type(None)}


# ---- text


def test_the_type_is_the_first_property_of_every_object_but_the_sender_and_tags():
    started = ExecutionStarted(
        timestamp=NOW,
        instance=OrchestrationInstance("a", "b"),
        parent=ParentInstance("P", OrchestrationInstance("p", None), 2),
        name="N",
        tags={"k": "v"},
    )
    objects = []
    json.loads(encode_envelope(an_envelope(started)), object_pairs_hook=lambda pairs: objects.append([*dict(pairs)]))

    untyped = [names for names in objects if names[0] != "$type"]
    assert untyped == [["k"], ["InstanceId", "ExecutionId"]]


@pytest.mark.parametrize(
    ("character", "written"),
    [
        ('"', '\\"'),
        ("\\", "\\\\"),
        ("/", "/"),
        ("<", "<"),
        ("\n", "\\n"),
        ("\x00", "\\u0000"),
        ("\x1f", "\\u001f"),
        ("\x7f", "\x7f"),
        ("\x85", "\\u0085"),
        ("\u2028", "\\u2028"),
        ("\u2029", "\\u2029"),
        ("\ufffe", "\\ufffe"),
        ("\uffff", "\\uffff"),
        ("\ud800", "\\ud800"),
        ("é", "é"),
        ("\U0001f600", "\U0001f600"),
    ],
)
def test_characters_are_written_as_newtonsoft_writes_them(character, written):
    event = TaskCompleted(timestamp=NOW, task_scheduled_id=0, result=f"é{character}")

    assert f'"Result":"é{written}"' in encode_envelope(an_envelope(event))


def test_an_episode_that_is_not_known_is_left_out():
    assert "Episode" not in body_of(replace(an_envelope(), episode=None))
    assert body_of(replace(an_envelope(), episode=0))["Episode"] == 0


def test_a_client_is_a_sender_with_empty_ids():
    assert body_of(replace(an_envelope(), sender=CLIENT))["Sender"] == {"InstanceId": "", "ExecutionId": ""}


def test_a_target_of_any_execution_is_null_not_empty():
    message = replace(an_envelope().message, target=OrchestrationInstance("a", None))

    assert body_of(replace(an_envelope(), message=message))["TaskMessage"]["OrchestrationInstance"] == {
        "$type": "DurableTask.Core.OrchestrationInstance",
        "InstanceId": "a",
        "ExecutionId": None,
    }


def test_tags_of_the_context_are_an_empty_object_or_no_context():
    message = an_envelope().message

    none = body_of(replace(an_envelope(), message=replace(message, context_tags=None)))
    empty = body_of(replace(an_envelope(), message=replace(message, context_tags={})))

    assert none["TaskMessage"]["OrchestrationExecutionContext"] is None
    assert empty["TaskMessage"]["OrchestrationExecutionContext"]["OrchestrationTags"] == {}


# ---- large messages


@pytest.mark.parametrize(("character", "size"), [("x", 1), ("é", 2), ("日", 3), ("\U0001f600", 4)])
def test_a_message_is_large_when_its_utf_8_exceeds_45_kib(character, size):
    most = MAX_INLINE_MESSAGE_BYTES // size

    assert not is_large_message(character * most)
    assert is_large_message(character * most + "x" * (MAX_INLINE_MESSAGE_BYTES - most * size + 1))


def test_a_large_messages_blob_lies_under_the_raw_id():
    message = replace(an_envelope().message, target=OrchestrationInstance("order/42#1", None))

    assert (
        message_blob_name(replace(an_envelope(), message=message))
        == "order/42#1/message-5f0c1d2e3a4b4c5d8e6f000000000001-TaskCompleted.json.gz"
    )


def test_a_pointer_comes_back_from_its_text():
    text = encode_pointer("order-42/message-5f0c1d2e3a4b4c5d8e6f000000000001-TaskCompleted.json.gz")

    assert text == (
        '{"$type":"DurableTask.AzureStorage.MessageData","ActivityId":"00000000-0000-0000-0000-000000000000",'
        '"TaskMessage":null,"CompressedBlobName":"order-42/message-5f0c1d2e3a4b4c5d8e6f000000000001-TaskCompleted.json.gz",'
        '"SequenceNumber":0,"Sender":null,"SerializableTraceContext":null}'
    )
    assert decode_envelope(text) == BlobPointer(
        "order-42/message-5f0c1d2e3a4b4c5d8e6f000000000001-TaskCompleted.json.gz"
    )


# ---- tolerant reading


def test_properties_that_we_do_not_know_are_ignored():
    body = body_of(an_envelope())
    for place in (body, body["TaskMessage"], body["TaskMessage"]["Event"], body["Sender"]):
        place["Novelty"] = {"$type": "Some.New.Type", "x": [1]}

    assert decode_envelope(json.dumps(body)) == an_envelope()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("TaskMessage/OrchestrationExecutionContext", ...),
        ("TaskMessage/SequenceNumber", ...),
        ("TaskMessage/$type", ...),
        ("$type", ...),
        (
            "SerializableTraceContext",
            '{"$type":"DurableTask.Core.HttpCorrelationProtocolTraceContext, DurableTask.Core"}',
        ),
        ("CompressedBlobName", ...),
        ("CompressedBlobName", ""),
        ("TaskMessage/Event/IsPlayed", ...),
        ("TaskMessage/Event/EventType", ...),
    ],
)
def test_what_older_or_newer_versions_write_differently_is_accepted(path, value):
    assert decode_envelope(text_with(path, value)) == an_envelope()


@pytest.mark.parametrize(
    "missing",
    [
        "ParentInstance",
        "Tags",
        "Correlation",
        "ParentTraceContext",
        "ScheduledStartTime",
        "Generation",
        "GenerateNewTrace",
        "Version",
        "Input",
    ],
)
def test_a_start_of_an_older_version_is_accepted(missing):
    started = ExecutionStarted(timestamp=NOW, instance=OrchestrationInstance("a", "b"), name="N")
    body = body_of(an_envelope(started))
    del body["TaskMessage"]["Event"][missing]

    assert decode_envelope(json.dumps(body)) == an_envelope(started)


def test_a_failure_without_details_is_accepted():
    failed = TaskFailed(timestamp=NOW, task_scheduled_id=0, reason="bad")
    body = body_of(an_envelope(failed))
    del body["TaskMessage"]["Event"]["FailureDetails"]

    assert decode_envelope(json.dumps(body)) == an_envelope(failed)


@pytest.mark.parametrize("sender", [..., None, {}, {"InstanceId": None, "ExecutionId": ""}])
def test_a_message_without_a_sender_is_from_a_client(sender):
    message = decode_envelope(text_with("Sender", sender))

    assert isinstance(message, Envelope)
    assert message.sender.instance_id == ""


def test_an_envelope_without_id_and_number_is_accepted():
    body = body_of(an_envelope())
    for name in ("ActivityId", "SequenceNumber", "Episode"):
        del body[name]

    assert decode_envelope(json.dumps(body)) == replace(
        an_envelope(), activity_id=NO_ACTIVITY_ID, sequence_number=0, episode=None
    )


def test_the_type_of_a_dictionary_is_no_tag():
    scheduled = TaskScheduled(timestamp=NOW, name="A", tags={"k": "v"})
    message = replace(
        an_envelope(scheduled), message=TaskMessage(scheduled, OrchestrationInstance("a", "b"), {"p": "q"})
    )
    body = body_of(message)
    body["TaskMessage"]["Event"]["Tags"] = {"$type": DICTIONARY, "k": "v"}
    body["TaskMessage"]["OrchestrationExecutionContext"]["OrchestrationTags"] = {"$type": DICTIONARY, "p": "q"}

    assert decode_envelope(json.dumps(body)) == message


def test_types_within_the_properties_of_a_failure_are_left_out():
    failure = FailureDetails("E", "m", properties={"code": 7, "more": [{"deep": 1}]})
    failed = TaskFailed(timestamp=NOW, task_scheduled_id=0, failure=failure)
    body = body_of(an_envelope(failed))
    body["TaskMessage"]["Event"]["FailureDetails"]["Properties"] = {
        "$type": DICTIONARY,
        "code": 7,
        "more": [{"$type": DICTIONARY, "deep": 1}],
    }

    assert decode_envelope(json.dumps(body)) == an_envelope(failed)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("2024-02-27T17:20:34.5678901Z", "2024-02-27T17:20:34.5678901Z"),
        ("2024-02-27T17:20:34Z", "2024-02-27T17:20:34Z"),
        ("2024-02-27T17:20:34.5000000Z", "2024-02-27T17:20:34.5Z"),
        ("2024-02-27T17:20:34.0000000Z", "2024-02-27T17:20:34Z"),
        ("2024-02-27T17:20:34.5678901+00:00", "2024-02-27T17:20:34.5678901Z"),
        ("2024-02-27T23:20:34.5678901+05:30", "2024-02-27T17:50:34.5678901Z"),
        ("2024-02-27T23:20:34-01:00", "2024-02-28T00:20:34Z"),
        ("0001-01-01T00:00:00", "0001-01-01T00:00:00Z"),
    ],
)
def test_times_keep_their_seven_digits_and_are_utc(written, meant):
    message = decode_envelope(text_with("TaskMessage/Event/Timestamp", written))

    assert isinstance(message, Envelope)
    assert message.message.event.timestamp == meant


# ---- malformed


EVENT = "TaskMessage/Event"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "not JSON, nor base64 of it"),
        ("hello", "not JSON, nor base64 of it"),
        ("{not json", "not JSON: "),
        ("{", "not JSON: "),
        (b64encode(b"{not json").decode(), "not JSON, nor base64 of it"),
        (b64encode(b"\xff\xff").decode(), "not JSON, nor base64 of it"),
        (b64encode(b"[1]").decode(), "not a JSON object"),
        (b64encode(b"null").decode(), "not a JSON object"),
        ('{"a":' * 20_000, "recursion"),
        ("{}", "lacks TaskMessage"),
        ('{"__type":"MessageData:#DurableTask.AzureStorage"}', "UseDataContractSerialization"),
        (text_with("TaskMessage", None), "lacks TaskMessage"),
        (text_with("TaskMessage", "x"), "TaskMessage: expected an object, got a text"),
        (text_with("CompressedBlobName", 1), "CompressedBlobName: expected a text, got an integer"),
        (text_with("SequenceNumber", "1"), "SequenceNumber: expected an integer, got a text"),
        (text_with("Episode", 1.5), "Episode: expected an integer, got a number"),
        (text_with("Sender", []), "Sender: expected an object, got an array"),
        (text_with("Sender/InstanceId", 1), r"Sender\.InstanceId: expected a text, got an integer"),
        (text_with(EVENT, ...), "TaskMessage: lacks Event"),
        (text_with("TaskMessage/OrchestrationInstance", ...), "TaskMessage: lacks OrchestrationInstance"),
        (
            text_with("TaskMessage/OrchestrationInstance", {"ExecutionId": "x"}),
            r"TaskMessage\.OrchestrationInstance: lacks InstanceId",
        ),
        (
            text_with("TaskMessage/OrchestrationExecutionContext", {"OrchestrationTags": {"k": 1}}),
            r"TaskMessage\.OrchestrationExecutionContext\.OrchestrationTags\.k: expected a text, got an integer",
        ),
        (text_with(f"{EVENT}/$type", ...), r"TaskMessage\.Event: lacks \$type"),
        (text_with(f"{EVENT}/$type", ["x"]), r"TaskMessage\.Event\.\$type: expected a text, got an array"),
        (
            text_with(f"{EVENT}/$type", "DurableTask.Core.History.NoSuchEvent"),
            r"TaskMessage\.Event\.\$type: unknown event type 'DurableTask\.Core\.History\.NoSuchEvent'",
        ),
        (text_with(f"{EVENT}/TaskScheduledId", ...), r"TaskMessage\.Event: lacks TaskScheduledId"),
        (text_with(f"{EVENT}/TaskScheduledId", None), r"TaskMessage\.Event: lacks TaskScheduledId"),
        (text_with(f"{EVENT}/TaskScheduledId", True), "TaskScheduledId: expected an integer, got true or false"),
        (text_with(f"{EVENT}/Result", {"a": 1}), r"Event\.Result: expected a text, got an object"),
        (text_with(f"{EVENT}/IsPlayed", 0), "IsPlayed: expected true or false, got an integer"),
        (text_with(f"{EVENT}/Timestamp", "yesterday"), r"Event\.Timestamp: not a time: 'yesterday'"),
    ],
)
def test_a_malformed_message_is_refused_with_what_is_wrong_and_where(text, complaint):
    with pytest.raises(MalformedMessage, match=complaint):
        decode_envelope(text)


def test_what_is_wrong_deep_within_an_event_is_named_with_its_path():
    failure = FailureDetails("E", "m", inner_failure=FailureDetails("I", "n"))
    body = body_of(an_envelope(TaskFailed(timestamp=NOW, task_scheduled_id=0, failure=failure)))
    body["TaskMessage"]["Event"]["FailureDetails"]["InnerFailure"]["IsNonRetriable"] = "no"

    with pytest.raises(
        MalformedMessage,
        match=r"TaskMessage\.Event\.FailureDetails\.InnerFailure\.IsNonRetriable: expected true or false, got a text",
    ):
        decode_envelope(json.dumps(body))


# ---- raw events


def test_a_raw_event_has_the_extensions_names_and_order():
    raised = EventRaised(timestamp=NOW, name="Approval", input="true", is_played=True)
    completed = ExecutionCompleted(timestamp=NOW, status=RuntimeStatus.Failed, event_id=3)

    assert list(raw_event(raised).items()) == [
        ("EventType", 15),
        ("Name", "Approval"),
        ("Input", "true"),
        ("ParentTraceContext", None),
        ("EventId", -1),
        ("IsPlayed", True),
        ("Timestamp", NOW),
    ]
    assert list(raw_event(completed).items()) == [
        ("EventType", 1),
        ("OrchestrationStatus", 3),
        ("Result", None),
        ("FailureDetails", None),
        ("EventId", 3),
        ("IsPlayed", False),
        ("Timestamp", NOW),
    ]


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        ({}, "EventType: unknown number None"),
        ({"EventType": 99}, "EventType: unknown number 99"),
        ({"EventType": "TaskCompleted"}, "EventType: expected an integer, got a text"),
        ({"EventType": 5}, "lacks Timestamp, TaskScheduledId"),
        (
            raw_event(ExecutionCompleted(timestamp=NOW, status=RuntimeStatus.Failed)) | {"OrchestrationStatus": 9},
            "OrchestrationStatus: 9 is not a valid RuntimeStatus",
        ),
    ],
)
def test_a_raw_event_that_is_none_of_the_extension_is_refused(raw, complaint):
    with pytest.raises(MalformedMessage, match=complaint):
        event_of(raw)
