"""CloudWatch's alarms and what Application Auto Scaling does when they ring.

The model: an alarm is on while enough of its last so many figures are beyond the threshold. It calls its policy when it goes on and, while
it stays on, once a minute. During the cooldown of a step out only what a larger step adds is added; during that of a step in nothing
happens. Which step it is, the largest or the least of those figures says.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from app.topology.scaling import Aggregation, StepRule

#: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html: while the alarm remains in its state.
REPEATED_SECONDS = 60

Figure = float | None
"""``None`` is a missing one, which is not beyond the threshold."""


@dataclass(kw_only=True, slots=True)
class Alarm:
    is_beyond: Callable[[float], bool]
    periods: int
    datapoints: int = 0
    """So many of them are enough; all, without it."""
    _seen: deque[Figure] = field(init=False)
    _called_at: float | None = None

    def __post_init__(self) -> None:
        self._seen = deque(maxlen=self.periods)

    def feed(self, now: float, figure: Figure) -> bool:
        """Once a period, where figures come in time. Whether the policy is called now."""
        self._seen.append(figure)
        return self.look(now, self._seen)

    def look(self, now: float, figures: Sequence[Figure]) -> bool:
        """The same where figures come late, or change: all of the last periods, as they are known now."""
        beyond = sum(figure is not None and self.is_beyond(figure) for figure in figures)
        if beyond < (self.datapoints or self.periods):
            self._called_at = None
            return False
        if self._called_at is not None and now - self._called_at < REPEATED_SECONDS:
            return False
        self._called_at = now
        return True


@dataclass(kw_only=True, slots=True)
class StepScaling:
    """A step-scaling policy with its alarm. ``change_of`` is 0 where the alarm is off."""

    change_of: Callable[[float], int]
    periods: int
    cooldown_seconds: float
    datapoints: int = 0
    aggregation: Aggregation = Aggregation.MAXIMUM
    _alarm: Alarm = field(init=False)
    _seen: deque[Figure] = field(init=False)
    _cooled_at: float = 0.0
    _last: int = 0

    def __post_init__(self) -> None:
        self._alarm = Alarm(is_beyond=lambda figure: self.change_of(figure) != 0, periods=self.periods, datapoints=self.datapoints)
        self._seen = deque(maxlen=self.periods)

    def change(self, now: float, figure: Figure) -> int:
        """Of the desired tasks; once a period, where figures come in time."""
        self._seen.append(figure)
        return self.change_by(now, self._seen)

    def change_by(self, now: float, figures: Sequence[Figure]) -> int:
        """The same by all figures of the last periods, as they are known now."""
        if not self._alarm.look(now, figures):
            return 0
        aggregate = max if self.aggregation is Aggregation.MAXIMUM else min
        step = self.change_of(aggregate(figure for figure in figures if figure is not None))
        if now < self._cooled_at:
            more = step - self._last if step > self._last > 0 else 0
            self._last = max(step, self._last)
            return more
        if step:
            self._last, self._cooled_at = step, now + self.cooldown_seconds
        return step


def by_rule(rule: StepRule) -> StepScaling:
    return StepScaling(
        change_of=rule.change,
        periods=rule.evaluation_periods,
        datapoints=rule.datapoints_to_alarm,
        aggregation=rule.aggregation,
        cooldown_seconds=rule.cooldown.total_seconds(),
    )


@dataclass(kw_only=True, slots=True)
class TargetTracking:
    """Out when three figures in a row are above the target, in when fifteen are below nine tenths of it.

    AWS says that it goes out in proportion and in "more gradually", and not how gradually: a tenth at a time, here.
    """

    target: float
    _out: Alarm = field(init=False)
    _in: Alarm = field(init=False)

    def __post_init__(self) -> None:
        self._out = Alarm(is_beyond=lambda figure: figure > self.target, periods=3)
        self._in = Alarm(is_beyond=lambda figure: figure < 0.9 * self.target, periods=15)

    def wanted(self, now: float, figure: float | None, desired: int) -> int:
        """Tasks."""
        goes_out, goes_in = self._out.feed(now, figure), self._in.feed(now, figure)
        if figure is None:
            return desired
        proportional = -int(-desired * figure // self.target)
        if goes_out:
            return max(proportional, desired)
        return max(proportional, desired - max(desired // 10, 1)) if goes_in else desired
