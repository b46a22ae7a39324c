"""The policies for missed due times."""

from datetime import UTC, datetime, timedelta

import pytest

from app.engine.schedules.missed import LATE_AFTER, MOST_AT_ONCE, Decision, Missed, Pending, decide

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def minutes(*numbers: int) -> tuple[datetime, ...]:
    return tuple(NOON + timedelta(minutes=number) for number in numbers)


def pending(*moments: datetime, count: int = 0) -> Pending:
    return Pending(count=count or len(moments), latest=moments)


@pytest.mark.parametrize("policy", Missed)
def test_what_is_due_just_now_is_sent_under_every_policy(policy: Missed) -> None:
    assert decide(pending(NOON), missed=policy, now=NOON) == Decision(sent=(NOON,))


@pytest.mark.parametrize("policy", Missed)
def test_where_nothing_is_due_nothing_is_done(policy: Missed) -> None:
    assert decide(pending(), missed=policy, now=NOON) == Decision()


def test_one_is_sent_for_all_that_were_missed_and_the_others_are_counted() -> None:
    assert decide(pending(*minutes(0, 10, 20)), missed=Missed.ONE, now=NOON + timedelta(hours=1)) == Decision(sent=minutes(20), left_out=2)


def test_all_are_sent_and_what_goes_beyond_the_bound_is_counted() -> None:
    assert decide(pending(*minutes(0, 10, 20)), missed=Missed.ALL, now=NOON + timedelta(hours=1)) == Decision(sent=minutes(0, 10, 20))
    assert decide(pending(*minutes(*range(MOST_AT_ONCE)), count=MOST_AT_ONCE + 7), missed=Missed.ALL, now=NOON).left_out == 7


def test_what_is_skipped_keeps_an_occurrence_that_says_so() -> None:
    decision = decide(pending(*minutes(0, 10, 20)), missed=Missed.SKIP, now=NOON + timedelta(hours=1))

    assert decision == Decision(skipped=NOON + timedelta(minutes=20), left_out=2)
    assert decision.named == minutes(20)


def test_a_beat_that_took_over_within_a_minute_is_late_and_skips_nothing() -> None:
    assert decide(pending(NOON), missed=Missed.SKIP, now=NOON + LATE_AFTER) == Decision(sent=(NOON,))
    assert decide(pending(NOON), missed=Missed.SKIP, now=NOON + LATE_AFTER + timedelta(seconds=1)) == Decision(skipped=NOON)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_pending_due_times_that_do_not_fit_their_number_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="expected the latest"):
        Pending(count=count, latest=minutes(*range(3)) if count else minutes(1))
