"""`taskhub doctor`: what it says, asks, does and ends with."""

import asyncio

import pytest

from taskhub.model.ids import InstanceId
from taskhub.runtime import doctor
from taskhub.storage.sqlite import open_sqlite
from tests.support.real_hub import RealHub
from tests.unit.cli.conftest import HUB


@pytest.fixture(autouse=True)
def short_second_look(monkeypatch):
    monkeypatch.setattr(doctor, "SECOND_LOOK_SECONDS", 0.05)


@pytest.fixture
def damaged(taskhub):
    """A hub with an instance whose start message was lost."""

    async def main():
        storage = await open_sqlite(taskhub.store)
        hub = RealHub(storage, name=HUB)
        await hub.start("quick", 7, instance_id="order-1")
        for queue in await storage.queues.list_queues(""):
            await storage.queues.delete_queue(queue)
            await storage.queues.create_queue(queue)
        await storage.aclose()

    asyncio.run(main())


def test_a_hub_that_is_well_is_called_so(taskhub):
    taskhub("hub", "create")

    done = taskhub("doctor")

    assert done.code == 0
    assert f"Task hub '{HUB}'" in done.out
    assert "Nothing is wrong." in done.out


def test_it_tells_what_is_wrong_and_what_would_be_done_and_does_nothing(taskhub, damaged):
    for arguments in ((), ("--repair", "--dry-run")):
        done = taskhub("doctor", *arguments)

        assert done.code == 1
        assert "problem  lost-start  order-1" in done.out
        assert "it never begins" in done.out
        assert "--repair would put the start message of 'order-1' into its queue again." in done.out
        assert "1 problems, 0 notices." in done.out
    assert "control-00" not in done.err


def test_it_repairs_and_a_worker_finishes(taskhub, damaged):
    done = taskhub("doctor", "--repair", "--yes")

    assert done.code == 0, done.out
    assert "Done: put the start message of 'order-1' into its queue again." in done.out
    assert taskhub.on_hub(lambda hub: hub.end(InstanceId("order-1"))).output == "7"
    assert taskhub("doctor").code == 0


def test_nobody_can_be_asked_without_a_terminal(taskhub, damaged):
    done = taskhub("doctor", "--repair", given="y\n")

    assert done.code == 2
    assert "--yes" in done.err
    assert taskhub("doctor").code == 1


def test_json_says_the_same(taskhub, damaged):
    found = taskhub("doctor", "--json")
    repaired = taskhub("doctor", "--json", "--repair", "--yes")

    (finding,) = found.json["findings"]
    assert (found.code, repaired.code) == (1, 0)
    assert {key: finding[key] for key in ("kind", "severity", "subject", "remedy", "repaired", "refusal")} == {
        "kind": "lost-start",
        "severity": "problem",
        "subject": "order-1",
        "remedy": "put the start message of 'order-1' into its queue again",
        "repaired": False,
        "refusal": None,
    }
    assert repaired.json["findings"][0]["repaired"] is True
    assert found.json["instances"] == 1


def test_a_hub_that_does_not_exist_is_told(taskhub):
    taskhub("hub", "create")

    assert "There is no task hub 'Other'" in taskhub("doctor", hub="Other").out
