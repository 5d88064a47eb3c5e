import json
from datetime import timedelta

import pytest

from taskhub.codec.action_lists import BadAnswer, read_answer, read_raised_answer, split_failure
from taskhub.codec.orchestrator_triggers import TriggerFacts, event_text, trigger_text
from taskhub.model import action_list as listed
from taskhub.model.entities import EntityId

FACTS = TriggerFacts(timedelta(days=6), timedelta(days=3), timedelta(seconds=30))


def state(*actions, **keys):
    return json.dumps({"isDone": False, "schemaVersion": 2, "actions": [list(actions)], **keys})


@pytest.mark.parametrize(
    ("schema", "splits"), [(None, False), (0, False), (1, False), (2, True), ("V3", True), (3, True)]
)
def test_schemas_of_the_extension_are_read(schema, splits):
    answer = read_answer(state({"actionType": 0, "functionName": "A", "input": "1"}, schemaVersion=schema))

    assert answer.groups == ((listed.CallActivity("A", '"1"'),),)
    assert answer.splits_timers is splits


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (state(schemaVersion=4), 'The OOProc schema of of version "4" is unsupported'),
        (state(schemaVersion="V9"), 'Error converting value "V9"'),
        (state(schemaVersion=True), 'The OOProc schema of of version "True" is unsupported'),
        (state(actions=[[], []]), "expected actions array to be of length 1 in outer layer but got size: 2"),
        (state(actions=None), "Object reference not set"),
        (state(actions=None, schemaVersion=0), "must have a non-null actions property"),
        (state({"actionType": "Nope"}), 'Error converting value "Nope"'),
        (state({"actionType": 0}), r"The action at 'actions\[0\]\[0\]' \(0\) cannot be read: lacks 'functionName'"),
        (state({"actionType": 5, "fireAt": "soon"}), "cannot be read: Invalid isoformat"),
        (state({"actionType": 7, "instanceId": "x", "operation": "o"}), "'x' is no id of an entity"),
        (state({"actionType": 12, "compoundActions": [7]}), r"Path 'actions\[0\]\[0\].compoundActions\[0\]'"),
        (state(error="it broke"), "Object reference not set"),
        ("[1]", "was not valid json"),
        ('"text"', "must return a valid JSON schema"),
        ("{", "must return a valid JSON schema"),
    ],
)
def test_what_cannot_be_carried_out_is_refused_in_the_extension_s_words(text, complaint):
    with pytest.raises(BadAnswer, match=complaint):
        read_answer(text)


def test_an_unknown_number_waits_for_its_turn():
    ((action,),) = read_answer(state({"actionType": 99})).groups

    assert action == listed.Impossible("Received an unexpected action type from the out-of-proc function: '$99'.")


@pytest.mark.parametrize("text", [None, "null"])
def test_no_answer_ends_the_orchestration(text):
    assert read_answer(text) == listed.Answer((), is_done=True)


def test_names_of_action_types_are_read_as_their_numbers():
    assert read_answer(state({"actionType": "ReleaseEntities"})).groups == ((listed.ReleaseEntities(),),)


def test_entities_to_lock_are_put_in_order_and_none_is_locked_twice():
    members = [{"name": "B", "key": "k"}, {"name": "a", "key": "k"}, {"name": "b", "key": "k"}]

    ((action,),) = read_answer(state({"actionType": 13, "lockSet": members})).groups

    assert action == listed.LockEntities((EntityId("a", "k"), EntityId("b", "k")))


def test_a_failure_carries_its_state_behind_the_last_marker():
    marker = "\n\n$OutOfProcData$:"

    assert split_failure(f"E: a{marker}b{marker}{{}}") == (f"E: a{marker}b", "{}")
    assert split_failure(f"E: a{marker}") == ("E: a", None)
    assert split_failure("E: a") == ("E: a", None)


def test_a_raised_state_has_its_error_and_its_details():
    details = {"ErrorType": "T", "ErrorMessage": "m", "InnerFailure": {"ErrorType": "I", "ErrorMessage": "i"}}

    answer = read_raised_answer(state(error="broke", failureDetails=details, customStatus={"a": 1}))

    assert (answer.error, answer.custom_status) == ("broke", '{"a":1}')
    assert answer.failure is not None
    assert answer.failure.inner_failure is not None
    assert (answer.failure.error_type, answer.failure.inner_failure.error_message) == ("T", "i")


def test_a_trigger_is_indented_as_the_extension_does_it():
    events = [{"EventType": 0, "Name": "ä", "Tags": {"a": "b"}, "Input": None}, {"EventType": 12, "Tags": {}}]

    text = trigger_text(
        [event_text(each) for each in events],
        FACTS,
        instance_id="i-1",
        parent_instance_id=None,
        input_text='"{}"',
        is_replaying=False,
    )

    assert text == json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    assert json.loads(text)["history"] == events
    assert json.loads(text)["input"] == "{}"


def test_an_input_that_is_no_json_is_handed_over_as_it_is():
    text = trigger_text([], FACTS, instance_id="i", parent_instance_id="p", input_text="raw words", is_replaying=True)

    assert json.loads(text)["input"] == "raw words"
    assert json.loads(text)["history"] == []


@pytest.mark.parametrize(
    ("span", "text"),
    [
        (timedelta(days=6), "6.00:00:00"),
        (timedelta(hours=1, seconds=2), "01:00:02"),
        (timedelta(seconds=1, microseconds=500_000), "00:00:01.5000000"),
        (timedelta(), "00:00:00"),
    ],
)
def test_spans_are_written_as_the_sdk_reads_them(span, text):
    facts = TriggerFacts(span, span, timedelta(seconds=30))

    told = json.loads(
        trigger_text([], facts, instance_id="i", parent_instance_id=None, input_text=None, is_replaying=False)
    )

    assert told["maximumShortTimerDuration"] == told["longRunningTimerIntervalDuration"] == text
