"""When a job is due, and when its message leaves for it."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from celery.utils.time import maybe_make_aware
from hypothesis import given
from hypothesis import strategies as st

from app.engine.outbox.due import due_at, is_far_off, leaves_at

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
LONGEST = timedelta(seconds=900)


def test_a_countdown_counts_from_now_and_wins_over_an_eta() -> None:
    assert due_at(countdown=1200, eta=NOON, now=NOON) == NOON + timedelta(minutes=20)


def test_a_job_without_a_time_may_start_at_once() -> None:
    assert due_at(now=NOON) is None
    assert due_at(countdown=0, now=NOON) is None


@pytest.mark.parametrize(
    "eta",
    [
        NOON,
        NOON.replace(tzinfo=None),
        NOON.astimezone(timezone(timedelta(hours=5, minutes=30))),
        NOON.isoformat(),
        "2026-01-02T12:00:00",
        "2026-01-02T12:00:00Z",
        "2026-01-02T14:00:00+02:00",
    ],
    ids=str,
)
def test_an_eta_is_read_as_celery_s_worker_reads_it(eta: datetime | str) -> None:
    moment = datetime.fromisoformat(eta) if isinstance(eta, str) else eta

    assert due_at(eta=eta, now=NOON) == NOON == maybe_make_aware(moment, UTC)


def test_an_eta_that_is_no_time_is_refused_where_it_is_given() -> None:
    with pytest.raises(ValueError, match="tomorrow"):
        due_at(eta="tomorrow", now=NOON)


@pytest.mark.parametrize(("seconds", "is_far"), [(-5, False), (0, False), (900, False), (900.001, True), (10**9, True)])
def test_only_what_sqs_could_not_hold_is_far_off(seconds: float, is_far: bool) -> None:
    assert is_far_off(NOON + timedelta(seconds=seconds), now=NOON, longest_sqs_delay=LONGEST) is is_far


def test_what_has_no_time_is_not_far_off() -> None:
    assert not is_far_off(None, now=NOON, longest_sqs_delay=LONGEST)


@given(delay=st.floats(min_value=1, max_value=10**9), longest=st.integers(min_value=1, max_value=900))
def test_a_message_leaves_before_it_is_due_and_never_sooner_than_sqs_can_hold_it(delay: float, longest: int) -> None:
    due, longest_sqs_delay = NOON + timedelta(seconds=delay), timedelta(seconds=longest)

    assert timedelta(0) < due - leaves_at(due, longest_sqs_delay=longest_sqs_delay) <= longest_sqs_delay
