"""How long a job may have to wait."""

from datetime import UTC, datetime, timedelta

from app.engine.jobs.queueing import Queueing, estimate
from app.engine.ledger.records import TaskRecord
from app.engine.ledger.search import Ended

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def ended(count: int, queue: str = "emails", over: timedelta = timedelta(minutes=5)) -> Ended:
    record = TaskRecord(
        id="1",
        task="t",
        queue=queue,
        state="SUCCESS",
        attempts=1,
        worker="w",
        error="",
        run_time=None,
        recorded_at=NOW - timedelta(seconds=1),
    )
    return Ended(records=(record,) * count, since=NOW - over)


def test_the_wait_is_what_is_before_it_by_the_pace_of_late() -> None:
    assert estimate(120, ended(300), "emails", NOW) == Queueing(position=120, per_minute=60.0, wait=timedelta(seconds=120))


def test_without_a_recent_end_nothing_is_said_of_the_wait() -> None:
    assert estimate(7, ended(300, queue="reports"), "emails", NOW) == Queueing(position=7, per_minute=None, wait=None)


def test_a_job_of_which_sqs_says_that_nothing_waits_is_the_first() -> None:
    assert estimate(0, ended(5), "emails", NOW).position == 1


def test_of_very_many_the_pace_is_that_of_the_time_that_was_read() -> None:
    assert estimate(10, ended(100, over=timedelta(seconds=10)), "emails", NOW).wait == timedelta(seconds=1)
