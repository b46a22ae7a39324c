"""Can a declared entry be kept? Asked before anything starts; needs no database."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from celery import schedules
from django_celery_beat.clockedschedule import clocked
from kombu.utils.json import dumps

from app.engine.schedules.due_times import Interval
from app.engine.schedules.missed import Missed

WORDS = ("task", "schedule", "args", "kwargs", "options", "missed")
#: What django-celery-beat has columns for. It drops every other option without a word.
OPTIONS = ("queue", "exchange", "routing_key", "priority", "headers", "expire_seconds")


def problems_of(declared: dict[str, Any], *, task: Any) -> Iterator[str]:
    """What is wrong, in words; nothing if nothing is. ``task`` is ``None`` if there is no such task, which is another check's matter."""
    for word in sorted(declared.keys() - set(WORDS)):
        yield f"{word!r} is not one of {', '.join(WORDS)}"
    for option in sorted(declared.get("options", {}).keys() - set(OPTIONS)):
        yield f"the option {option!r} is not one of {', '.join(OPTIONS)}"
    if declared.get("missed", Missed.ONE) not in set(Missed):
        yield f"'missed' is {declared['missed']!r} and not one of {', '.join(Missed)}"
    if problem := schedule_problem(declared.get("schedule")):
        yield problem
    if problem := arguments_problem(declared.get("args", ()), declared.get("kwargs", {}), task):
        yield problem


def schedule_problem(declared: Any) -> str:
    """What is wrong with a schedule, or nothing."""
    # Celery's own reading stumbles over anything else.
    is_readable = isinstance(declared, int | float | timedelta | schedules.BaseSchedule)
    schedule = schedules.maybe_schedule(declared) if is_readable else None
    if isinstance(schedule, schedules.crontab):
        return ""
    if isinstance(schedule, clocked):
        return "a single moment is no schedule: publish the job with an eta"
    if not isinstance(schedule, schedules.schedule):
        return f"its schedule is {declared!r}, and neither a timedelta nor a crontab"
    if schedule.run_every.total_seconds() % 1:
        return f"its interval is {schedule.run_every.total_seconds():g} s, which the database cannot hold: it counts whole seconds"
    try:
        Interval(every=schedule.run_every)
    except ValueError as error:
        return str(error)
    return ""


def arguments_problem(args: Any, kwargs: Any, task: Any) -> str:
    """Why this task could not be published with these arguments, or nothing."""
    try:
        dumps([list(args), dict(kwargs)])
        if task is not None and task.typing:
            task.__header__(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 — whatever it is, the job could not be published
        return f"its arguments cannot be published: {error}"
    return ""
