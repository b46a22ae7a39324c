import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Image(models.Model):
    """One upload and what became of it.

    uploading ── its file is stored ──▶ uploaded ── thumbnails are made ──▶ ready
        │                                  └─────── it is no such image ──▶ refused
        └── nobody came back for an hour ──▶ (deleted, and its file with it)
    """

    class State(models.TextChoices):
        UPLOADING = "uploading"
        UPLOADED = "uploaded"
        READY = "ready"
        REFUSED = "refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="images")
    name = models.CharField(max_length=255)
    """As its owner called the file. Shown, and never a path."""
    byte_count = models.PositiveIntegerField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.UPLOADING)
    kind = models.CharField(max_length=10, blank=True)
    """Its format, by its content."""
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    thumbnails = models.JSONField(default=dict, blank=True)
    """Size → width, height and bytes of its file."""
    refusal_code = models.CharField(max_length=50, blank=True)
    refusal_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="images_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="images_newest"),
            models.Index(fields=["created_at"], name="images_uploading", condition=Q(state="uploading")),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="image_state_is_possible",
                condition=(
                    Q(state__in=["uploading", "uploaded"], finished_at=None, refusal_code="", width=None, height=None)
                    | Q(state="ready", finished_at__isnull=False, refusal_code="", width__gte=1, height__gte=1)
                    | (Q(state="refused", finished_at__isnull=False) & ~Q(refusal_code=""))
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"image {self.pk}"

    @property
    def is_final(self) -> bool:
        return self.state in (self.State.READY, self.State.REFUSED)
