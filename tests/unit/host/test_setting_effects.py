"""Every key of ``extensions.durableTask`` does what its line in the reference says, from the file to the hub.

``shows`` marks which key a test is about. The table at the end holds that every key that the reference's default
configuration has is either shown here or listed as one that changes nothing, with the same reason in the docs.
"""

import asyncio
import base64
import json
import re
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import azure.durable_functions as df
import durabletask.internal.orchestrator_service_pb2 as messages
import pytest

from taskhub.errors import ConfigurationError, InstanceExists
from taskhub.host import routes
from taskhub.host.application import FunctionsApplication
from taskhub.host.bindings import read_bindings
from taskhub.host.call_plan import plan_call
from taskhub.host.client_binding import client_payload
from taskhub.host.configuration import load_configuration
from taskhub.host.durable_options import TopicOptions, known_keys, read_durable_options
from taskhub.host.functions import Function
from taskhub.host.live_orchestrations import LiveOrchestrations
from taskhub.host.protobuf.service import Refused, SidecarService
from taskhub.model.history import TaskScheduled
from taskhub.model.ids import InstanceId
from taskhub.model.instance import InstanceFilter, RuntimeStatus
from taskhub.storage.interception import intercepted
from taskhub.wiring import Account, choose_store
from tests.support.contexts import event
from tests.support.pages import table_rows
from tests.support.plain_application import PlainApplication, PlainOrchestration
from tests.support.virtual_hub import VirtualHub

GOLDEN = Path(__file__).parents[2] / "golden" / "extension" / "startup.jsonl"
PAGE = Path(__file__).parents[3] / "docs/reference/settings.md"
SHOWN: dict[str, str] = {}


def shows(*keys):
    def note(test):
        SHOWN.update(dict.fromkeys(keys, test.__name__))
        return test

    return note


def options_of(path, value, *more):
    """Read a section in which the given keys, dotted, have the given values."""
    section = {}
    for name, each in zip((path, *more[::2]), (value, *more[1::2]), strict=True):
        *above, key = name.split(".")
        inner = section
        for part in above:
            inner = inner.setdefault(part, {})
        inner[key] = each
    return read_durable_options(section, {})


def hub_of(options, orchestrators=None, activities=None, **settings):
    values = {name: getattr(options.hub, name) for name in options.hub.__dataclass_fields__}
    return VirtualHub(orchestrators, activities, **{**values, **settings})


def watched(hub, name="worker", **settings):
    """Return the coroutine that starts a worker whose calls to the store are noted, and the notes."""
    calls = []

    async def note(call, act):
        calls.append((hub.seconds, call))
        return await act()

    return hub.worker(name, wrap=lambda storage: intercepted(storage, note), **settings), calls


class Gauge:
    """Counts what is in it at a time."""

    def __init__(self):
        self.now = self.most = 0

    async def __call__(self, _=None):
        self.now += 1
        self.most = max(self.most, self.now)
        await asyncio.sleep(5)
        self.now -= 1


def returns(value):
    def flow(context):
        yield context.create_timer(context.current_utc_datetime + timedelta(seconds=1))
        return value

    return flow


def waits(context):
    return (yield context.wait_for_external_event("go"))


# ---- the hub and its versions


GRID = "notifications.eventGrid."


@shows(
    *(f"{GRID}{key}" for key in ("topicEndpoint", "keySettingName", "publishRetryCount", "publishRetryInterval")),
    *(f"{GRID}{key}" for key in ("publishRetryHttpStatus", "publishEventTypes")),
)
def test_a_topic_is_told_of_lives_of_instances_as_is_set():
    section = {
        "topicEndpoint": "%TOPIC%",
        "keySettingName": "Key",
        "publishRetryCount": 2,
        "publishRetryInterval": "00:00:05",
        "publishRetryHttpStatus": [400, 500],
        "publishEventTypes": ["started", "Failed"],
    }
    settings = {"TOPIC": "https://topic.example/api/events", "KEY": "secret"}

    topic = read_durable_options({"notifications": {"eventGrid": section}}, settings).topic

    assert topic == TopicOptions(
        "https://topic.example/api/events",
        "secret",
        retry_count=2,
        retry_seconds=5.0,
        retry_statuses=frozenset({400, 500}),
        statuses=frozenset({RuntimeStatus.Running, RuntimeStatus.Failed}),
    )
    assert read_durable_options({}, settings).topic is None


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"topicEndpoint": "https://x"}, "notifications.eventGrid has no keySettingName"),
        ({"keySettingName": "Key"}, "notifications.eventGrid has no topicEndpoint"),
        ({"topicEndpoint": "https://x", "keySettingName": "Gone"}, "keySettingName is 'Gone', which is no app setting"),
        ({"topicEndpoint": "https://x", "keySettingName": "Key", "publishEventTypes": ["x"]}, "a list of Started"),
        ({"topicEndpoint": "https://x", "keySettingName": "Key", "publishRetryInterval": "02:00:00"}, "at most"),
    ],
)
def test_a_topic_that_cannot_be_told_ends_the_start(section, message):
    with pytest.raises(ConfigurationError, match=message):
        read_durable_options({"notifications": {"eventGrid": section}}, {"KEY": "secret"})


@shows("tracing.distributedTracingEnabled", "tracing.version")
def test_spans_of_version_2_are_told_of_where_they_are_wanted():
    assert options_of("tracing.distributedTracingEnabled", True, "tracing.version", "v2").traces
    assert not options_of("tracing.distributedTracingEnabled", False, "tracing.version", "V2").traces
    old = options_of("tracing.distributedTracingEnabled", True)
    assert not old.traces
    assert "tracing.version is 'V1', whose spans this host does not make; set it to V2." in old.warnings[0]


@shows("hubName")
def test_the_hub_s_name_is_in_its_queues_tables_and_containers():
    hub = hub_of(options_of("hubName", "Mine"))

    async def play(hub):
        await hub.worker()
        return await hub.storage.queues.list_queues("mine-"), await hub.storage.tables.table_exists("MineHistory")

    queues, has_history = hub.run(play)

    assert "mine-workitems" in queues
    assert has_history


@shows("defaultVersion")
def test_what_an_app_starts_has_its_version():
    async def play(hub):
        await hub.worker()
        return await hub.end(await hub.start("Flow"))

    assert hub_of(options_of("defaultVersion", "2.1"), {"Flow": returns(1)}).run(play).version == "2.1"


@shows("versionMatchStrategy")
@pytest.mark.parametrize(("strategy", "status"), [("Strict", "Pending"), ("CurrentOrOlder", "Completed")])
def test_an_older_instance_is_run_as_the_strategy_says(strategy, status):
    options = options_of("versionMatchStrategy", strategy, "defaultVersion", "2.0")

    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("Flow", version="1.0")
        await hub.sleep(60)
        return await hub.client.get(instance_id)

    assert hub_of(options, {"Flow": returns(1)}).run(play).status is RuntimeStatus[status]


@shows("versionFailureStrategy")
@pytest.mark.parametrize(("strategy", "status"), [("Reject", "Pending"), ("Fail", "Failed")])
def test_a_newer_instance_is_refused_as_the_strategy_says(strategy, status):
    options = options_of("versionFailureStrategy", strategy, "defaultVersion", "2.0")

    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("Flow", version="3.0")
        await hub.sleep(60)
        return await hub.client.get(instance_id)

    assert hub_of(options, {"Flow": returns(1)}).run(play).status is RuntimeStatus[status]


@shows("storageProvider.maxDequeueCount")
@pytest.mark.parametrize(("count", "parked"), [(0, 0), (2, 1)])
def test_a_message_that_was_read_more_often_is_parked(count, parked):
    hub = hub_of(options_of("storageProvider.maxDequeueCount", count))

    async def play(hub):
        await hub.worker()
        await hub.storage.queues.put(hub.names.work_item_queue, "no message")
        await hub.sleep(300)
        return len(await hub.client.dead_letters()), (await hub.state()).messages[hub.names.work_item_queue]

    assert hub.run(play) == (parked, 1 - parked)


# ---- how much at a time


@shows("maxConcurrentActivityFunctions")
def test_no_more_activities_run_at_a_time_than_allowed():
    gauge = Gauge()

    def flow(context):
        yield context.task_all([context.call_activity("Wait") for _ in range(10)])

    async def play(hub):
        await hub.worker()
        await hub.end(await hub.start("Flow"))

    hub_of(options_of("maxConcurrentActivityFunctions", 3), {"Flow": flow}, {"Wait": gauge}).run(play)

    assert gauge.most == 3


@shows("maxConcurrentOrchestratorFunctions")
def test_no_more_instances_are_processed_at_a_time_than_allowed():
    gauge = Gauge()

    class Slow(PlainOrchestration):
        async def advance(self, events, *, replayed):
            await gauge()
            return await super().advance(events, replayed=replayed)

    class App(PlainApplication):
        orchestration_type = Slow

    async def play(hub):
        await hub.worker()
        started = [await hub.start("Flow") for _ in range(8)]
        for each in started:
            await hub.end(each)

    options = options_of("maxConcurrentOrchestratorFunctions", 2)
    hub_of(options, app=App({"Flow": lambda context: 1})).run(play)

    assert gauge.most == 2


@shows("maxConcurrentEntityFunctions")
def test_no_more_entities_run_at_a_time_than_allowed():
    gauge = Gauge()

    class App(PlainApplication):
        async def run_entity_batch(self, call):
            await gauge()
            return await super().run_entity_batch(call)

    async def play(hub):
        await hub.worker()
        for number in range(6):
            await hub.client.signal_entity(entity(f"k{number}"), "add", "1")
        await hub.sleep(60)

    app = App({}, entities={"counter": counts})
    hub_of(options_of("maxConcurrentEntityFunctions", 2), app=app).run(play)

    assert (gauge.most, len(app.batches)) == (2, 6)


def counts(context):
    context.set_state((context.get_state(lambda: 0) or 0) + 1)


def entity(key):
    from taskhub.model.entities import EntityId

    return EntityId("counter", key)


@shows("maxEntityOperationBatchSize")
def test_an_entity_runs_no_more_operations_at_once_than_allowed():
    app = PlainApplication({}, entities={"counter": counts})

    async def play(hub):
        for _ in range(7):
            await hub.client.signal_entity(entity("k"), "add", "1")
        await hub.worker()
        await hub.sleep(120)
        return await hub.client.read_entity(entity("k"))

    state = hub_of(options_of("maxEntityOperationBatchSize", 3), app=app).run(play)

    assert state.state == "7"
    assert max(call.operations for call in app.batches) == 3


@shows("maxOrchestrationActions")
@pytest.mark.parametrize(("count", "status"), [(5, RuntimeStatus.Completed), (6, RuntimeStatus.Failed)])
def test_an_execution_that_asks_for_more_than_allowed_fails(count, status):
    def flow(context):
        for _ in range(count):
            yield context.call_activity("Do")

    async def play(hub):
        await hub.worker()
        return await hub.end(await hub.start("Flow"))

    options = options_of("maxOrchestrationActions", 5)
    ended = hub_of(options, {"Flow": flow}, {"Do": lambda _: None}).run(play)

    assert ended.status is status
    if status is RuntimeStatus.Failed:
        assert ended.output == (
            "Orchestrator function 'Flow' failed: Maximum amount of orchestration actions (5) has been reached. This "
            "value can be configured in host.json file as MaxOrchestrationActions."
        )


# ---- what code gets to see


def plan_of(function):
    handle = df.Orchestrator.create(function)
    return plan_call(
        Function("Flow", handle, read_bindings([{"name": "context", "type": "orchestrationTrigger"}]), Path())
    )


async def first_decisions(options, function, *events):
    """Run the first episodes of an orchestrator as the host does."""

    class Now:
        async def replay(self, name, step, failure_of):
            return step()

    orchestrations = LiveOrchestrations(Now(), options.hub)
    application = FunctionsApplication([plan_of(function)], Now(), orchestrations, client_payload=lambda _: "{}")
    code = application.orchestration("Flow", instance_id=InstanceId("i"), parent_instance_id=None)
    decided = await code.advance([event(12), event(0, Name="Flow", Input=None)], replayed=0)
    for each in events:
        decided = await code.advance([event(12), each], replayed=0)
    return decided


@shows("httpSettings.defaultAsyncRequestSleepTimeMilliseconds")
async def test_a_call_that_polls_pauses_as_long_as_is_set():
    def flow(context):
        yield context.call_http("GET", "http://x.test", asynchronous_pattern_enabled=True)

    answer = event(5, TaskScheduledId=0, Result='{"statusCode": 202, "headers": {}}')
    options = options_of("httpSettings.defaultAsyncRequestSleepTimeMilliseconds", 1500)

    [timer] = (await first_decisions(options, flow, answer)).operations

    assert timer.fire_at == "2024-03-05T10:00:01.5Z"


@shows("entityMessageReorderWindowInMinutes")
@pytest.mark.parametrize(("minutes", "are_ordered"), [(0, False), (30, True)])
async def test_requests_to_entities_tell_their_order_only_within_a_window(minutes, are_ordered):
    def flow(context):
        for _ in range(2):
            context.signal_entity(df.EntityId("Counter", "k"), "add", 1)
        yield context.wait_for_external_event("go")

    options = options_of("entityMessageReorderWindowInMinutes", minutes)

    _, second = (await first_decisions(options, flow)).operations

    assert (json.loads(second.input)["Predecessor"] != "0001-01-01T00:00:00") is are_ordered


@shows("overridableExistingInstanceStates")
@pytest.mark.parametrize("states", ["NonRunningStates", "AnyState"])
def test_a_running_instance_is_replaced_only_where_that_is_allowed(states):
    async def play(hub):
        await hub.worker()
        await hub.start("Flow", instance_id="i")
        await hub.until("i", lambda state: state.status is RuntimeStatus.Running)
        try:
            await hub.start("Flow", instance_id="i")
        except InstanceExists:
            return "refused"
        return "replaced"

    options = options_of("overridableExistingInstanceStates", states)

    assert hub_of(options, {"Flow": waits}).run(play) == ("replaced" if states == "AnyState" else "refused")


@shows("storeInputsInOrchestrationHistory")
@pytest.mark.parametrize("keeps", [True, False])
def test_inputs_of_activities_are_in_the_history_where_wanted(keeps):
    def flow(context):
        yield context.call_activity("Do", "secret")

    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("Flow")
        await hub.end(instance_id)
        return await hub.client.history(instance_id)

    hub = hub_of(options_of("storeInputsInOrchestrationHistory", keeps), {"Flow": flow}, {"Do": lambda _: None})
    [scheduled] = [each for each in hub.run(play) if isinstance(each, TaskScheduled)]

    assert ("secret" in (scheduled.input or "")) is keeps


@shows("storageProvider.fetchLargeMessagesAutomatically")
@pytest.mark.parametrize("fetches", [True, False])
def test_values_in_blobs_are_shown_or_their_urls(fetches):
    large = "x" * 50_000

    async def play(hub):
        await hub.worker()
        instance_id = await hub.start("Flow", large)
        await hub.end(instance_id)
        page = await hub.client.query(InstanceFilter())
        return await hub.client.get(instance_id), page.instances[0]

    hub = hub_of(options_of("storageProvider.fetchLargeMessagesAutomatically", fetches), {"Flow": returns(large)})

    for state in hub.run(play):
        assert (large in state.input, large in state.output) == (fetches, fetches)
        assert "largemessages/" in state.input or fetches
        assert "largemessages/" in state.output or fetches


# ---- the app lease


def owned(running):
    return len(running.worker._partitions.owned)


@shows("useAppLease")
@pytest.mark.parametrize("uses", [True, False])
def test_a_second_app_shares_the_partitions_only_without_the_lease(uses):
    async def play(hub):
        first = await hub.worker("a", app_name="one")
        second = await hub.worker("b", app_name="two", wait=False)
        await hub.sleep(200)
        return owned(first), owned(second)

    assert hub_of(options_of("useAppLease", uses)).run(play) == ((4, 0) if uses else (2, 2))


@shows("appLeaseOptions.leaseInterval", "appLeaseOptions.renewInterval")
def test_the_app_lease_is_as_long_and_renewed_as_often_as_is_set():
    options = options_of("appLeaseOptions.leaseInterval", "00:00:20", "appLeaseOptions.renewInterval", "00:00:04")

    async def play(hub):
        starting, calls = watched(hub)
        await starting
        await hub.sleep(41)
        return calls

    calls = hub_of(options).run(play)

    taken = [call.options["seconds"] for _, call in calls if call.method == "acquire_lease"]
    renewals = [at for at, call in calls if call.method == "renew_lease" and call.target.endswith("applease")]
    assert taken == [20]
    assert len(renewals) == 10


@shows("appLeaseOptions.acquireInterval")
def test_a_waiting_app_looks_for_the_lease_as_often_as_is_set():
    options = options_of("appLeaseOptions.acquireInterval", "00:00:30")

    async def play(hub):
        await hub.worker("a", app_name="one")
        starting, calls = watched(hub, "b", app_name="two", wait=False)
        await starting
        await hub.sleep(100)
        return calls

    attempts = [at for at, call in hub_of(options).run(play) if call.method == "acquire_lease"]

    assert [round(after - before) for before, after in pairwise(attempts)] == [30, 30, 30]


# ---- where and how it is stored


def configuration_of(folder, section, **settings):
    (folder / "host.json").write_text(json.dumps({"version": "2.0", "extensions": {"durableTask": section}}))
    return load_configuration(folder, settings)


@shows("localRpcEndpointEnabled")
def test_without_its_loopback_door_the_host_gives_clients_no_address(tmp_path):
    configuration = configuration_of(tmp_path, {"localRpcEndpointEnabled": False})

    assert not configuration.durable.local_rpc_endpoint
    assert json.loads(client_payload(configuration, "http://localhost:1", rpc_port=None)({}))["rpcBaseUrl"] is None


@shows("maxGrpcMessageSizeInBytes", "grpcHttpClientTimeout")
def test_clients_that_speak_grpc_are_told_its_limits(tmp_path):
    configuration = configuration_of(
        tmp_path, {"maxGrpcMessageSizeInBytes": 7_000_000, "grpcHttpClientTimeout": "00:02:30"}
    )

    told = json.loads(client_payload(configuration, "http://localhost:1", rpc_port=4001, speaks_grpc=True)({}))

    assert (told["maxGrpcMessageSizeInBytes"], told["grpcHttpClientTimeout"]) == (7_000_000, "00:02:30")
    assert (told["rpcBaseUrl"], told["httpBaseUrl"]) == ("http://127.0.0.1:4001", "http://localhost:1")
    assert told["useForwardedHost"] is False


@shows("throwStatusExceptionsOnRaiseEvent")
@pytest.mark.parametrize("throws", [True, False])
def test_events_for_nobody_are_refused_or_dropped_over_grpc(throws):
    options = options_of("throwStatusExceptionsOnRaiseEvent", throws)
    service = SidecarService(messages, refuses_events=options.grpc.refuses_events)

    async def play(hub):
        try:
            await service.raise_event(hub.client, messages.RaiseEventRequest(instanceId="nobody", name="Go"))
        except Refused as refused:
            return refused.status
        return None

    assert hub_of(options).run(play) == ("NOT_FOUND" if throws else None)


@shows("httpSettings.useForwardedHost")
@pytest.mark.parametrize("uses", [True, False])
def test_management_urls_name_the_forwarded_host_only_where_wanted(uses):
    headers = {"x-forwarded-host": "a.test", "x-forwarded-proto": "https"}
    options = options_of("httpSettings.useForwardedHost", uses)

    origin = routes.origin_of("http://localhost:7071", headers, use_forwarded_host=options.use_forwarded_host)

    assert ("a.test" in origin) is uses


@shows("storageProvider.connectionName", "storageProvider.connectionStringName")
@pytest.mark.parametrize("key", ["connectionName", "connectionStringName"])
def test_another_setting_names_the_account(key):
    options = options_of(f"storageProvider.{key}", "Other")
    text = "AccountName=a;AccountKey=eA=="

    chosen = choose_store(None, app_settings={"Other": text}, app_root=None, setting=options.connection)

    assert chosen == Account(text, "from Other")


@shows("storageProvider.type")
def test_another_provider_is_replaced_by_ours_with_a_warning():
    [warning] = options_of("storageProvider.type", "mssql").warnings

    assert "'mssql', which this host does not have" in warning


@shows("storageProvider.partitionCount")
def test_a_hub_has_as_many_control_queues_as_is_set():
    async def play(hub):
        await hub.worker()
        return await hub.storage.queues.list_queues("testhubname-control-")

    assert len(hub_of(options_of("storageProvider.partitionCount", 7)).run(play)) == 7


@shows("storageProvider.useTablePartitionManagement", "storageProvider.useLegacyPartitionManagement")
@pytest.mark.parametrize(
    ("section", "container"),
    [
        ({"useTablePartitionManagement": True}, None),
        ({"useTablePartitionManagement": False}, "testhubname-leases"),
        ({"useTablePartitionManagement": False, "useLegacyPartitionManagement": True}, "testhubname-leases"),
    ],
)
def test_partitions_are_shared_by_the_table_or_by_leased_blobs(section, container):
    async def play(hub):
        await hub.worker()
        await hub.sleep(30)
        blobs = {name.name for name in await hub.storage.blobs.list_blobs(container, "")} if container else set()
        return await hub.storage.blobs.container_exists("testhubname-leases"), {
            each.partition("/")[0] for each in blobs
        }

    has_container, folders = hub_of(read_durable_options({"storageProvider": section}, {})).run(play)

    assert has_container is (container is not None)
    expected = {"default"} if section.get("useLegacyPartitionManagement") else {"intent", "ownership"}
    assert folders == (expected | {"taskhub.json"} if container else set())


@shows("storageProvider.queueClientMessageEncoding")
@pytest.mark.parametrize("encoding", ["UTF8", "Base64"])
def test_messages_are_written_in_the_encoding_that_is_set(encoding):
    async def play(hub):
        await hub.client.start("Flow", instance_id=InstanceId("i"))
        names = await hub.storage.queues.list_queues("testhubname-control-")
        [message] = [each for name in names for each in await hub.storage.queues.snapshot(name)]
        return message.text

    text = hub_of(options_of("storageProvider.queueClientMessageEncoding", encoding)).run(play)

    assert json.loads(base64.b64decode(text) if encoding == "Base64" else text)


def control_reads(calls):
    return [(at, call) for at, call in calls if call.method == "get" and "-control-" in call.target]


@shows("storageProvider.controlQueueBatchSize", "storageProvider.controlQueueVisibilityTimeout")
def test_control_messages_are_taken_so_many_at_a_time_and_hidden_so_long():
    options = options_of(
        "storageProvider.controlQueueBatchSize", 3, "storageProvider.controlQueueVisibilityTimeout", "00:02:00"
    )

    async def play(hub):
        starting, calls = watched(hub)
        await starting
        await hub.sleep(5)
        return calls

    asked = {
        (call.options["limit"], call.options["invisible_for"]) for _, call in control_reads(hub_of(options).run(play))
    }

    assert asked == {(3, 120)}


@shows("storageProvider.workItemQueueVisibilityTimeout")
def test_work_items_are_hidden_so_long():
    options = options_of("storageProvider.workItemQueueVisibilityTimeout", "00:00:20")

    async def play(hub):
        starting, calls = watched(hub)
        await starting
        await hub.sleep(5)
        return calls

    calls = hub_of(options).run(play)

    assert {
        call.options["invisible_for"]
        for _, call in calls
        if call.target.endswith("-workitems") and call.method == "get"
    } == {20}


@shows("storageProvider.controlQueueBufferThreshold")
def test_control_queues_are_not_read_while_too_much_is_in_memory():
    app = PlainApplication({"Flow": lambda context: 1}, advance_seconds=100)
    options = options_of(
        "storageProvider.controlQueueBufferThreshold",
        4,
        "storageProvider.controlQueueBatchSize",
        2,
        "storageProvider.partitionCount",
        1,
    )

    async def play(hub):
        for _ in range(20):
            await hub.start("Flow")
        starting, calls = watched(hub)
        await starting
        await hub.sleep(50)
        return calls

    calls = control_reads(hub_of(options, app=app).run(play))

    # Four in memory, perhaps two more by the read that was under way.
    assert 2 <= len(calls) <= 3


@shows("storageProvider.maxQueuePollingInterval")
def test_an_idle_queue_is_looked_at_as_often_as_is_set():
    options = options_of("storageProvider.maxQueuePollingInterval", "00:00:07")

    async def play(hub):
        starting, calls = watched(hub)
        await starting
        await hub.sleep(200)
        return calls

    looks = [
        at for at, call in hub_of(options).run(play) if call.method == "get" and call.target.endswith("-workitems")
    ]
    pauses = [after - before for before, after in pairwise(looks)]

    assert 5 < max(pauses) <= 8


# ---- overrides, placeholders, and the table


@pytest.mark.parametrize(
    "name", ["AzureFunctionsJobHost__extensions__durableTask__{}", "azurefunctionsjobhost:EXTENSIONS:durabletask:{}"]
)
def test_any_key_can_be_overridden_by_a_setting_in_either_spelling(tmp_path, name):
    for key, field, value, expected in (
        ("hubName", "hub_name", "Other", "Other"),
        ("maxConcurrentActivityFunctions", "max_concurrent_activities", "3", 3),
        ("useAppLease", "use_app_lease", "false", False),
        ("storageProvider.partitionCount", "partition_count", "9", 9),
        ("appLeaseOptions.leaseInterval", "app_lease_seconds", "00:00:50", 50),
    ):
        separator = "__" if "__" in name else ":"
        setting = name.format(key.replace(".", separator))

        found = configuration_of(tmp_path, {"hubName": "Mine"}, **{setting: value}).durable.hub

        assert getattr(found, field) == expected


@pytest.mark.parametrize(
    ("section", "field", "expected"),
    [
        ({"hubName": "Hub%NAME%"}, "hub_name", "HubB"),
        ({"defaultVersion": "%NAME%"}, "default_version", "B"),
        ({"storageProvider": {"partitionCount": "%COUNT%"}}, "partition_count", 6),
        ({"useAppLease": "%OFF%"}, "use_app_lease", False),
        ({"storageProvider": {"maxQueuePollingInterval": "00:00:%COUNT%"}}, "max_polling_interval_seconds", 6),
    ],
)
def test_an_app_setting_between_percent_signs_is_filled_in(section, field, expected):
    hub = read_durable_options(section, {"NAME": "B", "COUNT": "6", "OFF": "false"}).hub

    assert getattr(hub, field) == expected


def test_a_placeholder_without_its_setting_is_named():
    with pytest.raises(ConfigurationError, match=r"is '%NONE%'; .* There is no app setting 'NONE'"):
        read_durable_options({"storageProvider": {"partitionCount": "%NONE%"}}, {})


@pytest.mark.parametrize("key", known_keys(), ids=lambda key: key.path)
def test_a_wrong_value_of_any_key_ends_the_start_with_key_value_and_range(key):
    message = f"extensions.durableTask.{key.path} is {{'no': 'value'}}; it must be "

    with pytest.raises(ConfigurationError, match=re.escape(message)):
        options_of(key.path, {"no": "value"})


def reference_keys():
    """Return the keys of the extension's default configuration, as it reports it itself."""
    configuration = json.loads(GOLDEN.read_text(encoding="utf-8").splitlines()[0])["configuration"]

    def leaves(section, above=""):
        for key, value in section.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{above}{key}.")
            else:
                yield above + key

    return set(leaves(configuration)) - {"notifications.eventGrid"}  # an object that is missing by default


def test_every_key_of_the_reference_is_known():
    assert reference_keys() - {key.path for key in known_keys()} == set()


def test_every_key_is_shown_to_work_or_said_to_have_no_effect():
    without_effect = {key.path for key in known_keys() if key.no_effect}

    assert {key.path for key in known_keys()} == SHOWN.keys() | without_effect
    assert not SHOWN.keys() & without_effect


def test_a_key_without_effect_is_a_warning_with_the_reason_when_it_is_set():
    for key in known_keys():
        if key.no_effect:
            warnings = [each for value in SOME_VALUES for each in warnings_of(key.path, value)]
            assert f"host.json: extensions.durableTask.{key.path} has no effect here: {key.no_effect}." in warnings


SOME_VALUES = (True, False, 7, "00:00:07", ["x"], [500], "text")


def warnings_of(path, value):
    try:
        return options_of(path, value).warnings
    except ConfigurationError:
        return ()  # another kind of value is wanted


def test_the_page_lists_every_key_once_with_the_reason_of_those_without_effect():
    listed = {}
    for first, *rest in table_rows(PAGE):
        found = re.fullmatch(r"`([\w.]+)`", first)
        # Not the app settings, nor the fields of TaskHubSettings that have no key.
        if found and not found[1].startswith("AzureWebJobsStorage") and "_" not in found[1]:
            assert found[1] not in listed, f"{found[1]} is listed twice"
            listed[found[1]] = rest[-1]
    # Keys of the storage provider have a table of their own, without its name.
    paths = {key.path.removeprefix("storageProvider."): key for key in known_keys()}

    assert listed.keys() == paths.keys()
    for name, key in paths.items():
        if key.no_effect:
            assert listed[name].lower() == key.no_effect.lower(), name
