"""What an orchestration decided in an episode, as the live shell hands it to a task hub.

Texts are what the reference stores: an activity's input is the text of a one-element JSON array, the input of a
sub-orchestration and every result is JSON text in the compact form of the extension (no blanks after ``,`` and
``:``, non-ASCII as it is).

Source: Durable Task extension, "actions" of the JSON protocol.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime


@dataclass(frozen=True, slots=True)
class ScheduleActivity:
    """Run the activity ``name``; ``TaskScheduled`` with ``task_id`` as its EventId."""

    task_id: int
    name: str
    input: str
    """Text of a one-element JSON array holding the action's input, e.g. ``["\\"Tokyo\\""]``."""


@dataclass(frozen=True, slots=True)
class CreateTimer:
    """Wake the orchestration at a time; ``TimerCreated`` with ``task_id`` as its EventId."""

    task_id: int
    fire_at: datetime
    """Aware UTC. In the past: at once."""


@dataclass(frozen=True, slots=True)
class StartSubOrchestration:
    """Start a child of the orchestrator ``name`` and wait for its end.

    ``SubOrchestrationInstanceCreated`` with ``task_id`` as its EventId; ``input`` is JSON text.
    """

    task_id: int
    name: str
    instance_id: str | None
    """``None``: the task hub makes one from the execution id and the task id."""
    input: str
    version: str | None
    """``None``: the hub's default version."""


@dataclass(frozen=True, slots=True)
class SendEvent:
    """Send the event ``name`` to another instance (entity requests travel so).

    ``EventSent`` with ``task_id`` as its EventId; ``input`` is JSON text.
    """

    task_id: int
    instance_id: str
    name: str
    input: str


Operation = Union[ScheduleActivity, CreateTimer, StartSubOrchestration, SendEvent]  # noqa: UP007 (a runtime alias on 3.10)


@dataclass(frozen=True, slots=True)
class Returned:
    """The code returned; ``result`` is JSON text, ``None`` when it returned ``None``."""

    result: str | None


@dataclass(frozen=True, slots=True)
class Raised:
    """The code raised, or its replay did not agree with its history."""

    error: str
    """Message, as ``error`` of the JSON protocol."""
    stack: str
    """Python's traceback text of the user's frames, ``""`` when there is none."""


@dataclass(frozen=True, slots=True)
class Restarted:
    """The code continued as new."""

    input: str
    """JSON text of the next generation's input."""
    unprocessed: Sequence[Mapping[str, Any]]
    """EventRaised events to carry over, in order of arrival: those fed after the call, and before them those that the
    code wants preserved."""


Outcome = Union[Returned, Raised, Restarted]  # noqa: UP007 (a runtime alias on 3.10)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What has been decided and was not in the history that was fed."""

    operations: Sequence[Operation]
    """In ascending order of task ids. Each is reported once: by the call that made it."""
    custom_status: str | None
    """The current custom status as JSON text, compact; ``None`` when none is set (falsy ones are none)."""
    outcome: Outcome | None
    """``None`` while the code waits. The operations come first, then this."""
    next_task_id: int
    """The id that the next operation would get; EventId of ExecutionCompleted."""
