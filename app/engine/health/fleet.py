"""Do the jobs move: workers, queues, outbox, schedule."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.engine.aws.queue_depth import QueueDepth, read_queue_depths
from app.engine.conf import EngineSettings
from app.engine.outbox.lag import OutboxLag, read_outbox_lag
from app.engine.schedules.report import ScheduleSummary, read_summary
from app.engine.workers.records import WorkerRecord
from app.engine.workers.registry import WorkerList, read_workers
from app.topology import PulseHealth, QueuePolicy, Topology
from app.topology.metrics import OUTBOX_LAG

#: For so long it is a problem that something happened which repairs itself: a worker was lost, a due time was missed.
LATELY = timedelta(minutes=10)


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    queues: tuple[QueueDepth, ...]
    workers: WorkerList
    outbox: OutboxLag
    schedule: ScheduleSummary
    """Of the last ten minutes."""
    problems: tuple[str, ...]


def inspect_fleet(settings: EngineSettings, now: datetime) -> Fleet:
    """Read everything and judge it. Raises :class:`~app.engine.errors.EngineError` or a database error if a source is away."""
    queues = read_queue_depths(settings)
    workers = read_workers(settings, now)
    outbox = read_outbox_lag(now)
    schedule = read_summary(now - LATELY)
    problems = judge(settings, queues=queues, workers=workers, outbox=outbox, schedule=schedule, now=now)
    return Fleet(queues=queues, workers=workers, outbox=outbox, schedule=schedule, problems=tuple(problems))


def judge(
    settings: EngineSettings,
    *,
    queues: Sequence[QueueDepth],
    workers: WorkerList,
    outbox: OutboxLag,
    schedule: ScheduleSummary,
    now: datetime,
) -> list[str]:
    """What is wrong, in words; empty if nothing is. Several releases at the same time are no problem: a deployment is one."""
    topology = settings.topology
    problems = [f"{queue}: no living worker" for queue in unattended_queues(topology, workers.live)]
    problems += [f"{service}: not alive" for service in absent_services(topology, workers.live)]
    for worker in lately_lost(workers, now):
        problems.append(f"{worker.hostname}: lost, not heard of for {now - worker.seen_at}; it ran {worker.busy} jobs")
    for depth in queues:
        policy = topology.queue(depth.queue)
        if depth.dead:
            problems.append(f"{depth.queue}: {depth.dead} dead letters")
        if is_late(policy, depth):
            problems.append(f"{depth.queue}: the oldest message has waited {depth.oldest}, the limit is {policy.alarm_age}")
    if outbox.oldest is not None and outbox.oldest > outbox_patience(topology):
        problems.append(f"outbox: {outbox.waiting} messages not sent, the oldest for {outbox.oldest}")
    if is_leaderless(schedule):
        problems.append("schedule: no beat leads")
    if schedule.missed:
        problems.append(f"schedule: {schedule.missed} due times missed within {LATELY}")
    return problems


def unattended_queues(topology: Topology, workers: Iterable[WorkerRecord]) -> list[str]:
    """The queues that no living worker takes jobs from, or would if they were not paused."""
    attended = {name for worker in workers for name in worker.attended}
    return [queue.name for queue in topology.queues if queue.name not in attended]


def absent_services(topology: Topology, workers: Iterable[WorkerRecord]) -> list[str]:
    """The services without a queue that should be heard of and are not: beat, the outbox relay."""
    present = {worker.service for worker in workers}
    return [
        service.name
        for service in topology.services
        if isinstance(service.health, PulseHealth) and not service.consumes and service.name not in present
    ]


def lately_lost(workers: WorkerList, now: datetime) -> tuple[WorkerRecord, ...]:
    """Those that fell silent within the last ten minutes."""
    return tuple(worker for worker in workers.lost if now - worker.seen_at < LATELY)


def is_leaderless(schedule: ScheduleSummary) -> bool:
    """Whether there is something to send and nobody who sends it."""
    return bool(schedule.entries) and schedule.leader is None


def is_late(policy: QueuePolicy, depth: QueueDepth) -> bool:
    """Whether the oldest message has waited for longer than the alarm allows."""
    return depth.oldest is not None and depth.oldest > policy.alarm_age


def outbox_patience(topology: Topology) -> timedelta:
    """The lag that wakes a person, as the alarm states it."""
    (alarm,) = (alarm for alarm in topology.alarms if alarm.reads(OUTBOX_LAG))
    return timedelta(seconds=alarm.threshold)
