"""What CloudWatch shows of the world: a figure a minute, and late."""

from collections import deque
from dataclasses import dataclass

from benchmarks.scaling.world import World

MINUTE = 60


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    visible: int
    in_flight: int
    desired: int
    running: int


class Figures:
    """SQS's and Container Insights' figures, which an alarm sees ``delay`` seconds after their minute."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._samples: deque[Sample] = deque(maxlen=16)

    def look(self, world: World) -> bool:
        """Take a sample if a minute is over; whether it is, and alarms are evaluated."""
        if world.now % MINUTE:
            return False
        self._samples.append(Sample(world.now, world.visible, world.in_flight, world.desired, world.running))
        return True

    def latest(self, now: float) -> Sample | None:
        return next((sample for sample in reversed(self._samples) if sample.at <= now - self._delay), None)

    def of(self, end: float, now: float) -> Sample | None:
        """The figures of the minute that ended then, if they can be seen."""
        return next((sample for sample in self._samples if sample.at == end <= now - self._delay), None)

    def mean_visible(self, now: float, minutes: int) -> float | None:
        """Over the last minutes that can be seen."""
        seen = [sample.visible for sample in self._samples if now - self._delay - minutes * MINUTE < sample.at <= now - self._delay]
        return sum(seen) / len(seen) if seen else None
