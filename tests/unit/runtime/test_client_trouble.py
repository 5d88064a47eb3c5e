"""What clients see of storage trouble: nothing when it passes soon, else a clear error; and nothing happens twice."""

import json
from datetime import timedelta

import pytest

from taskhub import TaskHubClient, TransientStorageError
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub


def collecting(context):
    """Return every event of one name that comes within a while."""
    events = []
    for _ in range(2):
        timer = context.create_timer(context.current_utc_datetime + timedelta(seconds=20))
        event = context.wait_for_external_event("go")
        winner = yield context.task_any([event, timer])
        if winner is not event:
            break
        timer.cancel()
        events.append(event.result)
    return events


def counter(context):
    context.set_state(context.get_state(int) + context.get_input())


class Failing:
    """A client of its own, whose calls fail a number of times."""

    def __init__(self, hub, *, times=1, acts=False, error=None):
        self.times, self.acts = {}, acts
        self._allowed = times
        self._error = error or TransientStorageError("connection reset")
        self.failures = 0
        self.is_on = False
        process = hub.process("trouble", wrap=lambda storage: intercepted(storage, self._around))
        self.client = TaskHubClient(process.storage, hub.settings, environment=process.environment)

    async def begin(self):
        """Let the client see the hub while all is well, then begin."""
        await self.client.create_hub()
        self.is_on = True
        return self.client

    async def _around(self, call, act):
        if not self.is_on:
            return await act()
        key = (call.method, call.target)
        self.times[key] = self.times.get(key, 0) + 1
        if self.times[key] > self._allowed:
            return await act()
        self.failures += 1
        if self.acts:
            await act()
        raise self._error


@pytest.mark.parametrize("acts", [True, False], ids=["replies lost", "not done"])
@pytest.mark.parametrize("times", [1, 3])
def test_trouble_that_passes_is_not_noticed(acts, times):
    """Every call of every operation fails once, or thrice; each operation takes place once."""
    hub = VirtualHub(app=PlainApplication({"collecting": collecting}, entities={"counter": counter}), partition_count=1)

    async def main(hub):
        await hub.worker()
        failing = Failing(hub, times=times, acts=acts)
        client = await failing.begin()
        await client.start("collecting", instance_id=InstanceId("x"))
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
        failing.times.clear()
        await client.raise_event(InstanceId("x"), "go", "1")
        failing.times.clear()
        await client.signal_entity(EntityId("counter", "a"), "add", json.dumps("5"))
        await hub.sleep(5)
        failing.times.clear()
        running = await client.get(InstanceId("x"))
        failing.times.clear()
        ended = await client.wait(InstanceId("x"), timeout_seconds=100)
        failing.times.clear()
        history = await client.history(InstanceId("x"))
        failing.times.clear()
        page = await client.query(InstanceFilter(id_prefix="x"))
        failing.times.clear()
        entity = await client.read_entity(EntityId("counter", "a"))
        return failing, running, ended, history, page, entity

    failing, running, ended, history, page, entity = hub.run(main)

    assert failing.failures >= 9 * times
    assert running.status is RuntimeStatus.Running
    assert (ended.status, ended.output, ended.generation) == (RuntimeStatus.Completed, "[1]", 0)
    assert sum(event.type_name == "EventRaised" for event in history) == 1
    assert [state.instance_id for state in page.instances] == ["x"]
    assert entity.state == "5"


def test_trouble_that_lasts_is_an_error_within_seconds():
    hub = VirtualHub()

    async def main(hub):
        await hub.client.create_hub()
        client = await Failing(hub, times=1_000).begin()
        took = []
        for ask in (
            lambda: client.start("collecting"),
            lambda: client.get(InstanceId("x")),
            lambda: client.raise_event(InstanceId("x"), "go", None),
            lambda: client.purge(InstanceId("x")),
        ):
            began = hub.seconds
            with pytest.raises(TransientStorageError, match="connection reset"):
                await ask()
            took.append(hub.seconds - began)
        return took

    took = hub.run(main)

    assert max(took) < 3


def test_whoever_is_told_to_come_back_much_later_is_told_so_at_once():
    hub = VirtualHub()

    async def main(hub):
        await hub.client.create_hub()
        client = await Failing(hub, times=1_000, error=TransientStorageError("busy", retry_after_seconds=20)).begin()
        with pytest.raises(TransientStorageError, match="busy"):
            await client.get(InstanceId("x"))
        return hub.seconds

    assert hub.run(main) < 1


def test_waiting_for_an_end_outlives_trouble():
    hub = VirtualHub({"collecting": collecting})

    async def main(hub):
        await hub.worker()
        client = await Failing(hub, times=30).begin()
        await hub.start("collecting", instance_id="x")
        ended = await client.wait(InstanceId("x"), timeout_seconds=300)
        hopeless = await Failing(hub, times=10_000).begin()
        with pytest.raises(TransientStorageError):
            await hopeless.wait(InstanceId("x"), timeout_seconds=30)
        return ended

    assert hub.run(main).output == "[]"
