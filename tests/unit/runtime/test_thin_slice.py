import asyncio

from taskhub import TaskHubSettings, Worker
from taskhub.model.instance import RuntimeStatus
from taskhub.simulation.world import World
from tests.support.plain_application import PlainApplication


def hello(context):
    first = yield context.call_activity("say", "Tokyo")
    second = yield context.call_activity("say", "Seattle")
    return [first, second]


def test_a_sequence_runs_to_its_end_and_leaves_no_message():
    world = World()
    app = PlainApplication({"hello": hello}, {"say": lambda name: f"Hello {name}!"})

    async def main():
        process = world.process("worker")
        worker = Worker(
            process.storage,
            TaskHubSettings(hub_name="TestHub"),
            app,
            worker_id="worker",
            environment=process.environment,
        )
        stop, ready = asyncio.Event(), asyncio.Event()
        running = process.spawn(worker.run(stop, ready=ready), name="worker")
        await ready.wait()
        instance_id = await worker.client.start("hello")
        state = await worker.client.wait(instance_id, timeout_seconds=20)
        stop.set()
        await running
        return state

    state = world.run(main())

    assert (state.status, state.output) == (RuntimeStatus.Completed, '["Hello Tokyo!","Hello Seattle!"]')
    assert not any(queue.messages for queue in world.account.queues.values())
