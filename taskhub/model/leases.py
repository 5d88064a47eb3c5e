"""Who owns a partition, and how a hub keeps note of it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.model.ids import ETag, Utc, WorkerId


class PartitionManager(enum.Enum):
    """How the workers of a hub share its partitions. All of them must do it alike: they see no other's leases."""

    TABLE = "table"
    """Rows of the Partitions table; the owner drains a partition before the next one gets it."""
    SAFE = "safe"
    """Two leased blobs for each partition: the wish for it, which is stolen, and its ownership, which is not."""
    LEGACY = "legacy"
    """One leased blob for each partition. Who is stolen from learns it at the next renewal."""


@dataclass(frozen=True, slots=True)
class PartitionLease:
    """One row of the Partitions table. Source: DurableTask.AzureStorage, table partition manager."""

    queue: str
    """Name of the control queue, the row's key."""
    owner: WorkerId | None = None
    next_owner: WorkerId | None = None
    """Who is stealing the partition; the owner drains and releases for it."""
    owned_since: Utc | None = None
    last_renewal: Utc | None = None
    expires_at: Utc | None = None
    is_draining: bool = False
    etag: ETag | None = None
