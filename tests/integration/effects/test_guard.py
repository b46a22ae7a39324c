"""One effect a key, in a real PostgreSQL, with real transactions at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone

from app.engine.effects import forgetting, guard
from app.engine.effects.errors import EffectUnderWay, StaleRun
from app.engine.effects.guard import once, stable_key
from app.engine.effects.models import Effect
from tests.support.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)


def run(task_id: str | None = "job", fence: int | None = None) -> Any:
    """``self.request`` of a run."""
    delivery = {} if fence is None else {"fence": fence}
    return SimpleNamespace(id=task_id, properties={"delivery_info": delivery})


class Account:
    """An effect that counts."""

    def __init__(self) -> None:
        self.booked = 0

    def book(self) -> dict[str, int]:
        self.booked += 1
        return {"booked": self.booked}


@pytest.fixture
def account() -> Account:
    return Account()


def elsewhere(act: Callable[[], Any]) -> Any:
    """In another thread, which has a connection of its own."""

    def act_and_hang_up() -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    return ThreadPoolExecutor(1).submit(act_and_hang_up)


def test_a_second_run_gets_the_answer_of_the_first(account: Account) -> None:
    answers = [once(run(), "book", account.book) for _ in range(3)]

    assert answers == [{"booked": 1}] * 3
    assert account.booked == 1


def test_effects_of_one_job_and_of_several_are_told_apart(account: Account) -> None:
    for task_id in ("job", "other"):
        for name in ("book", "thank"):
            once(run(task_id), name, account.book)

    assert account.booked == 4


def test_a_key_of_one_s_own_is_one_effect_of_several_jobs(account: Account) -> None:
    once(run("job", fence=3), "book", account.book, key="order-7")
    once(run("other", fence=1), "book", account.book, key="order-7")
    once(run(None), "book", account.book, key="order-7")

    assert account.booked == 1


def test_an_effect_that_fails_leaves_no_note_and_may_be_had_later(account: Account) -> None:
    def fail() -> None:
        Effect.objects.create(key="something else", task_id="")
        raise IntegrityError("no")

    with pytest.raises(IntegrityError):
        once(run(), "book", fail)

    assert Effect.objects.count() == 0
    assert once(run(), "book", account.book) == {"booked": 1}


def test_it_is_a_part_of_the_transaction_around_it(account: Account) -> None:
    def in_a_transaction_that_rolls_back() -> None:
        with transaction.atomic():
            once(run(), "book", account.book)
            raise KeyError("killed here")

    with pytest.raises(KeyError):
        in_a_transaction_that_rolls_back()

    assert Effect.objects.count() == 0


def test_an_answer_that_is_no_json_is_no_effect() -> None:
    with pytest.raises(TypeError):
        once(run(), "book", object)

    assert Effect.objects.count() == 0


def test_a_run_that_a_later_one_overtook_is_refused(account: Account) -> None:
    once(run(fence=2), "book", account.book)

    with pytest.raises(StaleRun, match="fence 1"):
        once(run(fence=1), "book", account.book)

    assert account.booked == 1
    assert once(run(fence=2), "book", account.book) == {"booked": 1}


def test_an_earlier_run_learns_of_a_later_one_by_any_effect_of_the_job(account: Account) -> None:
    once(run(fence=1), "book", account.book)
    once(run(fence=2), "book", account.book)

    with pytest.raises(StaleRun):
        once(run(fence=1), "thank", account.book)

    assert list(Effect.objects.values_list("key", "fence")) == [("job:book", 2)]
    assert once(run("other", fence=1), "thank", account.book)


def test_a_run_without_a_claim_is_neither_refused_nor_refuses(account: Account) -> None:
    once(run(), "book", account.book)
    once(run(fence=5), "book", account.book)

    assert once(run(), "book", account.book) == {"booked": 1}
    assert account.booked == 1


@pytest.mark.parametrize("commits", [True, False], ids=["the first commits", "the first is killed"])
def test_of_two_runs_at_once_one_waits_for_the_other(account: Account, commits: bool) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def first() -> None:
        with transaction.atomic():
            once(run(fence=1), "book", account.book)
            begun.set()
            assert may_end.wait(10)
            if not commits:
                connection.connection.close()

    one = elsewhere(first)
    assert begun.wait(10)
    other = elsewhere(lambda: once(run(fence=2), "book", account.book))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"

    def are_waiting() -> int:
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            return int(cursor.fetchone()[0])

    eventually(are_waiting, 1)
    may_end.set()

    assert other.result(10) == {"booked": 1 if commits else 2}
    assert (one.exception(10) is None) is commits
    assert list(Effect.objects.values_list("key", "fence")) == [("job:book", 2)]


def test_whoever_waits_for_too_long_is_told(account: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE", timedelta(milliseconds=100))
    with transaction.atomic():
        once(run(), "book", account.book)

        with pytest.raises(EffectUnderWay, match="job:book"):
            elsewhere(lambda: once(run(), "book", account.book)).result(10)

    assert account.booked == 1


def test_many_runs_at_once_have_one_effect(account: Account) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: elsewhere(lambda: once(run(), "book", account.book)).result(30), range(24)))

    assert answers == [{"booked": 1}] * 24


def test_notes_are_kept_for_as_long_as_a_message_can_wait_and_then_forgotten(account: Account) -> None:
    now = timezone.now()
    for number in range(5):
        once(run(f"job-{number}"), "book", account.book)
    Effect.objects.filter(task_id__in=["job-0", "job-1", "job-2"]).update(done_at=now - forgetting.kept_for() - timedelta(seconds=1))

    assert forgetting.forget_old(now, batch=2) == 3
    assert sorted(Effect.objects.values_list("task_id", flat=True)) == ["job-3", "job-4"]


def test_a_stable_key_is_the_job_s_and_fits_everywhere() -> None:
    assert stable_key(run(fence=1), "capture") == stable_key(run(fence=2), "capture") == "job:capture"
    assert stable_key(run("other"), "capture") != stable_key(run(), "capture")
    assert len(stable_key(run("j" * 255), "capture")) <= 255
    assert stable_key(run("j" * 255), "capture") != stable_key(run("j" * 255), "refund")
    with pytest.raises(ValueError, match="no task id"):
        stable_key(run(None), "capture")
