"""Permits and unique jobs in a real PostgreSQL, with real transactions at the same time."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from celery.exceptions import Retry
from django.db import connections, transaction
from django.utils import timezone

from app.engine.broker.put_off import PutOff
from app.engine.limits import forgetting, permits
from app.engine.limits.limiter import AtOnce, Pace, limited
from app.engine.limits.models import Permit, UniqueJob
from app.engine.limits.permits import Full, Wanted
from app.engine.limits.unique import HEADER, UniqueKey, held, publish_unique
from app.engine.outbox import background
from app.engine.outbox.errors import NotInTransaction, UnknownTask
from app.engine.outbox.models import OutboxMessage
from tests.support.eventually import eventually

pytestmark = pytest.mark.django_db(transaction=True)

TASK = "engine.debug_task"
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(background.background_relay, "wake", lambda: None)


def run(task_id: str = "job", **headers: Any) -> Any:
    """``self.request`` of a run."""
    return SimpleNamespace(id=task_id, headers=headers or None, properties={})


def many(number: int, act: Callable[[], Any]) -> list[Any]:
    """In threads, which have connections of their own."""

    def act_and_hang_up(_: int) -> Any:
        try:
            return act()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(act_and_hang_up, range(number)))


# -- permits ------------------------------------------------------------------------------------------------------------


def test_of_many_at_once_no_more_get_a_permit_than_there_are() -> None:
    answers = many(32, lambda: permits.take([Wanted(key="acme", most=3, lasts=MINUTE)], "job"))

    assert len([answer for answer in answers if not isinstance(answer, Full)]) == 3
    assert Permit.objects.count() == 3


def test_a_permit_that_is_given_back_or_lapses_is_free_and_another_key_never_was_taken() -> None:
    with limited(run(), AtOnce(key="acme", most=1)):
        with pytest.raises(PutOff), limited(run("other"), AtOnce(key="acme", most=1)):
            raise AssertionError("two at once")
        with limited(run("other"), AtOnce(key="globex", most=1)):
            pass
    permits.take([AtOnce(key="acme", most=1, lease=timedelta(seconds=1)).wanted], "killed")

    def is_free() -> bool:
        with suppress(PutOff), limited(run(), AtOnce(key="acme", most=1)):
            return True
        return False

    assert not is_free()
    eventually(is_free, within=10)


def test_the_place_of_a_run_is_kept_while_it_lives_however_long_that_is() -> None:
    lease = timedelta(seconds=1)
    with limited(run(), AtOnce(key="acme", most=1, lease=lease)):
        first = Permit.objects.get().until
        eventually(lambda: Permit.objects.get().until - first > 2 * lease, within=10)
        with pytest.raises(PutOff), limited(run("other"), AtOnce(key="acme", most=1)):
            raise AssertionError("two at once")

    assert not Permit.objects.exists()


def test_a_run_that_fails_gives_its_place_back() -> None:
    with pytest.raises(KeyError), limited(run(), AtOnce(key="acme", most=1)):
        raise KeyError("no")

    assert not Permit.objects.exists()


def test_a_pace_counts_starts_and_says_when_the_next_may_come() -> None:
    pace = Pace(key="acme", most=2, per=timedelta(seconds=30))
    for _ in range(2):
        with limited(run(), pace):
            pass

    with pytest.raises(PutOff) as refused, limited(run(), pace):
        raise AssertionError("too fast")

    assert refused.value.seconds is not None
    assert 25 <= refused.value.seconds <= 51
    Permit.objects.update(until=timezone.now())
    with limited(run(), pace):
        pass
    assert Permit.objects.count() == 1


def test_of_several_limits_all_are_kept_or_nothing_is_counted() -> None:
    with limited(run(), AtOnce(key="acme", most=1)):
        for _ in range(3):
            with pytest.raises(PutOff), limited(run("other"), Pace(key="acme", most=1, per=MINUTE), AtOnce(key="acme", most=1)):
                raise AssertionError("two at once")

    with limited(run("other"), Pace(key="acme", most=1, per=MINUTE), AtOnce(key="acme", most=1)):
        assert Permit.objects.count() == 2


def test_it_is_not_for_the_inside_of_a_transaction() -> None:
    with pytest.raises(RuntimeError, match="durable"), transaction.atomic(), limited(run(), AtOnce(key="acme", most=1)):
        raise AssertionError("nobody would have seen the permit")


@pytest.mark.parametrize(
    "make",
    [
        lambda: AtOnce(key="", most=1),
        lambda: AtOnce(key="k" * 201, most=1),
        lambda: AtOnce(key="a\0b", most=1),
        lambda: AtOnce(key="acme", most=0),
        lambda: AtOnce(key="acme", most=1, lease=timedelta(0)),
        lambda: Pace(key="acme", most=1, per=timedelta(0)),
        lambda: Pace(key="acme", most=1, per=timedelta(days=2)),
        lambda: UniqueKey(key=""),
        lambda: UniqueKey(key="acme", waits=timedelta(0)),
    ],
)
def test_a_limit_that_makes_no_sense_is_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


# -- unique jobs ----------------------------------------------------------------------------------------------------------


def enqueue(key: str = "rebuild", **options: Any) -> str:
    with transaction.atomic():
        return publish_unique(TASK, UniqueKey(key=key, **options), seconds=0)


def unique_run(task_id: str, key: str = "rebuild") -> Any:
    return run(task_id, **{HEADER: {"key": key, "waits": 3600.0}})


def test_a_hundred_at_once_are_one_job_and_all_get_its_id() -> None:
    ids = many(100, enqueue)

    assert len(set(ids)) == 1
    assert [message.task_id for message in OutboxMessage.objects.all()] == [ids[0]]
    assert enqueue("another") != ids[0]


def test_what_is_rolled_back_keeps_nobody_out() -> None:
    def in_a_transaction_that_rolls_back() -> None:
        with transaction.atomic():
            publish_unique(TASK, UniqueKey(key="rebuild"), seconds=0)
            raise KeyError("killed here")

    with pytest.raises(KeyError):
        in_a_transaction_that_rolls_back()

    assert enqueue() == OutboxMessage.objects.get().task_id


def test_what_cannot_be_published_keeps_nobody_out() -> None:
    with pytest.raises(NotInTransaction):
        publish_unique(TASK, UniqueKey(key="rebuild"))
    with transaction.atomic():
        with pytest.raises(UnknownTask):
            publish_unique("engine.debug_tsk", UniqueKey(key="rebuild"))
        with pytest.raises(TypeError):
            publish_unique(TASK, UniqueKey(key="rebuild"), sugar=2)

    assert not UniqueJob.objects.exists()


def test_a_job_that_no_worker_takes_keeps_others_out_for_its_bound_only() -> None:
    first = enqueue(waits=timedelta(seconds=1))

    assert enqueue() == first
    eventually(lambda: enqueue() != first, within=10)
    assert OutboxMessage.objects.count() == 2


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [(None, False), (KeyError("no"), False), (Retry(), True), (PutOff("database", "away"), True)],
    ids=["succeeds", "fails", "is retried", "is put off"],
)
def test_the_key_is_let_go_when_the_job_is_over_and_not_before(error: Exception | None, is_kept: bool) -> None:
    first = enqueue()
    with suppress(KeyError, Retry, PutOff), held(unique_run(first)):
        assert enqueue() == first
        if error is not None:
            raise error

    assert UniqueJob.objects.exists() is is_kept
    assert (enqueue() == first) is is_kept
    if is_kept:
        assert UniqueJob.objects.get().until - timezone.now() > timedelta(minutes=55)


def test_a_job_that_has_lost_its_key_waits_for_the_one_that_has_it() -> None:
    first = enqueue()
    UniqueJob.objects.update(until=timezone.now())
    second = enqueue()

    with pytest.raises(PutOff), held(unique_run(first)):
        raise AssertionError("two at once")
    with held(unique_run(second)):
        pass
    with held(unique_run(first)):
        assert enqueue() == first


def test_an_earlier_run_lets_nothing_go_that_a_later_one_holds() -> None:
    first = enqueue()
    begun, may_end = threading.Event(), threading.Event()

    def frozen() -> None:
        with held(unique_run(first)):
            begun.set()
            may_end.wait(10)
        connections.close_all()

    thread = threading.Thread(target=frozen)
    thread.start()
    assert begun.wait(10)
    with held(unique_run(first)):
        may_end.set()
        thread.join(10)
        assert enqueue() == first


@pytest.mark.parametrize("header", ["x", {}, {"key": ""}, {"key": "a"}, {"key": "a", "waits": "x"}, {"key": "a", "waits": 1e300}])
def test_a_header_that_is_not_ours_is_no_key(header: Any) -> None:
    with held(run(**{HEADER: header})):
        assert not UniqueJob.objects.exists()


def test_what_lapsed_long_ago_is_forgotten() -> None:
    enqueue("old")
    enqueue("new")
    permits.take([AtOnce(key="old", most=1).wanted], "job")
    long_ago = timezone.now() - forgetting.KEPT - MINUTE
    UniqueJob.objects.filter(key="old").update(until=long_ago)
    Permit.objects.update(until=long_ago)

    assert forgetting.forget_old() == 2
    assert [job.key for job in UniqueJob.objects.all()] == ["new"]
