import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

LONGEST_REASON = 500


class PartnerCall(models.Model):
    """One call of one endpoint, under the id of its job.

    requested ──▶ calling ── 2xx ──▶ succeeded
       │  ▲        │  ▲ ├── 4xx ──▶ refused
       │  │        │  │ └── no attempt left, or no answer that we take ──▶ failed ── its dead letter is sent back ──▶ calling
       │  └────────┘  └─ another attempt
       └──▶ postponed: the breaker is open ──▶ calling
    """

    class State(models.TextChoices):
        REQUESTED = "requested"
        CALLING = "calling"
        POSTPONED = "postponed"
        SUCCEEDED = "succeeded"
        REFUSED = "refused"
        FAILED = "failed"

    FINAL = (State.SUCCEEDED, State.REFUSED)
    """What no run changes any more."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="partner_calls", null=True, blank=True)
    """Nobody for a call that another part of the shop asked for."""
    endpoint = models.CharField(max_length=100)
    payload = models.JSONField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.REQUESTED)
    attempts = models.PositiveIntegerField(default=0)
    """Calls that left, and of whose end we know."""
    postponed = models.PositiveIntegerField(default=0)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    answer = models.JSONField(null=True, blank=True)
    reason = models.CharField(max_length=LONGEST_REASON, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="partner_calls_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="partner_calls_newest"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="partner_call_finished_if_final",
                condition=Q(state__in=["succeeded", "refused", "failed"], finished_at__isnull=False)
                | Q(state__in=["requested", "calling", "postponed"], finished_at=None),
            ),
        ]

    def __str__(self) -> str:
        return f"call {self.pk} of {self.endpoint}"

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL


class PartnerUser(models.Model):
    """A user as the partner told it last. Its version only grows."""

    partner_id = models.CharField(max_length=100, unique=True)
    version = models.BigIntegerField()
    name = models.CharField(max_length=200)
    email = models.CharField(max_length=254)
    synced_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering: ClassVar = ["partner_id"]

    def __str__(self) -> str:
        return f"{self.partner_id}, version {self.version}"


class SyncCursor(models.Model):
    """How far a feed was read. What is behind it has its job in the outbox: both are one transaction."""

    feed = models.CharField(primary_key=True, max_length=50)
    cursor = models.CharField(max_length=200, blank=True)
    succeeded_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.feed} at {self.cursor or 'its beginning'}"
