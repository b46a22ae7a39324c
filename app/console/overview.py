"""Is everything all right? What is known at one moment, and the judgement on it. Pure: reads no clock, no network, no settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from app.console.wording import coarse_duration, counted, listed
from app.engine.aws.queue_depth import QueueDepth
from app.engine.health.fleet import absent_services, is_late, is_leaderless, lately_lost, outbox_patience, unattended_queues
from app.engine.ledger.records import TaskRecord
from app.engine.outbox.lag import OutboxLag
from app.engine.schedules.report import ScheduleSummary
from app.engine.workers.records import WorkerRecord, WorkerState
from app.engine.workers.registry import WorkerList
from app.topology import AlarmPolicy, MetricPolicy, QueuePolicy, Topology
from app.topology.aws_metrics import SQS_OLDEST_AGE, SQS_VISIBLE
from app.topology.metrics import OUTBOX_LAG

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Section(Generic[T]):
    """What one source said, or why it said nothing: exactly one of the two."""

    data: T | None = None
    error: str = ""

    def __post_init__(self) -> None:
        if (self.data is None) is not bool(self.error):
            raise ValueError(f"expected either data or an error, got {self.data!r} and {self.error!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Overview:
    at: datetime
    queues: Section[tuple[QueueDepth, ...]]
    outbox: Section[OutboxLag]
    schedule: Section[ScheduleSummary]
    workers: Section[WorkerList]
    tasks: Section[tuple[TaskRecord, ...]]


class Level(StrEnum):
    OK = "ok"
    WARN = "warn"
    """Not known, meant to be so, or going to repair itself."""
    BAD = "bad"


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    level: Level
    text: str
    runbook: str = ""
    """A page under ``docs/runbooks``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """One line, and what is wrong, the worst first. The words change with the facts, not with every second."""

    level: Level
    summary: str
    problems: tuple[Problem, ...]


class QueueState(StrEnum):
    IDLE = "idle"
    MOVING = "moving"
    PAUSED = "paused"
    LATE = "late"
    UNATTENDED = "no worker"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRow:
    policy: QueuePolicy
    depth: QueueDepth
    state: QueueState
    is_late: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerRow:
    worker: WorkerRecord
    state: WorkerState
    releases: tuple[str, ...]
    """Those of its service that live, if they are several."""

    @property
    def is_lost(self) -> bool:
        return self.state is WorkerState.LOST


def worker_rows(overview: Overview) -> tuple[WorkerRow, ...]:
    """The lost ones first, then those that live, by service and host name."""
    workers = overview.workers.data or WorkerList(live=())
    skew = workers.version_skew
    return tuple(
        WorkerRow(worker=worker, state=worker.state(overview.at), releases=() if worker in workers.lost else skew.get(worker.service, ()))
        for worker in (*workers.lost, *workers.live)
    )


def queue_rows(overview: Overview, topology: Topology) -> tuple[QueueRow, ...]:
    """One row for each queue that was read, in the order of the topology."""
    depths = {depth.queue: depth for depth in overview.queues.data or ()}
    unattended, paused = set(_unattended(overview, topology)), _paused(overview)
    return tuple(
        QueueRow(
            policy=policy,
            depth=depth,
            state=_state(policy, depth, is_unattended=policy.name in unattended, is_paused=policy.name in paused),
            is_late=is_late(policy, depth),
        )
        for policy in topology.queues
        if (depth := depths.get(policy.name))
    )


def judge(overview: Overview, topology: Topology) -> Verdict:
    problems = (
        *_queues_without_worker(overview, topology),
        *_absent_services(overview, topology),
        *_late_queues(overview, topology),
        *_outbox_lag(overview, topology),
        *_dead_letters(overview, topology),
        *_leaderless_schedule(overview),
        *_lost_workers(overview),
        *_paused_queues(overview),
        *_unread_sources(overview),
    )
    if not problems:
        return Verdict(level=Level.OK, summary=_all_is_well(overview, topology), problems=())
    level = Level.BAD if any(problem.level is Level.BAD for problem in problems) else Level.WARN
    if len(problems) == 1:
        return Verdict(level=level, summary=problems[0].text, problems=problems)
    return Verdict(level=level, summary=f"{len(problems)} things need attention.", problems=problems)


def _all_is_well(overview: Overview, topology: Topology) -> str:
    alive = {worker.service for worker in _live(overview)}
    services = [service.name for service in topology.services if service.consumes]
    return f"None of the {counted(len(topology.queues), 'queue')} is stuck, {len(alive.intersection(services))} of {counted(len(services), 'worker service')} are alive."


def _queues_without_worker(overview: Overview, topology: Topology) -> Iterable[Problem]:
    if missing := _unattended(overview, topology):
        text = (
            "No worker is alive: every job waits."
            if len(missing) == len(topology.queues)
            else f"No living worker receives from {listed(missing)}."
        )
        yield Problem(level=Level.BAD, text=text)


def _absent_services(overview: Overview, topology: Topology) -> Iterable[Problem]:
    if overview.workers.data is None:
        return
    for name in absent_services(topology, overview.workers.data.live):
        yield Problem(level=Level.BAD, text=f"{name} is not alive: {topology.service(name).purpose}")


def _late_queues(overview: Overview, topology: Topology) -> Iterable[Problem]:
    for policy, depth in _known(overview, topology):
        if depth.oldest and is_late(policy, depth):
            yield Problem(
                level=Level.BAD,
                text=f"The oldest message in {policy.name} has waited {coarse_duration(depth.oldest)}; "
                f"more than {coarse_duration(policy.alarm_age)} is too long.",
                runbook=_runbook(topology, SQS_OLDEST_AGE),
            )


def _outbox_lag(overview: Overview, topology: Topology) -> Iterable[Problem]:
    lag = overview.outbox.data
    if lag and lag.oldest and lag.oldest > outbox_patience(topology):
        yield Problem(
            level=Level.BAD,
            text=f"The outbox is {coarse_duration(lag.oldest)} behind: {counted(lag.waiting, 'committed message')} not sent yet.",
            runbook=_runbook(topology, OUTBOX_LAG),
        )


def _dead_letters(overview: Overview, topology: Topology) -> Iterable[Problem]:
    dead = {policy.name: depth.dead for policy, depth in _known(overview, topology) if depth.dead}
    if dead:
        where = listed([f"{count:,} in {name}" for name, count in dead.items()]) if len(dead) > 1 else f"all in {next(iter(dead))}"
        text = (
            f"{counted(sum(dead.values()), 'dead letter')}: {where}." if sum(dead.values()) > 1 else f"1 dead letter in {next(iter(dead))}."
        )
        yield Problem(level=Level.BAD, text=text, runbook=_runbook(topology, SQS_VISIBLE))


def _leaderless_schedule(overview: Overview) -> Iterable[Problem]:
    if overview.schedule.data is not None and is_leaderless(overview.schedule.data):
        yield Problem(level=Level.BAD, text="No beat leads: nothing that is scheduled is sent.")


def _lost_workers(overview: Overview) -> Iterable[Problem]:
    if overview.workers.data is None:
        return
    for worker in lately_lost(overview.workers.data, overview.at):
        jobs = f" while it ran {counted(worker.busy, 'job')}: they come again when their visibility lapses" if worker.busy else ""
        yield Problem(level=Level.WARN, text=f"{worker.service} on {worker.hostname.rpartition('@')[2]} was lost{jobs}.")


def _paused_queues(overview: Overview) -> Iterable[Problem]:
    if paused := sorted(_paused(overview)):
        yield Problem(
            level=Level.WARN, text=f"{listed(paused)} {'is' if len(paused) == 1 else 'are'} paused: jobs wait there until resumed."
        )


def _unread_sources(overview: Overview) -> Iterable[Problem]:
    errors = {
        "queues": overview.queues.error,
        "outbox": overview.outbox.error,
        "schedule": overview.schedule.error,
        "workers": overview.workers.error,
        "latest jobs": overview.tasks.error,
    }
    if unread := [name for name, error in errors.items() if error]:
        yield Problem(level=Level.WARN, text=f"The {listed(unread)} could not be read.")


def _alarm(topology: Topology, metric: MetricPolicy) -> AlarmPolicy | None:
    return next((alarm for alarm in topology.alarms if alarm.reads(metric)), None)


def _runbook(topology: Topology, metric: MetricPolicy) -> str:
    alarm = _alarm(topology, metric)
    return alarm.runbook if alarm else ""


def _known(overview: Overview, topology: Topology) -> Iterable[tuple[QueuePolicy, QueueDepth]]:
    return ((row.policy, row.depth) for row in queue_rows(overview, topology))


def _unattended(overview: Overview, topology: Topology) -> list[str]:
    """Queues that no living worker receives from; none when the workers could not be read."""
    return [] if overview.workers.data is None else unattended_queues(topology, overview.workers.data.live)


def _paused(overview: Overview) -> frozenset[str]:
    """As far as the workers that live have learned of it."""
    return frozenset(queue for worker in _live(overview) for queue in worker.paused)


def _live(overview: Overview) -> tuple[WorkerRecord, ...]:
    return overview.workers.data.live if overview.workers.data is not None else ()


def _state(policy: QueuePolicy, depth: QueueDepth, *, is_unattended: bool, is_paused: bool) -> QueueState:
    if is_unattended:
        return QueueState.UNATTENDED
    if is_paused:
        return QueueState.PAUSED
    if is_late(policy, depth):
        return QueueState.LATE
    return QueueState.MOVING if depth.visible or depth.in_flight else QueueState.IDLE
