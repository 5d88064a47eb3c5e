"""An instance as its row in the Instances table shows it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.model.ids import ETag, ExecutionId, InstanceId, Utc


class RuntimeStatus(enum.Enum):
    """State of an instance; the value is the number that messages carry, the name what tables hold.

    Source: DurableTask.Core, OrchestrationStatus.
    """

    Running = 0
    Completed = 1
    ContinuedAsNew = 2
    Failed = 3
    Canceled = 4
    Terminated = 5
    Pending = 6
    Suspended = 7

    @property
    def is_terminal(self) -> bool:
        """Whether the instance has ended."""
        return self in TERMINAL_STATUSES


TERMINAL_STATUSES = frozenset(
    {RuntimeStatus.Completed, RuntimeStatus.Failed, RuntimeStatus.Canceled, RuntimeStatus.Terminated}
)


@dataclass(frozen=True, slots=True)
class InstanceState:
    """One row of the Instances table: a view of the current execution. History is the truth."""

    instance_id: InstanceId
    execution_id: ExecutionId | None
    name: str | None
    version: str | None
    status: RuntimeStatus | None
    """``None`` when the row holds a text that no known version writes."""
    created: Utc | None
    last_updated: Utc | None
    completed: Utc | None = None
    scheduled_start: Utc | None = None
    input: str | None = None
    """JSON text, resolved from its blob; ``None`` when there is none or it was not asked for."""
    output: str | None = None
    """JSON text of the result, or the plain text of a failure or a reason."""
    custom_status: str | None = None
    """JSON text; ``None`` when unset."""
    generation: int | None = None
    tags: Mapping[str, str] | None = None
    etag: ETag | None = None


@dataclass(frozen=True, slots=True)
class InstanceFilter:
    """Which instances a query or purge takes; an empty one takes all."""

    created_from: Utc | None = None
    """Inclusive."""
    created_to: Utc | None = None
    """Inclusive."""
    statuses: frozenset[RuntimeStatus] = frozenset()
    """Empty: any."""
    id_prefix: str | None = None
    excludes_entities: bool = False
    """Leave out ids that begin with ``@``. Does nothing beside a prefix, which says by itself what is wanted."""


@dataclass(frozen=True, slots=True)
class Purged:
    """What a purge has removed."""

    instances: int
    rows: int
    """Of their histories."""


@dataclass(frozen=True, slots=True)
class InstancePage:
    """One page of a query; may be short or empty and still carry a token."""

    instances: Sequence[InstanceState]
    token: str | None
