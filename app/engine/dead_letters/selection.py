"""Which dead letters are meant: some by their ids, or all that fit every given condition."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Self

from app.engine.dead_letters.index import Index
from app.engine.dead_letters.letter import OPEN, DeadLetter, moment
from app.engine.errors import PermanentError


class NothingSelected(PermanentError):
    """A selection without any condition. Whoever means all of them has to say so."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """Moments are POSIX seconds; a condition that is empty is none."""

    ids: tuple[str, ...] = ()
    queue: str = ""
    fingerprint: str = ""
    task: str = ""
    tenant: str = ""
    reason: str = ""
    died_from: float = 0.0
    died_before: float = 0.0
    is_all: bool = False
    entered_before: float = 0.0
    """So that what dies again while it is worked off is not meant once more."""

    def check(self) -> Self:
        """Raises :class:`NothingSelected`."""
        if not (self.ids or self.is_all or any(getattr(self, name) for name in _CONDITIONS)):
            raise NothingSelected("Name dead letters by id, queue, fingerprint, task, tenant, reason or time, or say that you mean all.")
        return self

    def fits(self, letter: DeadLetter) -> bool:
        return (
            all(getattr(letter, name) == wanted for name in _EQUAL if (wanted := getattr(self, name)))
            and (not self.ids or letter.id in self.ids)
            and letter.died_at >= self.died_from
            and (not self.died_before or letter.died_at < self.died_before)
            and (not self.entered_before or letter.entered_at < self.entered_before)
        )

    def as_json(self) -> dict[str, Any]:
        """What was said, for the record."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items() if value}

    @classmethod
    def from_json(cls, said: dict[str, Any]) -> "Selection":
        return cls(**said | {"ids": tuple(said.get("ids", ()))})

    def in_words(self) -> str:
        words = [f"{name} {getattr(self, name)}" for name in _EQUAL if getattr(self, name)]
        words += [f"{len(self.ids)} id(s)"] if self.ids else []
        words += [f"died from {moment(self.died_from)}"] if self.died_from else []
        words += [f"died before {moment(self.died_before)}"] if self.died_before else []
        return ", ".join(words) or "all"


_EQUAL = ("queue", "fingerprint", "task", "tenant", "reason")
_CONDITIONS = (*_EQUAL, "died_from", "died_before")


def select(index: Index, queues: Iterable[str], selection: Selection, *, now: float) -> Iterator[DeadLetter]:
    """Those that are dead or that somebody is sending back, who may be cut off, the oldest first in each queue.

    By id they are read as they are now, otherwise from the index.
    """
    if selection.ids:
        found = index.get_many(selection.ids).values()
        yield from (letter for letter in found if letter.state in OPEN and letter.expires_at > now and selection.fits(letter))
        return
    for queue in queues:
        if not selection.queue or selection.queue == queue:
            letters = index.letters(queue, is_open=True, now=now, newest_first=False)
            yield from (letter for letter in letters if selection.fits(letter))
