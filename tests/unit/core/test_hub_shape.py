import pytest

from taskhub.core.hub_shape import HubPlaces, check_partition_count, choose_manager, count_partitions
from taskhub.errors import HubMismatch
from taskhub.model.leases import PartitionManager

TABLE, SAFE, LEGACY = PartitionManager.TABLE, PartitionManager.SAFE, PartitionManager.LEGACY
PLACES = HubPlaces("Orders", "OrdersPartitions", "orders-leases")


def choose(asked, found, at_work=()):
    return choose_manager(asked, found=frozenset(found), at_work=frozenset(at_work), places=PLACES)


@pytest.mark.parametrize(
    ("asked", "found", "at_work", "chosen"),
    [
        (None, [], [], TABLE),
        (None, [TABLE], [], TABLE),
        (None, [SAFE], [], SAFE),
        (None, [LEGACY], [], LEGACY),
        (None, [TABLE, SAFE], [], TABLE),
        (None, [TABLE, SAFE], [SAFE], SAFE),
        (None, [SAFE, LEGACY], [], SAFE),
        (None, [SAFE, LEGACY], [LEGACY], LEGACY),
        (TABLE, [], [], TABLE),
        (SAFE, [], [], SAFE),
        (LEGACY, [], [], LEGACY),
        (SAFE, [SAFE], [SAFE], SAFE),
        (LEGACY, [SAFE, LEGACY], [], LEGACY),
        (SAFE, [TABLE, SAFE], [SAFE], SAFE),
        (SAFE, [TABLE, SAFE], [], SAFE),
    ],
)
def test_an_existing_hub_is_followed(asked, found, at_work, chosen):
    assert choose(asked, found, at_work) is chosen


@pytest.mark.parametrize(
    ("asked", "found", "at_work", "says"),
    [
        (TABLE, [SAFE], [], "delete the container orders-leases once no worker uses the hub"),
        (SAFE, [TABLE], [], "delete the table OrdersPartitions once no worker uses the hub"),
        (LEGACY, [SAFE], [], "delete its lease blobs in container orders-leases once no worker uses the hub"),
        (TABLE, [SAFE], [SAFE], "stop the workers that do"),
        (TABLE, [TABLE, SAFE], [SAFE], "stop the workers that do"),
        (SAFE, [TABLE, SAFE], [TABLE, SAFE], "keep its leases in table OrdersPartitions"),
        (None, [TABLE, SAFE], [TABLE, SAFE], "table OrdersPartitions and container orders-leases at the same time"),
    ],
)
def test_settings_against_the_hub_are_refused_with_the_way_out(asked, found, at_work, says):
    with pytest.raises(HubMismatch) as refusal:
        choose(asked, found, at_work)

    assert "'Orders'" in str(refusal.value)
    assert says in str(refusal.value)


def test_the_number_of_partitions_is_the_hub_s():
    check_partition_count(4, 4, places=PLACES, where="table OrdersPartitions")

    with pytest.raises(HubMismatch, match=r"has 8 partitions \(says table OrdersPartitions\), but .* asks for 4"):
        check_partition_count(4, 8, places=PLACES, where="table OrdersPartitions")


@pytest.mark.parametrize(
    ("queues", "count", "is_whole"),
    [
        ([], 0, True),
        (["h-control-00"], 1, True),
        (["h-control-01", "h-control-00"], 2, True),
        (["h-control-00", "h-control-02"], 3, False),
        (["h-control-01"], 2, False),
        (["h-control-00", "g-control-01", "h-control-xx", "other"], 1, True),
    ],
)
def test_partitions_are_counted_by_the_names_of_their_queues(queues, count, is_whole):
    assert count_partitions(queues, prefix="h-control-") == (count, is_whole)
