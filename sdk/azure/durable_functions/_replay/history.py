"""History events as the host hands them over: plain mappings that nobody turns into objects unasked.

An event is ``{"EventType": number, "EventId": number, "IsPlayed": bool, "Timestamp": text, ...}`` with the reference's
property names. A replay touches one or two of these properties of each event, so everything else here is done when
somebody asks: :class:`HistoryEvent` objects, parsed times.

Source: DurableTask.Core.History, as serialised for out-of-process workers.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from enum import IntEnum
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class HistoryEventType(IntEnum):
    """Number of each kind of event."""

    EXECUTION_STARTED = 0
    EXECUTION_COMPLETED = 1
    EXECUTION_FAILED = 2
    EXECUTION_TERMINATED = 3
    TASK_SCHEDULED = 4
    TASK_COMPLETED = 5
    TASK_FAILED = 6
    SUB_ORCHESTRATION_INSTANCE_CREATED = 7
    SUB_ORCHESTRATION_INSTANCE_COMPLETED = 8
    SUB_ORCHESTRATION_INSTANCE_FAILED = 9
    TIMER_CREATED = 10
    TIMER_FIRED = 11
    ORCHESTRATOR_STARTED = 12
    ORCHESTRATOR_COMPLETED = 13
    EVENT_SENT = 14
    EVENT_RAISED = 15
    CONTINUE_AS_NEW = 16
    GENERIC_EVENT = 17
    HISTORY_STATE = 18
    EXECUTION_SUSPENDED = 19
    EXECUTION_RESUMED = 20


class HistoryEvent:
    """One fact of an execution, as ``context.histories`` shows it.

    Every further property of the event is an attribute of the same spelling, e.g. ``Name``, ``Result``.
    """

    Name: str | None = None
    InstanceId: str | None = None
    TaskScheduledId: int | None = None
    Reason: str | None = None
    Details: str | None = None
    Input: str | None = None

    def __init__(
        self,
        EventType: HistoryEventType,
        EventId: int,
        IsPlayed: bool,
        Timestamp: str,
        **kwargs: Any,
    ) -> None:
        self._event_type = EventType
        self._event_id = EventId
        self._is_played = IsPlayed
        self._timestamp = Timestamp
        self._is_processed = False
        self.__dict__.update(kwargs)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # properties of the event

    @property
    def event_type(self) -> HistoryEventType:
        """Kind of event, as the number that the host sent."""
        return self._event_type

    @property
    def event_id(self) -> int:
        """Task id on scheduling events, -1 on others."""
        return self._event_id

    @property
    def is_played(self) -> bool:
        """Whether an earlier episode has seen the event."""
        return self._is_played

    @property
    def timestamp(self) -> datetime:
        """When it happened; digits beyond microseconds are cut."""
        return parse_timestamp(self._timestamp)

    @property
    def is_processed(self) -> bool:
        """A mark for whoever walks over the events."""
        return self._is_processed

    @is_processed.setter
    def is_processed(self, value: bool) -> None:
        self._is_processed = value

    def __repr__(self) -> str:
        try:
            kind = HistoryEventType(self._event_type).name
        except ValueError:
            kind = str(self._event_type)
        return f"<HistoryEvent {kind} #{self._event_id} at {self._timestamp}>"


_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)(?::(\d\d)(?:\.(\d+))?)?\s*(?:([Zz])|([+-])(\d\d):?(\d\d))?$"
)


def parse_timestamp(text: str) -> datetime:
    """Read an ISO-8601 time as an aware UTC datetime; digits beyond microseconds are cut, no zone means UTC.

    Raises:
        ValueError: not a time.
    """
    match = _TIMESTAMP.match(text)
    if match is None:
        raise ValueError(f"Not an ISO 8601 time: {text!r}")
    year, month, day, hour, minute, second, fraction, _, sign, zone_hours, zone_minutes = match.groups()
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    when = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0), micros, timezone.utc)
    if sign is None:
        return when
    offset = timedelta(hours=int(zone_hours), minutes=int(zone_minutes))
    return when - offset if sign == "+" else when + offset


class Clock:
    """What user code sees as now: the time of the latest OrchestratorStarted, never moving back.

    It keeps texts and compares them; a time is parsed when somebody reads it. ISO texts of equal zone without their
    ``Z`` compare as the times do, however many digits the fraction has.
    """

    __slots__ = ("_text", "_value")

    def __init__(self, timestamp: str) -> None:
        self._text = ""
        self._value: datetime | None = None
        self.move_to(timestamp)

    def move_to(self, timestamp: str) -> None:
        """Move on to a time, unless it has passed."""
        text = timestamp[:-1] if timestamp[-1:] == "Z" else _iso_text(parse_timestamp(timestamp))
        if text > self._text:
            self._text = text
            self._value = None

    @property
    def now(self) -> datetime:
        """Aware UTC datetime."""
        if self._value is None:
            self._value = parse_timestamp(self._text)
        return self._value

    @now.setter
    def now(self, value: datetime) -> None:
        self._value = value
        self._text = _iso_text(value)

    @property
    def ticks_text(self) -> str:
        """The time without zone, with the seven digits of .NET's ticks: ``2026-11-24T13:31:43.5403747``."""
        seconds, _, fraction = self._text.partition(".")
        return f"{seconds}.{fraction[:7].ljust(7, '0')}"


_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def to_ticks(text: str) -> int:
    """Return the text of a clock (``Clock.ticks_text``) as a number: units of 100 ns since 1970."""
    seconds, _, fraction = text.partition(".")
    whole = datetime.strptime(seconds, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc) - _EPOCH
    return (whole.days * 86_400 + whole.seconds) * 10_000_000 + int(fraction)


def from_ticks(ticks: int) -> str:
    """Return the text of a number of ticks."""
    seconds, fraction = divmod(ticks, 10_000_000)
    return f"{_EPOCH + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S}.{fraction:07d}"


def _iso_text(value: datetime) -> str:
    if value.tzinfo is not None:
        value = value.astimezone(timezone.utc)
    return value.strftime("%Y-%m-%dT%H:%M:%S.%f")


class EventLog:
    """All events of a long-lived execution, for the few programs that read them, at about a third of the dicts' size.

    Events of one kind share their tuple of keys; only the values are kept for each.
    """

    __slots__ = ("_rows", "_shapes")

    def __init__(self) -> None:
        self._shapes: dict[tuple[str, ...], tuple[str, ...]] = {}
        self._rows: list[tuple[Any, ...]] = []

    def append(self, event: Mapping[str, Any]) -> None:
        """Keep an event."""
        keys = tuple(event)
        self._rows.append((self._shapes.setdefault(keys, keys), *event.values()))

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return self.since(0)

    def since(self, index: int) -> Iterator[dict[str, Any]]:
        """Return the events from one on."""
        for row in islice(self._rows, index, None):
            yield dict(zip(row[0], row[1:], strict=True))
