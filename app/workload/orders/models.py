import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

#: ISO 4217 code → digits after the point.
CURRENCIES = {"eur": 2, "gbp": 2, "usd": 2, "jpy": 0}
LARGEST_TOTAL_MINOR = 99_999_999
MOST_PIECES = 1000


def priced(amount_minor: int, currency: str) -> str:
    """For people: ``1,234.50 EUR``."""
    digits = CURRENCIES[currency]
    whole, rest = divmod(amount_minor, 10**digits)
    return f"{whole:,}{f'.{rest:0{digits}d}' if digits else ''} {currency.upper()}"


class Product(models.Model):
    """What is sold. Stock changes by conditional updates only, and PostgreSQL refuses a negative one."""

    sku = models.CharField("SKU", max_length=40, unique=True)
    name = models.CharField(max_length=200)
    price_minor = models.BigIntegerField(help_text="In the currency's smallest unit: 1999 is 19.99 EUR.")
    currency = models.CharField(max_length=3, choices=[(code, code.upper()) for code in sorted(CURRENCIES)])
    stock = models.IntegerField(default=0)
    is_sold = models.BooleanField("sold", default=True)

    class Meta:
        ordering: ClassVar = ["sku"]
        constraints: ClassVar = [
            models.CheckConstraint(name="product_stock_never_negative", condition=Q(stock__gte=0)),
            models.CheckConstraint(name="product_price_in_range", condition=Q(price_minor__gte=1, price_minor__lte=LARGEST_TOTAL_MINOR)),
        ]

    def __str__(self) -> str:
        return f"{self.name} ({self.sku})"

    @property
    def price(self) -> str:
        return priced(self.price_minor, self.currency)


class Order(models.Model):
    """What a customer wants, at the prices of the moment. Its saga moves it.

    placed ── accepted ──▶ processing ── all steps done ──▶ fulfilled
       └───────────────────────┴──────── undone ──────────▶ failed, with the reason
    """

    class State(models.TextChoices):
        PLACED = "placed"
        PROCESSING = "processing"
        FULFILLED = "fulfilled"
        FAILED = "failed"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="orders")
    customer_email = models.EmailField()
    payment_method = models.CharField(max_length=255)
    currency = models.CharField(max_length=3)
    total_minor = models.BigIntegerField()
    state = models.CharField(max_length=20, choices=State.choices, default=State.PLACED)
    failure_code = models.CharField(max_length=100, blank=True)
    failure_reason = models.CharField(max_length=500, blank=True)
    reserved_at = models.DateTimeField(null=True, blank=True)
    released_at = models.DateTimeField(null=True, blank=True)
    confirmation_sent_at = models.DateTimeField(null=True, blank=True)
    apology_sent_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    updated_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["-created_at", "-id"]
        indexes: ClassVar = [
            models.Index(fields=["owner", "-created_at", "-id"], name="orders_of_owner"),
            models.Index(fields=["-created_at", "-id"], name="orders_newest"),
        ]
        constraints: ClassVar = [
            models.CheckConstraint(name="order_total_in_range", condition=Q(total_minor__gte=1, total_minor__lte=LARGEST_TOTAL_MINOR)),
            models.CheckConstraint(
                name="order_state_is_possible",
                condition=(
                    Q(state__in=["placed", "processing"], failure_code="", finished_at=None)
                    | Q(state="fulfilled", failure_code="", finished_at__isnull=False, released_at=None, reserved_at__isnull=False)
                    | (Q(state="failed", finished_at__isnull=False) & ~Q(failure_code="") & Q(reserved_at=None))
                    | (Q(state="failed", finished_at__isnull=False, released_at__isnull=False) & ~Q(failure_code=""))
                ),
            ),
        ]

    def __str__(self) -> str:
        return f"order {self.pk}"

    @property
    def total(self) -> str:
        return priced(self.total_minor, self.currency)

    @property
    def is_final(self) -> bool:
        return self.state in (self.State.FULFILLED, self.State.FAILED)


class OrderLine(models.Model):
    """Some pieces of one product, at the price of the moment."""

    order = models.ForeignKey(Order, on_delete=models.CASCADE, related_name="lines")
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    quantity = models.PositiveIntegerField()
    unit_price_minor = models.BigIntegerField()

    class Meta:
        ordering: ClassVar = ["id"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["order", "product"], name="line_once_per_product"),
            models.CheckConstraint(name="line_quantity_in_range", condition=Q(quantity__gte=1, quantity__lte=MOST_PIECES)),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} of product {self.product_id}"

    @property
    def price(self) -> str:
        return priced(self.quantity * self.unit_price_minor, self.order.currency)


class Shipment(models.Model):
    """What the warehouse is to pack: one for each order.

    requested ── the order is undone ──▶ recalled
    """

    class State(models.TextChoices):
        REQUESTED = "requested"
        RECALLED = "recalled"

    order = models.OneToOneField(Order, on_delete=models.PROTECT, related_name="shipment", primary_key=True)
    state = models.CharField(max_length=20, choices=State.choices, default=State.REQUESTED)
    requested_at = models.DateTimeField(default=timezone.now)
    recalled_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                name="shipment_state_is_possible",
                condition=Q(state="requested", recalled_at=None) | Q(state="recalled", recalled_at__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"shipment of {self.order_id}"


class DailySales(models.Model):
    """What was sold of a product on a day: the analytics."""

    day = models.DateField()
    product = models.ForeignKey(Product, on_delete=models.PROTECT, related_name="+")
    pieces = models.BigIntegerField(default=0)
    revenue_minor = models.BigIntegerField(default=0)

    class Meta:
        verbose_name_plural = "daily sales"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["day", "product"], name="sales_once_per_day_and_product"),
            models.CheckConstraint(name="sales_never_negative", condition=Q(pieces__gte=0, revenue_minor__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.product_id} on {self.day}"
