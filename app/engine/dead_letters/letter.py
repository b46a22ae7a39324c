"""One dead letter, as an item of the ledger and back."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from app.engine.broker.lineage import Lineage
from app.topology.tables import LEDGER

KEY, TTL = LEDGER.partition_key.name, LEDGER.ttl_attribute
INDEX = next(index for index in LEDGER.indexes if index.name == "dead_letters")
_PREFIX = "dead-letter-"


class State(StrEnum):
    DEAD = "dead"
    """In its queue."""
    REDRIVING = "redriving"
    """Somebody is sending it back."""
    REDRIVEN = "redriven"
    """Sent back."""
    DISCARDED = "discarded"
    """Deleted on purpose."""
    GONE = "gone"
    """Not in its queue any more, by no doing of ours: purged, moved with another tool, too old."""


OPEN = frozenset({State.DEAD, State.REDRIVING})
#: The halves of the index.
_OPEN_HALF, _OVER_HALF = "open", "over"


@dataclass(frozen=True, kw_only=True, slots=True)
class DeadLetter:
    """A message in a dead-letter queue, and what is known of its death. Moments are POSIX seconds."""

    id: str
    state: State
    queue: str
    """Where it died, and where it goes when it is sent back."""
    message_id: str
    reason: str
    fingerprint: str
    message: str
    died_at: float
    entered_at: float
    """In the index."""
    expires_at: int
    """SQS deletes it; of one that is over: we forget it."""
    body_bytes: int
    attempts: int
    task: str = ""
    """Empty if the message could not be read."""
    task_id: str = ""
    tenant: str = ""
    exception: str = ""
    release: str = ""
    redrives: int = 0
    """How often its job was sent back before."""
    lineage: Lineage | None = None
    """Who did, when. Only of a letter that is read by its id."""
    missed: int = 0
    """Rounds in a row in which the clerk did not see it."""
    by: str = ""
    """Who sends or sent it back, or discarded it."""
    until: float = 0.0
    """Of one that is being sent back: after that, another may do it."""
    ended_at: float = 0.0
    problem: str = ""
    """Why SQS did not take it back, if it did not."""

    def as_item(self) -> dict[str, Any]:
        item: dict[str, Any] = {
            KEY: {"S": key_of(self.id)},
            TTL: {"N": str(self.expires_at)},
            INDEX.partition_key.name: {"S": half_of(self.queue, self.state)},
        }
        if self.lineage is not None:
            item["lineage"] = {"S": self.lineage.as_attribute()["StringValue"]}
        for name in _TEXTS:
            # DynamoDB takes no empty text in a key of an index.
            if text := getattr(self, name):
                item[name] = {"S": str(text)}
        for name in _NUMBERS:
            if (number := getattr(self, name)) or name == INDEX.sort_key.name:
                item[name] = {"N": f"{number:.3f}" if isinstance(number, float) else str(number)}
        return item

    def as_json(self) -> dict[str, Any]:
        """For people and programs: moments in ISO 8601, nothing that is not known."""
        told: dict[str, Any] = {"id": self.id, "state": str(self.state), "queue": self.queue, "message_id": self.message_id}
        for name in _TOLD:
            if (value := getattr(self, name)) not in ("", 0, 0.0):
                told[name] = moment(value) if name.endswith("_at") or name == "until" else value
        if self.lineage is not None:
            told["lineage"] = self.lineage.as_header()["redrives"]
        return told


_TEXTS = (
    "state",
    "queue",
    "message_id",
    "reason",
    "fingerprint",
    "message",
    "task",
    "task_id",
    "tenant",
    "exception",
    "release",
    "by",
    "problem",
)
_NUMBERS = ("died_at", "entered_at", "body_bytes", "attempts", "redrives", "missed", "until", "ended_at")
_TOLD = tuple(field.name for field in fields(DeadLetter) if field.name not in {"id", "state", "queue", "message_id", "lineage"})


def letter_id(queue: str, message_id: str) -> str:
    return f"{queue}-{message_id}"


def key_of(letter: str) -> str:
    return _PREFIX + letter


def half_of(queue: str, state: State) -> str:
    return f"{queue}#{_OPEN_HALF if state in OPEN else _OVER_HALF}"


def moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def read_letter(item: Mapping[str, Any]) -> DeadLetter:
    """From an item that we have written."""
    texts: dict[str, Any] = {name: str(item[name]["S"]) for name in _TEXTS if name in item}
    numbers: dict[str, Any] = {name: float(item[name]["N"]) for name in _NUMBERS if name in item}
    for name in ("body_bytes", "attempts", "redrives", "missed"):
        numbers[name] = int(numbers.get(name, 0))
    lineage = Lineage.read(json.loads(item["lineage"]["S"])) if "lineage" in item else None
    required = dict.fromkeys(("reason", "fingerprint", "message"), "")
    return DeadLetter(
        id=str(item[KEY]["S"]).removeprefix(_PREFIX),
        expires_at=int(item[TTL]["N"]),
        lineage=lineage,
        **required | texts | numbers | {"state": State(texts["state"])},
    )
