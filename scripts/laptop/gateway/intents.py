"""Payment intents: created first, confirmed later; only the confirmation captures, and once."""

import re
import secrets
from collections.abc import Callable
from datetime import datetime

from scripts.laptop.gateway.cards import APPROVING_CARDS, DECLINING_CARDS, known_card
from scripts.laptop.gateway.journal import Effects, entry_of
from scripts.laptop.gateway.messages import Json, Refused, Request
from scripts.laptop.gateway.objects import Objects

INTENT = "payment_intent"
MOST_LISTED = 100


class Intents:
    """What can be done with payment intents, each under the gateway's lock; it changes nothing but ``effects``."""

    def __init__(self, objects: Objects, now: Callable[[], datetime]) -> None:
        self._objects = objects
        self._now = now

    def find(self, name: str, status: int = 404) -> Json:
        """Return the intent. Raises Refused with ``status`` if there is none."""
        return self._objects.find(name, INTENT, status)

    def create(self, request: Request, effects: Effects) -> Json:
        """Make an intent, and confirm it at once if the request says so."""
        amount = request.positive("amount")
        currency = request.parameters.get("currency", "").lower()
        if not re.fullmatch(r"[a-z]{3}", currency):
            raise Refused(400, "Missing or invalid required param: currency.", code="parameter_missing", param="currency")
        card = known_card(request)
        intent: Json = {
            "id": f"pi_{secrets.token_hex(12)}",
            "object": INTENT,
            "amount": amount,
            "amount_received": 0,
            "currency": currency,
            "created": int(self._now().timestamp()),
            "description": request.parameters.get("description"),
            "last_payment_error": None,
            "latest_charge": None,
            "livemode": False,
            "metadata": request.metadata,
            "payment_method": card,
            "payment_method_types": ["card"],
            "status": "requires_confirmation" if card else "requires_payment_method",
        }
        effects.entries.append(entry_of("created", request, intent, self._now()))
        effects.changed[intent["id"]] = intent
        return self.confirm(request, intent, effects) if request.parameters.get("confirm") == "true" else intent

    def confirm(self, request: Request, intent: Json, effects: Effects) -> Json:
        """Capture the intent's amount, or raise Refused with the card's decline; either is an effect."""
        card = known_card(request) or intent["payment_method"]
        if intent["status"] in {"succeeded", "canceled"}:
            raise unexpected_state(intent, "confirm")
        if card is None:
            raise unexpected_state(intent, "confirm", " because it is missing a payment method")
        charge = f"ch_{secrets.token_hex(12)}"
        if card in APPROVING_CARDS:
            captured = intent | {
                "status": "succeeded",
                "payment_method": card,
                "amount_received": intent["amount"],
                "latest_charge": charge,
                "last_payment_error": None,
            }
            effects.entries.append(entry_of("capture", request, captured, self._now()))
            effects.changed[intent["id"]] = captured
            return captured
        code, decline_code, message = DECLINING_CARDS[card]
        problem = {
            "type": "card_error",
            "code": code,
            "decline_code": decline_code,
            "message": message,
            "charge": charge,
        }
        declined = intent | {
            "status": "requires_payment_method",
            "payment_method": None,
            "latest_charge": charge,
            "last_payment_error": problem,
        }
        effects.entries.append(entry_of("decline", request, declined, self._now()) | {"code": code, "decline_code": decline_code})
        effects.changed[intent["id"]] = declined
        raise Refused(
            402,
            message,
            kind="card_error",
            is_stored=True,
            code=code,
            decline_code=decline_code,
            charge=charge,
            payment_intent=declined,
        )

    def cancel(self, request: Request, intent: Json, effects: Effects) -> Json:
        """End an intent that has captured nothing."""
        if intent["status"] in {"succeeded", "canceled"}:
            raise unexpected_state(intent, "cancel")
        canceled = intent | {
            "status": "canceled",
            "canceled_at": int(self._now().timestamp()),
            "cancellation_reason": request.parameters.get("cancellation_reason"),
        }
        effects.entries.append(entry_of("canceled", request, canceled, self._now()))
        effects.changed[intent["id"]] = canceled
        return canceled

    def page(self, request: Request) -> Json:
        """Return a page of the intents, newest first."""
        limit = request.positive("limit") if "limit" in request.parameters else 10
        if limit > MOST_LISTED:
            raise Refused(400, f"limit must be at most {MOST_LISTED}.", code="parameter_invalid_integer", param="limit")
        newest_first = self._objects.all_of(INTENT)[::-1]
        if after := request.parameters.get("starting_after"):
            self.find(after, status=400)
            newest_first = newest_first[[found["id"] for found in newest_first].index(after) + 1 :]
        page = newest_first[:limit]
        return {"object": "list", "url": "/v1/payment_intents", "has_more": len(newest_first) > limit, "data": page}


def unexpected_state(intent: Json, verb: str, why: str = "") -> Refused:
    """Return the refusal of what an intent cannot do in its present status."""
    reason = why or f" because it has a status of {intent['status']}"
    return Refused(
        400,
        f"You cannot {verb} this PaymentIntent{reason}.",
        is_stored=True,
        code="payment_intent_unexpected_state",
        payment_intent=intent,
    )
