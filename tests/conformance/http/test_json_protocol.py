"""Recorded scenarios of the extension, with our side of the JSON protocol in the place of the extension's.

The official SDK answers in a process of its own, ours through its JSON shell; functions that answer with states written
by hand are run as they are. What they are given, the answers to all requests, the messages on the queues, the rows and
the names of the blobs agree with the recording; only times, ids and .NET's own texts are masked.
"""

import json
from collections import Counter
from dataclasses import replace

import pytest

from tests.support.alike import assert_alike
from tests.support.extension_state import (
    put_messages,
    recorded_blobs,
    recorded_messages,
    recorded_rows,
    without_traces,
)
from tests.support.http_target import running_target, without_server
from tests.support.lab import recorded_answers
from tests.support.played import Played, play, play_officially
from tests.support.recordings import folders
from tests.support.triggers import comparable, facts, indented, recorded_triggers

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

ELSEWHERE = {
    "entity_http": "test_entity_scenarios.py: a deleted entity is gone here, where the extension shows a null state",
    "http_purge_restart_rewind": "test_scenarios.py: running instances are not purged here",
}
OWN_WAY = {
    "event_other_case": "our SDK takes the first event, as test_scenarios.py shows, so that the scenario ends early",
}
NOT_STARTED = "fails here, where the extension forgets what it cannot start and waits for ever"
RELEASED = "gets its lock here, where the extension leaves entities locked by what failed"
MENDED = "our SDK mends what the official one does; see docs/reference/differences.md"
FAILED = "Orchestrator function '{}' failed: "
DISAGREES = (
    "Non-Deterministic workflow detected: A previous execution of this orchestration scheduled an activity task with "
    "sequence ID 0 and name 'echo' (version ''), but"
)
OTHERWISE = {  # by scenario: instances that end or are stored otherwise here, how they end, and why
    "entity_locks": {
        "calls_unlocked-1": (
            FAILED + "Must not call an entity from a critical section if it is not one of the locked",
            NOT_STARTED,
        ),
        "locks_twice-1": (FAILED + "Cannot acquire more locks when already holding some locks.", NOT_STARTED),
        "unknown_entity-1": (FAILED + "The function 'nowhere' doesn't exist, is disabled, or is not", NOT_STARTED),
        "same_key_twice_unreleased-1": (["Lock Acquisition Completed", "100"], RELEASED),
    },
    "limits": {
        "many-1": ("Orchestrator function 'too_many' failed: Maximum amount of orchestration actions (5)", NOT_STARTED),
        "one-1": (
            "Orchestrator function 'one_by_one' failed: Maximum amount of orchestration actions (5)",
            NOT_STARTED,
        ),
    },
    "replay_schemas": {
        "nondeterministic-1": (DISAGREES, "the extension stores what disagrees too, so that its API breaks off"),
        "fewer_actions-1": (DISAGREES, "the event that came does not count as played there"),
        "raised_empty-1": (
            FAILED + "One or more errors occurred. (Result: Failure\nException: Exception: it broke\n\n$OutOfProcData$:"
            '\nStack:   File "',
            "the stack in its output is of other files",
        ),
        "long_retry-1": (FAILED + "The Azure Storage provider supports a maximum of 6 days for time-", NOT_STARTED),
    },
    "unknown_functions": {
        "unknown_activity-1": (FAILED + "Activity function 'nowhere' failed: Activity function", NOT_STARTED),
        "unknown_activity_caught-1": ("Activity function 'nowhere' failed: Activity function 'nowhere'", NOT_STARTED),
        "unknown_sub-1": (FAILED + "Orchestrator function 'nowhere' failed: The function 'nowhere'", NOT_STARTED),
        "unknown_entity-1": (FAILED + "The function 'nowhere' doesn't exist, is disabled, or is not", NOT_STARTED),
        "own_id-1": (FAILED + "A sub-orchestration cannot have the instance ID", NOT_STARTED),
        "at_id-1": (FAILED + "Orchestration instance IDs must not start with @.", NOT_STARTED),
    },
}
OWN_OTHERWISE = {
    "external_event": {
        "events-1": (["null", '{"n": 1}', {"when": "2026-01-02T03:04:05Z", "n": 1.5}], MENDED),
        "events-2": (['"a"', '"b"'], MENDED),
    },
    "overridable_any_state": {"x-1": (["second", 1], MENDED)},
}
REPLACED = "what is to be replaced while it runs is terminated first here"
OFFICIAL_OTHERWISE = {
    "overridable_any_state": {"x-1": ("Orchestrator function 'waiting' failed: Expecting value", REPLACED)},
}
TOUCHED = {
    "call_http": ["refused-1", "retried-1", "multipart-1"],
    "entity_locks": ["@account@c1", "@account@d1", "@account@f1", "entities/account", "signals_locked-1"],
    "unknown_functions": ["original_unknown-1", "all_unknown-1"],
}
"""What else is left otherwise: failures of .NET's HTTP client, of which test_call_http.py compares the reasons; what
was locked; unknown activities, which fail here when their turn comes."""
REFUSED = ("nowhere", "%40at", "a%5Cb", "a%23b", "a%3Fb", "a%01b", "i" * 257, "rpc-2")
"""In ``http_start``: what the host refuses at once here."""

CALLS = "call_http"
"""The scenario with a server to call."""
SCENARIOS = [folder.name for folder in folders("extension") if folder.name not in ELSEWHERE]
EVERY_THIRD = [each for each in SCENARIOS if each != CALLS][::3]


def test_every_recorded_scenario_is_run_or_has_a_reason():
    assert sorted([*SCENARIOS, *ELSEWHERE]) == [folder.name for folder in folders("extension")]


# Ours takes no part in what the official one is told: every third is enough to see that it reads it.
@pytest.mark.parametrize(
    ("scenario", "sdk"), [*((each, "official") for each in SCENARIOS), *((each, "own") for each in EVERY_THIRD)]
)
async def test_a_recorded_scenario_runs_as_it_did(tmp_path, scenario, sdk):
    if sdk == "own" and scenario in OWN_WAY:
        pytest.skip(OWN_WAY[scenario])
    ends = {**OTHERWISE.get(scenario, {}), **(OWN_OTHERWISE if sdk == "own" else OFFICIAL_OTHERWISE).get(scenario, {})}
    left_out = [*ends, *TOUCHED.get(scenario, ())]
    options = {"otherwise": list(ends), "without": left_out, "waits": scenario != "http_start"}

    if scenario == CALLS:
        with running_target() as target:
            played = play_officially(scenario, tmp_path, **options, target=target.base)
        played = played.with_texts(lambda text: without_server(text, target.base))
    elif sdk == "own":
        played = await play(scenario, **options)
    else:
        played = play_officially(scenario, tmp_path, **options)

    for name, (output, _) in ends.items():
        check_end(name, played.ends[name], output)
    recorded = recorded_play(scenario, left_out)
    assert_alike(compared(scenario, played.answers, left_out), compared(scenario, recorded.answers, left_out))
    check_triggers(scenario, played.triggers, recorded.triggers, left_out)
    if scenario == "http_start":
        return  # too few of its instances are started alike
    messages = recorded_messages(scenario, without=left_out)
    if scenario == CALLS:
        messages = Counter((queue, hidden, without_server(text)) for queue, hidden, text in messages.elements())
    assert put_messages(played.puts, without=left_out) == messages
    if scenario != "unknown_functions":  # whose unknown child has a drawn id
        assert played.rows == recorded.rows
    assert played.blobs == recorded.blobs


def recorded_play(scenario, left_out):
    """Return what was recorded but for the messages, which are read another way."""
    recorded = Played(
        recorded_answers(scenario),
        [],
        recorded_triggers(scenario),
        recorded_rows(scenario, without=left_out),
        recorded_blobs(scenario),
    )
    return recorded.with_texts(without_server) if scenario == CALLS else recorded


def check_end(name, end, output):
    status, found = end
    if isinstance(output, str):
        wanted = output.replace("'{}'", f"'{name.removesuffix('-1')}'")
        found = found[: len(wanted)]
    else:
        wanted = output
    is_failure = isinstance(output, str) and output.startswith(("Orchestrator function", "Non-Deterministic"))
    assert (status, found) == ("Failed" if is_failure else "Completed", wanted)


def compared(scenario, answers, left_out):
    """Return the answers that are to agree: not those about instances that end otherwise."""
    parts = [*REFUSED] if scenario == "http_start" else []
    parts += [f"/{name.replace('@', '%40')}" for name in left_out]
    return [
        replace(each, body=without_traces(each.body)) for each in answers if not any(part in each.url for part in parts)
    ]


IN_THE_SAME_EPISODES = {"activity_values", "hello_sequence", "stored_inputs", "timer", "version_failed"}
"""Scenarios in which no two events can arrive together: the whole texts agree."""


def check_triggers(scenario, triggers, recorded, left_out):
    assert [text for _, _, text in triggers if indented(text) != text] == []
    if scenario in IN_THE_SAME_EPISODES:
        assert comparable(triggers) == comparable(recorded)
    elif scenario != "http_start":
        ours, theirs = facts(triggers, without=left_out), facts(recorded, without=left_out)
        assert ours - theirs == set()
        # The code of an instance that is terminated is run there once more, in vain.
        terminated = {instance_of(fact) for fact in theirs if '"EventType": 3,' in fact}
        assert [fact for fact in theirs - ours if instance_of(fact) not in terminated] == []


def instance_of(fact):
    _, _, *rest = json.loads(fact)
    return rest[0] if len(rest) == 2 else rest[0].get("instanceId")
