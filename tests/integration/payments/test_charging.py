"""At most one capture, and exactly one in the end, whatever happens on the way."""

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections

from app.engine.errors import PermanentError, TransientError
from app.workload.payments import services
from app.workload.payments.errors import AmountDiffers, OutcomeContradicts, PaymentUnknown
from app.workload.payments.gateway import Captured, Gateway, open_gateway
from app.workload.payments.models import Payment
from app.workload.payments.money import Money
from tests.integration.payments.accounts import GatewayServer, MakePayment, happened, process_until_final, published

pytestmark = pytest.mark.django_db
several_connections = pytest.mark.django_db(transaction=True)

FOLLOW_UPS = {"payments.process_payment": 1, "payments.send_confirmation": 1, "payments.update_balance": 1}


class Killed(BaseException):
    """Nothing that the code catches, like a SIGKILL."""


class Edge:
    """The real gateway, with something happening before or after its calls."""

    def __init__(
        self, *, before: str = "", after: str = "", happens: Callable[[], None] = lambda: None, forgets_keys: bool = False
    ) -> None:
        self._before, self._after, self._happens, self._forgets_keys = before, after, happens, forgets_keys
        self._real: Gateway = open_gateway()

    def __getattr__(self, operation: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if operation == self._before:
                self._happens()
            if self._forgets_keys and "idempotency_key" in kwargs:
                kwargs["idempotency_key"] += f"-{uuid.uuid4()}"
            answer = getattr(self._real, operation)(*args, **kwargs)
            if operation == self._after:
                self._happens()
            return answer

        return call


def die() -> None:
    raise Killed


def at_once(workers: int, work: Callable[[], Any]) -> list[Any]:
    """Run ``work`` in threads that start together; return results and errors."""
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


def test_a_payment_is_captured_and_followed_up(gateway: GatewayServer, make_payment: MakePayment) -> None:
    payment = make_payment()
    assert services.process_payment(str(payment.pk)).state == Payment.State.CAPTURED

    payment.refresh_from_db()
    assert payment.transaction_id is not None
    assert payment.attempts == 1
    assert happened(gateway, payment) == {"created": 1, "capture": 1}
    assert published(payment) == FOLLOW_UPS


def test_a_declined_card_is_an_outcome(gateway: GatewayServer, make_payment: MakePayment) -> None:
    payment = make_payment(payment_method="pm_card_chargeDeclinedInsufficientFunds")
    for _ in range(3):
        declined = services.process_payment(str(payment.pk))
        assert (declined.state, declined.failure_code) == (Payment.State.FAILED, "insufficient_funds")
    assert declined.failure_reason == "Your card has insufficient funds."
    assert happened(gateway, payment) == {"created": 1, "decline": 1}
    assert published(payment) == {"payments.process_payment": 1}


def test_an_unknown_payment_method_fails_the_payment(gateway: GatewayServer, make_payment: MakePayment) -> None:
    payment = make_payment(payment_method="pm_nobody")
    assert services.process_payment(str(payment.pk)).failure_code == "resource_missing"
    assert happened(gateway, payment) == {}


@pytest.mark.parametrize("payment_id", ["", "x", "12", None, 12, "00000000-0000-4000-8000-000000000000"])
def test_an_id_that_no_payment_has_is_a_permanent_error(payment_id: Any) -> None:
    with pytest.raises(PaymentUnknown) as caught:
        services.process_payment(payment_id)
    assert isinstance(caught.value, PermanentError)


@several_connections
def test_eight_workers_at_once_capture_once(gateway: GatewayServer, make_payment: MakePayment) -> None:
    payment = make_payment()
    results = at_once(8, lambda: services.process_payment(str(payment.pk)))
    assert all(isinstance(result, Payment | TransientError) for result in results), results
    assert process_until_final(payment).state == Payment.State.CAPTURED
    assert happened(gateway, payment)["capture"] == 1
    assert published(payment) == FOLLOW_UPS


@several_connections
def test_eight_workers_capture_once_at_a_gateway_that_forgets_keys(
    gateway: GatewayServer, make_payment: MakePayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = Edge(forgets_keys=True)
    monkeypatch.setattr(services, "open_gateway", lambda: forgetful)
    payment = make_payment()
    results = at_once(8, lambda: services.process_payment(str(payment.pk)))
    assert all(isinstance(result, Payment | TransientError) for result in results), results
    assert process_until_final(payment).state == Payment.State.CAPTURED
    assert happened(gateway, payment)["capture"] == 1
    assert published(payment) == FOLLOW_UPS


@several_connections
def test_eight_workers_decline_once_at_a_gateway_that_forgets_keys(
    gateway: GatewayServer, make_payment: MakePayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgetful = Edge(forgets_keys=True)
    monkeypatch.setattr(services, "open_gateway", lambda: forgetful)
    payment = make_payment(payment_method="pm_card_chargeDeclined")
    at_once(8, lambda: services.process_payment(str(payment.pk)))
    assert process_until_final(payment).state == Payment.State.FAILED
    assert happened(gateway, payment)["decline"] == 1
    assert happened(gateway, payment)["capture"] == 0


@pytest.mark.parametrize("mode", ["refuse", "timeout_before", "timeout_after", "error_500_before", "error_500_after", "reset_after"])
@pytest.mark.parametrize("operation", ["create", "confirm"])
def test_a_call_that_goes_wrong_captures_once(gateway: GatewayServer, make_payment: MakePayment, operation: str, mode: str) -> None:
    gateway.fault(operation, mode, times=2, seconds=0.1)
    payment = make_payment()
    with pytest.raises(TransientError):
        services.process_payment(str(payment.pk))
    assert process_until_final(payment).state == Payment.State.CAPTURED
    assert happened(gateway, payment)["capture"] == 1
    assert published(payment) == FOLLOW_UPS


@several_connections
@pytest.mark.parametrize("operation", ["create", "confirm"])
@pytest.mark.parametrize("mode", ["timeout_after", "error_500_after", "reset_after", "slow"])
def test_eight_workers_and_a_failing_gateway_capture_once(
    gateway: GatewayServer, make_payment: MakePayment, operation: str, mode: str
) -> None:
    gateway.fault(operation, mode, times=3, seconds=0.2)
    payment = make_payment()
    results = at_once(8, lambda: services.process_payment(str(payment.pk)))
    assert all(isinstance(result, Payment | TransientError) for result in results), results
    assert process_until_final(payment).state == Payment.State.CAPTURED
    assert happened(gateway, payment)["capture"] == 1
    assert published(payment) == FOLLOW_UPS


@pytest.mark.parametrize("forgets_keys", [False, True])
@pytest.mark.parametrize(
    "edge",
    [{"before": "create"}, {"after": "create"}, {"before": "confirm"}, {"after": "confirm"}],
    ids=["begun", "created, not remembered", "remembered", "captured, not recorded"],
)
def test_a_worker_killed_between_two_steps_leaves_one_capture(
    gateway: GatewayServer, make_payment: MakePayment, monkeypatch: pytest.MonkeyPatch, edge: dict[str, str], forgets_keys: bool
) -> None:
    payment = make_payment()
    deadly = Edge(**edge, happens=die, forgets_keys=forgets_keys)
    monkeypatch.setattr(services, "open_gateway", lambda: deadly)
    with pytest.raises(Killed):
        services.process_payment(str(payment.pk))
    payment.refresh_from_db()
    assert payment.state == Payment.State.CHARGING

    survivor = Edge(forgets_keys=forgets_keys)
    monkeypatch.setattr(services, "open_gateway", lambda: survivor)
    assert services.process_payment(str(payment.pk)).state == Payment.State.CAPTURED
    assert happened(gateway, payment)["capture"] == 1
    if payment.intent_id is not None:
        assert happened(gateway, payment)["created"] == 1
    assert published(payment) == FOLLOW_UPS


def test_a_worker_killed_before_the_last_commit_leaves_nothing_half_written(
    gateway: GatewayServer, make_payment: MakePayment, monkeypatch: pytest.MonkeyPatch
) -> None:
    payment = make_payment()
    write = Payment.save

    def write_and_die(row: Payment, **options: Any) -> None:
        write(row, **options)
        if row.is_final:
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(Payment, "save", write_and_die)
        with pytest.raises(Killed):
            services.process_payment(str(payment.pk))
    assert published(payment) == {"payments.process_payment": 1}

    assert services.process_payment(str(payment.pk)).state == Payment.State.CAPTURED
    assert happened(gateway, payment) == {"created": 1, "capture": 1}
    assert published(payment) == FOLLOW_UPS


def test_another_amount_at_the_gateway_charges_nothing(gateway: GatewayServer, make_payment: MakePayment) -> None:
    foreign = open_gateway().create(
        Money(amount_minor=5, currency="eur"), payment_method="pm_card_visa", payment_id="foreign", idempotency_key=str(uuid.uuid4())
    )
    payment = make_payment()
    Payment.objects.filter(pk=payment.pk).update(state="charging", attempts=1, intent_id=getattr(foreign, "intent_id", None))
    with pytest.raises(AmountDiffers):
        services.process_payment(str(payment.pk))
    assert happened(gateway, payment)["capture"] == 0


def test_a_final_row_is_not_overwritten_by_a_late_worker(make_payment: MakePayment, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = make_payment()

    def fail_meanwhile() -> None:
        Payment.objects.filter(pk=payment.pk).update(state="failed", failure_code="by_hand", finished_at=payment.created_at)

    late = Edge(after="confirm", happens=fail_meanwhile)
    monkeypatch.setattr(services, "open_gateway", lambda: late)
    with pytest.raises(OutcomeContradicts):
        services.process_payment(str(payment.pk))
    payment.refresh_from_db()
    assert payment.state == Payment.State.FAILED


@several_connections
def test_no_lock_is_held_while_the_gateway_is_asked(make_payment: MakePayment, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = make_payment()
    seen: list[int] = []

    def lock_elsewhere() -> None:
        # another connection could not take the row if ours held it
        at_once(1, lambda: seen.append(Payment.objects.filter(pk=payment.pk).update(description="touched")))

    watched = Edge(before="confirm", happens=lock_elsewhere)
    monkeypatch.setattr(services, "open_gateway", lambda: watched)
    assert services.process_payment(str(payment.pk)).state == Payment.State.CAPTURED
    assert seen == [1]


def test_the_gateway_names_the_payment_on_its_intent(gateway: GatewayServer, make_payment: MakePayment) -> None:
    payment = make_payment(amount_minor=500, currency="jpy")
    services.process_payment(str(payment.pk))
    payment.refresh_from_db()
    intent = open_gateway().retrieve(payment.intent_id or "")
    assert isinstance(intent, Captured)
    assert intent.money == Money(amount_minor=500, currency="jpy")
    assert happened(gateway, payment)["capture"] == 1
