"""Messages in hand: unreadable ones, second copies, long work, and orchestrations that nobody here can run."""

import asyncio
import logging

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.counting import CallCounter
from tests.support.virtual_hub import VirtualHub


def quick(context):
    return (yield context.call_activity("echo", context.get_input()))


ECHO = {"echo": lambda value: value}


def test_unreadable_messages_are_reported_once_kept_and_passed_by(caplog):
    hub = VirtualHub({"quick": quick}, ECHO, partition_count=1)
    queues = [hub.names.control_queue(0), hub.names.work_item_queue]

    async def main(hub):
        await hub.worker()
        for queue in queues:
            await hub.storage.queues.put(queue, "not a message")
        await hub.sleep(100)
        state = await hub.end(await hub.start("quick", 1))
        return state, await hub.state()

    with caplog.at_level(logging.ERROR):
        state, left = hub.run(main)

    assert state.status is RuntimeStatus.Completed
    assert [left.messages[queue] for queue in queues] == [1, 1]
    reports = [record for record in caplog.records if record.event == "unreadable_message"]
    assert sorted(record.queue for record in reports) == sorted(queues)
    assert "not JSON" in reports[0].error


def test_a_message_whose_blob_is_gone_is_kept_too():
    hub = VirtualHub({"quick": quick}, ECHO, partition_count=1)

    async def main(hub):
        await hub.client.create_hub()
        await hub.client.start("quick", instance_id=InstanceId("x"), input='"' + "x" * 100_000 + '"')
        for blob in await hub.storage.blobs.list_blobs(hub.names.large_messages_container, ""):
            await hub.storage.blobs.delete_blob(hub.names.large_messages_container, blob.name)
        await hub.worker()
        await hub.sleep(60)
        return await hub.state()

    assert hub.run(main).messages[hub.names.control_queue(0)] == 1


def test_a_long_activity_runs_once_because_its_work_item_is_renewed():
    async def slow(value):
        await asyncio.sleep(1000)
        return value

    hub = VirtualHub({"quick": quick}, {"echo": slow})

    async def main(hub):
        await hub.worker()
        await hub.worker("second", wait=False)
        return await hub.end(await hub.start("quick", 1))

    state = hub.run(main)

    assert state.output == "1"
    assert sum(hub.app.runs.values()) == 1


def test_a_message_that_is_read_again_while_it_waits_is_handled_once():
    """One slot, taken by slow code; the messages of the other instances outlive their time hidden."""

    async def slow(value):
        await asyncio.sleep(30)
        return value

    hub = VirtualHub(
        {"quick": quick},
        {"echo": slow},
        partition_count=1,
        control_queue_visibility_seconds=10,
        max_concurrent_orchestrations=1,
        max_polling_interval_seconds=1.0,
    )
    hub.app.advance_seconds = 25.0
    counter = CallCounter()

    async def main(hub):
        await hub.worker(wrap=counter.wrap)
        instances = [await hub.start("quick", n) for n in range(4)]
        states = [await hub.end(instance_id) for instance_id in instances]
        await hub.sleep(100)
        return states, await hub.state()

    states, left = hub.run(main)

    assert [state.output for state in states] == ["0", "1", "2", "3"]
    assert not any(left.messages.values())
    assert sum(hub.app.runs.values()) == 4
    assert counter.matching("queue.update_message control") > 0


def test_work_items_are_taken_only_when_they_can_start():
    started = []

    async def slow(value):
        started.append(value)
        await asyncio.sleep(100)

    def fan_out(context):
        yield context.task_all([context.call_activity("echo", n) for n in range(10)])

    hub = VirtualHub({"fan_out": fan_out}, {"echo": slow}, max_concurrent_activities=3)

    async def main(hub):
        first = await hub.worker()
        await hub.start("fan_out")
        await hub.sleep(50)
        held = first.worker._mailbox.count(hub.names.work_item_queue)
        await hub.worker("second", wait=False)
        await hub.sleep(40)
        return held, len(started)

    assert hub.run(main) == (3, 6)
