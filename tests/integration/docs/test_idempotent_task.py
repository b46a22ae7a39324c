"""docs/how-to/write-an-idempotent-task.md: each right way does what it says, and each wrong one the harm that it is shown for."""

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery.app.task import Context
from django.apps import apps
from django.db import connection, transaction

from app.engine.errors import TransientError
from app.engine.outbox.background import background_relay
from app.engine.outbox.models import OutboxMessage
from tests.support.environment import REPOSITORY

PAGE = REPOSITORY / "docs" / "how-to" / "write-an-idempotent-task.md"


@pytest.fixture(scope="module")
def snippets() -> Iterator[dict[str, Any]]:
    """What the snippets define, executed in their order as one module."""
    known: dict[str, Any] = {"__name__": "tests.integration.docs.library"}
    for code in re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), known)  # noqa: S102 — our own page
    yield known
    apps.all_models.pop("library", None)
    apps.clear_cache()


@pytest.fixture
def library(snippets: dict[str, Any], db: None, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(background_relay, "wake", lambda: None)
    with connection.schema_editor() as editor:
        editor.create_model(snippets["Loan"])
    return SimpleNamespace(loan=snippets["Loan"].objects.create(reader_email="ada@example.com", fee_cents=250), charged=[], **snippets)


def charging(library: Any, verb: str) -> list[bool]:
    """A run whose twin comes while the card is charged."""
    outcomes: list[bool] = []

    def charge_card(_: Any) -> None:
        library.charged.append(1)
        if len(library.charged) == 1:
            outcomes.append(library.__dict__[verb](library.loan.pk))

    library.__dict__[verb].__globals__["charge_card"] = charge_card
    return [library.__dict__[verb](library.loan.pk), *outcomes]


def test_a_twin_between_look_and_change_charges_too(library: Any) -> None:
    assert charging(library, "charge_wrongly") == [True, True]
    assert len(library.charged) == 2


def test_a_change_that_says_from_which_state_is_made_once(library: Any) -> None:
    assert charging(library, "charge") == [True, False]
    assert len(library.charged) == 1


def test_a_key_stays_only_if_it_follows_from_what_is_meant(library: Any) -> None:
    assert library.key_wrongly(1) != library.key_wrongly(1)
    assert library.key(1) == library.key(1)


def test_a_sum_that_grows_is_noted_with_its_job(library: Any) -> None:
    request = Context({"id": "job-1"})
    for _ in range(3):
        library.book(request, library.loan.pk)
    library.loan.refresh_from_db()
    assert library.loan.balance_cents == 250
    for _ in range(3):
        library.book_wrongly(library.loan.pk)
    library.loan.refresh_from_db()
    assert library.loan.balance_cents == 1000


def test_a_job_of_a_transaction_that_is_rolled_back_was_never_enqueued(library: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    task = library.current_app.tasks["engine.debug_task"]
    monkeypatch.setattr(type(task), "apply_async", lambda _self, *_args, **_options: sent.append(library.producer.is_bypassed()))
    library.lend_wrongly("ada@example.com")
    assert sent == [True]
    monkeypatch.undo()
    monkeypatch.setattr(background_relay, "wake", lambda: None)
    with transaction.atomic():
        library.lend("ada@example.com")
        transaction.set_rollback(True)
    assert not OutboxMessage.objects.exists()
    library.lend("ada@example.com")
    assert OutboxMessage.objects.count() == 1


def test_a_failure_is_told(library: Any) -> None:
    def send_reminder(_: int) -> None:
        raise ConnectionRefusedError

    library.remind.__globals__["send_reminder"] = send_reminder
    assert library.remind_wrongly(library.loan.pk) == {"status": "failed"}
    with pytest.raises(TransientError):
        library.remind(library.loan.pk)
