"""What an orchestrator of the JSON protocol answers: all that it has asked for since its start, and how it stands.

Such an answer is whole: it begins with the first thing that the code ever asked for, and the host sorts out what is
new. The official SDK answers so, and ours does through its JSON shell.

Source: Durable Task extension, OutOfProcOrchestratorState, AsyncAction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime, timedelta

    from taskhub.model.actions import Operation
    from taskhub.model.entities import EntityId, Release, Request
    from taskhub.model.history import FailureDetails
    from taskhub.model.ids import InstanceId, Utc


@dataclass(frozen=True, slots=True)
class RetryOptions:
    """How often something that fails is tried again, and after which waits."""

    first_interval: timedelta
    max_attempts: int
    """The first one counts."""
    backoff: float = 1.0
    max_interval: timedelta | None = None
    timeout: timedelta | None = None
    """No attempt begins later than this after the first."""


@dataclass(frozen=True, slots=True)
class CallActivity:
    """Run an activity and wait for it."""

    name: str
    input: str
    """JSON text, of what the answer holds as a value."""
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class CallSubOrchestrator:
    """Start a child and wait for its end."""

    name: str
    instance_id: InstanceId | None
    input: str
    version: str | None = None
    retry: RetryOptions | None = None


@dataclass(frozen=True, slots=True)
class CallHttp:
    """Make a request, in the built-in activity."""

    request: Mapping[str, object]
    """As that activity gets it: all its keys."""
    retry: RetryOptions | None = None
    polls: bool = False
    """Whether a 202 is followed until something else comes."""


@dataclass(frozen=True, slots=True)
class WaitForTimer:
    """Wait for a point in time; a cancelled timer is over at once."""

    fire_at: datetime
    is_cancelled: bool = False


@dataclass(frozen=True, slots=True)
class WaitForEvent:
    """Wait for an external event."""

    name: str


@dataclass(frozen=True, slots=True)
class CallEntity:
    """Ask an entity for an operation and wait for its answer."""

    entity: EntityId
    operation: str
    input: str | None


@dataclass(frozen=True, slots=True)
class SignalEntity:
    """Ask an entity for an operation."""

    entity: EntityId
    operation: str
    input: str | None
    due: Utc | None = None
    """``None``: at once."""


@dataclass(frozen=True, slots=True)
class LockEntities:
    """Wait until all of some entities are locked."""

    entities: tuple[EntityId, ...]
    """In the order in which they are locked, none twice."""


@dataclass(frozen=True, slots=True)
class ReleaseEntities:
    """Let all locked entities go."""


@dataclass(frozen=True, slots=True)
class ContinueAsNew:
    """Begin the next generation."""

    input: str
    """JSON text."""


@dataclass(frozen=True, slots=True)
class WhenAll:
    """Wait for all."""

    children: tuple[ListedAction, ...]


@dataclass(frozen=True, slots=True)
class WhenAny:
    """Wait for the first."""

    children: tuple[ListedAction, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """Something that cannot be begun: the orchestration fails when its turn comes."""

    error: str


ListedAction = Union[  # noqa: UP007 (a runtime alias on 3.10)
    CallActivity,
    CallSubOrchestrator,
    CallHttp,
    WaitForTimer,
    WaitForEvent,
    CallEntity,
    SignalEntity,
    LockEntities,
    ReleaseEntities,
    ContinueAsNew,
    WhenAll,
    WhenAny,
    Impossible,
]


@dataclass(frozen=True, slots=True)
class Answer:
    """The state that an orchestrator answered with."""

    groups: tuple[tuple[ListedAction, ...], ...]
    """In a group of more than one, all are begun and the first that ends is waited for (the oldest schema)."""
    is_done: bool = False
    output: str | None = None
    """JSON text."""
    error: str | None = None
    """Message of the exception that the code raised."""
    failure: FailureDetails | None = None
    custom_status: str | None = None
    """JSON text."""
    splits_timers: bool = True
    """Whether a timer may be further ahead than the limit (since the schema V3)."""


@dataclass(frozen=True, slots=True)
class EntityMessage:
    """An operation of the list: a message to an entity, not yet a text."""

    task_id: int
    target: InstanceId
    content: Request | Release


ListedOperation = Union["Operation", EntityMessage]
