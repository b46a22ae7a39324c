"""How far the outbox is behind."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q
from django.db.models.functions import Coalesce

from app.engine.outbox.models import OutboxMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxLag:
    waiting: int
    oldest: timedelta | None
    failing: int
    """Messages that SQS has refused at least once."""
    delayed: int = 0
    """Messages of jobs that are not due yet. They are not late, and the other figures leave them out."""


def read_outbox_lag(now: datetime) -> OutboxLag:
    """Count what is committed and not sent. A delayed job waits from the moment at which it is due.

    One query; raises Django's database errors.
    """
    is_delayed = Q(due_at__gt=now)
    figures = OutboxMessage.objects.aggregate(
        waiting=Count("pk", filter=~is_delayed),
        oldest=Min(Coalesce("due_at", "created_at"), filter=~is_delayed),
        failing=Count("pk", filter=Q(attempts__gt=0) & ~is_delayed),
        delayed=Count("pk", filter=is_delayed),
    )
    oldest = max(now - figures["oldest"], timedelta(0)) if figures["oldest"] else None
    return OutboxLag(waiting=figures["waiting"], oldest=oldest, failing=figures["failing"], delayed=figures["delayed"])
