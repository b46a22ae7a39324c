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
    customer_email = models.EmailField(blank=True)
    """Nothing for a payment whose asker writes to the customer."""
    description = models.CharField(max_length=500, blank=True)
    reference = models.CharField(max_length=255, unique=True, null=True, blank=True)
    """Of whoever asked for it by task name, such as an order: one payment each. Nothing for payments that were requested here."""

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


class Refund(models.Model):
    """The whole of a captured payment, given back. One for each payment, so that never more is given than was taken.

    requested ── a worker takes it ──▶ refunding ── the gateway gave the money back ──▶ refunded
                                        │  ▲  └──── the gateway says no ──────────────▶ failed
                                        └──┘ another attempt         failed ── asked for again ──▶ requested
    """

    class State(models.TextChoices):
        REQUESTED = "requested"
        REFUNDING = "refunding"
        REFUNDED = "refunded"
        FAILED = "failed"

    payment = models.OneToOneField(Payment, on_delete=models.PROTECT, related_name="refund", primary_key=True)
    amount_minor = models.BigIntegerField()
    reason = models.CharField(max_length=500, blank=True)
    state = models.CharField(max_length=20, choices=State.choices, default=State.REQUESTED)
    attempts = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)
    """How often the gateway has said no, and it was asked for again: each time under a new idempotency key."""
    gateway_refund_id = models.CharField(max_length=255, unique=True, null=True, blank=True)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_reason = models.CharField(max_length=500, blank=True)
    notice_sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        indexes: ClassVar = [
            models.Index(fields=["updated_at"], name="refunds_unfinished", condition=Q(state__in=["requested", "refunding"])),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(name="refund_amount_in_range", condition=Q(amount_minor__gte=1, amount_minor__lte=LARGEST_AMOUNT_MINOR)),
            models.CheckConstraint(
                name="refund_state_is_possible",
                condition=(
                    Q(state="requested", attempts=0, gateway_refund_id=None, failure_code="", finished_at=None)
                    | Q(state="refunding", attempts__gte=1, gateway_refund_id=None, failure_code="", finished_at=None)
                    | Q(state="refunded", gateway_refund_id__isnull=False, failure_code="", finished_at__isnull=False)
                    | (Q(state="failed", gateway_refund_id=None, finished_at__isnull=False) & ~Q(failure_code=""))
                ),
            ),
            models.CheckConstraint(name="refund_told_only_if_refunded", condition=Q(notice_sent_at=None) | Q(state="refunded")),
        ]

    def __str__(self) -> str:
        return f"refund of payment {self.payment_id}"

    @property
    def money(self) -> Money:
        return Money(amount_minor=self.amount_minor, currency=self.payment.currency)

    @property
    def is_final(self) -> bool:
        return self.state in (self.State.REFUNDED, self.State.FAILED)


class Posting(models.Model):
    """One movement of money, written with the row that says it happened. Its lines add up to zero: PostgreSQL refuses the commit otherwise."""

    class Kind(models.TextChoices):
        CAPTURE = "capture"
        REFUND = "refund"

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="postings")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["payment", "kind"], name="posting_once_per_movement")]

    def __str__(self) -> str:
        return f"{self.kind} of payment {self.payment_id}"


class PostingLine(models.Model):
    """One account's part of a posting: debits are positive, credits negative."""

    class Account(models.TextChoices):
        GATEWAY_CLEARING = "gateway_clearing", "Gateway clearing"
        """What the gateway holds for us."""
        REVENUE = "revenue"
        REFUNDS = "refunds"

    posting = models.ForeignKey(Posting, on_delete=models.PROTECT, related_name="lines")
    account = models.CharField(max_length=20, choices=Account.choices)
    amount_minor = models.BigIntegerField()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["posting", "account"], name="line_once_per_account"),
            models.CheckConstraint(name="line_moves_something", condition=~Q(amount_minor=0)),
            models.CheckConstraint(name="line_account_is_known", condition=Q(account__in=["gateway_clearing", "revenue", "refunds"])),
        ]

    def __str__(self) -> str:
        return f"{self.money} on {self.account}"

    @property
    def money(self) -> Money:
        return Money(amount_minor=self.amount_minor, currency=self.posting.currency)


class Balance(models.Model):
    """What an owner's captured payments come to, less what was refunded, per currency: the sum of its entries."""

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="balances")
    currency = models.CharField(max_length=3, choices=[(code, code.upper()) for code in sorted(CURRENCIES)])
    amount_minor = models.BigIntegerField(default=0)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["owner", "currency"], name="balance_once_per_currency")]

    def __str__(self) -> str:
        return str(Money(amount_minor=self.amount_minor, currency=self.currency))


class BalanceEntry(models.Model):
    """A movement's part of the balance; a refund's is negative. That there is one of each keeps it from being added twice."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="balance_entries")
    kind = models.CharField(max_length=20, choices=Posting.Kind.choices, default=Posting.Kind.CAPTURE)
    amount_minor = models.BigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        verbose_name_plural = "balance entries"
        constraints: ClassVar = [models.UniqueConstraint(fields=["payment", "kind"], name="balance_entry_once_per_movement")]

    def __str__(self) -> str:
        return f"{self.amount_minor} for payment {self.payment_id}"
