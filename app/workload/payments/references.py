"""Payments that another app asks for by task name, under a reference of its own: one payment each, charged once, given back once.

charge ──▶ captured ── refund ──▶ captured, refunded
   └─────▶ failed (Refused)
refund, before or while it is charged ──▶ failed, cancelled: a charge that comes late is refused
"""

from app.engine.sagas.errors import Refused
from app.workload.payments import refunds, services
from app.workload.payments.errors import GatewayRefused, ReferenceTaken
from app.workload.payments.models import Payment, Refund
from app.workload.payments.money import Money


def charge(reference: str, *, owner_id: int, money: Money, payment_method: str, description: str) -> Payment:
    """The captured payment of that reference. Raises :class:`~app.engine.sagas.errors.Refused` if the card is declined."""
    payment = services.process_payment(str(_payment_of(reference, owner_id, money, payment_method, description).pk))
    if payment.state != Payment.State.CAPTURED:
        raise Refused(payment.failure_reason or "The payment failed.", code=payment.failure_code)
    return payment


def refund(reference: str, *, owner_id: int, money: Money, payment_method: str, description: str) -> Payment:
    """Have nothing taken for that reference: what was captured is given back, what was not is cancelled for good.

    Raises :class:`GatewayRefused` if the gateway gives nothing back; asking again has it try again.
    """
    # The row is made if there is none: a charge that is still on its way must find it.
    payment = services.cancel_payment(_payment_of(reference, owner_id, money, payment_method, description).pk)
    if payment.state != Payment.State.CAPTURED:
        return payment
    earlier = Refund.objects.filter(payment=payment).first()
    if earlier is None or earlier.state == Refund.State.FAILED:
        refunds.request_refund(payment.pk, reason=f"{reference} was undone")
    outcome = refunds.process_refund(str(payment.pk))
    if outcome.state != Refund.State.REFUNDED:
        raise GatewayRefused(f"The {outcome} failed: {outcome.failure_reason} ({outcome.failure_code})")
    return payment


def _payment_of(reference: str, owner_id: int, money: Money, payment_method: str, description: str) -> Payment:
    asked = {
        "owner_id": owner_id,
        "amount_minor": money.amount_minor,
        "currency": money.currency,
        "payment_method": payment_method,
    }
    payment, _ = Payment.objects.get_or_create(reference=reference, defaults=asked | {"description": description})
    if any(getattr(payment, name) != value for name, value in asked.items()):
        raise ReferenceTaken(f"{reference!r} is the reference of {payment}, which is another one. A reference is for one payment.")
    return payment
