"""Refunds: what was captured is given back, in parts that add up to no more than the payment."""

import secrets
from collections.abc import Callable
from datetime import datetime

from scripts.laptop.gateway.intents import INTENT, MOST_LISTED, Intents, unexpected_state
from scripts.laptop.gateway.journal import Effects, entry_of
from scripts.laptop.gateway.messages import Json, Refused, Request
from scripts.laptop.gateway.objects import Objects

REFUND = "refund"


class Refunds:
    """What can be done with refunds, each under the gateway's lock; it changes nothing but ``effects``."""

    def __init__(self, objects: Objects, intents: Intents, now: Callable[[], datetime]) -> None:
        self._objects = objects
        self._intents = intents
        self._now = now

    def find(self, name: str) -> Json:
        """Return the refund. Raises Refused if there is none."""
        return self._objects.find(name, REFUND)

    def create(self, request: Request, effects: Effects) -> Json:
        """Give back an amount, or what is left, of a captured intent."""
        intent = self._refunded_intent(request)
        refunds = [found for found in self._objects.all_of(REFUND) if found["payment_intent"] == intent["id"]]
        left = intent["amount_received"] - sum(refund["amount"] for refund in refunds)
        if intent["status"] != "succeeded":
            raise unexpected_state(intent, "refund")
        if left == 0:
            raise Refused(
                400,
                f"Charge {intent['latest_charge']} has already been refunded.",
                is_stored=True,
                code="charge_already_refunded",
            )
        amount = request.positive("amount") if "amount" in request.parameters else left
        if amount > left:
            raise Refused(
                400,
                f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left}).",
                is_stored=True,
                param="amount",
            )
        refund: Json = {
            "id": f"re_{secrets.token_hex(12)}",
            "object": REFUND,
            "amount": amount,
            "charge": intent["latest_charge"],
            "created": int(self._now().timestamp()),
            "currency": intent["currency"],
            "metadata": request.metadata,
            "payment_intent": intent["id"],
            "reason": request.parameters.get("reason"),
            "status": "succeeded",
        }
        effects.entries.append(entry_of("refund", request, intent, self._now()) | {"amount": amount, "refund": refund["id"]})
        effects.changed[refund["id"]] = refund
        return refund

    def page(self, request: Request) -> Json:
        """Return the refunds, newest first, of an intent if the request names one; more than ``MOST_LISTED`` there are not in one page."""
        wanted = request.parameters.get("payment_intent")
        newest_first = [found for found in self._objects.all_of(REFUND)[::-1] if wanted in (None, found["payment_intent"])]
        limit = min(request.positive("limit"), MOST_LISTED) if "limit" in request.parameters else 10
        return {"object": "list", "url": "/v1/refunds", "has_more": len(newest_first) > limit, "data": newest_first[:limit]}

    def _refunded_intent(self, request: Request) -> Json:
        if name := request.parameters.get("payment_intent"):
            return self._intents.find(name)
        charge = request.parameters.get("charge")
        for found in self._objects.all_of(INTENT):
            if charge and found.get("latest_charge") == charge:
                return found
        raise Refused(400, f"No such charge: '{charge}'", code="resource_missing", param="charge")
