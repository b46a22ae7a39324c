"""The message that waits for its transaction, for SQS, or for its time; and the record that waits for the ledger."""

from typing import ClassVar

from django.db import models
from django.utils import timezone


class OutboxMessage(models.Model):
    """A complete Celery message. The row is there exactly as long as the message is not known to be sent.

    waiting ──sent──▶ (row deleted)
       └──refused by SQS──▶ waiting again, later and later; ``last_error`` says why
    delayed ──shortly before ``due_at``──▶ waiting
       └──cancelled──▶ (row deleted)
    """

    task_id = models.CharField(max_length=255, db_index=True)
    task = models.CharField(max_length=255)
    queue = models.CharField(max_length=80)
    body = models.TextField()
    options = models.TextField()
    """JSON: what kombu's ``publish`` is given besides the body. Text, because PostgreSQL's JSON refuses NUL characters."""
    created_at = models.DateTimeField(default=timezone.now)
    due_at = models.DateTimeField(null=True)
    """Of a job that is due later than SQS could hold its message; nothing for all others."""
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.TextField(blank=True)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["next_attempt_at", "id"], name="outbox_due"),
            # Partial: the many messages that are not delayed pay nothing for it.
            models.Index(fields=["due_at", "id"], name="outbox_delayed", condition=models.Q(due_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.task} {self.task_id}"


class LateRecord(models.Model):
    """An item of the ledger that says that a job was enqueued, or is awaited, while the ledger did not confirm it."""

    key = models.CharField(max_length=300, primary_key=True)
    item = models.TextField()
    """JSON."""
    created_at = models.DateTimeField(default=timezone.now, db_index=True)

    def __str__(self) -> str:
        return self.key
