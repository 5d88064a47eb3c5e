"""A host without storage: turns an orchestration's decisions into history, and lets a random source say what arrives.

It plays one execution against the live shell, warm; at each episode it can be asked for the history so far, for a cold
session or for the JSON shell to replay.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from azure.durable_functions.replay import (
    CreateTimer,
    Decisions,
    OrchestrationSession,
    ScheduleActivity,
    SendEvent,
    StartSubOrchestration,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

INSTANCE_ID = "instance-1"
LIMIT = timedelta(hours=10)
LEG = timedelta(hours=4, microseconds=250_000)
"""No whole seconds, so that a leg's end tells itself from the end of a retry's timer."""

RESULTS = (
    None,
    "1",
    '{"é": [1, null]}',
    '"text"',
    "true",
    "[]",
    '{"__class__": "Point", "__module__": "case_random", "__data__": 5}',
    '[{"__class__": "Point", "__module__": "case_random", "__data__": {"n": 1}}]',
)
"""What functions return, ready to be decoded; the class is that of ``programs.py``."""

EVENT_DATA = ("1", '"{\\"x\\": 1}"', '"text"', None, RESULTS[-2])
"""What events carry: from clients of this SDK, which encode twice, and from others."""

ENTITY_ANSWERS: tuple[dict[str, Any], ...] = (
    {"result": "7"},
    {"result": RESULTS[-2]},
    {"result": "null"},
    {"result": '"refused"', "exceptionType": "System.Exception"},
    {"result": "Timeout value of 00:02:00 exceeded", "exceptionType": "System.TimeoutException"},
)


@dataclass
class SimulatedHost:
    """One execution of an orchestrator.

    Attributes:
        history: raw events, committed ones and those of the current episode.
        last_episode: index of the OrchestratorStarted that began the current episode.
        open: operations that have not been answered.
        operations: all that were ever decided.
    """

    function: Callable[[Any], Any]
    rng: random.Random
    input: Any = None
    is_bare: bool = False
    """Whether the input was stored as it came, as by a start over HTTP; clients of this SDK encode it once more."""
    event_names: tuple[str, ...] = ()
    limit: timedelta = LIMIT
    """A timer further ahead is made of legs; none is if this or ``leg`` is zero."""
    leg: timedelta = LEG
    history: list[dict[str, Any]] = field(default_factory=list)
    last_episode: int = 0
    open: dict[int, Any] = field(default_factory=dict)
    operations: list[Any] = field(default_factory=list)
    now: datetime = datetime(2024, 3, 5, 10, 0, tzinfo=timezone.utc)

    def __post_init__(self) -> None:
        self.warm = self.session()
        self._fed = 0

    def session(self) -> OrchestrationSession:
        """Return a fresh session with the host's limits."""
        return OrchestrationSession(
            self.function,
            instance_id=INSTANCE_ID,
            long_timer_limit_seconds=self.limit.total_seconds(),
            long_timer_leg_seconds=self.leg.total_seconds(),
        )

    # -- episodes ---------------------------------------------------------------------------------------------------

    def start(self) -> Decisions:
        """Run the first episode."""
        started = self.event(
            0,
            Name="Flow",
            Version=None,
            Input=None if self.input is None else json.dumps(self._handed_over),
            OrchestrationInstance={"InstanceId": INSTANCE_ID, "ExecutionId": "execution-1"},
        )
        return self.episode([started])

    def episode(self, arrived: list[dict[str, Any]]) -> Decisions:
        """Run an episode for what arrived, warm, and commit what was decided."""
        self.last_episode = len(self.history)
        self.history += [self.event(12), *arrived]
        new = self.history[self._fed :]
        decisions = self.warm.advance(new, replayed=self.last_episode - self._fed)
        self._fed = len(self.history)
        return decisions

    def commit(self, decisions: Decisions) -> None:
        """Write what was decided into the history."""
        for operation in decisions.operations:
            self.open[operation.task_id] = operation
            self.operations.append(operation)
            self.history.append(self.scheduling_event(operation))
        self.history.append(self.event(13))

    def cold(self) -> Decisions:
        """Replay the whole history in a fresh session."""
        return self.session().advance(self.history, replayed=self.last_episode)

    @property
    def _handed_over(self) -> Any:
        return self.input if self.input is None or self.is_bare else json.dumps(self.input)

    def context(self, schema: int = 3) -> str:
        """Return what the official extension would hand over for the current episode."""
        return json.dumps(
            {
                "history": self.history,
                "input": self._handed_over,
                "instanceId": INSTANCE_ID,
                "isReplaying": self.last_episode > 0,
                "parentInstanceId": None,
                "upperSchemaVersion": min(schema, 1),
                "upperSchemaVersionNew": schema,
                "longRunningTimerIntervalDuration": span_text(self.leg),
                "maximumShortTimerDuration": span_text(self.limit),
                "defaultHttpAsyncRequestSleepTimeMillseconds": 30000,
            }
        )

    # -- what arrives -----------------------------------------------------------------------------------------------

    def arrivals(self) -> list[dict[str, Any]]:
        """Draw the events of the next episode; empty when nothing can ever arrive."""
        arrived = []
        for _ in range(self.rng.choice((1, 1, 1, 2, 3))):
            event = self._arrival()
            if event is not None:
                arrived.append(event)
        return arrived

    def _arrival(self) -> dict[str, Any] | None:
        answerable = [operation for operation in self.open.values() if not _is_signal(operation)]
        timers = [operation for operation in answerable if isinstance(operation, CreateTimer)]
        others = [operation for operation in answerable if not isinstance(operation, CreateTimer)]
        operations: list[Any] = list(others)
        if timers:
            operations.append(min(timers, key=lambda timer: timer.fire_at))
        if operations and (not self.event_names or self.rng.random() < 0.75):
            chosen = self.rng.choice(operations)
        elif self.event_names:
            chosen = self.rng.choice(self.event_names)
        else:
            return None
        if isinstance(chosen, str):
            name = self.rng.choice((chosen, chosen, chosen, chosen.upper()))
            return self.event(15, Name=name, Input=self.rng.choice((*EVENT_DATA, str(self.rng.randrange(1000)))))
        del self.open[chosen.task_id]
        return self.answer(chosen)

    def answer(self, operation: Any) -> dict[str, Any]:
        """Return the event that answers an operation, good or bad."""
        fails = self.rng.random() > 0.65  # the simplest draw succeeds
        if isinstance(operation, CreateTimer):
            # Whole seconds, so that only timers of programs have a fraction.
            self.now = max(self.now, (operation.fire_at + timedelta(seconds=1)).replace(microsecond=0))
            return self.event(11, TimerId=operation.task_id, FireAt=time_text(operation.fire_at))
        self.now += timedelta(seconds=self.rng.choice((0, 1, 30)))
        if isinstance(operation, SendEvent):
            request = json.loads(operation.input)
            return self.event(15, Name=request["id"], Input=json.dumps(self.rng.choice(ENTITY_ANSWERS)))
        is_child = isinstance(operation, StartSubOrchestration)
        if fails:
            reason = f"{operation.name} failed {self.rng.randrange(10)}"
            return self.event(9 if is_child else 6, TaskScheduledId=operation.task_id, Reason=reason, Details="details")
        result = self.rng.choice((*RESULTS, str(self.rng.randrange(1000))))
        return self.event(8 if is_child else 5, TaskScheduledId=operation.task_id, Result=result)

    # -- events -----------------------------------------------------------------------------------------------------

    def scheduling_event(self, operation: Any) -> dict[str, Any]:
        """Return the event that stands for an operation in the history."""
        if isinstance(operation, ScheduleActivity):
            return self.event(4, operation.task_id, Name=operation.name, Version="", Input=None)
        if isinstance(operation, StartSubOrchestration):
            child = operation.instance_id or f"execution-1:{operation.task_id}"
            return self.event(7, operation.task_id, Name=operation.name, Version=None, InstanceId=child, Input=None)
        if isinstance(operation, CreateTimer):
            return self.event(10, operation.task_id, FireAt=time_text(operation.fire_at))
        return self.event(
            14, operation.task_id, InstanceId=operation.instance_id, Name=operation.name, Input=operation.input
        )

    def event(self, kind: int, event_id: int = -1, **properties: Any) -> dict[str, Any]:
        """Return a raw event of the present."""
        return {
            "EventType": kind,
            **properties,
            "EventId": event_id,
            "IsPlayed": False,
            "Timestamp": time_text(self.now),
        }


def time_text(when: datetime) -> str:
    """Return a time as the extension writes it: trailing zeros of the fraction dropped."""
    text = when.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{when.microsecond:06d}".rstrip("0").rstrip(".") + "Z" if when.microsecond else text + "Z"


def span_text(span: timedelta) -> str:
    """Return a time span as the extension writes it."""
    hours, rest = divmod(span.seconds, 3600)
    days = f"{span.days}." if span.days else ""
    fraction = f".{span.microseconds:06d}0" if span.microseconds else ""
    return f"{days}{hours:02d}:{rest // 60:02d}:{rest % 60:02d}{fraction}"


def _is_signal(operation: Any) -> bool:
    return isinstance(operation, SendEvent) and '"signal":true' in operation.input
