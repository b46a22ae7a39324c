"""A payment told in steps, for its page."""

from dataclasses import dataclass
from datetime import datetime

from app.workload.payments.models import BalanceEntry, Payment, Refund
from app.workload.payments.money import Money

#: State → modifier of the badge's class.
TONES = {
    Payment.State.REQUESTED: "idle",
    Payment.State.CHARGING: "busy",
    Payment.State.CAPTURED: "ok",
    Payment.State.FAILED: "bad",
}


REFUND_TONES = {
    Refund.State.REQUESTED: "idle",
    Refund.State.REFUNDING: "busy",
    Refund.State.REFUNDED: "warn",
    Refund.State.FAILED: "bad",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """``happened_at`` is empty for what has not happened, and for what leaves no time."""

    title: str
    text: str
    tone: str
    happened_at: datetime | None = None


def tell(payment: Payment, entry: BalanceEntry | None, refund: Refund | None = None) -> list[Step]:
    """The steps so far and the ones to come, in order."""
    steps = [
        Step(title="Requested", text=f"{payment.money} by {payment.payment_method}", tone="ok", happened_at=payment.created_at),
        _attempts(payment),
        _intent(payment),
    ]
    match payment.state:
        case Payment.State.CAPTURED:
            captured = f"The gateway took the money: {payment.transaction_id}"
            steps += [
                Step(title="Captured", text=captured, tone="ok", happened_at=payment.finished_at),
                _confirmation(payment),
                _balance(payment, entry),
                *_refund(refund),
            ]
        case Payment.State.FAILED:
            failed = f"{payment.failure_reason} ({payment.failure_code})"
            steps.append(Step(title="Declined", text=failed, tone="bad", happened_at=payment.finished_at))
        case _:
            steps.append(Step(title="Outcome", text="Not known yet.", tone="idle"))
    return steps


def _attempts(payment: Payment) -> Step:
    if payment.attempts == 0:
        return Step(title="Charging", text="No worker has taken it yet.", tone="idle")
    times = "once" if payment.attempts == 1 else f"{payment.attempts} times"
    return Step(title="Charging", text=f"Taken up {times}.", tone="ok" if payment.is_final else "busy")


def _intent(payment: Payment) -> Step:
    if payment.intent_id is None:
        return Step(title="Intent", text="None at the gateway that we know of.", tone="idle")
    return Step(title="Intent", text=payment.intent_id, tone="ok")


def _confirmation(payment: Payment) -> Step:
    if not payment.customer_email:
        return Step(title="Confirmation", text="None: whoever asked for the payment writes to the customer.", tone="idle")
    if payment.confirmation_sent_at is None:
        return Step(title="Confirmation", text=f"Not sent yet to {payment.customer_email}.", tone="idle")
    return Step(title="Confirmation", text=f"Sent to {payment.customer_email}.", tone="ok", happened_at=payment.confirmation_sent_at)


def _balance(payment: Payment, entry: BalanceEntry | None) -> Step:
    if entry is None:
        return Step(title="Balance", text="Not added yet.", tone="idle")
    added = Money(amount_minor=entry.amount_minor, currency=payment.currency)
    return Step(title="Balance", text=f"{added} added to {payment.owner}.", tone="ok", happened_at=entry.created_at)


def _refund(refund: Refund | None) -> list[Step]:
    if refund is None:
        return []
    asked = Step(title="Refund requested", text=refund.reason or "No reason was given.", tone="ok", happened_at=refund.created_at)
    match refund.state:
        case Refund.State.REFUNDED:
            text = f"The gateway gave the money back: {refund.gateway_refund_id}"
            return [asked, Step(title="Refunded", text=text, tone="warn", happened_at=refund.finished_at)]
        case Refund.State.FAILED:
            text = f"{refund.failure_reason} ({refund.failure_code})"
            return [asked, Step(title="Refund failed", text=text, tone="bad", happened_at=refund.finished_at)]
        case _:
            times = "No worker has taken it yet." if refund.attempts == 0 else f"Attempts so far: {refund.attempts}."
            return [asked, Step(title="Refunding", text=times, tone=REFUND_TONES[Refund.State(refund.state)])]
