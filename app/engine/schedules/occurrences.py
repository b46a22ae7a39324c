"""How long it is known what became of a due time."""

from datetime import datetime, timedelta

from app.engine.schedules.models import Occurrence

KEPT = timedelta(days=30)


def prune(now: datetime) -> int:
    """Forget what was decided more than ``KEPT`` ago, and return how many. Entries have advanced past it: it is not sent again."""
    return Occurrence.objects.filter(decided_at__lt=now - KEPT).delete()[0]
