"""PURE: when a timer function runs next, by the schedules that the Functions host takes.

A schedule is an NCRONTAB expression of six fields (seconds first; five mean second 0), or a time span. It differs from
the cron of Unix in that the day of the month and the day of the week must *both* match, that 7 is no day, and that a
range written backwards counts as written forwards.

Where clocks are changed: what falls into the hour that is skipped runs an hour later by the clock. In the hour that
comes twice, a schedule that runs all through an hour goes on, and one for a point in time runs the first time only.

Source: NCrontab; Azure WebJobs SDK extensions, CronSchedule and ConstantSchedule.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol
from zoneinfo import ZoneInfo

from taskhub.host.durable_options import time_span

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip
_WEEKDAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

_MAX_YEARS = 400
"""After which the calendar repeats itself: what has not matched until then never does."""


class ScheduleError(ValueError):
    """A text is no schedule; the message is for the app's author."""


class Schedule(Protocol):
    """Says when a timer runs."""

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first time after ``moment``, aware and in the schedule's zone; ``None``: never again."""


@dataclass(frozen=True, slots=True)
class IntervalSchedule:
    """Runs a span of time after the last run began."""

    span: timedelta
    zone: tzinfo = timezone.utc

    def next_after(self, moment: datetime) -> datetime | None:
        """See :class:`Schedule`."""
        return (moment.astimezone(timezone.utc) + self.span).astimezone(self.zone)

    def __str__(self) -> str:
        return f"Constant: {self.span}"


@dataclass(frozen=True, slots=True)
class CronSchedule:
    """Runs at the times of a clock on the wall that match. Each field has the values it matches, sorted."""

    text: str
    seconds: tuple[int, ...]
    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: tuple[int, ...]
    months: tuple[int, ...]
    weekdays: tuple[int, ...]
    """Sunday is 0."""
    zone: tzinfo = timezone.utc

    def __str__(self) -> str:
        return f"Cron: '{self.text}'"

    @property
    def is_interval(self) -> bool:
        """Whether it runs all through an hour, and not only at points of it."""
        return any(_has_neighbours(values) for values in (self.seconds, self.minutes, self.hours))

    def next_after(self, moment: datetime) -> datetime | None:
        """See :class:`Schedule`."""
        now = moment.astimezone(self.zone)
        clock = self._next_by_clock(now.replace(tzinfo=None))
        if clock is None:
            return None
        following = _in_zone(clock, self.zone)
        is_ambiguous = _is_ambiguous(clock, self.zone)
        if not is_ambiguous and not _is_ambiguous(now.replace(tzinfo=None), self.zone):
            return following
        is_same_offset = following.utcoffset() == now.utcoffset()
        if self.is_interval:
            earlier = following if is_same_offset else _earlier(following, now, self.zone)
            # Only while the hour comes twice: what is due later that day must not come an hour early.
            return earlier if _is_ambiguous(earlier.replace(tzinfo=None), self.zone) else following
        if not is_ambiguous:
            return following
        if not is_same_offset:
            return _earlier(following, now, self.zone)
        # We are in the second of the two hours, so it has run in the first.
        while clock is not None and _is_ambiguous(clock, self.zone):
            clock = self._next_by_clock(clock)
        return None if clock is None else _in_zone(clock, self.zone)

    def _next_by_clock(self, clock: datetime) -> datetime | None:
        """Return the next match after a time on the wall clock, as if clocks were never changed."""
        start = clock.replace(microsecond=0) + timedelta(seconds=1)
        for year in range(start.year, min(start.year + _MAX_YEARS, date.max.year) + 1):
            for month in self.months:
                if (year, month) < (start.year, start.month):
                    continue
                for day in self._days_of(year, month):
                    found = self._time_on(date(year, month, day), start)
                    if found is not None:
                        return found
        return None

    def _days_of(self, year: int, month: int) -> Sequence[int]:
        first_weekday, length = monthrange(year, month)  # Monday is 0
        return [
            day for day in self.days if day <= length and (first_weekday + day) % 7 in self.weekdays
        ]  # the first of the month is day 1, so that the sum counts from Sunday

    def _time_on(self, day: date, start: datetime) -> datetime | None:
        if day < start.date():
            return None
        if day > start.date():
            return datetime.combine(day, time(self.hours[0], self.minutes[0], self.seconds[0]))
        for hour in _from(self.hours, start.hour):
            is_first_hour = hour == start.hour
            for minute in _from(self.minutes, start.minute if is_first_hour else 0):
                for second in _from(self.seconds, start.second if is_first_hour and minute == start.minute else 0):
                    return datetime.combine(day, time(hour, minute, second))
        return None


def parse_schedule(text: str, zone: tzinfo = timezone.utc) -> Schedule:
    """Return the schedule that a text stands for.

    Args:
        text: an NCRONTAB expression of five or six fields, or a time span ``hh:mm:ss``.
        zone: whose clock counts.

    Raises:
        ScheduleError: it is neither; the message says what is wrong with it.
    """
    fields = text.split()
    if len(fields) not in (5, 6):
        return _parse_span(text, zone)
    seconds, minutes, hours, days, months, weekdays = (
        _parse_field(*pair) for pair in zip(("0", *fields)[-6:], _FIELDS, strict=True)
    )
    return CronSchedule(text.strip(), seconds, minutes, hours, days, months, weekdays, zone)


def zone_of(settings_name: str, name: str | None) -> tzinfo:
    """Return a time zone by its name, UTC for none.

    Args:
        settings_name: the setting that has the name, for the message.
        name: an IANA name (``Europe/Rome``).

    Raises:
        ScheduleError: there is no such zone.
    """
    if not name or name.upper() in ("UTC", "GMT", "Z"):
        return timezone.utc
    try:
        return ZoneInfo(name.removeprefix(":"))
    except (OSError, ValueError, KeyError) as error:
        raise ScheduleError(
            f"{settings_name} is '{name}', which is no time zone of this machine. Use an IANA name as Europe/Rome; "
            "where the system has no list of zones, install the package tzdata."
        ) from error


# ---- clocks


def _offsets(clock: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    first, second = (clock.replace(tzinfo=zone, fold=fold).utcoffset() for fold in (0, 1))
    return first or timedelta(0), second or timedelta(0)


def _is_ambiguous(clock: datetime, zone: tzinfo) -> bool:
    first, second = _offsets(clock, zone)
    return first > second


def _in_zone(clock: datetime, zone: tzinfo) -> datetime:
    """Return the moment of a time on the clock; of one that comes twice the later, one that is skipped an hour on."""
    return (clock - min(_offsets(clock, zone))).replace(tzinfo=timezone.utc).astimezone(zone)


def _earlier(following: datetime, now: datetime, zone: tzinfo) -> datetime:
    """Return the moment at which the clock shows the time of ``following`` as it goes now, before it is set back."""
    back = (following.utcoffset() or timedelta(0)) - (now.utcoffset() or timedelta(0))
    return (following.astimezone(timezone.utc) + back).astimezone(zone)


# ---- fields


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()
    """Of the values from ``low`` on; any beginning of a name will do."""


_FIELDS = (
    _Field("second", 0, 59),
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of the month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of the week", 0, 6, _WEEKDAYS),
)


def _parse_field(text: str, field: _Field) -> tuple[int, ...]:
    values: set[int] = set()
    for part in text.split(","):
        values.update(_parse_part(part, field))
    return tuple(sorted(values))


def _parse_part(text: str, field: _Field) -> range:
    body, slash, step_text = text.partition("/")
    if slash and not re.fullmatch(r"\d+", step_text):
        raise ScheduleError(f"'{text}' is no {field.name}: what follows the slash must be a number.")
    step = max(int(step_text), 1) if slash else 1
    if body == "*":
        return range(field.low, field.high + 1, step)
    first, dash, last = body.partition("-")
    if dash:
        low, high = sorted((_parse_value(first, field), _parse_value(last, field)))
    else:
        low = _parse_value(body, field)
        high = field.high if slash else low
    return range(low, high + 1, step)


def _parse_value(text: str, field: _Field) -> int:
    if re.fullmatch(r"\d+", text):
        value = int(text)
        if field.low <= value <= field.high:
            return value
    elif text:
        for index, name in enumerate(field.names):
            if name.startswith(text.lower()):
                return field.low + index
    raise ScheduleError(
        f"'{text}' is no {field.name}: it must be from {field.low} to {field.high}"
        + (f", or a name as {field.names[0][:3].upper()}." if field.names else ".")
    )


def _parse_span(text: str, zone: tzinfo) -> IntervalSchedule:
    try:
        seconds = time_span(text)
    except ValueError:
        seconds = 0
    if seconds <= 0:
        raise ScheduleError(
            f"The schedule expression '{text}' was not recognized as a valid cron expression or timespan string. "
            'Write six fields, as "0 */5 * * * *", or a time span, as "00:05:00".'
        )
    return IntervalSchedule(timedelta(seconds=seconds), zone)


def _from(values: tuple[int, ...], least: int) -> tuple[int, ...]:
    return values[bisect_left(values, least) :]


def _has_neighbours(values: tuple[int, ...]) -> bool:
    return any(second - first == 1 for first, second in pairwise(values))
