"""What this worker runs, read from any thread."""

import time
from datetime import UTC, datetime
from typing import Any

from celery.worker import state

from app.engine.workers.records import MOST_RUNNING, RunningJob

_TRIES = 10


def running_requests() -> list[Any]:
    """Celery's requests of the runs that have begun."""
    return _members(state.active_requests)


def reserved_count() -> int:
    """The jobs that Celery has taken, running or not."""
    return len(state.reserved_requests)


def begun_count() -> int:
    """The runs that this worker has begun since its start."""
    return int(state.all_total_count[0])


def running_jobs(requests: list[Any]) -> tuple[RunningJob, ...]:
    """The longest runs first, 50 at most."""
    by_start = sorted(requests, key=lambda request: request.time_start or time.time())
    return tuple(
        RunningJob(id=request.id, task=request.name, started_at=datetime.fromtimestamp(request.time_start or time.time(), UTC))
        for request in by_start[:MOST_RUNNING]
    )


def longest_run_seconds() -> float:
    """For how long the oldest run has been going on; 0 while nothing runs."""
    return max((time.time() - request.time_start for request in running_requests() if request.time_start), default=0.0)


def _members(requests: Any) -> list[Any]:
    for _ in range(_TRIES):
        try:
            return list(requests)
        except RuntimeError:  # it changed while it was read
            continue
    return []
