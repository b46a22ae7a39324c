"""Who may go on, and until when nobody else may. Moments are PostgreSQL's own, so clocks of hosts do not matter."""

import uuid
from typing import ClassVar

from django.db import models


class Permit(models.Model):
    """One of the few that a key has. Those that have not lapsed are never more than the limit.

    (none) ──take, if the key has one left──▶ held until a moment ──give back──▶ (row deleted)
                                               │  └──renew──▶ held for longer
                                               └──lapses──▶ counts no more; the next who asks deletes it
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    key = models.CharField(max_length=255)
    task_id = models.CharField(max_length=255)
    taken_at = models.DateTimeField()
    until = models.DateTimeField(db_index=True)

    class Meta:
        indexes: ClassVar = [models.Index(fields=["key", "until"], name="limits_permits_of_key")]

    def __str__(self) -> str:
        return f"{self.key} held by {self.task_id}"


class UniqueJob(models.Model):
    """The one job of its key.

    (none) ──publish──▶ queued until a moment ──its run begins──▶ running, renewed ──ends──▶ (row deleted)
                          ▲   │                                     │   │
                          └───┼──────── retried, or put off ────────┘   │
                              └─────────────── lapses ──────────────────┴──▶ the next who publishes takes the row over
    """

    key = models.CharField(primary_key=True, max_length=255)
    task_id = models.CharField(max_length=255)
    run = models.UUIDField(null=True)
    """The run that holds it: of two runs of one job only the later may let go."""
    until = models.DateTimeField(db_index=True)

    def __str__(self) -> str:
        return f"{self.key} held by {self.task_id}"
