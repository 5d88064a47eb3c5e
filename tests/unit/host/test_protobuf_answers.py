"""What orchestrators and entities of the protocol answer, and what they are asked."""

import base64
import json

import durabletask.internal.orchestrator_service_pb2 as messages
import pytest

from taskhub.host.invoker import InvocationFailed
from taskhub.host.protobuf.actions import BadAnswer, actions_of
from taskhub.host.protobuf.payloads import ProtobufPayloads
from taskhub.model.actions import (
    CreateTimer,
    Raised,
    Restarted,
    Returned,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)
from taskhub.model.entities import EntityId, Signal, Start
from taskhub.model.history import EventRaised, FailureDetails
from taskhub.model.ids import Utc
from taskhub.runtime.application import EntityAnswered, EntityCall, EntityFailed

NOW, THEN = Utc("2024-02-27T17:20:34Z"), Utc("2024-02-27T17:20:35.5Z")
LATER = {"seconds": 1_709_054_435, "nanos": 500_000_000}
REQUEST_ID = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"


def decided(*actions, status=None):
    response = messages.OrchestratorResponse(actions=actions, customStatus=status)
    return actions_of(response, clock=NOW, next_task_id=1)


def ended(status, **fields):
    end = {"orchestrationStatus": f"ORCHESTRATION_STATUS_{status}", **fields}
    return decided({"id": 4, "completeOrchestration": end})


# ---- orchestrators


def test_operations_come_with_the_ids_of_the_answer_in_ascending_order():
    actions = decided(
        {"id": 9, "createTimer": {"fireAt": LATER}},
        {"id": 7, "scheduleTask": {"name": "a", "input": {"value": "[1]"}}},
        {"id": 8, "createSubOrchestration": {"name": "s", "instanceId": "c", "version": {"value": "2"}}},
        {"id": 10, "sendEvent": {"instance": {"instanceId": "o"}, "name": "E", "data": {"value": "1"}}},
        status={"value": '"here"'},
    )

    assert actions.operations == (
        ScheduleActivity(7, "a", "[1]"),
        StartSubOrchestration(8, "s", "c", None, "2"),
        CreateTimer(9, THEN),
        SendEvent(10, "o", "E", "1"),
    )
    assert (actions.custom_status, actions.outcome, actions.next_task_id) == ('"here"', None, 11)


def test_a_child_without_an_id_or_a_version_gets_those_of_the_hub():
    [child] = decided({"id": 1, "createSubOrchestration": {"name": "s", "version": {"value": ""}}}).operations

    assert child == StartSubOrchestration(1, "s", None, None, None)


def test_the_end_takes_the_id_that_it_was_given():
    actions = ended("COMPLETED", result={"value": "7"})

    assert (actions.outcome, actions.next_task_id) == (Returned("7"), 4)


def test_a_failure_is_told_in_words_and_as_it_is():
    failure = {"errorType": "ValueError", "errorMessage": "boom", "stackTrace": {"value": "File …"}}

    outcome = ended("FAILED", failureDetails=failure).outcome

    assert outcome == Raised("ValueError: boom", None, FailureDetails("ValueError", "boom", "File …"))


def test_a_new_generation_takes_events_and_version_over():
    carried = {"eventId": -1, "eventRaised": {"name": "E", "input": {"value": "1"}}}
    other = {"eventId": -1, "timerFired": {"timerId": 3}}

    outcome = ended(
        "CONTINUED_AS_NEW", result={"value": "2"}, carryoverEvents=[carried, other], newVersion={"value": "3"}
    ).outcome

    assert outcome == Restarted("2", (EventRaised(timestamp=NOW, name="E", input="1"),), version="3")


@pytest.mark.parametrize(
    ("message", "target", "event", "content"),
    [
        (
            {
                "entityOperationCalled": {
                    "requestId": REQUEST_ID,
                    "operation": "get",
                    "input": {"value": "1"},
                    "targetInstanceId": {"value": "@c@k"},
                    "parentInstanceId": {"value": "p"},
                }
            },
            "@c@k",
            "op",
            {"op": "get", "input": "1", "id": REQUEST_ID, "parent": "p"},
        ),
        (
            {
                "entityOperationSignaled": {
                    "requestId": REQUEST_ID,
                    "operation": "add",
                    "scheduledTime": LATER,
                    "targetInstanceId": {"value": "@c@k"},
                }
            },
            "@c@k",
            "op@2024-02-27T17:20:35.5000000Z",
            {"op": "add", "signal": True, "id": REQUEST_ID, "due": THEN},
        ),
        (
            {
                "entityLockRequested": {
                    "criticalSectionId": REQUEST_ID,
                    "lockSet": ["@c@a", "@c@b"],
                    "parentInstanceId": {"value": "p"},
                }
            },
            "@c@a",
            "op",
            {"op": None, "id": REQUEST_ID, "parent": "p", "lockset": [("c", "a"), ("c", "b")]},
        ),
        (
            {
                "entityUnlockSent": {
                    "criticalSectionId": REQUEST_ID,
                    "parentInstanceId": {"value": "p"},
                    "targetInstanceId": {"value": "@c@k"},
                }
            },
            "@c@k",
            "release",
            {"parent": "p", "id": REQUEST_ID},
        ),
    ],
    ids=["call", "signal for later", "lock", "unlock"],
)
def test_messages_to_entities_are_those_of_the_extension_without_labels(message, target, event, content):
    [sent] = decided({"id": 1, "sendEntityMessage": message}).operations

    told = json.loads(sent.input)
    assert (sent.instance_id, sent.name) == (target, event)
    assert told.pop("Timestamp", "0001-01-01T00:00:00") == "0001-01-01T00:00:00"
    assert told.pop("Predecessor", "0001-01-01T00:00:00") == "0001-01-01T00:00:00"
    del told["$type"]
    if "lockset" in told:
        told["lockset"] = [(each["name"], each["key"]) for each in told["lockset"]]
    assert told == content


@pytest.mark.parametrize(
    ("action", "why"),
    [
        ({"terminateOrchestration": {"instanceId": "x"}}, "unsupported action type 'terminateOrchestration'"),
        ({}, "unsupported action type 'None'"),
        ({"sendEntityMessage": {}}, "SendEntityMessage action type 'None' is not supported"),
        ({"sendEntityMessage": {"entityOperationSignaled": {"targetInstanceId": {"value": "c"}}}}, "'c' is no entity"),
        ({"sendEntityMessage": {"entityLockRequested": {"lockSet": ["@c@a"]}}}, "names who asks"),
        ({"completeOrchestration": {"orchestrationStatus": "ORCHESTRATION_STATUS_PENDING"}}, "status Pending"),
    ],
)
def test_what_nobody_can_carry_out_is_named(action, why):
    with pytest.raises(BadAnswer, match=why):
        decided({"id": 1, **action})


# ---- activities and entities

PAYLOADS = ProtobufPayloads(messages)


def batch(*operations, state=None):
    payload = {
        "self": {"name": "c", "key": "K"},
        "exists": state is not None,
        "state": state,
        "batch": [{"name": name, "input": given, "isSignal": False, "id": name} for name, given in operations],
    }
    return EntityCall("c", "K", json.dumps(payload), len(operations))


def answer(**fields):
    return base64.b64encode(messages.EntityBatchResult(**fields).SerializeToString()).decode()


def test_an_activity_gets_its_input_as_it_is_and_its_failure_is_structured():
    failed = PAYLOADS.activity_failed("a", InvocationFailed("ValueError: boom", "File …"))

    assert PAYLOADS.activity_input("[1]") == "[1]"
    assert failed.reason == "Function 'a' failed with an unhandled exception."
    assert failed.failure == FailureDetails("ValueError", "boom", "File …")


def test_an_entity_is_asked_with_its_state_and_all_operations():
    text = PAYLOADS.entity_request(batch(("add", "1"), ("get", None), state="5"))

    request = messages.EntityBatchRequest.FromString(base64.b64decode(text))
    assert (request.instanceId, request.entityState.value) == ("@c@K", "5")
    assert [(each.operation, each.requestId) for each in request.operations] == [("add", "add"), ("get", "get")]
    assert [each.HasField("input") for each in request.operations] == [True, False]


def test_an_entity_that_was_deleted_is_asked_without_a_state():
    call = batch(("get", None))

    request = messages.EntityBatchRequest.FromString(base64.b64decode(PAYLOADS.entity_request(call)))

    assert not request.HasField("entityState")


def test_an_entity_answers_with_results_errors_signals_and_starts():
    boom = {"errorType": "ValueError", "errorMessage": "boom"}

    answered = PAYLOADS.entity_answer(
        batch(("add", "1"), ("fail", None), ("note", None)),
        answer(
            entityState={"value": "6"},
            results=[
                {"success": {"result": {"value": "6"}}},
                {"failure": {"failureDetails": boom}},
                {"success": {"result": {"value": ""}}},
            ],
            actions=[
                {"id": 1, "sendSignal": {"instanceId": "@d@X", "name": "note", "scheduledTime": LATER}},
                {"id": 2, "startNewOrchestration": {"instanceId": "n", "name": "s", "input": {"value": "1"}}},
            ],
        ),
    )

    assert isinstance(answered, EntityAnswered)
    told = answered.answer
    assert (told.exists, told.state) == (True, "6")
    assert [(each.result, each.is_error) for each in told.results] == [("6", False), ('"boom"', True), (None, False)]
    assert told.results[1].failure == FailureDetails("ValueError", "boom")
    assert told.signals == (Signal(EntityId("d", "X"), "note", None, due=THEN),)
    assert told.starts == (Start("n", "s", "1"),)


def test_an_entity_that_clears_its_state_is_gone():
    answered = PAYLOADS.entity_answer(batch(("clear", None), state="5"), answer(results=[{"success": {}}]))

    assert (answered.answer.exists, answered.answer.state) == (False, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no base64", "no EntityBatchResult in base64"),
        (answer(results=[]), "has 0 results for 1 operations"),
        (answer(results=[{}]), "neither success nor failure"),
        (answer(failureDetails={"errorType": "E", "errorMessage": "broken"}), "broken"),
    ],
)
def test_an_answer_that_is_none_fails_the_batch(text, why):
    answered = PAYLOADS.entity_answer(batch(("get", None)), text)

    assert isinstance(answered, EntityFailed)
    assert why in answered.result


def test_operations_that_a_broken_batch_did_not_reach_fail_with_its_error():
    answered = PAYLOADS.entity_answer(
        batch(("add", "1"), ("get", None)),
        answer(
            entityState={"value": "6"},
            results=[{"success": {"result": {"value": "6"}}}],
            failureDetails={"errorType": "E", "errorMessage": "broken"},
        ),
    )

    assert [(each.result, each.is_error) for each in answered.answer.results] == [("6", False), ('"broken"', True)]
