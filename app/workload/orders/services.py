"""What is done with orders. Each function is one transaction, or a part of the caller's."""

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from app.engine.outbox.publisher import publish
from app.engine.sagas.conductor import saga_of, start
from app.engine.sagas.errors import Refused
from app.workload.orders.errors import CannotBeOrdered, OrderUnknown
from app.workload.orders.models import LARGEST_TOTAL_MINOR, DailySales, Order, OrderLine, Product, Shipment, priced

SAGA = "orders.fulfil"
_LONGEST_REASON = 500
_LONGEST_CODE = 100
#: Of a notification.
_LONGEST_WORDS = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One line of what a customer asks for."""

    sku: str
    quantity: int


def place_order(*, owner: AbstractBaseUser, wanted: Iterable[Wanted], payment_method: str, customer_email: str) -> Order:
    """Accept an order at the present prices: the row and the message that has it processed are there together or not at all.

    Nothing is reserved yet: somebody may be faster. Raises :class:`CannotBeOrdered`.
    """
    lines = list(wanted)
    products = {product.sku: product for product in Product.objects.filter(sku__in=[line.sku for line in lines], is_sold=True)}
    _check(lines, products)
    (currency,) = {product.currency for product in products.values()}
    total = sum(products[line.sku].price_minor * line.quantity for line in lines)
    if total > LARGEST_TOTAL_MINOR:
        raise CannotBeOrdered(
            f"The order comes to {priced(total, currency)}; at most {priced(LARGEST_TOTAL_MINOR, currency)} can be charged."
        )
    with transaction.atomic():
        order = Order.objects.create(
            owner_id=owner.pk, payment_method=payment_method, customer_email=customer_email, currency=currency, total_minor=total
        )
        OrderLine.objects.bulk_create(
            OrderLine(order=order, product=products[line.sku], quantity=line.quantity, unit_price_minor=products[line.sku].price_minor)
            for line in lines
        )
        publish("orders.process_order_workflow", order_id=str(order.pk))
    return order


def _check(lines: list[Wanted], products: dict[str, Product]) -> None:
    if not lines:
        raise CannotBeOrdered("An order has at least one line.")
    seen: set[str] = set()
    for number, line in enumerate(lines):
        product = products.get(line.sku)
        if product is None:
            raise CannotBeOrdered(f"We do not sell {line.sku!r}.", line=number)
        if line.sku in seen:
            raise CannotBeOrdered(f"{line.sku!r} stands on two lines: order all of its pieces on one.", line=number)
        if product.currency != products[lines[0].sku].currency:
            raise CannotBeOrdered(
                f"{line.sku!r} is priced in {product.currency.upper()}, the first line is not: order them apart.", line=number
            )
        if product.stock < line.quantity:
            raise CannotBeOrdered(f"Of {line.sku!r} there are {product.stock} in stock.", line=number)
        seen.add(line.sku)


def process_order_workflow(order_id: str) -> str:
    """Start the order's saga, or find the one that it has, and return its id."""
    with transaction.atomic():
        order = locked_order(order_id)
        return str(start(SAGA, subject=order.pk).pk)


def payment_arguments(order_id: str) -> dict[str, Any]:
    """What the payments' tasks are told of an order: whole numbers of the row. The reference is the idempotency key: one payment an order."""
    order = Order.objects.get(pk=order_id)
    return {
        "reference": f"order-{order.pk}",
        "owner_id": order.owner_id,
        "amount_minor": order.total_minor,
        "currency": order.currency,
        "payment_method": order.payment_method,
        "description": f"Order {str(order.pk)[:8]}",
    }


# -- the steps ------------------------------------------------------------------------------------------------------------


def accept_order(order_id: str) -> str:
    with transaction.atomic():
        order = locked_order(order_id)
        if order.state == Order.State.PLACED:
            order.state = Order.State.PROCESSING
            _save(order, "state")
    return order.state


def validate_order(order_id: str) -> bool:
    """Raises :class:`~app.engine.sagas.errors.Refused` for what is not sold any more, or is out of stock already."""
    for line in locked_order(order_id).lines.select_related("product"):
        if not line.product.is_sold:
            raise Refused(f"{line.product} is not sold any more.", code="not_sold")
        if line.product.stock < line.quantity:
            raise _out_of_stock(line)
    return True


def reserve_stock(order_id: str) -> bool:
    """Take all pieces off the shelf or none, and return whether this call did. Raises :class:`~app.engine.sagas.errors.Refused`."""
    with transaction.atomic():
        order = locked_order(order_id)
        if order.reserved_at is not None:
            return False
        # In one order, so that two orders of the same products wait for each other and do not deadlock.
        for line in order.lines.select_related("product").order_by("product_id"):
            # | stock ≥ quantity ── taken ──▶ stock - quantity |  otherwise nothing, and what was taken before is rolled back |
            taken = Product.objects.filter(pk=line.product_id, stock__gte=line.quantity).update(stock=F("stock") - line.quantity)
            if not taken:
                raise _out_of_stock(line)
        order.reserved_at = timezone.now()
        _save(order, "reserved_at")
    return True


def release_stock(order_id: str) -> bool:
    """Put what was reserved back, and return whether this call did."""
    with transaction.atomic():
        order = locked_order(order_id)
        if order.reserved_at is None or order.released_at is not None:
            return False
        for line in order.lines.order_by("product_id"):
            Product.objects.filter(pk=line.product_id).update(stock=F("stock") + line.quantity)
        order.released_at = timezone.now()
        _save(order, "released_at")
    return True


def notify_warehouse(order_id: str) -> bool:
    with transaction.atomic():
        _, is_first = Shipment.objects.get_or_create(order=locked_order(order_id))
    return is_first


def recall_shipment(order_id: str) -> bool:
    # | requested ── recalled ──▶ recalled |
    requested = Shipment.objects.filter(order_id=parse_id(order_id), state=Shipment.State.REQUESTED)
    return requested.update(state=Shipment.State.RECALLED, recalled_at=timezone.now()) == 1


def count_sales(order_id: str, *, sign: int) -> int:
    """Add the order to the sales of the day on which it was placed, or take it off; return how many pieces. Counts each time it is called."""
    with transaction.atomic():
        order = locked_order(order_id)
        lines = list(order.lines.order_by("product_id"))
        for line in lines:
            sales, _ = DailySales.objects.get_or_create(day=order.created_at.date(), product_id=line.product_id)
            pieces, revenue = sign * line.quantity, sign * line.quantity * line.unit_price_minor
            DailySales.objects.filter(pk=sales.pk).update(pieces=F("pieces") + pieces, revenue_minor=F("revenue_minor") + revenue)
    return sign * sum(line.quantity for line in lines)


def finish_order(order_id: str) -> str:
    with transaction.atomic():
        order = locked_order(order_id)
        if not order.is_final:
            order.state, order.finished_at = Order.State.FULFILLED, timezone.now()
            _save(order, "state", "finished_at")
            _tell_owner(order, "order_confirmed")
    return order.state


def fail_order(order_id: str) -> str:
    """Note why the order has failed: its saga knows."""
    with transaction.atomic():
        order = locked_order(order_id)
        if not order.is_final:
            saga = saga_of(SAGA, subject=order.pk)
            order.state, order.finished_at = Order.State.FAILED, timezone.now()
            order.failure_code = (saga.code if saga else "")[:_LONGEST_CODE] or "failed"
            order.failure_reason = (saga.reason if saga else "")[:_LONGEST_REASON]
            _save(order, "state", "finished_at", "failure_code", "failure_reason")
            _tell_owner(order, "order_cancelled", reason=order.failure_reason[:_LONGEST_WORDS] or "It could not be fulfilled.")
    return order.state


def locked_order(order_id: str) -> Order:
    """Its row, locked for the rest of the transaction. Raises :class:`OrderUnknown`."""
    pk = parse_id(order_id)
    try:
        return Order.objects.select_for_update().get(pk=pk)
    except Order.DoesNotExist as error:
        raise OrderUnknown(f"There is no order {pk}. If it was deleted, discard this message.") from error


def parse_id(order_id: str) -> uuid.UUID:
    """Raises :class:`OrderUnknown` for what is no id."""
    try:
        return uuid.UUID(order_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise OrderUnknown(f"{order_id!r:.100} is not the id of an order; expected a UUID. Discard this message.") from error


def _out_of_stock(line: OrderLine) -> Refused:
    return Refused(f"Of {line.product} there are not {line.quantity} left.", code="out_of_stock")


def _tell_owner(order: Order, kind: str, **context: str) -> None:
    """Who placed it, in the shop's own pages; the customer has a mail."""
    publish("notifications.user_notification", user_id=order.owner_id, kind=kind, context={"order_id": str(order.pk), **context})


def _save(order: Order, *fields: str) -> None:
    order.updated_at = timezone.now()
    order.save(update_fields=[*fields, "updated_at"])
