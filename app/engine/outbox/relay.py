"""From the outbox to SQS."""

import json
import logging
from dataclasses import dataclass
from datetime import timedelta

from celery import current_app
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Now
from django.utils import timezone

from app.engine.outbox.models import OutboxMessage

logger = logging.getLogger(__name__)

#: SQS takes ten messages a request.
BATCH = 10
LONGEST_DELAY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RelayedBatch:
    taken: int
    refused: int


def relay_once(limit: int = BATCH) -> RelayedBatch:
    """Send the oldest messages that are due.

    Rows are locked and passed over by others (SKIP LOCKED), so any number of relays may run. At least once: a crash
    between sending and committing the delete sends again, under the same task id. Raises
    :class:`~app.engine.errors.TransientError` when SQS is away; the rows stay.
    """
    with transaction.atomic():
        messages = list(OutboxMessage.objects.select_for_update(skip_locked=True).filter(next_attempt_at__lte=Now()).order_by("id")[:limit])
        if not messages:
            return RelayedBatch(0, 0)
        refused = _send(messages)
        OutboxMessage.objects.filter(pk__in=[message.pk for position, message in enumerate(messages) if position not in refused]).delete()
        for position, reason in refused.items():
            _postpone(messages[position], reason)
    logger.debug("outbox sent", extra={"messages": len(messages) - len(refused)})
    return RelayedBatch(len(messages), len(refused))


def _send(messages: list[OutboxMessage]) -> dict[int, str]:
    """Send in batches; return the reason for each position that SQS refused on its own."""
    with current_app.producer_pool.acquire(block=True) as producer, producer.channel.collect() as batch:
        for message in messages:
            producer.publish(message.body, exchange="", routing_key=message.queue, retry=False, **json.loads(message.options))
    failures: dict[int, str] = batch.failures
    return failures


def _postpone(message: OutboxMessage, reason: str) -> None:
    delay = min(LONGEST_DELAY, timedelta(seconds=2 ** min(message.attempts, 10)))
    OutboxMessage.objects.filter(pk=message.pk).update(
        attempts=F("attempts") + 1, next_attempt_at=timezone.now() + delay, last_error=reason[:2000]
    )
    logger.error("outbox cannot send", extra={"task": message.task, "task_id": message.task_id, "queue": message.queue, "reason": reason})
