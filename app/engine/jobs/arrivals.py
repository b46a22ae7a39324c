"""When the jobs of a queue came, and how long they ran: work as it really is, for the simulator of scaling.

Limit: jobs whose run has ended and is recorded. Of one that was tried again the last run counts, and that it came when it was enqueued.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from app.engine.conf import EngineSettings
from app.engine.jobs.facts import recorded
from app.engine.ledger.reading import KEYS_PER_READ, read_items
from app.engine.ledger.records import INDEX, read_record
from app.engine.ledger.register import ENQUEUED_PREFIX
from app.engine.ledger.search import newest

#: The ledger counts in milliseconds, and no run takes no time at all.
_SHORTEST = timedelta(milliseconds=1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Arrival:
    at: datetime
    """When a worker could have begun it: it was enqueued, and due."""
    run_seconds: float


def arrivals(settings: EngineSettings, *, queue: str, since: datetime) -> Iterator[Arrival]:
    """Of the jobs that ended since then, those that ended last first.

    Costs a query for each hundred jobs of all queues, and a read of an item for each of this one. Raises
    :class:`~app.engine.aws.errors.AwsUnavailable` or ``AwsRefused`` on the way.
    """
    now = datetime.now(UTC)
    found = (read_record(item) for item in newest(settings, INDEX, None, since=max(since, now - settings.result_ttl), until=now))
    ended = ((record, record.run_time) for record in found if record.queue == queue and record.run_time is not None)
    while some := list(islice(ended, KEYS_PER_READ)):
        items = read_items(settings, [ENQUEUED_PREFIX + record.id for record, _ in some])
        for record, run_time in some:
            enqueued = recorded(items, record.id, now).enqueued
            # One that nobody recorded, as those of other programs, came when its run began, at the latest.
            at = max(enqueued.at, enqueued.due_at or enqueued.at) if enqueued else record.recorded_at - run_time
            yield Arrival(at=at, run_seconds=max(run_time, _SHORTEST).total_seconds())
