"""What somebody wants done with dead letters, and what became of it."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from app.engine.dead_letters.selection import Selection

FASTEST_PER_SECOND = 1000.0
SLOWEST_PER_SECOND = 0.01


class Action(StrEnum):
    REDRIVE = "redrive"
    DISCARD = "discard"


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    action: Action
    selection: Selection
    by: str
    """Who is responsible. Travels with the messages."""
    rate: float = 0.0
    """Messages a second; 0 is as fast as it goes."""


@dataclass(slots=True, kw_only=True)
class Report:
    selected: int = 0
    done: int = 0
    """Sent back, or discarded, by this order."""
    by_others: int = 0
    """Somebody else was faster."""
    refused: dict[str, str] = field(default_factory=dict)
    """SQS does not take them back: letter and reason."""
    not_found: list[str] = field(default_factory=list)
    """In the index and not seen in the queue: somebody holds them, or they have gone."""
    is_cut_off: bool = False
    """Time was over, or it was stopped: there is more to do."""

    def as_json(self) -> dict[str, Any]:
        return {
            "selected": self.selected,
            "done": self.done,
            "by_others": self.by_others,
            "refused": dict(list(self.refused.items())[:20]),
            "refused_count": len(self.refused),
            "not_found": self.not_found[:20],
            "not_found_count": len(self.not_found),
            "is_cut_off": self.is_cut_off,
        }
