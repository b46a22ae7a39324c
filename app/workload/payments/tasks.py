"""Entry points of workers. Each is retried by the engine when it raises a ``TransientError``."""

from celery import shared_task

from app.workload.payments import services


@shared_task(name="payments.process_payment")
def process_payment(*, payment_id: str) -> dict[str, str]:
    """Charge a payment's card, once.

    Twice: a final payment is left alone, an unfinished one is looked up at the gateway before it is charged. Killed half-way: the
    row remembers the intent, and the gateway what became of it.
    """
    payment = services.process_payment(payment_id)
    return {"payment_id": str(payment.pk), "state": payment.state}


@shared_task(name="payments.send_confirmation")
def send_confirmation(*, payment_id: str) -> bool:
    """Mail the customer. Twice: the row says that it was sent. Killed between sending and marking: the mail goes out again,
    with the same Message-ID; no mail server can do better."""
    return services.send_confirmation(payment_id)


@shared_task(name="payments.update_balance")
def update_balance(*, payment_id: str) -> bool:
    """Add a payment to its owner's balance. Twice: its entry is there already. Killed half-way: entry and sum are one transaction."""
    return services.update_balance(payment_id)


@shared_task(name="payments.resume_unfinished")
def resume_unfinished() -> int:
    """Publish forgotten payments again. Twice: what was just published is not forgotten any more. Killed: a batch is a transaction."""
    return services.resume_unfinished()
