"""What is written to workers, and how long it counts."""

import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from kombu.matcher import match
from kombu.utils.json import dumps, loads

from app.engine.conf import EngineSettings

logger = logging.getLogger(__name__)

#: What nobody has carried out by then, nobody waits for any more; whoever was away must not catch up on it.
COMMAND_COUNTS = timedelta(seconds=60)
#: How long a command, or an answer, is kept for a person who wonders what happened.
COMMAND_KEPT = timedelta(hours=1)
#: A pause ends by itself, so that nothing stays in the table for ever; no message lives as long.
PAUSE_LASTS = timedelta(days=366)

REVOCATIONS = frozenset({"revoke", "terminate", "revoke_by_stamped_headers"})
PAUSES = frozenset({"pause_queue", "resume_queue"})
UNREADABLE = "unreadable"


@dataclass(frozen=True, kw_only=True, slots=True)
class Letter:
    """A command, to everybody or to those named, in Celery's words."""

    id: str
    method: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    destination: tuple[str, ...] | None = None
    pattern: str | None = None
    matcher: str | None = None
    ticket: str | None = None
    """Under which answers are expected; ``None`` if nobody waits for one."""

    @property
    def is_lasting(self) -> bool:
        """Whether it binds workers that start later, too."""
        return self.method in REVOCATIONS or self.method in PAUSES

    def lasts(self, settings: EngineSettings) -> timedelta:
        """How long it is kept."""
        if self.method in REVOCATIONS:
            return longest_life(settings)
        return PAUSE_LASTS if self.method in PAUSES else COMMAND_KEPT

    def is_for(self, hostname: str) -> bool:
        if self.method == UNREADABLE:
            return False
        if self.destination:
            return hostname in self.destination
        if self.pattern and self.matcher:
            return bool(match(hostname, self.pattern, self.matcher))
        return True

    def encode(self) -> bytes:
        return zlib.compress(
            dumps(
                {
                    "arguments": dict(self.arguments),
                    "destination": self.destination,
                    "pattern": self.pattern,
                    "matcher": self.matcher,
                    "ticket": self.ticket,
                }
            ).encode()
        )

    @classmethod
    def decode(cls, *, id: str, method: str, body: bytes) -> "Letter":  # noqa: A002 — the field's name
        """What cannot be read is a letter for nobody: it may not keep those behind it from being read."""
        try:
            told = loads(zlib.decompress(body))
            return cls(
                id=id,
                method=method,
                arguments=dict(told["arguments"]),
                destination=tuple(told["destination"]) if told["destination"] else None,
                pattern=told["pattern"],
                matcher=told["matcher"],
                ticket=told["ticket"],
            )
        except (zlib.error, ValueError, KeyError, TypeError) as error:
            logger.warning("letter not readable", extra={"command": method, "reason": f"{type(error).__name__}: {error}"[:300]})
            return cls(id=id, method=UNREADABLE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Posted:
    """A letter with its place in the log."""

    letter: Letter
    number: int
    previous: int
    """The number of the letter before it."""
    age: timedelta
    """When it was read, by DynamoDB's clock alone: those of the two machines may differ."""

    @property
    def counts(self) -> bool:
        return self.letter.is_lasting or self.age < COMMAND_COUNTS


def longest_life(settings: EngineSettings) -> timedelta:
    """How long the message of a job that exists now may come to a worker: it waits, lies among the dead letters, and is sent once more."""
    return max(queue.dead_letter_retention + queue.retention for queue in settings.topology.queues) + settings.longest_sqs_delay
