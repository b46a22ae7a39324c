"""Do the jobs move: workers, queues, outbox."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.engine.aws.queue_depth import QueueDepth, read_queue_depths
from app.engine.conf import EngineSettings
from app.engine.outbox.lag import OutboxLag, read_outbox_lag
from app.engine.workers.registry import WorkerRecord, live_workers

#: The outbox alarm's threshold.
LONGEST_OUTBOX_LAG = timedelta(seconds=60)


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
    served = {queue for worker in workers for queue in worker.queues}
    problems = []
    for depth in queues:
        policy = settings.topology.queue(depth.queue)
        if depth.queue not in served:
            problems.append(f"{depth.queue}: no living worker")
        if depth.dead:
            problems.append(f"{depth.queue}: {depth.dead} dead letters")
        if depth.oldest is not None and depth.oldest > policy.alarm_age:
            problems.append(f"{depth.queue}: the oldest message has waited {depth.oldest}, the limit is {policy.alarm_age}")
    if outbox.oldest is not None and outbox.oldest > LONGEST_OUTBOX_LAG:
        problems.append(f"outbox: {outbox.waiting} messages not sent, the oldest for {outbox.oldest}")
    return problems
