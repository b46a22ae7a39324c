"""What goes over the wire: a request, parsed, and the answer to it, which may be a refusal in Stripe's error format."""

import hashlib
import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class Operation(StrEnum):
    """What a client can ask for, and a fault can hit."""

    CREATE = "create"
    CONFIRM = "confirm"
    CANCEL = "cancel"
    RETRIEVE = "retrieve"
    LIST = "list"
    REFUND = "refund"
    RETRIEVE_REFUND = "retrieve_refund"
    LIST_REFUNDS = "list_refunds"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One call of the API, parsed."""

    operation: Operation
    method: str
    path: str
    target: str
    parameters: dict[str, str]
    api_key: str
    idempotency_key: str | None

    @property
    def account(self) -> str:
        """Whose idempotency keys these are; a digest, so that no API key reaches the journal."""
        return hashlib.sha256(self.api_key.encode()).hexdigest()[:16]

    @property
    def fingerprint(self) -> str:
        """What must be the same when a key is used again."""
        said = json.dumps([self.method, self.path, sorted(self.parameters.items())])
        return hashlib.sha256(said.encode()).hexdigest()

    @property
    def stored_under(self) -> tuple[str, str] | None:
        """Where the answer is kept for a replay; None for a request that may simply be made again."""
        return (self.account, self.idempotency_key) if self.idempotency_key and self.method == "POST" else None

    @property
    def metadata(self) -> dict[str, str]:
        """The ``metadata[name]`` parameters by name."""
        found = ((re.fullmatch(r"metadata\[(.+)\]", name), value) for name, value in self.parameters.items())
        return {match[1]: value for match, value in found if match}

    def positive(self, name: str) -> int:
        """Return a parameter that has to be a positive integer. Raises Refused if it is anything else."""
        text = self.parameters.get(name, "")
        if not text:
            raise Refused(400, f"Missing required param: {name}.", code="parameter_missing", param=name)
        if not re.fullmatch(r"[0-9]{1,12}", text) or int(text) < 1:
            raise Refused(400, f"Invalid integer: {text}", code="parameter_invalid_integer", param=name)
        return int(text)


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """A status and a body, as first given; ``is_replayed`` if it is given again."""

    status: int
    body: Json
    is_replayed: bool = False


class Refused(Exception):
    """Raised to answer with Stripe's error format. ``is_stored`` says whether the idempotency key remembers it."""

    def __init__(self, status: int, message: str, *, kind: str = "invalid_request_error", is_stored: bool = False, **more: Any) -> None:
        super().__init__(message)
        self.answer = Answer(status=status, body={"error": {"type": kind, "message": message, **more}})
        self.is_stored = is_stored
