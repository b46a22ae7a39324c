"""What is known of a breaker, and where that is kept."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from app.engine.circuit_breaker.policy import BreakerPolicy


class State(StrEnum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """Its state follows from the numbers and the clock, so that opening is no write of its own, which a crash could lose.

    closed ── failure ──▶ closed, counted ── the last one that is borne ──▶ open
       ▲ └── success ──▶ closed, none counted                               │  its pause is over
       │                                                                    ▼
       └──────────────── the probe succeeds ◀── half-open: one probe ◀──────┤
                         the probe fails ──▶ open, for twice as long        │
                         its lease is over ──▶ half-open, another probe ────┘
    """

    name: str
    failures: int = 0
    """In a row."""
    limit: int = 1
    """So many open it."""
    openings: int = 0
    """In a row; 0 for one that was never open or closed since."""
    open_until: float = 0.0
    probe: str = ""
    """Who may settle a half-open breaker."""
    probe_until: float = 0.0
    reason: str = ""
    """The latest failure."""
    changed_at: float = 0.0

    def state(self, now: float) -> State:
        if self.failures < self.limit:
            return State.CLOSED
        return State.OPEN if now < self.open_until else State.HALF_OPEN

    def seconds_left(self, now: float) -> float:
        """Until the next probe may leave; 0 if it may now."""
        return max(self.open_until - now, self.probe_until - now, 0.0)


class Records(Protocol):
    """Every change is made only where it may be; what it returns says whether it was."""

    def read(self, name: str) -> Record: ...

    def count_failure(self, name: str, policy: BreakerPolicy, reason: str, now: float) -> Record | None:
        """The record afterwards; nothing if it was open already."""

    def forget_failures(self, name: str, now: float) -> None:
        """A call that was let through a closed breaker has succeeded."""

    def take_probe(self, name: str, policy: BreakerPolicy, token: str, now: float) -> Record:
        """The record afterwards: the probe is ours if it holds our token."""

    def settle(self, name: str, token: str, now: float) -> bool:
        """Our probe has succeeded: close. False if it is not ours any more."""

    def open_again(self, held: Record, policy: BreakerPolicy, reason: str, now: float) -> Record | None:
        """Our probe has failed. Nothing if it is not ours any more."""

    def return_probe(self, name: str, token: str, now: float) -> None:
        """Our probe has learned nothing: the next call may be one."""
