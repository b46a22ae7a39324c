"""How long a run of a service takes."""

from collections.abc import Iterable
from datetime import timedelta

from app.engine.workers.records import WorkerRecord

#: What the policy expects counts like so many runs: a single long one, or a quiet night, changes little.
EXPECTED_COUNTS = 5


def mean_run_time(service: str, workers: Iterable[WorkerRecord], expected: timedelta) -> timedelta:
    """By what its workers have measured in the last minutes. Few runs, or none: near to what is expected."""
    of_service = [worker for worker in workers if worker.service == service]
    runs = sum(worker.runs for worker in of_service) + EXPECTED_COUNTS
    seconds = sum(worker.busy_seconds for worker in of_service) + EXPECTED_COUNTS * expected.total_seconds()
    return timedelta(seconds=seconds / runs)
