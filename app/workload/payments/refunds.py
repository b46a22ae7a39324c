"""What was captured is given back, in full and once."""

import uuid
from datetime import datetime

from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F
from django.utils import timezone

from app.engine.outbox.publisher import publish
from app.workload.payments import books
from app.workload.payments.errors import AmountDiffers, NotRefundable, PaymentUnknown
from app.workload.payments.gateway import GivenBack, NotGivenBack, open_gateway
from app.workload.payments.models import Payment, Refund
from app.workload.payments.services import UNTOUCHED_FOR, locked_payment, parse_id

_LONGEST_CODE = 100
_LONGEST_REASON = 500


def request_refund(pk: uuid.UUID, *, reason: str = "") -> Refund:
    """Accept the refund of a captured payment: the row and the message that carries it out. One that failed may be asked for again.

    Raises :class:`NotRefundable` for a payment that is not captured, and for one whose refund is under way or done.
    """
    with transaction.atomic():
        payment = locked_payment(pk)
        if payment.state != Payment.State.CAPTURED:
            raise NotRefundable(f"The {payment} is {payment.state}: only a captured payment can be refunded.")
        refund = Refund.objects.select_for_update().filter(payment=payment).first()
        if refund is None:
            refund = Refund.objects.create(payment=payment, amount_minor=payment.amount_minor, reason=reason)
        elif refund.state == Refund.State.FAILED:
            refund.state, refund.attempts, refund.failures = Refund.State.REQUESTED, 0, refund.failures + 1
            refund.failure_code = refund.failure_reason = ""
            refund.finished_at, refund.updated_at = None, timezone.now()
            refund.save()
        else:
            raise NotRefundable(f"The {payment} has a refund already: it is {refund.state}.")
        publish("payments.process_refund", payment_id=str(pk))
    return refund


def process_refund(payment_id: str) -> Refund:
    """Bring a refund to its end, giving back at most once, however often and by however many workers it is called.

        1 begin    row locked      final? done ─── else state = refunding, attempts + 1
        2 refund   no lock held    tried before ──▶ ask the gateway what it gave back of the intent
                                   nothing ───────▶ have it refund the whole amount, under the payment's own key
        3 finish   row locked      write the outcome, post it, publish what follows

    Killed anywhere, the next call asks first. Twins at once cannot refund twice, as the gateway never gives back more than it took.
    Raises :class:`~app.workload.payments.errors.GatewayUnavailable` when it is unknown whether it did.
    """
    pk = parse_id(payment_id)
    # Durable: no transaction is around it, so no lock is held when the gateway is called.
    with transaction.atomic(durable=True):
        refund = _locked(pk)
        if refund.is_final:
            return refund
        refund.state, refund.updated_at = Refund.State.REFUNDING, timezone.now()
        refund.attempts += 1
        refund.save(update_fields=["state", "attempts", "updated_at"])
    return _finish(pk, _give_back(refund))


def _give_back(refund: Refund) -> GivenBack | NotGivenBack:
    intent_id = str(refund.payment.intent_id)
    gateway = open_gateway()
    if refund.attempts > 1 or refund.failures:
        given = gateway.refunds_of(intent_id)
        if given:
            return _checked(refund, given)
    outcome = gateway.refund(intent_id, refund.money, idempotency_key=f"payment-{refund.pk}-refund-{refund.failures}")
    return _checked(refund, [outcome]) if isinstance(outcome, GivenBack) else outcome


def _checked(refund: Refund, given: list[GivenBack]) -> GivenBack:
    if len(given) != 1 or given[0].money != refund.money:
        amounts = ", ".join(f"{one.money} ({one.refund_id})" for one in given)
        raise AmountDiffers(f"The gateway has given back {amounts} for the {refund} of {refund.money}. Compare them in its dashboard.")
    return given[0]


def _finish(pk: uuid.UUID, outcome: GivenBack | NotGivenBack) -> Refund:
    with transaction.atomic():
        refund = _locked(pk)
        if refund.is_final:
            return refund
        refund.finished_at = refund.updated_at = timezone.now()
        if isinstance(outcome, GivenBack):
            refund.state, refund.gateway_refund_id = Refund.State.REFUNDED, outcome.refund_id
        else:
            refund.state = Refund.State.FAILED
            refund.failure_code, refund.failure_reason = outcome.code[:_LONGEST_CODE], outcome.reason[:_LONGEST_REASON]
        refund.save(update_fields=["state", "gateway_refund_id", "failure_code", "failure_reason", "finished_at", "updated_at"])
        if refund.state == Refund.State.REFUNDED:
            books.post_refund(refund.payment)
            publish("payments.update_balance", payment_id=str(pk))
            if refund.payment.customer_email:
                publish("payments.send_refund_notice", payment_id=str(pk))
    return refund


def resume_unfinished_refunds(now: datetime | None = None, limit: int = 1000) -> int:
    """Publish again the refunds that nobody has worked on for ``UNTOUCHED_FOR``; the older, the longer the pause. Returns how many."""
    moment = now or timezone.now()
    half_its_age = (F("updated_at") - F("created_at")) / 2
    with transaction.atomic():
        forgotten = Refund.objects.annotate(due_at=ExpressionWrapper(F("updated_at") + half_its_age, output_field=DateTimeField())).filter(
            state__in=[Refund.State.REQUESTED, Refund.State.REFUNDING], updated_at__lt=moment - UNTOUCHED_FOR, due_at__lt=moment
        )
        found = list(
            forgotten.order_by("updated_at").select_for_update(skip_locked=True, of=("self",)).values_list("pk", flat=True)[:limit]
        )
        Refund.objects.filter(pk__in=found).update(updated_at=moment)
        for pk in found:
            publish("payments.process_refund", payment_id=str(pk))
    return len(found)


def _locked(pk: uuid.UUID) -> Refund:
    try:
        return Refund.objects.select_for_update(of=("self",)).select_related("payment").get(pk=pk)
    except Refund.DoesNotExist as error:
        raise PaymentUnknown(f"There is no refund of a payment {pk}. If it was deleted, discard this message.") from error
