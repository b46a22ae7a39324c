"""The declared schedule and the one in the database."""

import pytest
from celery import current_app
from django_celery_beat.models import IntervalSchedule, PeriodicTask

from app.config.schedule import SCHEDULE
from app.engine.schedules.scheduler import DECLARED, Scheduler


@pytest.mark.django_db(transaction=True)
def test_what_is_declared_no_longer_stops_and_what_an_operator_made_goes_on() -> None:
    minute = IntervalSchedule.objects.create(every=1, period=IntervalSchedule.MINUTES)
    PeriodicTask.objects.create(name="last year's", task="engine.debug_task", interval=minute, description=DECLARED)
    PeriodicTask.objects.create(name="an operator's", task="engine.debug_task", interval=minute)

    Scheduler(app=current_app)

    assert set(PeriodicTask.objects.values_list("name", flat=True)) == {"an operator's", *SCHEDULE}


@pytest.mark.django_db(transaction=True)
def test_what_an_operator_has_switched_off_stays_off_when_beat_starts_again() -> None:
    Scheduler(app=current_app)
    PeriodicTask.objects.filter(name="payments.resume_unfinished").update(enabled=False)

    Scheduler(app=current_app)

    assert not PeriodicTask.objects.get(name="payments.resume_unfinished").enabled


@pytest.mark.django_db(transaction=True)
def test_starting_again_duplicates_nothing() -> None:
    for _ in range(2):
        Scheduler(app=current_app)

    assert PeriodicTask.objects.count() == len(SCHEDULE)
