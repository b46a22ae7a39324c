import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from app.engine.old_rows import OldRows
from app.workload.notifications.kinds import LONGEST_TITLE

LONGEST_KEY = 300


class Notification(models.Model):
    """What one person was told of one event.

    (none) ──first message of the event──▶ unread ──its owner looks──▶ read
                    │ another one ▶ (nothing)
    mailing: none of its kind │ due ──the server has it──▶ mailed
                              └──── the server refuses it for good, or there is no address ──▶ unmailed, with the reason
    """

    class Mailing(models.TextChoices):
        NONE = "none"
        DUE = "due"
        MAILED = "mailed"
        UNMAILED = "unmailed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications")
    event = models.CharField(max_length=LONGEST_KEY)
    kind = models.CharField(max_length=64)
    title = models.CharField(max_length=LONGEST_TITLE)
    text = models.TextField(blank=True)
    context = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now, db_index=True)
    read_at = models.DateTimeField(null=True, blank=True)
    mailing = models.CharField(max_length=10, choices=Mailing.choices, default=Mailing.NONE)
    mailed_at = models.DateTimeField(null=True, blank=True)
    mailing_reason = models.CharField(max_length=500, blank=True)

    #: An event that is published again after that is shown again.
    old_rows: ClassVar = OldRows(age="created_at", only=Q(read_at__isnull=False) & ~Q(mailing="due"))

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["user", "-created_at", "-id"], name="notifications_of_user"),
            models.Index(fields=["user"], name="notifications_unread", condition=Q(read_at=None)),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "event"], name="notification_once_per_event"),
            models.CheckConstraint(
                name="notification_mailing_is_possible",
                condition=(
                    Q(mailing__in=["none", "due"], mailed_at=None, mailing_reason="")
                    | Q(mailing="mailed", mailed_at__isnull=False, mailing_reason="")
                    | (Q(mailing="unmailed", mailed_at=None) & ~Q(mailing_reason=""))
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.title} ({self.event})"
