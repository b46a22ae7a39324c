"""What follows when money has moved: the customer is told, and the owner's balance changes."""

from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F
from django.template.loader import render_to_string
from django.utils import timezone

from app.engine.mail.post import message_id, send_unless_accepted
from app.workload.payments.errors import PaymentNotCaptured
from app.workload.payments.models import Balance, BalanceEntry, Payment, Posting, Refund
from app.workload.payments.services import locked_payment, parse_id


def send_confirmation(payment_id: str) -> bool:
    """Mail the customer that the payment was captured, and return whether this call did.

    Once, as twins wait for each other at the row. At least once when killed between sending and committing, but for the local files, which
    are asked: the second mail then has the same Message-ID, by which mail programs know it. The row is locked for as long as the server takes.

    Raises what :meth:`app.engine.mail.post.Post.send` raises.
    """
    with transaction.atomic():
        payment = _captured(payment_id)
        if payment.confirmation_sent_at is not None:
            return False
        send_unless_accepted(_confirmation_of(payment), payment.created_at)
        payment.confirmation_sent_at = timezone.now()
        payment.save(update_fields=["confirmation_sent_at"])
    return True


def send_refund_notice(payment_id: str) -> bool:
    """Mail the customer that the money is on its way back, and return whether this call did: as ``send_confirmation`` does."""
    with transaction.atomic():
        payment = _captured(payment_id)
        refund = Refund.objects.select_for_update().filter(payment=payment, state=Refund.State.REFUNDED).first()
        if refund is None:
            raise PaymentNotCaptured(f"The {payment} is not refunded; only of refunded payments the customer is told so.")
        if refund.notice_sent_at is not None:
            return False
        send_unless_accepted(_notice_of(payment, refund), refund.created_at)
        refund.notice_sent_at = timezone.now()
        refund.save(update_fields=["notice_sent_at"])
    return True


def _confirmation_of(payment: Payment) -> EmailMessage:
    return EmailMessage(
        subject=f"Your payment of {payment.money}",
        body=render_to_string("payments/confirmation.txt", {"payment": payment}),
        to=[payment.customer_email],
        headers={"Message-ID": message_id(f"payment-{payment.pk}")},
    )


def _notice_of(payment: Payment, refund: Refund) -> EmailMessage:
    return EmailMessage(
        subject=f"Your refund of {payment.money}",
        body=render_to_string("payments/refund.txt", {"payment": payment, "refund": refund}),
        to=[payment.customer_email],
        headers={"Message-ID": message_id(f"payment-{payment.pk}-refund")},
    )


def update_balance(payment_id: str) -> bool:
    """Add to the owner's balance what was captured, and take off what was refunded, each once; return whether this call changed it."""
    with transaction.atomic():
        payment = _captured(payment_id)
        due = {Posting.Kind.CAPTURE: payment.amount_minor}
        if Refund.objects.filter(payment=payment, state=Refund.State.REFUNDED).exists():
            due[Posting.Kind.REFUND] = -payment.amount_minor
        missing = {kind: amount for kind, amount in due.items() if not BalanceEntry.objects.filter(payment=payment, kind=kind).exists()}
        if not missing:
            return False
        # The payment's row is locked: a twin waits, and then finds them.
        BalanceEntry.objects.bulk_create(BalanceEntry(payment=payment, kind=kind, amount_minor=amount) for kind, amount in missing.items())
        balance, _ = Balance.objects.get_or_create(owner_id=payment.owner_id, currency=payment.currency)
        Balance.objects.filter(pk=balance.pk).update(amount_minor=F("amount_minor") + sum(missing.values()))
    return True


def _captured(payment_id: str) -> Payment:
    payment = locked_payment(parse_id(payment_id))
    if payment.state != Payment.State.CAPTURED:
        raise PaymentNotCaptured(f"The {payment} is {payment.state}; only captured payments are confirmed and added to balances.")
    return payment
