"""Hubs that the .NET provider left, read by our client: it sees what the .NET client saw."""

import pytest

from taskhub.codec.messages import raw_event
from taskhub.errors import BlobNotFound
from taskhub.model.ids import InstanceId, Utc
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from tests.support.real_hub import RealHub
from tests.support.recorded_hub import recording
from tests.support.recordings import folders

HOUR_AROUND = (Utc("2026-11-24T11:43:41.8729602Z"), Utc("2026-11-24T13:43:41.8729602Z"))
QUERIES = {
    "all": (InstanceFilter(), 100),
    "pages-of-5": (InstanceFilter(), 5),
    "failed": (InstanceFilter(statuses=frozenset({RuntimeStatus.Failed})), 100),
    "running-or-pending": (
        InstanceFilter(statuses=frozenset({RuntimeStatus.Running, RuntimeStatus.Pending})),
        100,
    ),
    "prefix": (InstanceFilter(id_prefix="q-done-"), 3),
    "prefix-escaped": (InstanceFilter(id_prefix="it's/"), 100),
    "time": (InstanceFilter(*HOUR_AROUND), 100),
    "time-and-status": (
        InstanceFilter(HOUR_AROUND[0], statuses=frozenset({RuntimeStatus.Completed})),
        4,
    ),
    "no-entities": (InstanceFilter(excludes_entities=True), 100),
}
DAMAGED = "purge_large_neighbour"
"""There the reference's purge took the blobs of an instance that stayed."""
SCENARIOS = [
    folder.name for folder in folders("storage") if recording(folder.name).final_statuses and folder.name != DAMAGED
]
STARTED_ANYWAY = ("terminate_pending", "term-2", "Completed")
"""The one instance that went on after its final status was seen."""


async def restored(storage, scenario):
    hub = RealHub(storage)
    await hub.client.load_hub(recording(scenario).dump())
    return hub


def as_recorded(state):
    return {
        "id": state.instance_id,
        "Name": state.name,
        "status": state.status.name,
        "Input": state.input,
        "Output": state.output,
        # Of a row without a column and of the text null the same is made here.
        "Status": state.custom_status,
        "Generation": state.generation,
        "ScheduledStartTime": state.scheduled_start,
    }


def recorded(state):
    return {**state, "Status": None if state["Status"] == "null" else state["Status"]}


@pytest.mark.parametrize("query", QUERIES)
async def test_a_query_finds_what_the_reference_found(any_storage, query):
    hub = await restored(any_storage, "query_many")
    answers = recording("query_many").answers
    wanted, top = QUERIES[query]
    expected = [
        recorded(state)
        for name, value in answers.items()
        if name.startswith(f"query {query}, page")
        for state in value["states"]
    ]

    found, token = [], None
    while True:
        page = await hub.client.query(wanted, top=top, token=token)
        assert len(page.instances) <= top
        found += map(as_recorded, page.instances)
        token = page.token
        if token is None:
            break

    assert expected
    assert found == expected


@pytest.mark.azurite
async def test_a_token_of_the_reference_is_resumed(azurite):
    from taskhub.storage.azure import open_azure

    storage = await open_azure(connection_string=azurite)
    hub = await restored(storage, "query_many")
    answers = recording("query_many").answers

    for number in (0, 1):
        token = answers[f"query pages-of-5, page {number}"]["token"]
        page = await hub.client.query(InstanceFilter(), top=5, token=token)
        expected = answers[f"query pages-of-5, page {number + 1}"]
        assert list(map(as_recorded, page.instances)) == list(map(recorded, expected["states"]))
        assert page.token == expected["token"]
    await storage.aclose()


async def test_single_instances_and_histories_are_read_as_recorded(any_storage):
    hub = await restored(any_storage, "query_many")
    answers = recording("query_many").answers

    status = await hub.client.get(InstanceId("q-done-0"))
    odd = await hub.client.get(InstanceId("it's/odd #1"))
    history = await hub.client.history(InstanceId("q-done-0"))

    assert as_recorded(status) == recorded(answers["status"])
    assert as_recorded(odd) == recorded(answers["status of an escaped id"])
    assert await hub.client.get(InstanceId("nobody")) is None
    assert [raw_event(event) for event in history] == answers["history"]


@pytest.mark.parametrize("scenario", SCENARIOS)
async def test_every_recorded_hub_shows_the_ends_that_were_seen(any_storage, scenario):
    hub = await restored(any_storage, scenario)

    for instance_id, status in recording(scenario).final_statuses.items():
        state = await hub.client.get(InstanceId(instance_id))
        history = await hub.client.history(InstanceId(instance_id))
        if instance_id in recording(scenario).purged:
            assert (state, list(history)) == (None, [])
            continue
        assert state.status.name == status or (scenario, instance_id, state.status.name) == STARTED_ANYWAY
        assert [event.type_name for event in history[:2]] == ["OrchestratorStarted", "ExecutionStarted"]
        assert history[-1].type_name == "OrchestratorCompleted"


async def test_a_history_that_lost_its_blobs_is_told_as_such(any_storage):
    hub = await restored(any_storage, DAMAGED)
    (left,) = set(recording(DAMAGED).final_statuses) - recording(DAMAGED).purged

    state = await hub.client.get(InstanceId(left))

    assert state.status is RuntimeStatus.Completed
    with pytest.raises(BlobNotFound):
        await hub.client.history(InstanceId(left))


async def test_large_values_of_a_recorded_hub_are_resolved(any_storage):
    hub = await restored(any_storage, "large_input_40k")

    state = await hub.client.get(InstanceId("large-2"))
    started = (await hub.client.history(InstanceId("large-2")))[1]

    assert len(state.input) == 40_981
    assert state.input == started.input


async def test_what_waits_in_a_recorded_hub_waits_on(any_storage):
    hub = await restored(any_storage, "query_many")

    status = await hub.client.hub_status()

    assert [each.messages for each in status.partitions] == [0, 0, 0, 1]
    assert {key.name: count for key, count in status.instances.items()} == {
        "Completed": 7,
        "Failed": 2,
        "Running": 2,
        "Pending": 1,
    }
