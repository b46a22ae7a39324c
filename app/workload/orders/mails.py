"""What customers are told of their orders."""

from django.core.mail import EmailMessage
from django.db import transaction
from django.template.loader import render_to_string
from django.utils import timezone

from app.engine.mail.post import message_id, send_unless_accepted
from app.engine.sagas.conductor import saga_of
from app.workload.orders.models import Order
from app.workload.orders.services import SAGA, locked_order


def send_confirmation(order_id: str) -> bool:
    """Mail what is on its way, and return whether this call did. Twins wait for each other at the row.

    Once with local files; with SMTP and SES, which cannot be asked, at least once when killed.
    """
    with transaction.atomic():
        order = locked_order(order_id)
        if order.confirmation_sent_at is not None:
            return False
        _send(order, "confirmation", f"Your order of {order.total}", {})
        order.confirmation_sent_at = timezone.now()
        order.save(update_fields=["confirmation_sent_at"])
    return True


def send_apology(order_id: str) -> bool:
    """Mail that nothing comes of the order, and why, and return whether this call did: as ``send_confirmation`` does."""
    with transaction.atomic():
        order = locked_order(order_id)
        if order.apology_sent_at is not None:
            return False
        saga = saga_of(SAGA, subject=order.pk)
        _send(order, "apology", f"Your order of {order.total} could not be fulfilled", {"reason": saga.reason if saga else ""})
        order.apology_sent_at = timezone.now()
        order.save(update_fields=["apology_sent_at"])
    return True


def _send(order: Order, kind: str, subject: str, more: dict[str, str]) -> None:
    lines = order.lines.select_related("product", "order")
    mail = EmailMessage(
        subject=subject,
        body=render_to_string(f"orders/{kind}.txt", {"order": order, "lines": lines, **more}),
        to=[order.customer_email],
        headers={"Message-ID": message_id(f"order-{order.pk}-{kind}")},
    )
    send_unless_accepted(mail, order.created_at)
