"""What the runtime asks of an application: the seam between the task hub and user code.

The host implements it over a function app; tests and simulations implement it over plain functions.
Implementations decide where user code runs; the runtime only needs that a call never blocks the
event loop that renews leases.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from taskhub.model.actions import Actions
    from taskhub.model.entities import BatchAnswer
    from taskhub.model.history import FailureDetails, TraceContext
    from taskhub.model.ids import ExecutionId, InstanceId


@dataclass(frozen=True, slots=True)
class ActivityCall:
    """One activity to run."""

    name: str
    input: str | None
    """The text of the work item, as the orchestration's payload convention wrote it."""
    instance_id: InstanceId
    execution_id: ExecutionId | None
    task_id: int
    attempt: int
    """How often this work item was taken, 1 at first."""
    trace: TraceContext | None = None
    """The span in which it runs; ``None`` where nobody traces."""


@dataclass(frozen=True, slots=True)
class ActivitySucceeded:
    """An activity returned."""

    result: str | None
    """JSON text, ``None`` when it returned nothing."""


@dataclass(frozen=True, slots=True)
class ActivityFailed:
    """An activity raised, or cannot be run."""

    reason: str
    """What the orchestration sees: ``Activity function 'x' failed:  ValueError: boom``."""
    details: str | None = None
    failure: FailureDetails | None = None
    """Structured, for an SDK that reads it so."""


@dataclass(frozen=True, slots=True)
class EntityCall:
    """One batch of operations of an entity, to be run together."""

    name: str
    """Of the entity, in lower case."""
    key: str
    payload: str
    """What user code gets: JSON text with ``self``, ``exists``, ``state`` and the ``batch`` of operations."""
    operations: int
    """How many there are."""


@dataclass(frozen=True, slots=True)
class EntityAnswered:
    """An entity function returned."""

    answer: str | BatchAnswer
    """As text: JSON with ``entityExists``, ``entityState``, one of ``results`` for each operation, and ``signals``."""


@dataclass(frozen=True, slots=True)
class EntityFailed:
    """An entity function raised, or cannot be run: every operation is answered with an error, the state stays."""

    result: str
    """What callers see: JSON text, or the text of a timeout as it is (``Timeout value of …``)."""

    @classmethod
    def because(cls, message: str) -> EntityFailed:
        """Return the failure that callers see as an exception with a message."""
        return cls(json.dumps(message, ensure_ascii=False))


class Orchestration(Protocol):
    """One execution in memory: user code between two waits."""

    async def advance(self, events: Sequence[Mapping[str, Any]], *, replayed: int) -> Actions:
        """Feed raw history events and return what the code decided that is not among them.

        Called by one task at a time. Every event of the history is fed once and in order, over all calls together.

        Args:
            events: the reference's property names and order, types as numbers, times as text.
            replayed: how many of ``events``, from the first, belong to episodes that ended before.
        """

    def close(self) -> None:
        """Let go of the execution; called once, also while nothing was ever fed."""


class Application(Protocol):
    """The functions of an app, by the names that orchestrations call and clients signal."""

    def orchestration(
        self, name: str, *, instance_id: InstanceId, parent_instance_id: InstanceId | None
    ) -> Orchestration:
        """Return a fresh, empty execution of an orchestrator; names compare ignoring case.

        Raises:
            UnknownFunction: no orchestrator has this name; the message lists those that exist.
        """

    async def run_activity(self, call: ActivityCall) -> ActivitySucceeded | ActivityFailed:
        """Run an activity to its end. Unknown names and exceptions of user code are :class:`ActivityFailed`.

        Raises:
            Exception: the host itself failed; the work item is abandoned and comes back.
        """

    def check_entity(self, name: str) -> None:
        """See that an orchestration may call, signal or lock entities of a name; names compare ignoring case.

        Raises:
            UnknownFunction: no entity has this name; the message lists those that exist.
        """

    async def run_entity_batch(self, call: EntityCall) -> EntityAnswered | EntityFailed:
        """Run a batch of operations to its end. Unknown names and exceptions of user code are :class:`EntityFailed`.

        One call at a time is made for an entity. An operation that fails is no failure of the batch: its result says
        so.

        Raises:
            Exception: the host itself failed; the batch is abandoned and comes back.
        """
