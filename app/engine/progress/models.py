"""How far a work is."""

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

LONGEST_KEY = 255
LONGEST_LABEL = 200


class Checkpoint(models.Model):
    """Where the work goes on, exactly, and what people are shown, which never falls.

    (none) ──take──▶ held under fence 1 ──take──▶ held under fence 2 ──untouched for long──▶ (row deleted)
    """

    key = models.CharField(primary_key=True, max_length=LONGEST_KEY)
    fence = models.PositiveBigIntegerField(default=0)
    """Counts the runs that have taken the work. Only the last of them may write."""
    task_id = models.CharField(max_length=255, blank=True)
    """The job of that run."""
    task_fence = models.PositiveBigIntegerField(null=True)
    """Of that run's claim in the ledger: two runs of one job are told apart by it."""

    state = models.JSONField(default=dict)
    current = models.PositiveBigIntegerField(default=0)
    counts = models.JSONField(default=dict)
    saved_at = models.DateTimeField(null=True)
    """Nothing before the first checkpoint."""

    shown_current = models.PositiveBigIntegerField(default=0)
    shown_total = models.PositiveBigIntegerField(null=True)
    shown_percent = models.PositiveSmallIntegerField(null=True)
    shown_label = models.CharField(max_length=LONGEST_LABEL, blank=True)
    shown_counts = models.JSONField(default=dict)
    touched_at = models.DateTimeField(db_default=Now(), db_index=True)

    class Meta:
        # Declared here: for a field's own index Django adds a second one, for LIKE.
        indexes: ClassVar = [models.Index(fields=["task_id"], name="checkpoint_task")]

    def __str__(self) -> str:
        return self.key
