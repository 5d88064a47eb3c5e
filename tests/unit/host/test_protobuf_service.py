"""What clients over gRPC ask for, on a hub in virtual time."""

import functools

import durabletask.internal.orchestrator_service_pb2 as messages
import pytest

from taskhub.host.protobuf.service import Refused, SidecarService
from taskhub.model.ids import InstanceId
from taskhub.model.instance import RuntimeStatus
from taskhub.simulation import process
from tests.support.plain_application import PlainApplication
from tests.support.virtual_hub import VirtualHub


def flow(context):
    yield context.wait_for_external_event("Go")
    return "done"


def failing(context):
    yield context.call_activity("boom")


def boom():
    raise ValueError("no")


def counter(context):
    if context.operation_name == "delete":
        context.destruct_on_exit()
    else:
        context.set_state(context.get_state(lambda: 0) + context.get_input())


def play(main, *, with_worker=True):
    app = PlainApplication({"flow": flow, "failing": failing}, {"boom": boom}, entities={"counter": counter})
    hub = VirtualHub(app=app, partition_count=1)

    async def run(hub):
        if with_worker:
            running = await hub.worker()
            hub.client = running.worker.client  # which wakes its worker
        return await main(hub, SidecarService(messages, sleep=hub.clock.sleep))

    return hub.run(run)


def asked(kind, **fields):
    return getattr(messages, kind)(**fields)


async def start(hub, service, name="flow", **fields):
    answered = await service.start(hub.client, asked("CreateInstanceRequest", name=name, **fields))
    return answered.instanceId


async def refused(call):
    with pytest.raises(Refused) as caught:
        await call
    return caught.value.status, caught.value.text


def test_an_instance_is_started_with_all_that_the_request_says():
    async def main(hub, service):
        instance_id = await start(
            hub,
            service,
            instanceId="one",
            input={"value": "1"},
            version={"value": "2"},
            tags={"k": "v"},
            scheduledStartTimestamp={"seconds": 4_000_000_000},
        )
        return instance_id, await hub.client.get(InstanceId("one"))

    instance_id, state = play(main, with_worker=False)

    assert (instance_id, state.name, state.input, state.version) == ("one", "flow", "1", "2")
    assert (state.tags, state.scheduled_start) == ({"k": "v"}, "2096-10-02T07:06:40Z")


def test_the_trace_of_a_caller_goes_along(monkeypatch):
    told = []
    monkeypatch.setattr(process, "Environment", functools.partial(process.Environment, tell_spans=told.extend))
    trace = {"traceParent": f"00-{'a' * 32}-{'b' * 16}-01", "traceState": {"value": "k=v"}}

    async def main(hub, service):
        await start(hub, service, instanceId="one", parentTraceContext=trace)
        await service.signal_entity(
            hub.client, asked("SignalEntityRequest", instanceId="@counter@c", name="add", parentTraceContext=trace)
        )
        await start(hub, service, instanceId="two")

    play(main, with_worker=False)

    parents = [(span.name, span.context.trace_id, span.parent_id, span.context.state) for span in told]
    assert parents[:2] == [
        ("create_orchestration:flow", "a" * 32, "b" * 16, "k=v"),
        ("entity:counter:add", "a" * 32, "b" * 16, "k=v"),
    ]
    assert parents[2][2] is None


def test_an_id_is_made_where_none_is_given():
    async def main(hub, service):
        return await start(hub, service), await start(hub, service)

    first, second = play(main, with_worker=False)

    assert len(first) == len(second) == 32
    assert first != second


def test_starts_that_cannot_be_are_refused():
    async def main(hub, service):
        await start(hub, service, instanceId="one")
        request = asked("CreateInstanceRequest", name="flow", instanceId="one")
        entity = asked("CreateInstanceRequest", name="flow", instanceId="@c@k")
        return await refused(service.start(hub.client, request)), await refused(service.start(hub.client, entity))

    twice, as_entity = play(main, with_worker=False)

    assert twice == ("ALREADY_EXISTS", "An Orchestration instance with the ID one already exists.")
    assert as_entity[0] == "INTERNAL"
    assert as_entity[1].startswith("Failed to start instance with ID @c@k.\nInner Exception message: ")


@pytest.mark.parametrize("with_values", [True, False])
def test_values_are_told_only_to_who_wants_them(with_values):
    async def main(hub, service):
        await start(hub, service, instanceId="one", input={"value": "1"})
        await service.raise_event(hub.client, asked("RaiseEventRequest", instanceId="one", name="Go"))
        request = asked("GetInstanceRequest", instanceId="one", getInputsAndOutputs=with_values)
        return await service.wait_for_completion(hub.client, request)

    told = play(main)

    state = told.orchestrationState
    assert (told.exists, state.instanceId, state.name) == (True, "one", "flow")
    assert state.orchestrationStatus == messages.ORCHESTRATION_STATUS_COMPLETED
    assert (state.input.value, state.output.value) == (("1", '"done"') if with_values else ("", ""))
    assert state.HasField("createdTimestamp")


def test_a_wait_for_the_start_ends_when_a_worker_has_begun():
    async def main(hub, service):
        await start(hub, service, instanceId="one")
        waiting = service.wait_for_start(hub.client, asked("GetInstanceRequest", instanceId="one"))
        pending = await service.get(hub.client, asked("GetInstanceRequest", instanceId="one"))
        await hub.worker()
        return pending.orchestrationState.orchestrationStatus, (await waiting).orchestrationState.orchestrationStatus

    assert play(main, with_worker=False) == (
        messages.ORCHESTRATION_STATUS_PENDING,
        messages.ORCHESTRATION_STATUS_RUNNING,
    )


def test_a_failed_instance_tells_its_failure_out_of_its_text():
    async def main(hub, service):
        await start(hub, service, "failing", instanceId="one")
        request = asked("GetInstanceRequest", instanceId="one", getInputsAndOutputs=True)
        return await service.wait_for_completion(hub.client, request)

    failure = play(main).orchestrationState.failureDetails

    assert "boom" in failure.errorMessage


def test_an_instance_that_is_not_there_is_told_so():
    async def main(hub, service):
        return await service.get(hub.client, asked("GetInstanceRequest", instanceId="nobody"))

    assert not play(main, with_worker=False).exists


@pytest.mark.parametrize(
    ("call", "request_kind", "status"),
    [
        ("raise_event", "RaiseEventRequest", "INVALID_ARGUMENT"),
        ("terminate", "TerminateRequest", "INVALID_ARGUMENT"),
        ("purge", "PurgeInstancesRequest", "INVALID_ARGUMENT"),
        ("signal_entity", "SignalEntityRequest", "INVALID_ARGUMENT"),
    ],
)
def test_a_request_that_names_nobody_is_refused(call, request_kind, status):
    async def main(hub, service):
        return await refused(getattr(service, call)(hub.client, asked(request_kind)))

    assert play(main, with_worker=False)[0] == status


def test_what_an_instance_cannot_do_in_its_state_is_refused():
    async def main(hub, service):
        await start(hub, service, instanceId="one")
        await hub.until("one", lambda state: state.status is RuntimeStatus.Running)
        rewound = await refused(service.rewind(hub.client, asked("RewindInstanceRequest", instanceId="one")))
        anew = await refused(service.restart(hub.client, asked("RestartInstanceRequest", instanceId="one")))
        await service.terminate(hub.client, asked("TerminateRequest", instanceId="one", output={"value": '"enough"'}))
        ended = await hub.end("one")
        again = await refused(service.terminate(hub.client, asked("TerminateRequest", instanceId="one")))
        event = asked("RaiseEventRequest", instanceId="one", name="Go")
        return ended, rewound, anew, again, await refused(service.raise_event(hub.client, event))

    ended, rewound, anew, again, event = play(main)

    assert (ended.status, ended.output) == (RuntimeStatus.Terminated, '"enough"')
    assert [each[0] for each in (rewound, anew, again, event)] == ["FAILED_PRECONDITION"] * 4
    assert "because instance is in the Terminated state." in again[1]


def test_instances_are_listed_by_pages_without_entities():
    async def main(hub, service):
        for number in range(3):
            await start(hub, service, instanceId=f"i{number}", input={"value": str(number)})
        await service.signal_entity(
            hub.client, asked("SignalEntityRequest", instanceId="@counter@a", name="add", input={"value": "1"})
        )
        await hub.sleep(1)
        query = {"maxInstanceCount": 2, "fetchInputsAndOutputs": True}
        first = await service.query(hub.client, asked("QueryInstancesRequest", query=query))
        query["continuationToken"] = {"value": first.continuationToken.value}
        second = await service.query(hub.client, asked("QueryInstancesRequest", query=query))
        everything = {"maxInstanceCount": 2**31 - 1, "instanceIdPrefix": {"value": "i2"}}
        return first, second, await service.query(hub.client, asked("QueryInstancesRequest", query=everything))

    first, second, by_prefix = play(main)

    assert [each.input.value for each in (*first.orchestrationState, *second.orchestrationState)] == ["0", "1", "2"]
    assert [each.instanceId for each in by_prefix.orchestrationState] == ["i2"]
    assert not by_prefix.HasField("continuationToken")


def test_instances_are_purged_one_by_one_in_batches_and_by_a_filter():
    async def main(hub, service):
        for number in range(4):
            await start(hub, service, instanceId=f"i{number}")
            await service.raise_event(hub.client, asked("RaiseEventRequest", instanceId=f"i{number}", name="Go"))
            await hub.end(f"i{number}")
        requests = (
            {"instanceId": "i0"},
            {"instanceBatch": {"instanceIds": ["i1", "nobody"]}},
            {"purgeInstanceFilter": {"runtimeStatus": ["ORCHESTRATION_STATUS_FAILED"]}},
            {"purgeInstanceFilter": {"createdTimeFrom": {"seconds": 0}}},
        )
        return [
            (await service.purge(hub.client, asked("PurgeInstancesRequest", **each))).deletedInstanceCount
            for each in requests
        ]

    assert play(main) == [1, 1, 0, 2]


def test_a_history_comes_in_chunks_and_that_of_nobody_is_refused():
    async def main(hub, service):
        await start(hub, service, instanceId="one")
        await service.raise_event(hub.client, asked("RaiseEventRequest", instanceId="one", name="Go"))
        await hub.end("one")
        request = asked("StreamInstanceHistoryRequest", instanceId="one")
        chunks = [chunk async for chunk in service.history(hub.client, request)]
        missing = service.history(hub.client, asked("StreamInstanceHistoryRequest", instanceId="nobody"))
        return chunks, await refused(anext(missing))

    chunks, missing = play(main)

    kinds = [event.WhichOneof("eventType") for chunk in chunks for event in chunk.events]
    assert kinds[:2] == ["orchestratorStarted", "executionStarted"]
    assert "executionCompleted" in kinds
    assert missing[0] == "NOT_FOUND"


def test_a_signal_that_is_sent_twice_under_one_id_is_taken_once():
    async def main(hub, service):
        request = asked(
            "SignalEntityRequest", instanceId="@counter@a", name="add", input={"value": "5"}, requestId="r1"
        )
        await service.signal_entity(hub.client, request)
        await service.signal_entity(hub.client, request)
        await hub.sleep(1)
        return await service.get_entity(hub.client, asked("GetEntityRequest", instanceId="@Counter@a".lower()))

    told = play(main)

    assert told.exists
    assert not told.entity.HasField("serializedState")


def test_entities_are_read_listed_and_cleaned():
    async def main(hub, service):
        for key, operation in (("a", "add"), ("ab", "add"), ("b", "add"), ("b", "delete")):
            given = {"value": "5"}
            await service.signal_entity(
                hub.client, asked("SignalEntityRequest", instanceId=f"@counter@{key}", name=operation, input=given)
            )
            await hub.sleep(1)
        read = await service.get_entity(
            hub.client, asked("GetEntityRequest", instanceId="@counter@a", includeState=True)
        )
        gone = await service.get_entity(hub.client, asked("GetEntityRequest", instanceId="@counter@b"))
        query = {"instanceIdStartsWith": {"value": "@counter@a"}, "includeState": True, "pageSize": {"value": 1}}
        page = await service.query_entities(hub.client, asked("QueryEntitiesRequest", query=query))
        everything = asked("QueryEntitiesRequest", query={"includeTransient": True})
        all_of_them = await service.query_entities(hub.client, everything)
        await hub.sleep(3600)
        cleaned = await service.clean_entities(
            hub.client, asked("CleanEntityStorageRequest", removeEmptyEntities=True, releaseOrphanedLocks=True)
        )
        return read, gone, page, all_of_them, cleaned

    read, gone, page, all_of_them, cleaned = play(main)

    assert (read.entity.instanceId, read.entity.serializedState.value) == ("@counter@a", "5")
    assert not gone.exists
    assert [(each.instanceId, each.serializedState.value) for each in page.entities] == [("@counter@a", "5")]
    assert page.HasField("continuationToken")
    assert [each.instanceId for each in all_of_them.entities] == ["@counter@a", "@counter@ab", "@counter@b"]
    assert (cleaned.emptyEntitiesRemoved, cleaned.orphanedLocksReleased) == (1, 0)
