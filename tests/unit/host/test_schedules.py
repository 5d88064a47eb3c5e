"""Schedules of timers, by tables of known results and against a search that looks at every second or minute."""

from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskhub.host.triggers.schedules import CronSchedule, IntervalSchedule, ScheduleError, parse_schedule, zone_of

PACIFIC = ZoneInfo("America/Los_Angeles")
ROME = ZoneInfo("Europe/Rome")


def at(text, zone=timezone.utc):
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=zone)


# Results of NCrontab, which the original uses.
@pytest.mark.parametrize(
    ("expression", "after", "expected"),
    [
        # five fields: second 0
        ("* * * * *", "2003-01-01 00:00:00", "2003-01-01 00:01:00"),
        ("* * * * *", "2003-12-31 23:59:00", "2004-01-01 00:00:00"),
        ("* * * * *", "2003-02-28 23:59:00", "2003-03-01 00:00:00"),
        ("* * * * *", "2004-02-28 23:59:00", "2004-02-29 00:00:00"),
        (" 1 2 3 * *", "2003-01-04 00:00:00", "2003-02-03 02:01:00"),
        # seconds
        ("45 * * * * *", "2003-01-01 00:00:00", "2003-01-01 00:00:45"),
        ("45-47,48,49 * * * * *", "2003-01-01 00:00:46", "2003-01-01 00:00:47"),
        ("45-47,48,49 * * * * *", "2003-01-01 00:00:49", "2003-01-01 00:01:45"),
        ("2/5 * * * * *", "2003-01-01 00:00:52", "2003-01-01 00:00:57"),
        ("2/5 * * * * *", "2003-01-01 00:00:57", "2003-01-01 00:01:02"),
        ("* * * * * *", "2003-01-01 00:00:00.500", "2003-01-01 00:00:01"),
        ("* 0-1 10 * * *", "2021-02-24 09:50:35", "2021-02-24 10:00:00"),
        ("* * 10 * * *", "2021-02-24 09:50:35", "2021-02-24 10:00:00"),
        ("* 55 * * * *", "2021-02-24 09:50:35", "2021-02-24 09:55:00"),
        # minutes and hours
        ("3 45 * * * *", "2003-01-01 00:00:30", "2003-01-01 00:45:03"),
        ("9 2/5 * * * *", "2003-01-01 00:57:30", "2003-01-01 01:02:09"),
        ("* 3/4 * * *", "2003-12-20 10:00:00", "2003-12-20 11:00:00"),
        ("30 3 * * *", "2003-12-20 01:45:00", "2003-12-20 03:30:00"),
        ("40 14/1 * * *", "2000-01-01 14:40:00", "2000-01-01 15:40:00"),
        # days
        ("30 * 1 * *", "2003-01-07 00:00:00", "2003-02-01 00:30:00"),
        ("* * 30,31 * *", "2003-07-10 00:00:00", "2003-07-30 00:00:00"),
        ("* * * 3 *", "2002-02-28 23:59:59", "2002-03-01 00:00:00"),
        ("0 0 15,30,31 * *", "2000-01-31 00:00:00", "2000-02-15 00:00:00"),
        ("0 0 15,30,31 * *", "2000-02-15 00:00:00", "2000-03-15 00:00:00"),
        ("0 0 15,30,31 * *", "2000-04-30 00:00:00", "2000-05-15 00:00:00"),
        # months, by any beginning of their names
        ("10 * * 6 *", "2003-12-01 05:00:00", "2004-06-01 00:10:00"),
        ("10 * * February,April-Jun *", "2002-07-01 05:00:00", "2003-02-01 00:10:00"),
        (
            "20 * * january,FeB,Mar,april,May,JuNE,July,Augu,SEPT-October,Nov,DECEM *",
            "1988-03-11 14:23",
            "1988-03-11 15:20",
        ),
        ("* 2,4-8,15 * 6 *", "1988-03-11 14:23:00", "1988-06-01 02:00:00"),
        # weekdays: 0 is Sunday
        ("30 6 * * 0", "2003-06-26 10:00:00", "2003-06-29 06:30:00"),
        ("30 6 * * SUNDAY", "2003-06-26 10:00:00", "2003-06-29 06:30:00"),
        ("1 12 * * 2", "2003-06-24 12:01:00", "2003-07-01 12:01:00"),
        ("15 18 * * Mon", "2003-06-01 14:55:00", "2003-06-02 18:15:00"),
        ("0 59 11 * * 1-5", "2015-05-23 09:00:00", "2015-05-25 11:59:00"),
        # day of the month and day of the week must both match
        ("45 16 1 * Mon", "2003-01-01 12:00:00", "2003-09-01 16:45:00"),
        ("45 16 1 * Mon", "2003-09-01 23:45:00", "2003-12-01 16:45:00"),
        # leap years
        ("1 12 29 2 *", "2000-02-29 12:01:00", "2004-02-29 12:01:00"),
        ("0 0 29 Feb Mon", "2017-01-01 00:00:00", "2044-02-29 00:00:00"),
        ("0 0 29 2 *", "2096-03-01 00:00:00", "2104-02-29 00:00:00"),
        # a range that is written backwards counts as forwards
        ("0 0 22-2 * * *", "2003-01-01 01:00:00", "2003-01-01 02:00:00"),
        ("0 0 22-2 * * *", "2003-01-01 22:30:00", "2003-01-02 02:00:00"),
        # a step of 0 is one of 1
        ("*/0 * * * * *", "2003-01-01 00:00:00", "2003-01-01 00:00:01"),
    ],
)
def test_the_next_time_is_the_one_that_ncrontab_finds(expression, after, expected):
    assert parse_schedule(expression).next_after(at(after)) == at(expected)


def test_a_day_that_never_comes_is_not_looked_for_for_ever():
    assert parse_schedule("0 0 0 31 2 *").next_after(at("2001-01-01")) is None
    assert parse_schedule("* * * * * *").next_after(at("9999-12-31 23:59:58")) == at("9999-12-31 23:59:59")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not recognized as a valid cron expression or timespan string"),
        ("every hour", "not recognized"),
        ("* * * *", "not recognized"),
        ("* * * * * * *", "not recognized"),
        ("00:00:00", "not recognized"),
        ("25:00:00", "not recognized"),
        ("60 * * * * *", "'60' is no second: it must be from 0 to 59"),
        ("* 60 * * * *", "'60' is no minute"),
        ("* * 24 * * *", "'24' is no hour"),
        ("* * * 0 * *", "'0' is no day of the month: it must be from 1 to 31"),
        ("* * * 32 * *", "'32' is no day of the month"),
        ("* * * * 13 *", "'13' is no month: it must be from 1 to 12, or a name as JAN"),
        ("* * * * * 7", "'7' is no day of the week: it must be from 0 to 6, or a name as SUN"),
        ("* * * * Foo *", "'Foo' is no month"),
        ("* * * * * mon,bad,wed", "'bad' is no day of the week"),
        ("* 1,Z,3 * * * *", "'Z' is no minute"),
        ("* 1/Z * * * *", "what follows the slash must be a number"),
        ("* 3-l2 * * * *", "'l2' is no minute"),
        ("* 3- * * * *", "'' is no minute"),
        ("* ,3 * * * *", "'' is no minute"),
        ("* * * ? * *", "'?' is no day of the month"),
        ("* * * L * *", "'L' is no day of the month"),
        ("0 0 0 * * MON#2", "'MON#2' is no day of the week"),
        ("* -5 * * * *", "'' is no minute"),
    ],
)
def test_what_is_no_schedule_is_said(text, reason):
    with pytest.raises(ScheduleError) as caught:
        parse_schedule(text)

    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("00:00:15", timedelta(seconds=15)),
        ("01:00:00", timedelta(hours=1)),
        ("02:30", timedelta(hours=2, minutes=30)),
        ("1.12:00:00", timedelta(days=1, hours=12)),
        ("00:00:00.5", timedelta(seconds=0.5)),
    ],
)
def test_a_time_span_runs_that_long_after_the_last_time(text, span):
    schedule = parse_schedule(text)

    assert isinstance(schedule, IntervalSchedule)
    assert schedule.next_after(at("2015-05-22 09:45:00")) == at("2015-05-22 09:45:00") + span


# ---- changes of the clock


def occurrences(schedule, after, count):
    found, moment = [], at(after)
    for _ in range(count):
        moment = schedule.next_after(moment)
        found.append(moment.isoformat())
    return found


def test_a_schedule_follows_the_clock_of_its_zone():
    assert occurrences(parse_schedule("0 30 9 * * *", ROME), "2024-07-01T08:00:00+00:00", 1) == [
        "2024-07-02T09:30:00+02:00"
    ]


def test_a_time_that_is_skipped_comes_an_hour_later_by_the_clock():
    daily = parse_schedule("0 30 2 * * *", PACIFIC)

    assert occurrences(daily, "2018-03-10T00:00:00-08:00", 3) == [
        "2018-03-10T02:30:00-08:00",
        "2018-03-11T03:30:00-07:00",
        "2018-03-12T02:30:00-07:00",
    ]


def test_a_schedule_of_every_half_hour_knows_no_skipped_hour():
    half_hourly = parse_schedule("0 */30 * * * *", PACIFIC)

    assert occurrences(half_hourly, "2018-03-11T01:00:00-08:00", 3) == [
        "2018-03-11T01:30:00-08:00",
        "2018-03-11T03:00:00-07:00",
        "2018-03-11T03:30:00-07:00",
    ]


def test_in_the_hour_that_comes_twice_a_point_in_time_counts_once():
    daily = parse_schedule("0 30 1 * * *", PACIFIC)

    assert occurrences(daily, "2018-11-03T00:00:00-07:00", 3) == [
        "2018-11-03T01:30:00-07:00",
        "2018-11-04T01:30:00-07:00",
        "2018-11-05T01:30:00-08:00",
    ]
    assert occurrences(daily, "2018-11-04T01:29:00-08:00", 1) == ["2018-11-05T01:30:00-08:00"], "started in the second"


def test_in_the_hour_that_comes_twice_every_half_hour_goes_on():
    half_hourly = parse_schedule("0 */30 * * * *", PACIFIC)

    assert occurrences(half_hourly, "2018-11-04T00:30:00-07:00", 6) == [
        "2018-11-04T01:00:00-07:00",
        "2018-11-04T01:30:00-07:00",
        "2018-11-04T01:00:00-08:00",
        "2018-11-04T01:30:00-08:00",
        "2018-11-04T02:00:00-08:00",
        "2018-11-04T02:30:00-08:00",
    ]


def test_what_is_due_in_the_morning_does_not_come_early_when_clocks_were_set_back_in_the_night():
    office_hours = parse_schedule("0 0 9-17 * * *", PACIFIC)

    assert occurrences(office_hours, "2018-11-04T01:45:00-07:00", 1) == ["2018-11-04T09:00:00-08:00"]


def test_an_interval_is_a_span_of_time_whatever_the_clock_does():
    hourly = parse_schedule("01:00:00", PACIFIC)

    assert occurrences(hourly, "2018-11-04T01:30:00-07:00", 2) == [
        "2018-11-04T01:30:00-08:00",
        "2018-11-04T02:30:00-08:00",
    ]


@pytest.mark.parametrize("name", [None, "", "UTC"])
def test_without_a_zone_it_is_utc(name):
    assert zone_of("WEBSITE_TIME_ZONE", name) is timezone.utc


def test_zones_have_iana_names():
    assert zone_of("TZ", ":Europe/Rome") == ROME
    with pytest.raises(ScheduleError, match=r"WEBSITE_TIME_ZONE is 'W\. Europe Standard Time', which is no time zone"):
        zone_of("WEBSITE_TIME_ZONE", "W. Europe Standard Time")


# ---- every expression

FIELDS = [(0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6)]


@st.composite
def parts(draw, low, high):
    value = st.integers(low, high)
    kind = draw(st.sampled_from(["*", "*/", "a", "a-b", "a/", "a-b/"]))
    first, last, step = draw(value), draw(value), draw(st.integers(1, 20))
    return {
        "*": "*",
        "*/": f"*/{step}",
        "a": f"{first}",
        "a-b": f"{first}-{last}",
        "a/": f"{first}/{step}",
        "a-b/": f"{first}-{last}/{step}",
    }[kind]


expressions = st.tuples(
    *(st.lists(parts(low, high), min_size=1, max_size=3).map(",".join) for low, high in FIELDS)
).map(" ".join)
moments = st.datetimes(datetime(1999, 1, 1), datetime(2031, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=timezone.utc)
)


def matches(schedule: CronSchedule, moment):
    return (
        moment.second in schedule.seconds
        and moment.minute in schedule.minutes
        and moment.hour in schedule.hours
        and moment.day in schedule.days
        and moment.month in schedule.months
        and moment.isoweekday() % 7 in schedule.weekdays
    )


@given(expressions, moments)
@settings(max_examples=200, deadline=None)
def test_the_next_time_matches_and_nothing_before_it_does(expression, moment):
    schedule = parse_schedule(expression)

    found = schedule.next_after(moment)

    if found is None:
        assert set(schedule.days) <= {30, 31} or 29 in schedule.days
        return
    assert found > moment
    assert found.microsecond == 0
    assert matches(schedule, found)
    # No second of the ten minutes before, no midnight to last second of the days before that match.
    second = moment.replace(microsecond=0) + timedelta(seconds=1)
    for _ in range(600):
        if second >= found:
            return
        assert not matches(schedule, second)
        second += timedelta(seconds=1)
    minute = second.replace(second=schedule.seconds[0])
    for _ in range(5_000):
        minute += timedelta(minutes=1)
        if minute >= found:
            return
        assert not matches(schedule, minute)
    day = minute.replace(hour=schedule.hours[0], minute=schedule.minutes[0], second=schedule.seconds[0])
    while day + timedelta(days=1) < found:
        day += timedelta(days=1)
        assert not matches(schedule, day)


@given(expressions, st.sampled_from([PACIFIC, ROME]), moments)
@settings(max_examples=200, deadline=None)
def test_whatever_clocks_do_the_next_time_is_later(expression, zone, moment):
    schedule = parse_schedule(expression, zone)

    for _ in range(5):
        found = schedule.next_after(moment)
        if found is None:
            return
        assert found > moment
        moment = found
