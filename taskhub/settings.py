"""Settings of a task hub, with units in their names and checked limits.

``host.json`` becomes these in :mod:`taskhub.host.configuration`; here stand the defaults and what each
value means. Defaults are the reference's unless the line says otherwise.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field


def _per_cpu(factor: int) -> int:
    return factor * (os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class TaskHubSettings:
    """How one task hub is laid out and how a worker of it behaves.

    Source: DurableTask.AzureStorage, AzureStorageOrchestrationServiceSettings; the extension's host.json.
    """

    hub_name: str = "TestHubName"
    partition_count: int = 4
    """1 to 16; fixed for a hub's life, because it decides which control queue an instance belongs to."""
    app_name: str = ""
    """Names the app lease: all workers of one app share it."""
    default_version: str | None = None

    control_queue_batch_size: int = 32
    control_queue_buffer_threshold: int = 256
    """Control messages in memory beyond which queues are not read."""
    control_queue_visibility_seconds: int = 60
    """How long a message that was read stays hidden; renewed while it is being worked on. The reference's 300 only
    delays recovery after a crash (docs/adr/0004-visibility.md)."""
    work_item_visibility_seconds: int = 60
    max_polling_interval_seconds: float = 30.0
    min_polling_interval_seconds: float = 0.05

    max_concurrent_activities: int = field(default_factory=lambda: _per_cpu(10))
    max_concurrent_orchestrations: int = field(default_factory=lambda: _per_cpu(10))

    lease_interval_seconds: float = 30.0
    lease_round_seconds: float = 10.0
    fence_margin_seconds: float = 5.0
    """An episode's messages are put only while the partition's lease lasts at least this much longer."""
    use_app_lease: bool = True

    warm_sessions: bool = True
    """Keep instances in memory between episodes (F1). Off: every episode replays its history."""
    max_warm_history_events: int = 500_000
    """Events of all warm instances together, about 450 bytes each; the least recently used go first."""
    wake_readers: bool = True
    """What this process sends wakes its reader (F5). Off: queues are only polled."""

    store_inputs: bool = False
    """Keep inputs of activities and sub-orchestrations in history."""
    overridable_running_instances: bool = False
    """A start may replace a running instance (``overridableExistingInstanceStates: AnyState``)."""
    max_custom_status_kilobytes: int = 16
    long_timer_days: float = 6.0
    """Timers longer than this are split into legs of ``long_timer_leg_days``."""
    long_timer_leg_days: float = 3.0
