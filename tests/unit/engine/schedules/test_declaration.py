"""What the code declares can be kept."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from celery import current_app
from celery.schedules import crontab
from django_celery_beat.clockedschedule import clocked
from django_celery_beat.tzcrontab import TzAwareCrontab

from app.engine.schedules.declaration import problems_of
from app.engine.schedules.missed import Missed

RIGHT: dict[str, Any] = {"task": "engine.debug_task", "schedule": timedelta(minutes=1)}


def problems(**changes: Any) -> list[str]:
    return list(problems_of(RIGHT | changes, task=current_app.tasks["engine.debug_task"]))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"schedule": 30},
        {"schedule": crontab(hour=2, minute=30)},
        {"schedule": TzAwareCrontab(hour=2, minute=30, tz=ZoneInfo("Europe/Berlin")), "missed": Missed.ALL},
        {"missed": "skip", "kwargs": {"seconds": 1}, "options": {"expire_seconds": 60}},
    ],
)
def test_what_the_guide_shows_is_right(changes: dict[str, Any]) -> None:
    assert problems(**changes) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"mised": "all"}, "'mised' is not one of task, schedule, args, kwargs, options, missed"),
        ({"relative": True}, "'relative' is not one of"),
        ({"options": {"countdown": 5}}, "the option 'countdown' is not one of queue, exchange"),
        ({"missed": "twice"}, "'missed' is 'twice' and not one of skip, one, all"),
        ({"schedule": None}, "its schedule is None, and neither a timedelta nor a crontab"),
        ({"schedule": timedelta(0)}, "expected an interval from a second to 41 years, got 0 s"),
        ({"schedule": 0.5}, "its interval is 0.5 s, which the database cannot hold"),
        ({"schedule": clocked(datetime(2026, 1, 1, tzinfo=UTC))}, "a single moment is no schedule"),
        ({"kwargs": {"sugar": 2}}, "its arguments cannot be published: .*sugar"),
        ({"args": [object()]}, "its arguments cannot be published: "),
    ],
)
def test_what_cannot_be_kept_is_told(changes: dict[str, Any], problem: str) -> None:
    (found,) = problems(**changes)

    assert re.match(problem, found), found
