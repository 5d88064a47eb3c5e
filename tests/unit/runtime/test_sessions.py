"""Warm sessions (F1): what they save, and when they are let go."""

import pytest

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.counting import CallCounter
from tests.support.virtual_hub import VirtualHub


def sequence(context):
    for number in range(20):
        yield context.call_activity("echo", number)
    return "done"


def waiting(context):
    count = 0
    while True:
        count += 1
        if (yield context.wait_for_external_event("go")) == "stop":
            return count


ECHO = {"echo": lambda value: value}


def counted(orchestrators, scenario, **settings):
    # Loads are counted here, so each instance is looked for when it begins.
    hub = VirtualHub(orchestrators, ECHO, partition_count=1, assume_new=False, **settings)
    counter = CallCounter()

    async def main(hub):
        hub.running = await hub.worker(wrap=counter.wrap)
        counter.counts.clear()
        return await scenario(hub)

    return hub, counter, hub.run(main)


@pytest.mark.parametrize(("warm_sessions", "loads"), [(True, 1), (False, 21)])
def test_a_warm_instance_is_loaded_once(warm_sessions, loads):
    async def scenario(hub):
        return await hub.end(await hub.start("sequence"))

    _, counter, state = counted({"sequence": sequence}, scenario, warm_sessions=warm_sessions)

    assert state.output == '"done"'
    assert counter.counts["table.query History"] == loads


def test_warm_code_is_fed_every_event_once_and_cold_code_all_of_them_each_time():
    async def scenario(hub):
        return await hub.end(await hub.start("sequence"))

    warm, _, _ = counted({"sequence": sequence}, scenario)
    cold, _, _ = counted({"sequence": sequence}, scenario, warm_sessions=False)

    events = 2 + 20 * 4  # of the whole history but for what the last episode decided
    assert warm.app.fed == events
    assert cold.app.fed > 10 * events


def test_the_least_recently_used_instance_is_let_go_when_memory_is_full():
    async def scenario(hub):
        for name in "abc":
            await hub.start("waiting", instance_id=name)
            await hub.until(name, lambda state: state.status is RuntimeStatus.Running)
        await hub.client.raise_event(InstanceId("a"), "go", '"x"')
        await hub.sleep(1)
        events = hub.running.worker._inbox.warm_events
        for name in "abc":
            await hub.client.raise_event(InstanceId(name), "go", '"stop"')
        return events, [(await hub.end(name)).output for name in "abc"]

    hub, counter, (events, outputs) = counted({"waiting": waiting}, scenario, max_warm_history_events=10)

    assert events <= 10
    assert outputs == ["2", "1", "1"]
    # b was the coldest when a grew: it alone is loaded again.
    assert counter.counts["table.query History"] == 4
    assert hub.app.open_executions == 0


@pytest.mark.parametrize(("max_warm_mebibytes", "loads"), [(2, 4), (512, 3)])
def test_the_least_recently_used_instance_is_let_go_when_its_texts_fill_the_memory(max_warm_mebibytes, loads):
    async def scenario(hub):
        for name in "abc":
            await hub.start("waiting", "x" * 600_000, instance_id=name)
            await hub.until(name, lambda state: state.status is RuntimeStatus.Running)
        await hub.client.raise_event(InstanceId("a"), "go", '"' + "y" * 600_000 + '"')
        await hub.sleep(1)
        taken = hub.running.worker._inbox.warm_bytes
        for name in "abc":
            await hub.client.raise_event(InstanceId(name), "go", '"stop"')
        return taken, [(await hub.end(name)).output for name in "abc"]

    hub, counter, (taken, outputs) = counted({"waiting": waiting}, scenario, max_warm_mebibytes=max_warm_mebibytes)

    assert outputs == ["2", "1", "1"]
    assert 1_000_000 < taken <= min(max_warm_mebibytes * 2**20, 2_500_000)
    # b was the coldest when a grew: it alone is loaded again.
    assert counter.counts["table.query History"] == loads
    assert hub.app.open_executions == 0
    assert hub.running.worker._inbox.warm_bytes == 0


def test_a_session_is_let_go_with_its_partition():
    async def scenario(hub):
        await hub.start("waiting", instance_id="a")
        await hub.until("a", lambda state: state.status is RuntimeStatus.Running)
        await hub.running.stop()
        open_executions = hub.app.open_executions
        await hub.worker("second")
        await hub.client.raise_event(InstanceId("a"), "go", '"stop"')
        return open_executions, await hub.end("a")

    _, _, (open_executions, state) = counted({"waiting": waiting}, scenario)

    assert open_executions == 0
    assert state.output == "1"


def test_a_session_that_somebody_wrote_behind_is_loaded_again():
    async def scenario(hub):
        await hub.start("waiting", instance_id="a")
        await hub.until("a", lambda state: state.status is RuntimeStatus.Running)
        rows = await hub.storage.tables.query(hub.names.history_table)
        from taskhub.storage.port import TableWrite, Write

        (sentinel,) = [row for row in rows.rows if row.row_key == "sentinel"]
        await hub.storage.tables.write(hub.names.history_table, TableWrite(Write.MERGE, sentinel))
        await hub.client.raise_event(InstanceId("a"), "go", '"stop"')
        return await hub.end("a")

    _, counter, state = counted({"waiting": waiting}, scenario)

    assert state.output == "1"
    assert counter.counts["table.batch History -> 412"] == 1
    assert counter.counts["table.query History"] == 2


def test_a_purged_instance_is_not_brought_back_by_its_warm_session():
    async def scenario(hub):
        await hub.start("waiting", instance_id="a")
        await hub.until("a", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.purge(InstanceId("a"))
        await hub.client.raise_event(InstanceId("a"), "go", '"stop"')
        await hub.sleep(60)
        return await hub.client.get(InstanceId("a")), await hub.state()

    hub, _, (instance, left) = counted({"waiting": waiting}, scenario)

    assert instance is None
    assert left.history == []
    assert not any(left.messages.values())
    assert hub.app.open_executions == 0
