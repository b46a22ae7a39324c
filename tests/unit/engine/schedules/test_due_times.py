"""When an entry is due, also on the days on which the clock is changed."""

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from types import SimpleNamespace
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery.schedules import crontab
from hypothesis import given
from hypothesis import strategies as some

from app.engine.schedules.due_times import Clocked, Crontab, DueTimes, Interval
from app.engine.schedules.entries import due_times_of
from app.engine.schedules.errors import NeverDue
from app.engine.schedules.missed import MOST_AT_ONCE

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
ZONES = (
    "Europe/Berlin",
    "Australia/Lord_Howe",
    *(pytest.param(zone, marks=pytest.mark.long) for zone in ("America/New_York", "Asia/Kolkata", "UTC", "Africa/Cairo", "America/Havana")),
)
YEARS = range(2024, 2028)
#: Around the hours at which clocks are changed somewhere, and far from them.
TIMES = ((0, 0), (0, 30), (1, 0), (1, 45), (2, 0), (2, 15), (2, 30), (2, 59), (3, 0), (12, 0), (23, 59))


def at(zone: str, **fields: Any) -> Crontab:
    return Crontab.of(crontab(**fields), ZoneInfo(zone))


def due(times: DueTimes, begin: datetime, end: datetime) -> list[datetime]:
    found = [begin]
    while (following := times.following(found[-1])) is not None and following <= end:
        found.append(following)
    return found[1:]


def on(zone: str, day: date, **fields: Any) -> list[str]:
    """The due times of that day, as the clock on the wall shows them."""
    begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone))
    moments = due(at(zone, **fields), begin - timedelta(seconds=1), begin + timedelta(hours=26))
    walls = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
    return [wall.strftime("%H:%M%z") for wall in walls if wall.date() == day]


# -- daylight saving --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "day", "fields", "expected"),
    [
        ("Europe/Berlin", date(2026, 3, 29), {"hour": 2, "minute": 30}, ["03:30+0200"]),
        ("Europe/Berlin", date(2026, 3, 29), {"hour": "2,3", "minute": 30}, ["03:30+0200"]),
        ("Europe/Berlin", date(2026, 3, 29), {"hour": 2, "minute": "*/20"}, ["03:00+0200", "03:20+0200", "03:40+0200"]),
        ("America/New_York", date(2026, 3, 8), {"hour": 2, "minute": 30}, ["03:30-0400"]),
        ("Australia/Lord_Howe", date(2026, 10, 4), {"hour": 2, "minute": 15}, ["02:45+1100"]),
        ("Africa/Cairo", date(2026, 4, 24), {"hour": 0, "minute": 30}, ["01:30+0300"]),
    ],
)
def test_a_time_that_the_clock_leaps_over_is_due_once_and_later_by_the_leap(
    zone: str, day: date, fields: dict[str, Any], expected: list[str]
) -> None:
    assert on(zone, day, **fields) == expected


@pytest.mark.parametrize(
    ("zone", "day", "fields", "expected"),
    [
        ("Europe/Berlin", date(2026, 10, 25), {"hour": 2, "minute": 30}, ["02:30+0200"]),
        ("America/New_York", date(2026, 11, 1), {"hour": 1, "minute": "0,30"}, ["01:00-0400", "01:30-0400"]),
        ("Australia/Lord_Howe", date(2026, 4, 5), {"hour": 1, "minute": 45}, ["01:45+1100"]),
        ("America/Havana", date(2026, 11, 1), {"hour": 0, "minute": 0}, ["00:00-0400"]),
    ],
)
def test_a_time_that_exists_twice_is_due_the_first_time_only(zone: str, day: date, fields: dict[str, Any], expected: list[str]) -> None:
    assert on(zone, day, **fields) == expected


@pytest.mark.parametrize("zone", ZONES)
def test_a_daily_job_is_due_once_on_each_day_of_four_years_whatever_its_time(zone: str) -> None:
    for hour, minute in TIMES:
        moments = due(at(zone, hour=hour, minute=minute), datetime(2023, 12, 31, tzinfo=UTC), datetime(2028, 1, 2, tzinfo=UTC))
        walls = [moment.astimezone(ZoneInfo(zone)) for moment in moments]
        of_the_years = [wall for wall in walls if wall.year in YEARS]
        first, last = date(YEARS[0], 1, 1), date(YEARS[-1], 12, 31)

        assert [wall.date() for wall in of_the_years] == [first + timedelta(days=number) for number in range((last - first).days + 1)]
        assert all((wall.hour, wall.minute) == (hour, minute) or exists_not(wall, hour, minute) for wall in of_the_years)


def exists_not(wall: datetime, hour: int, minute: int) -> bool:
    """Whether the clock leapt over that time on the day of ``wall``."""
    wanted = wall.replace(hour=hour, minute=minute, fold=0)
    return wanted.astimezone(UTC).astimezone(wall.tzinfo).replace(tzinfo=None) != wanted.replace(tzinfo=None)


@pytest.mark.parametrize("zone", ZONES)
def test_a_job_of_every_quarter_of_an_hour_never_pauses_and_never_hurries(zone: str) -> None:
    moments = due(at(zone, minute="*/15"), datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC))

    assert {after - before for before, after in pairwise(moments)} == {timedelta(minutes=15)}


# -- Celery's crontabs -----------------------------------------------------------------------------------------------


def celery_s_next(schedule: Any, moment: datetime) -> datetime:
    last, step, _ = schedule.remaining_delta(moment, tz=UTC)
    following: datetime = last + step
    return following


_FIELD = {
    "minute": ("*", "*/7", "0", "5,35", "10-20/3"),
    "hour": ("*", "*/5", "0", "23", "8-17"),
    "day_of_week": ("*", "1-5", "sun", "0,3"),
    "day_of_month": ("*", "1", "31", "10-12", "29"),
    "month_of_year": ("*", "1,7", "2,12", "*/3"),
}


@given(
    fields=some.fixed_dictionaries({field: some.sampled_from(values) for field, values in _FIELD.items()}),
    moment=some.datetimes(min_value=datetime(2024, 1, 1), max_value=datetime(2028, 12, 31), timezones=some.just(UTC)),  # noqa: DTZ001 — hypothesis adds the zone
)
def test_where_no_clock_is_changed_a_crontab_is_due_when_celery_says(fields: dict[str, str], moment: datetime) -> None:
    moment = moment.replace(microsecond=0)

    assert at("UTC", **fields).following(moment) == celery_s_next(crontab(**fields), moment)


def test_the_rarest_day_is_found_and_one_that_never_comes_ends_the_search() -> None:
    rarest = at("UTC", minute=0, hour=0, day_of_month=29, month_of_year=2, day_of_week="mon")

    assert rarest.following(datetime(2085, 1, 1, tzinfo=UTC)) == datetime(2112, 2, 29, tzinfo=UTC)
    never = Crontab(
        minutes=frozenset({0}),
        hours=frozenset({0}),
        days_of_month=frozenset({31}),
        months=frozenset({2}),
        days_of_week=frozenset(range(7)),
        zone=UTC,
    )
    assert never.following(NOON) is None


def test_a_crontab_with_a_start_is_not_due_before_it_and_may_be_due_at_it() -> None:
    hourly = Crontab.of(crontab(minute=0), UTC, NOON + timedelta(hours=5))

    assert hourly.following(NOON) == NOON + timedelta(hours=5)


def test_what_was_missed_is_counted_to_the_end_and_kept_to_a_bound() -> None:
    month = at("Europe/Berlin", minute="*").pending(NOON, NOON + timedelta(days=30))

    assert month.count == 30 * 24 * 60
    assert len(month.latest) == MOST_AT_ONCE
    assert month.latest[-1] == NOON + timedelta(days=30)


# -- intervals and moments ----------------------------------------------------------------------------------------------


def test_an_interval_counts_from_the_due_time_before_so_that_it_never_drifts() -> None:
    assert due(Interval(every=timedelta(seconds=90)), NOON, NOON + timedelta(minutes=5)) == [
        NOON + timedelta(seconds=90 * number) for number in (1, 2, 3)
    ]


def test_an_interval_with_a_start_is_first_due_at_the_start_and_then_counts_from_it() -> None:
    daily = Interval(every=timedelta(days=1), start=NOON + timedelta(hours=1))

    assert due(daily, NOON, NOON + timedelta(days=2)) == [NOON + timedelta(hours=1), NOON + timedelta(hours=25)]
    assert daily.following(NOON + timedelta(days=400)) == NOON + timedelta(days=400, hours=1)


@given(every=some.integers(1, 5000), away=some.integers(0, 500_000))
def test_the_missed_due_times_of_an_interval_are_those_that_one_would_have_met_one_by_one(every: int, away: int) -> None:
    times = Interval(every=timedelta(seconds=every))
    pending = times.pending(NOON, NOON + timedelta(seconds=away))

    assert pending.count == away // every
    assert list(pending.latest) == [
        NOON + timedelta(seconds=every * number) for number in range(max(pending.count - MOST_AT_ONCE, 0) + 1, pending.count + 1)
    ]


@pytest.mark.parametrize("every", [timedelta(0), timedelta(milliseconds=500), timedelta(days=-1), timedelta(days=200_000)])
def test_an_interval_that_nobody_could_keep_is_refused(every: timedelta) -> None:
    with pytest.raises(ValueError, match="expected an interval from a second to 41 years"):
        Interval(every=every)


def test_a_moment_is_due_once_also_when_it_was_over_before_its_entry_was_made() -> None:
    moment = Clocked(at=NOON)

    assert moment.pending(NOON + timedelta(hours=1), NOON + timedelta(hours=2)).latest == (NOON,)
    assert moment.pending(NOON - timedelta(hours=2), NOON - timedelta(hours=1)).count == 0
    assert moment.following(NOON) is None


# -- what an entry says ---------------------------------------------------------------------------------------------------


def entry(**schedule: Any) -> Any:
    return SimpleNamespace(
        **{"name": "tea", "interval": None, "crontab": None, "clocked": None, "solar": None, "start_time": None} | schedule
    )


@pytest.mark.parametrize(
    ("schedule", "reason"),
    [
        ({"interval": SimpleNamespace(every=0, period="seconds")}, "cannot be read: expected an interval from a second"),
        ({"interval": SimpleNamespace(every=1, period="fortnights")}, "cannot be read: "),
        ({"interval": SimpleNamespace(every=2_000_000_000, period="days")}, "cannot be read: "),
        ({"solar": object()}, "follows the sun, which this beat does not. Give it a crontab."),
        ({}, "has no schedule."),
    ],
)
def test_an_entry_that_cannot_be_read_says_why(schedule: dict[str, Any], reason: str) -> None:
    with pytest.raises(NeverDue, match=reason):
        due_times_of(entry(**schedule))
