"""Settings of a task hub, with units in their names and checked limits.

``host.json`` becomes these in :mod:`taskhub.host.configuration`; here stand the defaults and what each
value means. Defaults are the reference's unless the line says otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from taskhub.errors import ConfigurationError
from taskhub.model.versions import VersionFailure, VersionMatch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.leases import PartitionManager


def _per_cpu(factor: int) -> int:
    return factor * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class TaskHubSettings:
    """How one task hub is laid out and how a worker of it behaves.

    Source: DurableTask.AzureStorage, AzureStorageOrchestrationServiceSettings; the extension's host.json.
    """

    hub_name: str = "TestHubName"
    """3 to 49 letters and digits, the first a letter; queues, tables and containers are named after it."""
    partition_count: int = 4
    """1 to 16; fixed for a hub's life, because it decides which control queue an instance belongs to."""
    partition_manager: PartitionManager | None = None
    """How the workers share partitions. ``None``: as the hub does already, by its table if it is new."""
    app_name: str = ""
    """Names the app lease: all workers of one app share it."""
    default_version: str | None = None
    """Version of the app: of what it starts, and what it compares other versions with."""
    version_match: VersionMatch = VersionMatch.CURRENT_OR_OLDER
    """Which instances this worker runs, by their version."""
    version_failure: VersionFailure = VersionFailure.REJECT
    """What becomes of the others: left to other workers, or failed."""

    base64_messages: bool = False
    """Write queue messages as base64, for hubs with workers that read nothing else. Both are always read."""
    control_queue_batch_size: int = 32
    """Most messages that one read of a control queue takes; 1 to 32."""
    control_queue_buffer_threshold: int = 256
    """Control messages in memory beyond which queues are not read."""
    control_queue_visibility_seconds: int = 60
    """How long a message that was read stays hidden; renewed while it is being worked on. The reference's 300 only
    delays recovery after a crash (docs/adr/0004-visibility.md)."""
    work_item_visibility_seconds: int = 60
    """The same for the message of an activity."""
    max_dequeue_count: int = 0
    """How often a message is read at most before it is parked among the dead letters, readings not counted after which
    it was put back on purpose; 0, as the reference: it comes back for ever."""
    max_polling_interval_seconds: float = 30.0
    """Pause between two reads of a queue in which nothing has come for long."""
    min_polling_interval_seconds: float = 0.05
    """Pause after the first read that finds nothing; it grows from here."""

    max_concurrent_activities: int = field(default_factory=lambda: _per_cpu(10))
    """Activities of this worker at a time; ten for each processor."""
    max_concurrent_orchestrations: int = field(default_factory=lambda: _per_cpu(10))
    """Episodes of this worker at a time, whatever the number of instances in memory; ten for each processor."""
    max_concurrent_entities: int = field(default_factory=lambda: _per_cpu(10))
    """Batches of entities of this worker at a time; ten for each processor."""

    lease_interval_seconds: float = 30.0
    """How long a partition is this worker's after each renewal; others may take it then."""
    lease_round_seconds: float = 10.0
    """Between two looks at the leases: own ones are renewed, free ones claimed, fair shares made."""
    fence_margin_seconds: float = 5.0
    """An episode's messages are put only while the partition's lease lasts at least this much longer."""
    use_app_lease: bool = True
    """Only one app at a time works on the control queues of a hub; all its workers do."""
    app_lease_seconds: int = 60
    """How long the app lease is the app's after each renewal."""
    app_lease_renew_seconds: float = 25.0
    """Between two renewals of it."""
    app_lease_acquire_seconds: float = 300.0
    """Between two attempts while another app holds it."""
    stop_grace_seconds: float = 10.0
    """How long stopping a worker may take: for activities and episodes in progress, and for giving its partitions
    back; what is left is put back on the queues. A host sets its own (``Worker.grace_seconds``)."""

    warm_sessions: bool = True
    """Keep instances in memory between episodes (F1). Off: every episode replays its history."""
    max_warm_history_events: int = 500_000
    """Events of all warm instances together, about 450 bytes each; the least recently used go first."""
    max_warm_mebibytes: int = 512
    """The same, by memory: 450 bytes for each event, and the texts in it (MiB). What the code makes of them is not
    counted."""
    wake_readers: bool = True
    """What this process sends wakes its reader (F5). Off: queues are only polled."""
    local_activities: bool = True
    """Run activities that an orchestration here asks for in free slots of this worker, without a read of the queue
    (8.4 A). Off: every work item is read from the queue."""
    local_messages: bool = True
    """Hand messages over to instances of partitions that are this worker's, without a read of the queue (8.4 G); also
    the starts of clients in the same process. Off: every message is read from its queue."""
    direct_answers: bool = True
    """Hand the answer of an activity to an orchestration in memory here, without its control queue (8.4 C). Off: every
    answer is put on the control queue."""
    local_timers: bool = True
    """Keep the timers of orchestrations in memory, and fire them from there, in partitions that are this worker's (8.4
    F). Off: every timer is read from its queue."""
    max_local_timers: int = 10_000
    """Timers in memory at most; the others are read from their queues."""
    delete_timers: bool = True
    """Delete the messages of timers that an orchestration leaves open when it ends (8.4 F). Off: they come when they
    are due, for nobody."""
    long_lease_rounds: bool = True
    """Hold leases three times as long, and look at them a third as often, while no other worker shows on the hub (8.4
    I, F8). Off: rounds and leases are as above."""
    gather_seconds: float = 0.02
    """How long an orchestration waits at most for more such answers while activities of it are running here: they are
    stored together. 0: not at all."""
    fold_seconds: float = 0.05
    """How long the storing of what an orchestration asks for waits for the answers of activities that run here and take
    no longer as a rule: both are stored in one transaction (8.4 C, the folded form). 0: not at all."""
    assume_new: bool = True
    """Take an instance whose row a client has just written for new, and load no history (8.4 E). Off: the history is
    looked for before the first episode."""

    commit_before_messages: bool = True
    """Store what an episode was told before what follows from it is put, at one batch more: a worker that dies in
    between decides the same again. Off: as the reference, where the answer of one activity may be taken for another's,
    a parent be told another result than its child came to, and an entity answer other than it does, or run an operation
    twice."""
    max_entity_batch: int = 5000
    """Most operations that an entity runs before it is stored."""
    entity_reorder_window_seconds: float = 1800.0
    """How long an entity waits for a message that another one of the same sender has overtaken; 0: not at all."""

    http_poll_seconds: float = 30.0
    """Between two requests of a ``call_http`` that polls, where the answer does not tell (``Retry-After``)."""
    store_inputs: bool = False
    """Keep inputs of activities and sub-orchestrations in history."""
    fetch_large_values: bool = True
    """Show inputs and outputs that lie in blobs. Off: the URLs of the blobs, which cost no reads."""
    max_orchestration_actions: int = 100_000
    """What one execution may ask for: activities, timers, sub-orchestrations and requests to entities together. One
    that asks for more fails."""
    overridable_running_instances: bool = False
    """A start may replace a running instance (``overridableExistingInstanceStates: AnyState``)."""
    max_custom_status_kilobytes: int = 16
    """Of a custom status, in UTF-16."""
    long_timer_days: float = 6.0
    """Timers longer than this are split into legs of ``long_timer_leg_days``."""
    long_timer_leg_days: float = 3.0
    """Length of each leg but the last."""

    def __post_init__(self) -> None:
        """Check every limit.

        Raises:
            ConfigurationError: a value is out of range; the message names it, the range and where it is set.
        """
        for name, low, high, where in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                fix = f"; set {where} in host.json" if where else ""
                raise ConfigurationError(f"{name} is {value} but must be from {low} to {high}{fix}")
        if self.fence_margin_seconds + self.lease_round_seconds >= self.lease_interval_seconds:
            raise ConfigurationError(
                f"lease_interval_seconds is {self.lease_interval_seconds} but must be longer than a round "
                f"({self.lease_round_seconds}) and the fence margin ({self.fence_margin_seconds}) together"
            )
        if self.app_lease_renew_seconds >= self.app_lease_seconds:
            raise ConfigurationError(
                f"app_lease_renew_seconds is {self.app_lease_renew_seconds} but must be less than the length of the "
                f"lease, {self.app_lease_seconds}; set {_APP_LEASE}.renewInterval or leaseInterval in host.json"
            )
        if self.min_polling_interval_seconds > self.max_polling_interval_seconds:
            raise ConfigurationError(
                f"max_polling_interval_seconds is {self.max_polling_interval_seconds} but must be at least "
                f"{self.min_polling_interval_seconds}; set {_PROVIDER}.maxQueuePollingInterval in host.json"
            )


CLASSIC: Mapping[str, Any] = {
    "warm_sessions": False,
    "local_activities": False,
    "local_messages": False,
    "direct_answers": False,
    "local_timers": False,
    "delete_timers": False,
    "long_lease_rounds": False,
    "fold_seconds": 0.0,
    "assume_new": False,
    "commit_before_messages": False,
}
"""The algorithm of the reference: every shortcut is off, and nothing is stored ahead (docs/design/shortcuts.md)."""

_PROVIDER = "extensions.durableTask.storageProvider"
_APP_LEASE = "extensions.durableTask.appLeaseOptions"
_RANGES: tuple[tuple[str, float, float, str], ...] = (  # name, lowest, highest, key in host.json if it has one
    ("partition_count", 1, 16, f"{_PROVIDER}.partitionCount"),
    ("control_queue_batch_size", 1, 32, f"{_PROVIDER}.controlQueueBatchSize"),
    ("control_queue_buffer_threshold", 1, 1000, f"{_PROVIDER}.controlQueueBufferThreshold"),
    ("control_queue_visibility_seconds", 2, 3600, f"{_PROVIDER}.controlQueueVisibilityTimeout"),
    ("work_item_visibility_seconds", 2, 7 * 24 * 3600, f"{_PROVIDER}.workItemQueueVisibilityTimeout"),
    ("max_dequeue_count", 0, 2**31 - 1, f"{_PROVIDER}.maxDequeueCount"),
    ("max_polling_interval_seconds", 0.001, 24 * 3600, f"{_PROVIDER}.maxQueuePollingInterval"),
    ("min_polling_interval_seconds", 0.001, 60, f"{_PROVIDER}.maxQueuePollingInterval"),
    ("max_concurrent_activities", 1, 100_000, "extensions.durableTask.maxConcurrentActivityFunctions"),
    ("max_concurrent_orchestrations", 1, 100_000, "extensions.durableTask.maxConcurrentOrchestratorFunctions"),
    ("max_concurrent_entities", 1, 100_000, "extensions.durableTask.maxConcurrentEntityFunctions"),
    ("max_entity_batch", 1, 2**31 - 1, "extensions.durableTask.maxEntityOperationBatchSize"),
    (
        "entity_reorder_window_seconds",
        0,
        60 * (2**31 - 1),
        "extensions.durableTask.entityMessageReorderWindowInMinutes",
    ),
    ("max_orchestration_actions", 1, 2**31 - 1, "extensions.durableTask.maxOrchestrationActions"),
    ("http_poll_seconds", 0, 2**31, "extensions.durableTask.httpSettings.defaultAsyncRequestSleepTimeMilliseconds"),
    ("lease_interval_seconds", 2, 600, ""),
    ("lease_round_seconds", 0.1, 300, ""),
    ("app_lease_seconds", 15, 60, f"{_APP_LEASE}.leaseInterval"),
    ("app_lease_renew_seconds", 0.1, 59, f"{_APP_LEASE}.renewInterval"),
    ("app_lease_acquire_seconds", 0.1, 24 * 3600, f"{_APP_LEASE}.acquireInterval"),
    ("max_warm_history_events", 0, 1_000_000_000, ""),
    ("max_warm_mebibytes", 0, 1_000_000, ""),
    ("max_custom_status_kilobytes", 1, 32, ""),
    ("max_local_timers", 0, 10_000_000, ""),
    ("gather_seconds", 0, 10, ""),
    ("fold_seconds", 0, 10, ""),
    ("stop_grace_seconds", 0, 3600, ""),
)
