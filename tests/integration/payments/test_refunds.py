"""What was captured is given back once, in full, and the books add up, whatever happens on the way."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.core import mail
from django.db import IntegrityError, connection, connections, transaction

from app.engine.errors import TransientError
from app.engine.sagas.errors import Refused
from app.workload.payments import books, follow_ups, references, refunds, services
from app.workload.payments.errors import AmountDiffers, BooksDoNotBalance, NotRefundable, ReferenceTaken
from app.workload.payments.gateway import open_gateway
from app.workload.payments.models import Balance, Payment, Posting, PostingLine, Refund
from app.workload.payments.money import Money
from tests.integration.payments.accounts import GatewayServer, MakePayment, happened, published

pytestmark = pytest.mark.django_db
several_connections = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """Nothing that the code catches, like a SIGKILL."""


@pytest.fixture
def captured(make_payment: MakePayment) -> Payment:
    payment = services.process_payment(str(make_payment().pk))
    follow_ups.update_balance(str(payment.pk))
    return payment


def in_threads(workers: int, work: Callable[[], Any]) -> list[Any]:
    barrier = threading.Barrier(workers)

    def run(_: int) -> Any:
        barrier.wait()
        try:
            return work()
        except Exception as error:  # noqa: BLE001 — handed to the test
            return error
        finally:
            connections.close_all()

    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(run, range(workers)))


def refund_until_final(payment: Payment) -> Refund:
    for _ in range(8):
        try:
            return refunds.process_refund(str(payment.pk))
        except TransientError:
            continue
    raise AssertionError(f"the refund of {payment} is not final")


def test_a_captured_payment_is_given_back_and_the_books_and_the_balance_say_so(gateway: GatewayServer, captured: Payment) -> None:
    refunds.request_refund(captured.pk, reason="lost parcel")
    assert refunds.process_refund(str(captured.pk)).state == Refund.State.REFUNDED
    assert refunds.process_refund(str(captured.pk)).attempts == 1
    follow_ups.update_balance(str(captured.pk))

    assert happened(gateway, captured) == {"created": 1, "capture": 1, "refund": 1}
    assert Balance.objects.get().amount_minor == 0
    assert books.check_books().accounts == {"eur": {"gateway_clearing": 0, "revenue": -1999, "refunds": 1999}}
    assert published(captured)["payments.send_refund_notice"] == 1
    assert follow_ups.send_refund_notice(str(captured.pk))
    assert not follow_ups.send_refund_notice(str(captured.pk))
    assert "19.99 EUR" in mail.outbox[0].subject


def test_what_is_not_captured_or_refunded_before_is_not_refunded(make_payment: MakePayment, captured: Payment) -> None:
    with pytest.raises(NotRefundable, match="requested"):
        refunds.request_refund(make_payment().pk)
    refunds.request_refund(captured.pk)
    with pytest.raises(NotRefundable, match="already"):
        refunds.request_refund(captured.pk)


@pytest.mark.parametrize("mode", ["refuse", "timeout_before", "timeout_after", "error_500_before", "error_500_after", "reset_after"])
def test_a_refund_whose_answer_is_lost_is_given_back_once(gateway: GatewayServer, captured: Payment, mode: str) -> None:
    gateway.fault("refund", mode, times=2, seconds=0.1)
    refunds.request_refund(captured.pk)
    with pytest.raises(TransientError):
        refunds.process_refund(str(captured.pk))

    assert refund_until_final(captured).state == Refund.State.REFUNDED
    assert happened(gateway, captured)["refund"] == 1
    assert Posting.objects.filter(payment=captured, kind="refund").count() == 1


def test_a_worker_killed_after_the_refund_finds_it_at_the_gateway(
    gateway: GatewayServer, captured: Payment, monkeypatch: pytest.MonkeyPatch
) -> None:
    refunds.request_refund(captured.pk)

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(refunds, "_finish", die)
        with pytest.raises(Killed):
            refunds.process_refund(str(captured.pk))

    assert refunds.process_refund(str(captured.pk)).state == Refund.State.REFUNDED
    assert happened(gateway, captured)["refund"] == 1


@several_connections
def test_eight_workers_at_once_give_back_once(gateway: GatewayServer, captured: Payment) -> None:
    refunds.request_refund(captured.pk)
    results = in_threads(8, lambda: refunds.process_refund(str(captured.pk)))

    assert all(isinstance(result, Refund | TransientError) for result in results), results
    assert refund_until_final(captured).state == Refund.State.REFUNDED
    assert happened(gateway, captured)["refund"] == 1
    books.check_books()


def test_a_refund_of_another_amount_at_the_gateway_is_a_person_s_business(captured: Payment) -> None:
    open_gateway().refund(str(captured.intent_id), Money(amount_minor=500, currency="eur"), idempotency_key=str(uuid.uuid4()))
    refunds.request_refund(captured.pk)
    Refund.objects.update(state="refunding", attempts=1)

    with pytest.raises(AmountDiffers, match=r"5\.00 EUR"):
        refunds.process_refund(str(captured.pk))


@pytest.mark.parametrize(
    "lines",
    [
        [("gateway_clearing", 1999), ("revenue", -1998)],
        [("gateway_clearing", 1999)],
        [],
    ],
)
@several_connections
def test_postgresql_refuses_a_posting_that_does_not_add_up(make_payment: MakePayment, lines: list[tuple[str, int]]) -> None:
    payment = make_payment()

    def post() -> None:
        with transaction.atomic():
            posting = Posting.objects.create(payment=payment, kind="capture", currency="eur")
            for account, amount in lines:
                PostingLine.objects.create(posting=posting, account=account, amount_minor=amount)

    with pytest.raises(IntegrityError, match="does not add up"):
        post()
    assert Posting.objects.count() == 0


def test_a_line_that_is_changed_or_deleted_afterwards_is_refused(captured: Payment) -> None:
    PostingLine.objects.filter(account="revenue").update(amount_minor=-1)

    # As the commit does.
    with pytest.raises(IntegrityError, match="does not add up"):
        connection.check_constraints()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda: Balance.objects.update(amount_minor=5), "balances"),
        (lambda: (PostingLine.objects.all().delete(), Posting.objects.all().delete()), "captured payments"),
        (lambda: PostingLine.objects.filter(account="revenue").update(account="refunds"), None),
    ],
)
def test_books_that_do_not_agree_are_told(captured: Payment, damage: Callable[[], Any], said: str | None) -> None:
    assert books.check_books().postings == 1
    damage()
    if said is None:  # adds up: what is on which account is not for a sum to tell
        books.check_books()
        return
    with pytest.raises(BooksDoNotBalance, match=said):
        books.check_books()


# -- for other apps -------------------------------------------------------------------------------------------------------


def asked(owner: Any, card: str = "pm_card_visa", amount_minor: int = 700) -> dict[str, Any]:
    money = Money(amount_minor=amount_minor, currency="eur")
    return {"owner_id": owner.pk, "money": money, "payment_method": card, "description": "Order 1"}


def test_a_reference_is_charged_once_and_given_back_once(gateway: GatewayServer, owner: Any) -> None:
    reference = f"order-{uuid.uuid4()}"
    (payment, *_) = [references.charge(reference, **asked(owner)) for _ in range(3)]
    for _ in range(3):
        references.refund(reference, **asked(owner))

    assert happened(gateway, payment) == {"created": 1, "capture": 1, "refund": 1}
    assert published(payment)["payments.send_confirmation"] == 0
    assert references.charge(reference, **asked(owner)).pk == payment.pk
    with pytest.raises(ReferenceTaken):
        references.charge(reference, **asked(owner, amount_minor=701))


def test_a_declined_card_refuses_a_reference_with_the_bank_s_reason(gateway: GatewayServer, owner: Any) -> None:
    with pytest.raises(Refused, match="insufficient") as caught:
        references.charge("order-declined", **asked(owner, "pm_card_chargeDeclinedInsufficientFunds"))

    assert caught.value.code == "insufficient_funds"
    declined = asked(owner, "pm_card_chargeDeclinedInsufficientFunds")
    assert references.refund("order-declined", **declined).state == Payment.State.FAILED
    assert happened(gateway, Payment.objects.get())["capture"] == 0


def test_a_charge_that_comes_after_its_refund_charges_nobody(gateway: GatewayServer, owner: Any) -> None:
    payment = references.refund("order-late", **asked(owner))
    with pytest.raises(Refused) as caught:
        references.charge("order-late", **asked(owner))

    assert caught.value.code == "cancelled"
    assert happened(gateway, payment) == {}


@pytest.mark.parametrize("edge", ["create", "confirm"])
def test_a_refund_in_the_middle_of_a_charge_leaves_nothing_taken(
    gateway: GatewayServer, owner: Any, monkeypatch: pytest.MonkeyPatch, edge: str
) -> None:
    real = open_gateway()

    class Edge:
        def __getattr__(self, operation: str) -> Callable[..., Any]:
            def call(*args: Any, **kwargs: Any) -> Any:
                if operation == edge:
                    monkeypatch.setattr(services, "open_gateway", lambda: real)
                    references.refund("order-middle", **asked(owner))
                return getattr(real, operation)(*args, **kwargs)

            return call

    monkeypatch.setattr(services, "open_gateway", Edge)
    with pytest.raises(Refused):
        references.charge("order-middle", **asked(owner))

    payment = Payment.objects.get()
    assert payment.state == Payment.State.FAILED
    assert happened(gateway, payment)["capture"] == 0


def test_forgotten_refunds_are_published_again(captured: Payment) -> None:
    refunds.request_refund(captured.pk)
    assert refunds.resume_unfinished_refunds() == 0
    now = captured.created_at + services.UNTOUCHED_FOR * 2
    assert refunds.resume_unfinished_refunds(now=now) == 1
    assert refunds.resume_unfinished_refunds(now=now) == 0
    assert published(captured)["payments.process_refund"] == 2


# -- by API and page ------------------------------------------------------------------------------------------------------


def post(client: Any, pk: Any, body: Any = None, **headers: str) -> Any:
    return client.post(f"/api/payments/{pk}/refund", {} if body is None else body, content_type="application/json", headers=headers)


def test_a_refund_by_api_is_accepted_once_and_shown(api_client: Any, captured: Payment) -> None:
    answer = post(api_client, captured.pk, {"reason": "late"}, **{"Idempotency-Key": "refund-1"})
    assert (answer.status_code, answer.json()["refund"]["state"]) == (201, "requested")
    again = post(api_client, captured.pk, {"reason": "late"}, **{"Idempotency-Key": "refund-1"})
    assert (again.json(), again["Idempotent-Replayed"]) == (answer.json(), "true")
    assert post(api_client, captured.pk).status_code == 409

    refunds.process_refund(str(captured.pk))
    shown = api_client.get(f"/api/payments/{captured.pk}").json()["refund"]
    assert (shown["state"], shown["amount"], shown["reason"]) == ("refunded", 1999, "late")
    assert shown["refund_id"].startswith("re_")
    assert api_client.get("/api/payments").json()["items"][0]["refund"]["state"] == "refunded"


@pytest.mark.parametrize("body", ["x", [], {"amount": 5}, {"reason": 5}, {"reason": "x" * 501}, {"reason": "\0"}])
def test_a_refund_that_makes_no_sense_is_refused_with_a_reason(api_client: Any, captured: Payment, body: Any) -> None:
    answer = post(api_client, captured.pk, body)

    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]
    assert published(captured)["payments.process_refund"] == 0


def test_other_people_s_payments_are_not_refunded(api_client: Any, captured: Payment, django_user_model: Any) -> None:
    Payment.objects.update(owner=django_user_model.objects.create(username="eve"))

    for pk in (captured.pk, uuid.uuid4()):
        assert post(api_client, pk).status_code == 404
    assert post(api_client, "x").status_code in (404, 422)
    assert Refund.objects.count() == 0


def test_the_page_tells_of_the_refund_and_the_postings(client: Any, captured: Payment, django_user_model: Any) -> None:
    client.force_login(django_user_model.objects.create(username="staff", is_staff=True, is_superuser=True))
    refunds.request_refund(captured.pk, reason="lost parcel")
    refunds.process_refund(str(captured.pk))

    page = client.get(f"/payments/{captured.pk}/").content.decode()
    assert "lost parcel" in page
    assert "The gateway gave the money back: re_" in page
    assert "-19.99 EUR" in page
    assert "Refunded" in client.get("/payments/").content.decode()
    for path in ("refund", "posting", f"posting/{Posting.objects.first().pk}/change"):  # type: ignore[union-attr]
        assert client.get(f"/admin/payments/{path}/").status_code == 200
