"""The boundary, with canned answers where Stripe would be."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
import stripe

from app.workload.payments.errors import GatewayRefused, GatewayUnavailable
from app.workload.payments.gateway import Captured, Declined, Gateway, Intent, Unconfirmed
from app.workload.payments.money import Money

Answer = tuple[bytes, int, Mapping[str, str]]
TEN_EUROS = Money(amount_minor=1000, currency="eur")


class CannedAnswers(stripe.HTTPClient):
    """Gives the answers in turn and keeps the requests."""

    name = "canned"

    def __init__(self, *answers: Answer | Exception) -> None:
        super().__init__()
        self.answers = list(answers)
        self.keys: list[str | None] = []
        self.paths: list[str] = []

    def request(self, method: str, url: str, headers: Any, post_data: Any = None, **_: Any) -> Any:
        self.keys.append(headers.get("Idempotency-Key"))
        self.paths.append(url.partition("/v1")[2])
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def close(self) -> None:
        pass


def an_intent(status: str, **more: Any) -> Answer:
    fields = {"id": "pi_1", "object": "payment_intent", "amount": 1000, "amount_received": 0, "currency": "eur", "status": status}
    return json.dumps(fields | {"latest_charge": None, "last_payment_error": None, "cancellation_reason": None} | more).encode(), 200, {}


def an_error(status: int, headers: Mapping[str, str] | None = None, **fields: Any) -> Answer:
    return json.dumps({"error": {"message": "It says no.", **fields}}).encode(), status, headers or {}


def a_gateway(http_client: stripe.HTTPClient) -> Gateway:
    return Gateway(stripe.StripeClient("sk_test_x", http_client=http_client, max_network_retries=0))


def confirmed(*answers: Answer | Exception) -> Intent:
    return a_gateway(CannedAnswers(*answers)).confirm("pi_1", idempotency_key="k")


def retrieved(answer: Answer | Exception) -> Intent:
    return a_gateway(CannedAnswers(answer)).retrieve("pi_1")


def test_an_intent_is_read_as_what_it_means_to_us() -> None:
    assert retrieved(an_intent("requires_confirmation")) == Unconfirmed(intent_id="pi_1", money=TEN_EUROS)
    captured = Captured(intent_id="pi_1", transaction_id="ch_1", money=TEN_EUROS)
    assert retrieved(an_intent("succeeded", amount_received=1000, latest_charge="ch_1")) == captured
    assert retrieved(an_intent("succeeded", amount_received=1000, latest_charge={"id": "ch_1", "object": "charge"})) == captured
    refused = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No money."}
    assert retrieved(an_intent("requires_payment_method", last_payment_error=refused)) == Declined(
        code="insufficient_funds", reason="No money."
    )
    assert isinstance(retrieved(an_intent("canceled", cancellation_reason="abandoned")), Declined)


@pytest.mark.parametrize("status", ["requires_action", "requires_capture", "requires_payment_method", "something_new"])
def test_a_state_that_we_do_not_ask_for_needs_a_person(status: str) -> None:
    with pytest.raises(GatewayRefused, match=status):
        retrieved(an_intent(status))


def test_an_intent_still_at_work_is_asked_again_later() -> None:
    with pytest.raises(GatewayUnavailable):
        retrieved(an_intent("processing"))


def test_a_declined_card_is_an_outcome_and_no_error() -> None:
    assert confirmed(an_error(402, type="card_error", code="expired_card", message="Expired.")) == Declined(
        code="expired_card", reason="Expired."
    )


def test_a_payment_method_that_does_not_exist_is_the_customers_affair() -> None:
    answer = an_error(400, type="invalid_request_error", code="resource_missing", param="payment_method")
    assert confirmed(answer) == Declined(code="resource_missing", reason="It says no.")


@pytest.mark.parametrize(
    "answer",
    [
        stripe.APIConnectionError("refused"),  # type: ignore[no-untyped-call] # as stripe has it
        an_error(500),
        an_error(503),
        an_error(429, code="rate_limit"),
        an_error(429, code="lock_timeout"),
        an_error(409, type="idempotency_error", code="idempotency_key_in_use"),
        an_error(400, type="idempotency_error", code="idempotency_key_in_use"),
        (b"<html>Bad Gateway</html>", 502, {}),
        (b'{"id": "pi_1", "sta', 200, {}),
    ],
)
def test_what_may_pass_is_unavailable(answer: Answer | Exception) -> None:
    with pytest.raises(GatewayUnavailable):
        confirmed(answer)


@pytest.mark.parametrize(
    "answer",
    [
        an_error(401),
        an_error(403),
        an_error(404, code="resource_missing", param="intent"),
        an_error(400, type="idempotency_error"),
        an_error(400, code="parameter_unknown", param="amuont"),
        an_intent("requires_confirmation", currency="xau"),
        (b"<html>Forbidden</html>", 403, {}),
    ],
)
def test_what_stays_is_refused(answer: Answer | Exception) -> None:
    with pytest.raises(GatewayRefused):
        confirmed(answer)


def test_an_intent_that_has_moved_is_looked_up() -> None:
    http_client = CannedAnswers(
        an_error(400, code="payment_intent_unexpected_state"), an_intent("succeeded", amount_received=1000, latest_charge="ch_1")
    )
    assert isinstance(a_gateway(http_client).confirm("pi_1", idempotency_key="k"), Captured)
    assert http_client.paths == ["/payment_intents/pi_1/confirm", "/payment_intents/pi_1"]


def test_a_key_that_remembers_a_failure_is_left_for_the_next() -> None:
    replayed = {"Idempotent-Replayed": "true"}
    http_client = CannedAnswers(an_error(500, replayed), an_error(500, replayed), an_intent("requires_confirmation"))
    a_gateway(http_client).create(TEN_EUROS, payment_method="pm_card_visa", payment_id="1", idempotency_key="k")
    assert http_client.keys == ["k", "k-2", "k-3"]


def test_a_fresh_failure_keeps_its_key() -> None:
    http_client = CannedAnswers(an_error(500))
    with pytest.raises(GatewayUnavailable):
        a_gateway(http_client).create(TEN_EUROS, payment_method="pm_card_visa", payment_id="1", idempotency_key="k")
    assert http_client.keys == ["k"]


def test_messages_do_not_show_the_api_key() -> None:
    with pytest.raises(GatewayRefused) as caught:
        confirmed(an_error(401))
    assert "sk_test_x" not in str(caught.value)
