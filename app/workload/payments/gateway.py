"""The payment gateway, Stripe. The only module that knows it: above, nobody sees its SDK, its objects or its errors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings

from app.workload.payments.errors import GatewayRefused, GatewayUnavailable
from app.workload.payments.money import CURRENCIES, Money

if TYPE_CHECKING:
    import stripe

_TIMEOUT_SECONDS = (3.0, 10.0)
"""To connect, and between two bytes of the answer."""
_KEYS_TO_TRY = 10
_CLIENT_ERRORS = range(400, 500)
_TRY_AGAIN_STATUSES = {408, 409, 425, 429}
A = TypeVar("A")

_IN_USE_CODES = {"idempotency_key_in_use", "lock_timeout", "rate_limit"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Unconfirmed:
    """An intent that has charged nothing yet."""

    intent_id: str
    money: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class Captured:
    intent_id: str
    transaction_id: str
    money: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class Declined:
    """The bank or the gateway says no to this card. It is not asked again."""

    code: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class GivenBack:
    """The gateway has refunded."""

    refund_id: str
    money: Money


@dataclass(frozen=True, kw_only=True, slots=True)
class NotGivenBack:
    """The gateway refuses to refund, for good."""

    code: str
    reason: str


Intent = Unconfirmed | Captured | Declined


class Gateway:
    """Intents of one gateway account. Thread-safe.

    Every method raises :class:`GatewayUnavailable` if trying again may help (and then nobody knows whether it was done), and
    :class:`GatewayRefused` if not.
    """

    def __init__(self, client: "stripe.StripeClient") -> None:
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds

    def create(self, money: Money, *, payment_method: str, payment_id: str, idempotency_key: str) -> Intent:
        """Make an intent that charges nothing until it is confirmed. Declined at once if there is no such payment method."""
        return _posted(
            idempotency_key,
            lambda key: self._intents.create(
                {
                    "amount": money.amount_minor,
                    "currency": money.currency,
                    "payment_method": payment_method,
                    # No bank that wants the customer in a browser: nobody is there.
                    "automatic_payment_methods": {"enabled": True, "allow_redirects": "never"},
                    "metadata": {"payment_id": payment_id},
                },
                {"idempotency_key": key},
            ),
        )

    def confirm(self, intent_id: str, *, idempotency_key: str) -> Intent:
        """Charge. An intent captures at most once, also without the key; if it has moved meanwhile, tell where it is now.

        No payment method is sent: a declined intent has lost its own, so a late twin cannot charge it after all.
        """
        try:
            return _posted(
                idempotency_key,
                # Nobody is there to answer the bank's questions: a card that asks is declined.
                lambda key: self._intents.confirm(intent_id, {"error_on_requires_action": True}, {"idempotency_key": key}),
            )
        except _IntentMoved:
            return self.retrieve(intent_id)

    def retrieve(self, intent_id: str) -> Intent:
        return _intent(lambda: self._intents.retrieve(intent_id))

    def cancel(self, intent_id: str, *, idempotency_key: str) -> Intent:
        """End an intent that has charged nothing, so that nobody can confirm it; if it has moved meanwhile, tell where it is now."""
        try:
            return _posted(idempotency_key, lambda key: self._intents.cancel(intent_id, {}, {"idempotency_key": key}))
        except _IntentMoved:
            return self.retrieve(intent_id)

    def refunds_of(self, intent_id: str) -> list[GivenBack]:
        """What was given back of an intent."""
        found = _translated(lambda: self._refunds.list({"payment_intent": intent_id, "limit": 100}))
        return [read for read in map(_read_refund, found.data) if isinstance(read, GivenBack)]

    def refund(self, intent_id: str, money: Money, *, idempotency_key: str) -> GivenBack | NotGivenBack:
        """Give the whole amount back. The gateway never gives back more than it took, also without the key."""
        try:
            return _read_refund(
                _with_keys(
                    idempotency_key,
                    lambda key: self._refunds.create({"payment_intent": intent_id, "amount": money.amount_minor}, {"idempotency_key": key}),
                )
            )
        except _AlreadyRefunded as error:
            return next(iter(self.refunds_of(intent_id)), NotGivenBack(code="charge_already_refunded", reason=str(error)))


def _with_keys(idempotency_key: str, call: Callable[[str], A]) -> A:
    """Call with the key, and with the next one if the answer stored under it is a failure of the gateway's own.

    The gateway stores even a 500 and gives it again for a day; such a key is burnt. Callers may repeat under another key because an
    intent is captured and given back at most once, and an intent that is created again is never confirmed.
    """
    for attempt in range(1, _KEYS_TO_TRY + 1):
        key = idempotency_key if attempt == 1 else f"{idempotency_key}-{attempt}"
        try:
            return _translated(lambda: call(key))  # noqa: B023 — called at once
        except _KeyBurnt:
            continue
    raise GatewayUnavailable(
        f"The gateway has stored failures under {_KEYS_TO_TRY} keys that begin with {idempotency_key}; it forgets them in a day."
    )


class _KeyBurnt(GatewayUnavailable):
    """The answer is an old failure that was stored under the key."""


class _AlreadyRefunded(GatewayRefused):
    """Nothing is left to be given back."""


class _IntentMoved(GatewayRefused):
    """The intent is in another state than the call needs."""


def open_gateway() -> Gateway:
    """The gateway of the settings; one client per process."""
    return _connect(settings.STRIPE_API_KEY, settings.STRIPE_API_BASE)


@cache
def _connect(api_key: str, api_base: str) -> Gateway:
    import stripe  # slow to import, and only workers need it

    stripe.enable_telemetry = False
    return Gateway(
        stripe.StripeClient(
            api_key,
            base_addresses={"api": api_base},
            http_client=stripe.RequestsClient(timeout=_TIMEOUT_SECONDS),
            max_network_retries=0,  # the engine retries, and it can wait
        )
    )


class _CardRefused(GatewayRefused):
    """The bank or the gateway says no to the card."""

    def __init__(self, what: str, fields: dict[str, Any]) -> None:
        super().__init__(what)
        self.fields = fields


def _intent(call: "Callable[[], stripe.PaymentIntent]") -> Intent:
    try:
        return _read_intent(_translated(call))
    except _CardRefused as refused:
        return _read_decline(refused.fields)


def _posted(idempotency_key: str, call: "Callable[[str], stripe.PaymentIntent]") -> Intent:
    return _intent(lambda: _with_keys(idempotency_key, call))


def _translated(call: Callable[[], A]) -> A:
    import stripe

    try:
        return call()
    except stripe.StripeError as error:
        fields = _error_fields(error)
        code = fields.get("code")
        if isinstance(error, stripe.CardError) or (isinstance(error, stripe.InvalidRequestError) and error.param == "payment_method"):
            raise _CardRefused(_say("The card is refused", error), fields) from error
        if code == "payment_intent_unexpected_state":
            raise _IntentMoved(_say("The intent is in another state", error)) from error
        if code == "charge_already_refunded":
            raise _AlreadyRefunded(_say("It was refunded before", error)) from error
        if (error.http_status or 0) >= HTTPStatus.INTERNAL_SERVER_ERROR and (error.headers or {}).get("Idempotent-Replayed") == "true":
            raise _KeyBurnt(_say("The gateway repeats an old failure", error)) from error
        if _may_be_tried_again(error, code):
            raise GatewayUnavailable(_say("The gateway does not answer", error)) from error
        raise GatewayRefused(_say("The gateway refuses", error)) from error


def _may_be_tried_again(error: "stripe.StripeError", code: str | None) -> bool:
    import stripe

    if isinstance(error, stripe.APIConnectionError | stripe.RateLimitError) or code in _IN_USE_CODES:
        return True
    if not isinstance(error, stripe.APIError):
        return False
    # An answer that is cut off comes with the status 200.
    return error.http_status not in _CLIENT_ERRORS or error.http_status in _TRY_AGAIN_STATUSES


def _read_intent(intent: "stripe.PaymentIntent") -> Intent:
    match intent.status:
        case "requires_confirmation":
            return Unconfirmed(intent_id=intent.id, money=_money(intent.amount, intent.currency))
        case "succeeded":
            charge = intent.latest_charge
            if charge is None:
                raise GatewayUnavailable(f"Intent {intent.id} has succeeded and names no charge yet.")
            transaction_id = charge if isinstance(charge, str) else charge.id
            return Captured(intent_id=intent.id, transaction_id=transaction_id, money=_money(intent.amount_received, intent.currency))
        case "requires_payment_method" if intent.last_payment_error is not None:
            return _read_decline(intent.last_payment_error.to_dict())
        case "canceled":
            return Declined(
                code="canceled", reason=f"The intent was canceled at the gateway: {intent.cancellation_reason or 'no reason given'}."
            )
        case "processing":
            raise GatewayUnavailable(f"The gateway is still at work on intent {intent.id}.")
        case status:
            raise GatewayRefused(
                f"Intent {intent.id} is in the state {status}, which we do not ask for. Look at it in the gateway's dashboard."
            )


def _read_refund(refund: "stripe.Refund") -> GivenBack | NotGivenBack:
    match refund.status:
        case "succeeded":
            return GivenBack(refund_id=refund.id, money=_money(refund.amount, refund.currency))
        case "failed" | "canceled":
            why = refund.failure_reason or "no reason given"
            return NotGivenBack(code=str(refund.failure_reason or refund.status), reason=f"Refund {refund.id} has {refund.status}: {why}.")
        case status:
            raise GatewayUnavailable(f"The gateway is still at work on refund {refund.id}: {status}.")


def _read_decline(fields: dict[str, Any]) -> Declined:
    code = fields.get("decline_code") or fields.get("code") or "declined"
    return Declined(code=str(code), reason=str(fields.get("message") or "The card was declined."))


def _money(amount_minor: int, currency: str) -> Money:
    if currency not in CURRENCIES:
        raise GatewayRefused(f"The gateway speaks of {amount_minor} {currency}, a currency that we do not use.")
    return Money(amount_minor=amount_minor, currency=currency)


def _error_fields(error: "stripe.StripeError") -> dict[str, Any]:
    body = error.json_body
    fields = body.get("error") if isinstance(body, dict) else None
    return fields if isinstance(fields, dict) else {}


def _say(what: str, error: "stripe.StripeError") -> str:
    status = f"status {error.http_status}" if error.http_status else "no status"
    request = f", request {error.request_id}" if error.request_id else ""
    return f"{what} ({type(error).__name__}, {status}{request}): {(error.user_message or '')[:500]}"
