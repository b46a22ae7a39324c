"""Where the making of a report is: what its checkpoint says."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any

from app.workload.reports.sources import SOURCES

FORMATS = ("csv", "xlsx", "pdf")
STEPS = len(SOURCES) + len(FORMATS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Position:
    """Sources before ``source`` are read; that one is read up to ``after``. ``files`` are made and stored."""

    expected: int
    """Rows of all sources, as counted at the start."""
    source: int = 0
    after: tuple[datetime, int] | None = None
    parts: int = 0
    rows: int = 0
    files: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    interrupted_at: int | None = None
    """``current`` when the time limit cut the last run, and how many runs in succession came no further than that."""
    fruitless: int = 0

    def past(self, number: int, after: tuple[datetime, int] | None, rows: int, *, is_last: bool) -> "Position":
        """After a part; ``is_last`` of its source."""
        moved = replace(self, parts=number, rows=self.rows + rows, after=after)
        return replace(moved, source=self.source + 1, after=None) if is_last else moved

    def with_file(self, kind: str, name: str, size: int) -> "Position":
        return replace(self, files={**self.files, kind: {"name": name, "bytes": size}})

    def interrupted(self) -> "Position":
        """Cut by the time limit."""
        is_further = self.interrupted_at is None or self.current > self.interrupted_at
        return replace(self, interrupted_at=self.current, fruitless=0 if is_further else self.fruitless + 1)

    @property
    def current(self) -> int:
        """Each row is read once and written once into each file."""
        return self.rows * (1 + len(self.files)) + len(self.files)

    @property
    def total(self) -> int:
        return max(self.expected, self.rows) * (1 + len(FORMATS)) + len(FORMATS)

    @property
    def step(self) -> int:
        """From 1."""
        return min(self.source + len(self.files) + 1, STEPS)

    def as_state(self) -> dict[str, Any]:
        """JSON."""
        after = None if self.after is None else [self.after[0].isoformat(), self.after[1]]
        return asdict(self) | {"after": after}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "Position":
        after = state["after"]
        return cls(**{**state, "after": None if after is None else (datetime.fromisoformat(after[0]), after[1])})
