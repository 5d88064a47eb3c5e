"""PURE: what is remembered of a timer between two runs of the host, and what follows from it at the start.

The status is the original's blob, so that a host of either kind goes on where the other one stopped.

Source: Azure WebJobs SDK extensions, TimerListener and ScheduleMonitor.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from taskhub.host.bindings import BindingError
from taskhub.host.triggers.schedules import CronSchedule, IntervalSchedule, ScheduleError, parse_schedule

if TYPE_CHECKING:
    from datetime import tzinfo

    from taskhub.host.functions import Binding
    from taskhub.host.triggers.schedules import Schedule

_MINUTE = timedelta(minutes=1)
_NEVER = "0001-01-01T00:00:00"
"""What .NET writes for a time that is not known."""
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,7}))?(Z|[+-]\d\d:\d\d)?")


@dataclass(frozen=True, slots=True)
class TimerBinding:
    """What a timer trigger asks for."""

    schedule: Schedule
    run_on_startup: bool
    use_monitor: bool
    """Whether its status is kept, so that a time that was missed is made up for."""

    def is_monitored(self, now: datetime) -> bool:
        """Return whether its status is kept: never of schedules that come more than once a minute."""
        if not self.use_monitor:
            return False
        if isinstance(self.schedule, IntervalSchedule):
            return self.schedule.span >= _MINUTE
        first = self.schedule.next_after(now)
        second = None if first is None else self.schedule.next_after(first)
        return second is None or second > now + _MINUTE


@dataclass(frozen=True, slots=True)
class TimerStatus:
    """When a timer ran and when it is due."""

    last: datetime | None
    """``None``: not since the schedule is what it is."""
    next: datetime | None
    """``None``: never."""
    updated: datetime


@dataclass(frozen=True, slots=True)
class TimerStart:
    """How a timer begins."""

    status: TimerStatus
    is_new: bool
    """Whether the status is other than what was stored."""
    is_past_due: bool
    """Whether a time was missed."""


def timer_of(binding: Binding, zone: tzinfo) -> TimerBinding:
    """Return what a timer trigger asks for.

    Raises:
        BindingError: the schedule is none, or a switch is neither true nor false.
    """
    text = binding.properties.get("schedule")
    if not isinstance(text, str) or not text.strip():
        raise BindingError('a timerTrigger needs a schedule, as "0 */5 * * * *".')
    try:
        schedule = parse_schedule(text, zone)
    except ScheduleError as error:
        raise BindingError(str(error)) from error
    return TimerBinding(
        schedule,
        run_on_startup=_switch(binding, "runOnStartup", default=False),
        use_monitor=_switch(binding, "useMonitor", default=True),
    )


def _switch(binding: Binding, name: str, *, default: bool) -> bool:
    value = binding.properties.get(name.lower())
    if value is None:
        return default
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if not isinstance(value, bool):
        raise BindingError(f"{name} is {value!r}; it must be true or false.")
    return value


def begin(schedule: Schedule, stored: TimerStatus | None, now: datetime) -> TimerStart:
    """Decide how a timer begins, from the status that was stored, if any.

    A schedule that was edited is taken up from now on: the edit itself makes nothing past due.
    """
    if stored is None:
        return TimerStart(TimerStatus(None, schedule.next_after(now), now), is_new=True, is_past_due=False)
    base = stored.last or stored.updated
    expected = schedule.next_after(base)
    if expected == stored.next:
        return TimerStart(stored, is_new=False, is_past_due=_is_over(stored.next, now))
    if _is_over(expected, now):
        base, expected = now, schedule.next_after(now)
    return TimerStart(TimerStatus(None, expected, base), is_new=True, is_past_due=_is_over(expected, now))


def after_run(schedule: Schedule, status: TimerStatus, began: datetime, *, is_scheduled: bool) -> TimerStatus:
    """Return the status after a run.

    Args:
        schedule: of the timer.
        status: before the run.
        began: when it began.
        is_scheduled: false for a run at the start of the host.
    """
    # A clock that is a little behind must not let the same time come twice.
    if is_scheduled and status.next is not None and status.next > began:
        began = status.next
    return TimerStatus(began, schedule.next_after(began), began)


def _is_over(moment: datetime | None, now: datetime) -> bool:
    return moment is not None and now > moment


# ---- texts


def encode_status(status: TimerStatus, zone: tzinfo) -> str:
    """Return the text to store."""
    return json.dumps(_status_values(status, zone), separators=(",", ":"))


def decode_status(text: str) -> TimerStatus | None:
    """Return a stored status; ``None`` when it makes no sense, which is as good as none."""
    try:
        values = json.loads(text)
        last, following = _moment(values["Last"]), _moment(values["Next"])
        updated = _moment(values["LastUpdated"]) or last
        return None if updated is None else TimerStatus(last, following, updated)
    except (ValueError, KeyError, TypeError):
        return None


def trigger_text(timer: TimerBinding, status: TimerStatus | None, zone: tzinfo, *, is_past_due: bool) -> str:
    """Return the JSON that a timer function receives.

    Args:
        timer: of the function.
        status: ``None`` when it is not kept.
        zone: in which times are written.
        is_past_due: whether it runs because a time was missed.
    """
    value: dict[str, Any] = {
        "Schedule": {"AdjustForDST": isinstance(timer.schedule, CronSchedule)},
        "ScheduleStatus": None if status is None else _status_values(status, zone),
        "IsPastDue": is_past_due,
    }
    return json.dumps(value, separators=(",", ":"))


def _status_values(status: TimerStatus, zone: tzinfo) -> dict[str, str]:
    return {
        "Last": _text(status.last, zone),
        "Next": _text(status.next, zone),
        "LastUpdated": _text(status.updated, zone),
    }


def _text(moment: datetime | None, zone: tzinfo) -> str:
    return _NEVER if moment is None else moment.astimezone(zone).isoformat()


def _moment(text: object) -> datetime | None:
    found = _MOMENT.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(text)
    seconds, fraction, offset = found.groups()
    if seconds == _NEVER:
        return None
    offset = "+00:00" if offset in (None, "Z") else offset
    # .NET writes seven digits, one more than fit.
    return datetime.fromisoformat(f"{seconds}.{(fraction or '0')[:6].ljust(6, '0')}{offset}")
