"""How many copies a worker service needs: one formula for the sensor, the alarms, the simulator and their tests.

What waits is to be gone within a part of the goal: the rest is for the start of new copies. The deficit is counted from the
*desired* number of copies, so that those that are still starting are not asked for twice. docs/explanation/scaling.md draws it.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from app.topology.errors import TopologyError

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


#: Of the goal, for the work itself. A copy on Fargate takes 40 to 70 seconds to start. Economy starts fewer of them, and aims lower: at half
#: of the goal its jobs waited longer than with target tracking, at a third they do not, for a fifteenth more hours. benchmarks/scaling.
DRAIN_SHARES = {ScalingMode.LATENCY: 1 / 2, ScalingMode.ECONOMY: 1 / 3}


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


class Aggregation(StrEnum):
    """Which of the figures that its alarm has looked at decides about a step."""

    MAXIMUM = "Maximum"
    MINIMUM = "Minimum"


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRule:
    """One step-scaling policy of Application Auto Scaling and the alarm that calls it.

    The alarm is on while the deficit is at or beyond the first of ``changes`` in ``datapoints_to_alarm`` of the last ``evaluation_periods``.
    The change is the largest that does not go further than the deficit: what is left comes with the next alarm.
    """

    name: str
    period: timedelta
    evaluation_periods: int
    datapoints_to_alarm: int
    cooldown: timedelta
    changes: tuple[int, ...]
    """Of the number of copies, the smallest first. Auto Scaling allows 20 of them."""
    aggregation: Aggregation = Aggregation.MAXIMUM

    def change(self, deficit: float) -> int:
        """0 while the alarm is off."""
        reached = [change for change in self.changes if abs(change) <= abs(deficit) and change * deficit > 0]
        return reached[-1] if reached else 0


_OUT = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 40)
_IN = (-1, -2, -4, -8, -16)
_MINUTE = timedelta(minutes=1)

#: How often the sensor publishes the deficit.
SENSOR_PERIOD = timedelta(seconds=30)
FAST_OUT = StepRule(
    name="FastOut", period=SENSOR_PERIOD, evaluation_periods=1, datapoints_to_alarm=1, cooldown=timedelta(seconds=30), changes=_OUT
)
SLOW_IN = StepRule(name="SlowIn", period=_MINUTE, evaluation_periods=3, datapoints_to_alarm=3, cooldown=_MINUTE, changes=_IN)
#: In place of it where no copy is kept without work: there a few jobs pay for each idle minute.
IDLE_IN = StepRule(name="IdleIn", period=SENSOR_PERIOD, evaluation_periods=2, datapoints_to_alarm=2, cooldown=_MINUTE, changes=_IN)

#: Only while the sensor is silent, on figures of CloudWatch that come minutes late. An expression that fills what is missing says 0 of
#: the latest minutes, again and again, so an alarm that wants them all would never ring: one of five minutes is enough. It has forgotten that
#: minute when it may act again, and knows by then what it has done.
#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html, at FILL
NATIVE_OUT = StepRule(
    name="NativeOut", period=_MINUTE, evaluation_periods=5, datapoints_to_alarm=1, cooldown=timedelta(minutes=6), changes=_OUT
)
#: The same, and patient: it must not take away what late figures do not show, but nobody should pay for the maximum until morning.
NATIVE_IN = StepRule(
    name="NativeIn",
    period=_MINUTE,
    evaluation_periods=15,
    datapoints_to_alarm=12,
    cooldown=timedelta(minutes=16),
    changes=_IN,
    # The largest is the 0 of a minute that is not known yet.
    aggregation=Aggregation.MINIMUM,
)
RULES = (FAST_OUT, SLOW_IN, IDLE_IN, NATIVE_OUT, NATIVE_IN)


def rules_for(policy: ScalingPolicy) -> tuple[StepRule, StepRule, StepRule, StepRule]:
    """Out and in by what the sensor publishes; out and in while it is silent."""
    return FAST_OUT, SLOW_IN if policy.minimum else IDLE_IN, NATIVE_OUT, NATIVE_IN


def copies_per_waiting(run_time: timedelta, slots: int, policy: ScalingPolicy) -> float:
    """The share of a copy that one waiting job needs to be gone in time."""
    return run_time / (policy.wait_goal * DRAIN_SHARES[policy.mode] * slots)


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


#: In metric math: by the last figure that came, where the newest is late.
LAST_DESIRED = "FILL(desired, REPEAT)"


def native_expression(slots: int, policy: ScalingPolicy) -> str:
    """The same deficit in CloudWatch's metric math, 0 while the sensor publishes and while SQS's figures are not known.

    Of ``visible`` and ``in_flight``, as AWS publishes them, ``last_desired``, which is :data:`LAST_DESIRED`, and ``samples``, how many
    figures the sensor has published. Auto Scaling keeps ``minimum`` and ``maximum``. Container Insights may be silent of a service without
    copies: no figure at all is 0. SQS is silent of a queue that nobody has used for six hours.
    """
    v, n, w = "visible", "in_flight", "FILL(last_desired, 0)"
    share = f"{copies_per_waiting(policy.expected_run_time, slots, policy):.9g}"
    if policy.mode is ScalingMode.ECONOMY:
        copies = f"CEIL(({v} + {n}) * {share})"
    else:
        room = f"{w} * {slots}"
        running = f"IF({n} > {room}, {w}, CEIL({n} / {slots}))"
        waiting = f"{v} + IF({n} > {room}, {n} - {room}, 0)"
        # Never below 0: less than one copy is missing, and no more than that is subtracted.
        copies = f"{running} + CEIL(({waiting}) * {share} - {NOT_WORTH_A_COPY})"
    missing = f"IF({copies} < IF({v} + {n} > 0, 1, 0), 1, {copies}) - {w}"
    return f"IF(FILL(samples, 0) > 0, 0, FILL({missing}, 0))"
