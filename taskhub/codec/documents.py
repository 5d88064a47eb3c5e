"""The small JSON blobs of a hub: who holds the app lease, and what the older partition managers keep.

Source: DurableTask.AzureStorage: AppLeaseInfo, TaskHubInfo, BlobPartitionLease.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from taskhub.codec.jsontext import json_of, parse_utc, writable
from taskhub.codec.records import Mismatch, parse_object, require, take
from taskhub.errors import MalformedMessage
from taskhub.model.ids import WorkerId

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from taskhub.model.ids import Utc

HUB_INFO_BLOB = "taskhub.json"
"""Name of the hub info, at the root of the leases container."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class AppLeaseInfo:
    """Which app works on the hub, and which one asks to take over. Of a new hub: neither."""

    owner_id: str | None = None
    """Lease id of the app (:func:`taskhub.core.partitioning.app_lease_id`)."""
    desired_swap_id: str | None = None


@dataclass(frozen=True, slots=True)
class HubInfo:
    """How many partitions a hub has, where no Partitions table tells."""

    hub: str
    created: Utc
    partition_count: int


@dataclass(frozen=True, slots=True)
class BlobLease:
    """Who owns a partition under the older managers; one blob each."""

    queue: str
    owner: WorkerId | None = None
    token: str | None = None
    """Lease id of the blob, with which another worker may steal it."""
    epoch: int = 0
    """Acquisitions and steals so far."""


def encode_app_lease_info(info: AppLeaseInfo) -> str:
    """Return the text of the app lease's info blob."""
    if info == AppLeaseInfo():
        return "{}"
    return _text({"OwnerId": info.owner_id, "DesiredSwapId": info.desired_swap_id})


def decode_app_lease_info(text: str) -> AppLeaseInfo:
    """Return what an app lease's info blob says; raises :class:`~taskhub.errors.MalformedMessage`."""
    return _parse(
        "app lease info",
        text,
        lambda body: AppLeaseInfo(take(body, "OwnerId", str), take(body, "DesiredSwapId", str)),
    )


def encode_hub_info(info: HubInfo) -> str:
    """Return the text of ``taskhub.json``."""
    return _text({"TaskHubName": info.hub, "CreatedAt": info.created, "PartitionCount": info.partition_count})


def decode_hub_info(text: str) -> HubInfo:
    """Return what ``taskhub.json`` says; raises :class:`~taskhub.errors.MalformedMessage`."""
    return _parse(
        HUB_INFO_BLOB,
        text,
        lambda body: HubInfo(
            require(body, "TaskHubName", str),
            _time(require(body, "CreatedAt", str)),
            require(body, "PartitionCount", int),
        ),
    )


def encode_blob_lease(lease: BlobLease) -> str:
    """Return the text of a lease blob."""
    return _text({"PartitionId": lease.queue, "Owner": lease.owner, "Token": lease.token, "Epoch": lease.epoch})


def decode_blob_lease(text: str) -> BlobLease:
    """Return what a lease blob says; raises :class:`~taskhub.errors.MalformedMessage`."""
    return _parse(
        "lease blob",
        text,
        lambda body: BlobLease(
            require(body, "PartitionId", str),
            WorkerId(owner) if (owner := take(body, "Owner", str)) else None,
            take(body, "Token", str) or None,
            take(body, "Epoch", int) or 0,
        ),
    )


def _text(document: Mapping[str, object]) -> str:
    return writable(json_of(document))


def _parse(what: str, text: str, read: Callable[[Mapping[str, object]], _T]) -> _T:
    try:
        document = parse_object(text, read)
    except Mismatch as error:
        raise MalformedMessage(f"{what} is not one of DurableTask.AzureStorage: {error}") from None
    if document is None:
        raise MalformedMessage(f"{what} is empty")
    return document


def _time(text: str) -> Utc:
    try:
        return parse_utc(text)
    except ValueError as error:
        raise Mismatch(str(error), "CreatedAt") from None
