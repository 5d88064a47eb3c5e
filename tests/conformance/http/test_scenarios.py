"""Recorded scenarios of the extension, run through our whole stack on SQLite and Azurite.

Real HTTP, the SDK, the host and the worker. The answers to all requests, the messages on the queues, the rows and the
names of the blobs agree with the recording; only times, ids and .NET's own texts are masked.
"""

import json
from dataclasses import replace

import pytest

from tests.support.alike import assert_alike
from tests.support.extension_state import (
    put_messages,
    recorded_blobs,
    recorded_messages,
    recorded_rows,
    recorded_statuses,
    stored_blobs,
    stored_rows,
    without_traces,
)
from tests.support.lab import door_path, masked, recorded_answers, running_lab
from tests.support.recordings import folders

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

NOT_RUN = {
    "entity_locks": "its orchestrations are states written by hand, which only the official host asks for",
    "replay_schemas": "its orchestrations are states written by hand",
}
ELSEWHERE = {
    "call_http": "test_call_http.py: needs a server to call, and its raw actions said in the SDK's words",
    "entity_http": "test_entity_scenarios.py: a deleted entity is gone here, where the extension shows a null state",
    "http_purge_restart_rewind": "below: running instances are not purged here",
    "event_other_case": "below: here the first event is taken, so that the scenario ends early",
}
BY_HAND = "its state is written by hand"
GATE = "what is left open does not hold it here"
NOT_STARTED = "fails here, where the extension forgets what it cannot start and waits for ever"
OTHERWISE = {  # by scenario: instances that end otherwise here, and why
    "activity_values": {"hand-1": BY_HAND},
    "external_event": dict.fromkeys(("events-1", "events-2"), "the official SDK hands one event to two waits"),
    "limits": dict.fromkeys(("many-1", "one-1"), NOT_STARTED),
    "orchestrator_failed": {"with_open_work-1": GATE},
    "overridable_any_state": {
        "x-1": "the official SDK fails at an input that was encoded once; and it ends what is to be replaced first"
    },
    "sub_orchestration": {"versioned-1": BY_HAND},
    "timer": {"left-1": GATE},
    "unknown_functions": {
        **dict.fromkeys(
            ("unknown_activity-1", "unknown_activity_caught-1", "unknown_sub-1", "unknown_entity-1"), NOT_STARTED
        ),
        **dict.fromkeys(("own_id-1", "at_id-1"), NOT_STARTED),
        **dict.fromkeys(("signal_unknown-1", "original_unknown-1", "all_unknown-1"), BY_HAND),
    },
    "version_rejected": {"parent-1": BY_HAND},
}
ENDS = {  # of those that are not by hand: how they end here
    "events-1": ("Completed", ["null", '{"n": 1}', {"when": "2026-01-02T03:04:05Z", "n": 1.5}]),
    "events-2": ("Completed", ['"a"', '"b"']),
    "many-1": ("Failed", "Orchestrator function 'too_many' failed: Maximum amount of orchestration actions (5) has"),
    "one-1": ("Failed", "Orchestrator function 'one_by_one' failed: Maximum amount of orchestration actions (5) has"),
    "with_open_work-1": ("Failed", "Orchestrator function 'with_open_work' failed: left something running"),
    "x-1": ("Completed", ["second", 1]),
    "left-1": ("Completed", True),
    "unknown_activity-1": ("Failed", "Orchestrator function 'unknown_activity' failed: Activity function 'nowhere'"),
    "unknown_activity_caught-1": ("Completed", "Activity function 'nowhere' failed: Activity function 'nowhere' does"),
    "unknown_sub-1": ("Failed", "Orchestrator function 'unknown_sub' failed: Orchestrator function 'nowhere' failed"),
    "unknown_entity-1": ("Failed", "Orchestrator function 'unknown_entity' failed: The function 'nowhere' doesn't"),
    "own_id-1": ("Failed", "Orchestrator function 'own_id' failed: A sub-orchestration cannot have the instance ID"),
    "at_id-1": ("Failed", "Orchestrator function 'at_id' failed: Orchestration instance IDs must not start with @."),
}
REFUSED = (
    "raw_echo", "raw-", "nowhere", "%40at", "a%5Cb", "a%23b", "a%3Fb", "a%01b", "i" * 257, "rpc-2",
)  # fmt: skip
"""In ``http_start``: what is by hand, and what the host refuses at once here; an input that was encoded once."""

SCENARIOS = [folder.name for folder in folders("extension") if folder.name not in {*NOT_RUN, *ELSEWHERE}]
STORES = pytest.mark.parametrize(
    "any_storage", ["sqlite", pytest.param("azure", marks=pytest.mark.azurite)], indirect=True
)


def test_every_instance_that_ends_otherwise_is_looked_at():
    by_hand = [name for found in OTHERWISE.values() for name, reason in found.items() if reason == BY_HAND]
    named = [name for found in OTHERWISE.values() for name in found]

    assert sorted([*ENDS, *by_hand]) == sorted(named)


@STORES
@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_recorded_scenario_runs_as_it_did(any_storage, scenario):
    otherwise = OTHERWISE.get(scenario, {})

    async with running_lab(scenario, any_storage) as (module, lab):
        await module.drive(lab)
        for instance_id in otherwise:
            await check_end(lab, instance_id)
        if scenario != "http_start":
            for instance_id, status in recorded_statuses(scenario).items():
                if instance_id not in otherwise:
                    await lab.wait(instance_id, {status})

    assert_alike(compared(scenario, lab.answers), compared(scenario, recorded_answers(scenario)))
    if scenario == "http_start":
        return  # too few of its instances are started alike
    assert put_messages(lab.notes.puts, without=otherwise) == recorded_messages(scenario, without=otherwise)
    if any(reason == BY_HAND for reason in otherwise.values()) and scenario != "activity_values":
        return  # their children have ids that are drawn
    assert await stored_rows(any_storage, scenario, without=otherwise) == recorded_rows(scenario, without=otherwise)
    assert await stored_blobs(any_storage, scenario) == recorded_blobs(scenario)


async def check_end(lab, instance_id):
    if instance_id not in ENDS:
        return
    status, output = ENDS[instance_id]
    await lab.wait(instance_id)
    seen = await lab.status(instance_id)
    found = seen["output"]
    if isinstance(output, str):
        found = found[: len(output)]
    assert (seen["runtimeStatus"], found) == (status, output)


def compared(scenario, answers):
    """Return the answers that are to agree: not those about instances that end otherwise."""
    left_out = REFUSED if scenario == "http_start" else [f"/{name}" for name in OTHERWISE.get(scenario, {})]
    return [
        replace(each, body=without_traces(each.body))
        for each in answers
        if not any(part in each.url for part in left_out)
    ]


def test_every_recorded_scenario_is_run_or_has_a_reason():
    assert sorted([*SCENARIOS, *NOT_RUN, *ELSEWHERE]) == [folder.name for folder in folders("extension")]


# ---- those that go another way


async def test_an_event_whose_name_differs_in_case_is_taken_at_once():
    recorded = recorded_answers("event_other_case")

    async with running_lab("event_other_case") as (module, lab):
        with pytest.raises(Exception, match="gone: either completed or failed"):
            await module.drive(lab)

    # The SDK would wait for a second one, though the host has given it the first.
    assert_alike(lab.answers[:2], recorded[:2])
    shown, late = lab.answers[2:]
    assert (json.loads(shown.body)["runtimeStatus"], json.loads(recorded[2].body)["runtimeStatus"]) == (
        "Completed",
        "Running",
    )
    assert late.status == 410


async def test_purges_restarts_and_rewinds_are_answered_as_recorded_but_running_instances_stay():
    recorded = recorded_answers("http_purge_restart_rewind")

    async with running_lab("http_purge_restart_rewind") as (module, lab):
        await module.drive(lab)

    ours, theirs = list(lab.answers), list(recorded)
    assert len(ours) == len(theirs)
    of_live_ones = [
        index
        for index, each in enumerate(ours)
        if each.method == "DELETE" and each.url.endswith("runtimeStatus=Pending")
    ]
    lists = [index for index, each in enumerate(ours) if each.method == "GET" and door_path(each.url) == "/instances/"]
    assert [(ours[index].status, theirs[index].body) for index in of_live_ones] == [(404, '{"instancesDeleted":3}')]
    assert [instances(theirs[index]) for index in lists[1:]] == [[], []]
    assert [sorted(instances(ours[index])) for index in lists[1:]] == [
        ["GUID waiting Running", "q-3 quick Completed", "w-1 waiting Running"],
        ["GUID waiting Running", "w-1 waiting Running", "w-2 waiting Running"],
    ]
    # The worker may have taken the instance up before it was looked at, in either run.
    just_rewound = [index for index, each in enumerate(ours) if door_path(each.url) == "/instances/flaky-1"]
    for index in sorted([*of_live_ones, *lists[1:], *just_rewound], reverse=True):
        del ours[index], theirs[index]
    assert_alike(ours, theirs)


def instances(answer):
    found = json.loads(masked(answer.body))
    return [f"{each['instanceId']} {each['name']} {each['runtimeStatus']}" for each in found]


@pytest.mark.parametrize("scenario", ["http_purge_restart_rewind", "overridable_any_state"])
async def test_an_app_is_made_primary_as_recorded(scenario):
    """With the app lease it succeeds, with ``useAppLease`` false it cannot."""
    recorded = [each for each in recorded_answers(scenario) if each.url.endswith("/makeprimary")]

    async with running_lab(scenario) as (_, lab):
        for each in recorded:
            await lab.http(each.method, "makeprimary")

    assert recorded
    assert_alike(lab.answers, recorded)
