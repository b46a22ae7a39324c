"""Sagas and their acts, as rows."""

import uuid
from typing import Any, ClassVar

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Saga(models.Model):
    """One saga of one subject. Whoever moves it holds its row.

    running ── all steps done ──▶ done
       └── a step refused or failed ──▶ compensating ── all compensations done ──▶ compensated
                                          │  ▲ └─ one fails for too long ──▶ stuck
                                          │  └───────── resumed by a person ──┘
                                          └──▶ (one of them is tried again)
    """

    class State(models.TextChoices):
        RUNNING = "running"
        COMPENSATING = "compensating"
        DONE = "done"
        COMPENSATED = "compensated"
        STUCK = "stuck"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    name = models.CharField(max_length=100)
    subject = models.CharField(max_length=255)
    state = models.CharField(max_length=20, choices=State.choices, default=State.RUNNING)
    failed_step = models.CharField(max_length=100, blank=True)
    code = models.CharField(max_length=100, blank=True)
    reason = models.CharField(max_length=2000, blank=True)
    compensate_for = models.DurationField()
    first_pause = models.DurationField()
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["name", "subject"], name="saga_once_per_subject"),
            models.CheckConstraint(
                name="saga_state_is_possible",
                condition=(
                    Q(state="running", failed_step="", finished_at=None)
                    | (Q(state__in=["compensating", "stuck"], finished_at=None) & ~Q(failed_step=""))
                    | Q(state="done", failed_step="", finished_at__isnull=False)
                    | (Q(state="compensated", finished_at__isnull=False) & ~Q(failed_step=""))
                ),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["-created_at", "-id"], name="sagas_newest"),
            models.Index(fields=["updated_at"], name="sagas_unfinished", condition=Q(state__in=["running", "compensating", "stuck"])),
            models.Index(fields=["finished_at"], name="sagas_finished", condition=Q(finished_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.name} {self.subject}"


class Act(models.Model):
    """A step of a saga, or the compensation of one: one job, published until it is over.

    waiting ── its turn ──▶ published ── a worker begins ──▶ running ── returned ──▶ done
       │                       ▲  └──────── lost ───────┐      │ ├── Refused ──▶ refused      nothing was done
       │                       └── published anew ◀─────┴──────┘ └── for good ──▶ failed ── a compensation's pause is over ──▶ published
       └── the saga turns back before its turn ──▶ skipped
    """

    class Kind(models.TextChoices):
        STEP = "step"
        COMPENSATION = "compensation"

    class State(models.TextChoices):
        WAITING = "waiting"
        PUBLISHED = "published"
        RUNNING = "running"
        DONE = "done"
        REFUSED = "refused"
        FAILED = "failed"
        SKIPPED = "skipped"

    saga = models.ForeignKey(Saga, on_delete=models.CASCADE, related_name="acts")
    kind = models.CharField(max_length=20, choices=Kind.choices, default=Kind.STEP)
    name = models.CharField(max_length=100)
    position = models.PositiveIntegerField()
    """Acts of one position run side by side."""
    task = models.CharField(max_length=255, blank=True)
    compensation = models.CharField(max_length=255, blank=True)
    arguments: Any = models.JSONField(default=dict, encoder=DjangoJSONEncoder)
    state = models.CharField(max_length=20, choices=State.choices, default=State.WAITING)
    left_nothing = models.BooleanField(default=False)
    """Of a failed step: it was rolled back, so that there is nothing to compensate."""
    publications = models.PositiveIntegerField(default=0)
    """The fence: a run of an earlier publication may not begin."""
    task_id = models.CharField(max_length=255, blank=True)
    attempts = models.PositiveIntegerField(default=0)
    result: Any = models.JSONField(null=True, blank=True, encoder=DjangoJSONEncoder)
    code = models.CharField(max_length=100, blank=True)
    error = models.CharField(max_length=2000, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    tried_since = models.DateTimeField(null=True, blank=True)
    due_at = models.DateTimeField(null=True, blank=True)
    """Not before, after a failure."""
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["saga", "kind", "name"], name="act_once_per_saga")]
        indexes: ClassVar = [
            models.Index(fields=["updated_at"], name="acts_in_flight", condition=Q(state__in=["published", "running"])),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.name} of {self.saga_id}"

    @property
    def is_in_flight(self) -> bool:
        return self.state in (self.State.PUBLISHED, self.State.RUNNING)

    @property
    def is_compensation(self) -> bool:
        return self.kind == self.Kind.COMPENSATION
