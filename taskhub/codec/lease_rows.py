"""Rows of the Partitions table: who owns which control queue.

Every change replaces the whole row under its ETag, so a column that is not written disappears.

Source: DurableTask.AzureStorage, TablePartitionLease.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from taskhub.codec.records import Mismatch, take
from taskhub.errors import MalformedMessage
from taskhub.model.ids import Utc, WorkerId
from taskhub.model.leases import PartitionLease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.codec.overflow import Columns
    from taskhub.model.ids import ETag

PARTITION_KEY = ""
"""Partition key of every lease row: all of a hub's leases can change in one transaction."""


def encode_lease(lease: PartitionLease) -> Columns:
    """Return the columns of a lease; its row key is ``lease.queue``."""
    columns: Columns = {"IsDraining": lease.is_draining}
    for column, value in (
        ("CurrentOwner", lease.owner),
        ("NextOwner", lease.next_owner),
        ("OwnedSince", lease.owned_since),
        ("LastRenewal", lease.last_renewal),
        ("ExpiresAt", lease.expires_at),
    ):
        if value is not None:
            columns[column] = value
    return columns


def decode_lease(row_key: str, columns: Mapping[str, object], etag: ETag | None) -> PartitionLease:
    """Return the lease of a row.

    Raises:
        MalformedMessage: a column is not what the reference writes.
    """
    try:
        return PartitionLease(
            queue=row_key,
            owner=_worker(columns, "CurrentOwner"),
            next_owner=_worker(columns, "NextOwner"),
            owned_since=take(columns, "OwnedSince", Utc),
            last_renewal=take(columns, "LastRenewal", Utc),
            expires_at=take(columns, "ExpiresAt", Utc),
            is_draining=take(columns, "IsDraining", bool) or False,
            etag=etag,
        )
    except Mismatch as error:
        raise MalformedMessage(f"lease row {row_key!r} is not one of DurableTask.AzureStorage: {error}") from None


def _worker(columns: Mapping[str, object], column: str) -> WorkerId | None:
    name = take(columns, column, str)
    return WorkerId(name) if name else None
