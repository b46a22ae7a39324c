"""How many copies a worker service needs: one formula for the sensor, the alarms, the simulator and their tests.

What waits is to be gone within half of the goal: the other half is for the start of new copies. The deficit is counted from the
*desired* number of copies, so that those that are still starting are not asked for twice. docs/explanation/scaling.md draws it.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.topology.errors import TopologyError

#: Of the goal, for the work itself. A copy on Fargate takes 40 to 70 seconds to start.
DRAIN_SHARE = 0.5
#: Waiting work that fills less than this of a copy is left to the slots that are there: one of them is free before the goal is half over.
NOT_WORTH_A_COPY = 0.75
#: Below it, what is held back swings with the start of copies, and costs more than it saves: benchmarks/scaling.
SHORTEST_ECONOMY = timedelta(minutes=5)
#: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html: tasks a service.
MOST_COPIES = 5000


class ScalingMode(StrEnum):
    LATENCY = "latency"
    """A slot that is busy stays, and what waits gets slots of its own."""
    ECONOMY = "economy"
    """What waits and what runs share the slots that are enough for both within the goal."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingPolicy:
    """How a worker service follows its queue."""

    minimum: int
    """Copies that are kept without work. With 0 the first job waits for a start, about two minutes."""
    maximum: int
    """Copies that it may cost."""
    wait_goal: timedelta
    """How long a job should wait at most, once copies have had time to start."""
    expected_run_time: timedelta
    """Of a mean run. What workers measure takes its place while they run enough."""
    mode: ScalingMode = ScalingMode.LATENCY

    def __post_init__(self) -> None:
        if not 0 <= self.minimum <= self.maximum:
            raise TopologyError(f"ScalingPolicy: minimum: expected 0 to maximum ({self.maximum}), got {self.minimum}")
        if not 1 <= self.maximum <= MOST_COPIES:
            raise TopologyError(f"ScalingPolicy: maximum: expected 1 to {MOST_COPIES}, got {self.maximum}; without a copy no job runs")
        if self.mode is ScalingMode.ECONOMY and self.wait_goal < SHORTEST_ECONOMY:
            raise TopologyError(
                f"ScalingPolicy: wait_goal: expected {SHORTEST_ECONOMY} or more with mode economy, got {self.wait_goal}: such a queue would "
                "swing, for a copy starts more slowly than that. Use mode latency"
            )
        for name in ("wait_goal", "expected_run_time"):
            if getattr(self, name) <= timedelta(0):
                raise TopologyError(f"ScalingPolicy: {name}: expected a positive duration, got {getattr(self, name)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRule:
    """One step-scaling policy of Application Auto Scaling and the alarm that calls it.

    The alarm is on while the deficit is at or beyond the first of ``changes`` for that many periods. The change is the largest that does
    not go further than the deficit: what is left comes with the next alarm.
    """

    name: str
    period: timedelta
    evaluation_periods: int
    cooldown: timedelta
    changes: tuple[int, ...]
    """Of the number of copies, the smallest first. Auto Scaling allows 20 of them."""

    def change(self, deficit: float) -> int:
        """0 while the alarm is off."""
        reached = [change for change in self.changes if abs(change) <= abs(deficit) and change * deficit > 0]
        return reached[-1] if reached else 0


_OUT = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40)

#: How often the sensor publishes the deficit.
SENSOR_PERIOD = timedelta(seconds=30)
FAST_OUT = StepRule(name="FastOut", period=SENSOR_PERIOD, evaluation_periods=1, cooldown=timedelta(seconds=30), changes=_OUT)
SLOW_IN = StepRule(
    name="SlowIn", period=timedelta(minutes=1), evaluation_periods=3, cooldown=timedelta(minutes=1), changes=(-1, -2, -4, -8, -16)
)
#: Only while the sensor is silent. CloudWatch's figures are minutes old: wait until they show what the last change did.
NATIVE_OUT = StepRule(name="NativeOut", period=timedelta(minutes=1), evaluation_periods=2, cooldown=timedelta(minutes=3), changes=_OUT)
#: The same, and patient: it must not take away what late figures do not show, but nobody should pay for the maximum until morning.
NATIVE_IN = StepRule(
    name="NativeIn", period=timedelta(minutes=1), evaluation_periods=15, cooldown=timedelta(minutes=5), changes=SLOW_IN.changes
)
RULES = (FAST_OUT, SLOW_IN, NATIVE_OUT, NATIVE_IN)


def copies_per_waiting(run_time: timedelta, slots: int, policy: ScalingPolicy) -> float:
    """The share of a copy that one waiting job needs to be gone in time."""
    return run_time / (policy.wait_goal * DRAIN_SHARE * slots)


def needed(*, visible: int, in_flight: int, desired: int, run_time: timedelta, slots: int, policy: ScalingPolicy) -> int:
    """How many copies the queue needs, from ``minimum`` to ``maximum``; at least one while there is work.

    ``in_flight`` are the messages that workers hold: more than the slots of the desired copies have room for are read ahead, and wait.
    """
    share = copies_per_waiting(run_time, slots, policy)
    if policy.mode is ScalingMode.ECONOMY:
        copies = math.ceil((visible + in_flight) * share)
    else:
        running = min(in_flight, desired * slots)
        copies = math.ceil(running / slots) + math.ceil((visible + in_flight - running) * share - NOT_WORTH_A_COPY)
    at_least = max(policy.minimum, 1 if visible or in_flight else 0)
    return min(max(copies, at_least), policy.maximum)


def deficit(*, visible: int, in_flight: int, desired: int, run_time: timedelta, slots: int, policy: ScalingPolicy) -> int:
    """How many copies are missing; negative if there are too many."""
    return needed(visible=visible, in_flight=in_flight, desired=desired, run_time=run_time, slots=slots, policy=policy) - desired


def native_expression(slots: int, policy: ScalingPolicy) -> str:
    """The same deficit in CloudWatch's metric math, 0 while the sensor publishes.

    Of ``visible``, ``in_flight`` and ``desired``, as AWS publishes them, and ``samples``, how many figures the sensor has published.
    Auto Scaling keeps ``minimum`` and ``maximum``. SQS is silent for an idle queue, and Container Insights for a service without copies:
    no figure is 0.
    """
    v, n, w = (f"FILL({name}, 0)" for name in ("visible", "in_flight", "desired"))
    share = f"{copies_per_waiting(policy.expected_run_time, slots, policy):.9g}"
    if policy.mode is ScalingMode.ECONOMY:
        copies = f"CEIL(({v} + {n}) * {share})"
    else:
        room = f"{w} * {slots}"
        running = f"IF({n} > {room}, {w}, CEIL({n} / {slots}))"
        waiting = f"{v} + IF({n} > {room}, {n} - {room}, 0)"
        # Never below 0: less than one copy is missing, and no more than that is subtracted.
        copies = f"{running} + CEIL(({waiting}) * {share} - {NOT_WORTH_A_COPY})"
    return f"IF(FILL(samples, 0) > 0, 0, IF({v} + {n} > 0 AND {copies} < 1, 1, {copies}) - {w})"
