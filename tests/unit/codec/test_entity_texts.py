import json

import pytest

from taskhub.codec.entity_texts import (
    decode_answer,
    decode_incoming,
    decode_scheduler,
    decode_status,
    decode_taken_requests,
    encode_release,
    encode_request,
    encode_response,
    encode_scheduler,
    encode_status,
    encode_taken_requests,
    event_name,
    trigger_text,
)
from taskhub.core.entity_memory import RequestMemory
from taskhub.errors import MalformedMessage
from taskhub.model.entities import (
    NEVER,
    BatchAnswer,
    Continue,
    EntityId,
    ReceiveBuffer,
    Release,
    Request,
    Response,
    SchedulerState,
    Signal,
    SorterState,
    Stamp,
)
from taskhub.model.history import FailureDetails
from taskhub.model.ids import Utc
from tests.support.builders import NOON
from tests.support.recordings import GOLDEN, rows_left


def recorded_events():
    """Yield name and input of each event that an entity was sent or sent in the recordings of the extension."""
    for path in sorted((GOLDEN / "extension").glob("*/messages.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            message = json.loads(line).get("message", {}).get("TaskMessage")
            if message and message["Event"]["EventType"] == 15 and "«" not in line:
                sender = json.loads(line)["message"]["Sender"]["InstanceId"]
                yield message["Event"]["Name"], message["Event"]["Input"], message["OrchestrationInstance"], sender


SENT = [(name, text, sender) for name, text, target, sender in recorded_events() if target["InstanceId"][0] == "@"]
ANSWERS = [
    text for _, text, target, sender in recorded_events() if target["InstanceId"][0] != "@" and sender[:1] == "@"
]
STATES = [row for row in rows_left("Instances") if row.partition_key.count("@") > 1]


def test_there_are_enough_recordings():
    assert (len(SENT) > 70, len(ANSWERS) > 30, len(STATES) > 20) == (True, True, True)


def test_every_recorded_message_to_an_entity_is_read_and_written_alike():
    for name, text, sender in SENT:
        incoming = decode_incoming(name, text)
        match incoming:
            case Request():
                assert encode_request(incoming, typed=bool(sender)) == text
            case Release():
                assert encode_release(incoming) == text
            case Continue():
                assert (name, text) == ("continue", None)


def test_every_recorded_answer_is_written_alike():
    for text in ANSWERS:
        plain = json.loads(text)
        assert encode_response(Response(plain["result"], is_error="exceptionType" in plain)) == text


@pytest.mark.parametrize("row", STATES, ids=lambda row: f"{row.where} {row.partition_key}")
def test_every_recorded_state_is_read_and_written_alike(row):
    scheduler = decode_scheduler(row.columns["Input"])

    assert encode_scheduler(scheduler) == row.columns["Input"]
    assert encode_status(scheduler) == row.columns["CustomStatus"]


# ---- the corners that no recording has

FULL = SchedulerState(
    exists=True,
    state='{"n":1}',
    queue=(Request("r1", "add", input="5", parent="order-42", parent_execution="e1", due=NOON),),
    locked_by="order-42",
    is_suspended=True,
    sorter=SorterState(
        last_sent={"@counter@b": Stamp.of(NOON)},
        received={
            "order-42": ReceiveBuffer(
                Stamp.of(NOON),
                "e1",
                (
                    Request(
                        "r2", "add", parent="order-42", timestamp=Stamp.of(NOON).plus(2), predecessor=Stamp.of(NOON)
                    ),
                ),
            )
        },
        receive_horizon=Stamp.of(NOON),
        send_horizon=Stamp.of(NOON).plus(1),
    ),
)


def test_a_full_state_survives_and_has_the_reference_s_keys():
    text = encode_scheduler(FULL)

    assert decode_scheduler(text) == FULL
    plain = json.loads(text)
    assert list(plain) == ["exists", "state", "queue", "lockedBy", "suspended", "sorter"]
    assert list(plain["sorter"]) == ["LastSentToInstance", "ReceivedFromInstance", "ReceiveHorizon", "SendHorizon"]
    assert list(plain["sorter"]["ReceivedFromInstance"]["order-42"]["Buffered"]) == ["2026-01-05T12:00:00.0000002Z"]
    assert decode_status(encode_status(FULL)) == (True, 1, "order-42")


@pytest.mark.parametrize(
    ("text", "exists"),
    [
        ('{"state":"7","sorter":{}}', True),  # of workers with entities of their own
        ('{"state":"null","sorter":{}}', False),  # deleted by Python
        ('{"sorter":{}}', False),
        ('{"exists":true,"state":"null","sorter":{}}', True),
        ('{"exists":false,"state":"7"}', False),
    ],
)
def test_existence_is_said_or_is_that_of_a_state(text, exists):
    assert decode_scheduler(text).exists is exists


def test_an_entity_that_was_never_asked_remembers_nothing():
    assert decode_scheduler(None) == SchedulerState()


def test_what_a_reader_does_not_know_travels_along():
    text = (
        '{"op":"add","id":"r1","Timestamp":"0001-01-01T00:00:00","Predecessor":"0001-01-01T00:00:00",'
        '"IsLockRequest":false,"parentTraceContext":{"traceparent":"00-1"},"createTrace":true}'
    )

    assert encode_request(decode_incoming("op", text), typed=False) == text


def test_the_id_stands_where_the_reference_looks_for_it():
    text = encode_request(Request("r1", "add", is_signal=True, input="5", parent="order-42"))

    assert list(json.loads(text))[:5] == ["$type", "op", "signal", "input", "id"]


def test_labels_with_an_offset_count_as_utc():
    text = '{"op":"add","id":"r1","Timestamp":"2026-01-05T13:00:00.5+01:00"}'

    assert decode_incoming("op", text).timestamp == Stamp.of(Utc("2026-01-05T12:00:00.5Z"))


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("op@2026-01-05T12:00:00.0000000Z", Request), ("release", Release), ("continue", Continue), ("hello", Continue)],
)
def test_the_name_of_an_event_tells_its_meaning(name, meaning):
    assert type(decode_incoming(name, '{"id":"r1","op":"add","parent":"order-42"}')) is meaning


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("op", None, "expected an object, got null"),
        ("op", "{", "request is not JSON"),
        ("op", "[]", "expected an object, got an array"),
        ("op", "{}", "lacks id"),
        ("op", '{"id":"r1","input":5}', "input: expected a text, got an integer"),
        ("op", '{"id":"r1","due":"soon"}', "due: not a time: 'soon'"),
        ("op", '{"id":"r1","Timestamp":"soon"}', "Timestamp: not a time: 'soon'"),
        ("op", '{"id":"r1","lockset":[{"name":"a","key":"b"}]}', "lacks parent"),
        ("op", '{"id":"r1","parent":"p","lockset":["a"]}', "lockset: expected an object"),
        ("release", '{"id":"r1"}', "release is not one of the extension: lacks parent"),
    ],
)
def test_a_message_that_cannot_be_read_is_named(name, text, complaint):
    with pytest.raises(MalformedMessage, match=complaint):
        decode_incoming(name, text)


def test_a_result_is_never_null():
    assert json.loads(encode_response(Response(None)))["result"] == "null"


def test_a_structured_failure_stands_beside_the_message_as_the_core_writes_it():
    failure = FailureDetails("ValueError", "boom", "File …")

    told = json.loads(encode_response(Response('"boom"', is_error=True, failure=failure)))

    assert (told["result"], "exceptionType" in told) == ('"boom"', True)
    assert told["failureDetails"] == {
        "ErrorType": "ValueError",
        "ErrorMessage": "boom",
        "StackTrace": "File …",
        "InnerFailure": None,
        "IsNonRetriable": False,
        "Properties": None,
    }


def test_the_time_of_a_late_request_is_in_its_name_with_seven_digits():
    assert event_name() == "op"
    assert event_name(NOON) == "op@2026-01-05T12:00:00.0000000Z"


# ---- user code


def test_a_trigger_is_indented_and_keeps_characters():
    scheduler = SchedulerState(exists=True, state="7")

    text = trigger_text(EntityId("counter", "Zürich"), scheduler, [Request("r1", None, is_signal=True)])

    assert text.splitlines()[:5] == ["{", '  "self": {', '    "name": "counter",', '    "key": "Zürich"', "  },"]
    assert json.loads(text)["batch"] == [{"name": "", "input": None, "isSignal": True, "id": "r1"}]


def test_an_answer_is_read_with_its_signals():
    text = json.dumps(
        {
            "entityExists": True,
            "entityState": "8",
            "results": [{"result": "8", "isError": False, "duration": 1.5}, {"result": '"no"', "isError": True}],
            "signals": [
                {"target": {"name": "Other", "key": "K"}, "name": "hello", "input": "1", "requestTime": "T"},
                {"target": {"name": "other"}},
            ],
        }
    )

    assert decode_answer(text, operations=2) == BatchAnswer(
        exists=True,
        state="8",
        results=(Response("8"), Response('"no"', is_error=True)),
        signals=(
            Signal(EntityId("other", "K"), "hello", "1", {"requestTime": "T"}),
            Signal(EntityId("other", ""), ""),
        ),
    )


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("hello", "answer of an entity function is not JSON"),
        ("[]", "expected an object, got an array"),
        ("null", "expected an object, got null"),
        ('{"unexpected": true}', "has 0 results for 1 operations"),
        ('{"results": [{}, {}]}', "has 2 results for 1 operations"),
        ('{"results": [1]}', "results: expected an object, got an integer"),
        ('{"entityState": {}, "results": [{}]}', "entityState: expected a text"),
        ('{"results": [{}], "signals": [{}]}', "lacks target"),
    ],
)
def test_an_answer_to_something_else_is_named(text, complaint):
    with pytest.raises(MalformedMessage, match=complaint):
        decode_answer(text, operations=1)


# ---- what lists and sentinels hold


@pytest.mark.parametrize("text", [None, "", "null", "7", "oops", '{"entityExists":1}'])
def test_any_custom_status_can_be_listed(text):
    assert decode_status(text) == (False, 0, None)


def test_what_was_taken_survives():
    memory = RequestMemory()
    for number in range(5):
        memory.take(f"{number}", NOON.moment())
    memory.take("3fa85f64-5717-4562-b3fc-2c963f66afa6", Utc("2026-01-05T12:01:00Z").moment())

    text = encode_taken_requests(memory.remembered())
    again = RequestMemory(decode_taken_requests(text))

    assert again.remembered() == memory.remembered()
    assert again.has_taken("3")
    assert not again.has_taken("5")
    assert len(text) == 2 * len("29460240:") + 6 * 22 + 1


@pytest.mark.parametrize("text", [None, "", "oops", "x:abc"])
def test_what_was_not_taken_by_us_is_nothing(text):
    assert decode_taken_requests(text) == {}


@pytest.mark.parametrize(
    "text", ["2026-11-24T13:31:43.3318141Z", "2026-11-24T13:31:43.33", "2026-11-24T13:31:43Z", "0001-01-01T00:00:00"]
)
def test_labels_keep_their_text(text):
    assert str(Stamp.parse(text)) == text


def test_a_label_without_a_time_is_the_first_of_all():
    assert Stamp.parse("0001-01-01T00:00:00") == NEVER


@pytest.mark.parametrize(
    ("instance_id", "entity"),
    [
        ("@counter@a", EntityId("counter", "a")),
        ("@counter@", EntityId("counter", "")),
        ("@counter@a@b", EntityId("counter", "a@b")),
        ("@counter", EntityId("counter", "")),
        ("order-42", None),
    ],
)
def test_an_instance_id_is_split_at_its_second_at(instance_id, entity):
    assert EntityId.parse(instance_id) == entity
    assert EntityId.of("Counter", "A").instance_id == "@counter@A"
