from datetime import date
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.storage import storages
from django.test import Client

from app.api.tokens import issue_token
from app.engine.aws.provision import provision
from app.engine.conf import engine_settings
from app.engine.outbox.background import background_relay
from app.workload.reports.samples import record_samples

FIRST_DAY, DAYS = date(2026, 1, 1), 10


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays in its table, to be counted."""
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture(scope="session")
def _bucket(aws: str) -> None:
    settings = engine_settings()
    provision(settings.topology, name_prefix=settings.name_prefix, region=settings.region, endpoint_url=aws)


@pytest.fixture
def storage(_bucket: None) -> Any:
    """Django's own, in a bucket."""
    return storages["default"]


@pytest.fixture
def owner(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create(username="ada")


@pytest.fixture
def api_client(owner: AbstractBaseUser) -> Client:
    client = Client(headers={"Authorization": f"Bearer {issue_token(owner, 'tests')}"})
    client.owner = owner  # type: ignore[attr-defined]
    return client


@pytest.fixture
def books(db: None) -> int:
    """So many rows in three departments and three books."""
    record_samples(rows=150, first_day=FIRST_DAY, days=DAYS)
    return 150
