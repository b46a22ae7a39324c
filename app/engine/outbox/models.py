"""The message that waits for its transaction and for SQS."""

from typing import ClassVar

from django.db import models
from django.utils import timezone


class OutboxMessage(models.Model):
    """A complete Celery message. The row is there exactly as long as the message is not known to be sent.

    waiting ──sent──▶ (row deleted)
       └──refused by SQS──▶ waiting again, later and later; ``last_error`` says why
    """

    task_id = models.CharField(max_length=255, db_index=True)
    task = models.CharField(max_length=255)
    queue = models.CharField(max_length=80)
    body = models.TextField()
    options = models.TextField()
    """JSON: what kombu's ``publish`` is given besides the body. Text, because PostgreSQL's JSON refuses NUL characters."""
    created_at = models.DateTimeField(default=timezone.now)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    last_error = models.TextField(blank=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["next_attempt_at", "id"], name="outbox_due")]

    def __str__(self) -> str:
        return f"{self.task} {self.task_id}"
