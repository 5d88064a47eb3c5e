"""Recorded scenarios of the extension, run through our whole stack: the answers to all their requests agree.

Real HTTP, the SDK, the host, the worker and a memory store; only times, ids and .NET's own texts are masked.
"""

import pytest

from tests.support.alike import assert_alike
from tests.support.lab import NotAvailable, door_path, recorded_answers, running_lab

pytestmark = pytest.mark.filterwarnings("ignore:azure.functions:DeprecationWarning")

SCENARIOS = (
    "activity_failed",
    "continue_as_new",
    "custom_status",
    "event_grid",
    "fan_out_10",
    "hello_sequence",
    "http_control",
    "http_status",
    "human_interaction",
    "stored_inputs",
    "wait_for_completion",
)


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_a_recorded_scenario_is_answered_alike(scenario):
    recorded = recorded_answers(scenario)

    async with running_lab(scenario) as (module, lab):
        await module.drive(lab)

    assert len(lab.answers) == len(recorded)
    assert_alike(lab.answers, recorded)


async def test_restarts_and_rewinds_are_answered_as_recorded():
    recorded = recorded_answers("http_purge_restart_rewind")

    async with running_lab("http_purge_restart_rewind") as (module, lab):
        with pytest.raises(NotAvailable, match="instances"):
            await module.drive(lab)

    answers = lab.answers[:-1]
    assert len([each for each in answers if "/restart" in each.url or "/rewind" in each.url]) == 14
    # The worker may have taken the instance up before it was looked at, in either run.
    just_rewound = door_path("/instances/flaky-1")
    assert_alike(
        [each for each in answers if door_path(each.url) != just_rewound],
        [each for each in recorded[: len(answers)] if door_path(each.url) != just_rewound],
    )
