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

from app.engine.job_ledger import Enqueued, JobRegister
from app.engine.outbox.errors import SendUnanswered
from app.engine.outbox.models import OutboxMessage

logger = logging.getLogger(__name__)

#: DynamoDB takes so many records a request. SQS takes ten messages.
BATCH = 25
LONGEST_DELAY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class RelayedBatch:
    taken: int
    refused: int


def relay_once(limit: int = BATCH) -> RelayedBatch:
    """Send the messages whose time has come, the longest waiting first; those of delayed jobs a little before they are due.

    Rows are locked and passed over by others (SKIP LOCKED), so any number of relays may run. At least once: a crash
    between sending and committing the delete sends again, under the same task id. Raises
    :class:`~app.engine.outbox.errors.SendUnanswered` when SQS is away; what it did not answer for stays.
    """
    with transaction.atomic():
        # In the order of the index: by id, each look would read past all the delayed rows, which are old and wait for days.
        due = OutboxMessage.objects.select_for_update(skip_locked=True).filter(next_attempt_at__lte=Now()).order_by("next_attempt_at", "id")
        messages = list(due[:limit])
        if not messages:
            return RelayedBatch(0, 0)
        outcome = _send(messages)
        kept = outcome.refused.keys() | outcome.unanswered.keys()
        OutboxMessage.objects.filter(pk__in=[message.pk for position, message in enumerate(messages) if position not in kept]).delete()
        for position, reason in outcome.refused.items():
            _postpone(messages[position], reason)
    if outcome.unanswered:
        raise SendUnanswered(f"{len(outcome.unanswered)} messages not sent: {next(iter(outcome.unanswered.values()))}")
    logger.debug("outbox sent", extra={"messages": len(messages) - len(outcome.refused)})
    return RelayedBatch(len(messages), len(outcome.refused))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """Reasons by position; what is in neither is sent."""

    refused: dict[int, str]
    unanswered: dict[int, str]


def _send(messages: list[OutboxMessage]) -> _Outcome:
    """Publish on one channel, which sends in batches and keeps account of each message that reached it.

    | row ──recorded──▶ row and record ──sent──▶ row, record and message ──deleted──▶ record and message |

    Whoever dies in between has left the row, and the next relay begins again.
    """
    _record(messages)
    reached: list[int] = []
    refused: dict[int, str] = {}
    with current_app.producer_pool.acquire(block=True) as producer, producer.channel.collect() as batch:
        for position, message in enumerate(messages):
            try:
                producer.publish(message.body, exchange="", routing_key=message.queue, retry=False, **json.loads(message.options))
            except Exception as error:  # noqa: BLE001 — a row of another release, of a queue that is gone: it must not hold up the others
                refused[position] = f"{type(error).__name__}: {error}"
            else:
                reached.append(position)
    return _Outcome(
        refused=refused | {reached[number]: reason for number, reason in batch.failures.items()},
        unanswered={reached[number]: reason for number, reason in batch.unanswered.items()},
    )


def _record(messages: list[OutboxMessage]) -> None:
    """Have the ledger know of these jobs before anybody can receive them. While it is away, they are sent all the same."""
    register: JobRegister | None = current_app.job_register
    if register is None:
        return
    jobs = []
    for message in messages:
        try:
            options = json.loads(message.options)
            headers = options["headers"]
            tenant = current_app.sender.tenant_of(headers, options)
        except Exception:  # noqa: BLE001, S112 — a row of another release: sending it will say what is wrong
            continue
        jobs.append(Enqueued(headers=headers, queue=message.queue, tenant=tenant, body=message.body))
    register.begin(jobs).wait()


def _postpone(message: OutboxMessage, reason: str) -> None:
    delay = min(LONGEST_DELAY, timedelta(seconds=2 ** min(message.attempts, 10)))
    OutboxMessage.objects.filter(pk=message.pk).update(
        attempts=F("attempts") + 1, next_attempt_at=timezone.now() + delay, last_error=reason[:2000]
    )
    logger.error("outbox cannot send", extra={"task": message.task, "task_id": message.task_id, "queue": message.queue, "reason": reason})
