"""Storage transactions, to the number: what `python -m benchmarks.calls` prints, held against the reference.

The reference's figures are storage.md's, section 8, in the best case (`REFERENCE`); a change that makes a figure of
ours larger must say why here, one that makes it smaller is welcome to lower it.
"""

import pytest

from benchmarks.calls import REFERENCE, REFERENCE_IDLE_MINUTE, SCENARIOS, count_idle_minute, count_instance
from taskhub.model.leases import PartitionManager

EXPECTED = {  # classic and warm: transactions of the worker, without empty reads and leases
    "hello": (33, 30),
    "fan_out_10": (51, 50),
    "fan_out_100": (432, 427),
    "timer": (12, 11),
    "event": (11, 10),
    "sub_orchestration": (27, 25),
}
READS = {"queue.get empty control": 8, "queue.get empty workitems": 2, "blob.put.lease applease": 2.4}
IDLE_MINUTE = {
    PartitionManager.TABLE: {**READS, "table.query Partitions": 6, "table.batch Partitions": 6},
    PartitionManager.SAFE: {**READS, "blob.put.lease leases": 48},
    PartitionManager.LEGACY: {**READS, "blob.put.lease leases": 24},
}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize("warm", [False, True], ids=["classic", "warm"])
def test_an_instance_costs_exactly(scenario, warm):
    calls = count_instance(scenario, warm=warm)

    _, reference_client = REFERENCE[scenario.name]
    assert sum(calls.worker.values()) == EXPECTED[scenario.name][warm], calls
    assert sum(calls.client.values()) == reference_client, calls


def test_no_instance_costs_more_than_with_the_reference_and_warm_ones_less():
    for name, (worker, _) in REFERENCE.items():
        classic, warm = EXPECTED[name]
        assert classic <= worker, name
        assert warm < worker, name


@pytest.mark.parametrize("manager", PartitionManager, ids=lambda manager: manager.value)
def test_an_idle_minute_costs_exactly(manager):
    counted = count_idle_minute(manager)

    assert counted == IDLE_MINUTE[manager]
    assert sum(counted.values()) <= REFERENCE_IDLE_MINUTE[manager]
