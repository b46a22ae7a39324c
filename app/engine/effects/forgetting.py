"""How long it is known that an effect was had."""

from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from app.engine.conf import engine_settings
from app.engine.effects.models import Effect


def kept_for() -> timedelta:
    """For as long as a message can wait in any queue, and then among its dead letters."""
    return max(queue.retention + queue.dead_letter_retention for queue in engine_settings().topology.queues)


def forget_old(now: datetime | None = None, batch: int = 1000, batches: int = 100) -> int:
    """Delete notes that no message can ask for any more, and return how many; at most ``batches`` of ``batch``, the next run goes on."""
    too_old = Effect.objects.filter(done_at__lt=(now or timezone.now()) - kept_for())
    forgotten = 0
    for _ in range(batches):
        with transaction.atomic():
            keys = too_old.order_by("done_at").select_for_update(skip_locked=True).values_list("pk", flat=True)[:batch]
            deleted, _ = Effect.objects.filter(pk__in=list(keys)).delete()
        forgotten += deleted
        if deleted < batch:
            break
    return forgotten
