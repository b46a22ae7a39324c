"""The entries of django-celery-beat as something that is due."""

from datetime import UTC, datetime, timedelta
from typing import Any

from celery.schedules import ParseException
from django_celery_beat.models import PeriodicTask

from app.engine.schedules.due_times import Clocked, Crontab, DueTimes, Interval
from app.engine.schedules.errors import NeverDue

WITH_SCHEDULES = ("interval", "crontab", "solar", "clocked")


def due_times_of(entry: Any) -> DueTimes:
    """When a ``PeriodicTask`` is due. Raises :class:`NeverDue`."""
    try:
        if entry.interval:
            return Interval(every=timedelta(**{entry.interval.period: entry.interval.every}), start=entry.start_time)
        if entry.crontab:
            return Crontab.of(entry.crontab.schedule, entry.crontab.timezone, entry.start_time)
        if entry.clocked:
            return Clocked(at=entry.clocked.clocked_time)
    except (ValueError, TypeError, OverflowError, ParseException) as error:
        raise NeverDue(f"The schedule of {entry.name!r} cannot be read: {error}") from error
    if entry.solar:
        raise NeverDue(f"{entry.name!r} follows the sun, which this beat does not. Give it a crontab.")
    raise NeverDue(f"{entry.name!r} has no schedule.")


def counted_from(entry: Any, pattern: str, *, changed_at: datetime | None) -> datetime:
    """The moment after which its due times are not decided yet.

    Of an entry that was edited or switched on again, that is when this happened: due times that it did not have then are not missed.
    """
    state = getattr(entry, "state", None)
    if state is None:
        begin: datetime = entry.last_run_at or entry.date_changed
    elif state.pattern == pattern and entry.last_run_at is not None:
        begin = entry.last_run_at
    else:
        begin = max(moment for moment in (entry.last_run_at, entry.date_changed, changed_at) if moment is not None)
    return begin.astimezone(UTC)


def enabled_entries() -> list[Any]:
    return list(PeriodicTask.objects.filter(enabled=True).select_related(*WITH_SCHEDULES, "state"))
