"""The journal: what was asked and what came of it, one entry per line, and all that a restart knows."""

import json
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from scripts.laptop.gateway.messages import Json, Request


@dataclass(kw_only=True, slots=True)
class Effects:
    """What one request changes: entries for the journal, and the objects as they are afterwards."""

    entries: list[Json] = field(default_factory=list)
    changed: dict[str, Json] = field(default_factory=dict)


class Journal:
    """The file that everything is rebuilt from. Not thread-safe: the gateway's lock is around it."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b")
        self.entries: list[Json] = []

    def load(self) -> list[Json]:
        """Return the stored entries, and cut off what a crash left of a last, unanswered request."""
        self._file.seek(0)
        whole: list[Json] = []
        pending: list[Json] = []
        good_until = position = 0
        for line in self._file:
            position += len(line)
            try:
                pending.append(json.loads(line))
            except ValueError:
                break
            if pending[-1]["kind"] == "request" and line.endswith(b"\n"):
                whole += pending
                pending = []
                good_until = position
        self._file.truncate(good_until)
        self.entries = [_public(entry) for entry in whole]
        return whole

    def append(self, entries: list[Json]) -> None:
        """Write the entries of one request, its ``request`` entry last, and flush them."""
        self._file.write(b"".join(json.dumps(entry).encode() + b"\n" for entry in entries))
        self._file.flush()
        self.entries += [_public(entry) for entry in entries]


def _public(entry: Json) -> Json:
    return {name: value for name, value in entry.items() if name not in {"changed", "stored"}}


def entry_of(kind: str, request: Request, intent: Json, at: datetime) -> Json:
    """Return what every entry says of a request and the intent that it is about; ``{}`` if it is about none."""
    return {
        "kind": kind,
        "at": at.isoformat(),
        "intent": intent.get("id"),
        "amount": intent.get("amount"),
        "currency": intent.get("currency"),
        "payment_id": intent.get("metadata", {}).get("payment_id"),
        "idempotency_key": request.idempotency_key,
    }
