"""How a worker runs its jobs."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pool:
    """Celery's kind of pool, and how many jobs run at once."""

    kind: str
    concurrency: int

    def __str__(self) -> str:
        return f"{self.kind} {self.concurrency}"


PREFORK = Pool("prefork", 2)
THREADS = Pool("threads", 8)
