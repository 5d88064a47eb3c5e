import json
import logging
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub.codec.entity_texts import decode_scheduler, encode_release, encode_request
from taskhub.codec.keys import SENTINEL
from taskhub.model.entities import EntityId, Release, Request, Stamp
from taskhub.model.history import EventRaised, OrchestrationInstance
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.storage.interception import intercepted
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.plain_application import PlainApplication
from tests.support.recordings import GOLDEN, columns_of
from tests.support.scripted import Script
from tests.support.virtual_hub import UNHURRIED, VirtualHub

A = EntityId("counter", "a")


def counter(context):
    state = context.get_state(lambda: 0)
    match context.operation_name:
        case "add":
            state += context.get_input()
            context.set_state(state)
        case "text":
            context.set_state("x" * context.get_input())
        case "delete":
            context.destruct_on_exit()
        case "fail":
            raise ValueError("no")
    context.set_result(state)


def asking(context):
    entity = df.EntityId("Counter", "a")
    context.signal_entity(entity, "add", 5)
    got = yield context.call_entity(entity, "add", 2)
    return got


def a_hub(orchestrators=None, **settings):
    app = PlainApplication(orchestrators or {"asking": asking}, entities={"counter": counter})
    return VirtualHub(app=app, partition_count=1, **settings)


def play(main, *, with_worker=True, orchestrators=None, **settings):
    hub = a_hub(orchestrators, **settings)

    async def run(hub):
        if with_worker:
            running = await hub.worker()
            hub.client = running.worker.client  # which wakes its worker
        return await main(hub)

    return hub.run(run)


async def settled(hub, entity=A, seconds=5.0):
    await hub.sleep(seconds)
    return await hub.client.read_entity(entity)


async def post(hub, name, content, *, sender="order-42", target=A):
    """Send an event as another worker's orchestration does."""
    event = EventRaised(timestamp=Utc.of(hub.clock.now()), name=name, input=content)
    await hub.client._services.messenger.send(
        TaskMessage(event, target=OrchestrationInstance(target.instance_id, None)),
        sender=OrchestrationInstance(sender, f"{sender}-e"),
    )


def around(watch):
    """Return what puts ``watch(call, act)`` between a worker and its store."""
    return lambda storage: intercepted(storage, watch)


# ---- the life of an entity


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "classic"])
def test_the_first_message_makes_an_entity_and_each_batch_replaces_three_rows(warm):
    async def main(hub):
        for _ in range(3):
            await hub.client.signal_entity(A, "add", "2")
            await hub.sleep(2)
        return await hub.state()

    state = play(main, warm_sessions=warm)

    rows = state.history_rows("@counter@a")
    assert [row.columns["EventType"] for row in rows] == [
        "OrchestratorStarted",
        "ExecutionStarted",
        "OrchestratorCompleted",
    ]
    assert [row.columns["IsPlayed"] for row in rows] == [False, True, True]
    assert [row.row_key for row in state.history] == ["0" * 16, "0" * 15 + "1", "0" * 15 + "2", SENTINEL]
    assert rows[1].columns["Input"] == '{"exists":true,"state":"6","sorter":{}}'
    (instance,) = state.instances
    assert instance.columns["CustomStatus"] == '{"entityExists":true}'
    assert instance.columns["RuntimeStatus"] == "Running"
    assert (instance.columns["Name"], instance.columns["Version"]) == ("@counter@a", "")
    assert not any(state.messages.values())


def test_an_orchestration_signals_and_calls_in_order():
    async def main(hub):
        state = await hub.end(await hub.start("asking"))
        return state.output, hub.app.batches

    output, batches = play(main)

    assert output == "7"
    assert [op["name"] for batch in batches for op in json.loads(batch.payload)["batch"]] == ["add", "add"]


def test_the_answer_that_comes_twice_counts_once():
    """The worker dies between the answer and its own commit; the batch is run again by the next one."""
    died = []

    async def die(call, act):
        if call.method == "batch" and not died and any(w.row.partition_key.startswith("@") for w in call.arguments[0]):
            died.append(True)
            raise RuntimeError("killed here")
        return await act()

    async def main(hub):
        await hub.worker(wrap=around(die))
        state = await hub.end(await hub.start("asking"))
        return state, await settled(hub), await hub.client.history(state.instance_id), await hub.state()

    state, entity, history, left = a_hub().run(main)

    assert (state.output, entity.state) == ("7", "7")
    assert len([event for event in history if isinstance(event, EventRaised)]) == 1
    assert not any(left.messages.values())


def test_a_client_s_signal_that_comes_again_is_not_run_again():
    """The worker dies between the commit and the delete; nothing labels what clients send."""
    died = []

    async def main(hub):
        async def die(call, act):
            if call.method == "delete" and "control" in call.target and not died:
                died.append(True)
                first.kill()
                await hub.sleep(1)
            return await act()

        first = await hub.worker("first", wrap=around(die))
        await hub.client.signal_entity(A, "add", "2")
        await hub.sleep(5)
        await hub.worker("second")
        await hub.sleep(200)
        return await settled(hub), await hub.state()

    entity, left = a_hub().run(main)

    assert died
    assert entity.state == "2"
    assert not any(left.messages.values())


@pytest.mark.parametrize("seconds", [0.5, 30, 4000])
def test_a_signal_for_later_runs_then(seconds):
    async def main(hub):
        began = hub.seconds
        due = Utc.of(hub.clock.now()).plus(timedelta(seconds=seconds))
        await hub.client.signal_entity(A, "add", "2", due=due)
        while await hub.client.read_entity(A) is None:
            await hub.sleep(0.1)
        return hub.seconds - began

    took = play(main, **UNHURRIED)

    assert seconds - 0.1 <= took <= seconds + 1


def test_a_signal_for_next_month_hides_again_and_again():
    async def main(hub):
        due = Utc.of(hub.clock.now()).plus(timedelta(days=20))
        await hub.client.signal_entity(A, "add", "2", due=due)
        await hub.sleep(19 * 24 * 3600)
        before = await hub.client.read_entity(A)
        await hub.sleep(2 * 24 * 3600)
        return before, await hub.client.read_entity(A)

    before, after = play(main, **UNHURRIED, max_seconds=1e7)

    assert (before, after.state) == (None, "2")


def test_a_long_queue_is_stored_from_batch_to_batch():
    async def main(hub):
        for _ in range(7):
            await hub.client.signal_entity(A, "add", "1")
        await hub.worker()
        return await settled(hub), [batch.operations for batch in hub.app.batches], await hub.state()

    entity, sizes, left = play(main, with_worker=False, max_entity_batch=3)

    assert (entity.state, sizes) == ("7", [3, 3, 1])
    assert not any(left.messages.values())


def test_a_large_state_lies_in_a_blob_which_goes_with_it():
    async def main(hub):
        await hub.client.signal_entity(A, "text", "70000")
        large = await settled(hub)
        blobs = (await hub.state()).blobs
        await hub.client.signal_entity(A, "text", "80000")
        larger = await settled(hub)
        return large, blobs, larger, (await hub.state()).blobs

    large, blobs, larger, after = play(main)

    assert (len(json.loads(large.state)), len(json.loads(larger.state))) == (70000, 80000)
    assert (len(blobs), len(after)) == (1, 1)
    assert set(blobs) != set(after)


# ---- what goes wrong


def test_an_event_that_no_entity_understands_is_dropped_and_said(caplog):
    async def main(hub):
        await hub.client.raise_event(A.instance_id, "op", '{"op":"add"}')
        await hub.client.signal_entity(A, "add", "2")
        return await settled(hub), await hub.state()

    with caplog.at_level(logging.ERROR):
        entity, left = play(main)

    assert entity.state == "2"
    assert not any(left.messages.values())
    assert [record.getMessage() for record in caplog.records] == [
        "event 'op' for entity '@counter@a' is dropped: request is not one of the extension: lacks id"
    ]


def test_an_operation_that_fails_is_said_and_the_next_one_runs(caplog):
    async def main(hub):
        await hub.client.signal_entity(A, "fail")
        await hub.client.signal_entity(A, "add", "2")
        return await settled(hub)

    with caplog.at_level(logging.WARNING):
        entity = play(main)

    assert entity.state == "2"
    assert "operation 'fail' of entity '@counter@a' failed: \"no\"" in caplog.text


def test_an_orchestration_that_asks_an_unknown_entity_fails_at_once():
    def orchestrator(context):
        context.signal_entity(df.EntityId("counter", "a"), "add", 2)
        yield context.call_entity(df.EntityId("nobody", "x"), "add", 1)

    async def main(hub):
        return await hub.end(await hub.start("orchestrator")), await settled(hub)

    state, entity = play(main, orchestrators={"orchestrator": orchestrator})

    assert state.status is RuntimeStatus.Failed
    assert state.output == (
        "Orchestrator function 'orchestrator' failed: The function 'nobody' doesn't exist, is disabled, or is not an "
        "entity function. Additional info: The following are the known entity functions: 'counter'."
    )
    assert entity.state == "2"  # what it asked for before that is carried out


def test_whoever_calls_an_entity_that_is_gone_from_the_app_gets_an_error():
    """Another worker's orchestration knew it."""
    sent = []

    async def listen(call, act):
        if call.method == "put":
            sent.append(call.arguments[0])
        return await act()

    async def main(hub):
        await hub.worker(wrap=around(listen))
        request = Request("r1", "add", parent="order-42", parent_execution="order-42-e")
        await post(hub, "op", encode_request(request), target=EntityId("nobody", "x"))
        await hub.sleep(5)

    a_hub().run(main)

    (answer,) = [json.loads(text)["TaskMessage"] for text in sent]
    assert answer["Event"]["Name"] == "r1"
    assert json.loads(answer["Event"]["Input"]) == {
        "$type": "Microsoft.Azure.WebJobs.Extensions.DurableTask.ResponseMessage, "
        "Microsoft.Azure.WebJobs.Extensions.DurableTask",
        "result": "\"Entity function 'nobody' does not exist.\"",
        "exceptionType": "Error",
    }
    assert answer["OrchestrationInstance"]["ExecutionId"] == "order-42-e"


@pytest.mark.parametrize("answer", ["[]", "hello", '{"results": []}'])
def test_a_function_that_does_not_answer_fails_its_operations(answer, caplog):
    class Careless(PlainApplication):
        async def run_entity_batch(self, call):
            answered = await super().run_entity_batch(call)
            return type(answered)(answer) if call.name == "counter" else answered

    def orchestrator(context):
        try:
            yield context.call_entity(df.EntityId("counter", "a"), "add", 2)
        except Exception as error:
            return str(error)

    hub = VirtualHub(app=Careless({"orchestrator": orchestrator}, entities={"counter": counter}), partition_count=1)

    async def main(hub):
        await hub.worker()
        return await hub.end(await hub.start("orchestrator"))

    assert "answer of an entity function" in hub.run(main).output
    assert "1 operations of entity '@counter@a' failed" in caplog.text


def test_a_host_that_fails_gets_the_batch_again():
    class Shaky(PlainApplication):
        failures = 1

        async def run_entity_batch(self, call):
            if Shaky.failures:
                Shaky.failures -= 1
                raise RuntimeError("the host itself")
            return await super().run_entity_batch(call)

    hub = VirtualHub(app=Shaky({}, entities={"counter": counter}), partition_count=1)

    async def main(hub):
        await hub.worker()
        await hub.client.signal_entity(A, "add", "2")
        return await settled(hub, seconds=10)

    assert hub.run(main).state == "2"


# ---- locks, as workers of any kind ask for them

LOCK = Request(
    "l1",
    parent="order-42",
    parent_execution="order-42-e",
    lock_set=(EntityId("counter", "a"), EntityId("counter", "b")),
)


def test_a_lock_goes_from_entity_to_entity_and_keeps_others_out():
    async def main(hub):
        await post(hub, "op", encode_request(LOCK))
        await hub.sleep(5)
        locked = {state.columns["CustomStatus"] for state in (await hub.state()).instances}
        await hub.client.signal_entity(A, "add", "2")
        await post(hub, "op", encode_request(Request("c1", "add", input="10", parent="order-42")))
        held = await settled(hub)
        for entity in LOCK.lock_set:
            await post(hub, "release", encode_release(Release("order-42", "l1")), target=entity)
        return locked, held, await settled(hub), (await hub.state()).instances

    locked, held, opened, rows = play(main)

    assert locked == {'{"lockedBy":"order-42"}'}
    assert (held.state, held.queue_size, held.locked_by) == ("10", 1, "order-42")
    assert (opened.state, opened.queue_size, opened.locked_by) == ("12", 0, None)
    assert sorted(row.columns["CustomStatus"] for row in rows) == ['{"entityExists":true}', "{}"]


def test_a_lock_that_comes_after_its_release_stays_open():
    async def main(hub):
        await post(hub, "release", encode_release(Release("order-42", "l1")))
        await hub.sleep(2)
        await post(hub, "op", encode_request(LOCK))
        await hub.client.signal_entity(A, "add", "2")
        return await settled(hub), (await hub.state()).instances

    entity, rows = play(main, warm_sessions=False)

    assert (entity.state, entity.locked_by) == ("2", None)
    assert len(rows) == 1  # it was not handed on


# ---- stopped and started


def test_a_suspended_entity_keeps_what_comes_until_it_is_resumed():
    async def main(hub):
        await hub.client.signal_entity(A, "add", "2")
        await hub.sleep(2)
        await hub.client.suspend(A.instance_id, "wait")
        await hub.sleep(2)
        await hub.client.signal_entity(A, "add", "3")
        paused = await settled(hub), await hub.client.get(A.instance_id)
        await hub.client.resume(A.instance_id, "go")
        return paused, await settled(hub), await hub.client.get(A.instance_id)

    (paused, row), entity, after = play(main, warm_sessions=False)

    assert (paused.state, row.status, row.output) == ("2", RuntimeStatus.Suspended, "wait")
    assert json.loads(row.custom_status) == {"entityExists": True}
    assert (entity.state, after.status) == ("5", RuntimeStatus.Running)


def test_a_terminated_entity_hears_nothing_until_it_is_purged(caplog):
    async def main(hub):
        await hub.client.signal_entity(A, "add", "2")
        await hub.sleep(2)
        await hub.client.terminate(A.instance_id, "enough")
        await hub.sleep(2)
        await hub.client.signal_entity(A, "add", "3")
        await hub.sleep(2)
        row = await hub.client.get(A.instance_id)
        await hub.client.purge(A.instance_id)
        await hub.client.signal_entity(A, "add", "4")
        return row, await settled(hub), await hub.state()

    with caplog.at_level(logging.WARNING):
        row, entity, left = play(main)

    assert (row.status, row.output) == (RuntimeStatus.Terminated, "enough")
    assert "dropped: it was terminated" in caplog.text
    assert entity.state == "4"
    assert not any(left.messages.values())


@pytest.mark.parametrize("operation", ["terminate", "suspend", "resume"])
def test_there_is_nothing_to_stop_before_an_entity_is_there(operation):
    async def main(hub):
        await getattr(hub.client, operation)(A.instance_id, "why")
        await hub.sleep(2)
        left = await hub.state()
        await hub.client.signal_entity(A, "add", "2")
        return left, await settled(hub)

    left, entity = play(main)

    assert (left.instances, left.history, any(left.messages.values())) == ([], [], False)
    assert entity.state == "2"


def test_an_entity_that_was_purged_meanwhile_begins_anew():
    async def main(hub):
        await hub.client.signal_entity(A, "add", "2")
        await hub.sleep(2)
        await hub.client.purge(A.instance_id)
        await hub.client.signal_entity(A, "add", "3")
        return await settled(hub, seconds=20)

    assert play(main).state == "3"


# ---- hubs of the reference


async def restore(hub, scenario, *keys):
    """Put the rows of instances as the extension left them into a hub."""
    state = json.loads((GOLDEN / "extension" / scenario / "state.json").read_text(encoding="utf-8"))
    await hub.client.create_hub()
    for name, table in (("Instances", hub.names.instances_table), ("History", hub.names.history_table)):
        for row in state["tables"][name]:
            if row["PartitionKey"] in keys:
                columns = columns_of(row)
                write = TableWrite(Write.INSERT, Row(row["PartitionKey"], row["RowKey"], columns))
                await hub.storage.tables.write(table, write)


def test_entities_of_the_extension_go_on_here():
    async def main(hub):
        await restore(hub, "entity_counter", "@counter@a", "@counter@many", "@counter@B key^01")
        await hub.worker()
        before = [await hub.client.read_entity(EntityId("counter", key)) for key in ("a", "many", "B key/1")]
        await hub.client.signal_entity(A, "add", "2")
        many = EntityId("counter", "many")
        known = json.loads((await hub.client.get(many.instance_id, with_input=True)).input)["sorter"]
        last = known["ReceivedFromInstance"]["many-1"]
        request = {
            "op": "add",
            "signal": True,
            "input": "1",
            "parent": "many-1",
            "parentExecution": last["ExecutionId"],
        }
        # A second copy, and one that is new.
        for stamp in (last["Last"], str(Stamp.parse(last["Last"]).plus(1))):
            text = json.dumps({**request, "id": stamp, "Timestamp": stamp, "Predecessor": last["Last"]})
            await post(hub, "op", text, sender="many-1", target=many)
        return before, await settled(hub), await hub.client.read_entity(many), await hub.state()

    before, entity, many, left = play(main, with_worker=False)

    assert [each.state for each in before] == ["5", "13", "null"]
    assert (entity.state, many.state) == ("7", "14")
    assert not any(left.messages.values())


def test_a_lock_of_the_extension_is_still_held_and_can_be_given_back():
    locked = EntityId("account", "d1")

    async def main(hub):
        await restore(hub, "entity_locks", "@account@d1")
        await hub.worker()
        await hub.client.clean_entities()
        await hub.sleep(5)
        return await hub.state()

    state = play(main, with_worker=False)

    scheduler = decode_scheduler(state.instances[0].columns["Input"])
    # The holder has ended, so it is opened; the next one's lock is granted.
    assert (scheduler.locked_by, scheduler.queue) == ("same_key_twice_unreleased-1", ())
    assert state.instances[0].partition_key == locked.instance_id


def ticketing(context):
    """Give out one number after the other."""
    state = context.get_state(lambda: 0) + 1
    context.set_state(state)
    context.set_result(state)


def buying(context):
    return (yield context.call_entity(df.EntityId("Tickets", "t"), "buy"))


@pytest.mark.parametrize("is_new", [True, False], ids=["new entity", "old entity"])
def test_an_answer_that_went_out_stays_true_when_the_worker_dies_before_it_stored_the_state(is_new):
    """Seed 4101422: others came first, and the caller's number was given out a second time."""
    app = PlainApplication({"buying": buying}, entities={"tickets": ticketing})
    hub = VirtualHub(app=app, partition_count=1, control_queue_visibility_seconds=300)
    script = Script()

    async def main(hub):
        if not is_new:
            warm = await hub.worker("warm")
            await hub.start("buying", instance_id="zero")
            await hub.end("zero")
            await warm.stop()

        async def die_after_the_answer(call, act):
            if "ResponseMessage" not in call.arguments[0]:
                script.on("put", "control", die_after_the_answer)
                return await act()
            await hub.storage.queues.put(call.target, *call.arguments)
            first.kill()
            return await hub.sleep(1)

        script.on("put", "control", die_after_the_answer)
        first = await hub.worker("first", wrap=script.wrap)
        await hub.start("buying", instance_id="one")
        await hub.sleep(30)
        before = [row for row in (await hub.state()).history if row.partition_key.startswith("@tickets")]
        await hub.worker("second")
        one = await hub.end("one")
        await hub.start("buying", instance_id="two")
        two = await hub.end("two")
        await hub.sleep(600)
        return before, one, two, await hub.state()

    before, one, two, left = hub.run(main)

    assert any(row.columns.get("EventType") == "EventRaised" for row in before)
    numbers = [json.loads(state.output) for state in (one, two)]
    assert numbers == ([1, 2] if is_new else [2, 3])
    rows = [row.row_key for row in left.history if row.partition_key.startswith("@tickets")]
    assert len(rows) == 4
    assert not any(left.messages.values())
