"""The note that an effect was had."""

from typing import ClassVar

from django.db import models
from django.utils import timezone

LONGEST_KEY = 255


class Effect(models.Model):
    """Committed together with the effect, so the row is there if and only if that is.

    (none) ──first run──▶ done under its fence ──a later run finds it──▶ done, noted under the higher fence ──old──▶ (row deleted)
    """

    key = models.CharField(primary_key=True, max_length=LONGEST_KEY)
    task_id = models.CharField(max_length=255)
    fence = models.PositiveBigIntegerField(null=True)
    """The highest of the runs of that job which came here; nothing for a job that is not claimed."""
    #: Empty also while the transaction that inserted the row is at work; nobody else sees that.
    answer = models.JSONField(null=True)
    done_at = models.DateTimeField(default=timezone.now, db_index=True)

    class Meta:
        # Declared here: for a field's own index Django adds a second one, for LIKE.
        indexes: ClassVar = [models.Index(fields=["task_id"], name="effect_task")]

    def __str__(self) -> str:
        return self.key
