"""What is done with payments."""

import uuid
from datetime import datetime, timedelta

from django.contrib.auth.models import AbstractBaseUser
from django.db import transaction
from django.db.models import DateTimeField, ExpressionWrapper, F
from django.utils import timezone

from app.engine.outbox.publisher import publish
from app.workload.payments import books
from app.workload.payments.errors import (
    AmountDiffers,
    GatewayUnavailable,
    OutcomeContradicts,
    PaymentUnknown,
)
from app.workload.payments.gateway import Captured, Declined, Intent, Unconfirmed, open_gateway
from app.workload.payments.models import Payment
from app.workload.payments.money import Money

CANCELLED = "cancelled"
UNTOUCHED_FOR = timedelta(minutes=5)
_LONGEST_REASON = 500
_LONGEST_CODE = 100


def request_payment(*, owner: AbstractBaseUser, money: Money, payment_method: str, customer_email: str, description: str = "") -> Payment:
    """Accept a payment: the row and the message that charges it are there together or not at all."""
    with transaction.atomic():
        payment = Payment.objects.create(
            owner_id=owner.pk,
            amount_minor=money.amount_minor,
            currency=money.currency,
            payment_method=payment_method,
            customer_email=customer_email,
            description=description,
        )
        publish("payments.process_payment", payment_id=str(payment.pk))
    return payment


def process_payment(payment_id: str) -> Payment:
    """Bring a payment to its end, charging at most once, however often and by however many workers it is called.

        1 begin    row locked      final? done ─── else state = charging, attempts + 1
        2 charge   no lock held    intent unknown ──▶ create it unconfirmed ──▶ remember its id, if none was remembered before
                                   intent known ────▶ ask the gateway what became of it
                                   requires confirmation ──▶ confirm it
        3 finish   row locked      write the outcome and publish what follows

    Killed anywhere, the next call goes on from what the row and the gateway know. Only the remembered intent is ever confirmed,
    and an intent captures at most once: this holds although the gateway forgets idempotency keys after a day. An intent that
    was created and not remembered stays unconfirmed and charges nobody.

    A declined card is an outcome. Raises :class:`GatewayUnavailable` when it is unknown whether there was a charge.
    """
    payment = _begin(parse_id(payment_id))
    if payment.is_final:
        return payment
    return _finish(payment, _charge(payment))


def _begin(pk: uuid.UUID) -> Payment:
    # Durable: no transaction is around it, so no lock is held when the gateway is called.
    with transaction.atomic(durable=True):
        payment = locked_payment(pk)
        if not payment.is_final:
            payment.state = Payment.State.CHARGING
            payment.attempts += 1
            payment.updated_at = timezone.now()
            payment.save(update_fields=["state", "attempts", "updated_at"])
    return payment


def _charge(payment: Payment) -> Captured | Declined:
    intent = _create_intent(payment) if payment.intent_id is None else open_gateway().retrieve(payment.intent_id)
    if isinstance(intent, Unconfirmed):
        _check_amount(payment, intent.money)
        intent = open_gateway().confirm(intent.intent_id, idempotency_key=f"payment-{payment.pk}-confirm")
    if isinstance(intent, Unconfirmed):
        raise GatewayUnavailable(f"Intent {intent.intent_id} is still unconfirmed after it was confirmed.")
    if isinstance(intent, Captured):
        _check_amount(payment, intent.money)
    return intent


def _create_intent(payment: Payment) -> Intent:
    intent = open_gateway().create(
        payment.money,
        payment_method=payment.payment_method,
        payment_id=str(payment.pk),
        idempotency_key=f"payment-{payment.pk}-create",
    )
    if isinstance(intent, Declined):
        return intent
    # | charging, no intent ── remember ──▶ this intent |  a twin was first ──▶ the twin's |  cancelled meanwhile ──▶ none, for ever |
    is_first = Payment.objects.filter(pk=payment.pk, state=Payment.State.CHARGING, intent_id=None).update(intent_id=intent.intent_id) == 1
    if not is_first:
        payment.refresh_from_db()
        if payment.intent_id is None:
            return Declined(code=payment.failure_code, reason=payment.failure_reason)
        if payment.intent_id != intent.intent_id:
            return open_gateway().retrieve(payment.intent_id)
    return intent


def _finish(charged: Payment, outcome: Captured | Declined) -> Payment:
    with transaction.atomic():
        payment = locked_payment(charged.pk)
        if payment.is_final:
            _check_agreement(payment, outcome)
            return payment
        payment.finished_at = payment.updated_at = timezone.now()
        if isinstance(outcome, Captured):
            payment.state = Payment.State.CAPTURED
            payment.transaction_id = outcome.transaction_id
            books.post_capture(payment)
            if payment.customer_email:
                publish("payments.send_confirmation", payment_id=str(payment.pk))
            publish("payments.update_balance", payment_id=str(payment.pk))
        else:
            payment.state = Payment.State.FAILED
            payment.failure_code = outcome.code[:_LONGEST_CODE]
            payment.failure_reason = outcome.reason[:_LONGEST_REASON]
        payment.save(update_fields=["state", "transaction_id", "failure_code", "failure_reason", "finished_at", "updated_at"])
    return payment


def cancel_payment(pk: uuid.UUID) -> Payment:
    """Bring a payment to its end without charging it, unless the money is taken already: then it ends captured.

        no intent remembered ── row locked ──▶ failed: a late worker's intent is not remembered, so it is never confirmed
        intent remembered ── cancelled at the gateway ──▶ failed: a late worker cannot confirm it
                └─────────── had captured ───────────────▶ captured

    Raises :class:`GatewayUnavailable` when it is unknown which.
    """
    with transaction.atomic(durable=True):
        payment = locked_payment(pk)
        if payment.is_final:
            return payment
        if payment.intent_id is None:
            return _finish(payment, Declined(code=CANCELLED, reason="The payment was cancelled before it was charged."))
    intent = open_gateway().cancel(payment.intent_id, idempotency_key=f"payment-{payment.pk}-cancel")
    if isinstance(intent, Unconfirmed):
        raise GatewayUnavailable(f"Intent {intent.intent_id} is still open after it was cancelled.")
    return _finish(payment, intent)


def _check_amount(payment: Payment, money: Money) -> None:
    if money != payment.money:
        raise AmountDiffers(f"The gateway speaks of {money} for {payment}. Compare intent {payment.intent_id} in its dashboard.")


def _check_agreement(payment: Payment, outcome: Captured | Declined) -> None:
    said = outcome.transaction_id if isinstance(outcome, Captured) else None
    if said != payment.transaction_id:
        raise OutcomeContradicts(
            f"The {payment} is {payment.state} with transaction {payment.transaction_id}, and the gateway now names {said}. "
            f"Compare intent {payment.intent_id} in its dashboard."
        )


def resume_unfinished(now: datetime | None = None, batch: int = 100, batches: int = 10) -> int:
    """Publish again the payments that nobody has worked on for ``UNTOUCHED_FOR``, oldest first, and return how many.

    The older a payment, the longer the pause, half its age: what no attempt can finish does not fill the dead letters.
    At most ``batches`` of ``batch``; the next run goes on.
    """
    moment = now or timezone.now()
    half_its_age = (F("updated_at") - F("created_at")) / 2
    forgotten = Payment.objects.annotate(
        due_at=ExpressionWrapper(F("updated_at") + half_its_age, output_field=DateTimeField()),
    ).filter(state__in=[Payment.State.REQUESTED, Payment.State.CHARGING], updated_at__lt=moment - UNTOUCHED_FOR, due_at__lt=moment)
    resumed = 0
    for _ in range(batches):
        with transaction.atomic():
            found = list(forgotten.order_by("updated_at").select_for_update(skip_locked=True).values_list("pk", flat=True)[:batch])
            Payment.objects.filter(pk__in=found).update(updated_at=moment)
            for pk in found:
                publish("payments.process_payment", payment_id=str(pk))
        resumed += len(found)
        if len(found) < batch:
            break
    return resumed


def locked_payment(pk: uuid.UUID) -> Payment:
    """Its row, locked for the rest of the transaction. Raises :class:`PaymentUnknown`."""
    try:
        return Payment.objects.select_for_update().get(pk=pk)
    except Payment.DoesNotExist as error:
        raise PaymentUnknown(f"There is no payment {pk}. If it was deleted, discard this message.") from error


def parse_id(payment_id: str) -> uuid.UUID:
    """Raises :class:`PaymentUnknown` for what is no id."""
    try:
        return uuid.UUID(payment_id)
    except (ValueError, TypeError, AttributeError) as error:
        raise PaymentUnknown(f"{payment_id!r:.100} is not the id of a payment; expected a UUID. Discard this message.") from error
