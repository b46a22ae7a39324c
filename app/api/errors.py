"""What views raise to answer with an error."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from http import HTTPStatus
from typing import Any

#: An answer must not grow with what was sent: a list of errors is for a person.
MOST_ERRORS = 20
LONGEST_PATH = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldError:
    """Why one value was refused, in words for people."""

    where: str
    """``body``, ``query``, ``path`` or ``header``."""
    field: str
    """Dotted path; empty for the body itself."""
    reason: str


#: As RFC 9110 has them; Python before 3.13 has the older words, and an answer must not change with it.
_PHRASES = {HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "Content Too Large", HTTPStatus.UNPROCESSABLE_ENTITY: "Unprocessable Content"}


def phrase_of(status: int) -> str:
    """What the status is called, in every version of Python."""
    return _PHRASES.get(HTTPStatus(status), HTTPStatus(status).phrase)


class Problem(Exception):
    """Raised by views and what they call to answer with an error. ``title`` defaults to the status's own phrase."""

    def __init__(
        self,
        status: int,
        *,
        detail: str,
        title: str = "",
        type: str = "about:blank",  # noqa: A002 — RFC 9457 calls it so
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.title = title or phrase_of(self.status)
        self.detail = detail if len(errors) <= MOST_ERRORS else f"{detail} The first {MOST_ERRORS} of {len(errors):,} are listed."
        self.type = type
        self.errors = tuple(replace(error, field=error.field[:LONGEST_PATH]) for error in errors[:MOST_ERRORS])
        self.headers = dict(headers or {})

    @property
    def document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"type": self.type, "title": self.title, "status": int(self.status), "detail": self.detail}
        if self.errors:
            document["errors"] = [asdict(error) for error in self.errors]
        return document
