import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from app.workload.payments.money import CURRENCIES, LARGEST_AMOUNT_MINOR, Money


class Payment(models.Model):
    """One charge of one card. What it charges never changes; states move only as drawn, in :mod:`~app.workload.payments.services`.

    requested ── a worker takes it ──▶ charging ── the gateway took the money ──▶ captured
                                        │  ▲  └─── the gateway says no ─────────▶ failed
                                        └──┘ another attempt
    """

    class State(models.TextChoices):
        REQUESTED = "requested"
        CHARGING = "charging"
        CAPTURED = "captured"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="payments")
    amount_minor = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    payment_method = models.CharField(max_length=255)
    customer_email = models.EmailField()
    description = models.CharField(max_length=500, blank=True)

    state = models.CharField(max_length=20, choices=State.choices, default=State.REQUESTED)
    attempts = models.PositiveIntegerField(default=0)
    intent_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    transaction_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_reason = models.CharField(max_length=500, blank=True)
    confirmation_sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="payments_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="payments_newest"),
            models.Index(fields=["updated_at"], name="payments_unfinished", condition=Q(state__in=["requested", "charging"])),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(
                name="payment_amount_in_range", condition=Q(amount_minor__gte=1, amount_minor__lte=LARGEST_AMOUNT_MINOR)
            ),
            models.CheckConstraint(name="payment_currency_is_code", condition=Q(currency__regex=r"^[a-z]{3}$")),
            models.CheckConstraint(
                name="payment_state_is_possible",
                condition=(
                    Q(state="requested", attempts=0, intent_id=None, transaction_id=None, failure_code="", finished_at=None)
                    | Q(state="charging", attempts__gte=1, transaction_id=None, failure_code="", finished_at=None)
                    | Q(
                        state="captured",
                        intent_id__isnull=False,
                        transaction_id__isnull=False,
                        failure_code="",
                        finished_at__isnull=False,
                    )
                    | (Q(state="failed", transaction_id=None, finished_at__isnull=False) & ~Q(failure_code=""))
                ),
            ),
            models.CheckConstraint(name="payment_confirmed_only_if_captured", condition=Q(confirmation_sent_at=None) | Q(state="captured")),
            models.CheckConstraint(
                name="payment_no_empty_references", condition=~Q(intent_id="") & ~Q(transaction_id="") & ~Q(payment_method="")
            ),
        ]

    def __str__(self) -> str:
        return f"payment {self.pk} of {self.money}"

    @property
    def money(self) -> Money:
        return Money(amount_minor=self.amount_minor, currency=self.currency)

    @property
    def is_final(self) -> bool:
        return self.state in (self.State.CAPTURED, self.State.FAILED)


class Balance(models.Model):
    """What an owner's captured payments come to, per currency: the sum of its entries."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="balances")
    currency = models.CharField(max_length=3, choices=[(code, code.upper()) for code in sorted(CURRENCIES)])
    amount_minor = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "currency"], name="balance_once_per_currency")]

    def __str__(self) -> str:
        return str(Money(amount_minor=self.amount_minor, currency=self.currency))


class BalanceEntry(models.Model):
    """A payment's part of the balance. That there is one per payment is what keeps it from being added twice."""

    payment = models.OneToOneField(Payment, on_delete=models.PROTECT, related_name="balance_entry")
    amount_minor = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "balance entries"

    def __str__(self) -> str:
        return f"{self.amount_minor} for payment {self.payment_id}"
