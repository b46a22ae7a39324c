"""How patient a breaker is."""

from dataclasses import dataclass
from datetime import timedelta

#: What DynamoDB takes as a key, and a person can type.
LONGEST_NAME = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class BreakerPolicy:
    """``probe_lease`` must be longer than the longest call: when it is over, another probe may leave."""

    failures: int = 5
    """In a row: a success between two of them begins anew."""
    pause: timedelta = timedelta(seconds=60)
    longest_pause: timedelta = timedelta(minutes=10)
    """Each probe that fails doubles the pause, up to this."""
    probe_lease: timedelta = timedelta(seconds=30)

    def __post_init__(self) -> None:
        if self.failures < 1:
            raise ValueError(f"BreakerPolicy: failures: expected 1 or more, got {self.failures}")
        if not timedelta(0) < self.pause <= self.longest_pause:
            raise ValueError(f"BreakerPolicy: pause: expected more than nothing and at most {self.longest_pause}, got {self.pause}")
        if self.probe_lease <= timedelta(0):
            raise ValueError(f"BreakerPolicy: probe_lease: expected more than nothing, got {self.probe_lease}")

    def pause_seconds(self, openings: int) -> float:
        """How long it stays open that opens for the ``openings``-th time in a row."""
        return min(self.pause.total_seconds() * 2.0 ** min(openings - 1, 30), self.longest_pause.total_seconds())
