"""What the code of an orchestration asked for in an episode, in the task hub's own terms.

The runtime translates the SDK's decisions into these, so that the core knows nothing of the SDK.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Union

if TYPE_CHECKING:
    from taskhub.model.history import EventRaised, FailureDetails
    from taskhub.model.ids import InstanceId, Utc


@dataclass(frozen=True, slots=True)
class ScheduleActivity:
    """Run an activity."""

    task_id: int
    name: str
    input: str | None


@dataclass(frozen=True, slots=True)
class CreateTimer:
    """Wake the orchestration at a time."""

    task_id: int
    fire_at: Utc


@dataclass(frozen=True, slots=True)
class StartSubOrchestration:
    """Start a child and wait for its end."""

    task_id: int
    name: str
    instance_id: InstanceId | None
    """``None``: made from the parent's execution id and the task id."""
    input: str | None
    version: str | None
    """``None``: the hub's default version."""


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Send an event to another instance."""

    task_id: int
    instance_id: InstanceId
    name: str
    input: str | None


Operation = Union[ScheduleActivity, CreateTimer, StartSubOrchestration, SendEvent]  # noqa: UP007 (a runtime alias on 3.10)


@dataclass(frozen=True, slots=True)
class Returned:
    """The code ended; ``result`` is JSON text, ``None`` when it returned nothing."""

    result: str | None


@dataclass(frozen=True, slots=True)
class Raised:
    """The code failed, or could not be run."""

    reason: str
    """The instance's output: ``Orchestrator function 'x' failed: …``."""
    details: str | None
    """For the parent of a sub-orchestration: ``Message: …, StackTrace: …``."""
    failure: FailureDetails | None = None
    """Structured, where the SDK gives it so; the instance's output is then what it says."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The code continued as new."""

    input: str | None
    carried: tuple[EventRaised, ...]
    """Events that go over to the next generation, in order of arrival."""
    version: str | None = None
    """Of the next generation; ``None``: the same."""


Outcome = Union[Returned, Raised, Restarted]  # noqa: UP007 (a runtime alias on 3.10)


@dataclass(frozen=True, slots=True)
class Actions:
    """All that an episode decided."""

    operations: tuple[Operation, ...]
    """In ascending order of task ids."""
    custom_status: str | None
    """JSON text, ``None`` when none is set."""
    outcome: Outcome | None
    """``None`` while the code waits."""
    next_task_id: int
    """The id that the next operation would get."""
