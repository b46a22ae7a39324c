"""How much a call may take."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    resolve_seconds: float = 3.0
    connect_seconds: float = 3.0
    read_seconds: float = 8.0
    """Between two bytes of the answer."""
    total_seconds: float = 9.5
    """For everything, redirects included: with what is around it, ten."""
    answer_bytes: int = 1_000_000
    """Unpacked."""
    redirects: int = 3

    def __post_init__(self) -> None:
        if min(self.resolve_seconds, self.connect_seconds, self.read_seconds) <= 0 or not 0 < self.total_seconds <= 60:  # noqa: PLR2004 — a slot is not held for longer
            raise ValueError(f"Limits: expected positive seconds and at most 60 in total, got {self}")
        if self.answer_bytes < 1 or self.redirects < 0:
            raise ValueError(f"Limits: expected answer_bytes >= 1 and redirects >= 0, got {self}")
