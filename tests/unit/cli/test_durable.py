"""`taskhub durable`: the verbs of `func durable`, their options, defaults and texts."""

import json
import re

import pytest

from taskhub.cli import durable
from taskhub.model.instance import RuntimeStatus

UNKNOWN = "Could not find an orchestration instance with id 'nobody'\n"


def ended(*instance_ids):
    async def until_ended(hub):
        return [await hub.end(each) for each in instance_ids]

    return until_ended


# ---- start-new, get-runtime-status, get-history, get-instances


def test_a_new_instance_is_told_with_its_time_and_id(taskhub):
    named = taskhub("durable", "start-new", "--function-name", "quick", "--id", "q-1")
    unnamed = taskhub("durable", "start-new", "--function-name", "quick")

    assert named.code == unnamed.code == 0
    assert re.fullmatch(r"Started 'quick' at 20[\d-]{8}T[\d:.]+Z\. Instance ID: 'q-1'\.\n", named.out)
    assert re.search(r"Instance ID: '[0-9a-f]{32}'\.\n\Z", unnamed.out)


@pytest.mark.parametrize(
    ("given", "stored"),
    [("5", '"5"'), ('{"a": 1}', '"{\\"a\\": 1}"'), ("blue", '"blue"'), ("@FILE", '{"colour":"blue"}'), (None, None)],
)
def test_an_input_is_a_text_but_for_a_file_which_holds_json(taskhub, tmp_path, given, stored):
    (tmp_path / "input.json").write_text('{"colour": "blue"}', encoding="utf-8")
    words = () if given is None else ("--input", given.replace("FILE", str(tmp_path / "input.json")))

    taskhub("durable", "start-new", "--function-name", "quick", "--id", "q", *words)

    assert taskhub("durable", "get-runtime-status", "--id", "q", "--show-input").json["Input"] == stored


def test_a_taken_id_and_a_start_without_a_function_are_refused(taskhub):
    taskhub("durable", "start-new", "--function-name", "quick", "--id", "q")

    again = taskhub("durable", "start-new", "--function-name", "quick", "--id", "q")
    nameless = taskhub("durable", "start-new")

    assert (again.code, again.out) == (1, "")
    assert "instance 'q' exists" in again.err
    assert nameless.code == 2
    assert "--function-name" in nameless.err


def test_a_state_has_dotnet_s_names_and_the_number_of_its_status(taskhub):
    taskhub("durable", "start-new", "--function-name", "quick", "--id", "q", "--input", "blue")
    taskhub.on_hub(ended("q"))

    state = taskhub("durable", "get-runtime-status", "--id", "q", "--show-input", "true", "--show-output", "true").json
    bare = taskhub("durable", "get-runtime-status", "--id", "q", "--show-input", "false").json

    assert list(state) == [
        "Version", "Status", "OrchestrationInstance", "ParentInstance", "Name", "Input", "Output", "CreatedTime",
        "CompletedTime", "LastUpdatedTime", "CompressedSize", "Size", "OrchestrationStatus", "Tags", "Generation",
        "ScheduledStartTime", "FailureDetails",
    ]  # fmt: skip
    assert (state["Name"], state["Input"], state["Output"]) == ("quick", '"blue"', '"blue"')
    assert (state["OrchestrationStatus"], state["Generation"]) == (RuntimeStatus.Completed.value, 0)
    assert state["OrchestrationInstance"]["InstanceId"] == "q"
    assert re.fullmatch(r"[0-9a-f]{32}", state["OrchestrationInstance"]["ExecutionId"])
    assert state["CreatedTime"] <= min(state["CompletedTime"], state["LastUpdatedTime"])
    assert (bare["Input"], bare["Output"]) == (None, None)
    assert {**bare, "Input": state["Input"], "Output": state["Output"]} == state


def test_what_has_not_ended_has_no_time_of_completion(taskhub):
    taskhub("durable", "start-new", "--function-name", "waiting", "--id", "w")

    state = taskhub("durable", "get-runtime-status", "--id", "w").json

    assert (state["OrchestrationStatus"], state["CompletedTime"]) == (6, "0001-01-01T00:00:00")


def test_an_unknown_instance_is_told_and_is_no_failure(taskhub):
    taskhub("hub", "create")

    done = taskhub("durable", "get-runtime-status", "--id", "nobody")

    assert (done.code, done.out) == (0, UNKNOWN)


def test_a_history_is_in_order_with_names_of_events(taskhub):
    taskhub("durable", "start-new", "--function-name", "flaky", "--id", "f")
    taskhub.broken.is_mended = True
    taskhub.on_hub(ended("f"))

    events = taskhub("durable", "get-history", "--id", "f").json

    kinds = [event["EventType"] for event in events]
    assert sorted(kinds) == [
        "ExecutionCompleted", "ExecutionStarted", "OrchestratorCompleted", "OrchestratorCompleted",
        "OrchestratorStarted", "OrchestratorStarted", "TaskCompleted", "TaskScheduled",
    ]  # fmt: skip
    assert [event["Timestamp"] for event in events] == sorted(event["Timestamp"] for event in events)
    by_kind = dict(zip(kinds, events, strict=True))
    assert (by_kind["ExecutionStarted"]["Name"], by_kind["TaskScheduled"]["Name"]) == ("flaky", "work")
    assert by_kind["TaskCompleted"]["TaskScheduledId"] == by_kind["TaskScheduled"]["EventId"] == 0
    assert taskhub("durable", "get-history", "--id", "nobody").json == []


def test_instances_come_in_pages_of_ten(taskhub):
    ids = [f"i-{number:02}" for number in range(12)]
    for each in ids:
        taskhub("durable", "start-new", "--function-name", "quick", "--id", each)

    def page(*words):
        text, _, rest = taskhub("durable", "get-instances", *words).out.rpartition("Continuation token for next")
        found = re.fullmatch(r" set of results: '(.*)'\n", rest)
        return [state["OrchestrationInstance"]["InstanceId"] for state in json.loads(text)], found[1]

    first, token = page()
    second, end = page("--continuation-token", token)

    assert (first, second, end) == (ids[:10], ids[10:], "")
    assert page("--top", "3")[0] == ids[:3]


@pytest.mark.parametrize("words", [("completed failed",), ("COMPLETED", "Failed"), ("completed,failed",)])
def test_instances_may_be_filtered_by_statuses_in_any_spelling_and_by_time(taskhub, words):
    for name in ("quick", "flaky", "waiting"):
        taskhub("durable", "start-new", "--function-name", name, "--id", name)
    taskhub.on_hub(ended("quick", "flaky"))

    def ids(*more):
        text = taskhub("durable", "get-instances", "--runtime-status", *words, *more).out.rpartition("Contin")[0]
        return [state["Name"] for state in json.loads(text)]

    assert ids() == ["flaky", "quick"]
    assert ids("--created-after", "2021-03-10T13:57:31Z", "--top", "1") == ["flaky"]
    assert ids("--created-before", "2021-03-10T23:59Z") == []
    assert taskhub("durable", "get-instances", "--runtime-status", "broken").code == 2


# ---- raise-event, terminate, rewind


def test_a_raised_event_comes_with_a_text_or_the_json_of_a_file(taskhub, tmp_path):
    (tmp_path / "data.json").write_text("[1, 2]", encoding="utf-8")
    for each in ("a", "b"):
        taskhub("durable", "start-new", "--function-name", "waiting", "--id", each)

    text = taskhub("durable", "raise-event", "--id", "a", "--event-name", "go", "--event-data", "3")
    file = taskhub(
        "durable", "raise-event", "--id", "b", "--event-name", "go", "--event-data", f"@{tmp_path / 'data.json'}"
    )
    states = taskhub.on_hub(ended("a", "b"))

    assert (text.code, text.out) == (0, "Raised event 'go' to instance 'a'.\n")
    assert file.out == "Raised event 'go' to instance 'b'.\n"
    assert [state.output for state in states] == ['"3"', "[1,2]"]


def test_an_event_without_a_name_gets_one_and_nobody_gets_none(taskhub):
    taskhub("durable", "start-new", "--function-name", "waiting", "--id", "w")

    nameless = taskhub("durable", "raise-event", "--id", "w")
    lost = taskhub("durable", "raise-event", "--id", "nobody", "--event-name", "go")

    assert re.fullmatch(r"Raised event 'Event_[0-9a-f]{32}' to instance 'w'\.\n", nameless.out)
    assert (lost.code, lost.out) == (1, UNKNOWN)


def test_a_termination_is_waited_for(taskhub, monkeypatch):
    monkeypatch.setattr(durable, "TERMINATE_SECONDS", 0.0)
    taskhub("durable", "start-new", "--function-name", "waiting", "--id", "w")

    late = taskhub("durable", "terminate", "--id", "w", "--reason", "enough")
    taskhub.on_hub(ended("w"))
    done = taskhub("durable", "terminate", "--id", "w")
    unknown = taskhub("durable", "terminate", "--id", "nobody")

    assert (late.code, late.out) == (
        1,
        "Sent a termination message to instance 'w'. Waiting up to 30 seconds...\n",
    )
    assert "Instance 'w' is Pending after 0 seconds" in late.err
    assert (done.code, done.out) == (0, "Successfully terminated 'w'\n")
    assert (unknown.code, unknown.out) == (0, "Failed to find instance 'nobody'. No instance was terminated.\n")


def test_what_has_ended_otherwise_cannot_be_terminated(taskhub):
    taskhub("durable", "start-new", "--function-name", "quick", "--id", "q")
    taskhub.on_hub(ended("q"))

    done = taskhub("durable", "terminate", "--id", "q")

    assert done.code == 1
    assert done.err == "Instance 'q' is Completed and cannot be terminated.\n"


def test_a_rewind_tells_the_status_before_and_after(taskhub, monkeypatch):
    monkeypatch.setattr(durable, "REWIND_SECONDS", 0.0)
    taskhub("durable", "start-new", "--function-name", "flaky", "--id", "f")
    taskhub.on_hub(ended("f"))
    taskhub.broken.is_mended = True

    done = taskhub("durable", "rewind", "--id", "f", "--reason", "mended")
    (state,) = taskhub.on_hub(ended("f"))
    again = taskhub("durable", "rewind", "--id", "f")
    unknown = taskhub("durable", "rewind", "--id", "nobody")

    assert (done.code, done.out.splitlines()[:2]) == (
        0,
        ["Rewind message sent to instance 'f'. Retrieving new status now...", "Status before rewind: Failed"],
    )
    assert done.out.splitlines()[2].startswith("Status after rewind: ")
    assert state.status is RuntimeStatus.Completed
    assert again.code == 1
    assert again.err == "instance 'f' is Completed; only failed ones can be rewound\n"
    assert (unknown.code, unknown.out) == (1, UNKNOWN)


# ---- purge-history, delete-task-hub


def test_a_purge_tells_its_window_and_counts_instances_and_rows(taskhub):
    for name in ("quick", "flaky", "waiting"):
        taskhub("durable", "start-new", "--function-name", name, "--id", name)
    taskhub.on_hub(ended("quick", "flaky"))

    failed = taskhub("durable", "purge-history", "--runtime-status", "failed", "--created-after", "2021-01-01")
    rest = taskhub("durable", "purge-history")

    assert failed.out.splitlines() == [
        "Purged the history of instances created after 2021-01-01T00:00:00Z and before any time, with status Failed.",
        "Instances deleted: 1",
        "Rows deleted: 9",
    ]
    assert rest.out.splitlines()[1:] == ["Instances deleted: 1", "Rows deleted: 5"]
    assert [each["instanceId"] for each in taskhub("instances", "list", "--json").json] == ["waiting"]


def test_a_hub_is_deleted_without_a_question(taskhub):
    taskhub("durable", "start-new", "--function-name", "waiting")

    done = taskhub("durable", "delete-task-hub")
    again = taskhub("durable", "delete-task-hub")

    assert (done.code, done.out) == (0, "Task hub 'CliHub' successfully deleted.\n")
    assert (again.code, again.err) == (1, "There is no task hub 'CliHub'.\n")


def test_options_have_the_original_s_names(taskhub, tmp_path, monkeypatch):
    taskhub("durable", "start-new", "--function-name", "waiting", "--id", "w")
    monkeypatch.setenv("MyStorage", "")
    where = ("--connection-string-setting", f"embedded:{taskhub.store}", "--task-hub-name", "CliHub")

    found = taskhub.bare("durable", "get-runtime-status", "--id", "w", *where)
    other = taskhub.bare("durable", "get-runtime-status", "--id", "w", *where[:2], "--task-hub-name", "Other")
    missing = taskhub.bare("durable", "get-runtime-status", "--id", "w", "--connection-string-setting", "MyStorage")

    assert found.json["Name"] == "waiting"
    assert "Could not find" in other.out
    assert missing.code == 1
    assert "there is no setting of that name" in missing.err
