"""Cents, as text. Never a float."""

from decimal import Decimal

CURRENCY = "EUR"


def decimal_of(amount_minor: int) -> Decimal:
    return Decimal(amount_minor).scaleb(-2)


def written(amount_minor: int) -> str:
    """For people."""
    return f"{decimal_of(amount_minor):,.2f} {CURRENCY}"
