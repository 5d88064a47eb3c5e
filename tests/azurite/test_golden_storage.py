"""Scenarios of the .NET provider, run again by our worker: they put and leave what the recordings show."""

import json
import re
from collections import Counter
from uuid import uuid4

import pytest

from taskhub import TaskHubSettings
from taskhub.runtime.timers import MARGIN_SECONDS
from taskhub.settings import CLASSIC
from tests.support.golden_state import put_messages, recorded_messages, recorded_state, stored_state
from tests.support.recorded_hub import recording
from tests.support.recorded_middles import UNKNOWN_NAMES
from tests.support.recordings import folders
from tests.support.storage_plays import PLAYS, Run

# The memory store is held to the same contract as these by tests/conformance/storage.
STORES = pytest.mark.parametrize(
    "any_storage", ["sqlite", pytest.param("azure", marks=pytest.mark.azurite)], indirect=True
)
IN_CLASSIC = (
    "hello_sequence",
    "fan_out_10",
    "sub_orchestration",
    "external_event_before",
    "suspend_resume",
    "send_event",
    "retry",
)
"""What the classic algorithm does otherwise than warm sessions shows in these."""
FAST = ("hello_sequence", "fan_out_10", "sub_orchestration", "suspend_resume", "retry", "send_event")
"""And what shortcuts do otherwise, in these."""


async def performed(storage, scenario, **settings):
    """Play a scenario; return the run and the hub's state after it."""
    play = PLAYS[scenario]
    # A new name for each run on the emulator that all tests share.
    run = Run(
        storage,
        TaskHubSettings(
            **{
                "hub_name": f"H{uuid4().hex[:12]}",
                "app_name": "interop",
                "default_version": "",
                "max_polling_interval_seconds": 0.2,
                "control_queue_visibility_seconds": 300,
                "work_item_visibility_seconds": 300,
                **play.settings,
                **settings,
            }
        ),
        play.client_settings,
    )
    if not play.has_worker:
        await run.client.create_hub()
    await play.perform(run)
    return run, await stored_state(storage, run.names, exact_episodes=play.is_exact)


# ---- where the reference loses or keeps what it should not, ours does better: docs/reference/differences.md


def without_the_start_of_what_was_terminated(state, messages, answers):
    state["rows"]["History"] = []
    for _, _, row in state["rows"]["Instances"]:
        row["Output"], row["RuntimeStatus"] = "not needed", "Terminated"
        del row["CustomStatus"]
    for message in [each for each in messages if "ExecutionStarted" not in each[3] and "Terminated" not in each[3]]:
        del messages[message]


def without_the_termination_of_nobody(state, messages, answers):
    assert state["queues"]["-control-02"] == 1
    state["queues"]["-control-02"] = 0


def with_the_start_in_eight_days(state, messages, answers):
    (at,) = [row for row in state["rows"]["Instances"] if row[0] == "call-2"]
    state["rows"]["Instances"].append(("call-4", "", {**at[2], "ExecutionId": "<execution of call-4>"}))
    state["queues"]["-control-00"] += 1
    (start,) = [each for each in messages if "call-2" in each[3]]
    # No message can be hidden longer than seven days; it is hidden again when it comes.
    messages["-control-00", "text", "604800", start[3].replace("call-2", "call-4")] = 1
    answers["start-at-too-far"] = "done"


BETTER = {
    "terminate_pending": without_the_start_of_what_was_terminated,
    "unknown_instance": without_the_termination_of_nobody,
    "client_calls": with_the_start_in_eight_days,
}

BLOBS_KEPT = {"purge_large_neighbour": "order-42"}
"""Instances whose blobs went with those of another one whose id begins alike."""


def recorded_answers(scenario):
    """Return what .NET's client was answered, in the words of ours."""
    answers = {}
    for name, value in recording(scenario).answers.items():
        if isinstance(value, dict) and "InstancesDeleted" in value:
            counted = ("InstancesDeleted", "RowsDeleted") if scenario == "purge_filter" else ("InstancesDeleted",)
            value = {count: value[count] for count in counted}
        elif isinstance(value, dict) and "error" in value:
            value = value["Message"] if "already exists" in value["Message"] else "refused"
        answers[name] = value
    return answers


# ---- the comparison

SCENARIOS = [name for name in PLAYS if name != "unknown_names"]
MODES = {
    "warm": {**CLASSIC, "warm_sessions": True},
    "classic": {**CLASSIC, "wake_readers": False},
    "fast": {},
}
RUNS = [
    *((scenario, "warm") for scenario in SCENARIOS),
    *((scenario, "classic") for scenario in IN_CLASSIC),
    *((scenario, "fast") for scenario in FAST),
]


def test_every_recorded_scenario_is_played():
    assert list(PLAYS) == [folder.name for folder in folders("storage")]


@STORES
@pytest.mark.parametrize(("scenario", "mode"), RUNS, ids=[f"{name}-{mode}" for name, mode in RUNS])
async def test_a_scenario_puts_and_leaves_what_the_reference_put_and_left(any_storage, scenario, mode):
    run, stored = await performed(any_storage, scenario, **MODES[mode])
    recorded = recorded_state(scenario, exact_episodes=PLAYS[scenario].is_exact, kept=BLOBS_KEPT.get(scenario))
    messages, answers = recorded_messages(scenario), recorded_answers(scenario)
    if scenario in BETTER:
        BETTER[scenario](recorded, messages, answers)

    put = put_messages(run.messages, whole=all(len(message) > 1 for message in messages))
    if mode == "fast":
        put, messages = in_sight(put), without_answers(messages)
    assert without_stacks(put) == without_stacks(messages)
    for _, _, row in [*stored["rows"]["History"], *recorded["rows"]["History"]]:
        row.pop("Details", None)
    for part in ("rows", "blobs", "queues"):
        assert stored[part] == recorded[part]
    assert run.answers == {name: answers[name] for name in run.answers}


OUT_OF_SIGHT = ("300", "60", "2")
"""Visibility timeouts of the plays: what is put for the same worker is hidden for as long."""
KEPT_TIMER = (str(MARGIN_SECONDS), str(MARGIN_SECONDS + 1))
"""So long is a timer of a second hidden, which the worker that asked for it fires itself."""


def in_sight(messages):
    """Return messages as if all had been put for everybody to see, without answers that go by no queue."""
    seen = Counter()
    for (queue, encoding, hidden, *text), count in messages.items():
        is_ours = hidden in OUT_OF_SIGHT or (hidden in KEPT_TIMER and "TimerFiredEvent" in text[0])
        seen[(queue, encoding, "0" if is_ours else hidden, *text)] += count
    return without_answers(seen)


def without_answers(messages):
    """Return messages without answers of activities, which go by no queue where both are in one process."""
    return {each: n for each, n in messages.items() if not re.search("History.Task(Completed|Failed)Event", each[3])}


def without_stacks(messages):
    """Return messages without where activities failed: the stacks of other languages."""
    return {
        tuple(re.sub(r'"Details":"(\\.|[^"\\])*"', '"Details":"..."', part) for part in message): count
        for message, count in messages.items()
    }


@STORES
async def test_unknown_names_fail_where_the_reference_waits_for_them(any_storage):
    run, stored = await performed(any_storage, "unknown_names", **MODES["warm"])
    recorded = recorded_state("unknown_names")

    found = {key: (row["RuntimeStatus"], row["Output"]) for key, _, row in stored["rows"]["Instances"]}
    assert found == UNKNOWN_NAMES
    assert not any(stored["queues"].values())
    # What the reference did before it gave up was the same.
    events = [row for row in recorded["rows"]["History"] if row[1] != "sentinel"]
    assert [row for row in stored["rows"]["History"] if row[0] == "unknown-2"][: len(events)] == events
    assert recorded_messages("unknown_names") <= put_messages(run.messages)
    assert json.loads(run.messages[-1].text)["TaskMessage"]["Event"]["TaskScheduledId"] == 0
