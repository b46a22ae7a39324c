"""Entry points of workers. Each is retried by the engine when it raises a ``TransientError``."""

from dataclasses import asdict
from typing import Any

from celery import shared_task

from app.workload.payments import books, follow_ups, references, refunds, services
from app.workload.payments.money import Money


@shared_task(name="payments.process_payment")
def process_payment(*, payment_id: str) -> dict[str, str]:
    """Charge a payment's card, once.

    Twice: a final payment is left alone, an unfinished one is looked up at the gateway before it is charged. Killed half-way: the
    row remembers the intent, and the gateway what became of it.
    """
    payment = services.process_payment(payment_id)
    return {"payment_id": str(payment.pk), "state": payment.state}


@shared_task(name="payments.process_refund")
def process_refund(*, payment_id: str) -> dict[str, str]:
    """Give a payment back, once. Twice: a final refund is left alone. Killed half-way: the gateway is asked what it gave back."""
    refund = refunds.process_refund(payment_id)
    return {"payment_id": str(refund.pk), "state": refund.state}


@shared_task(name="payments.charge_reference")
def charge_reference(
    *, reference: str, owner_id: int, amount_minor: int, currency: str, payment_method: str, description: str = ""
) -> dict[str, str | None]:
    """Charge a card for another app, under its reference; a declined card is ``Refused``.

    Twice, and under another task id: the reference has one payment. Killed half-way: as ``payments.process_payment``.
    """
    money = Money(amount_minor=amount_minor, currency=currency)
    payment = references.charge(reference, owner_id=owner_id, money=money, payment_method=payment_method, description=description)
    return {"payment_id": str(payment.pk), "transaction_id": payment.transaction_id}


@shared_task(name="payments.refund_reference")
def refund_reference(
    *, reference: str, owner_id: int, amount_minor: int, currency: str, payment_method: str, description: str = ""
) -> dict[str, str]:
    """Undo ``payments.charge_reference``, also before it was run, and while it is.

    Twice: what is refunded or cancelled stays so. Killed half-way: the rows and the gateway say how far it came.
    """
    money = Money(amount_minor=amount_minor, currency=currency)
    payment = references.refund(reference, owner_id=owner_id, money=money, payment_method=payment_method, description=description)
    return {"payment_id": str(payment.pk), "state": payment.state}


@shared_task(name="payments.send_confirmation")
def send_confirmation(*, payment_id: str) -> bool:
    """Mail the customer. Twice: the row says that it was sent. Killed between sending and marking: the mail goes out again,
    with the same Message-ID, but for the local files, which are asked."""
    return follow_ups.send_confirmation(payment_id)


@shared_task(name="payments.send_refund_notice")
def send_refund_notice(*, payment_id: str) -> bool:
    """Mail the customer that the money comes back. Twice or killed half-way: as ``payments.send_confirmation``."""
    return follow_ups.send_refund_notice(payment_id)


@shared_task(name="payments.update_balance")
def update_balance(*, payment_id: str) -> bool:
    """Bring the owner's balance up to date with a payment. Twice: its entries are there already. Killed: entries and sum are one transaction."""
    return follow_ups.update_balance(payment_id)


@shared_task(name="payments.resume_unfinished")
def resume_unfinished() -> int:
    """Publish forgotten payments and refunds again. Twice: what was just published is not forgotten any more. Killed: a batch is a transaction."""
    return services.resume_unfinished() + refunds.resume_unfinished_refunds()


@shared_task(name="payments.check_books")
def check_books() -> dict[str, Any]:
    """Fail if postings, payments and balances disagree, so that a person looks. Reads only: twice or killed half-way, nothing happens."""
    return asdict(books.check_books())
