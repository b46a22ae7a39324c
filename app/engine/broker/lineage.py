"""How often a job was sent back from the dead letters, by whom and when: so that its second death shows its first.

    dead letter ──sent back──▶ message, attribute ``redrive`` ──received──▶ header ``redrive`` ──retry──▶ header ──dies──▶ attribute

An attribute leaves the body as it was. A retry is a new message, and of the old one it has only the headers.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Self

#: The message attribute, and the header.
REDRIVE = "redrive"
#: Of more, the latest are told.
MOST_TOLD = 5
LONGEST_NAME = 100
LONGEST_TEXT = 4096
MOST_REDRIVES = 1_000_000
ELSEWHERE = "another tool"
"""Who sends messages back without saying so: the AWS console, ``start-message-move-task``."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Redrive:
    """One way back."""

    by: str
    at: str
    """ISO 8601, UTC."""
    letter: str = ""
    """The dead letter's id in the index, if whoever sent it back knew it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    count: int
    redrives: tuple[Redrive, ...] = ()
    """The latest, oldest first."""

    @classmethod
    def read(cls, told: object) -> "Lineage | None":
        """Of a text or of what a header holds; ``None`` for what is no lineage. Anybody may have written it: raises nothing."""
        if isinstance(told, str):
            try:
                told = json.loads(told) if len(told) <= LONGEST_TEXT else None
            except (ValueError, RecursionError):
                return None
        if not isinstance(told, dict):
            return None
        count, redrives = told.get("count"), told.get("redrives")
        if type(count) is not int or not 1 <= count <= MOST_REDRIVES or not isinstance(redrives, list):
            return None
        known = [one for one in redrives[-MOST_TOLD:] if isinstance(one, dict)]
        return cls(count=count, redrives=tuple(Redrive(**{name: _name(one.get(name)) for name in ("by", "at", "letter")}) for one in known))

    def and_then(self, redrive: Redrive) -> Self:
        return type(self)(count=min(self.count + 1, MOST_REDRIVES), redrives=(*self.redrives, redrive)[-MOST_TOLD:])

    def as_header(self) -> dict[str, Any]:
        return {"count": self.count, "redrives": [asdict(redrive) for redrive in self.redrives]}

    def as_attribute(self) -> dict[str, str]:
        return {"DataType": "String", "StringValue": json.dumps(self.as_header(), separators=(",", ":"))}


#: Before the first redrive.
NEVER = Lineage(count=0)


def lineage_of(attributes: Mapping[str, Any], headers: Mapping[str, Any] | None = None) -> Lineage | None:
    """What a message says of itself: its attribute counts, or else its header."""
    attribute = attributes.get(REDRIVE)
    said = attribute.get("StringValue") if isinstance(attribute, Mapping) else None
    return Lineage.read(said) or Lineage.read((headers or {}).get(REDRIVE))


def sent_back_elsewhere(lineage: Lineage | None) -> Lineage:
    """Of a message that carries the cause of its death and that nobody of ours has sent back."""
    return (lineage or NEVER).and_then(Redrive(by=ELSEWHERE, at=datetime.now(UTC).isoformat(timespec="seconds")))


def _name(value: object) -> str:
    return "".join(letter for letter in value[:LONGEST_NAME] if letter.isprintable()) if isinstance(value, str) else ""
