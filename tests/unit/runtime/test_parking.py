"""Instances that the code does not fit: kept as they are by one worker, finished by the next."""

from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.runtime.parking import ParkingApplication
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub


def before(context):
    yield context.call_activity("first", 1)
    return (yield context.wait_for_external_event("go"))


def after(context):
    yield context.call_activity("second", 1)
    return (yield context.wait_for_external_event("go"))


ACTIVITIES = {"first": lambda value: value, "second": lambda value: value}


def play(*, edited, terminates=False):
    """Let a worker begin an instance, one with edited code meet it, and one with the code from before finish it."""
    hub = VirtualHub({"work": before}, ACTIVITIES)
    text = []
    # Both: the partitions of a worker that is stopped in order, and of one that loses them.
    careful = ParkingApplication(PlainApplication(edited, ACTIVITIES), text.append)

    async def main(hub):
        first = await hub.worker("first")
        await hub.start("work", instance_id="a")
        await hub.sleep(5)
        await first.stop()
        second = await hub.worker("second", app=careful)
        await hub.client.raise_event(InstanceId("a"), "go", '"on"')
        await hub.sleep(400)  # longer than a message stays hidden
        history = len(await hub.client.history(InstanceId("a")))
        parked = await hub.client.get(InstanceId("a"))
        if terminates:
            await hub.client.terminate(InstanceId("a"), "enough")
            return parked, await hub.end("a"), history, await hub.state()
        third = await hub.worker("third")  # takes partitions from the second, at work
        await hub.sleep(120)
        await second.stop()
        ended = await hub.end("a")
        await hub.sleep(60)
        await third.stop()
        return parked, ended, history, await hub.state()

    return (*hub.run(main), "\n".join(text))


def test_a_parked_instance_stays_as_it_is_and_ends_where_its_code_is_back():
    parked, ended, history, state, text = play(edited={"work": after})

    assert parked.status is RuntimeStatus.Running
    assert (ended.status, ended.output) == (RuntimeStatus.Completed, '"on"')
    assert not any(state.messages.values())
    assert history == len(state.events("a")) - 4
    assert "Instance 'a' of 'work' is parked: Non-Deterministic workflow detected" in text
    assert text.count("is parked") == 1, "tried once, until the code changes"


def test_an_instance_whose_orchestrator_was_taken_away_is_parked_too():
    parked, ended, *_, text = play(edited={"other": after})

    assert parked.status is RuntimeStatus.Running
    assert ended.output == '"on"'
    assert "The function 'work' doesn't exist" in text


def test_a_parked_instance_can_be_terminated():
    parked, ended, *_ = play(edited={"work": after}, terminates=True)

    assert parked.status is RuntimeStatus.Running
    assert (ended.status, ended.output) == (RuntimeStatus.Terminated, "enough")


def test_what_has_not_begun_is_not_parked_for_want_of_its_orchestrator():
    hub = VirtualHub(app=PlainApplication({}, {}))

    async def main(hub):
        await hub.worker(app=ParkingApplication(PlainApplication({}, {}), print))
        return await hub.end(await hub.start("work"))

    ended = hub.run(main)

    assert ended.status is RuntimeStatus.Failed
    assert "The function 'work' doesn't exist" in ended.output
