"""The laptop's payment gateway, spoken to by the real Stripe SDK."""

import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
import stripe

from scripts.laptop.loopback import started

CARD = "pm_card_visa"


class Shop:
    """A Stripe client without retries of its own, and the gateway's back door."""

    def __init__(self, address: str, api_key: str = "sk_test_shop") -> None:
        self.address = address
        self.client = stripe.StripeClient(
            api_key,
            base_addresses={"api": address},
            max_network_retries=0,
            http_client=stripe.RequestsClient(timeout=1.0),
        )
        self.intents = self.client.v1.payment_intents

    def create(self, key: str | None = None, amount: int = 1200, **parameters: Any) -> stripe.PaymentIntent:
        everything: Any = {"amount": amount, "currency": "eur", "metadata": {"payment_id": "41"}} | parameters
        return self.intents.create(everything, {"idempotency_key": key} if key else {})

    def confirm(self, intent: stripe.PaymentIntent, key: str) -> stripe.PaymentIntent:
        return self.intents.confirm(intent.id, {"payment_method": CARD}, {"idempotency_key": key})

    def order_fault(self, operation: str, mode: str, **more: float) -> None:
        requests.post(f"{self.address}/_faults", json={"operation": operation, "mode": mode, **more}, timeout=5).raise_for_status()

    def entries(self, kind: str) -> list[dict[str, Any]]:
        journal = requests.get(f"{self.address}/_journal", timeout=5).json()
        return [entry for entry in journal if entry["kind"] == kind]


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    journal = tmp_path_factory.mktemp("gateway") / "journal.jsonl"
    with started("scripts.laptop.gateway", "--port", "0", "--journal", str(journal)) as address:
        yield address


@pytest.fixture
def shop(address: str, request: pytest.FixtureRequest) -> Iterator[Shop]:
    yield Shop(address, f"sk_test_{request.node.name}")
    requests.delete(f"{address}/_faults", timeout=5)


def refusal(call: Callable[[], object]) -> stripe.StripeError:
    with pytest.raises(stripe.StripeError) as caught:
        call()
    return caught.value


def captures(shop: Shop, intent: str) -> int:
    return sum(entry["intent"] == intent for entry in shop.entries("capture"))


def test_a_confirmed_payment_is_captured_and_journaled(shop: Shop) -> None:
    intent = shop.create(payment_method=CARD)
    assert intent.status == "requires_confirmation"
    confirmed = shop.intents.confirm(intent.id, options={"idempotency_key": "capture-41"})
    assert confirmed.status == "succeeded"
    assert str(confirmed.latest_charge).startswith("ch_")
    metadata = shop.intents.retrieve(intent.id).metadata
    assert metadata is not None
    assert metadata.to_dict() == {"payment_id": "41"}
    (entry,) = [entry for entry in shop.entries("capture") if entry["intent"] == intent.id]
    assert (entry["amount"], entry["currency"], entry["payment_id"]) == (1200, "eur", "41")
    assert entry["idempotency_key"] == "capture-41"


def test_a_payment_without_a_card_waits_for_one(shop: Shop) -> None:
    intent = shop.create()
    assert intent.status == "requires_payment_method"
    assert shop.confirm(intent, "with-card").status == "succeeded"


@pytest.mark.parametrize(
    ("card", "code", "decline_code"),
    [
        ("pm_card_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
    ],
)
def test_a_declined_card_is_a_card_error_that_leaves_the_intent_open(shop: Shop, card: str, code: str, decline_code: str) -> None:
    error = refusal(lambda: shop.create(payment_method=card, confirm=True))
    assert isinstance(error, stripe.CardError)
    assert error.error is not None
    assert error.error.payment_intent is not None
    assert (error.http_status, error.code, error.error.decline_code) == (402, code, decline_code)
    intent = shop.intents.retrieve(error.error.payment_intent.id)
    assert intent.status == "requires_payment_method"
    assert intent.last_payment_error is not None
    assert intent.last_payment_error.code == code
    assert shop.entries("decline")[-1]["intent"] == intent.id


def test_an_unknown_card_is_an_invalid_request(shop: Shop) -> None:
    error = refusal(lambda: shop.create(payment_method="pm_card_nobody"))
    assert isinstance(error, stripe.InvalidRequestError)
    assert (error.http_status, error.code) == (400, "resource_missing")


def test_a_live_key_is_refused(address: str) -> None:
    assert isinstance(refusal(Shop(address, "sk_live_oops").create), stripe.AuthenticationError)


def test_the_same_key_and_parameters_get_the_first_answer_again(shop: Shop) -> None:
    first = shop.create("once", payment_method=CARD, confirm=True)
    again = shop.create("once", payment_method=CARD, confirm=True)
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    assert captures(shop, first.id) == 1


def test_a_decline_is_replayed_too(shop: Shop) -> None:
    first, again = (refusal(lambda: shop.create("no", payment_method="pm_card_chargeDeclined", confirm=True)) for _ in range(2))
    assert again.http_status == 402
    assert again.http_body == first.http_body
    assert again.headers is not None
    assert again.headers["Idempotent-Replayed"] == "true"


def test_the_same_key_with_other_parameters_is_an_idempotency_error(shop: Shop) -> None:
    shop.create("once", amount=1200)
    assert isinstance(refusal(lambda: shop.create("once", amount=1300)), stripe.IdempotencyError)


def test_a_key_is_free_again_after_a_refused_parameter(shop: Shop) -> None:
    refusal(lambda: shop.create("typo", payment_method="pm_card_nobody"))
    assert shop.create("typo", payment_method=CARD).status == "requires_confirmation"


def test_keys_belong_to_the_account(shop: Shop) -> None:
    other = Shop(shop.address, "sk_test_another_account")
    assert shop.create("shared").id != other.create("shared").id


def test_a_key_in_use_is_a_conflict(shop: Shop) -> None:
    shop.order_fault("create", "slow", seconds=0.5)
    barrier = threading.Barrier(2)

    def create(_: int) -> int | str:
        barrier.wait()
        try:
            return shop.create("busy").id
        except stripe.StripeError as error:
            return error.http_status or 0

    with ThreadPoolExecutor(2) as pool:
        outcomes = set(pool.map(create, range(2)))
    assert outcomes == {409, shop.create("busy").id}


def test_concurrent_confirms_capture_once(shop: Shop) -> None:
    intent = shop.create()
    barrier = threading.Barrier(8)

    def confirm(number: int) -> str:
        barrier.wait()
        try:
            return shop.confirm(intent, f"confirm-{number}").status
        except stripe.InvalidRequestError as error:
            found = error.error.payment_intent.id if error.error and error.error.payment_intent else None
            return str(error.code) if found == intent.id else f"refused with another intent: {found}"

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(confirm, range(8)))
    assert sorted(outcomes) == ["payment_intent_unexpected_state"] * 7 + ["succeeded"]
    assert captures(shop, intent.id) == 1


def test_a_cancelled_payment_cannot_be_confirmed(shop: Shop) -> None:
    intent = shop.create(payment_method=CARD)
    assert shop.intents.cancel(intent.id).status == "canceled"
    assert refusal(lambda: shop.confirm(intent, "too-late")).code == "payment_intent_unexpected_state"


def test_refunds_add_up_to_the_payment_and_no_more(shop: Shop) -> None:
    intent = shop.create(payment_method=CARD, confirm=True)
    part = shop.client.v1.refunds.create({"payment_intent": intent.id, "amount": 200})
    assert (part.object, part.status, part.amount) == ("refund", "succeeded", 200)
    assert shop.client.v1.refunds.create({"payment_intent": intent.id}).amount == 1000
    assert shop.client.v1.refunds.retrieve(part.id).payment_intent == intent.id
    assert refusal(lambda: shop.client.v1.refunds.create({"payment_intent": intent.id})).code == "charge_already_refunded"
    assert sum(entry["amount"] for entry in shop.entries("refund") if entry["intent"] == intent.id) == 1200


def test_the_list_is_newest_first_and_pages(shop: Shop) -> None:
    made = [shop.create().id for _ in range(3)]
    page = shop.intents.list({"limit": 2})
    assert [intent.id for intent in page.data] == made[:0:-1]
    assert page.has_more
    assert shop.intents.list({"limit": 1, "starting_after": made[1]}).data[0].id == made[0]


@pytest.mark.parametrize(
    ("mode", "captured_first", "error"),
    [
        ("refuse", 0, stripe.APIConnectionError),
        ("timeout_before", 0, stripe.APIConnectionError),
        ("error_500_before", 0, stripe.APIError),
        ("timeout_after", 1, stripe.APIConnectionError),
        ("reset_after", 1, stripe.APIConnectionError),
    ],
)
def test_a_retry_with_the_same_key_after_a_fault_captures_once(shop: Shop, mode: str, captured_first: int, error: type[Exception]) -> None:
    intent = shop.create()
    shop.order_fault("confirm", mode, seconds=3)
    with pytest.raises(error):
        shop.confirm(intent, mode)
    assert captures(shop, intent.id) == captured_first
    assert shop.confirm(intent, mode).status == "succeeded"
    assert captures(shop, intent.id) == 1


def test_a_500_after_execution_is_stored_and_only_retrieving_tells_the_truth(shop: Shop) -> None:
    intent = shop.create()
    shop.order_fault("confirm", "error_500_after")
    for _ in range(2):
        assert refusal(lambda: shop.confirm(intent, "unlucky")).http_status == 500
    assert shop.intents.retrieve(intent.id).status == "succeeded"
    assert captures(shop, intent.id) == 1


def test_a_fault_strikes_as_often_as_ordered_and_can_be_cleared(shop: Shop) -> None:
    shop.order_fault("create", "error_500_before", times=2)
    assert [refusal(shop.create).http_status for _ in range(2)] == [500, 500]
    shop.create()
    shop.order_fault("create", "error_500_before", times=9)
    requests.delete(f"{shop.address}/_faults", timeout=5)
    shop.create()


def test_a_restart_forgets_nothing_and_a_torn_last_line_is_as_if_never_sent(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    arguments = ("scripts.laptop.gateway", "--port", "0", "--journal", str(journal))
    with started(*arguments) as address:
        shop = Shop(address)
        paid = shop.create("paid", payment_method=CARD, confirm=True)
        declined = refusal(lambda: shop.create("declined", payment_method="pm_card_chargeDeclined", confirm=True))
    whole = journal.read_bytes()
    journal.write_bytes(whole + b'{"kind": "capture", "intent": "pi_never", "amount": 1}\n{"kind": "reque')
    with started(*arguments) as address:
        shop = Shop(address)
        assert journal.read_bytes() == whole
        assert shop.create("paid", payment_method=CARD, confirm=True).id == paid.id
        again = refusal(lambda: shop.create("declined", payment_method="pm_card_chargeDeclined", confirm=True))
        assert again.http_body == declined.http_body
        assert shop.intents.retrieve(paid.id).status == "succeeded"
        assert [entry["intent"] for entry in shop.entries("capture")] == [paid.id]
    assert all(json.loads(line) for line in journal.read_text().splitlines())
    assert "sk_test_" not in journal.read_text()
