"""Amounts: whole numbers of a currency's smallest unit, never floats."""

from dataclasses import dataclass

#: ISO 4217 code → digits after the point. Three-digit currencies are left out: cards charge them in steps of ten.
CURRENCIES = {
    **dict.fromkeys(("aud", "cad", "chf", "czk", "dkk", "eur", "gbp", "nok", "nzd", "pln", "sek", "sgd", "usd"), 2),
    **dict.fromkeys(("jpy", "krw"), 0),
}
LARGEST_AMOUNT_MINOR = 99_999_999


@dataclass(frozen=True, kw_only=True, slots=True)
class Money:
    """An amount in one of our currencies; ``str`` is for people: ``1,234.50 EUR``."""

    amount_minor: int
    currency: str

    def __post_init__(self) -> None:
        if self.currency not in CURRENCIES:
            raise ValueError(f"expected one of {', '.join(sorted(CURRENCIES))}, got {self.currency!r}")

    def __str__(self) -> str:
        digits = CURRENCIES[self.currency]
        whole, rest = divmod(abs(self.amount_minor), 10**digits)
        sign = "-" if self.amount_minor < 0 else ""
        fraction = f".{rest:0{digits}d}" if digits else ""
        return f"{sign}{whole:,}{fraction} {self.currency.upper()}"
