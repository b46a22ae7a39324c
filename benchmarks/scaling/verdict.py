"""Whether ours is as good as we say, trace by trace."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from benchmarks.scaling.policies import OTHERS, OURS, QUEUE_PROCESSING, Family
from benchmarks.scaling.runs import Summary

#: Of QueueProcessingFargateService's p95 wait.
AT_MOST_OF_ITS_WAIT = 0.5
#: Less than a second is no wait that a policy could be proud of.
LEAST_WAIT = 1.0
#: Of the task-hours of the cheapest that meets the goal.
AT_MOST_OF_THE_CHEAPEST = 1.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    trace: str
    of_queue_processing: float
    """Our p95 wait by its."""
    of_best_native: float
    """Our p95 wait by the shortest of those on CloudWatch's own figures, whatever it costs."""
    of_cheapest: float | None
    """Our task-hours by those of the cheapest that meets the goal; ``None`` if we do not meet it, or nobody else does."""
    cheapest: str
    unfinished: float

    @property
    def misses(self) -> tuple[str, ...]:
        found = []
        if not self.of_queue_processing <= AT_MOST_OF_ITS_WAIT:
            found.append("half of QueueProcessingFargateService's wait")
        if not self.of_best_native < 1:
            found.append("the shortest wait on CloudWatch's figures")
        if self.of_cheapest is not None and self.of_cheapest > AT_MOST_OF_THE_CHEAPEST:
            found.append("1.1 of the cheapest")
        if self.unfinished:
            found.append("every job runs")
        return tuple(found)


def judge(goal_seconds: float, summaries: Sequence[Summary]) -> Verdict:
    by_way: Mapping[str, Summary] = {summary.way: summary for summary in summaries}
    ours = by_way[OURS.name]
    natives = [by_way[way.name] for way in OTHERS if way.family is Family.CLOUDWATCH]
    cheap = [by_way[way.name] for way in OTHERS if by_way[way.name].meets(goal_seconds)]
    cheapest = min(cheap, key=lambda summary: summary.task_hours, default=None)
    return Verdict(
        trace=ours.trace,
        of_queue_processing=ours.p95 / max(by_way[QUEUE_PROCESSING.name].p95, LEAST_WAIT),
        of_best_native=ours.p95 / max(min(summary.p95 for summary in natives), LEAST_WAIT),
        of_cheapest=None if cheapest is None or not ours.meets(goal_seconds) else ours.task_hours / cheapest.task_hours,
        cheapest=cheapest.way if cheapest else "",
        unfinished=ours.unfinished,
    )
