from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.codec.history_rows import (
    Sentinel,
    decode_event,
    decode_sentinel,
    encode_event,
    execution_of,
    offloaded_columns,
    sentinel_columns,
)
from taskhub.errors import MalformedMessage, PayloadError
from taskhub.model import history as model
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from tests.support.strategies import EVENTS, events, storable_events

if TYPE_CHECKING:
    from taskhub.codec.overflow import EncodedRow

NOW = Utc("2024-02-27T17:20:34.5678901Z")
AT = {"timestamp": NOW}
TARGET = model.OrchestrationInstance("order-42", "0f0e")
FAILURE = model.FailureDetails("ValueError", "bad quantity", stack_trace="  at line 1")
TRACE = model.TraceContext("00-ab-cd-01", activity_start_time="2024-02-27T17:20:34.5678901+00:00")


def row_of(event: model.HistoryEvent, *, index: int = 5, is_played: bool = False) -> EncodedRow:
    return encode_event(
        event,
        instance_id="order/42",
        execution_id="0f0e",
        index=index,
        is_played=is_played,
        new_suffix=lambda: 0x1A2B3C4D,
    )


def own_columns(event: model.HistoryEvent) -> dict[str, object]:
    common = {"ExecutionId", "EventType", "EventId", "IsPlayed", "_Timestamp"}
    return {name: value for name, value in row_of(event).columns.items() if name not in common}


COLUMNS = [
    (
        model.ExecutionStarted(
            **AT,
            instance=TARGET,
            parent=model.ParentInstance("P", model.OrchestrationInstance("p", "x"), 2, ""),
            name="ProcessOrder",
            version="",
            input='{"qty":3}',
            tags={"k": "v"},
            correlation="c",
            parent_trace=TRACE,
            scheduled_start=Utc("2030-01-02T03:04:05Z"),
            generation=1,
            generate_new_trace=True,
        ),
        {
            "OrchestrationInstance": '{"InstanceId":"order-42","ExecutionId":"0f0e"}',
            "ParentInstance": '{"Name":"P","OrchestrationInstance":{"InstanceId":"p","ExecutionId":"x"},'
            '"TaskScheduleId":2,"Version":""}',
            "Name": "ProcessOrder",
            "Version": "",
            "Input": '{"qty":3}',
            "Tags": '{"k":"v"}',
            "Correlation": "c",
            "ParentTraceContext": '{"TraceParent":"00-ab-cd-01","TraceState":null,"Id":null,"SpanId":null,'
            '"ActivityStartTime":"2024-02-27T17:20:34.5678901+00:00"}',
            "ScheduledStartTime": Utc("2030-01-02T03:04:05Z"),
            "Generation": 1,
            "GenerateNewTrace": True,
        },
    ),
    (
        model.ExecutionStarted(**AT, instance=TARGET, name="N"),
        {
            "OrchestrationInstance": '{"InstanceId":"order-42","ExecutionId":"0f0e"}',
            "ParentInstance": "null",
            "Name": "N",
            "Tags": "null",
            "ParentTraceContext": "null",
            "GenerateNewTrace": False,
        },
    ),
    (
        model.ExecutionCompleted(**AT, status=RuntimeStatus.Completed, result="1"),
        {"OrchestrationStatus": "Completed", "Result": "1", "FailureDetails": "null"},
    ),
    (model.ExecutionTerminated(**AT, input="stop"), {"Input": "stop"}),
    (
        model.TaskScheduled(**AT, event_id=0, name="Charge", version=""),
        {"Name": "Charge", "Version": "", "ParentTraceContext": "null", "Tags": "null"},
    ),
    (model.TaskCompleted(**AT, task_scheduled_id=0, result='"ok"'), {"TaskScheduledId": 0, "Result": '"ok"'}),
    (
        model.TaskFailed(**AT, task_scheduled_id=0, reason="bad", details="d", failure=FAILURE),
        {
            "TaskScheduledId": 0,
            "Reason": "bad",
            "Details": "d",
            "FailureDetails": '{"ErrorType":"ValueError","ErrorMessage":"bad quantity","StackTrace":"  at line 1",'
            '"InnerFailure":null,"IsNonRetriable":false,"Properties":null}',
        },
    ),
    (
        model.SubOrchestrationCreated(**AT, event_id=2, name="Ship", instance_id="order-42:ship"),
        {"Name": "Ship", "InstanceId": "order-42:ship", "Tags": "null"},
    ),
    (model.SubOrchestrationCompleted(**AT, task_scheduled_id=2), {"TaskScheduledId": 2}),
    (
        model.SubOrchestrationFailed(**AT, task_scheduled_id=2, reason="no stock"),
        {"TaskScheduledId": 2, "Reason": "no stock", "FailureDetails": "null"},
    ),
    (model.TimerCreated(**AT, event_id=1, fire_at=NOW), {"FireAt": NOW}),
    (model.TimerFired(**AT, timer_id=1, fire_at=NOW), {"TimerId": 1, "FireAt": NOW}),
    (model.OrchestratorStarted(**AT), {}),
    (model.OrchestratorCompleted(**AT), {}),
    (
        model.EventSent(**AT, event_id=0, instance_id="@counter@a", name="op", input="{}"),
        {"InstanceId": "@counter@a", "Name": "op", "Input": "{}"},
    ),
    (
        model.EventRaised(**AT, name="Approval", input="true"),
        {"Name": "Approval", "Input": "true", "ParentTraceContext": "null"},
    ),
    (model.GenericEvent(**AT, data="x"), {"Data": "x"}),
    (model.ExecutionSuspended(**AT, reason="hold"), {"Reason": "hold"}),
    (model.ExecutionResumed(**AT), {}),
    (model.ExecutionRewound(**AT, reason="retry"), {"Reason": "retry", "ParentTraceContext": "null"}),
]


@pytest.mark.parametrize(("event", "columns"), COLUMNS, ids=lambda value: getattr(value, "type_name", ""))
def test_an_event_has_its_columns(event, columns):
    assert own_columns(event) == columns


def test_every_event_has_its_columns_tested():
    assert {type(event) for event, _ in COLUMNS} == set(EVENTS)


def test_the_common_columns_are_the_rows_not_the_events():
    event = model.TimerFired(timestamp=NOW, event_id=-1, is_played=False, timer_id=1, fire_at=NOW)

    row = row_of(event, index=255, is_played=True)

    assert row.row_key == "00000000000000FF"
    assert row.columns["ExecutionId"] == "0f0e"
    assert row.columns["EventType"] == "TimerFired"
    assert row.columns["EventId"] == -1
    assert row.columns["IsPlayed"] is True
    assert row.columns["_Timestamp"] == NOW
    assert "Timestamp" not in row.columns


@given(storable_events, st.integers(0, 2**40))
def test_every_event_comes_back_from_its_row(event, index):
    row = row_of(event, index=index, is_played=event.is_played)

    assert decode_event(row.columns) == event
    assert None not in row.columns.values()
    assert row.offloaded == ()


@given(events)
def test_a_row_of_any_event_can_be_stored_and_read(event):
    row = row_of(event, is_played=event.is_played)

    for value in row.columns.values():
        str(value).encode()
    assert row_of(decode_event(row.columns), is_played=event.is_played) == row


def test_half_of_a_surrogate_pair_in_json_means_the_same_when_it_was_stored():
    result = json.dumps("caf\udce9 é", ensure_ascii=False)

    stored = row_of(model.TaskCompleted(**AT, task_scheduled_id=0, result=result)).columns["Result"]

    assert stored == '"caf\\udce9 é"'
    assert json.loads(stored) == json.loads(result)


# ---- large values


@pytest.mark.parametrize(
    ("event", "column"),
    [
        (model.TaskCompleted(**AT, task_scheduled_id=0, result="r" * 30_721), "Result"),
        (model.TaskFailed(**AT, task_scheduled_id=0, reason="r" * 30_721), "Reason"),
        (model.TaskFailed(**AT, task_scheduled_id=0, details="r" * 30_721), "Details"),
        (
            model.TaskFailed(**AT, task_scheduled_id=0, failure=model.FailureDetails("E", "m" * 30_721)),
            "FailureDetails",
        ),
        (model.ExecutionStarted(**AT, instance=TARGET, name="n", input="r" * 30_721), "Input"),
        (model.ExecutionStarted(**AT, instance=TARGET, name="n" * 30_721), "Name"),
        (model.ExecutionStarted(**AT, instance=TARGET, name="n", tags={"k": "v" * 30_721}), "Tags"),
        (model.ExecutionStarted(**AT, instance=TARGET, name="n", correlation="r" * 30_721), "Correlation"),
    ],
)
def test_a_value_too_large_for_a_column_moves_to_a_blob_under_the_escaped_id(event, column):
    row = row_of(event)

    blob_name = f"order^042/history-0000000000000005-{event.type_name}-1A2B3C4D-{column}.json.gz"
    assert row.columns[column] == ""
    assert row.columns[f"{column}BlobName"] == blob_name
    assert [moved.blob_name for moved in row.offloaded] == [blob_name]
    assert offloaded_columns(row.columns) == {column: blob_name}
    assert decode_event(row.columns, {column: row.offloaded[0].text}) == event


def test_a_value_of_the_columns_size_stays():
    row = row_of(model.TaskCompleted(**AT, task_scheduled_id=0, result="r" * 30_720))

    assert row.offloaded == ()
    assert offloaded_columns(row.columns) == {}


def test_an_event_with_two_large_values_has_two_blobs():
    event = model.TaskFailed(**AT, task_scheduled_id=0, reason="a" * 40_000, details="b" * 40_000)

    row = row_of(event)

    assert set(offloaded_columns(row.columns)) == {"Reason", "Details"}
    assert decode_event(row.columns, {"Reason": "a" * 40_000, "Details": "b" * 40_000}) == event


@pytest.mark.parametrize("large", [None, {}, {"Details": "x"}])
def test_a_large_value_that_was_not_read_is_no_empty_value(large):
    columns = row_of(model.TaskCompleted(**AT, task_scheduled_id=0, result="r" * 30_721)).columns

    with pytest.raises(MalformedMessage, match=r"TaskCompleted: Result is in blob 'order\^042/.*which was not read"):
        decode_event(columns, large)


def test_other_columns_have_no_blob():
    row = row_of(model.GenericEvent(**AT, data="d" * 32_768))

    assert row.offloaded == ()
    assert row.columns["Data"] == "d" * 32_768


@pytest.mark.parametrize("data", ["d" * 32_769, "\U0001f600" * 16_385])
def test_what_no_column_holds_is_refused_with_its_place_and_limit(data):
    with pytest.raises(PayloadError, match=r"Data of a GenericEvent event has 327(69|70) characters .*holds 32768"):
        row_of(model.GenericEvent(**AT, data=data))


@pytest.mark.parametrize(
    ("event", "texts"),
    [
        (model.OrchestratorStarted(**AT), ()),
        (model.TaskCompleted(**AT, task_scheduled_id=0, result="r" * 1000), ("r" * 1000,)),
        (model.TaskCompleted(**AT, task_scheduled_id=0, result="\U0001f600"), ("xx",)),
        (model.TaskCompleted(**AT, task_scheduled_id=0, result="r" * 30_721), ()),
        (model.EventRaised(**AT, name="n", input="i"), ("n", "i")),
        (model.TaskFailed(**AT, task_scheduled_id=0, reason="r", details="d"), ("r", "d", "null")),
    ],
)
def test_the_size_is_a_kilobyte_and_the_utf_16_of_the_variable_texts(event, texts):
    assert row_of(event).size == 1024 + sum(2 * len(text) for text in texts)


# ---- limits


@pytest.mark.parametrize(
    "event",
    [
        model.TimerCreated(**AT, fire_at=Utc("0001-01-01T00:00:00Z")),
        model.TimerFired(**AT, timer_id=0, fire_at=Utc("1600-01-01T00:00:00Z")),
        model.ExecutionStarted(**AT, instance=TARGET, name="n", scheduled_start=Utc("1000-01-01T00:00:00Z")),
    ],
)
def test_a_time_that_a_table_cannot_hold_is_refused(event):
    with pytest.raises(PayloadError, match="cannot be stored"):
        row_of(event)


# ---- tolerant reading


def test_columns_that_an_event_does_not_have_are_ignored():
    columns = row_of(model.TaskCompleted(**AT, task_scheduled_id=0)).columns

    assert decode_event({**columns, "Reason": "Rewound: x", "Novelty": 1.5}) == model.TaskCompleted(
        **AT, task_scheduled_id=0
    )


def test_a_tombstone_of_a_rewound_event_is_a_generic_event():
    failed = row_of(model.TaskFailed(**AT, task_scheduled_id=0, reason="r" * 30_721), is_played=True).columns
    tombstone = {**failed, "EventType": "GenericEvent", "Reason": "Rewound: TaskFailed"}

    assert offloaded_columns(tombstone) == {}
    assert decode_event(tombstone) == model.GenericEvent(**AT, is_played=True)


@pytest.mark.parametrize("missing", ["Tags", "ParentTraceContext", "ParentInstance", "GenerateNewTrace", "IsPlayed"])
def test_a_row_of_an_older_version_is_accepted(missing):
    event = model.ExecutionStarted(**AT, instance=TARGET, name="N")
    columns = dict(row_of(event).columns)
    del columns[missing]

    assert decode_event(columns) == event


def test_types_in_a_column_of_json_are_left_out():
    columns = row_of(model.TaskScheduled(**AT, name="A")).columns
    columns["Tags"] = json.dumps({"$type": "System.Collections.Generic.Dictionary", "k": "v"})

    assert decode_event(columns) == model.TaskScheduled(**AT, name="A", tags={"k": "v"})


def test_a_text_that_reads_null_is_a_text():
    event = model.ExecutionStarted(**AT, instance=TARGET, name="null", input="null")

    assert decode_event(row_of(event).columns) == event


# ---- malformed


def test_what_the_reference_never_writes_is_refused():
    good = row_of(model.TaskFailed(**AT, task_scheduled_id=0, failure=FAILURE)).columns
    cases = [
        ({"EventType": "NoSuchEvent"}, "unknown EventType 'NoSuchEvent'"),
        ({"EventType": "ContinueAsNew"}, "unknown EventType 'ContinueAsNew'"),
        ({"EventType": 6}, "unknown EventType 6"),
        ({"TaskScheduledId": "0"}, "TaskScheduledId: expected an integer, got a text"),
        ({"TaskScheduledId": None}, "lacks TaskScheduledId"),
        ({"_Timestamp": "2024-02-27T17:20:34Z"}, "_Timestamp: expected a DateTime, got a text"),
        ({"FailureDetails": "{"}, "FailureDetails: not JSON"),
        ({"FailureDetails": "[]"}, "FailureDetails: expected an object, got an array"),
        ({"FailureDetails": '{"IsNonRetriable":1}'}, r"FailureDetails\.IsNonRetriable: expected true or false"),
        ({"FailureDetails": '{"a":' * 20_000}, "FailureDetails: not JSON: .*recursion"),
    ]
    for change, complaint in cases:
        with pytest.raises(MalformedMessage, match=complaint):
            decode_event({**good, **change})


def test_a_status_that_we_do_not_know_is_refused():
    columns = row_of(model.ExecutionCompleted(**AT, status=RuntimeStatus.Failed)).columns

    with pytest.raises(MalformedMessage, match="OrchestrationStatus: unknown runtime status 'Exploded'"):
        decode_event({**columns, "OrchestrationStatus": "Exploded"})


def test_a_start_without_its_instance_is_refused():
    columns = row_of(model.ExecutionStarted(**AT, instance=TARGET, name="N")).columns

    with pytest.raises(MalformedMessage, match="lacks OrchestrationInstance"):
        decode_event({**columns, "OrchestrationInstance": "null"})


# ---- the sentinel


def test_the_last_batch_of_an_episode_writes_its_time_and_others_leave_it():
    assert sentinel_columns("x", complete=True, completed_at=NOW) == {
        "ExecutionId": "x",
        "IsCheckpointComplete": True,
        "CheckpointCompletedTimestamp": NOW,
    }
    assert sentinel_columns("x", complete=False, completed_at=None) == {
        "ExecutionId": "x",
        "IsCheckpointComplete": False,
    }


def test_a_sentinel_comes_back():
    assert decode_sentinel(sentinel_columns("x", complete=True, completed_at=NOW)) == Sentinel("x", True, NOW)
    assert decode_sentinel({}) == Sentinel(None, False, None)


def test_every_row_tells_whose_it_is():
    assert execution_of(row_of(model.OrchestratorStarted(**AT)).columns) == "0f0e"
    assert execution_of(sentinel_columns("x", complete=False, completed_at=None)) == "x"
    assert execution_of({}) is None
