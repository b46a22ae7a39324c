"""How long is a job under way, from just before ``delay()`` to its first line?

Twenty jobs a second, each measured; then the same beside other jobs. Both ends read the wall clock of one machine.
Where answers are held back, that of the worker's poll is in every number: it is the floor.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.laboratory import Laboratory
from benchmarks.plan import Plan, Probing, WorkerSetting
from benchmarks.pool import PREFORK
from benchmarks.producer import produce
from benchmarks.reading import Reading
from benchmarks.stacks import Stack, Way
from benchmarks.tally import read_runs
from benchmarks.waiting import came_true

IS_REPEATED = True
MEASURES_AT_ONCE = False
NAME = "latency"
PER_SECOND = 20
#: What has not begun by then is as late as this, at least.
_STRAGGLERS_WITHIN = timedelta(seconds=10)
_FIRST_PROBE = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Setting:
    """How far away AWS is, and what else the worker has to do."""

    probing: Probing

    @property
    def worker(self) -> WorkerSetting:
        return WorkerSetting(pool=PREFORK, latency=self.probing.latency, stores_results=False)

    def __str__(self) -> str:
        load = self.probing.load_per_second
        return f"{self.worker}, {PER_SECOND}/s" + (f" beside {load}/s" if load else "")


def settings(plan: Plan) -> Sequence[Setting]:
    return tuple(map(Setting, plan.probings))


def concerns(setting: Setting, stack: Stack) -> bool:
    return True


def measure(laboratory: Laboratory, plan: Plan, setting: Setting, stacks: Sequence[Stack]) -> list[Reading]:
    return [_measure(laboratory, plan.probes, setting, stack) for stack in stacks]


def _measure(laboratory: Laboratory, probes: int, setting: Setting, stack: Stack) -> Reading:
    with laboratory.working(stack, setting.worker) as (worker, tally, had):
        if setting.probing.load_per_second:
            # Until the last probe is out, and the producer has to start first.
            load = setting.probing.load_per_second * (probes // PER_SECOND + 5)
            laboratory.broker(stack).refill(stack.name, had, had + load, per_second=setting.probing.load_per_second)
        surroundings = laboratory.surroundings(stack)
        produce(stack, surroundings, Way.DELAY, probes, first=_FIRST_PROBE, per_second=PER_SECOND)

        def delays() -> list[float]:
            return [run.began_at - run.sent_at for run in read_runs(tally) if run.sequence >= _FIRST_PROBE]

        came_true(lambda: len(delays()) >= probes, _STRAGGLERS_WITHIN)
        worker.check()
        ordered = sorted(delays())
    ordered += [math.inf] * (probes - len(ordered))
    floor = setting.probing.latency.total_seconds()
    return Reading(
        scenario=NAME,
        setting=str(setting),
        stack=stack.name,
        values={f"p{share} ms": 1_000 * percentile(ordered, share) for share in (50, 95, 99)}
        | {"p50 above the floor ms": 1_000 * (percentile(ordered, 50) - floor)},
    )


def percentile(ordered: Sequence[float], share: int) -> float:
    """The value that ``share`` percent of all do not exceed."""
    return ordered[math.ceil(len(ordered) * share / 100) - 1]
