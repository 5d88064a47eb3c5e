"""Who owns a partition."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskhub.model.ids import ETag, Utc, WorkerId


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
