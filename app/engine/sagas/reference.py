"""How a message says which act it is of."""

from dataclasses import dataclass
from typing import Any, Self

HEADER = "saga_act"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reference:
    """Which act a message is of. It travels in a header, through retries and the dead letters."""

    act: int
    publication: int

    @classmethod
    def of(cls, request: Any) -> "Self | None":
        """Of a run (``self.request``); ``None`` for one that belongs to no saga, and for a header that we did not write."""
        told = getattr(request, HEADER, None)
        if not isinstance(told, dict):
            return None
        act, publication = told.get("act"), told.get("publication")
        if type(act) is not int or type(publication) is not int:
            return None
        return cls(act=act, publication=publication)
