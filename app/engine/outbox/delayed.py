"""The jobs that wait in the database because they are due later than SQS could hold their messages: to look at, and to cancel."""

import copy
import json
import logging
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from celery import current_app
from celery.app.task import Context
from django.db import transaction

from app.engine.outbox.models import OutboxMessage

logger = logging.getLogger(__name__)

#: A second or two: whoever cancels waits for the answer, and the job is cancelled without the record, too.
TRIES_TO_RECORD = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class DelayedJob:
    task_id: str
    task: str
    queue: str
    due_at: datetime
    created_at: datetime


def delayed_jobs(limit: int = 100, before: datetime | None = None) -> list[DelayedJob]:
    """The jobs that wait, the soonest first; only those that are due before that moment, if one is given.

    A job leaves the list when its message is sent: up to half a minute before it is due, later if SQS is away.
    """
    waiting = OutboxMessage.objects.filter(due_at__isnull=False)
    if before is not None:
        waiting = waiting.filter(due_at__lt=before)
    rows = waiting.order_by("due_at", "id").values_list("task_id", "task", "queue", "due_at", "created_at")[:limit]
    return [
        DelayedJob(task_id=task_id, task=task, queue=queue, due_at=due_at, created_at=created_at)
        for task_id, task, queue, due_at, created_at in rows
        if due_at is not None  # for the type checker: the filter has said so
    ]


def cancel(task_id: str) -> bool:
    """Keep a delayed job from ever being sent, and say whether that was still possible.

    It is :func:`cancel_all` for one job.
    """
    return task_id in cancel_all([task_id])


def cancel_all(task_ids: Collection[str]) -> frozenset[str]:
    """Keep delayed jobs from ever being sent, and return those for which that was still possible.

    One that is not among them: its message was sent already, or there never was such a job. While a relay is sending one of these
    messages, this waits for its end, for as long as SQS takes to answer: the answer is true either way. Inside a transaction it counts
    when that commits.
    One gap: a relay that died between sending and deleting has left a row of a job that runs all the same.

    The ledger then says REVOKED, and a chord of which the job was a part fails. What was to follow in a chain never runs.
    If the ledger is away, the job is cancelled all the same, and only a log line says so. Several jobs are cancelled together or not at all.
    """
    # | delayed ── cancelled ──▶ (row deleted) |
    # | delayed ── held by a relay ── sent ──▶ (row deleted): not returned |
    # |                          └── not sent ──▶ delayed ── cancelled ──▶ (row deleted) |
    with transaction.atomic():
        # Not SKIP LOCKED: who passed over the row would have to answer without knowing whether it is sent.
        # Ordered, so that two who cancel the same jobs wait for each other and not both.
        rows = list(OutboxMessage.objects.select_for_update().filter(task_id__in=task_ids, due_at__isnull=False).order_by("id"))
        OutboxMessage.objects.filter(pk__in=[row.pk for row in rows]).delete()
        for row in rows:
            transaction.on_commit(partial(_record, row))
    return frozenset(row.task_id for row in rows)


def _record(row: OutboxMessage) -> None:
    logger.info("delayed job cancelled", extra={"task": row.task, "task_id": row.task_id, "queue": row.queue})
    try:
        headers = json.loads(row.options)["headers"]
        _args, _kwargs, embedded = json.loads(row.body)
        request = Context(headers, chord=embedded["chord"], delivery_info={"routing_key": row.queue})
        backend = copy.copy(current_app.backend)
        backend.max_retries = TRIES_TO_RECORD
        backend.mark_as_revoked(row.task_id, "cancelled before it was due", request=request)
    except Exception as error:  # noqa: BLE001 — an unreadable row, a ledger that is away: the job is cancelled, this is only its record
        logger.warning("cancelled job not recorded", extra={"task_id": row.task_id, "reason": f"{type(error).__name__}: {error}"})
