import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from smtplib import SMTPDataError, SMTPRecipientsRefused, SMTPServerDisconnected
from typing import Any

import pytest
from django.core import mail
from django.core.mail import EmailMessage
from django.db import IntegrityError, connections, transaction
from django.utils import timezone

from app.engine.mail.errors import MailRefused, MailUnavailable
from app.workload.payments import follow_ups, services
from app.workload.payments.errors import PaymentNotCaptured
from app.workload.payments.models import Balance, BalanceEntry, Payment
from tests.integration.payments.accounts import MakePayment, published

pytestmark = pytest.mark.django_db
several_connections = pytest.mark.django_db(transaction=True)


@pytest.fixture
def captured(make_payment: MakePayment) -> Payment:
    return services.process_payment(str(make_payment().pk))


def in_threads(workers: int, work: Any) -> list[Any]:
    barrier = threading.Barrier(workers)

    def run(_: int) -> Any:
        try:
            barrier.wait()
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, range(workers)))


@contextmanager
def refused_by_the_mail_server(monkeypatch: pytest.MonkeyPatch, error: Exception) -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> int:
        raise error

    with monkeypatch.context() as patched:
        patched.setattr(EmailMessage, "send", refuse)
        yield


@several_connections
def test_the_customer_gets_one_confirmation(captured: Payment) -> None:
    assert in_threads(4, lambda: follow_ups.send_confirmation(str(captured.pk))).count(True) == 1
    assert len(mail.outbox) == 1
    sent = mail.outbox[0]
    assert sent.to == ["customer@example.com"]
    assert "19.99 EUR" in sent.subject
    assert str(captured.transaction_id) in sent.body
    assert str(captured.pk) in sent.extra_headers["Message-ID"]


def test_a_confirmation_that_was_not_marked_goes_out_under_the_same_message_id(captured: Payment) -> None:
    follow_ups.send_confirmation(str(captured.pk))
    Payment.objects.filter(pk=captured.pk).update(confirmation_sent_at=None)
    follow_ups.send_confirmation(str(captured.pk))
    assert len({sent.extra_headers["Message-ID"] for sent in mail.outbox}) == 1


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (SMTPServerDisconnected("gone"), MailUnavailable),
        (ConnectionRefusedError(), MailUnavailable),
        (TimeoutError(), MailUnavailable),
        (SMTPDataError(451, b"later"), MailUnavailable),
        (SMTPDataError(554, b"never"), MailRefused),
        (SMTPRecipientsRefused({"a@example.com": (450, b"later")}), MailUnavailable),
        (SMTPRecipientsRefused({"a@example.com": (550, b"unknown")}), MailRefused),
    ],
)
def test_a_mail_servers_answer_decides_about_trying_again(
    captured: Payment, monkeypatch: pytest.MonkeyPatch, error: Exception, raised: type[Exception]
) -> None:
    with refused_by_the_mail_server(monkeypatch, error), pytest.raises(raised):
        follow_ups.send_confirmation(str(captured.pk))
    captured.refresh_from_db()
    assert captured.confirmation_sent_at is None


@several_connections
def test_a_payment_is_added_to_the_balance_once(captured: Payment) -> None:
    assert in_threads(4, lambda: follow_ups.update_balance(str(captured.pk))).count(True) == 1
    assert Balance.objects.get().amount_minor == 1999
    assert BalanceEntry.objects.get().payment == captured


@several_connections
def test_balances_are_kept_per_currency_and_lose_no_concurrent_payment(make_payment: MakePayment) -> None:
    payments = [services.process_payment(str(make_payment(amount_minor=100, currency=code).pk)) for code in ("eur", "eur", "eur", "jpy")]
    left = [str(payment.pk) for payment in payments]
    in_threads(4, lambda: follow_ups.update_balance(left.pop()))
    assert dict(Balance.objects.values_list("currency", "amount_minor")) == {"eur": 300, "jpy": 100}


def test_follow_ups_of_a_payment_that_is_not_captured_are_permanent_errors(make_payment: MakePayment) -> None:
    payment = make_payment()
    for follow_up in (follow_ups.send_confirmation, follow_ups.update_balance):
        with pytest.raises(PaymentNotCaptured):
            follow_up(str(payment.pk))


def test_forgotten_payments_are_published_again_and_only_those(make_payment: MakePayment) -> None:
    forgotten, fresh, final, stuck = (make_payment() for _ in range(4))
    services.process_payment(str(final.pk))
    long_ago = timezone.now() - timedelta(minutes=6)
    Payment.objects.filter(pk__in=[forgotten.pk, final.pk]).update(updated_at=long_ago, created_at=long_ago)
    Payment.objects.filter(pk=stuck.pk).update(state="charging", attempts=1, updated_at=long_ago, created_at=long_ago)

    assert services.resume_unfinished() == 2
    assert services.resume_unfinished() == 0
    counted = {payment.pk: published(payment)["payments.process_payment"] for payment in (forgotten, fresh, final, stuck)}
    assert counted == {forgotten.pk: 2, fresh.pk: 1, final.pk: 1, stuck.pk: 2}


def test_the_older_a_payment_the_longer_the_pause(make_payment: MakePayment) -> None:
    payment = make_payment()
    now = timezone.now()
    Payment.objects.update(created_at=now - timedelta(hours=3), updated_at=now - timedelta(minutes=59))
    assert services.resume_unfinished(now=now) == 0
    assert services.resume_unfinished(now=now + timedelta(minutes=2)) == 1
    assert published(payment)["payments.process_payment"] == 2


def test_resuming_goes_on_batch_by_batch(make_payment: MakePayment) -> None:
    for _ in range(5):
        make_payment()
    long_ago = timezone.now() - timedelta(minutes=6)
    Payment.objects.update(created_at=long_ago, updated_at=long_ago)
    assert services.resume_unfinished(batch=2, batches=2) == 4
    assert services.resume_unfinished(batch=2, batches=2) == 1


@pytest.mark.parametrize(
    "impossible",
    [
        {"amount_minor": 0},
        {"amount_minor": 100_000_000},
        {"currency": "EUR"},
        {"state": "captured"},
        {"state": "captured", "transaction_id": "ch_1", "finished_at": timezone.now()},
        {"state": "failed", "finished_at": timezone.now()},
        {"state": "charging", "attempts": 0},
        {"state": "requested", "transaction_id": "ch_1"},
        {"state": "refunded"},
        {"intent_id": ""},
        {"payment_method": ""},
        {"confirmation_sent_at": timezone.now()},
    ],
)
def test_the_database_refuses_impossible_payments(make_payment: MakePayment, impossible: dict[str, Any]) -> None:
    payment = make_payment()
    with pytest.raises(IntegrityError), transaction.atomic():
        Payment.objects.filter(pk=payment.pk).update(**impossible)
