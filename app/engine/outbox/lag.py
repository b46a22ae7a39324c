"""How far the outbox is behind."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q

from app.engine.outbox.models import OutboxMessage


@dataclass(frozen=True, kw_only=True, slots=True)
class OutboxLag:
    waiting: int
    oldest: timedelta | None
    failing: int
    """Messages that SQS has refused at least once."""


def read_outbox_lag(now: datetime) -> OutboxLag:
    """Count what is committed and not sent. One query; raises Django's database errors."""
    figures = OutboxMessage.objects.aggregate(waiting=Count("pk"), oldest=Min("created_at"), failing=Count("pk", filter=Q(attempts__gt=0)))
    oldest = max(now - figures["oldest"], timedelta(0)) if figures["oldest"] else None
    return OutboxLag(waiting=figures["waiting"], oldest=oldest, failing=figures["failing"])
