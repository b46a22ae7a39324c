"""The job that every stack runs: it does nothing but say that it ran."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.stacks.surroundings import Surroundings
from benchmarks.tally import Tally

NAME = "benchmarks.noop"
PAYLOAD_BYTES = 1_000
PAYLOAD = "x" * PAYLOAD_BYTES


def job(surroundings: Surroundings) -> Callable[..., int]:
    """The plain function."""
    tally = Tally(surroundings.tally)

    def noop(*, sequence: int, sent_at: float, payload: str) -> int:  # noqa: ARG001 — it is there to be carried
        tally.add(sequence, sent_at, time.time())
        return sequence

    return noop


def add_job(app: Any, surroundings: Surroundings) -> Any:
    """Register the job and return it as a Celery task."""
    return app.task(name=NAME)(job(surroundings))
