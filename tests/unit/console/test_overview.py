from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from app.console.overview import Level, Overview, QueueState, Section, judge, queue_rows, worker_rows
from app.engine.aws.queue_depth import QueueDepth
from app.engine.health.fleet import outbox_patience
from app.engine.outbox.lag import OutboxLag
from app.engine.schedules.report import LeaderReport, ScheduleSummary
from app.engine.workers.records import WorkerRecord, WorkerState
from app.engine.workers.registry import WorkerList, listed
from app.topology import TOPOLOGY, QueuePolicy, ServicePolicy

NOW = datetime(2026, 11, 3, 3, 0, tzinfo=UTC)
FIRST, SECOND, *_ = TOPOLOGY.queues


def depth(queue: QueuePolicy, *, visible: int = 0, in_flight: int = 0, dead: int = 0, oldest: timedelta | None = None) -> QueueDepth:
    return QueueDepth(queue=queue.name, visible=visible, in_flight=in_flight, delayed=0, dead=dead, oldest=oldest)


def worker(service: ServicePolicy) -> WorkerRecord:
    return WorkerRecord(
        hostname=f"{service.name}@host",
        service=service.name,
        queues=service.consumes,
        slots=4,
        running=(),
        reserved=0,
        release="1",
        started_at=NOW,
        seen_at=NOW,
    )


WORKERS = tuple(worker(service) for service in TOPOLOGY.services if service.consumes)
OTHERS = tuple(worker(service) for service in TOPOLOGY.services if service.name in ("beat", "outbox-relay"))
WELL = Overview(
    at=NOW,
    queues=Section(data=tuple(depth(queue) for queue in TOPOLOGY.queues)),
    outbox=Section(data=OutboxLag(waiting=0, oldest=None, failing=0)),
    schedule=Section(data=ScheduleSummary(leader=LeaderReport(leader="host:1", fence=1, since=NOW), entries=2, missed=0, refused=0)),
    workers=Section(data=WorkerList(live=(*WORKERS, *OTHERS))),
    tasks=Section(data=()),
)


def with_depths(*changed: QueueDepth) -> Overview:
    by_name = {found.queue: found for found in (*(WELL.queues.data or ()), *changed)}
    return replace(WELL, queues=Section(data=tuple(by_name.values())))


def alive(*workers: WorkerRecord) -> Section[WorkerList]:
    return Section(data=listed(workers, NOW))


def test_a_quiet_fleet_is_well() -> None:
    verdict = judge(WELL, TOPOLOGY)

    assert verdict.level is Level.OK
    assert (
        verdict.summary
        == f"None of the {len(TOPOLOGY.queues)} queues is stuck, {len(WORKERS)} of {len(WORKERS)} worker services are alive."
    )
    assert verdict.problems == ()


def test_dead_letters_are_counted_where_they_lie() -> None:
    assert judge(with_depths(depth(FIRST, dead=1)), TOPOLOGY).summary == f"1 dead letter in {FIRST.name}."
    assert judge(with_depths(depth(FIRST, dead=3)), TOPOLOGY).summary == f"3 dead letters: all in {FIRST.name}."
    both = judge(with_depths(depth(FIRST, dead=1), depth(SECOND, dead=23)), TOPOLOGY)
    assert both.summary == f"24 dead letters: 1 in {FIRST.name} and 23 in {SECOND.name}."
    assert both.level is Level.BAD
    assert both.problems[0].runbook


def test_a_message_is_late_only_above_the_alarm_age() -> None:
    on_time = with_depths(depth(FIRST, visible=1, oldest=FIRST.alarm_age))
    late = with_depths(depth(FIRST, visible=1, oldest=FIRST.alarm_age + timedelta(minutes=7, seconds=3)))

    assert judge(on_time, TOPOLOGY).level is Level.OK
    assert f"The oldest message in {FIRST.name} has waited" in judge(late, TOPOLOGY).summary
    assert queue_rows(late, TOPOLOGY)[0].state is QueueState.LATE


def test_a_queue_without_a_living_worker_is_named() -> None:
    overview = replace(WELL, workers=alive(*(found for found in (*WORKERS, *OTHERS) if FIRST.name not in found.queues)))

    assert judge(overview, TOPOLOGY).summary == f"No living worker receives from {FIRST.name}."
    assert queue_rows(overview, TOPOLOGY)[0].state is QueueState.UNATTENDED


def test_a_fleet_without_workers_says_so() -> None:
    assert judge(replace(WELL, workers=alive(*OTHERS)), TOPOLOGY).summary == "No worker is alive: every job waits."


@pytest.mark.parametrize("gone", OTHERS, ids=lambda found: found.service)
def test_a_service_without_a_queue_is_missed_too(gone: WorkerRecord) -> None:
    overview = replace(WELL, workers=alive(*(found for found in (*WORKERS, *OTHERS) if found is not gone)))

    verdict = judge(overview, TOPOLOGY)

    assert verdict.level is Level.BAD
    assert verdict.summary.startswith(f"{gone.service} is not alive: ")


def test_a_schedule_that_no_beat_sends_is_told_unless_there_is_nothing_to_send() -> None:
    leaderless = replace(WELL, schedule=Section(data=ScheduleSummary(leader=None, entries=2, missed=0, refused=0)))
    empty = replace(WELL, schedule=Section(data=ScheduleSummary(leader=None, entries=0, missed=0, refused=0)))

    assert judge(leaderless, TOPOLOGY).summary == "No beat leads: nothing that is scheduled is sent."
    assert judge(leaderless, TOPOLOGY).level is Level.BAD
    assert judge(empty, TOPOLOGY).level is Level.OK


def test_the_outbox_may_lag_as_long_as_its_alarm_allows() -> None:
    patience = outbox_patience(TOPOLOGY)
    on_time = replace(WELL, outbox=Section(data=OutboxLag(waiting=9, oldest=patience, failing=0)))
    late = replace(WELL, outbox=Section(data=OutboxLag(waiting=9, oldest=patience + timedelta(minutes=2), failing=0)))

    assert judge(on_time, TOPOLOGY).level is Level.OK
    assert judge(late, TOPOLOGY).summary == "The outbox is 3m behind: 9 committed messages not sent yet."


def test_jobs_that_are_not_due_yet_are_no_lag() -> None:
    overview = replace(WELL, outbox=Section(data=OutboxLag(waiting=0, oldest=None, failing=0, delayed=9)))

    assert judge(overview, TOPOLOGY).level is Level.OK


def test_what_could_not_be_read_is_neither_well_nor_bad() -> None:
    overview = replace(WELL, queues=Section(error="refused"), tasks=Section(error="refused"))

    verdict = judge(overview, TOPOLOGY)

    assert verdict.level is Level.WARN
    assert verdict.summary == "The queues and latest jobs could not be read."
    assert queue_rows(overview, TOPOLOGY) == ()


def test_unread_workers_leave_no_queue_unattended() -> None:
    overview = replace(WELL, workers=Section(error="refused"))

    assert {row.state for row in queue_rows(overview, TOPOLOGY)} == {QueueState.IDLE}
    assert judge(overview, TOPOLOGY).summary == "The workers could not be read."


def test_several_problems_are_listed_the_worst_first() -> None:
    overview = replace(with_depths(depth(FIRST, dead=2)), workers=alive(*WORKERS[1:], *OTHERS), outbox=Section(error="refused"))

    verdict = judge(overview, TOPOLOGY)

    assert verdict.level is Level.BAD
    assert verdict.summary == "3 things need attention."
    assert [problem.level for problem in verdict.problems] == [Level.BAD, Level.BAD, Level.WARN]


def test_a_queue_moves_while_a_message_is_held() -> None:
    row = queue_rows(with_depths(depth(FIRST, in_flight=1)), TOPOLOGY)[0]

    assert row.state is QueueState.MOVING


def test_a_section_is_data_or_an_error_and_not_both() -> None:
    with pytest.raises(ValueError, match="expected either"):
        Section(data=1, error="refused")
    with pytest.raises(ValueError, match="expected either"):
        Section[int]()


def test_a_lost_worker_stands_first_with_what_it_ran_and_is_told_for_a_while() -> None:
    lost = replace(WORKERS[0], hostname="default@gone", busy=2, seen_at=NOW - timedelta(seconds=40))
    overview = replace(WELL, workers=alive(*WORKERS, *OTHERS, lost))

    assert [(row.worker, row.is_lost) for row in worker_rows(overview)][:2] == [(lost, True), (OTHERS[0], False)]
    verdict = judge(overview, TOPOLOGY)
    assert verdict.level is Level.WARN
    assert verdict.summary == f"{lost.service} on gone was lost while it ran 2 jobs: they come again when their visibility lapses."
    assert (
        judge(replace(WELL, workers=alive(*WORKERS, *OTHERS, replace(lost, seen_at=NOW - timedelta(minutes=11)))), TOPOLOGY).problems == ()
    )


def test_a_paused_queue_is_shown_and_told() -> None:
    overview = replace(WELL, workers=alive(*(replace(found, paused=(FIRST.name,)) for found in WORKERS), *OTHERS))

    assert queue_rows(overview, TOPOLOGY)[0].state is QueueState.PAUSED
    assert judge(overview, TOPOLOGY).summary == f"{FIRST.name} is paused: jobs wait there until resumed."
    assert judge(overview, TOPOLOGY).level is Level.WARN


def test_workers_that_drain_and_stop_are_named_so_and_leave_their_queue_unattended() -> None:
    first, second, *rest = WORKERS
    overview = replace(WELL, workers=alive(replace(first, is_draining=True), replace(second, is_stopping=True), *rest, *OTHERS))

    states = {row.worker.service: row.state for row in worker_rows(overview)}
    assert (states[first.service], states[second.service]) == (WorkerState.DRAINING, WorkerState.STOPPING)
    assert judge(overview, TOPOLOGY).summary == f"No living worker receives from {FIRST.name} and {SECOND.name}."


def test_several_releases_of_a_service_are_shown_with_each_of_its_workers_and_are_no_problem() -> None:
    newer = replace(WORKERS[0], hostname="default@new", release="2")
    overview = replace(WELL, workers=alive(*WORKERS, *OTHERS, newer))

    assert {row.worker.hostname: row.releases for row in worker_rows(overview) if row.releases} == {
        WORKERS[0].hostname: ("1", "2"),
        "default@new": ("1", "2"),
    }
    assert judge(overview, TOPOLOGY).level is Level.OK
