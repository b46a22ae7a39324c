"""Is everything all right? What is known at one moment, and the judgement on it. Pure: reads no clock, no network, no settings."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Generic, TypeVar

from app.console.wording import coarse_duration, counted, listed
from app.engine.aws.queue_depth import QueueDepth
from app.engine.health.fleet import absent_services, is_late, outbox_patience, unattended_queues
from app.engine.ledger.records import TaskRecord
from app.engine.outbox.lag import OutboxLag
from app.engine.schedules.report import ScheduleSummary
from app.engine.workers.registry import WorkerRecord
from app.topology import AlarmPolicy, QueuePolicy, Topology
from app.topology.metrics import OUTBOX_LAG, SQS_OLDEST_MESSAGE_AGE, SQS_VISIBLE_MESSAGES

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
    workers: Section[tuple[WorkerRecord, ...]]
    tasks: Section[tuple[TaskRecord, ...]]


class Level(StrEnum):
    OK = "ok"
    UNKNOWN = "warn"
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
    LATE = "late"
    UNATTENDED = "no worker"


@dataclass(frozen=True, kw_only=True, slots=True)
class QueueRow:
    policy: QueuePolicy
    depth: QueueDepth
    state: QueueState
    is_late: bool


def queue_rows(overview: Overview, topology: Topology) -> tuple[QueueRow, ...]:
    """One row for each queue that was read, in the order of the topology."""
    depths = {depth.queue: depth for depth in overview.queues.data or ()}
    unattended = set(_unattended(overview, topology))
    return tuple(
        QueueRow(policy=policy, depth=depth, state=_state(policy, depth, policy.name in unattended), is_late=is_late(policy, depth))
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
        *_unread_sources(overview),
    )
    if not problems:
        return Verdict(level=Level.OK, summary=_all_is_well(overview, topology), problems=())
    level = Level.BAD if any(problem.level is Level.BAD for problem in problems) else Level.UNKNOWN
    if len(problems) == 1:
        return Verdict(level=level, summary=problems[0].text, problems=problems)
    return Verdict(level=level, summary=f"{len(problems)} things need attention.", problems=problems)


def _all_is_well(overview: Overview, topology: Topology) -> str:
    alive = {worker.service for worker in overview.workers.data or ()}
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
    for name in absent_services(topology, overview.workers.data):
        yield Problem(level=Level.BAD, text=f"{name} is not alive: {topology.service(name).purpose}")


def _late_queues(overview: Overview, topology: Topology) -> Iterable[Problem]:
    for policy, depth in _known(overview, topology):
        if depth.oldest and is_late(policy, depth):
            yield Problem(
                level=Level.BAD,
                text=f"The oldest message in {policy.name} has waited {coarse_duration(depth.oldest)}; "
                f"more than {coarse_duration(policy.alarm_age)} is too long.",
                runbook=_runbook(topology, SQS_OLDEST_MESSAGE_AGE),
            )


def _outbox_lag(overview: Overview, topology: Topology) -> Iterable[Problem]:
    lag = overview.outbox.data
    if lag and lag.oldest and lag.oldest > outbox_patience(topology):
        yield Problem(
            level=Level.BAD,
            text=f"The outbox is {coarse_duration(lag.oldest)} behind: {counted(lag.waiting, 'committed message')} not sent yet.",
            runbook=_runbook(topology, OUTBOX_LAG.name),
        )


def _dead_letters(overview: Overview, topology: Topology) -> Iterable[Problem]:
    dead = {policy.name: depth.dead for policy, depth in _known(overview, topology) if depth.dead}
    if dead:
        where = listed([f"{count:,} in {name}" for name, count in dead.items()]) if len(dead) > 1 else f"all in {next(iter(dead))}"
        text = (
            f"{counted(sum(dead.values()), 'dead letter')}: {where}." if sum(dead.values()) > 1 else f"1 dead letter in {next(iter(dead))}."
        )
        yield Problem(level=Level.BAD, text=text, runbook=_runbook(topology, SQS_VISIBLE_MESSAGES))


def _leaderless_schedule(overview: Overview) -> Iterable[Problem]:
    schedule = overview.schedule.data
    if schedule is not None and schedule.entries and schedule.leader is None:
        yield Problem(level=Level.BAD, text="No beat leads: nothing that is scheduled is sent.")


def _unread_sources(overview: Overview) -> Iterable[Problem]:
    errors = {
        "queues": overview.queues.error,
        "outbox": overview.outbox.error,
        "schedule": overview.schedule.error,
        "workers": overview.workers.error,
        "latest jobs": overview.tasks.error,
    }
    if unread := [name for name, error in errors.items() if error]:
        yield Problem(level=Level.UNKNOWN, text=f"The {listed(unread)} could not be read.")


def _alarm(topology: Topology, metric: str) -> AlarmPolicy | None:
    return next((alarm for alarm in topology.alarms if alarm.metric == metric), None)


def _runbook(topology: Topology, metric: str) -> str:
    alarm = _alarm(topology, metric)
    return alarm.runbook if alarm else ""


def _known(overview: Overview, topology: Topology) -> Iterable[tuple[QueuePolicy, QueueDepth]]:
    return ((row.policy, row.depth) for row in queue_rows(overview, topology))


def _unattended(overview: Overview, topology: Topology) -> list[str]:
    """Queues that no living worker receives from; none when the workers could not be read."""
    if overview.workers.data is None:
        return []
    return unattended_queues(topology, overview.workers.data)


def _state(policy: QueuePolicy, depth: QueueDepth, is_unattended: bool) -> QueueState:
    if is_unattended:
        return QueueState.UNATTENDED
    if is_late(policy, depth):
        return QueueState.LATE
    return QueueState.MOVING if depth.visible or depth.in_flight else QueueState.IDLE
