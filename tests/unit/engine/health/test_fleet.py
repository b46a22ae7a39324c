"""Do the jobs move."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.engine.aws.queue_depth import QueueDepth
from app.engine.conf import engine_settings
from app.engine.health import fleet
from app.engine.health.fleet import outbox_patience
from app.engine.outbox.lag import OutboxLag
from app.engine.schedules.report import LeaderReport, ScheduleSummary
from app.engine.workers.records import WorkerRecord
from app.engine.workers.registry import listed
from app.topology import TOPOLOGY

SETTINGS = engine_settings()
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
EMPTY = QueueDepth(queue="emails", visible=0, in_flight=0, delayed=0, dead=0, oldest=None)
LIMIT = TOPOLOGY.queue("emails").alarm_age
QUEUES = tuple(queue.name for queue in TOPOLOGY.queues)
WORKER = WorkerRecord(
    hostname="everything@one",
    service="worker-emails",
    queues=QUEUES,
    slots=4,
    running=(),
    reserved=0,
    release="v1",
    started_at=NOON,
    seen_at=NOON,
)
OTHERS = [replace(WORKER, hostname=f"{name}@one", service=name, queues=(), slots=0) for name in ("beat", "outbox-relay")]
SENT = OutboxLag(waiting=0, oldest=None, failing=0)
ON_TIME = ScheduleSummary(leader=LeaderReport(leader="one:1", fence=1, since=NOON), entries=2, missed=0, refused=0)


def judge(
    queues: Sequence[QueueDepth], workers: Sequence[WorkerRecord], outbox: OutboxLag = SENT, schedule: ScheduleSummary = ON_TIME
) -> list[str]:
    return fleet.judge(SETTINGS, queues=queues, workers=listed(workers, NOON), outbox=outbox, schedule=schedule, now=NOON)


def test_nothing_is_wrong_with_queues_that_are_served_and_empty() -> None:
    assert judge([EMPTY], [WORKER, *OTHERS]) == []


def test_a_long_queue_that_moves_is_no_problem() -> None:
    assert judge([replace(EMPTY, visible=10_000, in_flight=400, delayed=3, oldest=LIMIT)], [WORKER, *OTHERS]) == []


def test_a_queue_without_a_living_worker_is_named() -> None:
    others = tuple(name for name in QUEUES if name != "emails")

    assert judge([EMPTY], [replace(WORKER, queues=others), *OTHERS]) == ["emails: no living worker"]


def test_it_takes_one_worker_for_each_queue() -> None:
    workers = [replace(WORKER, hostname=f"{name}@one", queues=(name,)) for name in QUEUES]

    assert judge([EMPTY], [*workers, *OTHERS]) == []
    assert judge([EMPTY], [*workers[1:], *OTHERS]) == [f"{QUEUES[0]}: no living worker"]


def test_dead_letters_are_counted() -> None:
    assert judge([replace(EMPTY, dead=3)], [WORKER, *OTHERS]) == ["emails: 3 dead letters"]


def test_a_message_that_has_waited_longer_than_its_queue_allows_is_told_with_both_figures() -> None:
    late = LIMIT + timedelta(seconds=1)

    assert judge([replace(EMPTY, visible=1, oldest=late)], [WORKER, *OTHERS]) == [
        f"emails: the oldest message has waited {late}, the limit is {LIMIT}"
    ]


@pytest.mark.parametrize("oldest", [None, timedelta(0), outbox_patience(TOPOLOGY)])
def test_an_outbox_that_keeps_up_is_no_problem(oldest: timedelta | None) -> None:
    assert judge([EMPTY], [WORKER, *OTHERS], replace(SENT, waiting=5, oldest=oldest)) == []


def test_an_outbox_that_is_behind_says_by_how_much() -> None:
    lag = OutboxLag(waiting=7, oldest=timedelta(minutes=2), failing=1)

    assert judge([EMPTY], [WORKER, *OTHERS], lag) == ["outbox: 7 messages not sent, the oldest for 0:02:00"]


def test_every_problem_is_told() -> None:
    depths = [replace(EMPTY, queue=queue.name, dead=1) for queue in TOPOLOGY.queues]

    assert len(judge(depths, [], OutboxLag(waiting=1, oldest=timedelta(days=1), failing=0))) == 2 * len(depths) + len(OTHERS) + 1


def test_the_page_and_the_alarm_agree_on_the_longest_outbox_lag() -> None:
    (alarm,) = (alarm for alarm in TOPOLOGY.alarms if alarm.name == "outbox-lag")

    assert outbox_patience(TOPOLOGY).total_seconds() == alarm.threshold


@pytest.mark.parametrize("gone", ["beat", "outbox-relay"])
def test_a_service_that_runs_no_jobs_is_missed_too(gone: str) -> None:
    heard_of = [WORKER, *(other for other in OTHERS if other.service != gone)]

    assert judge([EMPTY], heard_of) == [f"{gone}: not alive"]


@pytest.mark.parametrize("last", [replace(WORKER, is_draining=True), replace(WORKER, is_stopping=True)], ids=["draining", "stopping"])
def test_a_queue_is_unattended_when_its_last_worker_takes_no_more_jobs(last: WorkerRecord) -> None:
    others = replace(WORKER, hostname="other@one", queues=tuple(name for name in QUEUES if name != "emails"))

    assert judge([EMPTY], [last, others, *OTHERS]) == ["emails: no living worker"]


def test_a_worker_that_was_lost_is_a_problem_for_ten_minutes_and_serves_no_queue() -> None:
    silent = timedelta(seconds=41)
    lost = replace(WORKER, hostname="emails@two", busy=2, seen_at=NOON - silent)

    assert judge([EMPTY], [WORKER, lost, *OTHERS]) == [f"emails@two: lost, not heard of for {silent}; it ran 2 jobs"]
    assert judge([EMPTY], [WORKER, replace(lost, seen_at=NOON - timedelta(minutes=10)), *OTHERS]) == []
    assert "emails: no living worker" in judge([EMPTY], [lost, *OTHERS])


def test_a_schedule_that_nobody_sends_or_that_missed_due_times_is_a_problem() -> None:
    healthy = [WORKER, *OTHERS]

    assert judge([EMPTY], healthy, schedule=replace(ON_TIME, leader=None)) == ["schedule: no beat leads"]
    assert judge([EMPTY], healthy, schedule=replace(ON_TIME, leader=None, entries=0)) == []
    assert judge([EMPTY], healthy, schedule=replace(ON_TIME, missed=3)) == ["schedule: 3 due times missed within 0:10:00"]


def test_several_releases_at_the_same_time_are_no_problem() -> None:
    assert judge([EMPTY], [WORKER, replace(WORKER, hostname="everything@two", release="v2"), *OTHERS]) == []
