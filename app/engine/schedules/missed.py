"""What becomes of due times at which no beat could act. Pure: reads no clock, no settings, no database."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

#: A due time is missed when nothing was sent for so long; until then a beat that takes over from a dead one is merely late.
LATE_AFTER = timedelta(minutes=1)
#: The most that one entry catches up with at a time. What is older is left out and counted.
MOST_AT_ONCE = 100


class Missed(StrEnum):
    """The policy of an entry for its missed due times."""

    SKIP = "skip"
    """Left out: what is more than a minute late is not sent."""
    ONE = "one"
    """The latest is sent, and stands for all of them. What an entry does that says nothing."""
    ALL = "all"
    """Each is sent, up to the latest hundred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pending:
    """The due times that are not decided yet."""

    count: int
    latest: tuple[datetime, ...]
    """The last of them, in order; at most ``MOST_AT_ONCE``."""

    def __post_init__(self) -> None:
        if not len(self.latest) <= self.count or bool(self.count) is not bool(self.latest):
            raise ValueError(f"expected the latest of {self.count} due times, got {len(self.latest)}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """What to do about due times: each one that is named gets its occurrence, the others are counted with the first of these."""

    sent: tuple[datetime, ...] = ()
    skipped: datetime | None = None
    left_out: int = 0

    @property
    def named(self) -> tuple[datetime, ...]:
        return self.sent if self.skipped is None else (*self.sent, self.skipped)


def decide(pending: Pending, *, missed: Missed, now: datetime) -> Decision:
    """Apply the policy. Every pending due time is sent, skipped or counted: none is forgotten."""
    if not pending.count:
        return Decision()
    if missed is Missed.ALL:
        return Decision(sent=pending.latest, left_out=pending.count - len(pending.latest))
    latest = pending.latest[-1]
    if missed is Missed.SKIP and now - latest > LATE_AFTER:
        return Decision(skipped=latest, left_out=pending.count - 1)
    return Decision(sent=(latest,), left_out=pending.count - 1)
