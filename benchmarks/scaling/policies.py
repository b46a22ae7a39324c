"""The ways to scale that are compared. Each is made anew for a run and asked once a second."""

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from app.topology import ScalingMode, ScalingPolicy
from app.topology.scaling import MOST_COPIES, SENSOR_PERIOD, StepRule, deficit, rules_for
from benchmarks.scaling.alarms import StepScaling, TargetTracking, by_rule
from benchmarks.scaling.figures import MINUTE, Figures, Sample
from benchmarks.scaling.traces import Trace
from benchmarks.scaling.world import World

#: From PutMetricData until the alarm has seen it.
SENSOR_LAG = 10
#: Beat publishes so many seconds into each period.
_INTO_PERIOD = 5
#: Figures of the sensor: of the fifteen minutes for which an alarm may ask whether it was silent.
_KEPT = 32
#: Of Application Auto Scaling for ECS, where the policy states none.
DEFAULT_COOLDOWN = 300


class Family(StrEnum):
    OURS = "ours"
    CLOUDWATCH = "CloudWatch"
    KEDA = "KEDA"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conditions:
    """What may be worse than planned."""

    metric_delay: float = 60.0
    run_time_error: float = 1.0
    """The sensor believes this times the true mean run time."""
    is_sensor_silent: bool = False


class Policy(Protocol):
    def second(self, world: World) -> None: ...


class Deficit:
    """Ours: beat's sensor, fast out, slow in, and the fallback on CloudWatch's own figures."""

    def __init__(self, trace: Trace, conditions: Conditions, *, mode: ScalingMode | None = None) -> None:
        self._scaling = trace.scaling if mode is None else replace(trace.scaling, mode=mode)
        self._slots = trace.slots
        self._conditions = conditions
        self._figures = Figures(conditions.metric_delay)
        self._by_sensor, self._by_cloudwatch = _by_sensor_and_cloudwatch(self._scaling)
        self._published: deque[tuple[float, int]] = deque(maxlen=_KEPT)

    def second(self, world: World) -> None:
        into = (world.now - _INTO_PERIOD) % SENSOR_PERIOD.total_seconds()
        if into == 0 and not self._conditions.is_sensor_silent:
            self._publish(world)
        change = 0
        if into == SENSOR_LAG:
            change += sum(self._sensed(rule, scaling, world.now - SENSOR_LAG) for rule, scaling in self._by_sensor)
        if self._figures.look(world):
            change += sum(scaling.change_by(world.now, self._native(rule, world.now)) for rule, scaling in self._by_cloudwatch)
        if change:
            world.scale(world.desired + change)

    def _publish(self, world: World) -> None:
        missing = deficit(
            visible=world.visible,
            in_flight=world.in_flight,
            desired=world.desired,
            run_time=self._scaling.expected_run_time * self._conditions.run_time_error,
            slots=self._slots,
            policy=self._scaling,
        )
        self._published.append((world.now, missing))

    def _sensed(self, rule: StepRule, scaling: StepScaling, until: float) -> int:
        """Once a period of the rule. Its figure is the largest that was published in it."""
        period = rule.period.total_seconds()
        if (until - _INTO_PERIOD) % period:
            return 0
        return scaling.change(until + SENSOR_LAG, max(self._published_in(until - period, until), default=None))

    def _native(self, rule: StepRule, now: float) -> list[float]:
        """What the alarm's expression says of its last minutes, as far as CloudWatch has their figures by now."""
        ends = [now - MINUTE * back for back in range(rule.evaluation_periods)]
        return [0 if self._published_in(end - MINUTE, end) else self._native_of(end, now) for end in ends]

    def _native_of(self, end: float, now: float) -> float:
        sample = self._figures.of(end, now)
        if sample is None:
            return 0  # filled: no work, and no copies
        return deficit(
            visible=sample.visible,
            in_flight=sample.in_flight,
            desired=sample.desired,
            run_time=self._scaling.expected_run_time,
            slots=self._slots,
            # Metric math knows no limits.
            policy=replace(self._scaling, minimum=0, maximum=MOST_COPIES),
        )

    def _published_in(self, after: float, until: float) -> list[int]:
        return [missing for at, missing in self._published if after < at <= until]


def _by_sensor_and_cloudwatch(policy: ScalingPolicy) -> tuple[list[tuple[StepRule, StepScaling]], list[tuple[StepRule, StepScaling]]]:
    rules = [(rule, by_rule(rule)) for rule in rules_for(policy)]
    return rules[:2], rules[2:]


class QueueProcessing:
    """The CDK's QueueProcessingFargateService: one more from 100 visible messages on, five more from 500 on, one less at 0."""

    def __init__(self, conditions: Conditions, *, period_minutes: int) -> None:
        self._figures = Figures(conditions.metric_delay)
        self._minutes = period_minutes
        self._out = StepScaling(change_of=_queue_processing_out, periods=1, cooldown_seconds=DEFAULT_COOLDOWN)
        self._in = StepScaling(change_of=lambda visible: -1 if visible <= 0 else 0, periods=1, cooldown_seconds=DEFAULT_COOLDOWN)

    def second(self, world: World) -> None:
        if not self._figures.look(world) or world.now % (60 * self._minutes):
            return
        visible = self._figures.mean_visible(world.now, self._minutes)
        change = self._out.change(world.now, visible) + self._in.change(world.now, visible)
        if change:
            world.scale(world.desired + change)


def _queue_processing_out(visible: float) -> int:
    return 5 if visible >= 500 else 1 if visible >= 100 else 0  # noqa: PLR2004 — its own defaults


class Tracking:
    """Target tracking of a figure. It cannot leave zero, so a step adds the first task where work waits, as AWS's guides do."""

    def __init__(self, conditions: Conditions, *, target: float, figure: Callable[[Sample], float]) -> None:
        self._figures = Figures(conditions.metric_delay)
        self._tracking = TargetTracking(target=target)
        self._figure = figure
        self._first = StepScaling(change_of=lambda waiting: 1 if waiting > 0 else 0, periods=1, cooldown_seconds=60)

    def second(self, world: World) -> None:
        if not self._figures.look(world) or (sample := self._figures.latest(world.now)) is None:
            return
        wanted = self._tracking.wanted(world.now, self._figure(sample), world.desired)
        wanted += self._first.change(world.now, sample.visible if world.desired == 0 else 0)
        if wanted != world.desired:
            world.scale(wanted)


class Keda:
    """KEDA's aws-sqs-queue with the defaults of its poll and of the HorizontalPodAutoscaler; pods start like tasks."""

    def __init__(self, *, queue_length: float) -> None:
        self._queue_length = queue_length
        self._messages = 0
        self._recommended: deque[int] = deque(maxlen=20)  # 300 s of 15: the stabilisation of a scale-in
        self._active_at = 0.0

    def second(self, world: World) -> None:
        if world.now % 30 == 0:
            self._messages = world.visible + world.in_flight
            if self._messages:
                self._active_at = world.now
                if not world.desired:
                    world.scale(1)
        if world.now % 15:
            return
        if world.now - self._active_at >= 300:  # noqa: PLR2004 — cooldownPeriod
            self._recommended.clear()
            world.scale(0)
            return
        self._recommended.append(max(math.ceil(self._messages / self._queue_length), 1))
        highest = max(self._recommended)
        if self._recommended[-1] > world.desired:
            world.scale(min(self._recommended[-1], world.desired + max(world.desired, 4)))
        elif highest < world.desired:
            world.scale(highest)


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A way to scale, by name."""

    name: str
    family: Family
    make: Callable[[Trace, Conditions], Policy]


def _acceptable_backlog(trace: Trace) -> float:
    """Messages that one task drains within the goal: what AWS's guide calls acceptable backlog per instance."""
    scaling: ScalingPolicy = trace.scaling
    return max(scaling.wait_goal / scaling.expected_run_time * trace.slots, 1.0)


OURS = Way(name="deficit", family=Family.OURS, make=Deficit)
LATENCY = Way(name="deficit, latency", family=Family.OURS, make=lambda trace, on: Deficit(trace, on, mode=ScalingMode.LATENCY))
SILENT = Way(name="deficit, sensor silent", family=Family.OURS, make=lambda trace, on: Deficit(trace, replace(on, is_sensor_silent=True)))
QUEUE_PROCESSING = Way(
    name="QueueProcessingFargateService", family=Family.CLOUDWATCH, make=lambda _, on: QueueProcessing(on, period_minutes=5)
)
OTHERS = (
    QUEUE_PROCESSING,
    Way(name="the same, 60 s", family=Family.CLOUDWATCH, make=lambda _, on: QueueProcessing(on, period_minutes=1)),
    Way(
        name="tracking visible",
        family=Family.CLOUDWATCH,
        make=lambda trace, on: Tracking(on, target=_acceptable_backlog(trace), figure=lambda sample: sample.visible),
    ),
    Way(
        name="tracking backlog per task",
        family=Family.CLOUDWATCH,
        make=lambda trace, on: Tracking(
            on, target=_acceptable_backlog(trace), figure=lambda sample: sample.visible / max(sample.running, 1)
        ),
    ),
    Way(
        name="tracking work per task",
        family=Family.CLOUDWATCH,
        make=lambda trace, on: Tracking(
            on,
            target=_acceptable_backlog(trace),
            figure=lambda sample: (sample.visible + sample.in_flight) / max(sample.running, 1),
        ),
    ),
    Way(name="KEDA, acceptable backlog", family=Family.KEDA, make=lambda trace, _: Keda(queue_length=_acceptable_backlog(trace))),
    Way(name="KEDA, queueLength 5", family=Family.KEDA, make=lambda _, __: Keda(queue_length=5)),
)


def ways_for(trace: Trace) -> tuple[Way, ...]:
    """Ours in the mode of the trace; where that is economy, in the other, too."""
    return (OURS, *((LATENCY,) if trace.scaling.mode is ScalingMode.ECONOMY else ()), SILENT, *OTHERS)
