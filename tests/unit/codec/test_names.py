from __future__ import annotations

import pytest

from taskhub.errors import InvalidHubName
from taskhub.model.ids import PartitionIndex
from taskhub.names import HubNames


def test_queues_and_containers_are_lower_case_and_tables_are_not():
    names = HubNames.of("MyHub")

    assert names.control_queue(PartitionIndex(0)) == "myhub-control-00"
    assert names.control_queue(PartitionIndex(15)) == "myhub-control-15"
    assert names.work_item_queue == "myhub-workitems"
    assert names.history_table == "MyHubHistory"
    assert names.instances_table == "MyHubInstances"
    assert names.partitions_table == "MyHubPartitions"
    assert names.large_messages_container == "myhub-largemessages"
    assert names.dead_letters_container == "myhub-deadletters"
    assert names.app_lease_container == "myhub-applease"
    assert names.app_lease_blob == "myhub-appleaseinfo"
    assert names.leases_container == "myhub-leases"


@pytest.mark.parametrize("hub", ["abc", "TestHubName", "a1b", "A" * 49])
def test_a_name_that_storage_accepts_is_kept_as_it_is(hub):
    assert HubNames.of(hub).hub == hub


@pytest.mark.parametrize(
    "hub", ["", "ab", "1abc", "my-hub", "my_hub", "hub ", "hub\n", "Größe", "hub\u0661", "%HUB%", "a" * 50]
)
def test_a_name_that_storage_would_refuse_is_refused(hub):
    with pytest.raises(InvalidHubName, match=r"3 to 49 letters .*hubName in host\.json"):
        HubNames.of(hub)


def test_the_longest_name_fits_the_longest_container_and_table_name():
    names = HubNames.of("a" * 49)

    assert len(names.large_messages_container) == 63
    assert len(names.partitions_table) <= 63
