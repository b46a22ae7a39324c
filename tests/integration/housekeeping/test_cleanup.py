"""What nobody needs goes, in bounded batches; what somebody needs stays."""

from datetime import timedelta
from typing import Any

import pytest
from celery.schedules import crontab
from django.contrib.auth import get_user_model
from django.contrib.sessions.models import Session
from django.utils import timezone
from django_celery_beat.models import ClockedSchedule, PeriodicTask

from app.config.schedule import SCHEDULE
from app.workload.housekeeping import services
from app.workload.housekeeping.errors import DaysImpossible
from app.workload.mailings.models import Mail
from app.workload.notifications.models import Notification

pytestmark = pytest.mark.django_db


def make_sessions(expired: int, live: int) -> None:
    now = timezone.now()
    moments = [now - timedelta(hours=number + 1) for number in range(expired)] + [now + timedelta(hours=1)] * live
    Session.objects.bulk_create(
        Session(session_key=f"{number:032}", session_data="x", expire_date=moment) for number, moment in enumerate(moments)
    )


def test_expired_sessions_go_and_live_ones_stay() -> None:
    make_sessions(expired=7, live=2)
    assert services.cleanup_expired_sessions() == 7
    assert Session.objects.count() == 2


def test_a_run_is_bounded_and_the_next_goes_on_with_the_oldest_first() -> None:
    make_sessions(expired=7, live=0)
    assert services.cleanup_expired_sessions(batch=2, batches=2) == 4
    assert min(Session.objects.values_list("expire_date", flat=True)) > timezone.now() - timedelta(hours=4)
    assert services.cleanup_expired_sessions(batch=2, batches=2) == 3


@pytest.fixture
def old_notifications() -> list[Notification]:
    user = get_user_model().objects.create(username="ada")
    old, now = timezone.now() - timedelta(days=91), timezone.now()
    rows: list[dict[str, Any]] = [
        {"event": "read", "created_at": old, "read_at": old},
        {"event": "unread", "created_at": old},
        {"event": "not mailed yet", "created_at": old, "read_at": old, "mailing": "due"},
        {"event": "fresh", "created_at": now, "read_at": now},
    ]
    return [Notification.objects.create(user=user, kind="reminder", title="t", **row) for row in rows]


def test_old_results_that_nobody_needs_go(old_notifications: list[Notification]) -> None:
    assert services.cleanup_old_results(90)["Notification"] == 1
    assert {one.event for one in Notification.objects.all()} == {"unread", "not mailed yet", "fresh"}
    assert services.cleanup_old_results(90)["Notification"] == 0


def test_mails_that_are_settled_go_and_uncertain_ones_wait_for_a_person() -> None:
    old = timezone.now() - timedelta(days=91)
    for number, state in enumerate(("sent", "refused", "skipped", "uncertain", "pending")):
        settled = {} if state == "pending" else {"settled_at": old, "reason": "old"}
        Mail.objects.create(event=f"apology:{number}", template_id="apology", address="ada@example.com", state=state, **settled)
    assert services.cleanup_old_results(90)["Mail"] == 3
    assert {mail.state for mail in Mail.objects.all()} == {"uncertain", "pending"}


def test_an_entry_that_ran_once_goes_and_the_others_stay() -> None:
    clocked = ClockedSchedule.objects.create(clocked_time=timezone.now())
    for name, enabled in (("spent", False), ("to come", True)):
        PeriodicTask.objects.create(name=name, task="engine.debug_task", clocked=clocked, one_off=True, enabled=enabled)
    PeriodicTask.objects.update(date_changed=timezone.now() - timedelta(days=91))
    services.cleanup_old_results(90)
    assert [entry.name for entry in PeriodicTask.objects.all()] == ["to come"]


@pytest.mark.parametrize("days", [0, -1, True, 1.5, "90", None, 10**9])
def test_days_that_are_none_delete_nothing(old_notifications: list[Notification], days: Any) -> None:
    with pytest.raises(DaysImpossible):
        services.cleanup_old_results(days)
    assert Notification.objects.count() == 4


def test_the_schedule_says_when() -> None:
    sessions, results = SCHEDULE["housekeeping.cleanup_expired_sessions"], SCHEDULE["housekeeping.old_results"]
    assert sessions["schedule"] == crontab(hour=2, minute=0)
    assert (results["schedule"], results["kwargs"]) == (crontab(hour=3, minute=0), {"days": 90})
