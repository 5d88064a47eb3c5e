from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskhub.codec import history_rows
from taskhub.codec.instance_rows import (
    BlobUrls,
    blob_urls,
    checkpoint_columns,
    creation_columns,
    decode_instance,
    large_value,
    offloaded_columns,
    repair_columns,
    rewind_columns,
    status_columns,
    termination_columns,
)
from taskhub.codec.keys import escape_instance_id
from taskhub.codec.messages import encode_envelope, encode_pointer
from taskhub.errors import MalformedMessage, PayloadError
from taskhub.model.history import (
    EventRaised,
    ExecutionCompleted,
    ExecutionResumed,
    ExecutionStarted,
    ExecutionSuspended,
    ExecutionTerminated,
    FailureDetails,
    HistoryEvent,
    OrchestrationInstance,
    OrchestratorCompleted,
    OrchestratorStarted,
    TaskCompleted,
)
from taskhub.model.ids import ETag, Utc
from taskhub.model.instance import InstanceState, RuntimeStatus
from taskhub.model.messages import Envelope, TaskMessage
from tests.support.strategies import EVENTS, optional_texts, storable_texts, texts, times

T1 = Utc("2024-02-27T17:20:31.1Z")
T2 = Utc("2024-02-27T17:20:32.2Z")
T3 = Utc("2024-02-27T17:20:33.3Z")
NOW = Utc("2024-02-27T17:20:39.9Z")
CONTAINER = "myhub-largemessages"
LARGE = "x" * 30_721


def a_start(**changes: object) -> ExecutionStarted:
    given = {"timestamp": T1, "instance": OrchestrationInstance("order/42", "0f0e"), "name": "ProcessOrder"}
    return ExecutionStarted(**(given | changes))


def created(started: ExecutionStarted, *, input_url: str | None = None):
    return creation_columns(started, hub="MyHub", now=NOW, input_url=input_url, new_suffix=lambda: 0x0DDA057F)


def committed(*events: HistoryEvent, custom_status: str | None = None, **urls: str | None) -> dict[str, object]:
    return checkpoint_columns(events, hub="MyHub", execution_id="0f0e", custom_status=custom_status, now=NOW, **urls)


def url_of(blob_name: str) -> str:
    return f"https://account.blob.core.windows.net/{CONTAINER}/{blob_name}"


# ---- creation


def test_a_client_writes_the_instance_as_pending():
    started = a_start(version="1.0", input='{"qty":3}', tags={"k": "v"}, generation=2, scheduled_start=T3)

    row = created(started)

    assert row.row_key == ""
    assert row.offloaded == ()
    assert row.columns == {
        "Input": '{"qty":3}',
        "CreatedTime": T1,
        "Name": "ProcessOrder",
        "Version": "1.0",
        "RuntimeStatus": "Pending",
        "LastUpdatedTime": NOW,
        "TaskHubName": "MyHub",
        "ScheduledStartTime": T3,
        "ExecutionId": "0f0e",
        "Generation": 2,
        "Tags": '{"k":"v"}',
    }


def test_what_a_start_lacks_is_no_column_of_its_row():
    assert set(created(a_start()).columns) == {
        "CreatedTime",
        "Name",
        "RuntimeStatus",
        "LastUpdatedTime",
        "TaskHubName",
        "ExecutionId",
        "Tags",
    }
    assert created(a_start()).columns["Tags"] == "null"


def test_the_input_of_a_large_start_message_is_its_blob():
    row = created(a_start(input=LARGE), input_url=url_of("order/42/message-1-ExecutionStarted.json.gz"))

    assert row.columns["Input"] == url_of("order/42/message-1-ExecutionStarted.json.gz")
    assert "InputBlobName" not in row.columns
    assert row.offloaded == ()


def test_a_large_input_of_a_small_start_message_moves_to_a_blob_of_its_own():
    row = created(a_start(input=LARGE))

    assert row.columns["Input"] == ""
    assert row.columns["InputBlobName"] == "order^042/history--Input-0DDA057F-Input.json.gz"
    assert [moved.text for moved in row.offloaded] == [LARGE]


def test_large_tags_move_to_a_blob():
    row = created(a_start(tags={"k": LARGE}))

    assert row.columns["TagsBlobName"] == "order^042/history--Tags-0DDA057F-Tags.json.gz"


def test_a_scheduled_start_that_a_table_cannot_hold_is_refused():
    with pytest.raises(PayloadError, match="cannot be stored"):
        created(a_start(scheduled_start=Utc("1000-01-01T00:00:00Z")))


# ---- commits

ALWAYS = {"CustomStatus": "null", "ExecutionId": "0f0e", "TaskHubName": "MyHub"}
CHECKPOINTS = [
    ("nothing of note", [TaskCompleted(timestamp=T2, task_scheduled_id=0)], {}),
    (
        "a start",
        [
            OrchestratorStarted(timestamp=T3),
            a_start(input="1", version="", generation=0),
            OrchestratorCompleted(timestamp=T2),
        ],
        {
            "Name": "ProcessOrder",
            "Version": "",
            "CreatedTime": T1,
            "RuntimeStatus": "Running",
            "Tags": "null",
            "Generation": 0,
            "Input": "1",
        },
    ),
    (
        "a completion",
        [ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result='"ok"')],
        {"RuntimeStatus": "Completed", "CompletedTime": NOW, "Output": '"ok"'},
    ),
    (
        "a completion without a result",
        [ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed)],
        {"RuntimeStatus": "Completed", "CompletedTime": NOW},
    ),
    (
        "a failure with details",
        [
            ExecutionCompleted(
                timestamp=T2, status=RuntimeStatus.Failed, result="r", failure=FailureDetails("ValueError", "bad")
            )
        ],
        {"RuntimeStatus": "Failed", "CompletedTime": NOW, "Output": "ValueError: bad"},
    ),
    (
        "a termination",
        [ExecutionTerminated(timestamp=T2, input="enough")],
        {"RuntimeStatus": "Terminated", "CompletedTime": NOW, "Output": "enough"},
    ),
    ("a pause", [ExecutionSuspended(timestamp=T2, reason="hold")], {"RuntimeStatus": "Suspended", "Output": "hold"}),
    ("the end of a pause", [ExecutionResumed(timestamp=T2)], {"RuntimeStatus": "Running"}),
    (
        "a pause and a completion",
        [
            ExecutionSuspended(timestamp=T2, reason="hold"),
            ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result="1"),
        ],
        {"RuntimeStatus": "Completed", "CompletedTime": NOW, "Output": "1"},
    ),
    (
        "a pause and its end",
        [ExecutionSuspended(timestamp=T2, reason="hold"), ExecutionResumed(timestamp=T2, reason="go")],
        {"RuntimeStatus": "Running", "Output": "go"},
    ),
    (
        "a start that ends at once",
        [a_start(), ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result="1")],
        {
            "Name": "ProcessOrder",
            "CreatedTime": T1,
            "Tags": "null",
            "RuntimeStatus": "Completed",
            "CompletedTime": NOW,
            "Output": "1",
        },
    ),
]


@pytest.mark.parametrize(
    ("events", "columns"), [case[1:] for case in CHECKPOINTS], ids=[case[0] for case in CHECKPOINTS]
)
def test_a_commit_merges_what_its_events_say(events, columns):
    assert committed(*events) == ALWAYS | {"LastUpdatedTime": events[-1].timestamp} | columns


def test_a_commit_shows_the_custom_status():
    event = TaskCompleted(timestamp=T2, task_scheduled_id=0)

    assert committed(event, custom_status='{"step":1}')["CustomStatus"] == '{"step":1}'


def test_large_values_of_a_commit_are_shown_as_the_urls_of_their_blobs():
    events = [
        a_start(input=LARGE),
        ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result=LARGE),
    ]
    rows = [encoded(event, index) for index, event in enumerate(events)]

    urls = blob_urls(events, rows, url_of)
    columns = committed(*events, input_url=urls.input, output_url=urls.output)

    assert columns["Input"] == url_of(rows[0].offloaded[0].blob_name)
    assert columns["Output"] == url_of(rows[1].offloaded[0].blob_name)


@pytest.mark.parametrize(
    "event",
    [
        ExecutionTerminated(timestamp=T2, input=LARGE),
        ExecutionSuspended(timestamp=T2, reason=LARGE),
        ExecutionResumed(timestamp=T2, reason=LARGE),
    ],
)
def test_a_large_reason_is_shown_as_the_url_of_its_blob(event):
    row = encoded(event)

    assert blob_urls([event], [row], url_of) == BlobUrls(None, url_of(row.offloaded[0].blob_name))


def test_small_values_have_no_url():
    events = [a_start(input="1"), ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result="1")]

    assert blob_urls(events, [encoded(event) for event in events], url_of) == BlobUrls(None, None)


def test_the_last_output_counts_not_the_largest():
    events = [
        ExecutionSuspended(timestamp=T2, reason=LARGE),
        ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result="1"),
    ]

    assert blob_urls(events, [encoded(event) for event in events], url_of).output is None


def test_a_large_value_without_a_url_is_refused():
    with pytest.raises(PayloadError, match="Output of an instance row"):
        committed(ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result=LARGE))


def test_a_failures_text_that_has_no_blob_is_cut():
    failure = FailureDetails("ValueError", "\U0001f600" * 20_000 + "\ud800" * 20_000)

    output = committed(ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Failed, failure=failure))["Output"]

    assert len(output) == 15_360
    assert output.startswith("ValueError: \U0001f600")


def test_tags_too_large_for_a_column_are_left_as_the_creation_wrote_them():
    assert "Tags" not in committed(a_start(tags={"k": LARGE}))


@given(st.lists(st.one_of(*EVENTS.values()), min_size=1, max_size=6), optional_texts)
def test_a_row_merged_of_any_events_can_be_read(events, custom_status):
    columns = committed(*events, custom_status=custom_status)

    state = decode_instance("key", columns)

    for value in columns.values():
        str(value).encode()
    assert state.last_updated == events[-1].timestamp
    assert state.execution_id == "0f0e"


# ---- other writes


def test_an_instance_terminated_before_it_ran_is_shown_so():
    row = termination_columns(
        ExecutionTerminated(timestamp=T2, input="not needed"),
        instance_id="order/42",
        now=NOW,
        url_of=url_of,
        new_suffix=lambda: 1,
    )

    assert row.columns == {
        "RuntimeStatus": "Terminated",
        "LastUpdatedTime": T2,
        "CompletedTime": NOW,
        "Output": "not needed",
    }
    assert row.offloaded == ()


def test_a_large_reason_of_an_instance_terminated_before_it_ran_is_the_url_of_its_blob():
    row = termination_columns(
        ExecutionTerminated(timestamp=T2, input=LARGE),
        instance_id="order/42",
        now=NOW,
        url_of=url_of,
        new_suffix=lambda: 1,
    )

    assert row.columns["Output"] == url_of("order^042/history--Output-00000001-Output.json.gz")
    assert "OutputBlobName" not in row.columns
    assert [(moved.blob_name, moved.text) for moved in row.offloaded] == [
        ("order^042/history--Output-00000001-Output.json.gz", LARGE)
    ]


def test_a_rewound_instance_is_pending():
    assert rewind_columns(NOW) == {"RuntimeStatus": "Pending", "LastUpdatedTime": NOW}


HISTORY = [
    OrchestratorStarted(timestamp=T1),
    a_start(input="1"),
    ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result='"ok"'),
    OrchestratorCompleted(timestamp=T3),
]


def test_a_missing_row_is_made_anew_from_history():
    columns = repair_columns(HISTORY, hub="MyHub", execution_id="0f0e", row_exists=False)

    assert columns == {
        "CustomStatus": "null",
        "ExecutionId": "0f0e",
        "LastUpdatedTime": T3,
        "TaskHubName": "MyHub",
        "Name": "ProcessOrder",
        "CreatedTime": T1,
        "Tags": "null",
        "Input": "1",
        "RuntimeStatus": "Completed",
        "CompletedTime": T2,
        "Output": '"ok"',
    }


def test_a_row_that_disagrees_keeps_its_input_and_custom_status():
    columns = repair_columns(HISTORY, hub="MyHub", execution_id="0f0e", row_exists=True)

    assert columns["RuntimeStatus"] == "Completed"
    assert not {"Input", "CustomStatus"} & set(columns)


# ---- reading


def test_a_row_is_a_state():
    columns = created(a_start(version="1.0", input="1", tags={"k": "v"}, generation=2, scheduled_start=T3)).columns
    columns |= committed(
        ExecutionCompleted(timestamp=T2, status=RuntimeStatus.Completed, result='"ok"'), custom_status='"half"'
    )

    assert decode_instance("order^042", columns, etag=ETag("e")) == InstanceState(
        instance_id="order/42",
        execution_id="0f0e",
        name="ProcessOrder",
        version="1.0",
        status=RuntimeStatus.Completed,
        created=T1,
        last_updated=T2,
        completed=NOW,
        scheduled_start=T3,
        input="1",
        output='"ok"',
        custom_status='"half"',
        generation=2,
        tags={"k": "v"},
        etag=ETag("e"),
    )


def test_a_selected_row_is_a_state_with_gaps():
    assert decode_instance("a", {"RuntimeStatus": "Running"}) == InstanceState(
        "a", None, None, None, RuntimeStatus.Running, None, None
    )


@pytest.mark.parametrize("status", ["Exploded", "", "running", "is_terminal"])
def test_a_status_that_we_do_not_know_is_no_error(status):
    assert decode_instance("a", {"RuntimeStatus": status}).status is None


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        ({"Input": 1}, "Input: expected a text, got an integer"),
        ({"CreatedTime": "2024"}, "CreatedTime: expected a DateTime, got a text"),
        ({"Generation": "0"}, "Generation: expected an integer, got a text"),
        ({"Tags": "{"}, "Tags: not JSON"),
        ({"Tags": '{"k":1}'}, r"Tags\.k: expected a text, got an integer"),
    ],
)
def test_what_the_reference_never_writes_is_refused(columns, complaint):
    with pytest.raises(MalformedMessage, match=f"row of instance 'a/b' .*{complaint}"):
        decode_instance("a^0b", columns)


@given(texts, st.none() | storable_texts, st.none() | storable_texts, times)
def test_any_start_shows_in_its_row(instance_id, version, text, time):
    started = a_start(instance=OrchestrationInstance(instance_id, "0f0e"), version=version, input=text, timestamp=time)

    state = decode_instance(escape_instance_id(instance_id), created(started).columns)

    assert (state.instance_id, state.version, state.input, state.created) == (instance_id, version, text, time)


# ---- reading large values


@pytest.mark.parametrize(
    ("text", "blob_name"),
    [
        (url_of("order-42/history-0-A-1-Input.json.gz"), "order-42/history-0-A-1-Input.json.gz"),
        (
            "http://127.0.0.1:10000/devstoreaccount1/myhub-largemessages/%40counter%40a%5E0/history-0-A-1-Input.json.gz",
            "@counter@a^0/history-0-A-1-Input.json.gz",
        ),
        (f"https://memory.invalid/{CONTAINER}/a/b.json.gz", "a/b.json.gz"),
        ("https://account.blob.core.windows.net/otherhub-largemessages/a/b.json.gz", None),
        ("https://example.com/", None),
        (f"https://example.com/{CONTAINER}/a/page.html", None),
        (f'"{url_of("a/b.json.gz")}"', None),
        (f"/{CONTAINER}/a/b.json.gz", None),
        ("out of stock", None),
        ("", None),
    ],
)
def test_only_the_url_of_a_large_message_blob_is_one(text, blob_name):
    assert large_value(text, container=CONTAINER) == blob_name


def test_large_values_are_found_by_url_or_by_name():
    columns = {
        "Input": "",
        "InputBlobName": "a/i.json.gz",
        "Output": url_of("a/o.json.gz"),
        "TagsBlobName": "a/t.json.gz",
    }

    assert offloaded_columns(columns, container=CONTAINER) == {
        "Input": "a/i.json.gz",
        "Output": "a/o.json.gz",
        "Tags": "a/t.json.gz",
    }


@pytest.mark.parametrize(("value", "blobs"), [(url_of("a/new.json.gz"), {"Input": "a/new.json.gz"}), ("1", {})])
def test_the_blob_name_of_a_creation_is_a_left_over_after_the_first_commit(value, blobs):
    columns = {"Input": value, "InputBlobName": "a/old.json.gz"}

    assert offloaded_columns(columns, container=CONTAINER) == blobs


def test_large_values_are_those_of_their_blobs():
    columns = {"Input": "", "Output": url_of("a/o.json.gz"), "Tags": ""}

    state = decode_instance("a", columns, large={"Input": "1", "Output": "2", "Tags": '{"k":"v"}'})

    assert (state.input, state.output, state.tags) == ("1", "2", {"k": "v"})


def test_large_values_that_were_not_read_show_as_they_are_stored():
    columns = {"Input": "", "InputBlobName": "a/i.json.gz", "Output": url_of("a/o.json.gz")}

    state = decode_instance("a", columns)

    assert (state.input, state.output) == ("", url_of("a/o.json.gz"))


def start_message(event: HistoryEvent) -> str:
    return encode_envelope(Envelope(TaskMessage(event, OrchestrationInstance("order/42", None)), "id", 1))


@pytest.mark.parametrize("text", [None, LARGE])
def test_the_input_of_a_large_start_message_is_inside_of_it(text):
    columns = created(a_start(input=text), input_url=url_of("order/42/message-1-ExecutionStarted.json.gz")).columns

    assert decode_instance("a", columns, large={"Input": start_message(a_start(input=text))}).input == text


@pytest.mark.parametrize(
    "text", [start_message(EventRaised(timestamp=T1, name="n")), encode_pointer("a/b.json.gz"), "{not json"]
)
def test_a_start_messages_blob_that_holds_something_else_is_refused(text):
    columns = {"Input": url_of("a/message-1-ExecutionStarted.json.gz")}

    with pytest.raises(MalformedMessage):
        decode_instance("a", columns, large={"Input": text})


# ---- selecting


def test_a_read_of_everything_selects_nothing():
    assert status_columns(with_input=True, with_output=True) is None


def test_what_is_not_wanted_is_not_selected():
    without_both = status_columns(with_input=False, with_output=False)
    without_output = status_columns(with_input=True, with_output=False)

    assert not {"Input", "InputBlobName", "Output"} & set(without_both)
    assert {"Input", "InputBlobName"} <= set(without_output)
    assert "Output" not in without_output
    assert {"RuntimeStatus", "CustomStatus", "Tags", "TagsBlobName", "Generation"} <= set(without_both)


def encoded(event: HistoryEvent, index: int = 0) -> history_rows.EncodedRow:
    return history_rows.encode_event(
        event, instance_id="order/42", execution_id="0f0e", index=index, is_played=True, new_suffix=lambda: 7
    )
