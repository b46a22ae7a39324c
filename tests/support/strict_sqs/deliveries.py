"""Who holds which message: the receipt handles that were given out, by queue."""

from collections import defaultdict
from dataclasses import dataclass, field
from enum import Enum


class Standing(Enum):
    """What a receipt handle is worth."""

    UNKNOWN = "never given out here, or its message is deleted"
    HELD = "the latest one of a message in flight"
    LAPSED = "the latest one, its visibility timeout is over"
    STALE = "the message was delivered again since"
    SHADOWED = "the latest one, but a second copy of the message is about to be delivered"


@dataclass(slots=True)
class _Delivery:
    handles: list[str] = field(default_factory=list)
    in_flight_until: float = 0
    has_hidden_copy: bool = False
    had_a_copy: bool = False


class Deliveries:
    """The last delivery of every message that is not deleted. Times are those of one monotonic clock."""

    # | held ── in_flight_until ──▶ lapsed |  held, lapsed ── received again ──▶ stale |  any ── deleted ──▶ unknown |
    # | held ── copied ──▶ shadowed ── received again ──▶ stale                         |

    def __init__(self) -> None:
        self._deliveries: dict[str, dict[str, _Delivery]] = defaultdict(dict)  # queue → message id
        self._message_of: dict[str, dict[str, str]] = defaultdict(dict)  # queue → handle → message id

    def received(self, queue: str, message_id: str, handle: str, *, until: float) -> None:
        delivery = self._deliveries[queue].setdefault(message_id, _Delivery())
        delivery.handles.append(handle)
        delivery.in_flight_until = until
        delivery.has_hidden_copy = False
        self._message_of[queue][handle] = message_id

    def copied(self, queue: str, message_id: str) -> bool:
        """Note that this message will be delivered once more; false if that has happened to it before."""
        delivery = self._deliveries[queue][message_id]
        if delivery.had_a_copy:
            return False
        delivery.had_a_copy = delivery.has_hidden_copy = True
        return True

    def standing(self, queue: str, handle: str, *, now: float) -> Standing:
        delivery = self._delivery(queue, handle)
        if delivery is None:
            return Standing.UNKNOWN
        if handle != delivery.handles[-1]:
            return Standing.STALE
        if delivery.has_hidden_copy:
            return Standing.SHADOWED
        return Standing.HELD if now < delivery.in_flight_until else Standing.LAPSED

    def renewed(self, queue: str, handle: str, *, until: float) -> None:
        # Not by a handle that is stale by now: who waits may have received the message before the answer to this change is read.
        if (delivery := self._delivery(queue, handle)) and handle == delivery.handles[-1]:
            delivery.in_flight_until = until

    def deleted(self, queue: str, handle: str) -> None:
        """Forget the message: the local AWS remembers the handles of what it has deleted."""
        message_id = self._message_of[queue].get(handle)
        if message_id is not None:
            for old in self._deliveries[queue].pop(message_id).handles:
                self._message_of[queue].pop(old, None)

    def forget(self, queue: str) -> None:
        self._deliveries.pop(queue, None)
        self._message_of.pop(queue, None)

    def _delivery(self, queue: str, handle: str) -> _Delivery | None:
        message_id = self._message_of[queue].get(handle)
        return None if message_id is None else self._deliveries[queue].get(message_id)
