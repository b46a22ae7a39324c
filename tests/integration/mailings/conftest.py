from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from app.api.tokens import issue_token
from app.engine.outbox.background import background_relay
from app.workload.mailings import services
from app.workload.mailings.models import Campaign
from tests.support.mail_server import MailServer, mail_server

NEWS: dict[str, Any] = {"headline": "All books half price", "text": "Until Sunday."}


@pytest.fixture(autouse=True)
def outbox_is_not_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published stays in its table, to be counted and worked off by the test."""
    monkeypatch.setattr(background_relay, "wake", lambda: None)


@pytest.fixture
def owner(db: None) -> Any:
    return get_user_model().objects.create(username="owner", email="owner@example.com", is_superuser=True, is_active=True)


@pytest.fixture
def client(owner: Any) -> Client:
    return Client(headers={"Authorization": f"Bearer {issue_token(owner, 'tests')}"})


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    """An SMTP server, which cannot be asked what it has accepted."""
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS, settings.EMAIL_TIMEOUT = "127.0.0.1", running.port, False, 5
        yield running


@pytest.fixture
def files(settings: Any, tmp_path: Path) -> Path:
    """The local files, which can be asked."""
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", str(tmp_path / "mail")
    (tmp_path / "mail").mkdir()
    return tmp_path / "mail"


MakeCampaign = Callable[..., Campaign]


@pytest.fixture
def make_campaign(owner: Any) -> MakeCampaign:
    def make(*addresses: str, **options: Any) -> Campaign:
        values = {"owner": owner, "name": "Autumn", "template_id": "newsletter", "context": NEWS, "addresses": addresses} | options
        return services.start(services.create_campaign(**values).pk)

    return make
