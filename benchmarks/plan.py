"""How much of everything a run does."""

from dataclasses import dataclass
from datetime import timedelta

from benchmarks.pool import PREFORK, THREADS, Pool

NO_LATENCY = timedelta(0)
#: Of an answer of SQS or DynamoDB inside a region: 3 to 15 ms are usual.
REGION_LATENCY = timedelta(milliseconds=5)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerSetting:
    """What a worker is, and how far away AWS is."""

    pool: Pool
    latency: timedelta
    stores_results: bool

    def __str__(self) -> str:
        results = "results" if self.stores_results else "no results"
        return f"{self.pool}, {self.latency / timedelta(milliseconds=1):.0f} ms, {results}"


@dataclass(frozen=True, slots=True)
class Probing:
    """How far away AWS is while jobs are sent one by one, and how many others a second there are beside them."""

    latency: timedelta
    load_per_second: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """A run: which settings, and how long each lasts."""

    settings: tuple[WorkerSetting, ...]
    window: timedelta
    """The longest that one throughput run may take; what is not done by then was not done."""
    backlog_share: float
    """Of each stack's backlog."""
    probes: int
    """Jobs of one latency run."""
    probings: tuple[Probing, ...]
    idle_window: timedelta | None
    productions: int
    """Jobs that a producer publishes in each way."""
    producer_latencies: tuple[timedelta, ...]
    endurance: tuple[Pool, ...]
    """The pools that run the many jobs of the endurance run, once whatever the number of rounds."""
    endurance_jobs: int


STANDARD = Plan(
    settings=tuple(
        WorkerSetting(pool=pool, latency=latency, stores_results=stores)
        for pool in (PREFORK, THREADS)
        for latency, stores in ((NO_LATENCY, False), (REGION_LATENCY, False), (REGION_LATENCY, True))
    ),
    # At 5,000 tasks a second, millrace's backlog lasts ten.
    window=timedelta(seconds=8),
    backlog_share=1.0,
    probes=150,
    # Well below what tuned stock Celery can do, so that the way is measured and not a queue.
    probings=(Probing(NO_LATENCY), Probing(REGION_LATENCY), Probing(REGION_LATENCY, load_per_second=40)),
    idle_window=timedelta(seconds=60),
    productions=300,
    producer_latencies=(NO_LATENCY, REGION_LATENCY),
    endurance=(PREFORK, THREADS),
    endurance_jobs=100_000,
)
QUICK = Plan(
    settings=(
        WorkerSetting(pool=PREFORK, latency=NO_LATENCY, stores_results=False),
        WorkerSetting(pool=PREFORK, latency=REGION_LATENCY, stores_results=True),
        WorkerSetting(pool=THREADS, latency=REGION_LATENCY, stores_results=False),
    ),
    window=timedelta(seconds=6),
    backlog_share=0.4,
    probes=100,
    probings=(Probing(REGION_LATENCY),),
    idle_window=None,
    productions=300,
    producer_latencies=(NO_LATENCY,),
    endurance=(),
    endurance_jobs=0,
)
