"""`doctor` and entities on every store: a request, a lock or an answer is lost on its way, named, and put again."""

import asyncio
import json
import re

import azure.durable_functions as df
import pytest

from taskhub.model.diagnosis import Severity
from taskhub.model.entities import EntityId
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime import doctor
from taskhub.settings import CLASSIC
from taskhub.storage.interception import intercepted
from tests.support.real_hub import RealHub


def asking(context):
    return (yield context.call_entity(df.EntityId("counter", "a"), "add", context.get_input()))


def locking(context):
    with (yield context.lock_entities([df.EntityId("counter", "a"), df.EntityId("counter", "b")])):
        return (yield context.call_entity(df.EntityId("counter", "b"), "add", 5))


def counter(context):
    context.set_state(context.get_state(lambda: 0) + (context.get_input() or 0))
    context.set_result(context.get_state())


class LossyHub(RealHub):
    """A hub whose worker loses a message."""

    def __init__(self, storage, **settings):
        self.outside = storage
        self.loses = None
        """Pattern of the queue and the text of the message; after the first it loses no other."""
        self.has_lost = asyncio.Event()
        code = {each.__name__: each for each in (asking, locking)}
        super().__init__(intercepted(storage, self._around), code, stop_grace_seconds=0.5, **CLASSIC, **settings)
        self.app.entities = {"counter": counter}

    async def _around(self, call, act):
        if self.loses is None or (call.service, call.method) != ("queue", "put"):
            return await act()
        if not re.search(self.loses, call.arguments[0]):
            return await act()
        self.loses = None
        put = await self.outside.queues.put(call.target, call.arguments[0], visible_after=60)
        await self.outside.queues.delete(call.target, put.id, put.receipt)
        self.has_lost.set()
        return put

    async def lose(self, pattern, name, given=None):
        """Start an instance, whose message is lost; the worker has stopped when it is."""
        self.loses = pattern
        async with self.working():
            await self.start(name, given, instance_id="i")
            await asyncio.wait_for(self.has_lost.wait(), 10)
            await self.at_rest()

    async def at_rest(self):
        """Wait until no queue holds a message."""
        loop = asyncio.get_running_loop()
        ends = loop.time() + 20
        for queue in await self.outside.queues.list_queues(f"{self.names.hub.lower()}-"):
            while await self.outside.queues.count(queue):
                assert loop.time() < ends, f"{queue} does not become empty"
                await asyncio.sleep(0.02)

    async def found(self):
        """Return the one problem."""
        findings = (await self.client.examine()).findings
        (finding,) = [each for each in findings if each.severity is Severity.PROBLEM]
        return finding

    async def counted(self, key):
        state = await self.client.read_entity(EntityId("counter", key))
        return None if state is None else json.loads(state.state)


@pytest.fixture(autouse=True)
def short_second_look(monkeypatch):
    monkeypatch.setattr(doctor, "SECOND_LOOK_SECONDS", 0.05)


REQUEST = r'EventRaised.*\\"op\\":\\"add\\"'
LOCK = r'EventRaised.*\\"lockset\\"'
LOCK_AT_SECOND = r'EventRaised.*\\"lockset\\".*\\"pos\\":1'
GRANTED = "Lock Acquisition Completed"
ANSWER = "EventRaised.*ResponseMessage"


@pytest.mark.parametrize("knows", [False, True], ids=["new", "known"])
async def test_a_request_that_no_entity_got_is_put_again_and_done_once(any_storage, knows):
    hub = LossyHub(any_storage)
    if knows:
        async with hub.working():
            await hub.client.signal_entity(EntityId("counter", "a"), "add", "1")
            await hub.until("@counter@a", lambda state: state.custom_status is not None)
    await hub.lose(REQUEST, "asking", 2)

    finding = await hub.found()
    repaired = [await hub.client.repair(finding), await hub.client.repair(finding)]
    async with hub.working():
        state = await hub.end("i")
        await hub.at_rest()

    assert (finding.kind, finding.subject) == ("lost-request", "i")
    assert "It waits for the answer of the entity '@counter@a' to 'add'" in finding.text
    assert "never got the request" in finding.text
    assert repaired == [None, None]
    wanted = 3 if knows else 2
    assert (json.loads(state.output), await hub.counted("a")) == (wanted, wanted)
    assert (await hub.client.examine()).problems == ()


async def test_an_operation_whose_answer_was_lost_is_not_done_again(any_storage):
    hub = LossyHub(any_storage)
    await hub.lose(ANSWER, "asking", 2)

    finding = await hub.found()
    command = re.search(r"taskhub instances raise i (\S+) --data '(.*)'", finding.text)
    async with hub.working():
        await hub.client.raise_event(InstanceId("i"), command[1], command[2].replace("JSON", "2"))
        state = await hub.end("i")

    assert (finding.kind, finding.remedy) == ("lost-entity-answer", None)
    assert "the entity has done it" in finding.text
    assert (state.status, json.loads(state.output), await hub.counted("a")) == (RuntimeStatus.Completed, 2, 2)


@pytest.mark.parametrize(
    ("pattern", "remedy"),
    [
        (LOCK, "put the request of 'i' to the entity '@counter@a', to be locked, into its queue again"),
        (LOCK_AT_SECOND, "put the request of 'i' to the entity '@counter@b', to be locked, into its queue again"),
        (GRANTED, "tell 'i' that its entities are locked"),
    ],
    ids=["at the first", "at the second", "granted"],
)
async def test_a_lock_that_was_lost_on_its_way_is_put_where_it_was(any_storage, pattern, remedy):
    hub = LossyHub(any_storage)
    await hub.lose(pattern, "locking")

    finding = await hub.found()
    assert await hub.client.repair(finding) is None
    async with hub.working():
        state = await hub.end("i")
        await hub.at_rest()
        # Both are open again.
        await hub.client.signal_entity(EntityId("counter", "a"), "add", "7")
        await hub.at_rest()

    assert (finding.kind, finding.remedy.text) == ("lost-request", remedy)
    assert "It waits for the lock of '@counter@a', '@counter@b'" in finding.text
    assert (state.status, json.loads(state.output)) == (RuntimeStatus.Completed, 5)
    assert (await hub.counted("a"), await hub.counted("b")) == (7, 5)


async def test_who_waits_in_line_at_an_entity_has_lost_nothing(any_storage):
    hub = LossyHub(any_storage)
    hub.loses = GRANTED  # so that both entities stay locked by the first
    async with hub.working():
        await hub.start("locking", instance_id="i")
        await asyncio.wait_for(hub.has_lost.wait(), 10)
        await hub.start("asking", 1, instance_id="j")
        await hub.until("@counter@a", lambda state: '"queueSize":1' in (state.custom_status or ""))
        await hub.at_rest()

    finding = await hub.found()

    assert (finding.kind, finding.subject) == ("lost-request", "i")
