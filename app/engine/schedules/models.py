"""What was sent for each due time, what is known of an entry besides, and who may act."""

from typing import ClassVar

from django.db import models
from django.utils import timezone
from django_celery_beat.models import PeriodicTask

from app.engine.schedules.missed import Missed


class Occurrence(models.Model):
    """One due time of one entry, and what became of it. Written in the transaction that publishes its job.

    The unique key is what keeps a due time from being sent twice, whoever believes to be the leader.
    """

    class Outcome(models.TextChoices):
        SENT = "sent"
        SKIPPED = "skipped"
        """Missed, and left out by the entry's policy."""
        REFUSED = "refused"
        """It could not be published: ``reason`` says why. It is not tried again."""

    schedule = models.CharField(max_length=200)
    """The name of the entry. Text, so that the record outlives the entry."""
    due_at = models.DateTimeField()
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    left_out = models.PositiveIntegerField(default=0)
    """How many missed due times before this one have no occurrence of their own."""
    task_id = models.CharField(max_length=36, blank=True)
    reason = models.TextField(blank=True)
    decided_at = models.DateTimeField(default=timezone.now)
    fence = models.BigIntegerField()
    """Which leadership decided."""

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["schedule", "due_at"], name="schedules_once")]
        indexes: ClassVar = [models.Index(fields=["decided_at"], name="schedules_decided")]

    def __str__(self) -> str:
        return f"{self.schedule} {self.due_at:%Y-%m-%d %H:%M:%S %Z}"


class EntryState(models.Model):
    """What we keep of an entry besides django-celery-beat's own row. ``last_run_at`` there is the due time decided last."""

    entry = models.OneToOneField(PeriodicTask, on_delete=models.CASCADE, primary_key=True, related_name="state")
    missed = models.CharField(
        "missed due times",
        max_length=4,
        choices=[
            (Missed.SKIP.value, "leave them out"),
            (Missed.ONE.value, "send once for all of them"),
            (Missed.ALL.value, "send each of them"),
        ],
        default=Missed.ONE.value,
        help_text="When no beat could act at a due time. Of declared entries, app/config/schedule.py decides.",
    )
    pattern = models.TextField(blank=True, editable=False)
    """By what its due times were counted last. Another one now: the entry was edited or was off, and is counted anew from then."""

    class Meta:
        verbose_name = "policy for missed due times"
        verbose_name_plural = verbose_name

    def __str__(self) -> str:
        return self.missed


class Leadership(models.Model):
    """The one row that says which beat acts.

    free ──take──▶ held (fence + 1) ──renew, with every write of the leader──▶ held
      ▲                │  └──not renewed for ``leadership.TERM``──▶ may be taken by another
      └────leave───────┘
    """

    leader = models.CharField(max_length=200, blank=True)
    """Host and process; empty while nobody leads."""
    fence = models.BigIntegerField(default=0)
    """Grows with each new leader. Whoever writes under an older one is refused."""
    since = models.DateTimeField(default=timezone.now)
    held_until = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "leadership"

    def __str__(self) -> str:
        return self.leader or "nobody"
