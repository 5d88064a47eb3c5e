"""Looks at a hub as a whole, and removes one. Neither needs to know how many partitions it was made with.

The control queues tell how many partitions there are; the leases, wherever workers of the hub keep them, who owns
which. Reading creates nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from taskhub.codec.documents import decode_blob_lease
from taskhub.codec.lease_rows import PARTITION_KEY, decode_lease
from taskhub.errors import BlobNotFound, HubInUse, LeaseHeld, MalformedMessage, QueueNotFound
from taskhub.model.hub import HubStatus, PartitionStatus
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime.app_lease import read_app_lease
from taskhub.runtime.paging import rows_if_any
from taskhub.storage.port import Comparison, Where

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from taskhub.runtime.services import Services
    from taskhub.storage.port import Row

_OWNERSHIP_FOLDERS = ("ownership", "default")
"""Of the leases container: the newer and the older blob manager keep a lease for each partition there."""


async def control_queues_of(services: Services) -> list[str]:
    """Return the names of the hub's control queues, whatever their number; none when there is no hub."""
    prefix = f"{services.names.hub.lower()}-control-"
    found = await services.storage.queues.list_queues(prefix)
    return [name for name in found if re.fullmatch(r"\d\d", name[len(prefix) :])]


async def hub_status(services: Services, *, count_instances: bool = True) -> HubStatus:
    """Look at a hub.

    Args:
        services: of the hub.
        count_instances: whether to read through the Instances table, a call for every 1,000 rows.
    """
    queues = await control_queues_of(services)
    leases = await _leases(services, queues)
    partitions = [replace(leases[queue], messages=await _count(services, queue)) for queue in queues]
    counts, entities = await _count_instances(services) if count_instances else (Counter(), 0)
    return HubStatus(
        hub=services.names.hub,
        storage=services.storage.description,
        partitions=tuple(partitions),
        work_items=await _count(services, services.names.work_item_queue),
        instances=dict(counts),
        entities=entities,
        dead_letters=await services.dead_letters.count(),
    )


async def delete_hub(services: Services, *, force: bool) -> bool:
    """Delete everything that a hub has in storage; return whether there was anything.

    Args:
        services: of the hub.
        force: delete it also while workers hold its partitions. They make it again, empty, when they notice.

    Raises:
        HubInUse: workers hold partitions.
    """
    if not force:
        await check_unused(services)
    names, storage = services.names, services.storage
    was_there = [await storage.queues.delete_queue(queue) for queue in await control_queues_of(services)]
    was_there.append(await storage.queues.delete_queue(names.work_item_queue))
    was_there += [
        await storage.tables.delete_table(table)
        for table in (names.history_table, names.instances_table, names.partitions_table)
    ]
    was_there += [
        await storage.blobs.delete_container(container)
        for container in (names.large_messages_container, names.dead_letters_container, names.leases_container)
    ]
    was_there.append(await _delete_app_lease(services))
    services.hub.forget()
    return any(was_there)


async def check_unused(services: Services) -> None:
    """Make sure that no worker works on the hub.

    Raises:
        HubInUse: workers hold partitions.
    """
    workers = (await hub_status(services, count_instances=False)).workers
    if workers:
        raise HubInUse(
            f"task hub '{services.names.hub}' is in use by {', '.join(workers)}. Stop the workers first; what one that "
            "was killed held is free when its leases end, after half a minute."
        )


async def _delete_app_lease(services: Services) -> bool:
    """Delete the container of the app lease, which the app that worked on the hub keeps leased for a while."""
    container = services.names.app_lease_container
    owner = (await read_app_lease(services)).owner_id
    try:
        return await services.storage.blobs.delete_container(container, lease_id=owner)
    except LeaseHeld:
        # By an app that has just taken it over. Nothing of the hub's content is in there.
        return True


async def _count(services: Services, queue: str) -> int:
    try:
        return await services.storage.queues.count(queue)
    except QueueNotFound:
        return 0


async def _count_instances(services: Services) -> tuple[Counter[RuntimeStatus | None], int]:
    counts: Counter[RuntimeStatus | None] = Counter()
    entities = 0
    async for row in rows_if_any(services.storage.tables, services.names.instances_table, select=("RuntimeStatus",)):
        if row.partition_key.startswith("@"):
            entities += 1
        else:
            counts[RuntimeStatus.__members__.get(str(row.columns.get("RuntimeStatus")))] += 1
    return counts, entities


async def _leases(services: Services, queues: Sequence[str]) -> dict[str, PartitionStatus]:
    """Return who owns which partition, from the table or, where that has no rows, from the lease blobs."""
    leases = {queue: PartitionStatus(queue, 0) for queue in queues}
    rows = await _lease_rows(services)
    if rows:
        now = services.environment.clock.now()
        for row in rows:
            if row.row_key in leases:
                leases[row.row_key] = _of_row(row, now)
        return leases
    container = services.names.leases_container
    for blob in await services.storage.blobs.list_blobs(container, ""):
        folder, _, queue = blob.name.partition("/")
        if folder in _OWNERSHIP_FOLDERS and queue in leases:
            leases[queue] = await _of_blob(services, container, blob.name, queue)
    return leases


async def _lease_rows(services: Services) -> Sequence[Row]:
    where = Where("PartitionKey", Comparison.EQ, PARTITION_KEY)
    return [row async for row in rows_if_any(services.storage.tables, services.names.partitions_table, where)]


def _of_row(row: Row, now: datetime) -> PartitionStatus:
    try:
        lease = decode_lease(row.row_key, row.columns, row.etag)
    except MalformedMessage as error:
        # Whoever owns partitions reports it; a worker may well be at work under it.
        return PartitionStatus(row.row_key, 0, owner=f"? ({error})", is_held=True)
    is_held = lease.owner is not None and lease.expires_at is not None and lease.expires_at.moment() > now
    return PartitionStatus(
        row.row_key,
        0,
        owner=lease.owner,
        expires_at=lease.expires_at if lease.owner else None,
        next_owner=lease.next_owner,
        is_held=is_held,
    )


async def _of_blob(services: Services, container: str, blob: str, queue: str) -> PartitionStatus:
    blobs = services.storage.blobs
    try:
        is_held = (await blobs.lease_state(container, blob)).leased
        owner = decode_blob_lease((await blobs.get_blob(container, blob)).decode()).owner
    except (BlobNotFound, MalformedMessage, UnicodeDecodeError) as error:
        return PartitionStatus(queue, 0, owner=f"? ({error})")
    return PartitionStatus(queue, 0, owner=owner, is_held=is_held)
