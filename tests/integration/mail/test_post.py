"""What became of a mail, as a real SMTP server, SES and the local files say it."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from django.core.mail import EmailMessage
from django.utils import timezone

from app.engine.errors import PermanentError, TransientError
from app.engine.mail.acceptance import was_accepted
from app.engine.mail.errors import MailDeferred, MailRefused, MailUnavailable, MailUncertain
from app.engine.mail.post import Post, message_id, send, send_unless_accepted
from tests.support.mail_server import MailServer, mail_server


@pytest.fixture
def server(settings: Any) -> Iterator[MailServer]:
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_USE_TLS, settings.EMAIL_TIMEOUT = "127.0.0.1", running.port, False, 5
        yield running


def mail_to(address: str, **options: Any) -> EmailMessage:
    return EmailMessage("Subject", "Body", to=[address], headers={"Message-ID": message_id(address.partition("@")[0])}, **options)


def test_many_mails_take_one_connection(server: MailServer) -> None:
    with Post() as post:
        for number in range(5):
            post.send(mail_to(f"ada{number}@example.com"))
    assert server.connections == 1
    assert server.recipients() == [f"ada{number}@example.com" for number in range(5)]
    assert server.accepted[0]["Message-ID"] == "<ada0@example.com>"


@pytest.mark.parametrize(
    ("address", "raised"),
    [
        ("later@example.com", MailDeferred),
        ("unknown@example.com", MailRefused),
        ("spam@example.com", MailRefused),
        ("silent@example.com", MailUncertain),
        ("busy@example.com", MailUnavailable),
        ("no address", MailRefused),
        ("ada@exam\nple.com", MailRefused),
    ],
)
def test_each_answer_has_its_word_and_the_next_mail_goes_out(server: MailServer, address: str, raised: type[Exception]) -> None:
    with Post() as post:
        with pytest.raises((TransientError, PermanentError)) as found:
            post.send(mail_to(address))
        post.send(mail_to("ada@example.com"))
    assert type(found.value) is raised
    assert server.recipients() == ["ada@example.com"]


@pytest.mark.parametrize(("address", "is_dead"), [("unknown@example.com", True), ("spam@example.com", False)])
def test_a_mailbox_that_does_not_exist_is_told_from_a_mail_that_is_not_wanted(server: MailServer, address: str, is_dead: bool) -> None:
    with pytest.raises(MailRefused) as refused:
        send(mail_to(address))
    assert refused.value.is_address_dead is is_dead


@pytest.mark.parametrize("is_there", [True, False])
def test_a_server_that_cannot_be_reached_has_certainly_not_got_the_mail(server: MailServer, settings: Any, is_there: bool) -> None:
    server.is_locked = True
    if not is_there:
        settings.EMAIL_PORT = 1
    with pytest.raises(MailUnavailable) as found:
        send(mail_to("ada@example.com"))
    assert type(found.value) is MailUnavailable


def test_smtp_cannot_be_asked_afterwards(server: MailServer) -> None:
    send(mail_to("ada@example.com"))
    assert was_accepted("<ada@example.com>", timezone.now()) is None


def test_the_local_files_can_be_asked_afterwards(settings: Any, tmp_path: Path) -> None:
    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", str(tmp_path)
    began = timezone.now()
    send(mail_to("ada@example.com"))
    assert was_accepted("<ada@example.com>", began) is True
    assert was_accepted("<alan@example.com>", began) is False
    assert was_accepted("<ada@example.com>", began + timedelta(hours=1)) is False


def test_what_an_earlier_run_has_sent_is_sent_again_only_where_nobody_can_be_asked(
    settings: Any, tmp_path: Path, server: MailServer
) -> None:
    began = timezone.now()
    for _ in range(2):
        send_unless_accepted(mail_to("ada@example.com"), began)
    assert server.recipients() == ["ada@example.com"] * 2

    settings.EMAIL_BACKEND, settings.EMAIL_FILE_PATH = "django.core.mail.backends.filebased.EmailBackend", str(tmp_path)
    for _ in range(2):
        send_unless_accepted(mail_to("ada@example.com"), began)
    assert "".join(file.read_text() for file in tmp_path.iterdir()).count("<ada@example.com>") == 1


@pytest.fixture
def ses(settings: Any, aws: str) -> Any:
    settings.EMAIL_BACKEND = "anymail.backends.amazon_ses.EmailBackend"
    keys: dict[str, Any] = {"region_name": "eu-central-1", "aws_access_key_id": "test", "aws_secret_access_key": "test"}
    settings.ANYMAIL = {"AMAZON_SES_CLIENT_PARAMS": keys | {"endpoint_url": aws, "config": {"retries": {"total_max_attempts": 1}}}}
    return boto3.client("sesv2", endpoint_url=aws, **keys)


def test_ses_takes_a_mail_of_a_sender_that_it_knows(ses: Any) -> None:
    with pytest.raises(MailRefused, match="MessageRejected"):
        send(mail_to("ada@example.com"))
    ses.create_email_identity(EmailIdentity="shop@example.com")
    send(mail_to("ada@example.com"))
    assert was_accepted("<ada@example.com>", timezone.now()) is None


def test_an_ses_that_cannot_be_reached_has_certainly_not_got_the_mail(ses: Any, settings: Any) -> None:
    settings.ANYMAIL["AMAZON_SES_CLIENT_PARAMS"]["endpoint_url"] = "http://127.0.0.1:1"
    with pytest.raises(MailUnavailable) as found:
        send(mail_to("ada@example.com"))
    assert type(found.value) is MailUnavailable


def test_a_role_whose_credentials_cannot_be_had_has_sent_nothing(ses: Any, settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """On ECS they come over HTTP, from an agent that may be silent for a moment."""
    parameters = settings.ANYMAIL["AMAZON_SES_CLIENT_PARAMS"]
    settings.ANYMAIL = {
        "AMAZON_SES_CLIENT_PARAMS": {name: value for name, value in parameters.items() if name in {"endpoint_url", "region_name", "config"}}
    }
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/credentials")
    monkeypatch.setattr("botocore.utils.ContainerMetadataFetcher.SLEEP_TIME", 0)

    with pytest.raises(MailUnavailable):
        send(mail_to("ada@example.com"))
