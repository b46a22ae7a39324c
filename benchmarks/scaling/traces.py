"""Work that arrives: when, and how long it runs."""

import csv
import json
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from app.topology import ScalingMode, ScalingPolicy

MINUTE, HOUR = 60, 3600
#: Of the topology: a service whose mean run is longer than a stop leaves it protects each run from its beginning.
PROTECTED_AFTER, LONG_PROTECTED_AFTER = 30.0, 1.0


class TraceRefused(ValueError):
    """A file that is to be replayed holds something else than jobs."""


@dataclass(frozen=True, slots=True)
class Job:
    at: float
    """Seconds since the trace began."""
    run_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Trace:
    """Jobs in order, and the service that has to run them."""

    name: str
    purpose: str
    jobs: Sequence[Job]
    slots: int
    scaling: ScalingPolicy
    """Its ``expected_run_time`` is the mean of the jobs' distribution."""

    @property
    def goal_seconds(self) -> float:
        return self.scaling.wait_goal.total_seconds()

    @property
    def protected_after(self) -> float:
        return LONG_PROTECTED_AFTER if self.scaling.expected_run_time > timedelta(minutes=1) else PROTECTED_AFTER

    @property
    def task_hours_at_least(self) -> float:
        """If every slot were busy from the first second to the last, and no task ever waited for work."""
        return sum(job.run_seconds for job in self.jobs) / self.slots / HOUR


def _service(run_seconds: float, goal: float, *, minimum: int = 1, mode: ScalingMode = ScalingMode.LATENCY) -> ScalingPolicy:
    return ScalingPolicy(
        minimum=minimum,
        maximum=40,
        wait_goal=timedelta(seconds=goal),
        expected_run_time=timedelta(seconds=run_seconds),
        mode=mode,
    )


def _run_time(chance: random.Random, mean: float) -> float:
    """Log-normal: as wide as it is long, and never negative, as run times are."""
    sigma = math.sqrt(math.log(2))
    return chance.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)


def _arrivals(chance: random.Random, rate: Callable[[float], float], highest: float, end: float) -> Iterator[float]:
    """A Poisson process whose rate changes, by thinning."""
    at = chance.expovariate(highest)
    while at < end:
        if chance.random() * highest < rate(at):
            yield at
        at += chance.expovariate(highest)


def _jobs(chance: random.Random, moments: Iterator[float], mean: float) -> list[Job]:
    return [Job(at, _run_time(chance, mean)) for at in moments]


def burst(chance: random.Random) -> Trace:
    steady = _jobs(chance, _arrivals(chance, lambda _: 1, 1, HOUR), 2)
    at_once = [Job(10 * MINUTE + chance.random(), _run_time(chance, 2)) for _ in range(6000)]
    return Trace(
        name="burst",
        purpose="6,000 jobs of 2 s in one second, beside 1 a second.",
        jobs=sorted(steady + at_once, key=lambda job: job.at),
        slots=4,
        scaling=_service(2, 60),
    )


def spike(chance: random.Random) -> Trace:
    def rate(at: float) -> float:
        return 40 if 10 * MINUTE <= at < 30 * MINUTE else 2

    return Trace(
        name="spike",
        purpose="From 2 to 40 jobs of 2 s a second for 20 minutes, and back.",
        jobs=_jobs(chance, _arrivals(chance, rate, 40, HOUR), 2),
        slots=4,
        scaling=_service(2, 60),
    )


def ramp(chance: random.Random) -> Trace:
    def rate(at: float) -> float:
        return 1 + 29 * min(at / HOUR, 2 - at / HOUR)

    return Trace(
        name="ramp",
        purpose="From 1 to 30 jobs of 2 s a second within an hour, and back.",
        jobs=_jobs(chance, _arrivals(chance, rate, 30, 2 * HOUR), 2),
        slots=4,
        scaling=_service(2, 60),
    )


def diurnal(chance: random.Random) -> Trace:
    def rate(at: float) -> float:
        return 10 - 8 * math.cos(2 * math.pi * at / (12 * HOUR))

    return Trace(
        name="diurnal",
        purpose="A day of 12 hours: between 2 and 18 jobs of 2 s a second.",
        jobs=_jobs(chance, _arrivals(chance, rate, 18, 12 * HOUR), 2),
        slots=4,
        scaling=_service(2, 60),
    )


def bulk(chance: random.Random) -> Trace:
    moments = iter([hour * HOUR + 5 * MINUTE + chance.uniform(0, 30) for hour in range(6) for _ in range(60)])
    return Trace(
        name="bulk",
        purpose="60 jobs of 90 s each hour; no task is kept without work.",
        jobs=sorted(_jobs(chance, moments, 90), key=lambda job: job.at),
        slots=2,
        scaling=_service(90, 30 * MINUTE, minimum=0, mode=ScalingMode.ECONOMY),
    )


def rare(chance: random.Random) -> Trace:
    moments = iter(sorted(chance.uniform(0, 6 * HOUR) for _ in range(12)))
    return Trace(
        name="rare",
        purpose="12 jobs of 20 s in 6 hours; no task is kept without work.",
        jobs=_jobs(chance, moments, 20),
        slots=4,
        scaling=_service(20, 5 * MINUTE, minimum=0),
    )


TRACES: dict[str, Callable[[random.Random], Trace]] = {make.__name__: make for make in (burst, spike, ramp, diurnal, bulk, rare)}


def asked(trace: Trace, *, slots: int | None, run_seconds: float | None, scaling: Callable[[ScalingPolicy], ScalingPolicy]) -> Trace:
    """The same arrivals with other numbers."""
    factor = 1.0 if run_seconds is None else run_seconds / trace.scaling.expected_run_time.total_seconds()
    policy = replace(trace.scaling, expected_run_time=trace.scaling.expected_run_time * factor)
    return replace(
        trace,
        jobs=[Job(job.at, job.run_seconds * factor) for job in trace.jobs],
        slots=slots or trace.slots,
        scaling=scaling(policy),
    )


def replayed(path: Path, like: Trace) -> Trace:
    """Jobs from a file: lines of JSON, ``{"at": …, "run_seconds": …}``, or CSV with these columns; ``at`` in seconds, of any beginning.

    Raises :class:`TraceRefused`.
    """
    text = path.read_text(encoding="utf-8")
    rows: list[dict[str, str]] = []
    try:
        if text.lstrip().startswith("{"):
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        else:
            rows = list(csv.DictReader(text.splitlines()))
        jobs = sorted((Job(float(row["at"]), float(row["run_seconds"])) for row in rows), key=lambda job: job.at)
    except (KeyError, TypeError, ValueError) as error:
        raise TraceRefused(
            f'{path}: expected lines such as {{"at": 12.5, "run_seconds": 0.8}}, or CSV with the columns at and run_seconds ({error!r})'
        ) from error
    if not jobs or not all(math.isfinite(job.at) and 0 < job.run_seconds < math.inf for job in jobs):
        raise TraceRefused(f"{path}: expected at least one job, each with a moment and more than 0 run_seconds")
    mean = sum(job.run_seconds for job in jobs) / len(jobs)
    first = jobs[0].at
    return replace(
        like,
        name=path.stem,
        purpose=f"{len(jobs)} jobs of {path.name}, {mean:.3g} s each.",
        jobs=[Job(job.at - first, job.run_seconds) for job in jobs],
        scaling=replace(like.scaling, expected_run_time=timedelta(seconds=mean)),
    )
