"""An instance that has not ended gives way to another start of its id: whoever waits for it must hear of it."""

import json
from datetime import timedelta

import azure.durable_functions as df
import pytest

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.storage.interception import intercepted
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub


def parent(context):
    try:
        return (yield context.call_sub_orchestrator("waiting", None, "c"))
    except Exception as error:
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        return f"caught: {error}"


def waiting(context):
    return (yield context.wait_for_external_event("go"))


def locking(context):
    with (yield context.lock_entities([df.EntityId("counter", "a")])):
        return (yield context.wait_for_external_event("go"))


def quick(context):
    return context.get_input()
    yield


def adopting(context):
    return (yield context.call_sub_orchestrator("quick", "mine", "c"))


def counter(context):
    context.set_result(1)


def asking(context):
    return (yield context.call_entity(df.EntityId("counter", "a"), "get"))


def a_hub(**settings):
    functions = (parent, waiting, locking, quick, adopting, asking)
    app = PlainApplication({each.__name__: each for each in functions}, {}, {"counter": counter})
    return VirtualHub(app=app, overridable_running_instances=True, max_polling_interval_seconds=1.0, **settings)


async def running(hub, instance_id):
    return await hub.until(instance_id, lambda state: state.status is RuntimeStatus.Running)


REPLACED = "Instance 'c' was Running when another one was started under its ID, which took its place."
TOLD = f"caught: {REPLACED} \n None"
"""As the extension writes a child's failure: with its details, of which there are none."""


@pytest.mark.parametrize("warm", [True, False], ids=["warm", "classic"])
@pytest.mark.parametrize("how", ["start", "restart"])
def test_a_parent_hears_that_its_child_was_replaced(how, warm):
    hub = a_hub(warm_sessions=warm)

    async def main(hub):
        await hub.worker()
        await hub.start("parent", instance_id="p")
        child = await running(hub, "c")
        if how == "start":
            await hub.start("quick", 1, instance_id="c")
        else:
            await hub.client.restart(child, with_new_id=False)
        return await hub.end("p"), await hub.client.get(InstanceId("c"))

    ended, replaced = hub.run(main)

    assert json.loads(ended.output) == TOLD
    assert replaced.name == ("quick" if how == "start" else "waiting")
    assert replaced.generation == 1


def test_a_parent_hears_it_from_a_worker_that_comes_after_one_that_died():
    """It dies when it has stored the new execution: the message was put before."""
    hub = a_hub(partition_count=1)

    async def main(hub):
        commits = []

        async def die_after_commit(call, act):
            result = await act()
            if call.method == "batch" and call.target == hub.names.history_table:
                commits.append(call)
                if len(commits) == 3:  # the parent's start, the child's, and what replaces it
                    first.kill()
            return result

        first = await hub.worker("first", wrap=lambda storage: intercepted(storage, die_after_commit))
        await hub.start("parent", instance_id="p")
        await running(hub, "c")
        await hub.start("quick", 1, instance_id="c")
        await hub.sleep(1)
        assert first.process.is_dead
        await hub.worker("second")
        return await hub.end("p"), await hub.end("c")

    ended, replaced = hub.run(main)

    assert json.loads(ended.output) == TOLD
    assert replaced.output == "1"


def test_what_a_replaced_instance_had_locked_is_free_again():
    hub = a_hub()

    async def main(hub):
        await hub.worker()
        await hub.start("locking", instance_id="c")
        await running(hub, "c")
        await hub.sleep(5)
        await hub.start("quick", 1, instance_id="c")
        await hub.end("c")
        return await hub.end(await hub.start("asking"))

    assert hub.run(main).output == "1"


def test_a_parent_that_takes_the_id_of_another_s_child_is_not_mistaken_for_it():
    hub = a_hub()

    async def main(hub):
        await hub.worker()
        await hub.start("parent", instance_id="p")
        await running(hub, "c")
        await hub.start("adopting", instance_id="q")
        return await hub.end("p"), await hub.end("q")

    robbed, adopted = hub.run(main)

    assert json.loads(robbed.output) == TOLD
    assert json.loads(adopted.output) == "mine"


def test_nobody_hears_of_an_instance_that_had_ended():
    hub = a_hub()

    async def main(hub):
        await hub.worker()
        await hub.start("parent", instance_id="p")
        child = await running(hub, "c")
        await hub.client.raise_event(InstanceId("c"), "go", '"done"')
        ended = await hub.end("p")
        await hub.client.restart(child, with_new_id=False)
        await running(hub, "c")
        await hub.sleep(100)
        return ended, await hub.client.history(InstanceId("p")), await hub.state()

    ended, history, left = hub.run(main)

    assert ended.output == '"done"'
    assert not any(left.messages.values())
    assert not [event for event in history if event.type_name == "SubOrchestrationInstanceFailed"]
