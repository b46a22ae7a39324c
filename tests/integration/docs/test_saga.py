"""docs/how-to/write-a-saga.md: what it declares and starts runs, turns back with its reason, and the wrong way does the harm it is shown for."""

import json
import uuid
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from celery import current_app
from django.db import models, transaction

from app.engine.outbox.background import background_relay
from app.engine.outbox.models import OutboxMessage
from app.engine.sagas import definition
from app.engine.sagas.models import Saga
from app.engine.sagas.reference import Reference
from app.engine.sagas.running import run_act
from tests.integration.docs.pages import code_of, execute, library, tables

pytestmark = pytest.mark.django_db(transaction=True)
DECLARE, START, TASK, REFUSE, WRONG, RIGHT = code_of("write-a-saga.md")
RESERVE = "engine.library_reserve_copy"
OTHERS = [f"engine.library_{name}" for name in ("release_copy", "print_label", "void_label", "send_notice")]


def _step(*, loan_id: str) -> None:
    """Of the steps that the page leaves to the reader. Never run: the worker here does it."""


def _postage(loan_id: str) -> dict[str, Any]:
    card = {"owner_id": 1, "payment_method": "pm_card_visa"}
    return {"reference": f"loan-{loan_id}", "amount_minor": 350, "currency": "eur", **card}


class Page:
    """What the page defines, and a worker."""

    def __init__(self, made: dict[str, Any]) -> None:
        self.models = SimpleNamespace(**made)
        self.copies = 1
        self.ran: list[str] = []
        self.known: dict[str, Any] = {"take_a_copy": self._take_a_copy, "uuid4": uuid.uuid4}
        services = {"postage_arguments": _postage, "reserve_copy": self._reserve_copy}
        with library(models=made, services=services):
            for code in (DECLARE, START, REFUSE):
                execute(code, self.known)
            execute(TASK, {})

    def _reserve_copy(self, loan_id: str) -> Any:
        return self.known["reserve_copy"](loan_id)

    def _take_a_copy(self, _loan_id: str) -> bool:
        self.copies -= 1
        return self.copies >= 0

    def work_all(self) -> None:
        while (row := OutboxMessage.objects.order_by("id").first()) is not None:
            row.delete()
            told = json.loads(row.options)["headers"]["saga_act"]
            self.ran.append(row.task)
            reserves = row.task == RESERVE
            run_act(
                SimpleNamespace(atomic_step=True),
                Reference(act=told["act"], publication=told["publication"]),
                (lambda: self.known["reserve_copy"]("1")) if reserves else (lambda: None),
                is_excused=lambda _error: False,
            )


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch) -> Iterator[Page]:
    monkeypatch.setattr(definition, "_declared", {})
    monkeypatch.setattr(background_relay, "wake", lambda: None)
    for name in OTHERS:
        current_app.task(name=name, shared=False)(_step)
    with tables(Loan={"book_id": models.IntegerField(), "reader_email": models.EmailField()}) as made:
        yield Page(made)
    for name in (RESERVE, *OTHERS):
        current_app.tasks.pop(name, None)


def test_a_loan_and_its_saga_are_there_together_or_not_at_all(page: Page) -> None:
    with transaction.atomic():
        page.known["send_book"](book_id=1, reader_email="ada@example.com")
        transaction.set_rollback(True)
    assert (page.models.Loan.objects.count(), Saga.objects.count(), OutboxMessage.objects.count()) == (0, 0, 0)

    loan = page.known["send_book"](book_id=1, reader_email="ada@example.com")
    with transaction.atomic():
        again = page.known["start"]("engine.library_send_book", subject=loan.pk)

    assert Saga.objects.get().pk == again.pk


def test_its_steps_run_in_their_order(page: Page) -> None:
    page.known["send_book"](book_id=1, reader_email="ada@example.com")
    page.work_all()

    assert page.ran[:2] == [RESERVE, "payments.charge_reference"]
    assert sorted(page.ran[2:]) == ["engine.library_print_label", "engine.library_send_notice"]
    assert Saga.objects.get().state == Saga.State.DONE


def test_a_step_that_says_no_turns_it_back_with_the_reason(page: Page) -> None:
    page.copies = 0
    page.known["send_book"](book_id=1, reader_email="ada@example.com")
    page.work_all()

    saga = Saga.objects.get()
    assert (saga.code, saga.reason) == ("all_lent", "All copies are lent.")
    assert "payments.charge_reference" not in page.ran


def test_the_task_is_one_whose_step_is_atomic(page: Page) -> None:
    task = current_app.tasks[RESERVE]
    assert task.atomic_step is True
    assert task.run(loan_id="1") is True


def test_the_wrong_way_charges_before_there_is_an_order_and_with_a_new_key_each_time(page: Page) -> None:
    orders: list[int] = []
    charged: list[tuple[str, int]] = []

    class Order:
        def __init__(self, pk: int) -> None:
            self.pk = pk

        def save(self) -> None:
            orders.append(self.pk)

    def delay(_order_id: int, key: str) -> Any:
        charged.append((key, len(orders)))
        return SimpleNamespace(get=lambda: None)

    known: dict[str, Any] = {"Order": Order, "charge": SimpleNamespace(delay=delay), "uuid4": uuid.uuid4}
    execute(WRONG, known)
    for _ in range(2):
        known["process"](1)

    assert [saved for _, saved in charged] == [0, 1]
    assert len({key for key, _ in charged}) == 2


def test_the_right_way_starts_one_saga_however_often_it_runs(page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    loan = page.models.Loan.objects.create(book_id=1, reader_email="ada@example.com")
    known = {
        "transaction": transaction,
        "Order": page.models.Loan,
        "start": lambda _name, subject: page.known["start"]("engine.library_send_book", subject=subject),
    }
    execute(RIGHT, known)
    for _ in range(2):
        known["process"](str(loan.pk))

    assert Saga.objects.count() == 1
