"""One trace under one policy, and the mean of several."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from benchmarks.scaling.policies import Conditions, Way
from benchmarks.scaling.traces import HOUR, Trace
from benchmarks.scaling.world import Outcome, World

#: After the last arrival everything is given so long to end. What waits then, waits for ever.
GRACE_SECONDS = 6 * HOUR
#: What the tasks cost until the same moment is compared: scaling in is a part of it.
COOL_DOWN_SECONDS = HOUR // 2


def run(trace: Trace, way: Way, seed: int, conditions: Conditions) -> Outcome:
    world = World(trace, random.Random(f"{trace.name} {seed}"))
    policy = way.make(trace, conditions)
    last = trace.jobs[-1].at
    least = last + COOL_DOWN_SECONDS
    while world.now < least or (not world.is_over and world.now < last + GRACE_SECONDS):
        policy.second(world)
        world.second()
        if world.now % 60 == 0:
            world.outcome.history.append((world.now, world.visible, world.in_flight, world.desired))
    return world.close()


@dataclass(frozen=True, kw_only=True, slots=True)
class Summary:
    """Means over the seeds. Waits in seconds; a job that never ran waits for ever."""

    trace: str
    way: str
    p50: float
    p95: float
    p99: float
    in_goal: float
    """Share of the jobs that began within the goal."""
    task_hours: float
    over_lower_bound: float
    kills: float
    lost_seconds: float
    unfinished: float

    def meets(self, goal_seconds: float) -> bool:
        """Nineteen jobs of twenty begin within the goal."""
        return self.p95 <= goal_seconds


def quantile(waits: Sequence[float], share: float) -> float:
    """``waits`` in order."""
    return waits[min(int(share * len(waits)), len(waits) - 1)] if waits else 0.0


def compare(traces: Sequence[Trace], way: Way, conditions: Conditions) -> Summary:
    """One trace of each seed, which is its place among ``traces``."""
    pairs = [(trace, run(trace, way, seed, conditions)) for seed, trace in enumerate(traces)]
    return summarise(way.name, pairs)


def summarise(way: str, pairs: Sequence[tuple[Trace, Outcome]]) -> Summary:
    trace = pairs[0][0]
    goal = trace.goal_seconds
    waits = [sorted(outcome.waits) + [float("inf")] * outcome.unfinished for _, outcome in pairs]
    return Summary(
        trace=trace.name,
        way=way,
        p50=fmean(quantile(each, 0.5) for each in waits),
        p95=fmean(quantile(each, 0.95) for each in waits),
        p99=fmean(quantile(each, 0.99) for each in waits),
        in_goal=fmean(sum(wait <= goal for wait in each) / len(each) for each in waits),
        task_hours=fmean(outcome.task_seconds / HOUR for _, outcome in pairs),
        over_lower_bound=fmean(outcome.task_seconds / HOUR / each.task_hours_at_least for each, outcome in pairs),
        kills=fmean(outcome.kills for _, outcome in pairs),
        lost_seconds=fmean(outcome.lost_seconds for _, outcome in pairs),
        unfinished=fmean(outcome.unfinished for _, outcome in pairs),
    )
