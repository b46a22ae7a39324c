"""Do the jobs move: workers, queues, outbox."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.engine.aws.queue_depth import QueueDepth, read_queue_depths
from app.engine.conf import EngineSettings
from app.engine.outbox.lag import OutboxLag, read_outbox_lag
from app.engine.workers.registry import WorkerRecord, live_workers
from app.topology import PulseHealth, QueuePolicy, Topology
from app.topology.metrics import OUTBOX_LAG


@dataclass(frozen=True, kw_only=True, slots=True)
class Fleet:
    queues: tuple[QueueDepth, ...]
    workers: tuple[WorkerRecord, ...]
    outbox: OutboxLag
    problems: tuple[str, ...]


def inspect_fleet(settings: EngineSettings, now: datetime) -> Fleet:
    """Read everything and judge it. Raises :class:`~app.engine.errors.EngineError` or a database error if a source is away."""
    queues = read_queue_depths(settings)
    workers = live_workers(settings, now)
    outbox = read_outbox_lag(now)
    return Fleet(queues=queues, workers=workers, outbox=outbox, problems=tuple(judge(settings, queues, workers, outbox)))


def judge(settings: EngineSettings, queues: Sequence[QueueDepth], workers: Sequence[WorkerRecord], outbox: OutboxLag) -> list[str]:
    """What is wrong, in words; empty if nothing is."""
    topology = settings.topology
    problems = [f"{queue}: no living worker" for queue in unattended_queues(topology, workers)]
    problems += [f"{service}: not alive" for service in absent_services(topology, workers)]
    for depth in queues:
        policy = topology.queue(depth.queue)
        if depth.dead:
            problems.append(f"{depth.queue}: {depth.dead} dead letters")
        if is_late(policy, depth):
            problems.append(f"{depth.queue}: the oldest message has waited {depth.oldest}, the limit is {policy.alarm_age}")
    if outbox.oldest is not None and outbox.oldest > outbox_patience(topology):
        problems.append(f"outbox: {outbox.waiting} messages not sent, the oldest for {outbox.oldest}")
    return problems


def unattended_queues(topology: Topology, workers: Iterable[WorkerRecord]) -> list[str]:
    """The queues that no living worker receives from."""
    attended = {name for worker in workers for name in worker.queues}
    return [queue.name for queue in topology.queues if queue.name not in attended]


def absent_services(topology: Topology, workers: Iterable[WorkerRecord]) -> list[str]:
    """The services without a queue that should be heard of and are not: beat, the outbox relay."""
    present = {worker.service for worker in workers}
    return [
        service.name
        for service in topology.services
        if isinstance(service.health, PulseHealth) and not service.consumes and service.name not in present
    ]


def is_late(policy: QueuePolicy, depth: QueueDepth) -> bool:
    """Whether the oldest message has waited for longer than the alarm allows."""
    return depth.oldest is not None and depth.oldest > policy.alarm_age


def outbox_patience(topology: Topology) -> timedelta:
    """The lag that wakes a person, as the alarm states it."""
    (alarm,) = (alarm for alarm in topology.alarms if alarm.metric == OUTBOX_LAG.name)
    return timedelta(seconds=alarm.threshold)
