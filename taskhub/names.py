"""Task hub name → names of its queues, tables and containers.

Queues and containers are lower-cased, tables keep the configured case (the service compares table names
ignoring case). Source: DurableTask.AzureStorage.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskhub.errors import InvalidHubName

if TYPE_CHECKING:
    from taskhub.model.ids import PartitionIndex

MIN_HUB_NAME_LENGTH = 3
MAX_HUB_NAME_LENGTH = 49
"""The container ``{hub}-largemessages`` may have 63 characters. The extension asks for 45 and lets 50 pass; a hub of 50
would break at its first large message."""

_HUB_NAME = re.compile(rf"[A-Za-z][A-Za-z0-9]{{{MIN_HUB_NAME_LENGTH - 1},{MAX_HUB_NAME_LENGTH - 1}}}")


@dataclass(frozen=True, slots=True)
class HubNames:
    """Names of everything that a task hub keeps in storage."""

    hub: str
    """As configured."""

    @classmethod
    def of(cls, hub: str) -> HubNames:
        """Return the names of a hub.

        Raises:
            InvalidHubName: storage would refuse a name made of it. Nothing is rewritten here: two workers that
                clean up a name differently would work on two hubs.
        """
        if not _HUB_NAME.fullmatch(hub):
            raise InvalidHubName(
                f"task hub name {hub!r} must be {MIN_HUB_NAME_LENGTH} to {MAX_HUB_NAME_LENGTH} letters (A-Z, a-z) and "
                "digits, the first a letter; set extensions.durableTask.hubName in host.json"
            )
        return cls(hub)

    def control_queue(self, index: PartitionIndex) -> str:
        """Return the name of a partition's control queue, which is also the row key of its lease."""
        return f"{self.control_queue_prefix}{index:02d}"

    @property
    def control_queue_prefix(self) -> str:
        """What the names of all control queues begin with, before two digits."""
        return f"{self.hub.lower()}-control-"

    @property
    def work_item_queue(self) -> str:
        """Queue of activities, shared by all workers."""
        return f"{self.hub.lower()}-workitems"

    @property
    def history_table(self) -> str:
        """Table of the events of all instances."""
        return f"{self.hub}History"

    @property
    def instances_table(self) -> str:
        """Table with one row per instance: its status."""
        return f"{self.hub}Instances"

    @property
    def partitions_table(self) -> str:
        """Table with one lease row per partition."""
        return f"{self.hub}Partitions"

    @property
    def large_messages_container(self) -> str:
        """Container of messages and values that do not fit a queue or a column."""
        return f"{self.hub.lower()}-largemessages"

    @property
    def dead_letters_container(self) -> str:
        """Container of messages that nobody could work on; no other program knows it."""
        return f"{self.hub.lower()}-deadletters"

    @property
    def app_lease_container(self) -> str:
        """Container whose lease keeps two apps from working on one hub."""
        return f"{self.hub.lower()}-applease"

    @property
    def app_lease_blob(self) -> str:
        """Blob in ``app_lease_container`` that tells which app holds the lease."""
        return f"{self.hub.lower()}-appleaseinfo"

    @property
    def leases_container(self) -> str:
        """Container of the blob-based partition managers: ``taskhub.json``, and a lease blob for each partition."""
        return f"{self.hub.lower()}-leases"
