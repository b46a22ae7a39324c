"""Longer and longer pauses, never long ones."""

from app.engine.aws.backoff import LONGEST_PAUSE_SECONDS, Backoff


def latest() -> Backoff:
    """Always draws the longest pause that it may."""
    return Backoff(draw=lambda _low, high: high)


def test_without_a_failure_there_is_no_pause() -> None:
    assert Backoff().pause_seconds == 0


def test_the_first_failure_of_a_row_is_the_one_to_log() -> None:
    backoff = Backoff()

    assert [backoff.failed() for _ in range(3)] == [True, False, False]
    backoff.succeeded()
    assert backoff.failed()


def test_a_success_is_news_only_after_a_failure() -> None:
    backoff = Backoff()

    assert not backoff.succeeded()
    backoff.failed()
    assert [backoff.succeeded(), backoff.succeeded()] == [True, False]
    assert backoff.pause_seconds == 0


def test_pauses_double_up_to_five_seconds_however_long_it_takes() -> None:
    backoff = latest()
    pauses = []
    for _ in range(2000):
        backoff.failed()
        pauses.append(backoff.pause_seconds)

    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert set(pauses[5:]) == {LONGEST_PAUSE_SECONDS}


def test_workers_that_failed_together_do_not_come_back_together() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.failed()

    pauses = {backoff.pause_seconds for _ in range(100)}

    assert len(pauses) > 90
    assert all(0.05 <= pause <= LONGEST_PAUSE_SECONDS for pause in pauses)
    assert min(pauses) < LONGEST_PAUSE_SECONDS / 2 < max(pauses)
