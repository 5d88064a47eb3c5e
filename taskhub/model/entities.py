"""Entities: how they are addressed, what they are asked, and what they remember between two batches.

An entity is an instance whose id is ``@name@key``. What it is sent are external events: requests (operations and
locks), releases of locks, and its own reminder to go on. What it remembers is the input of its current execution.

Source: Durable Task extension, ``EntityId``, ``RequestMessage``, ``SchedulerState``, ``MessageSorter``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Union

from taskhub.model.ids import InstanceId, Utc

if TYPE_CHECKING:
    from collections.abc import Mapping

    from taskhub.model.history import FailureDetails
    from taskhub.model.ids import ExecutionId

REQUEST_EVENT = "op"
"""Event that carries a request; one for later has ``@`` and the time behind it."""
RELEASE_EVENT = "release"
CONTINUE_EVENT = "continue"

TICKS_PER_SECOND = 10_000_000

_EPOCH = datetime(1, 1, 1)


@dataclass(frozen=True, slots=True, order=True)
class EntityId:
    """Address of an entity; make it with :meth:`of`, because names ignore case."""

    name: str
    """In lower case."""
    key: str
    """As it is; may be empty."""

    @classmethod
    def of(cls, name: str, key: str) -> EntityId:
        """Return the address of an entity by its name as users write it."""
        return cls(name.lower(), key)

    @classmethod
    def parse(cls, instance_id: str) -> EntityId | None:
        """Return the entity that an instance id addresses, ``None`` when it is an orchestration's."""
        if not is_entity(instance_id):
            return None
        name, _, key = instance_id[1:].partition("@")
        return cls(name, key)

    @property
    def instance_id(self) -> InstanceId:
        """The id of its instance: ``@counter@a``."""
        return InstanceId(f"@{self.name}@{self.key}")

    def __str__(self) -> str:
        return self.instance_id


def is_entity(instance_id: str) -> bool:
    """Return whether an instance id is an entity's: any that begins with ``@``."""
    return instance_id.startswith("@")


@dataclass(frozen=True, slots=True)
class Stamp:
    """A time by which messages of one sender are put in order, in .NET's ticks of 100 ns.

    A tick that was added to a time to tell two messages apart takes away its zone, and the text its ``Z``.
    """

    ticks: int
    """Since the year 1."""
    is_utc: bool = True

    @classmethod
    def of(cls, time: Utc) -> Stamp:
        """Return a point in time."""
        return cls(_ticks(time[:-1]))

    @classmethod
    def parse(cls, text: str) -> Stamp:
        """Return the time of a label; raises :class:`ValueError`."""
        is_utc = text.endswith("Z")
        return cls(_ticks(text[:-1] if is_utc else text), is_utc)

    def __str__(self) -> str:
        seconds, fraction = divmod(self.ticks, TICKS_PER_SECOND)
        text = (_EPOCH + timedelta(seconds=seconds)).isoformat()
        if fraction:
            text += f".{fraction:07d}".rstrip("0")
        return f"{text}Z" if self.is_utc else text

    def plus(self, ticks: int) -> Stamp:
        """Return this time moved by ticks; its zone stays."""
        return Stamp(self.ticks + ticks, self.is_utc)


def _ticks(text: str) -> int:
    head, _, fraction = text.partition(".")
    since = datetime.fromisoformat(head) - _EPOCH
    return (since.days * 86_400 + since.seconds) * TICKS_PER_SECOND + int(fraction[:7].ljust(7, "0") or 0)


NEVER = Stamp(0, is_utc=False)
"""The label of messages that take no part in ordering, and the predecessor of a first one."""


# ---- messages


@dataclass(frozen=True, slots=True)
class Request:
    """Run an operation, or lock some entities."""

    id: str
    """Names the event that answers it."""
    operation: str | None = None
    """``None`` in lock requests."""
    is_signal: bool = False
    """Nobody waits for an answer."""
    input: str | None = None
    """JSON text."""
    parent: InstanceId | None = None
    """The sender, ``None`` when it is a client."""
    parent_execution: ExecutionId | None = None
    """``None`` when the sender is an entity or a client."""
    due: Utc | None = None
    """When the operation should run; ``None``: now."""
    timestamp: Stamp = NEVER
    predecessor: Stamp = NEVER
    """Label of the sender's message to this entity before."""
    lock_set: tuple[EntityId, ...] | None = None
    """Entities to lock, in the order in which they are locked; ``None`` when this is an operation."""
    position: int = 0
    """How many of them are locked."""
    extra: Mapping[str, object] = field(default_factory=dict)
    """Properties that mean nothing here and travel along: times and contexts for tracing."""


@dataclass(frozen=True, slots=True)
class Release:
    """Give back a lock."""

    parent: InstanceId
    """Who holds it."""
    id: str
    """The lock request's."""


@dataclass(frozen=True, slots=True)
class Continue:
    """Go on with the queue."""


Incoming = Union[Request, Release, Continue]  # noqa: UP007 (a runtime alias on 3.10)
"""What an entity is sent."""


@dataclass(frozen=True, slots=True)
class Response:
    """The answer to a request, for its sender."""

    result: str | None
    """JSON text."""
    is_error: bool = False
    failure: FailureDetails | None = None
    """Of an error, structured, where the SDK gives it so; ``result`` has its message then."""


LOCK_GRANTED = Response("Lock Acquisition Completed")


# ---- what an entity remembers


@dataclass(frozen=True, slots=True)
class ReceiveBuffer:
    """What an entity knows of one sender's messages."""

    last: Stamp
    """Label of the last one that was delivered; ``NEVER`` when there is none within the window."""
    execution_id: ExecutionId | None = None
    """The sender's execution."""
    buffered: tuple[Request, ...] = ()
    """Messages whose predecessor is not there yet, in order of their labels."""


@dataclass(frozen=True, slots=True)
class SorterState:
    """The order of messages, as far as it is known. Instance ids compare ignoring case."""

    last_sent: Mapping[str, Stamp] = field(default_factory=dict)
    """Label of the last message to each instance."""
    received: Mapping[str, ReceiveBuffer] = field(default_factory=dict)
    """By sender."""
    receive_horizon: Stamp = NEVER
    """Messages older than this are delivered as they come."""
    send_horizon: Stamp = NEVER
    """Labels older than this are forgotten."""


@dataclass(frozen=True, slots=True)
class SchedulerState:
    """What an entity remembers from batch to batch."""

    exists: bool = False
    state: str | None = None
    """What user code stored, JSON text; Python leaves the text ``null`` behind when it deletes."""
    queue: tuple[Request, ...] = ()
    """Requests that were delivered and not yet run."""
    locked_by: InstanceId | None = None
    is_suspended: bool = False
    """Waits for a message from itself, so that a long queue is stored from batch to batch."""
    sorter: SorterState = SorterState()


# ---- one run of user code


@dataclass(frozen=True, slots=True)
class Signal:
    """An operation that an entity asks of another one."""

    target: EntityId
    operation: str
    input: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)
    """As in :class:`Request`."""
    due: Utc | None = None
    """When the operation should run; ``None``: now."""


@dataclass(frozen=True, slots=True)
class Start:
    """An orchestration that an entity starts, and does not wait for."""

    instance_id: InstanceId
    name: str
    input: str | None = None
    version: str | None = None
    """``None``: the hub's default version."""
    due: Utc | None = None
    """When it should begin; ``None``: now."""


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What user code made of a batch."""

    exists: bool
    state: str | None
    results: tuple[Response, ...]
    """One for each operation, in order."""
    signals: tuple[Signal, ...] = ()
    starts: tuple[Start, ...] = ()


@dataclass(frozen=True, slots=True)
class BatchFailure:
    """User code could not be run, or broke off: every operation is answered with this error."""

    result: str
    """JSON text, or the text of a timeout as it is."""


# ---- as clients see it


@dataclass(frozen=True, slots=True)
class EntityState:
    """An entity as its row in the Instances table shows it."""

    id: EntityId
    exists: bool
    """Whether it has a state that was not deleted."""
    last_operation: Utc | None
    """Start of the last batch."""
    state: str | None = None
    """JSON text, ``None`` when there is none or it was not asked for."""
    queue_size: int = 0
    locked_by: InstanceId | None = None


@dataclass(frozen=True, slots=True)
class EntityPage:
    """One page of a list of entities; may be short or empty and still carry a token."""

    entities: tuple[EntityState, ...]
    token: str | None


@dataclass(frozen=True, slots=True)
class CleanedEntities:
    """What a clean-up did."""

    removed: int
    """Entities without state, queue and lock that were purged."""
    released: int
    """Locks whose holder has ended, which were told to open."""
    token: str | None
    """Where to go on; ``None`` at the end."""
