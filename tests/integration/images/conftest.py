from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractBaseUser
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from app.api.tokens import issue_token
from app.engine.aws.provision import provision
from app.engine.conf import engine_settings
from app.engine.outbox.background import background_relay
from app.topology import TOPOLOGY


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays in its table, to be counted."""
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture(scope="session")
def bucket(aws: str) -> None:
    """What this process uploads to."""
    settings = engine_settings()
    provision(TOPOLOGY, name_prefix=settings.name_prefix, region=settings.region, endpoint_url=aws)


@pytest.fixture
def owner(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create(username="ada")


def client_of(user: AbstractBaseUser) -> Client:
    return Client(headers={"Authorization": f"Bearer {issue_token(user, 'tests')}"})


@pytest.fixture
def client(owner: AbstractBaseUser, bucket: None) -> Client:
    return client_of(owner)


@pytest.fixture
def stranger(db: None) -> Client:
    return client_of(get_user_model().objects.create(username="mallory"))


@pytest.fixture
def staff(db: None) -> Client:
    client = Client()
    client.force_login(get_user_model().objects.create(username="staff", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def upload(client: Client) -> Callable[..., Any]:
    def send(content: bytes, name: str = "beach.jpg", key: str | None = None) -> Any:
        headers = {} if key is None else {"Idempotency-Key": key}
        return client.post("/api/images", {"file": SimpleUploadedFile(name, content)}, headers=headers)

    return send
