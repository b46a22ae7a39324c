"""Rows of keys that nobody asks for any more."""

from datetime import datetime, timedelta

from django.utils import timezone

from app.engine.limits.models import Permit, UniqueJob
from app.engine.old_rows import delete_in_batches

#: A lapsed row counts no more, and yet may be renewed by a run that was cut off for a while.
KEPT = timedelta(hours=1)


def forget_old(now: datetime | None = None, batch: int = 1000, batches: int = 100) -> int:
    """Delete what lapsed long ago, and return how many; at most ``batches`` of ``batch`` of each kind, the next run goes on."""
    before = (now or timezone.now()) - KEPT
    return sum(
        delete_in_batches(model.objects.filter(until__lt=before), "until", batch=batch, batches=batches) for model in (Permit, UniqueJob)
    )
