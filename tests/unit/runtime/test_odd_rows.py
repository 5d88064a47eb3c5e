"""Rows that nobody should have written: each is reported and passed over, and all others are served."""

import logging

from taskhub.model.instance import RuntimeStatus
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
