"""Dead letters by what is wrong: one problem is one fingerprint."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from app.engine.dead_letters.letter import DeadLetter, moment


@dataclass(slots=True, kw_only=True)
class Group:
    fingerprint: str
    task: str
    reason: str
    exception: str
    message: str
    """Of the latest."""
    count: int = 0
    queues: set[str] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)
    first_died_at: float
    last_died_at: float

    def as_json(self) -> dict[str, Any]:
        return {
            "fingerprint": self.fingerprint,
            "count": self.count,
            "task": self.task,
            "reason": self.reason,
            "exception": self.exception,
            "message": self.message,
            "queues": sorted(self.queues),
            "releases": sorted(self.releases - {""}),
            "first_died_at": moment(self.first_died_at),
            "last_died_at": moment(self.last_died_at),
        }


def grouped(letters: Iterable[DeadLetter]) -> list[Group]:
    """The largest first."""
    groups: dict[str, Group] = {}
    for letter in letters:
        group = groups.setdefault(
            letter.fingerprint,
            Group(
                fingerprint=letter.fingerprint,
                task=letter.task,
                reason=letter.reason,
                exception=letter.exception,
                message=letter.message,
                first_died_at=letter.died_at,
                last_died_at=letter.died_at,
            ),
        )
        group.count += 1
        group.queues.add(letter.queue)
        group.releases.add(letter.release)
        group.first_died_at = min(group.first_died_at, letter.died_at)
        if letter.died_at > group.last_died_at:
            group.last_died_at, group.message = letter.died_at, letter.message
    return sorted(groups.values(), key=lambda group: (-group.count, group.fingerprint))
