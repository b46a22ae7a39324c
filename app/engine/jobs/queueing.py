"""How long a job that waits in its queue may have to wait. An estimate: SQS neither numbers its messages nor keeps their order."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from app.engine.aws.queue_depth import read_visible
from app.engine.conf import EngineSettings
from app.engine.ledger.search import Ended, latest_ended

#: Throughput is that of so long, or of the latest thousand jobs if they ended in less.
WINDOW = timedelta(minutes=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class Queueing:
    position: int
    """At most so many messages are before it, itself included."""
    per_minute: float | None
    """Jobs of its queue that ended lately; ``None`` if none did."""
    wait: timedelta | None
    """``None`` without any recent throughput."""


def read_queueing(settings: EngineSettings, queue: str, now: datetime) -> Queueing:
    """Approximate. One request to SQS, and four cheap queries. Raises :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused``."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="queueing") as pool:
        visible = pool.submit(read_visible, settings, queue)
        ended = latest_ended(settings, since=now - WINDOW)
        return estimate(visible.result(), ended, queue, now)


def estimate(visible: int, ended: Ended, queue: str, now: datetime) -> Queueing:
    """Pure."""
    position = max(visible, 1)
    seconds = (now - ended.since).total_seconds()
    count = sum(1 for record in ended.records if record.queue == queue)
    if not count or seconds <= 0:
        return Queueing(position=position, per_minute=None, wait=None)
    per_second = count / seconds
    return Queueing(position=position, per_minute=round(per_second * 60, 1), wait=timedelta(seconds=round(position / per_second)))
