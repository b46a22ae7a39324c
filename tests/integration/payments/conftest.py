from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client

from app.api.tokens import issue_token
from app.engine.outbox.background import background_relay
from app.workload.payments import services
from app.workload.payments.models import Payment
from app.workload.payments.money import Money
from tests.integration.payments.accounts import GatewayServer, MakePayment


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays in its table, to be counted."""
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture(autouse=True)
def gateway_is_asked(settings: Any, gateway: GatewayServer) -> None:
    settings.STRIPE_API_BASE = gateway.url
    settings.STRIPE_API_KEY = "sk_test_payments"


@pytest.fixture
def owner(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create(username="ada")


@pytest.fixture
def api_client(owner: AbstractBaseUser) -> Client:
    """As everywhere, but rolled back after the test where the test does not ask for several connections."""
    client = Client(headers={"Authorization": f"Bearer {issue_token(owner, 'tests')}"})
    client.owner = owner  # type: ignore[attr-defined]
    return client


@pytest.fixture
def make_payment(owner: AbstractBaseUser) -> MakePayment:
    def make(payment_method: str = "pm_card_visa", amount_minor: int = 1999, currency: str = "eur") -> Payment:
        return services.request_payment(
            owner=owner,
            money=Money(amount_minor=amount_minor, currency=currency),
            payment_method=payment_method,
            customer_email="customer@example.com",
        )

    return make
