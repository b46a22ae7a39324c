import uuid
from datetime import UTC, datetime, time, timedelta
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.utils import timezone


class Department(models.Model):
    """A part of the shop that has figures of its own. One that is not active gets no daily report."""

    code = models.SlugField(primary_key=True, max_length=40)
    name = models.CharField(max_length=100)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering: ClassVar = ["code"]

    def __str__(self) -> str:
        return self.name


class Booking(models.Model):
    """One line of a department's books. Never changed once it is written."""

    department = models.ForeignKey(Department, on_delete=models.PROTECT, related_name="+", db_index=False)
    booked_at = models.DateTimeField()
    item = models.CharField(max_length=200)
    quantity = models.PositiveIntegerField(default=1)
    amount_minor = models.BigIntegerField()
    """In cents, and never negative: the table says whether it came or went."""

    class Meta:
        abstract = True
        # In the order in which reports are read, for the whole shop and for one department.
        indexes: ClassVar = [
            models.Index(fields=["booked_at", "id"], name="%(class)s_read"),
            models.Index(fields=["department", "booked_at", "id"], name="%(class)s_read_by_department"),
        ]
        constraints: ClassVar = [models.CheckConstraint(name="%(class)s_amount_is_not_negative", condition=Q(amount_minor__gte=0))]

    def __str__(self) -> str:
        return f"{self.quantity} of {self.item}"


class Sale(Booking):
    """What customers bought."""


class Return(Booking):
    """What customers brought back."""


class Expense(Booking):
    """What the department spent."""


class Report(models.Model):
    """What was asked for, and what became of it. States move only as drawn, in :mod:`~app.workload.reports.services`.

    requested ── a worker takes it ──▶ running ── all files are stored ───────▶ done
                                        │  ▲  └── no step fits the time limit,
                                        └──┘      or it was begun too often ──▶ failed
                       killed, or interrupted by the time limit
    """

    class State(models.TextChoices):
        REQUESTED = "requested"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"

    class Kind(models.TextChoices):
        LARGE = "large"
        DAILY = "daily"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.LARGE)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="reports")
    """Nobody's are the daily ones, which staff may see."""
    department = models.ForeignKey(Department, null=True, blank=True, on_delete=models.PROTECT, related_name="reports")
    """Nothing: the whole shop."""
    first_day = models.DateField()
    last_day = models.DateField()

    state = models.CharField(max_length=10, choices=State.choices, default=State.REQUESTED)
    starts = models.PositiveIntegerField(default=0)
    interruptions = models.PositiveIntegerField(default=0)
    """How often the time limit cut it and it was enqueued again."""
    files = models.JSONField(default=dict)
    """Of a finished one: its formats, each with ``name`` in the storage and ``bytes``."""
    totals = models.JSONField(default=dict)
    """Of a finished one: its sources, each with ``rows`` and ``amount_minor``."""
    failure_reason = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="reports_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="reports_newest"),
            models.Index(fields=["updated_at"], name="reports_unfinished", condition=Q(state__in=["requested", "running"])),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(name="report_days_are_in_order", condition=Q(first_day__lte=F("last_day"))),
            models.CheckConstraint(
                name="report_daily_is_of_one_day", condition=~Q(kind="daily") | Q(first_day=F("last_day"), department__isnull=False)
            ),
            models.CheckConstraint(
                name="report_state_is_possible",
                condition=(
                    Q(state="requested", started_at=None, finished_at=None, files={}, failure_reason="")
                    | Q(state="running", started_at__isnull=False, finished_at=None, files={}, failure_reason="")
                    | (Q(state="done", started_at__isnull=False, finished_at__isnull=False, failure_reason="") & ~Q(files={}))
                    | (Q(state="failed", finished_at__isnull=False, files={}) & ~Q(failure_reason=""))
                ),
            ),
            models.UniqueConstraint(fields=["department", "last_day"], name="report_once_a_day", condition=Q(kind="daily")),
        ]

    def __str__(self) -> str:
        return f"{self.subject}, {self.period}"

    @property
    def subject(self) -> str:
        return "The whole shop" if self.department is None else self.department.name

    @property
    def period(self) -> str:
        return f"{self.first_day}" if self.first_day == self.last_day else f"{self.first_day} to {self.last_day}"

    @property
    def begins(self) -> datetime:
        return datetime.combine(self.first_day, time.min, UTC)

    @property
    def ends(self) -> datetime:
        """The first moment that does not belong to it."""
        return datetime.combine(self.last_day + timedelta(days=1), time.min, UTC)

    @property
    def is_final(self) -> bool:
        return self.state in {self.State.DONE, self.State.FAILED}

    @property
    def duration(self) -> timedelta | None:
        """From its first start to its end, waiting included."""
        return None if self.started_at is None or self.finished_at is None else self.finished_at - self.started_at

    @property
    def size_bytes(self) -> int:
        return sum(file["bytes"] for file in self.files.values())

    @property
    def work(self) -> str:
        """The key of its checkpoints."""
        return f"reports.report:{self.pk}"


class ReportPart(models.Model):
    """Some rows of a source that are read and stored. The row is committed with the checkpoint that goes on after it."""

    report = models.ForeignKey(Report, on_delete=models.CASCADE, related_name="parts", db_index=False)
    number = models.PositiveIntegerField()
    source = models.CharField(max_length=20)
    name = models.CharField(max_length=200)
    """In the storage."""
    rows = models.PositiveIntegerField()
    amount_minor = models.BigIntegerField()

    class Meta:
        ordering: ClassVar = ["number"]
        constraints: ClassVar = [models.UniqueConstraint(fields=["report", "number"], name="report_part_once")]

    def __str__(self) -> str:
        return f"{self.source} {self.number}"
