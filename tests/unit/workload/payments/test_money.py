import pytest

from app.workload.payments.money import Money


@pytest.mark.parametrize(
    ("amount_minor", "currency", "shown"),
    [
        (1, "eur", "0.01 EUR"),
        (123_450, "usd", "1,234.50 USD"),
        (99_999_999, "gbp", "999,999.99 GBP"),
        (1999, "jpy", "1,999 JPY"),
        (0, "krw", "0 KRW"),
        (-1050, "chf", "-10.50 CHF"),
    ],
)
def test_money_is_shown_in_the_digits_of_its_currency(amount_minor: int, currency: str, shown: str) -> None:
    assert str(Money(amount_minor=amount_minor, currency=currency)) == shown


@pytest.mark.parametrize("currency", ["EUR", "xxx", "", "kwd"])
def test_money_knows_only_our_currencies(currency: str) -> None:
    with pytest.raises(ValueError, match="expected one of"):
        Money(amount_minor=1, currency=currency)
