"""Messages that kill their worker, or fail, each time: parked, and whoever waits is told."""

import asyncio
import json
import logging
from collections import Counter
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub.codec.messages import encode_pointer
from taskhub.errors import TransientStorageError
from taskhub.model.dead_letters import Address
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.plain_application import PlainApplication, PlainOrchestration
from tests.support.virtual_hub import UNHURRIED, VirtualHub

LIMIT = {
    "max_dequeue_count": 3,
    "partition_count": 1,
    "work_item_visibility_seconds": 10,
    "control_queue_visibility_seconds": 10,
    "lease_interval_seconds": 8.0,
    "lease_round_seconds": 2.0,
    "use_app_lease": False,
    "max_polling_interval_seconds": 1.0,
}


class DeadlyHub:
    """A hub whose worker may be killed by what it runs, and is started again."""

    def __init__(self, orchestrators, activities=None, entities=None, **settings):
        self.hub = VirtualHub(
            app=PlainApplication(orchestrators, activities or {}, entities or {}), **{**LIMIT, **settings}
        )
        self.deaths = 0
        self.worker = None

    async def die(self):
        """End the process that runs this, as os._exit does."""
        self.deaths += 1
        self.worker.kill()
        await asyncio.sleep(0)
        raise AssertionError("it is dead")

    def run(self, play):
        async def main(hub):
            supervisor = hub.process("supervisor")
            supervisor.spawn(self._keep_alive(), name="keep alive")
            return await play(hub)

        return self.hub.run(main)

    async def _keep_alive(self):
        while True:
            self.worker = await self.hub.worker(f"worker-{self.deaths}", wait=False)
            while not self.worker.process.is_dead:
                await self.hub.sleep(0.1)


def catching(context):
    try:
        return (yield context.call_activity("work", context.get_input()))
    except df.TaskFailedError as error:
        return [error.error_type, error.is_caused_by("PoisonedMessageError"), str(error)]


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def parked(caplog):
    return [record for record in caplog.records if getattr(record, "event", "") == "message_parked"]


def test_a_work_item_that_kills_its_worker_is_parked_and_the_orchestration_can_catch_it(caplog):
    async def work(value):
        await deadly.die()

    deadly = DeadlyHub({"catching": catching}, {"work": work})

    async def play(hub):
        state = await hub.end(await hub.start("catching", 1, instance_id="x"))
        await hub.sleep(60)
        return state, await hub.client.dead_letters(), await hub.state()

    with caplog.at_level(logging.ERROR):
        state, letters, left = deadly.run(play)

    error_type, is_caused_by, text = json.loads(state.output)
    [letter] = letters
    assert (error_type, is_caused_by) == ("PoisonedMessageError", True)
    assert "the message was read 4 times and was never completed (maxDequeueCount is 3)" in text
    assert f"dead letter {letter.id}" in text
    assert deadly.deaths == 3
    assert (letter.queue, letter.dequeue_count, letter.told) == ("workitems", 4, "x")
    assert letter.address == Address("x", state.execution_id, "TaskScheduled", "work", 0)
    assert json.loads(letter.text)["TaskMessage"]["Event"]["Name"] == "work"
    assert not any(left.messages.values())
    [report] = parked(caplog)
    assert (report.dead_letter, report.message_id) == (letter.id, letter.message_id)
    assert (report.instance_id, report.told) == ("x", "x")


def test_without_the_setting_it_comes_back_for_ever():
    async def work(value):
        await deadly.die()

    deadly = DeadlyHub({"catching": catching}, {"work": work}, max_dequeue_count=0)

    async def play(hub):
        await hub.start("catching", 1, instance_id="x")
        await hub.sleep(300)
        return await hub.client.get(InstanceId("x")), await hub.client.dead_letters()

    state, letters = deadly.run(play)

    assert state.status is RuntimeStatus.Running
    assert letters == []
    assert deadly.deaths > 15


def test_what_is_in_hand_when_the_worker_is_killed_is_not_taken_for_guilty():
    """One deadly activity among twenty that need their time, and instances that wait for answers and timers."""

    async def work(value):
        if value == "deadly":
            await asyncio.sleep(1)
            await deadly.die()
        await asyncio.sleep(3)
        return value

    def busy(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=context.get_input()))
        return (yield context.call_activity("work", context.get_input()))

    deadly = DeadlyHub({"catching": catching, "busy": busy}, {"work": work})

    async def play(hub):
        names = [await hub.start("busy", number) for number in range(20)]
        await hub.start("catching", "deadly", instance_id="deadly")
        states = [await hub.end(name) for name in names]
        return states, await hub.end("deadly"), await hub.client.dead_letters(), await hub.state()

    states, killer, letters, left = deadly.run(play)

    assert [json.loads(state.output) for state in states] == list(range(20))
    assert json.loads(killer.output)[0] == "PoisonedMessageError"
    assert [letter.address.instance_id for letter in letters] == ["deadly"]
    assert not any(left.messages.values())


def test_two_killers_among_the_innocent_are_both_found():
    async def work(value):
        if value < 2:
            await deadly.die()
        await asyncio.sleep(2)
        return value

    deadly = DeadlyHub({"catching": catching}, {"work": work})

    async def play(hub):
        names = [await hub.start("catching", number, instance_id=f"i-{number}") for number in range(8)]
        states = [await hub.end(name) for name in names]
        return states, await hub.client.dead_letters()

    states, letters = deadly.run(play)

    assert {letter.address.instance_id for letter in letters} == {"i-0", "i-1"}
    assert [json.loads(state.output) for state in states[2:]] == list(range(2, 8))


class DeadlyOrchestration(PlainOrchestration):
    """Code that kills its worker when it sees a certain event."""

    deadly = None
    victims = ()

    async def advance(self, events, *, replayed):
        for event in events[replayed:]:
            if event.get("Name") in self.victims:
                await self.deadly.die()
        return await super().advance(events, replayed=replayed)


def deadly_code(orchestrators, victims, **options):
    deadly = DeadlyHub(orchestrators, **options)
    deadly.hub.app.orchestration_type = type("Code", (DeadlyOrchestration,), {"deadly": deadly, "victims": victims})
    return deadly


def quick(context):
    return context.get_input()
    yield


def with_child(context):
    try:
        return (yield context.call_sub_orchestrator("quick", "child", "the/child"))
    except df.TaskFailedError as error:
        return [error.error_type, str(error)]


def test_the_parent_of_a_child_that_cannot_start_can_catch_it():
    deadly = deadly_code({"with_child": with_child, "quick": quick}, {"quick"})

    async def play(hub):
        state = await hub.end(await hub.start("with_child", instance_id="parent"))
        return state, await hub.client.get(InstanceId("the/child")), await hub.client.dead_letters()

    state, child, [letter] = deadly.run(play)

    error_type, text = json.loads(state.output)
    assert error_type == "PoisonedMessageError"
    assert "Orchestrator function 'quick' failed: PoisonedMessageError: the message was read 4 times" in text
    assert (letter.address.instance_id, letter.address.event_type, letter.told) == (
        "the/child",
        "ExecutionStarted",
        "parent",
    )
    assert child is None


def test_an_instance_that_cannot_start_says_so_and_starts_when_it_is_retried():
    deadly = deadly_code({"quick": quick}, {"quick"})

    async def play(hub):
        failed = await hub.end(await hub.start("quick", 5, instance_id="x"))
        [letter] = await hub.client.dead_letters()
        deadly.hub.app.orchestration_type.victims = ()
        await hub.client.retry_dead_letter(letter.id)
        state = await hub.until("x", lambda state: state.status is RuntimeStatus.Completed)
        return failed, letter, state, await hub.client.dead_letters(), await hub.state()

    failed, letter, state, letters, left = deadly.run(play)

    assert failed.status is RuntimeStatus.Failed
    assert failed.output.startswith(
        "Orchestrator function 'quick' failed: PoisonedMessageError: the message was read 4"
    )
    assert letter.told == "x"
    assert (state.output, state.execution_id) == ("5", failed.execution_id)
    assert letters == []
    assert not any(left.messages.values())


def test_an_event_that_kills_is_parked_and_the_instance_goes_on_with_the_next():
    def waiting(context):
        return (yield context.wait_for_external_event("go"))

    deadly = deadly_code({"waiting": waiting}, {"bad"})

    async def play(hub):
        await hub.start("waiting", instance_id="x")
        await hub.until("x", lambda state: state.status is RuntimeStatus.Running)
        await hub.client.raise_event(InstanceId("x"), "bad", "1")
        await hub.sleep(120)
        await hub.client.raise_event(InstanceId("x"), "go", "2")
        return await hub.end("x"), await hub.client.dead_letters()

    state, [letter] = deadly.run(play)

    assert state.output == "2"
    assert (letter.queue, letter.address.name, letter.told) == ("control-00", "bad", None)
    assert deadly.deaths == 3


def test_whoever_calls_an_entity_that_kills_gets_an_error():
    def calling(context):
        try:
            return (yield context.call_entity(df.EntityId("counter", "a"), "add", 1))
        except Exception as error:
            return str(error)

    def counter(context):
        context.set_result(1)

    deadly = DeadlyHub({"calling": calling}, entities={"counter": counter})
    run_batch = deadly.hub.app.run_entity_batch

    async def killing(call):
        if '"add"' in call.payload:
            await deadly.die()
        return await run_batch(call)

    deadly.hub.app.run_entity_batch = killing

    async def play(hub):
        return await hub.end(await hub.start("calling", instance_id="x")), await hub.client.dead_letters()

    state, [letter] = deadly.run(play)

    assert "PoisonedMessageError: the message was read 4 times" in json.loads(state.output)
    assert (letter.address.instance_id, letter.told) == ("@counter@a", "x")


# ---- failures that kill nobody


def test_a_host_that_fails_by_itself_is_named_as_the_reason(caplog):
    hub = VirtualHub({"catching": catching}, {}, **LIMIT)

    async def failing(call):
        raise RuntimeError("the host is broken")

    hub.app.run_activity = failing

    async def main(hub):
        await hub.worker()
        return await hub.end(await hub.start("catching", 1)), await hub.client.dead_letters()

    state, [letter] = hub.run(main)

    assert "maxDequeueCount is 3): RuntimeError: the host is broken" in json.loads(state.output)[2]
    assert letter.reason.endswith("RuntimeError: the host is broken")


@pytest.mark.parametrize("is_lost", [True, False], ids=["blob gone", "blob there"])
def test_a_large_message_is_parked_with_what_was_in_its_blob(is_lost):
    hub = VirtualHub({"catching": catching, "waiting": waiting}, {}, **LIMIT)

    async def failing(call):
        raise RuntimeError("no")

    hub.app.run_activity = failing

    async def main(hub):
        await hub.worker()
        if is_lost:
            await hub.start("waiting", instance_id="x")
            await hub.storage.queues.put(hub.names.work_item_queue, encode_pointer("x/message-1-TaskScheduled.json.gz"))
            await hub.sleep(60)
        else:
            await hub.end(await hub.start("catching", "y" * 50_000))
        [letter] = await hub.client.dead_letters()
        return letter, await hub.client.dead_letter_content(letter), await hub.state()

    letter, content, left = hub.run(main)

    assert left.messages[hub.names.work_item_queue] == 0
    if is_lost:
        assert (letter.address, letter.has_content, content) == (None, False, None)
        assert "could not be read" in letter.reason
        assert "there is no" in letter.reason
    else:
        assert letter.address.name == "work"
        assert "y" * 50_000 in content


def test_an_unreadable_message_is_parked_and_can_be_put_back():
    hub = VirtualHub({"catching": catching}, {}, **LIMIT)
    queues = [hub.names.control_queue(0), hub.names.work_item_queue]

    async def main(hub):
        await hub.worker()
        for queue in queues:
            await hub.storage.queues.put(queue, "not a message")
        await hub.sleep(60)
        letters = await hub.client.dead_letters()
        empty = await hub.state()
        for letter in letters:
            await hub.client.retry_dead_letter(letter.id)
        return letters, empty, await hub.state()

    letters, empty, again = hub.run(main)

    assert {letter.queue for letter in letters} == {"control-00", "workitems"}
    assert all("not JSON" in letter.reason and letter.dequeue_count == 4 for letter in letters)
    assert [empty.messages[queue] for queue in queues] == [0, 0]
    assert [again.messages[queue] for queue in queues] == [1, 1]


# ---- readings that are nobody's failure


def test_messages_that_are_put_back_on_purpose_are_never_parked():
    """A timer of two weeks, which is hidden again and again, and an instance of a version that nobody here runs."""

    def sleepy(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(days=15))
        return "awake"

    hub = VirtualHub(
        {"sleepy": sleepy, "quick": quick}, **UNHURRIED, max_dequeue_count=2, default_version="1.0", max_seconds=1e7
    )
    hub.app.long_timer_limit_seconds = 0

    async def main(hub):
        old = await hub.worker("old")
        await hub.start("sleepy", instance_id="sleepy")
        await hub.start("quick", 5, instance_id="newer", version="2.0")
        asleep = await hub.until("sleepy", lambda state: state.status.is_terminal, within=1e7)
        await old.stop()
        await hub.worker("new", default_version="2.0")
        return asleep, await hub.end("newer"), await hub.client.dead_letters()

    asleep, newer, letters = hub.run(main)

    assert json.loads(asleep.output) == "awake"
    assert newer.output == "5"
    assert letters == []


def test_storage_trouble_is_held_against_no_message():
    is_on = False

    async def around(call, act):
        if is_on and call.method in ("batch", "put", "get_blob"):
            raise TransientStorageError("unreachable")
        return await act()

    async def main(hub):
        nonlocal is_on
        await hub.worker(wrap=lambda storage: intercepted(storage, around))
        names = [await hub.start("catching", "y" * 50_000 * (number % 2)) for number in range(6)]
        is_on = True
        await hub.sleep(2_000)
        is_on = False
        return [await hub.end(name) for name in names], await hub.client.dead_letters()

    hub = VirtualHub({"catching": catching}, {"work": len}, **LIMIT)

    states, letters = hub.run(main)

    assert Counter(state.output for state in states) == {"0": 3, "50000": 3}
    assert letters == []


def test_what_other_workers_have_read_without_counting_gets_its_chances(caplog):
    """The setting is new: messages that were hidden again and again in the past are not poisoned by it."""
    hub = VirtualHub({"quick": quick}, {}, **LIMIT)

    async def main(hub):
        await hub.client.create_hub()
        await hub.start("quick", 5, instance_id="x")
        for _ in range(9):
            [message] = await hub.storage.queues.get(hub.names.control_queue(0), limit=1, invisible_for=1)
            await hub.sleep(1)
        assert message.dequeue_count == 9
        await hub.worker()
        return await hub.end("x"), await hub.client.dead_letters()

    state, letters = hub.run(main)

    assert state.output == "5"
    assert letters == []


# ---- what breaks off in between


@pytest.mark.parametrize("method", ["create_container", "put_blob", "put", "delete"])
@pytest.mark.parametrize("acts", [True, False], ids=["reply lost", "not done"])
def test_parking_that_breaks_off_is_done_again(method, acts):
    """Each write of it fails once, before or after it acted."""
    hub = VirtualHub({"catching": catching}, {}, **LIMIT)
    struck = Counter()

    async def failing(call):
        raise RuntimeError("no")

    hub.app.run_activity = failing

    async def around(call, act):
        of_parking = "deadletters" in call.target or (
            # The answer and the delete after the letter was stored.
            "/" in str(struck.get("letter", "")) and call.method in ("put", "delete")
        )
        if "deadletters" in call.target and call.method == "put_blob":
            struck["letter"] = call.arguments[0]
        if of_parking and call.method == method and not struck[method]:
            struck[method] = 1
            if acts:
                await act()
            raise TransientStorageError("unreachable")
        return await act()

    async def main(hub):
        await hub.worker(wrap=lambda storage: intercepted(storage, around))
        state = await hub.end(await hub.start("catching", 1))
        await hub.sleep(300)
        return state, await hub.client.dead_letters(), await hub.state()

    state, letters, left = hub.run(main)

    assert struck[method] == 1
    assert json.loads(state.output)[0] == "PoisonedMessageError"
    assert [letter.address.name for letter in letters] == ["work"]
    assert not any(left.messages.values())
