"""How long is a job under way, from just before ``delay()`` to its first line?

Twenty jobs a second, each measured; then the same beside other jobs. Both ends read the wall clock of one machine.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from benchmarks.laboratory import Laboratory
from benchmarks.plan import REGION_LATENCY, Plan, WorkerSetting
from benchmarks.producer import DELAY, produce
from benchmarks.reading import Reading
from benchmarks.stacks import Stack
from benchmarks.tally import read_runs
from benchmarks.waiting import came_true
from benchmarks.worker import PREFORK

MEASURES_AT_ONCE = False
NAME = "latency"
PER_SECOND = 20
#: What has not begun by then is as late as this, at least.
_STRAGGLERS_WITHIN = timedelta(seconds=10)
_FIRST_PROBE = 1_000_000_000
_WORKER = WorkerSetting(pool=PREFORK, latency=REGION_LATENCY, stores_results=False)


@dataclass(frozen=True, slots=True)
class Setting:
    """What else the worker has to do."""

    load_per_second: int

    def __str__(self) -> str:
        return f"{_WORKER}, {PER_SECOND}/s" + (f" beside {self.load_per_second}/s" if self.load_per_second else "")


def settings(plan: Plan) -> Sequence[Setting]:
    return tuple(map(Setting, plan.loads))


def measure(laboratory: Laboratory, plan: Plan, setting: Setting, stacks: Sequence[Stack]) -> list[Reading]:
    return [_measure(laboratory, plan.probes, setting, stack) for stack in stacks]


def _measure(laboratory: Laboratory, probes: int, setting: Setting, stack: Stack) -> Reading:
    with laboratory.working(stack, _WORKER) as (worker, tally, had):
        if setting.load_per_second:
            # Until the last probe is out, and the producer has to start first.
            load = setting.load_per_second * (probes // PER_SECOND + 5)
            laboratory.aws.refill(stack.name, had, had + load, per_second=setting.load_per_second)
        surroundings = laboratory.surroundings(stack)
        produce(stack, surroundings, DELAY, probes, first=_FIRST_PROBE, per_second=PER_SECOND)

        def delays() -> list[float]:
            return [run.began_at - run.sent_at for run in read_runs(tally) if run.sequence >= _FIRST_PROBE]

        came_true(lambda: len(delays()) >= probes, _STRAGGLERS_WITHIN)
        worker.check()
        ordered = sorted(delays())
    ordered += [math.inf] * (probes - len(ordered))
    return Reading(
        scenario=NAME,
        setting=str(setting),
        stack=stack.name,
        values={f"p{share} ms": 1_000 * _percentile(ordered, share) for share in (50, 95, 99)},
    )


def _percentile(ordered: Sequence[float], share: int) -> float:
    """The value that ``share`` percent of all do not exceed."""
    return ordered[math.ceil(len(ordered) * share / 100) - 1]
