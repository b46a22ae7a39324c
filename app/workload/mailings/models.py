import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Lower
from django.utils import timezone

from app.engine.old_rows import OldRows

LONGEST_EVENT = 200


class Campaign(models.Model):
    """One text to many people.

    draft ── start ──▶ running ── nothing left ──▶ finished
      │                 │  ▲
      │               pause start
      │                 ▼  │
      └── cancel ──▶ cancelled ◀── cancel ── paused, running
    """

    class State(models.TextChoices):
        DRAFT = "draft"
        RUNNING = "running"
        PAUSED = "paused"
        FINISHED = "finished"
        CANCELLED = "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="campaigns")
    name = models.CharField(max_length=200)
    template_id = models.CharField(max_length=64)
    context = models.JSONField(default=dict)
    audience = models.JSONField(null=True, blank=True)
    """Which users are to be found, at the start; nothing for a campaign whose recipients were uploaded."""
    is_gathered = models.BooleanField(default=False)

    state = models.CharField(max_length=10, choices=State.choices, default=State.DRAFT)
    last_position = models.PositiveIntegerField(default=0)
    """Of its recipients, who are numbered from 1; some numbers may be missing."""
    round = models.PositiveIntegerField(default=0)
    """Counts the walks through what is left. Chunks of an earlier one lead to no further chunks."""
    next_chunk = models.PositiveIntegerField(default=0)
    chunks_out = models.PositiveSmallIntegerField(default=0)
    """How many of this round are on their way."""
    trouble = models.CharField(max_length=500, blank=True)
    """Why nothing goes out for now: what the mail server says."""
    troubles = models.PositiveIntegerField(default=0)
    """How often in a row."""
    totals = models.JSONField(null=True, blank=True)
    """How many mails are in each state, when it ended: recipients are forgotten earlier than their campaign."""
    created_at = models.DateTimeField(default=timezone.now)
    touched_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="campaigns_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="campaigns_newest"),
            models.Index(fields=["touched_at"], name="campaigns_running", condition=Q(state="running")),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="campaign_state_is_possible",
                condition=(
                    Q(state="draft", started_at=None, finished_at=None)
                    | Q(state__in=["running", "paused"], started_at__isnull=False, finished_at=None)
                    | Q(state="finished", started_at__isnull=False, finished_at__isnull=False)
                    | Q(state="cancelled", finished_at__isnull=False)
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def work(self) -> str:
        """Under this key its progress is shown."""
        return f"mailings.campaign:{self.pk}"


class Mail(models.Model):
    """One mail to one recipient: of a campaign, or of an event.

    pending ── a run claims it ──▶ sending ── the server has it ─────────────▶ sent
      │  ▲                          │ │ │ └── refuses it for good, or too often ─▶ refused
      │  └── it comes back later ───┘ │ └──── falls silent ──────────────────▶ uncertain ── a person ──▶ sent, refused
      │      (not before ``due_at``)  │                                             ▲
      │  ┌── its run died, and the ───┤── its run died, and nobody can be asked ────┘
      │  │   server never had it      └── its run died, and the server has it ──▶ sent
      │  ▼
      └─ pending ── its address is suppressed ──▶ skipped

    The claim is committed before the server is asked, so what was not claimed was certainly not sent.
    """

    class State(models.TextChoices):
        PENDING = "pending"
        SENDING = "sending"
        SENT = "sent"
        REFUSED = "refused"
        SKIPPED = "skipped"
        UNCERTAIN = "uncertain"

    campaign = models.ForeignKey(Campaign, on_delete=models.CASCADE, null=True, blank=True, related_name="mails")
    position = models.PositiveIntegerField(null=True, blank=True)
    event = models.CharField(max_length=LONGEST_EVENT, unique=True, null=True, blank=True)
    template_id = models.CharField(max_length=64, blank=True)
    """Of an event's mail; a campaign's mails have the campaign's."""
    context = models.JSONField(default=dict, blank=True)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+")
    address = models.CharField(max_length=254)
    """In lower case."""
    name = models.CharField(max_length=150, blank=True)

    state = models.CharField(max_length=10, choices=State.choices, default=State.PENDING)
    attempts = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(null=True, blank=True)
    claim_job = models.CharField(max_length=255, blank=True)
    claim_fence = models.PositiveBigIntegerField(null=True, blank=True)
    claimed_at = models.DateTimeField(null=True, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    settled_at = models.DateTimeField(null=True, blank=True)

    old_rows: ClassVar = OldRows(age="settled_at", only=Q(state__in=["sent", "refused", "skipped"]))

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["campaign", "state"], name="mails_counted"),
            models.Index(fields=["campaign", "position"], name="mails_left", condition=Q(state__in=["pending", "sending"])),
            models.Index(fields=["settled_at"], name="mails_settled"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["campaign", "position"], name="mail_position_once"),
            models.UniqueConstraint(fields=["campaign", "address"], name="mail_once_per_address"),
            models.CheckConstraint(
                name="mail_of_campaign_or_event",
                condition=(
                    Q(campaign__isnull=False, position__gte=1, event=None, template_id="")
                    | (Q(campaign=None, position=None, event__isnull=False) & ~Q(template_id=""))
                ),
            ),
            models.CheckConstraint(
                name="mail_state_is_possible",
                condition=(
                    Q(state="pending", settled_at=None)
                    | Q(state="sending", claimed_at__isnull=False, settled_at=None)
                    | Q(state="sent", settled_at__isnull=False)
                    | (Q(state__in=["refused", "skipped", "uncertain"], settled_at__isnull=False) & ~Q(reason=""))
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"mail {self.pk} to {self.address}"


class Suppression(models.Model):
    """An address that no campaign writes to. Mails of an event still go to who has unsubscribed, and not to who does not exist."""

    class Reason(models.TextChoices):
        UNSUBSCRIBED = "unsubscribed"
        BOUNCED = "bounced"
        BY_HAND = "by_hand", "by hand"

    address = models.CharField(max_length=254, primary_key=True, help_text="In lower case.")
    reason = models.CharField(max_length=15, choices=Reason.choices, default=Reason.BY_HAND)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="suppression_in_lower_case", condition=Q(address=Lower("address"))),
        ]

    def __str__(self) -> str:
        return f"{self.address}: {self.reason}"
