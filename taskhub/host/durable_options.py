"""``extensions.durableTask`` of ``host.json``: every known key, its range, and what it becomes.

Names compare ignoring case, values may be texts (settings that override ``host.json`` always are), and ``%NAME%`` in a
text stands for an app setting. An unknown key is worth a warning, and so is one that changes nothing here; a wrong
value ends the start. ``docs/reference/settings.md`` lists the same keys; a test compares.

Source: Durable Task extension 3.x, DurableTaskOptions and AzureStorageOptions.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, TypeVar

from taskhub.errors import ConfigurationError, InvalidHubName
from taskhub.model.instance import RuntimeStatus
from taskhub.model.leases import PartitionManager
from taskhub.model.versions import VersionFailure, VersionMatch
from taskhub.settings import TaskHubSettings
from taskhub.wiring import find_setting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

DEFAULT_CONNECTION = "AzureWebJobsStorage"
DEFAULT_CONNECTION_ALIAS = "Storage"
"""What the reference writes into management URLs for the default connection."""
DEFAULT_HUB = "TestHubName"

_Members = TypeVar("_Members", bound=Enum)

_AZURE_STORAGE = "AzureStorage"
_OTHER_PROVIDERS = ("azureManaged", "mssql", "Netherite")
_SETTING = re.compile(r"%([^%]+)%")
_TOPIC = "notifications.eventgrid."


_EVENT_TYPES = {
    "started": RuntimeStatus.Running,
    "completed": RuntimeStatus.Completed,
    "failed": RuntimeStatus.Failed,
    "terminated": RuntimeStatus.Terminated,
}
"""What ``publishEventTypes`` may name, in lower case."""

_GRPC_BYTES = 4 * 2**20
_GRPC_TIMEOUT_SECONDS = 100.0


@dataclass(frozen=True, slots=True)
class GrpcOptions:
    """For apps on the official SDK 2.x, whose clients speak gRPC."""

    max_message_bytes: int = _GRPC_BYTES
    timeout_seconds: float = _GRPC_TIMEOUT_SECONDS
    """That clients are told."""
    refuses_events: bool = True
    """Whether events for instances that are not there, or have ended, are refused; else they are dropped."""


@dataclass(frozen=True, slots=True)
class TopicOptions:
    """Which topic of Event Grid is told of lives of instances, and of what."""

    endpoint: str
    key: str
    retry_count: int = 0
    retry_seconds: float = 300.0
    retry_statuses: frozenset[int] = frozenset()
    """Besides 503."""
    statuses: frozenset[RuntimeStatus] = frozenset(_EVENT_TYPES.values())


@dataclass(frozen=True, slots=True)
class DurableOptions:
    """The task hub's settings, and what the host itself needs of the section."""

    hub: TaskHubSettings = field(default_factory=TaskHubSettings)
    connection: str = DEFAULT_CONNECTION
    """Name of the app setting, or of the group of settings, that says which storage account holds the hub."""
    local_rpc_endpoint: bool = True
    use_forwarded_host: bool = False
    grpc: GrpcOptions = field(default_factory=GrpcOptions)
    topic: TopicOptions | None = None
    """Who is told that instances begin and end."""
    traces: bool = False
    """Whether spans are told of (distributed tracing, version V2)."""
    warnings: tuple[str, ...] = ()


def read_durable_options(
    section: Mapping[str, Any], settings: Mapping[str, str], *, hub: str | None = None
) -> DurableOptions:
    """Read the section.

    Args:
        section: the JSON object, overrides applied.
        settings: app settings, for ``%NAME%`` and the default hub name.
        hub: hub name that wins over the section's.

    Raises:
        ConfigurationError: a value is wrong; the message names key, value and range.
        InvalidHubName: the hub name is one that Azure would refuse.
    """
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for path, value in _leaves(section):
        _read_option(path, value, values, warnings, settings)
    provider = values.get("storageprovider.type", _AZURE_STORAGE)
    if provider != _AZURE_STORAGE:
        warnings.append(
            f"host.json: extensions.durableTask.storageProvider.type is '{provider}', which this host does not have. "
            "The hub is kept in the layout of AzureStorage instead."
        )
        values = {key: value for key, value in values.items() if "connection" not in key}
    options = _hub_options(values)
    if options.get("control_queue_batch_size", 32) > options.get("control_queue_buffer_threshold", 256):
        warnings.append(
            "host.json: controlQueueBatchSize is larger than controlQueueBufferThreshold; lower one or raise the other."
        )
    return DurableOptions(
        hub=TaskHubSettings(
            hub_name=_hub_name(hub or values.get("hubname"), settings),
            partition_manager=_partition_manager(values, warnings),
            app_name=settings.get("WEBSITE_SITE_NAME") or settings.get("DTFX_APP_NAME") or "",
            **options,
        ),
        connection=_connection(values),
        local_rpc_endpoint=values.get("localrpcendpointenabled", True),
        use_forwarded_host=values.get("httpsettings.useforwardedhost", False),
        grpc=GrpcOptions(
            max_message_bytes=values.get("maxgrpcmessagesizeinbytes", _GRPC_BYTES),
            timeout_seconds=values.get("grpchttpclienttimeout", _GRPC_TIMEOUT_SECONDS),
            refuses_events=values.get("throwstatusexceptionsonraiseevent", True),
        ),
        topic=_topic(values, settings),
        traces=_traces(values, warnings),
        warnings=tuple(warnings),
    )


def _topic(values: Mapping[str, Any], settings: Mapping[str, str]) -> TopicOptions | None:
    section = {key.rpartition(".")[2]: value for key, value in values.items() if key.startswith(_TOPIC)}
    endpoint, name = section.get("topicendpoint", ""), section.get("keysettingname", "")
    if not endpoint and not name:
        return None
    where = "host.json: extensions.durableTask.notifications.eventGrid"
    if not endpoint or not name:
        missing = "keySettingName" if endpoint else "topicEndpoint"
        raise ConfigurationError(f"{where} has no {missing}; a topic needs an address and the setting of its key.")
    key = find_setting(settings, name)
    if not key:
        raise ConfigurationError(
            f"{where}.keySettingName is '{name}', which is no app setting, or an empty one. Add it to "
            "local.settings.json or the environment, with the key of the topic."
        )
    return TopicOptions(
        endpoint,
        key,
        retry_count=section.get("publishretrycount", 0),
        retry_seconds=section.get("publishretryinterval", 300.0),
        retry_statuses=frozenset(section.get("publishretryhttpstatus", ())),
        statuses=section.get("publisheventtypes") or frozenset(_EVENT_TYPES.values()),
    )


def _traces(values: Mapping[str, Any], warnings: list[str]) -> bool:
    if not values.get("tracing.distributedtracingenabled", False):
        return False
    version = values.get("tracing.version", "V1")
    if version.upper() == "V2":
        return True
    warnings.append(
        f"host.json: extensions.durableTask.tracing.version is '{version}', whose spans this host does not make; "
        "set it to V2."
    )
    return False


def _leaves(section: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        path = above + key
        if path.lower() in _OBJECTS and value not in (None, ""):
            if not isinstance(value, dict):
                raise ConfigurationError(
                    f"host.json: extensions.durableTask.{path} is {value!r}; it must be an object."
                )
            yield from _leaves(value, path + ".")
        elif value not in (None, {}):
            yield path, value


def _read_option(
    path: str, value: Any, values: dict[str, Any], warnings: list[str], settings: Mapping[str, str]
) -> None:
    key = path.lower()
    option = _OPTIONS.get(key)
    if option is None:
        close = difflib.get_close_matches(key, _OPTIONS, n=1)
        hint = f" Did you mean {_OPTIONS[close[0]].path}?" if close else ""
        warnings.append(f"host.json: extensions.durableTask.{path} is not a known setting and is ignored.{hint}")
        return
    value = _resolved(value, settings)
    try:
        values[key] = option.read(value)
    except ValueError:
        missing = _SETTING.search(value) if isinstance(value, str) else None
        hint = f" There is no app setting '{missing[1]}'." if missing else ""
        raise ConfigurationError(
            f"host.json: extensions.durableTask.{option.path} is {value!r}; it must be {option.range}.{hint}"
        ) from None
    if option.no_effect and values[key] != option.default:
        warnings.append(f"host.json: extensions.durableTask.{option.path} has no effect here: {option.no_effect}.")


def _resolved(value: Any, settings: Mapping[str, str]) -> Any:
    """Replace ``%NAME%`` by app settings; an unknown one stays."""
    if not isinstance(value, str):
        return value
    return _SETTING.sub(lambda found: settings.get(found[1], found[0]), value)


def _hub_options(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        option.field: values[key]
        for key, option in _OPTIONS.items()
        if option.field and key in values and values[key] is not None
    }


def _partition_manager(values: Mapping[str, Any], warnings: list[str]) -> PartitionManager | None:
    """Return the manager that the section asks for, ``None`` when it leaves it to the hub."""
    by_table = values.get("storageprovider.usetablepartitionmanagement")
    is_legacy = values.get("storageprovider.uselegacypartitionmanagement", False)
    if by_table and is_legacy:
        raise ConfigurationError(
            "host.json: extensions.durableTask.storageProvider has both useTablePartitionManagement and "
            "useLegacyPartitionManagement true; set one of them to false, or remove both to follow the hub."
        )
    if is_legacy:
        if by_table is None:
            warnings.append(
                "host.json: extensions.durableTask.storageProvider.useLegacyPartitionManagement is true, so that "
                "useTablePartitionManagement is false. Remove it, in every worker of the hub, to share partitions by "
                "table, which is more reliable."
            )
        return PartitionManager.LEGACY
    if by_table is None:
        return None
    return PartitionManager.TABLE if by_table else PartitionManager.SAFE


def _connection(values: Mapping[str, Any]) -> str:
    name = values.get("storageprovider.connectionname") or values.get("storageprovider.connectionstringname")
    if not name or name.lower() == DEFAULT_CONNECTION_ALIAS.lower():
        return DEFAULT_CONNECTION
    return str(name)


# ---- the hub's name


def _hub_name(explicit: str | None, settings: Mapping[str, str]) -> str:
    if explicit is not None:
        name = str(_resolved(explicit, settings))
        # The text is the reference's. It lets 50 pass in spite of it; a hub of 50 breaks at its first large message.
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]{2,48}", name):
            raise InvalidHubName(
                f"Task hub name '{name}' should contain only alphanumeric characters, start with a letter, and have "
                "length between 3 and 45. Change extensions.durableTask.hubName in host.json, or --hub."
            )
        return name
    slot = settings.get("WEBSITE_SLOT_NAME", "")
    if slot and slot.lower() != "production":
        raise ConfigurationError(
            f"This app runs in the deployment slot '{slot}' without a task hub name of its own, so that it would share "
            "the hub of the production slot. Set extensions.durableTask.hubName in host.json."
        )
    return _sanitised(settings.get("WEBSITE_SITE_NAME") or DEFAULT_HUB)


def _sanitised(site: str) -> str:
    name = "".join(char for char in site if char.isascii() and char.isalnum())
    if not name:
        return "DefaultTaskHub"
    if name[0].isdigit():
        name = "t" + name
    name = name[:45]
    return name if len(name) >= 3 else name + "Hub"


# ---- values


@dataclass(frozen=True, slots=True)
class _Option:
    path: str
    read: Callable[[Any], Any]
    """Raises ValueError for what is out of range."""
    range: str
    field: str = ""
    """Field of :class:`TaskHubSettings` that the value becomes."""
    default: Any = None
    no_effect: str = ""
    """Why it changes nothing here, although it is read and checked; a value other than ``default`` is worth a
    warning."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(value)
    return value


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in ("true", "false"):
        return value.strip().lower() == "true"
    raise ValueError(value)


def _integer(low: int, high: int | None = None) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, (int, str)):
            raise ValueError(value)
        number = int(value)
        if number < low or (high is not None and number > high):
            raise ValueError(value)
        return number

    return read


def _milliseconds(value: Any) -> float:
    return _integer(0, 2**31 - 1)(value) / 1000


def _minutes(low: int) -> Callable[[Any], float]:
    read = _integer(low, 2**31 - 1)
    return lambda value: read(value) * 60.0


def _choice(*names: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        for name in names:
            if isinstance(value, str) and value.lower() == name.lower():
                return name
        raise ValueError(value)

    return read


_SPAN = re.compile(r"(?:(\d+)\.)?(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d{1,7}))?)?")


def time_span(value: Any) -> float:
    """Return the seconds of a time span as .NET writes it, ``d.hh:mm:ss``; raise ValueError for anything else."""
    found = _SPAN.fullmatch(value.strip()) if isinstance(value, str) else None
    if not found:
        raise ValueError(value)
    days, hours, minutes, seconds = (int(part or 0) for part in found.groups()[:4])
    if hours > 23 or minutes > 59 or seconds > 59:
        raise ValueError(value)
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds + float(f"0.{found[5] or 0}")


def _seconds(low: float, high: float | None = None) -> Callable[[Any], float]:
    def read(value: Any) -> float:
        total = time_span(value)
        if total < low or (high is not None and total > high):
            raise ValueError(value)
        return total

    return read


def _whole_seconds(low: int, high: int) -> Callable[[Any], int]:
    read = _seconds(low, high)
    return lambda value: int(read(value))


def _member(members: type[_Members]) -> Callable[[Any], _Members]:
    """Return a reader of the members of an enum by their values, ignoring case."""
    read = _choice(*(member.value for member in members))
    return lambda value: members(read(value))


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError(value)
    return tuple(_text(each) for each in value)


def _event_types(value: Any) -> frozenset[RuntimeStatus]:
    names = [name.lower() for name in _texts(value)]
    if not _EVENT_TYPES.keys() >= set(names):
        raise ValueError(value)
    return frozenset(_EVENT_TYPES[name] for name in names)


def _numbers(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise ValueError(value)
    return tuple(_integer(0)(each) for each in value)


def _is_base64(value: Any) -> bool:
    return _choice("UTF8", "Base64")(value) == "Base64"


def _any_state(value: Any) -> bool:
    return _choice("AnyState", "NonRunningStates")(value) == "AnyState"


_A_SPAN = 'a time span "hh:mm:ss"'
_POSITIVE = "a whole number of at least 1"
_BOOLEAN = "true or false"

_SESSIONS = "instances stay in memory between episodes anyway, while there is room"
_TRACKING = "history and instances are kept in the account of the queues"
_LOGS = "inputs and outputs are never in the log or the spans, and replays neither"
_V1 = "spans are those of version V2"

_ALL = (
    _Option("hubName", _text, "a text"),
    _Option("defaultVersion", _text, "a text", "default_version"),
    _Option(
        "versionMatchStrategy",
        _member(VersionMatch),
        "None, Strict or CurrentOrOlder",
        "version_match",
    ),
    _Option("versionFailureStrategy", _member(VersionFailure), "Reject or Fail", "version_failure"),
    _Option(
        "httpSettings.defaultAsyncRequestSleepTimeMilliseconds",
        _milliseconds,
        "a whole number from 0 to 2147483647",
        "http_poll_seconds",
    ),
    _Option("httpSettings.useForwardedHost", _boolean, _BOOLEAN),
    _Option("maxConcurrentActivityFunctions", _integer(1), _POSITIVE, "max_concurrent_activities"),
    _Option("maxConcurrentOrchestratorFunctions", _integer(1), _POSITIVE, "max_concurrent_orchestrations"),
    _Option("maxConcurrentEntityFunctions", _integer(1), _POSITIVE, "max_concurrent_entities"),
    _Option("maxEntityOperationBatchSize", _integer(1), _POSITIVE, "max_entity_batch"),
    _Option("maxOrchestrationActions", _integer(1), _POSITIVE, "max_orchestration_actions"),
    # The reference ends the start of a Python app that asks for it.
    _Option("extendedSessionsEnabled", _boolean, _BOOLEAN, default=False, no_effect=_SESSIONS),
    _Option(
        "extendedSessionIdleTimeoutInSeconds", _integer(-(2**31)), "a whole number", default=30, no_effect=_SESSIONS
    ),
    _Option(
        "overridableExistingInstanceStates",
        _any_state,
        "AnyState or NonRunningStates",
        "overridable_running_instances",
    ),
    _Option(
        "entityMessageReorderWindowInMinutes",
        _minutes(0),
        "a whole number of at least 0",
        "entity_reorder_window_seconds",
    ),
    _Option(
        "rollbackEntityOperationsOnExceptions",
        _boolean,
        _BOOLEAN,
        default=True,
        no_effect="an operation in Python that raises keeps what it did to the state, as officially",
    ),
    _Option("storeInputsInOrchestrationHistory", _boolean, _BOOLEAN, "store_inputs"),
    _Option(
        "throwStatusExceptionsOnRaiseEvent",
        _boolean,
        _BOOLEAN,
    ),
    _Option("useAppLease", _boolean, _BOOLEAN, "use_app_lease"),
    _Option(
        "appLeaseOptions.renewInterval",
        _seconds(0.1, 59),
        _A_SPAN + ' from "00:00:00.1" to "00:00:59", less than leaseInterval',
        "app_lease_renew_seconds",
    ),
    _Option(
        "appLeaseOptions.acquireInterval",
        _seconds(0.1, 24 * 3600),
        _A_SPAN + ' from "00:00:00.1" to "1.00:00:00"',
        "app_lease_acquire_seconds",
    ),
    _Option(
        "appLeaseOptions.leaseInterval",
        _whole_seconds(15, 60),
        _A_SPAN + ' from "00:00:15" to "00:01:00"',
        "app_lease_seconds",
    ),
    _Option("localRpcEndpointEnabled", _boolean, _BOOLEAN),
    _Option(
        "useGracefulShutdown",
        _boolean,
        _BOOLEAN,
        default=True,
        no_effect="a stop always lets work in progress end, for as long as its grace period lasts",
    ),
    _Option("maxGrpcMessageSizeInBytes", _integer(1), _POSITIVE, default=_GRPC_BYTES),
    _Option("grpcHttpClientTimeout", _seconds(0), _A_SPAN, default=_GRPC_TIMEOUT_SECONDS),
    _Option("notifications.eventGrid.topicEndpoint", _text, "a URL"),
    _Option("notifications.eventGrid.keySettingName", _text, "the name of an app setting"),
    _Option("notifications.eventGrid.publishRetryCount", _integer(0), "a whole number of at least 0"),
    _Option(
        "notifications.eventGrid.publishRetryInterval",
        _seconds(0.0000001, 3600),
        _A_SPAN + ' of more than "00:00:00" and at most "01:00:00"',
    ),
    _Option("notifications.eventGrid.publishRetryHttpStatus", _numbers, "a list of numbers"),
    _Option(
        "notifications.eventGrid.publishEventTypes",
        _event_types,
        "a list of Started, Completed, Failed and Terminated",
    ),
    _Option(
        "storageProvider.type",
        _choice(_AZURE_STORAGE, *_OTHER_PROVIDERS),
        f"{_AZURE_STORAGE} (of {', '.join(_OTHER_PROVIDERS)} only the name is known here)",
    ),
    _Option("storageProvider.connectionName", _text, "the name of an app setting"),
    _Option("storageProvider.connectionStringName", _text, "the name of an app setting"),
    _Option("storageProvider.partitionCount", _integer(1, 16), "a whole number from 1 to 16", "partition_count"),
    _Option(
        "storageProvider.controlQueueBatchSize",
        _integer(1, 32),
        "a whole number from 1 to 32",
        "control_queue_batch_size",
    ),
    _Option(
        "storageProvider.controlQueueBufferThreshold",
        _integer(1, 1000),
        "a whole number from 1 to 1000",
        "control_queue_buffer_threshold",
    ),
    _Option(
        "storageProvider.controlQueueVisibilityTimeout",
        _whole_seconds(60, 3600),
        _A_SPAN + ' from "00:01:00" to "01:00:00"',
        "control_queue_visibility_seconds",
    ),
    _Option(
        "storageProvider.workItemQueueVisibilityTimeout",
        _whole_seconds(1, 7 * 24 * 3600),
        _A_SPAN + ' from "00:00:01" to "7.00:00:00"',
        "work_item_visibility_seconds",
    ),
    _Option(
        "storageProvider.maxDequeueCount",
        _integer(0, 2**31 - 1),
        "a whole number of at least 0",
        "max_dequeue_count",
    ),
    _Option("storageProvider.trackingStoreConnectionName", _text, "the name of an app setting", no_effect=_TRACKING),
    _Option(
        "storageProvider.trackingStoreConnectionStringName", _text, "the name of an app setting", no_effect=_TRACKING
    ),
    _Option("storageProvider.trackingStoreNamePrefix", _text, "a text", no_effect=_TRACKING),
    _Option("storageProvider.fetchLargeMessagesAutomatically", _boolean, _BOOLEAN, "fetch_large_values"),
    _Option(
        "storageProvider.maxQueuePollingInterval",
        _seconds(0.001),
        _A_SPAN + " above zero",
        "max_polling_interval_seconds",
    ),
    _Option("storageProvider.useLegacyPartitionManagement", _boolean, _BOOLEAN),
    _Option("storageProvider.useTablePartitionManagement", _boolean, _BOOLEAN),
    _Option(
        "storageProvider.allowReplayingTerminalInstances",
        _boolean,
        _BOOLEAN,
        default=False,
        no_effect="an instance that has ended is never run again",
    ),
    _Option(
        "storageProvider.queueClientMessageEncoding",
        _is_base64,
        "UTF8 or Base64",
        "base64_messages",
    ),
    _Option(
        "storageProvider.partitionTableOperationTimeout",
        _seconds(0),
        _A_SPAN,
        default=2.0,
        no_effect="every call to storage has a time limit of its own, and ownership ends with the lease",
    ),
    _Option(
        "storageProvider.useInstanceTableEtag",
        _boolean,
        _BOOLEAN,
        default=True,
        no_effect="rows of the Instances table are always written under their ETag",
    ),
    _Option("tracing.traceInputsAndOutputs", _boolean, _BOOLEAN, default=False, no_effect=_LOGS),
    _Option("tracing.traceReplayEvents", _boolean, _BOOLEAN, default=False, no_effect=_LOGS),
    _Option("tracing.allowVerboseLinuxTelemetry", _boolean, _BOOLEAN, default=False, no_effect=_LOGS),
    _Option("tracing.distributedTracingEnabled", _boolean, _BOOLEAN),
    # Not a choice: public samples carry values that the extension does not know and does not refuse.
    _Option("tracing.version", _text, "a text"),
    _Option("tracing.distributedTracingProtocol", _text, "a text", default="HttpCorrelationProtocol", no_effect=_V1),
    _Option("tracing.includeInstanceIdInOperationName", _boolean, _BOOLEAN, default=False, no_effect=_V1),
)
_OPTIONS = {option.path.lower(): option for option in _ALL}
_OBJECTS = frozenset({"notifications", *(key.rpartition(".")[0] for key in _OPTIONS)} - {""})


@dataclass(frozen=True, slots=True)
class KnownKey:
    """A key of the section, for the reference page and the test that holds it."""

    path: str
    no_effect: str
    """Why it changes nothing here, ``""`` when it does."""


def known_keys() -> tuple[KnownKey, ...]:
    """Return every key that is read, in the order of the reference page."""
    return tuple(KnownKey(option.path, option.no_effect) for option in _ALL)
