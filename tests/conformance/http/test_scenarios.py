"""Recorded scenarios of the extension, run through our whole stack: the answers to all their requests agree.

Real HTTP, the SDK, the host, the worker and a memory store; only times, ids and .NET's own texts are masked.
"""

import json

import pytest

from tests.support.alike import assert_alike
from tests.support.lab import door_path, masked, recorded_answers, running_lab
from tests.support.recorded_http import ANSWERED_LIVE

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")


@pytest.mark.parametrize("scenario", ANSWERED_LIVE)
async def test_a_recorded_scenario_is_answered_alike(scenario):
    recorded = recorded_answers(scenario)

    async with running_lab(scenario) as (module, lab):
        await module.drive(lab)

    assert len(lab.answers) == len(recorded)
    assert_alike(lab.answers, recorded)


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


async def test_starts_of_an_id_that_is_taken_are_answered_as_recorded():
    recorded = recorded_answers("http_start")

    async with running_lab("http_start") as (module, lab):
        await module.drive(lab)

    about = [index for index, each in enumerate(recorded) if "dup-1" in each.url]
    assert len(about) == 6
    assert_alike([lab.answers[index] for index in about], [recorded[index] for index in about])


@pytest.mark.parametrize("scenario", ["http_purge_restart_rewind", "overridable_any_state"])
async def test_an_app_is_made_primary_as_recorded(scenario):
    """With the app lease it succeeds, with ``useAppLease`` false it cannot."""
    recorded = [each for each in recorded_answers(scenario) if each.url.endswith("/makeprimary")]

    async with running_lab(scenario) as (_, lab):
        for each in recorded:
            await lab.http(each.method, "makeprimary")

    assert recorded
    assert_alike(lab.answers, recorded)
