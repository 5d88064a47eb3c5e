"""`taskhub entities`: what each command does, says, and ends with."""

import asyncio

import pytest

from taskhub.model.entities import EntityId
from taskhub.storage.sqlite import open_sqlite
from tests.support.real_hub import RealHub
from tests.unit.cli.conftest import HUB


def counter(context):
    total = context.get_state(lambda: 0)
    if context.operation_name == "add":
        total += context.get_input()
    context.set_state(total)


async def shows(hub, entity, state):
    while True:
        found = await hub.client.read_entity(entity)
        if found is not None and found.state == state:
            return
        await asyncio.sleep(0.05)


@pytest.fixture
def worked(taskhub):
    """Lets a worker run until an entity has a state."""

    def until(name, key, state):
        async def main():
            storage = await open_sqlite(taskhub.store)
            hub = RealHub(storage, name=HUB)
            hub.app.entities = {"counter": counter}
            try:
                async with hub.working():
                    await shows(hub, EntityId.of(name, key), state)
            finally:
                await storage.aclose()

        asyncio.run(main())

    return until


def test_signals_are_worked_on_and_the_state_is_shown(taskhub, worked):
    said = taskhub("entities", "signal", "Counter", "Front", "add", "--input", "3")
    taskhub("entities", "signal", "counter", "Front", "add", "--input", "4")
    taskhub("entities", "signal", "counter", "back", "add", "--input", "1")
    worked("counter", "back", "1")
    worked("counter", "Front", "7")

    shown = taskhub("entities", "show", "COUNTER", "Front", "--json").json
    listed = taskhub("entities", "list", "--json").json
    table = taskhub("entities", "list", "--name", "Counter", "--top", "1")

    assert "Signalled 'add' to entity 'counter' with key 'Front'" in said.err
    assert {key: shown[key] for key in ("name", "key", "exists", "state", "queueSize", "lockedBy")} == {
        "name": "counter",
        "key": "Front",
        "exists": True,
        "state": 7,
        "queueSize": 0,
        "lockedBy": None,
    }
    assert [(each["key"], each["state"]) for each in listed] == [("Front", 7), ("back", 1)]
    assert "Front" in table.out
    assert "There are more than these 1" in table.out
    assert "Front" in taskhub("entities", "show", "counter", "Front").out
    assert taskhub("entities", "list", "--name", "other", "--json").json == []
    assert taskhub("entities", "list", "--before", "1h", "--json").json == []
    assert len(taskhub("entities", "list", "--after", "1h", "--json").json) == 2


def test_a_signal_can_wait_for_its_time(taskhub):
    told = taskhub("entities", "signal", "counter", "a", "add", "--input", "1", "--at", "1h", "--json").json

    assert told["entityId"] == {"name": "counter", "key": "a"}
    assert told["due"] > "2026"


def test_what_is_not_there_is_an_error(taskhub):
    taskhub("hub", "create")

    unknown = taskhub("entities", "show", "counter", "nobody")
    bad_input = taskhub("entities", "signal", "counter", "a", "add", "--input", "{")

    assert (unknown.code, unknown.out) == (1, "")
    assert "No entity 'counter' has the key 'nobody'" in unknown.err
    assert bad_input.code == 2
    assert "This task hub has no such entities." in taskhub("entities", "list").out
