from datetime import UTC, datetime

from django.contrib.auth import get_user_model

from app.workload.payments.models import BalanceEntry, Payment
from app.workload.payments.story import TONES, tell

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def a_payment(**fields: object) -> Payment:
    owner = get_user_model()(username="ada")
    return Payment(owner=owner, amount_minor=1999, currency="eur", payment_method="pm_card_visa", customer_email="a@example.com", **fields)


def test_every_state_has_a_tone() -> None:
    assert set(TONES) == set(Payment.State)


def test_a_new_payment_has_nothing_but_its_request_behind_it() -> None:
    story = tell(a_payment(), None)
    assert [step.title for step in story] == ["Requested", "Charging", "Intent", "Outcome"]
    assert story[1].text == "No worker has taken it yet."


def test_a_captured_payment_is_told_to_its_end() -> None:
    payment = a_payment(
        state=Payment.State.CAPTURED, attempts=2, intent_id="pi_1", transaction_id="ch_1", finished_at=NOON, confirmation_sent_at=NOON
    )
    story = tell(payment, BalanceEntry(amount_minor=1999, created_at=NOON))
    assert [step.title for step in story] == ["Requested", "Charging", "Intent", "Captured", "Confirmation", "Balance"]
    assert {step.tone for step in story} == {"ok"}
    assert story[-1].text == "19.99 EUR added to ada."


def test_a_declined_payment_says_why() -> None:
    payment = a_payment(state=Payment.State.FAILED, attempts=1, failure_code="expired_card", failure_reason="Expired.", finished_at=NOON)
    assert tell(payment, None)[-1].text == "Expired. (expired_card)"
