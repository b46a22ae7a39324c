"""The test cards that the gateway knows, and how the bank answers to each."""

from scripts.laptop.gateway.messages import Refused, Request

APPROVING_CARDS = {"pm_card_visa": "visa", "pm_card_mastercard": "mastercard"}
DECLINING_CARDS = {
    "pm_card_chargeDeclined": ("card_declined", "generic_decline", "Your card was declined."),
    "pm_card_chargeDeclinedInsufficientFunds": (
        "card_declined",
        "insufficient_funds",
        "Your card has insufficient funds.",
    ),
    "pm_card_chargeDeclinedExpiredCard": ("expired_card", "expired_card", "Your card has expired."),
}


def known_card(request: Request) -> str | None:
    """Return the card that a request names, None if it names none. Raises Refused for one that is not in the lists above."""
    card = request.parameters.get("payment_method")
    if card is not None and card not in APPROVING_CARDS and card not in DECLINING_CARDS:
        raise Refused(400, f"No such PaymentMethod: '{card}'", code="resource_missing", param="payment_method")
    return card
