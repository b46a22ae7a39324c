"""How long it is known that an effect was had."""

from datetime import datetime, timedelta

from django.utils import timezone

from app.engine.conf import engine_settings
from app.engine.effects.models import Effect
from app.engine.old_rows import delete_in_batches


def kept_for() -> timedelta:
    """For as long as a message can wait in any queue, and then among its dead letters."""
    return max(queue.retention + queue.dead_letter_retention for queue in engine_settings().topology.queues)


def forget_old(now: datetime | None = None, batch: int = 1000, batches: int = 100) -> int:
    """Delete notes that no message can ask for any more, and return how many; at most ``batches`` of ``batch``, the next run goes on."""
    too_old = Effect.objects.filter(done_at__lt=(now or timezone.now()) - kept_for())
    return delete_in_batches(too_old, "done_at", batch=batch, batches=batches)
