"""Functions and bindings of an app, the same for both programming models."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

HTTP_TRIGGER = "httptrigger"
ORCHESTRATION_TRIGGER = "orchestrationtrigger"
ACTIVITY_TRIGGER = "activitytrigger"
ENTITY_TRIGGER = "entitytrigger"
TIMER_TRIGGER = "timertrigger"
QUEUE_TRIGGER = "queuetrigger"
BLOB_TRIGGER = "blobtrigger"
EVENT_GRID_TRIGGER = "eventgridtrigger"
WARMUP_TRIGGER = "warmuptrigger"
"""Never fires here: nothing scales this host out."""
QUEUE = "queue"
BLOB = "blob"
DURABLE_TRIGGERS = frozenset({ORCHESTRATION_TRIGGER, ACTIVITY_TRIGGER, ENTITY_TRIGGER})
LISTENED_TRIGGERS = frozenset({TIMER_TRIGGER, QUEUE_TRIGGER, BLOB_TRIGGER})
"""Those that something of the host waits for."""
STORED = frozenset({QUEUE, BLOB})
"""Bindings that read or write storage around an invocation."""
DURABLE_CLIENTS = frozenset({"durableclient", "orchestrationclient"})
"""The second is the name of the first in old apps."""

_CALLED_AS = {ORCHESTRATION_TRIGGER: "orchestration", ACTIVITY_TRIGGER: "activity", ENTITY_TRIGGER: "entityname"}


class Direction(enum.Enum):
    """Which way a binding carries data."""

    IN = "in"
    OUT = "out"
    INOUT = "inout"


@dataclass(frozen=True, slots=True)
class Binding:
    """One binding of a function."""

    name: str
    """Parameter of the function, or ``$return``."""
    type: str
    """As written: ``httpTrigger``."""
    direction: Direction
    properties: Mapping[str, Any] = field(default_factory=dict)
    """Everything else, keys in lower case."""

    @property
    def kind(self) -> str:
        """The type in lower case, by which bindings are told apart."""
        return self.type.lower()

    @property
    def is_trigger(self) -> bool:
        """Whether this binding starts the function."""
        return self.kind.endswith("trigger")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a function that failed is run again, and after which waits."""

    max_count: int
    """Of further attempts; -1: for ever."""
    least_seconds: float
    most_seconds: float
    """The same as ``least_seconds`` for waits that do not grow."""

    def wait_seconds(self, attempt: int) -> float:
        """Return the wait before the ``attempt``-th further attempt (from 1): doubled each time, up to the most."""
        return float(min(self.least_seconds * 2 ** min(attempt - 1, 30), self.most_seconds))


@dataclass(frozen=True, slots=True)
class Function:
    """One function that was loaded."""

    name: str
    """In the listing, in logs and in settings."""
    call: Callable[..., Any]
    bindings: tuple[Binding, ...]
    directory: Path
    """Folder of the function (v1) or of the file that defines it (v2)."""
    is_disabled: bool = False
    retry: RetryPolicy | None = None

    @property
    def trigger(self) -> Binding:
        """The one binding that starts the function."""
        return next(binding for binding in self.bindings if binding.is_trigger)

    @property
    def called_as(self) -> str:
        """The name by which orchestrations and clients call it."""
        trigger = self.trigger
        return str(trigger.properties.get(_CALLED_AS.get(trigger.kind, "")) or self.name)


@dataclass(frozen=True, slots=True)
class FunctionError:
    """A function that cannot run; the others can."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"The '{self.name}' function is in error: {self.reason}"


@dataclass(frozen=True, slots=True)
class App:
    """What the loader found in an app's folder."""

    functions: tuple[Function, ...] = ()
    """Sorted by name, ignoring case."""
    errors: tuple[FunctionError, ...] = ()
    failure: str | None = None
    """Why the app as a whole could not be loaded."""
    warnings: tuple[str, ...] = ()
