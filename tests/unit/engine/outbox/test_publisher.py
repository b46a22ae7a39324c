"""Publishing by name."""

import pytest

from app.engine.errors import PermanentError
from app.engine.outbox.errors import NotInTransaction, UnknownTask
from app.engine.outbox.publisher import publish
from app.engine.task_names import suggestion

KNOWN = ["payments.capture", "payments.refund", "mailings.send", "celery.chord"]


@pytest.mark.parametrize("misspelt", ["paymnts.capture", "payments.captur", "payment.capture", "payments_capture"])
def test_a_misspelt_name_is_guessed(misspelt: str) -> None:
    assert suggestion(misspelt, KNOWN) == " Did you mean 'payments.capture'?"


@pytest.mark.parametrize("nothing_like_it", ["", "x", "images.resize_all_of_them"])
def test_a_name_that_resembles_none_is_not_guessed(nothing_like_it: str) -> None:
    assert suggestion(nothing_like_it, KNOWN) == ""


def test_celery_s_own_tasks_are_never_proposed() -> None:
    assert suggestion("celery.chrd", KNOWN) == ""


def test_outside_a_transaction_publishing_could_promise_nothing_and_says_so() -> None:
    with pytest.raises(NotInTransaction, match=r"publish\('engine.debug_task'\) needs an open transaction: .* transaction.atomic\(\)"):
        publish("engine.debug_task")


def test_both_refusals_are_permanent() -> None:
    assert issubclass(NotInTransaction, PermanentError)
    assert issubclass(UnknownTask, PermanentError)
