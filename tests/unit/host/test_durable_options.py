import json
from pathlib import Path

import pytest

from taskhub.errors import ConfigurationError
from taskhub.host.configuration import _with_overrides
from taskhub.host.durable_options import read_durable_options
from taskhub.model.leases import PartitionManager
from taskhub.model.versions import VersionFailure, VersionMatch

GOLDEN = Path(__file__).parents[2] / "golden" / "extension" / "startup.jsonl"
STARTS = [json.loads(line) for line in GOLDEN.read_text(encoding="utf-8").splitlines()]

DIFFERENCES = {
    "the reference refuses what this host does anyway": {"extendedSessionsEnabled": "true"},
    "a connection is looked up when storage is opened": {"storageProvider:connectionName": "Other"},
    "Event Grid is not served yet": {"notifications:eventGrid:topicEndpoint": None},
    "Event Grid is not served yet ": {"notifications:eventGrid:keySettingName": None},
    "a hub of 50 letters breaks at its first large message": {"hubName": "H" * 50},
}


def differs(settings):
    return any(
        all(key in settings and value in (None, settings[key]) for key, value in wanted.items())
        for wanted in DIFFERENCES.values()
    )


def read(start):
    overrides = {f"AzureFunctionsJobHost:durableTask:{key}": value for key, value in start["settings"].items()}
    section = _with_overrides({}, overrides).get("durableTask", {})
    return read_durable_options(section, {**start["app"], **start["environment"]})


@pytest.mark.parametrize(
    "start",
    [start for start in STARTS if "error" not in start and not differs(start["settings"])],
    ids=lambda start: json.dumps(start["settings"] | start["environment"]),
)
def test_what_the_extension_starts_with_is_accepted_with_the_same_hub(start):
    options = read(start)

    assert options.hub.hub_name == start["taskHubName"]


@pytest.mark.parametrize(
    "start",
    [start for start in STARTS if "error" in start and not differs(start["settings"])],
    ids=lambda start: json.dumps(start["settings"] | start["environment"]),
)
def test_what_ends_the_extension_s_start_is_refused(start):
    with pytest.raises(ConfigurationError):
        read(start)


def test_a_wrong_value_is_named_with_key_value_and_range():
    with pytest.raises(ConfigurationError) as caught:
        read_durable_options({"storageProvider": {"partitionCount": 17}}, {})

    assert str(caught.value) == (
        "host.json: extensions.durableTask.storageProvider.partitionCount is 17; "
        "it must be a whole number from 1 to 16."
    )


def test_an_unknown_key_is_a_warning_with_the_nearest_known_one():
    options = read_durable_options({"storageProvider": {"partitionCont": 3}}, {})

    assert options.warnings == (
        "host.json: extensions.durableTask.storageProvider.partitionCont is not a known setting and is ignored. "
        "Did you mean storageProvider.partitionCount?",
    )


def test_values_become_settings_of_the_task_hub():
    section = {
        "maxConcurrentActivityFunctions": 7,
        "MAXCONCURRENTORCHESTRATORFUNCTIONS": "8",
        "overridableExistingInstanceStates": "anystate",
        "storeInputsInOrchestrationHistory": True,
        "useAppLease": False,
        "defaultVersion": "2.0",
        "storageProvider": {
            "controlQueueVisibilityTimeout": "00:02:00",
            "workItemQueueVisibilityTimeout": "00:00:30",
            "maxQueuePollingInterval": "00:00:05.5",
        },
    }

    hub = read_durable_options(section, {"WEBSITE_SITE_NAME": "Site"}).hub

    assert (hub.max_concurrent_activities, hub.max_concurrent_orchestrations) == (7, 8)
    assert (hub.overridable_running_instances, hub.store_inputs, hub.use_app_lease) == (True, True, False)
    assert (hub.control_queue_visibility_seconds, hub.work_item_visibility_seconds) == (120, 30)
    assert (hub.max_polling_interval_seconds, hub.default_version, hub.app_name) == (5.5, "2.0", "Site")


def test_settings_without_effect_are_said_to_have_none():
    options = read_durable_options({"tracing": {"traceReplayEvents": True}}, {})

    assert "tracing.traceReplayEvents has no effect" in options.warnings[0]


def test_another_storage_provider_is_replaced_with_a_warning():
    section = {"storageProvider": {"type": "azureManaged", "connectionName": "SCHEDULER"}}

    options = read_durable_options(section, {})

    assert options.connection == "AzureWebJobsStorage"
    assert "'azureManaged', which this host does not have" in options.warnings[0]


@pytest.mark.parametrize("name", [None, "Storage", "storage"])
def test_the_default_connection_is_the_default_setting(name):
    options = read_durable_options({"storageProvider": {"connectionName": name}}, {})

    assert options.connection == "AzureWebJobsStorage"


@pytest.mark.parametrize(
    ("provider", "manager"),
    [
        ({}, None),
        ({"useTablePartitionManagement": True}, PartitionManager.TABLE),
        ({"useTablePartitionManagement": "false"}, PartitionManager.SAFE),
        ({"useLegacyPartitionManagement": False}, None),
        ({"useTablePartitionManagement": False, "useLegacyPartitionManagement": True}, PartitionManager.LEGACY),
        ({"useLegacyPartitionManagement": True}, PartitionManager.LEGACY),
    ],
)
def test_two_switches_choose_among_three_partition_managers(provider, manager):
    assert read_durable_options({"storageProvider": provider}, {}).hub.partition_manager is manager


def test_the_legacy_manager_alone_is_worth_a_warning():
    options = read_durable_options({"storageProvider": {"useLegacyPartitionManagement": True}}, {})

    assert "useTablePartitionManagement is false" in options.warnings[0]


def test_two_partition_managers_at_once_end_the_start():
    both = {"useTablePartitionManagement": True, "useLegacyPartitionManagement": True}

    with pytest.raises(ConfigurationError, match="set one of them to false"):
        read_durable_options({"storageProvider": both}, {})


def test_versions_encoding_and_app_lease_become_settings():
    section = {
        "defaultVersion": "2.0",
        "versionMatchStrategy": "strict",
        "versionFailureStrategy": "FAIL",
        "appLeaseOptions": {"renewInterval": "00:00:10", "acquireInterval": "00:01:00", "leaseInterval": "00:00:30"},
        "storageProvider": {"queueClientMessageEncoding": "base64"},
    }

    options = read_durable_options(section, {})

    hub = options.hub
    assert (hub.default_version, hub.version_match, hub.version_failure) == (
        "2.0",
        VersionMatch.STRICT,
        VersionFailure.FAIL,
    )
    assert (hub.app_lease_renew_seconds, hub.app_lease_acquire_seconds, hub.app_lease_seconds) == (10, 60, 30)
    assert hub.base64_messages
    assert options.warnings == ()


def test_an_app_lease_must_be_renewed_before_it_ends():
    lease = {"leaseInterval": "00:00:20"}

    with pytest.raises(ConfigurationError, match="less than the length of the lease, 20"):
        read_durable_options({"appLeaseOptions": lease}, {})
