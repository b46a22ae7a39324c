from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.test import Client

from app.api.tokens import issue_token
from app.engine.outbox.background import background_relay
from app.workload.orders.models import Product


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays in its table, to be counted."""
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture
def owner(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create(username="ada")


@pytest.fixture
def api_client(owner: AbstractBaseUser) -> Client:
    """As everywhere, but rolled back after the test."""
    client = Client(headers={"Authorization": f"Bearer {issue_token(owner, 'tests')}"})
    client.owner = owner  # type: ignore[attr-defined]
    return client


@pytest.fixture
def mill(db: None) -> Product:
    return Product.objects.create(sku="MILL-1", name="Coffee mill", price_minor=4900, currency="eur", stock=5)


@pytest.fixture
def staff(db: None) -> Any:
    client = Client()
    client.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    return client
