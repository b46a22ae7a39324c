"""How long it is known how far a work was."""

from datetime import datetime, timedelta

from django.utils import timezone

from app.engine.conf import engine_settings
from app.engine.old_rows import delete_in_batches
from app.engine.progress.models import Checkpoint


def kept_for() -> timedelta:
    """For as long as a message can wait in any queue, and then among its dead letters, to go on with the work."""
    return max(queue.retention + queue.dead_letter_retention for queue in engine_settings().topology.queues)


def forget_old(now: datetime | None = None, batch: int = 1000, batches: int = 100) -> int:
    """Delete what no run has touched for so long, and return how many; at most ``batches`` of ``batch``, the next run goes on."""
    too_old = Checkpoint.objects.filter(touched_at__lt=(now or timezone.now()) - kept_for())
    return delete_in_batches(too_old, "touched_at", batch=batch, batches=batches)
