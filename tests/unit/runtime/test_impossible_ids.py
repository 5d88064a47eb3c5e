"""Instances that storage cannot hold, addressed from within a hub: code can catch the failure, and nothing loops."""

import json
import logging

import azure.durable_functions as df
import pytest

from taskhub.codec.keys import MAX_INSTANCE_ID_UNITS
from taskhub.core.partitioning import partition_of
from taskhub.errors import ContentRefused, StorageRefused
from taskhub.model.history import EventRaised, ExecutionStarted, OrchestrationInstance, ParentInstance
from taskhub.model.ids import Utc
from taskhub.model.instance import RuntimeStatus
from taskhub.model.messages import TaskMessage
from taskhub.storage.interception import intercepted
from taskhub.storage.port import Row, TableWrite, Write
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub

LONG = "x" * (MAX_INSTANCE_ID_UNITS + 1)
TEXT = f"caught an instance id may have {MAX_INSTANCE_ID_UNITS} characters"
ENTITY = df.EntityId("counter", LONG)


def child(context):
    return "child"
    yield


def calls_child(context):
    return (yield context.call_sub_orchestrator("child", 1, LONG))


def calls_child_with_retry(context):
    return (yield context.call_sub_orchestrator_with_retry("child", df.RetryOptions(1000, 2), 1, LONG))


def calls_entity(context):
    return (yield context.call_entity(ENTITY, "get"))


def signals_entity(context):
    context.signal_entity(ENTITY, "add", 1)
    yield context.call_activity("echo", 1)


def locks_entity(context):
    return (yield context.lock_entities([df.EntityId("counter", "a"), ENTITY]))


def catching(code):
    def catch(context):
        try:
            result = yield from code(context)
        except ValueError as error:
            result = f"caught {error}"
        # It goes on, in this episode and in later ones, which replay the failure.
        first = yield context.call_activity("echo", result[: len(TEXT)])
        second = yield context.call_activity("echo", "later")
        return [first, second]

    return catch


CALLS = (calls_child, calls_child_with_retry, calls_entity, signals_entity, locks_entity)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("warm_sessions", [True, False], ids=["warm", "cold"])
def test_code_that_addresses_an_impossible_instance_can_catch_it(call, warm_sessions):
    app = PlainApplication(
        {"order": catching(call), "child": child}, {"echo": lambda value: value}, {"counter": lambda context: None}
    )
    hub = VirtualHub(app=app, warm_sessions=warm_sessions)

    async def main(hub):
        await hub.worker()
        state = await hub.end(await hub.start("order"))
        await hub.sleep(100)
        return state, await hub.state()

    state, left = hub.run(main)

    assert state.status is RuntimeStatus.Completed, state.output
    assert json.loads(state.output) == [TEXT, "later"]
    assert not any(left.messages.values())


def test_code_that_does_not_catch_it_fails_and_says_why():
    hub = VirtualHub({"order": calls_child, "child": child})

    async def main(hub):
        await hub.worker()
        return await hub.end(await hub.start("order"))

    state = hub.run(main)

    assert state.status is RuntimeStatus.Failed
    assert f"an instance id may have {MAX_INSTANCE_ID_UNITS} characters" in state.output


# ---- messages of others, who do not look before they send


async def put(hub, message, sender):
    await hub.client.create_hub()
    await hub.client._services.messenger.send(message, sender=sender, episode=1)


def start_of(parent):
    instance = OrchestrationInstance(LONG, "run-1")
    started = ExecutionStarted(
        timestamp=Utc("2026-01-01T00:00:00Z"), instance=instance, parent=parent, name="child", input=None
    )
    return TaskMessage(started, target=instance)


def test_a_start_for_an_impossible_instance_is_parked_and_its_parent_told(caplog):
    def waiting(context):
        try:
            yield context.call_sub_orchestrator("child", 1, "possible")
        except df.TaskFailedError as error:
            return [error.error_type, str(error)]

    def silent(context):
        yield context.wait_for_external_event("never")

    hub = VirtualHub({"waiting": waiting, "child": silent}, warm_sessions=False)

    async def main(hub):
        await hub.worker()
        state = await hub.until(await hub.start("waiting"), lambda state: state.status is RuntimeStatus.Running)
        parent = OrchestrationInstance(state.instance_id, state.execution_id)
        # A worker that does not look has asked for it.
        rows = (await hub.state()).history_rows(state.instance_id)
        asked = next(row for row in rows if row.columns["EventType"] == "SubOrchestrationInstanceCreated")
        names_it = Row(asked.partition_key, asked.row_key, {"InstanceId": LONG})
        await hub.storage.tables.write(hub.names.history_table, TableWrite(Write.MERGE, names_it))
        await put(hub, start_of(ParentInstance("waiting", parent, 0)), parent)
        state = await hub.end(state.instance_id)
        return state, await hub.client.dead_letters(), await hub.state()

    with caplog.at_level(logging.ERROR):
        state, [letter], left = hub.run(main)

    error_type, text = json.loads(state.output)
    assert error_type == "PoisonedMessageError"
    assert f"the message can reach nobody: an instance id may have {MAX_INSTANCE_ID_UNITS} characters" in text
    assert (letter.address.instance_id, letter.told) == (LONG, state.instance_id)
    assert not left.messages[hub.names.control_queue(partition_of(LONG, 4))]
    assert [record.event for record in caplog.records] == ["message_parked"]


def test_other_messages_for_an_impossible_instance_are_parked_once(caplog):
    event = EventRaised(timestamp=Utc("2026-01-01T00:00:00Z"), name="go", input="1")
    hub = VirtualHub()

    async def main(hub):
        await hub.worker()
        await put(hub, TaskMessage(event, target=OrchestrationInstance(LONG, None)), OrchestrationInstance("a", "b"))
        await put(hub, start_of(None), OrchestrationInstance("a", "b"))
        await hub.sleep(1000)
        return await hub.client.dead_letters(), await hub.state()

    with caplog.at_level(logging.INFO):
        letters, left = hub.run(main)

    assert [letter.told for letter in letters] == [None, None]
    assert not any(left.messages.values())
    assert [record.event for record in caplog.records if record.levelno >= logging.ERROR] == ["message_parked"] * 2


# ---- what is refused at the commit


@pytest.mark.parametrize(
    ("method", "target"), [("batch", "History"), ("write", "Instances"), ("put", "workitems")], ids=lambda each: each
)
def test_an_orchestration_whose_commit_is_refused_for_what_it_holds_fails(method, target):
    """As by a limit of the service that nobody here knows of."""

    async def around(call, act):
        if call.method == method and target in call.target and "forbidden" in repr(call.arguments):
            raise ContentRefused("the service answered 400 OutOfRangeInput")
        return await act()

    def unlucky(context):
        yield context.call_activity("echo", 1)
        yield context.call_activity("forbidden", 1)

    hub = VirtualHub({"unlucky": unlucky}, {"echo": lambda value: value})
    if method == "write":

        def unlucky(context):
            context.set_custom_status("forbidden")
            yield context.call_activity("echo", 1)

        hub.app.orchestrators = {"unlucky": unlucky}

    async def main(hub):
        await hub.worker(wrap=lambda storage: intercepted(storage, around))
        state = await hub.end(await hub.start("unlucky"))
        await hub.sleep(1000)
        return state, await hub.state()

    state, left = hub.run(main)

    assert state.status is RuntimeStatus.Failed
    assert "OutOfRangeInput" in state.output
    assert not any(left.messages.values())


def test_refused_credentials_are_trouble_that_passes_and_fail_nothing():
    is_on = False

    async def around(call, act):
        if is_on and call.method == "batch":
            raise StorageRefused("the service answered 403")
        return await act()

    hub = VirtualHub({"child": child})

    async def main(hub):
        nonlocal is_on
        await hub.worker(wrap=lambda storage: intercepted(storage, around))
        is_on = True
        instance_id = await hub.start("child")
        await hub.sleep(100)
        is_on = False
        return await hub.end(instance_id)

    assert hub.run(main).output == '"child"'


def test_a_text_that_no_column_holds_fails_its_orchestration_before_anything_is_sent():
    def naming(context):
        yield context.task_all(
            [context.call_activity("echo", 1), context.call_sub_orchestrator("child", 1, None, "v" * 40_000)]
        )

    hub = VirtualHub({"naming": naming, "child": child}, {"echo": lambda value: value})

    async def main(hub):
        await hub.worker()
        return await hub.end(await hub.start("naming"))

    state = hub.run(main)

    assert state.status is RuntimeStatus.Failed
    assert "Version of a SubOrchestrationInstanceCreated event has 40000 characters" in state.output
    assert not hub.app.runs
