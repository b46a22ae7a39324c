"""What is deleted, and when."""

from datetime import datetime, timedelta
from typing import Any

from django.contrib.sessions.models import Session
from django.db.models import Q
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from app.engine.old_rows import OldRows, declared_old_rows, delete_in_batches
from app.workload.housekeeping.errors import DaysImpossible

MOST_BATCHES = 100
LONGEST_DAYS = 36_500
#: Models that are not ours and cannot say it themselves. An entry of the schedule that was to run once, and did, is switched off by beat.
_OF_OTHERS = ((PeriodicTask, OldRows(age="date_changed", only=Q(one_off=True, enabled=False))),)


def cleanup_expired_sessions(now: datetime | None = None, batch: int = 1000, batches: int = MOST_BATCHES) -> int:
    """Delete sessions that have expired and return how many; at most ``batches`` of ``batch``, the next run goes on."""
    expired = Session.objects.filter(expire_date__lt=now or timezone.now())
    return delete_in_batches(expired, "expire_date", batch=batch, batches=batches)


def cleanup_old_results(days: Any, now: datetime | None = None, batch: int = 1000, batches: int = MOST_BATCHES) -> dict[str, int]:
    """Delete what is older than ``days`` and return how many of each model; at most ``batches`` of ``batch`` of each.

    Each model says by its ``old_rows`` what may go. Raises :class:`DaysImpossible`, and then nothing was deleted.
    """
    if isinstance(days, bool) or not isinstance(days, int) or not 1 <= days <= LONGEST_DAYS:
        raise DaysImpossible(f"expected 1 to {LONGEST_DAYS} whole days, got {days!r:.100}")
    before = (now or timezone.now()) - timedelta(days=days)
    return {
        model.__name__: delete_in_batches(declared.of(model, before), declared.age, batch=batch, batches=batches)
        for model, declared in (*declared_old_rows(), *_OF_OTHERS)
    }
