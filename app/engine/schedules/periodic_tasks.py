"""Entries that code, a person or a program makes while the system runs. What the code declares is not theirs to change."""

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from celery import current_app
from celery.schedules import ParseException, crontab
from django.db import transaction
from django_celery_beat.models import CrontabSchedule, PeriodicTask
from django_celery_beat.tzcrontab import TzAwareCrontab

from app.engine.schedules.declaration import arguments_problem, schedule_problem
from app.engine.schedules.declared import DECLARED
from app.engine.schedules.errors import NoSuchSchedule, ScheduleDeclared, ScheduleRefused
from app.engine.schedules.missed import Missed
from app.engine.schedules.writing import Change, write_entry
from app.engine.task_names import suggestion

LONGEST_NAME = 200
#: As a person types it and an address carries it.
_NAME = re.compile(rf"\w[\w .:@+-]{{0,{LONGEST_NAME - 1}}}", re.ASCII)
#: In the order in which a crontab is written.
CRONTAB_FIELDS = ("minute", "hour", "day_of_month", "month_of_year", "day_of_week")


def create_periodic_task(
    name: str,
    task: str,
    schedule: timedelta | crontab,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    missed: Missed = Missed.ONE,
    enabled: bool | None = None,
) -> Change:
    """Have beat send ``task`` on this schedule from now on. Asked twice, the entry of that name is updated, never doubled.

    An entry that says this already is left alone, so that its due times go on. ``enabled=None`` leaves an entry on or off as it is;
    a new one is on. It stays when declared schedules are installed. Raises :class:`ScheduleRefused`, which names every problem, and
    Django's database errors.
    """
    fields = {"task": task, "schedule": schedule, "args": list(args), "kwargs": dict(kwargs or {})}
    if problems := tuple(_problems(name, fields)):
        raise ScheduleRefused(name, problems)
    # A moment that was to come once is a schedule from now on.
    columns: dict[str, Any] = {"one_off": False} | ({} if enabled is None else {"enabled": enabled})
    with transaction.atomic():
        _refuse_declared(name)
        return write_entry(name, fields, missed, **columns)


def switch(name: str, *, is_on: bool) -> bool:
    """Switch an entry on or off, a declared one, too. Returns whether it was the other way. Raises :class:`NoSuchSchedule`."""
    with transaction.atomic():
        entry = _locked(name)
        if entry.enabled is is_on:
            return False
        entry.enabled = is_on
        # ``save`` and not ``update``: it tells beat, and an entry that is off has no last run.
        entry.save()
    return True


def remove(name: str) -> None:
    """Delete an entry. Raises :class:`NoSuchSchedule`, and :class:`ScheduleRefused` for a declared one, which would come back."""
    with transaction.atomic():
        entry = _locked(name)
        _refuse_declared(name)
        entry.delete()


def read_crontab(text: str, zone: str = "UTC") -> TzAwareCrontab:
    """A crontab of five fields, such as ``0 8 * * mon-fri``, on the clock of a time zone. Raises :class:`ScheduleRefused`."""
    fields = text.split()
    if len(fields) != len(CRONTAB_FIELDS):
        expected = "expected five fields, minute, hour, day of month, month, day of week, such as '0 8 * * mon-fri'"
        raise ScheduleRefused(text, (("crontab", f"{expected}; got {len(fields)}"),))
    if zone not in available_timezones():
        raise ScheduleRefused(text, (("timezone", f"{zone!r:.60} is no time zone; expected a name such as Europe/Berlin"),))
    named = dict(zip(CRONTAB_FIELDS, fields, strict=True))
    for field, value in named.items():
        longest = CrontabSchedule._meta.get_field(field).max_length  # noqa: SLF001 — Django's documented way to a model's fields
        if len(value) > longest:
            raise ScheduleRefused(text[:40], (("crontab", f"{field} has {len(value)} characters, and at most {longest} are kept"),))
    try:
        return TzAwareCrontab(**named, tz=ZoneInfo(zone) if zone != "UTC" else UTC)
    except (ParseException, ValueError, TypeError, ZeroDivisionError, OverflowError) as error:
        raise ScheduleRefused(text, (("crontab", f"{text!r} cannot be read: {error}"),)) from error


def _problems(name: str, fields: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if not _NAME.fullmatch(name):
        yield "name", f"the name must have 1 to {LONGEST_NAME} letters, digits, spaces or any of _.:@+- and begin with a letter or digit"
    task = current_app.tasks.get(fields["task"]) if isinstance(fields["task"], str) else None
    if task is None:
        yield (
            "task",
            f"no task is called {fields['task']!r:.210}.{suggestion(str(fields['task'])[:LONGEST_NAME], current_app.tasks)}".rstrip("."),
        )
    if problem := schedule_problem(fields["schedule"]):
        yield "schedule", problem
    if problem := arguments_problem(fields["args"], fields["kwargs"], task):
        yield "kwargs", problem


def _refuse_declared(name: str) -> None:
    is_declared = name in (current_app.conf.beat_schedule or {}) or PeriodicTask.objects.filter(name=name, description=DECLARED).exists()
    if is_declared:
        reason = "it is declared in app/config/schedule.py: change it there, or take another name; it can only be switched on and off here"
        raise ScheduleDeclared(name, (("name", reason),))


def _locked(name: str) -> Any:
    entry = PeriodicTask.objects.select_for_update().filter(name=name).first()
    if entry is None:
        raise NoSuchSchedule(f"There is no schedule {name!r:.210}: python -m app.manage schedule lists them.")
    return entry
