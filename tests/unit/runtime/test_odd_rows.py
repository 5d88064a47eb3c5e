"""Rows that nobody should have written: each is reported and passed over, and all others are served."""

import logging
from datetime import datetime, timezone

from taskhub.codec.instance_rows import ROW_KEY
from taskhub.model.ids import ETag, ExecutionId, InstanceId
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from taskhub.runtime.checkpoints import Checkpoints
from taskhub.runtime.history_store import StoredHistory
from taskhub.runtime.ownership import Partition
from taskhub.runtime.services import Services
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.virtual_hub import VirtualHub


def quick(context):
    return context.get_input()
    yield


async def spoil(hub, table, partition_key, row_key, column, value):
    row = Row(partition_key, row_key, {column: value})
    await hub.storage.tables.write(table, TableWrite(Write.MERGE, row))


def test_a_worker_owns_the_other_partitions_when_one_lease_row_cannot_be_read(caplog):
    hub = VirtualHub({"quick": quick}, partition_count=4)

    async def main(hub):
        await hub.client.create_hub()
        await spoil(hub, hub.names.partitions_table, "", hub.names.control_queue(1), "ExpiresAt", 7)
        await hub.worker()
        # of partition 0 of 4, and of partition 1
        ended = await hub.end(await hub.start("quick", 5, instance_id="a"))
        waiting = await hub.start("quick", 5, instance_id="instance1")
        await hub.sleep(120)
        return ended, await hub.client.get(waiting)

    ended, waiting = hub.run(main)

    assert ended.status is RuntimeStatus.Completed
    assert waiting.status is RuntimeStatus.Pending
    reports = [record for record in caplog.records if getattr(record, "event", "") == "lease_unreadable"]
    assert [(each.levelno, each.queue) for each in reports] == [(logging.ERROR, hub.names.control_queue(1))]
    assert "ExpiresAt" in reports[0].getMessage()


def test_a_row_is_not_repaired_from_a_history_without_events():
    hub = VirtualHub()

    async def main(hub):
        process = hub.process("worker")
        services = Services.of(process.storage, hub.settings, process.environment, wake=lambda queue, after: None)
        await services.hub.create()
        partition = Partition(hub.names.control_queue(0), datetime.max.replace(tzinfo=timezone.utc))
        stored = StoredHistory(ExecutionId("e1"), (), ETag("1"))
        await Checkpoints(services, None).repair_row(partition, InstanceId("order-42"), stored)
        return await hub.state()

    assert hub.run(main).instances == []


def test_a_query_passes_over_an_instance_whose_row_cannot_be_read(caplog):
    hub = VirtualHub()

    async def main(hub):
        for number in range(3):
            await hub.start("order", instance_id=f"o-{number}")
        await spoil(hub, hub.names.instances_table, "o-1", ROW_KEY, "CreatedTime", "yesterday")
        return await hub.client.query(InstanceFilter())

    page = hub.run(main)

    assert [state.instance_id for state in page.instances] == ["o-0", "o-2"]
    reports = [record for record in caplog.records if getattr(record, "event", "") == "row_unreadable"]
    assert [each.instance_id for each in reports] == ["o-1"]
    assert "CreatedTime" in reports[0].getMessage()
