"""What a hub looks like in storage → how its partitions are managed, or why this process may not join.

All processes of a hub must keep its leases in the same place and agree on the number of partitions. Nothing in
storage enforces it: a worker that does otherwise reads every queue together with the others, whose leases it does not
see, or looks for instances in queues where they are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.errors import HubMismatch
from taskhub.model.leases import PartitionManager

if TYPE_CHECKING:
    from collections.abc import Collection, Set

_PROVIDER = "extensions.durableTask.storageProvider"
_PREFERENCE = (PartitionManager.TABLE, PartitionManager.SAFE, PartitionManager.LEGACY)
_SETTINGS = {
    PartitionManager.TABLE: "useTablePartitionManagement true",
    PartitionManager.SAFE: "useTablePartitionManagement false",
    PartitionManager.LEGACY: "useTablePartitionManagement false and useLegacyPartitionManagement true",
}


@dataclass(frozen=True, slots=True)
class HubPlaces:
    """Names of a hub and of the places for its leases, for messages."""

    hub: str
    table: str
    container: str

    def of(self, manager: PartitionManager) -> str:
        """Return where a manager keeps the leases."""
        return f"table {self.table}" if manager is PartitionManager.TABLE else f"container {self.container}"


def choose_manager(
    asked: PartitionManager | None,
    *,
    found: Set[PartitionManager],
    at_work: Set[PartitionManager],
    places: HubPlaces,
) -> PartitionManager:
    """Return how a hub's partitions are managed.

    Args:
        asked: what the settings say; ``None``: nothing.
        found: managers whose leases the hub has, of whatever age. Of a container without lease blobs both.
        at_work: those of them under which somebody holds a lease now; asked for only where it matters.
        places: for the message.

    Raises:
        HubMismatch: the settings say otherwise than the hub, or its workers disagree already.
    """
    if asked is None:
        if len(at_work) > 1:
            both = " and ".join(places.of(manager) for manager in _PREFERENCE if manager in at_work)
            raise HubMismatch(
                f"workers of task hub '{places.hub}' hold leases in {both} at the same time and do not see each other. "
                f"Give all of them the same useTablePartitionManagement and useLegacyPartitionManagement under "
                f"{_PROVIDER} in host.json, and this one too."
            )
        candidates = at_work or found or {PartitionManager.TABLE}
        return next(manager for manager in _PREFERENCE if manager in candidates)
    rivals = at_work - {asked} or (found if asked not in found else frozenset())
    if rivals:
        rival = next(manager for manager in _PREFERENCE if manager in rivals)
        raise HubMismatch(_mismatch(asked, rival, places, is_at_work=rival in at_work))
    return asked


def _mismatch(asked: PartitionManager, rival: PartitionManager, places: HubPlaces, *, is_at_work: bool) -> str:
    fix = (
        "stop the workers that do"
        if is_at_work
        else f"delete the {places.of(rival)} once no worker uses the hub"
        if places.of(asked) != places.of(rival)
        else f"delete its lease blobs in {places.of(rival)} once no worker uses the hub"
    )
    verb = "is worked on by workers that keep" if is_at_work else "keeps"
    return (
        f"task hub '{places.hub}' {verb} its leases in {places.of(rival)} ({rival.value} partition manager), but "
        f"host.json asks for the {asked.value} one ({_SETTINGS[asked]}). All workers of a hub must manage its "
        f"partitions alike: remove the settings from {_PROVIDER} to follow the hub, or {fix}."
    )


def check_partition_count(wanted: int, stored: int, *, places: HubPlaces, where: str) -> None:
    """Refuse a number of partitions that is not the hub's.

    Args:
        wanted: what the settings say.
        stored: what the hub has.
        places: for the message.
        where: in which storage object that stands.

    Raises:
        HubMismatch: the numbers differ.
    """
    if wanted != stored:
        raise HubMismatch(
            f"task hub '{places.hub}' has {stored} partitions (says {where}), but host.json asks for {wanted}. The "
            "number is fixed when a hub is made, because it decides in which queue an instance lives: set "
            f"{_PROVIDER}.partitionCount to {stored} in host.json, or use a new hub (hubName)."
        )


def count_partitions(queues: Collection[str], *, prefix: str) -> tuple[int, bool]:
    """Return how many partitions a hub has at least, by the names of its leases, and whether none is missing before.

    The reference makes leases one by one: who looks meanwhile, or after the maker died, may see gaps, or no end.

    Args:
        queues: names of control queues.
        prefix: of such a name, before its two digits.
    """
    numbers = {int(queue[-2:]) for queue in queues if queue[:-2] == prefix and queue[-2:].isdigit()}
    count = max(numbers, default=-1) + 1
    return count, len(numbers) == count
