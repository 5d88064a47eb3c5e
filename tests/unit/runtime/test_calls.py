"""Storage transactions, to the number: what `python -m benchmarks.calls` prints, held against the reference.

The reference's figures are storage.md's, section 8, in the best case (`REFERENCE`); a change that makes a figure of
ours larger must say why here, one that makes it smaller is welcome to lower it.
"""

import pytest

from benchmarks.calls import MODES, REFERENCE, REFERENCE_IDLE_MINUTE, SCENARIOS, count_idle_minute, count_instance
from taskhub.model.leases import PartitionManager

# Of the worker, without empty reads and leases: classic, warm. A number alone is both.
EXPECTED = {
    "hello": {
        "queue.get full control": 4,
        "queue.get full workitems": 3,
        "table.get Instances": 1,
        "table.query History": (4, 1),
        "queue.put workitems": 3,
        "queue.put control": 3,
        "table.batch History": (4, 6),  # warm: what it was told is stored ahead of what it asks for next
        "table.patch Instances": 4,
        "queue.delete_message workitems": 3,
        "queue.delete_message control": 4,
    },
    "fan_out_10": {
        "queue.get full control": 2,
        "queue.get full workitems": 1,
        "table.get Instances": 1,
        "table.query History": (2, 1),
        "queue.put workitems": 10,
        "queue.put control": 10,
        "table.batch History": 2,
        "table.patch Instances": 2,
        "queue.delete_message workitems": 10,
        "queue.delete_message control": 11,
    },
    "fan_out_100": {
        "queue.get full control": 6,
        "queue.get full workitems": 5,
        "table.get Instances": 1,
        "table.query History": (6, 1),
        "queue.put workitems": 100,
        "queue.put control": 100,
        "table.batch History": 7,
        "table.patch Instances": 6,
        "queue.delete_message workitems": 100,
        "queue.delete_message control": 101,
    },
    "timer": {
        "queue.get full control": 2,
        "table.get Instances": 1,
        "table.query History": (2, 1),
        "queue.put control": 1,
        "table.batch History": 2,
        "table.patch Instances": 2,
        "queue.delete_message control": 2,
    },
    "event": {
        "queue.get full control": 2,
        "table.get Instances": 1,
        "table.query History": (2, 1),
        "table.batch History": 2,
        "table.patch Instances": 2,
        "queue.delete_message control": 2,
    },
    "sub_orchestration": {
        "queue.get full control": 4,
        "queue.get full workitems": 1,
        "table.get Instances": 1,
        "table.query History": (4, 2),
        "queue.put workitems": 1,
        "queue.put control": 3,
        "table.batch History": (4, 5),
        "table.post Instances": 1,
        "table.patch Instances": 3,
        "queue.delete_message workitems": 1,
        "queue.delete_message control": 4,
    },
    "entity_call": {
        "queue.get full control": 3,
        "table.get Instances": 1,
        "table.query History": (3, 2),
        "queue.put control": 2,
        # warm: how the caller and the entity began is stored ahead of the request and of the answer
        "table.batch History": (3, 5),
        "table.post Instances": 1,
        "table.patch Instances": 2,
        "queue.delete_message control": 3,
    },
}
# With all shortcuts.
FAST = {
    "hello": {
        "queue.get full control": 1,
        "table.get Instances": 1,
        "queue.put workitems": 3,
        # What it was told is stored ahead of the second and the third step. Those are of activities that are known to
        # be quick by then, and stored together with their answers.
        "table.batch History": 4,
        "table.patch Instances": 2,
        "queue.delete_message workitems": 3,
        "queue.delete_message control": 1,
    },
    "fan_out_10": {
        "queue.get full control": 1,
        "table.get Instances": 1,
        "queue.put workitems": 10,
        "table.batch History": 2,
        "table.patch Instances": 2,
        "queue.delete_message workitems": 10,
        "queue.delete_message control": 1,
    },
    "fan_out_100": {
        "queue.get full control": 1,
        "table.get Instances": 1,
        "queue.put workitems": 100,
        "table.batch History": 4,
        "table.patch Instances": 2,
        "queue.delete_message workitems": 100,
        "queue.delete_message control": 1,
    },
    "timer": {
        "queue.get full control": 1,
        "table.get Instances": 1,
        "queue.put control": 1,
        "table.batch History": 2,
        "table.patch Instances": 2,
        "queue.delete_message control": 2,
    },
    "event": {
        "queue.get full control": 2,
        "table.get Instances": 1,
        "table.batch History": 2,
        "table.patch Instances": 2,
        "queue.delete_message control": 2,
    },
    "sub_orchestration": {
        "queue.get full control": 1,
        "table.get Instances": 1,
        "table.query History": 1,
        "queue.put workitems": 1,
        "queue.put control": 2,
        "table.batch History": 5,  # the end of the child is an answer of its own, so its beginning is stored ahead
        "table.post Instances": 1,
        "table.patch Instances": 3,
        "queue.delete_message workitems": 1,
        "queue.delete_message control": 3,
    },
    "entity_call": {
        "queue.get full control": 1,
        "table.get Instances": 1,
        "table.query History": 1,
        "queue.put control": 2,
        "table.batch History": 5,
        "table.post Instances": 1,
        "table.patch Instances": 2,
        "queue.delete_message control": 3,
    },
}
CLIENT = {"table.get Instances -> 404": 1, "queue.put control": 1, "table.post Instances": 1}
READS = {"queue.get empty control": 8, "queue.get empty workitems": 2, "blob.put.lease applease": 2.4}
IDLE_MINUTE = {
    PartitionManager.TABLE: {**READS, "table.query Partitions": 2, "table.batch Partitions": 2},
    PartitionManager.SAFE: {**READS, "blob.put.lease leases": 48},
    PartitionManager.LEGACY: {**READS, "blob.put.lease leases": 24},
}


def expected(scenario, mode):
    if mode == "fast":
        return FAST[scenario]
    return {kind: n if isinstance(n, int) else n[mode == "warm"] for kind, n in EXPECTED[scenario].items()}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("mode", MODES)
def test_an_instance_costs_exactly(scenario, mode):
    calls = count_instance(scenario, mode)

    assert calls.worker == expected(scenario.name, mode)
    assert calls.client == {**CLIENT, "queue.put control": 2 if scenario.raises_event else 1}


@pytest.mark.parametrize("scenario", REFERENCE)
def test_no_instance_costs_more_than_with_the_reference_and_each_shortcut_makes_it_cheaper(scenario):
    reference, client = REFERENCE[scenario]
    classic, warm, fast = (sum(expected(scenario, mode).values()) for mode in MODES)

    assert classic <= reference
    # What an entity call costs more is spent on never running an operation twice.
    assert warm < reference or scenario == "entity_call"
    assert fast < warm
    assert sum(CLIENT.values()) <= client


def test_all_shortcuts_together_reach_their_goals():
    hello, fan_out = (sum(FAST[name].values()) + sum(CLIENT.values()) for name in ("hello", "fan_out_100"))

    assert (hello, fan_out) == (18, 212)  # of 36 and 653 requests of the official stack


@pytest.mark.parametrize("manager", PartitionManager, ids=lambda manager: manager.value)
def test_an_idle_minute_costs_exactly(manager):
    counted = count_idle_minute(manager)

    assert counted == IDLE_MINUTE[manager]
    assert sum(counted.values()) <= REFERENCE_IDLE_MINUTE[manager]


def test_an_idle_minute_of_a_worker_that_makes_ordinary_rounds_costs_exactly():
    counted = count_idle_minute(PartitionManager.TABLE, long_lease_rounds=False)

    assert counted == {**READS, "table.query Partitions": 6, "table.batch Partitions": 6}
