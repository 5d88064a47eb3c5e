"""`taskhub dead`: what each command does, says, and ends with."""

import asyncio
import json
from datetime import datetime, timezone

from taskhub.client import TaskHubClient
from taskhub.model.dead_letters import Address, DeadLetter
from taskhub.model.ids import InstanceId, Utc
from taskhub.settings import TaskHubSettings
from taskhub.storage.sqlite import open_sqlite
from tests.unit.cli.conftest import HUB

NOW = Utc.of(datetime(2026, 1, 5, 12, tzinfo=timezone.utc))
LETTER = DeadLetter(
    id="1234567890abcdef",
    message_id="1f753f26-0000-4000-8000-000000000001",
    queue="control-01",
    reason="the message was read 4 times",
    dequeue_count=4,
    inserted=NOW,
    parked=NOW,
    text='{"TaskMessage":"é"}',
    address=Address(InstanceId("order-42"), None, "EventRaised", "approved"),
)
UNREADABLE = DeadLetter("2", "35", "workitems", "it is not JSON", 5, NOW, NOW, "???", blob_name="x/y", has_content=True)


def park(taskhub):
    async def main():
        storage = await open_sqlite(taskhub.store)
        client = TaskHubClient(storage, TaskHubSettings(hub_name=HUB))
        await client.create_hub()
        await client._services.dead_letters.park(LETTER, None)
        await client._services.dead_letters.park(UNREADABLE, b"\xff")
        await storage.aclose()

    asyncio.run(main())


def test_letters_are_listed_and_shown(taskhub):
    park(taskhub)

    table = taskhub("dead", "list")
    listed = taskhub("dead", "list", "--json").json
    of_one = taskhub("dead", "list", "--instance", "order-42", "--json").json
    shown = taskhub("dead", "show", LETTER.id)
    shown_json = taskhub("dead", "show", "2", "--json").json
    unknown = taskhub("dead", "show", "nothing")

    assert LETTER.id in table.out
    assert "EventRaised approved" in table.out
    assert "cannot be read" in table.out
    assert [each["id"] for each in listed] == [LETTER.id, "2"]
    assert (listed[0]["instanceId"], listed[0]["dequeueCount"], listed[1]["instanceId"]) == ("order-42", 4, None)
    assert [each["id"] for each in of_one] == [LETTER.id]
    assert '"TaskMessage": "é"' in shown.out
    assert "the message was read 4 times" in shown.out
    assert (shown_json["text"], shown_json["blobName"], shown_json["content"]) == ("???", "x/y", "/w==")
    assert (unknown.code, unknown.err) == (1, "there is no dead letter 'nothing'\n")


def test_the_status_of_a_hub_tells_of_its_letters(taskhub):
    park(taskhub)

    assert "Dead letters: 2" in taskhub("hub", "status").out
    assert taskhub("hub", "status", "--json").json["deadLetters"] == 2


def test_letters_are_put_back_and_dropped(taskhub):
    park(taskhub)

    refused = taskhub("dead", "drop", "--all", given="n\n")
    retried = taskhub("dead", "retry", LETTER.id)
    waiting = taskhub("hub", "status", "--json").json
    dropped = taskhub("dead", "drop", "--all", "--yes")
    again = taskhub("dead", "drop", "--all", "--yes")
    none = taskhub("dead", "list")

    assert refused.code == 1
    assert retried.err == f"{LETTER.id} is back in the queue control-01.\n"
    assert sum(each["messages"] for each in waiting["partitions"]) == 1
    assert dropped.err == "2 is dropped.\n"
    assert (again.code, again.err) == (1, "There are no dead letters.\n")
    assert (none.code, none.err) == (0, "There are no dead letters.\n")
    assert json.loads(taskhub("dead", "list", "--json").out) == []


def test_it_must_be_said_which_letters(taskhub):
    park(taskhub)

    assert "Name dead letters, or say --all" in taskhub("dead", "retry").err
    assert "Name dead letters, or say --all" in taskhub("dead", "retry", "2", "--all").err
