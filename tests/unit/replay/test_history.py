"""Times, the clock, the log of events and the objects that show them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from azure.durable_functions._replay.context import parse_span
from azure.durable_functions._replay.history import Clock, EventLog, HistoryEvent, parse_timestamp

UTC = timezone.utc


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2024-03-05T10:00:00Z", datetime(2024, 3, 5, 10, tzinfo=UTC)),
        ("2024-03-05T10:00:00.1234567Z", datetime(2024, 3, 5, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2024-03-05T10:00:00.5Z", datetime(2024, 3, 5, 10, 0, 0, 500000, tzinfo=UTC)),
        ("2024-03-05T10:00:00", datetime(2024, 3, 5, 10, tzinfo=UTC)),
        ("2024-03-05 10:00", datetime(2024, 3, 5, 10, tzinfo=UTC)),
        ("2024-03-05T10:00:00+02:00", datetime(2024, 3, 5, 8, tzinfo=UTC)),
        ("2024-03-05T10:00:00.25-0130", datetime(2024, 3, 5, 11, 30, 0, 250000, tzinfo=UTC)),
    ],
)
def test_times_are_read_as_utc(text: str, time: datetime) -> None:
    assert parse_timestamp(text) == time
    assert parse_timestamp(text).utcoffset() == timedelta(0)


@pytest.mark.parametrize("text", ["", "yesterday", "2024-03-05", "2024-03-05T10:00:00ZZ"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Not an ISO 8601 time"):
        parse_timestamp(text)


@pytest.mark.parametrize(
    ("times", "now"),
    [
        (["2024-03-05T10:00:00Z", "2024-03-05T10:00:01Z"], "10:00:01"),
        (["2024-03-05T10:00:01Z", "2024-03-05T10:00:00Z"], "10:00:01"),
        (["2024-03-05T10:00:01Z", "2024-03-05T10:00:01.5Z"], "10:00:01.500000"),
        (["2024-03-05T10:00:01.5Z", "2024-03-05T10:00:01Z"], "10:00:01.500000"),
        (["2024-03-05T10:00:01.25Z", "2024-03-05T10:00:01.1234567Z"], "10:00:01.250000"),
        (["2024-03-05T10:00:00Z", "2024-03-05T13:00:00+02:00"], "11:00:00"),
        (["2024-03-05T10:00:00Z", "2024-03-05T11:00:00+02:00"], "10:00:00"),
    ],
)
def test_the_clock_never_moves_back(times: list[str], now: str) -> None:
    clock = Clock(times[0])
    for time in times[1:]:
        clock.move_to(time)

    assert clock.now.isoformat() == f"2024-03-05T{now}+00:00"


def test_a_clock_that_was_set_goes_on_from_there() -> None:
    clock = Clock("2024-03-05T10:00:00Z")
    clock.now = datetime(2024, 3, 5, 14, tzinfo=timezone(timedelta(hours=2)))

    clock.move_to("2024-03-05T11:59:59Z")
    assert clock.now == datetime(2024, 3, 5, 12, tzinfo=UTC)
    clock.move_to("2024-03-05T12:00:01Z")
    assert clock.now == datetime(2024, 3, 5, 12, 0, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ticks"),
    [("10:00:00Z", "10:00:00.0000000"), ("10:00:00.5Z", "10:00:00.5000000"), ("10:00:00.1234567Z", "10:00:00.1234567")],
)
def test_ticks_keep_all_seven_digits(text: str, ticks: str) -> None:
    assert Clock(f"2024-03-05T{text}").ticks_text == f"2024-03-05T{ticks}"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("6.00:00:00", timedelta(days=6)),
        ("00:00:00", timedelta(0)),
        ("-01:02:03", -timedelta(hours=1, minutes=2, seconds=3)),
        ("04:00:00.2500000", timedelta(hours=4, milliseconds=250)),
    ],
)
def test_spans_are_read(text: str, span: timedelta) -> None:
    assert parse_span(text) == span


@pytest.mark.parametrize("text", ["", "1:00:00", "01:00", "01:00:00.25"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(Exception, match="Format of TimeSpan failed attempted conversion to timedelta: "):
        parse_span(text)


def test_the_log_gives_events_back_as_they_came() -> None:
    events: list[dict[str, Any]] = [
        {"EventType": 12, "EventId": -1},
        {"EventType": 5, "Result": "1", "EventId": -1},
        {"EventType": 5, "Result": None, "EventId": -1},
    ]
    log = EventLog()
    for event in events:
        log.append(event)

    assert list(log) == events
    assert len(log) == 3


def test_an_event_shows_its_properties() -> None:
    event = HistoryEvent(5, 3, True, "2024-03-05T10:00:00.1234567Z", Result="7", TaskScheduledId=2)  # type: ignore[arg-type]

    assert (event.event_type, event.event_id, event.is_played) == (5, 3, True)
    assert event.timestamp == datetime(2024, 3, 5, 10, 0, 0, 123456, tzinfo=UTC)
    assert (event.Result, event.TaskScheduledId, event.Name) == ("7", 2, None)
    assert repr(event) == "<HistoryEvent TASK_COMPLETED #3 at 2024-03-05T10:00:00.1234567Z>"
    with pytest.raises(AttributeError):
        _ = event.Version
    assert not event.is_processed
    event.is_processed = True
    assert event.is_processed
