"""How a timer begins, what is stored of it, and what its function receives."""

import json
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import azure.functions as func
import pytest
from azure.functions.meta import Datum

from taskhub.host.bindings import BindingError, read_bindings
from taskhub.host.triggers.schedules import parse_schedule
from taskhub.host.triggers.timer_status import (
    TimerStatus,
    after_run,
    begin,
    decode_status,
    encode_status,
    timer_of,
    trigger_text,
)

UTC = timezone.utc
HOURLY = parse_schedule("0 0 * * * *")


def at(hour, minute=0, second=0, day=1):
    return datetime(2026, 1, day, hour, minute, second, tzinfo=UTC)


def timer(**properties):
    (binding,) = read_bindings([{"name": "t", "type": "timerTrigger", **properties}])
    return timer_of(binding, UTC)


@pytest.mark.parametrize(
    ("stored", "now", "expected", "is_new", "is_past_due"),
    [
        # nothing stored: due next time, never past due
        (None, at(10, 30), TimerStatus(None, at(11), at(10, 30)), True, False),
        # stored and in time
        (TimerStatus(at(10), at(11), at(10)), at(10, 30), TimerStatus(at(10), at(11), at(10)), False, False),
        # at the very time it is not past due yet
        (TimerStatus(at(10), at(11), at(10)), at(11), TimerStatus(at(10), at(11), at(10)), False, False),
        # missed
        (TimerStatus(at(10), at(11), at(10)), at(13, 5), TimerStatus(at(10), at(11), at(10)), False, True),
        # missed before it ever ran: counted from when it was noted
        (TimerStatus(None, at(11), at(10, 30)), at(13), TimerStatus(None, at(11), at(10, 30)), False, True),
        # the schedule was edited, and by the new one it is due in the future
        (TimerStatus(at(10), at(10, 5), at(10)), at(10, 30), TimerStatus(None, at(11), at(10)), True, False),
        # edited, and by the new one it was due in the past: from now on, not past due
        (TimerStatus(at(7), at(7, 5), at(7)), at(10, 30), TimerStatus(None, at(11), at(10, 30)), True, False),
    ],
)
def test_a_timer_begins_where_it_stopped(stored, now, expected, is_new, is_past_due):
    start = begin(HOURLY, stored, now)

    assert (start.status, start.is_new, start.is_past_due) == (expected, is_new, is_past_due)


def test_after_a_run_the_next_time_counts_from_its_beginning():
    status = TimerStatus(at(10), at(11), at(10))

    assert after_run(HOURLY, status, at(11, 0, 1), is_scheduled=True) == TimerStatus(at(11, 0, 1), at(12), at(11, 0, 1))


def test_a_clock_that_is_behind_does_not_make_a_time_come_twice():
    status = TimerStatus(at(10), at(11), at(10))
    early = at(11) - timedelta(milliseconds=200)

    assert after_run(HOURLY, status, early, is_scheduled=True).next == at(12)
    assert after_run(HOURLY, status, early, is_scheduled=False).next == at(11), "a run at the start is another thing"


@pytest.mark.parametrize(
    ("schedule", "is_monitored"),
    [
        ("*/15 * * * * *", False),
        ("0,59 * * * * *", False),
        ("0 * * * * *", True),
        ("0 0 * * * *", True),
        ("00:00:59", False),
        ("00:01:00", True),
    ],
)
def test_what_comes_more_than_once_a_minute_is_not_monitored(schedule, is_monitored):
    assert timer(schedule=schedule).is_monitored(at(10, 0, 30)) is is_monitored
    assert timer(schedule=schedule, useMonitor=False).is_monitored(at(10, 0, 30)) is False


def test_the_stored_text_is_the_original_s():
    rome = ZoneInfo("Europe/Rome")
    status = TimerStatus(None, at(11), at(10, 30))

    text = encode_status(status, rome)

    assert json.loads(text) == {
        "Last": "0001-01-01T00:00:00",
        "Next": "2026-01-01T12:00:00+01:00",
        "LastUpdated": "2026-01-01T11:30:00+01:00",
    }
    assert decode_status(text) == status


def test_what_dotnet_wrote_is_read():
    text = (
        '{"Last":"2026-01-01T10:00:00.1234567-07:00","Next":"2026-01-01T18:00:00Z",'
        '"LastUpdated":"2026-01-01T10:00:00.1234567-07:00"}'
    )

    status = decode_status(text)

    assert status.last == datetime(2026, 1, 1, 17, 0, 0, 123456, tzinfo=UTC)
    assert status.next == at(18)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        '{"Last": 1, "Next": 2, "LastUpdated": 3}',
        '{"Last": "x", "Next": "y", "LastUpdated": "z"}',
        '{"Last": "0001-01-01T00:00:00", "Next": "2026-01-01T18:00:00Z", "LastUpdated": "0001-01-01T00:00:00"}',
    ],
)
def test_a_text_that_makes_no_sense_is_as_good_as_none(text):
    assert decode_status(text) is None


def test_the_library_reads_what_a_function_receives():
    converter = func.get_binding_registry().get("timerTrigger")
    status = TimerStatus(at(10), at(11), at(10))

    def received(*arguments, **keywords):
        return converter.decode(Datum(trigger_text(*arguments, **keywords), "json"), trigger_metadata={})

    late = received(timer(schedule="0 0 * * * *"), status, UTC, is_past_due=True)
    plain = received(timer(schedule="00:00:10"), None, UTC, is_past_due=False)

    assert (late.past_due, late.schedule) == (True, {"AdjustForDST": True})
    assert late.schedule_status["Next"] == "2026-01-01T11:00:00+00:00"
    assert (plain.past_due, plain.schedule, plain.schedule_status) == (False, {"AdjustForDST": False}, {})


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        ({}, "a timerTrigger needs a schedule"),
        ({"schedule": "  "}, "a timerTrigger needs a schedule"),
        ({"schedule": "often"}, "not recognized as a valid cron expression"),
        ({"schedule": "0 0 0 * * 7"}, "'7' is no day of the week"),
        ({"schedule": "0 0 0 * * 1", "runOnStartup": "maybe"}, "runOnStartup is 'maybe'; it must be true or false"),
        ({"schedule": "0 0 0 * * 1", "useMonitor": 1}, "useMonitor is 1"),
    ],
)
def test_what_is_wrong_with_a_timer_is_said(properties, reason):
    with pytest.raises(BindingError, match=reason.replace("?", r"\?")):
        timer(**properties)


def test_switches_may_be_texts_as_decorators_write_them():
    given = timer(schedule="0 0 0 * * 1", runOnStartup="True", useMonitor="false")

    assert (given.run_on_startup, given.use_monitor) == (True, False)
