"""Starting, stopping, outages, and loops that fail."""

import asyncio
import logging
from dataclasses import replace
from datetime import timedelta

import pytest

from taskhub import ConfigurationError, TaskHubSettings
from taskhub.errors import StorageRefused, TransientStorageError
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.virtual_hub import VirtualHub


def quick(context):
    return (yield context.call_activity("echo", context.get_input()))


ECHO = {"echo": lambda value: value}


class Outage:
    """Fails every call between two times."""

    def __init__(self, error=TransientStorageError, *, only=None):
        self.is_on = False
        self.error = error
        self.only = only

    def wrap(self, storage):
        return intercepted(storage, self._around)

    async def _around(self, call, act):
        if self.is_on and self.only in (None, call.service):
            raise self.error("unreachable")
        return await act()


@pytest.mark.parametrize("error", [TransientStorageError, StorageRefused])
def test_an_outage_is_told_once_and_its_end_once_and_nothing_is_lost(caplog, error):
    def long(context):
        for number in range(30):
            yield context.call_activity("echo", number)
        return "done"

    hub, outage = VirtualHub({"long": long}, ECHO), Outage(error)

    async def main(hub):
        await hub.worker(wrap=outage.wrap)
        instances = [await hub.start("long") for _ in range(3)]
        await hub.sleep(0.001)
        outage.is_on = True
        await hub.sleep(300)
        outage.is_on = False
        states = [await hub.end(instance_id) for instance_id in instances]
        await hub.sleep(200)
        return states, await hub.state()

    with caplog.at_level(logging.WARNING):
        states, left = hub.run(main)

    assert {state.output for state in states} == {'"done"'}
    assert not any(left.messages.values())
    told = [(record.service, record.event) for record in caplog.records if record.name == "taskhub.storage"]
    (_, began), end = told
    assert (began, end) == ("storage_trouble", ("blob, queue, table", "storage_back"))


@pytest.mark.parametrize("service", ["queue", "table", "blob"])
def test_an_outage_of_one_service_is_told_while_the_others_answer(caplog, service):
    def patient(context):
        for _ in range(20):
            yield context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
            yield context.call_activity("grow", None)
        return "done"

    hub, outage = VirtualHub({"patient": patient}, {"grow": lambda _: "x" * 50_000}), Outage(only=service)

    async def main(hub):
        await hub.worker(wrap=outage.wrap)
        instance_id = await hub.start("patient")
        await hub.sleep(30)
        outage.is_on = True
        await hub.sleep(200)
        outage.is_on = False
        return await hub.end(instance_id)

    with caplog.at_level(logging.WARNING):
        state = hub.run(main)

    assert state.output == '"done"'
    told = [record for record in caplog.records if record.name == "taskhub.storage"]
    assert [(each.service, each.event) for each in told] == [(service, "storage_trouble"), (service, "storage_back")]
    assert f"{service} service of memory of worker: unreachable" in told[0].getMessage()


def test_an_outage_of_a_store_that_is_one_file_is_told_as_one(caplog):
    hub, outage = VirtualHub({"quick": quick}, ECHO), Outage()

    async def main(hub):
        await hub.worker(wrap=lambda storage: replace(outage.wrap(storage), fails_as_one=True))
        outage.is_on = True
        await hub.sleep(200)
        outage.is_on = False
        return await hub.end(await hub.start("quick", 1))

    with caplog.at_level(logging.WARNING):
        hub.run(main)

    told = [(record.service, record.event) for record in caplog.records if record.name == "taskhub.storage"]
    assert told == [("all", "storage_trouble"), ("all", "storage_back")]


def test_a_worker_that_starts_without_its_storage_says_so_and_begins_when_it_is_there(caplog):
    hub, outage = VirtualHub({"quick": quick}, ECHO), Outage()
    outage.is_on = True

    async def main(hub):
        running = await hub.worker(wrap=outage.wrap, wait=False)
        await hub.sleep(120)
        assert not running.ready.is_set()
        outage.is_on = False
        return await hub.end(await hub.start("quick", 1))

    with caplog.at_level(logging.WARNING):
        state = hub.run(main)

    assert state.status is RuntimeStatus.Completed
    assert [record.event for record in caplog.records] == ["storage_trouble", "storage_back"]


def test_a_worker_that_never_reached_its_storage_can_be_stopped():
    hub, outage = VirtualHub(), Outage()
    outage.is_on = True

    async def main(hub):
        running = await hub.worker(wrap=outage.wrap, wait=False)
        await hub.sleep(10)
        begin = hub.seconds
        await running.stop()
        return hub.seconds - begin

    assert hub.run(main) < 1


def test_a_hub_that_is_lost_is_made_anew():
    hub = VirtualHub({"quick": quick}, ECHO)

    async def main(hub):
        await hub.worker()
        for part in (hub.world.account.queues, hub.world.account.tables, hub.world.account.containers):
            part.clear()
        hub.client._services.hub.forget()
        await hub.sleep(60)
        return await hub.end(await hub.start("quick", 1))

    assert hub.run(main).status is RuntimeStatus.Completed


def test_stopping_waits_for_what_is_in_progress():
    async def slow(value):
        await asyncio.sleep(5)
        return value

    hub = VirtualHub({"quick": quick}, {"echo": slow})

    async def main(hub):
        running = await hub.worker()
        await hub.start("quick", 1, instance_id="x")
        await hub.sleep(1)
        begin = hub.seconds
        await running.stop()
        took = hub.seconds - begin
        messages = (await hub.state()).messages
        await hub.worker("second")
        return took, messages, await hub.end("x")

    took, messages, state = hub.run(main)

    assert 3.9 < took < 5
    assert messages[hub.names.work_item_queue] == 0
    assert state.output == "1"
    assert sum(hub.app.runs.values()) == 1


def test_what_takes_longer_than_the_grace_is_put_back_at_once():
    async def slow(value):
        await asyncio.sleep(1000)
        return value

    hub = VirtualHub({"quick": quick}, {"echo": slow}, stop_grace_seconds=3.0)

    async def main(hub):
        running = await hub.worker()
        await hub.start("quick", 1, instance_id="x")
        await hub.sleep(1)
        begin = hub.seconds
        await running.stop()
        took = hub.seconds - begin
        await hub.worker("second")
        await hub.sleep(0.1)
        return took, sum(hub.app.runs.values())

    took, runs = hub.run(main)

    assert 2 < took <= 3
    assert runs == 2


def test_an_idle_worker_stops_quickly():
    async def main(hub):
        running = await hub.worker()
        await hub.sleep(50)
        begin = hub.seconds
        await running.stop()
        return hub.seconds - begin

    assert VirtualHub().run(main) < 0.5


def test_a_loop_that_fails_ends_the_worker_with_its_error():
    async def break_partitions(call, act):
        if call.method == "query" and "Partitions" in call.target:
            raise RuntimeError("a bug")
        return await act()

    async def main(hub):
        running = await hub.worker(wrap=lambda storage: intercepted(storage, break_partitions), wait=False)
        await running.task

    with pytest.raises(RuntimeError, match="a bug"):
        VirtualHub().run(main)


def test_an_application_that_fails_by_itself_is_asked_again(caplog):
    hub = VirtualHub({"quick": quick}, ECHO)
    run_activity = hub.app.run_activity
    failures = [RuntimeError("host"), RuntimeError("host")]

    async def failing(call):
        if failures:
            raise failures.pop()
        return await run_activity(call)

    hub.app.run_activity = failing

    async def main(hub):
        await hub.worker()
        return await hub.end(await hub.start("quick", 1))

    with caplog.at_level(logging.ERROR):
        state = hub.run(main)

    assert state.output == "1"
    assert [record.event for record in caplog.records] == ["work_item_abandoned"] * 2


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"partition_count": 17}, "partition_count is 17 but must be from 1 to 16"),
        ({"control_queue_batch_size": 33}, "control_queue_batch_size is 33 but must be from 1 to 32"),
        ({"max_concurrent_activities": 0}, "max_concurrent_activities is 0"),
        ({"lease_interval_seconds": 12.0}, "must be longer than a round"),
        ({"max_polling_interval_seconds": 0.01}, "max_polling_interval_seconds is 0.01"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_its_limit(settings, complaint):
    with pytest.raises(ConfigurationError, match=complaint):
        TaskHubSettings(**settings)
