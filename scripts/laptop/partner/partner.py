"""What the partner knows and does, without HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock
from typing import Any

Json = dict[str, Any]

USERS_AT_FIRST = 25
_NAMES = ("Ada", "Alan", "Barbara", "Edsger", "Grace", "Ken", "Leslie", "Margaret", "Niklaus", "Tony")


class Operation(StrEnum):
    """What can be asked for, and a fault can hit."""

    QUOTE = "quote"
    CHANGES = "changes"
    USER = "user"


class Mode(StrEnum):
    """How a request goes wrong; the package's docstring has the table."""

    ERROR_500 = "error_500"
    BUSY = "busy"
    DENY = "deny"
    RESET = "reset"
    HANG = "hang"
    DRIP = "drip"
    DRIP_HEADERS = "drip_headers"
    BIG = "big"
    BOMB = "bomb"
    REDIRECT = "redirect"


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """Break the next ``times`` requests of an operation."""

    operation: Operation
    mode: Mode
    times: int = 1
    location: str = ""

    def __post_init__(self) -> None:
        if self.times < 1 or bool(self.location) != (self.mode is Mode.REDIRECT):
            raise ValueError(f"expected times >= 1, and a location for a redirect only, got {self}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    body: Json


class Partner:
    """Thread-safe. Every change of a user has a number; a user's version is that of the latest one."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users: dict[str, Json] = {}
        self._faults: list[Fault] = []
        self._journal: list[Json] = []
        self._changes = 0
        names = (_NAMES[number % len(_NAMES)] for number in range(USERS_AT_FIRST))
        self.change(
            [{"id": f"u-{number}", "name": name, "email": f"{name.lower()}{number}@example.com"} for number, name in enumerate(names)]
        )

    def change(self, users: Sequence[Json]) -> None:
        """Make or change users."""
        with self._lock:
            for user in users:
                self._changes += 1
                self._users[user["id"]] = {"id": user["id"], "name": user["name"], "email": user["email"], "version": self._changes}

    def order(self, fault: Fault) -> None:
        with self._lock:
            self._faults.append(fault)

    def heal(self) -> None:
        with self._lock:
            self._faults.clear()

    def journal(self) -> list[Json]:
        with self._lock:
            return list(self._journal)

    def take_fault(self, operation: Operation, **noted: Any) -> Fault | None:
        """Note the request; the fault that hits it, if one does."""
        with self._lock:
            hit = next((fault for fault in self._faults if fault.operation is operation), None)
            if hit is not None:
                place = self._faults.index(hit)
                self._faults[place : place + 1] = [replace(hit, times=hit.times - 1)] if hit.times > 1 else []
            self._journal.append({"operation": operation, "fault": hit.mode if hit else "", **noted})
            return hit

    def quote(self, asked: Any) -> Answer:
        grams = asked.get("weight_grams") if isinstance(asked, dict) else None
        if not isinstance(grams, int):
            return Answer(status=422, body={"error": "weight_grams must be a whole number"})
        return Answer(status=200, body={"price_minor": 490 + grams // 10, "currency": "eur", "days": 2 + grams // 10_000})

    def changes(self, after: int, limit: int) -> Answer:
        """Who changed after that number, in order."""
        with self._lock:
            later = sorted((user for user in self._users.values() if user["version"] > after), key=lambda user: int(user["version"]))
        page = later[:limit]
        cursor = page[-1]["version"] if page else after
        told = [{"id": user["id"], "version": user["version"]} for user in page]
        return Answer(status=200, body={"users": told, "next_cursor": str(cursor), "has_more": len(later) > limit})

    def user(self, identifier: str) -> Answer:
        with self._lock:
            found = self._users.get(identifier)
        return Answer(status=404, body={"error": f"no user {identifier}"}) if found is None else Answer(status=200, body=dict(found))
