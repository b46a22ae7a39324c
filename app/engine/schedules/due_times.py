"""When an entry is due: exact moments, computed from its schedule and never from the moment at which a beat woke. Pure.

A crontab names times on the wall clock of its time zone. On the days on which that clock is changed:

- A time that the clock leaps over is due as long after midnight as ever: 02:30 becomes 03:30 summer time, once.
- A time that exists twice is due once, the first time.
- A crontab that is due in every hour does not pause for the hour that exists twice: it is due in both.

So a job of every quarter of an hour is due every quarter of an hour, and a daily one once a day, on these days, too.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import takewhile
from typing import Any, Protocol

from app.engine.schedules.missed import MOST_AT_ONCE, Pending

#: 29 February on one weekday comes back after 40 years at the latest. What is never due until then is never due.
LONGEST_SEARCH_DAYS = 41 * 366
SHORTEST_INTERVAL = timedelta(seconds=1)
LONGEST_INTERVAL = timedelta(days=LONGEST_SEARCH_DAYS)
HOURS_A_DAY = 24


class DueTimes(Protocol):
    @property
    def pattern(self) -> str:
        """The same text for the same due times: how an edit is noticed."""

    def following(self, moment: datetime) -> datetime | None:
        """The first due time after ``moment``; ``None`` if there is none."""

    def pending(self, moment: datetime, until: datetime) -> Pending:
        """The due times after ``moment`` and not after ``until``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """Every so often, counted from ``start`` or, without one, from the due time before."""

    every: timedelta
    start: datetime | None = None

    def __post_init__(self) -> None:
        if not SHORTEST_INTERVAL <= self.every <= LONGEST_INTERVAL:
            raise ValueError(f"expected an interval from a second to 41 years, got {self.every.total_seconds():g} s")

    @property
    def pattern(self) -> str:
        return f"every {self.every.total_seconds():g} s" + (f" from {self.start.astimezone(UTC).isoformat()}" if self.start else "")

    def following(self, moment: datetime) -> datetime:
        start = self.start or moment
        if moment < start:
            return start
        return start + ((moment - start) // self.every + 1) * self.every

    def pending(self, moment: datetime, until: datetime) -> Pending:
        first = self.following(moment)
        count = max((until - first) // self.every + 1, 0)
        kept = min(count, MOST_AT_ONCE)
        return Pending(count=count, latest=tuple(first + number * self.every for number in range(count - kept, count)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Clocked:
    """Once. A moment that has passed already when the entry is made is due at once, however long ago it was."""

    at: datetime

    @property
    def pattern(self) -> str:
        return f"at {self.at.astimezone(UTC).isoformat()}"

    def following(self, moment: datetime) -> datetime | None:
        return self.at if self.at > moment else None

    def pending(self, moment: datetime, until: datetime) -> Pending:
        return Pending(count=1, latest=(self.at,)) if self.at <= until else Pending(count=0, latest=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Crontab:
    """Minutes of days, on the wall clock of a zone. Month, day of the month and day of the week must all fit, as Celery has it."""

    minutes: frozenset[int]
    hours: frozenset[int]
    days_of_month: frozenset[int]
    months: frozenset[int]
    days_of_week: frozenset[int]
    """Sunday is 0."""
    zone: tzinfo
    start: datetime | None = None

    @classmethod
    def of(cls, crontab: Any, zone: tzinfo, start: datetime | None = None) -> "Crontab":
        """The due times of Celery's crontab, whose parsing they share."""
        return cls(
            minutes=frozenset(crontab.minute),
            hours=frozenset(crontab.hour),
            days_of_month=frozenset(crontab.day_of_month),
            months=frozenset(crontab.month_of_year),
            days_of_week=frozenset(crontab.day_of_week),
            zone=zone,
            start=start,
        )

    @property
    def pattern(self) -> str:
        fields = (self.minutes, self.hours, self.days_of_month, self.months, self.days_of_week)
        text = " ".join(",".join(map(str, sorted(field))) for field in fields)
        return f"{text} {self.zone}" + (f" from {self.start.astimezone(UTC).isoformat()}" if self.start else "")

    def following(self, moment: datetime) -> datetime | None:
        return next(self._after(moment), None)

    def pending(self, moment: datetime, until: datetime) -> Pending:
        latest: deque[datetime] = deque(maxlen=MOST_AT_ONCE)
        count = 0
        for due in takewhile(lambda each: each <= until, self._after(moment)):
            latest.append(due)
            count += 1
        return Pending(count=count, latest=tuple(latest))

    def _after(self, moment: datetime) -> Iterator[datetime]:
        last = moment.astimezone(UTC)
        if self.start is not None:
            last = max(last, self.start.astimezone(UTC) - timedelta.resolution)
        # From the day before: what its clock leapt over may be due on this one.
        day = last.astimezone(self.zone).date() - timedelta(days=1)
        minutes = sorted(timedelta(hours=hour, minutes=minute) for hour in self.hours for minute in self.minutes)
        for _ in range(LONGEST_SEARCH_DAYS):
            if day.month in self.months and day.day in self.days_of_month and day.isoweekday() % 7 in self.days_of_week:
                for due in self._on(day, minutes):
                    if due > last:
                        last = due
                        yield due
            day += timedelta(days=1)

    def _on(self, day: date, minutes: list[timedelta]) -> list[datetime]:
        midnight = datetime(day.year, day.month, day.day, tzinfo=self.zone)
        begin = midnight.astimezone(UTC)
        if (midnight + timedelta(days=1)).astimezone(UTC) - begin == timedelta(days=1):
            return [begin + minute for minute in minutes]
        due = set()
        for minute in minutes:
            wall = midnight + minute  # Python's arithmetic within one zone is that of the clock on the wall
            first, second = (wall.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
            due.add(first)
            if second > first and len(self.hours) == HOURS_A_DAY:
                due.add(second)
        return sorted(due)
